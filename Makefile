# Everything works on a machine with python3 (3.11 or later), pip and make: each target
# first makes the virtual environments that it needs, once.

PYTHON ?= python3
VENV := .venv
VENV_PROTOS := .venv-protos
VENV_BENCH := .venv-bench
BIN := $(VENV)/bin
RUN := $(BIN)/python -m

# Slack events for `make demo`: a file or a folder. Without it, the bundled sample.
EVENTS ?=

# How often `make soak-scenarios` runs each test.
TIMES ?= 100

# Which harnesses of tests/reliability `make soak` runs; all of them without it.
ONLY ?=
# How many of them run side by side.
LANES ?= 1

# `make bench QUICK=1` measures what P1 to P6 need, in under 3 minutes.
QUICK ?=
# How many messages `make bench-large` goes up to.
ENTRIES ?= 5000000

# Stamps are newer than what was installed from; a second run is instant.
SERVER := $(VENV)/.installed-server
DEV := $(VENV)/.installed-dev
PROTOS := $(VENV_PROTOS)/.installed
BENCH := $(VENV_BENCH)/.installed
NODE := tests/node/node_modules
# What is compiled when the package is installed: it is installed again when that has changed.
COMPILED := hatch_build.py $(wildcard service/gapless_server/compiled/*.p*x*)

.DEFAULT_GOAL := help
.PHONY: help demo run test soak-scenarios soak check protos bench bench-large clean

help: ## Show what there is to make
	@sed -n 's/^\([a-z-]*\):.*## \(.*\)/  make \1\t\2/p' $(MAKEFILE_LIST) | expand -t 24

demo: $(SERVER) ## Replay a workspace from 8 processes, kill the service half-way, check every promise
	@$(BIN)/gapless demo $(if $(EVENTS),--events "$(EVENTS)")

run: $(SERVER) ## Run the service on 127.0.0.1:4275, with its data in ./data
	@$(BIN)/gapless serve --data data

test: $(DEV) $(PROTOS) $(NODE) ## Run all tests
	@$(RUN) pytest -q -n 3 --dist loadfile

soak-scenarios: $(DEV) ## Run every test of tests/scenarios TIMES times (100), and count
	@$(BIN)/python tools/soak_scenarios.py --times $(TIMES)

soak: $(DEV) ## Run every fault harness to its full numbers (hours); ONLY="kills hostile_proxy" for some, LANES=2
	@$(BIN)/python tools/soak.py --lanes $(LANES) --only $(ONLY)

check: $(DEV) $(PROTOS) ## Format, lint, types, arrows between rooms, generated files fresh
	$(BIN)/ruff format --check
	$(BIN)/ruff check
	$(RUN) mypy
	$(BIN)/lint-imports
	$(VENV_PROTOS)/bin/buf lint
	$(VENV_PROTOS)/bin/buf format --diff --exit-code
	$(VENV_PROTOS)/bin/python tools/make_protos.py --check
	@for tool in $(GENERATORS); do echo "$(BIN)/python $$tool --check"; $(BIN)/python $$tool --check || exit 1; done

protos: $(DEV) $(PROTOS) ## Make the stubs and all else that is generated
	$(VENV_PROTOS)/bin/buf format -w
	$(VENV_PROTOS)/bin/python tools/make_protos.py
	@for tool in $(GENERATORS); do echo "$(BIN)/python $$tool"; $(BIN)/python $$tool || exit 1; done

# The peers' servers are used where they are installed; on Debian that is
# apt-get install redis-server postgresql etcd-server
bench: $(BENCH) ## Measure the service beside its peers; QUICK=1 takes under 3 minutes
	@$(VENV_BENCH)/bin/python -m bench $(if $(QUICK),--quick)

bench-large: $(BENCH) ## Measure throughput, memory and starts as the log grows to ENTRIES
	@$(VENV_BENCH)/bin/python -m bench.large --entries $(if $(QUICK),200000,$(ENTRIES))

clean: ## Remove the virtual environments and what the tools left; never ./data
	rm -rf $(VENV) $(VENV_PROTOS) $(VENV_BENCH) build dist .mypy_cache .ruff_cache .pytest_cache
	rm -rf .import_linter_cache .hypothesis
	find client service tests tools bench -name __pycache__ -type d -prune -exec rm -rf {} +

# Beside the stubs: programs that write a file of ours, and with --check say whether it is fresh.
GENERATORS := $(wildcard tools/make_errors.py tools/make_sync.py tools/make_sample_events.py \
	tools/make_limits.py tools/make_reliability.py)

# Told at once: pip would look through every older version of every package first.
define REQUIRE_PYTHON
@$(PYTHON) -c 'import sys; sys.exit(0 if sys.version_info >= (3, 11) else "gapless needs Python 3.11 or later, \
and $(PYTHON) is %d.%d; name another: make PYTHON=python3.11" % sys.version_info[:2])'
endef

# Debian keeps the part of venv that installs pip in a package of its own; pip itself can install
# into an environment that has none.
$(VENV)/bin/python:
	$(REQUIRE_PYTHON)
	$(PYTHON) -m venv --without-pip $(VENV)

$(VENV_PROTOS)/bin/python:
	$(REQUIRE_PYTHON)
	$(PYTHON) -m venv --without-pip $(VENV_PROTOS)

$(VENV_BENCH)/bin/python:
	$(REQUIRE_PYTHON)
	$(PYTHON) -m venv --without-pip $(VENV_BENCH)

$(SERVER): pyproject.toml $(COMPILED) | $(VENV)/bin/python
	$(PYTHON) -m pip --python $(VENV)/bin/python install --quiet --editable '.[server]'
	@touch $@

$(DEV): requirements-dev.txt $(SERVER)
	$(PYTHON) -m pip --python $(VENV)/bin/python install --quiet --requirement requirements-dev.txt
	@touch $@

$(PROTOS): requirements-protos.txt | $(VENV_PROTOS)/bin/python
	$(PYTHON) -m pip --python $(VENV_PROTOS)/bin/python install --quiet --requirement requirements-protos.txt
	@touch $@

$(BENCH): pyproject.toml $(COMPILED) requirements-bench.txt | $(VENV_BENCH)/bin/python
	$(PYTHON) -m pip --python $(VENV_BENCH)/bin/python install --quiet --editable '.[server]' --requirement requirements-bench.txt
	@touch $@

# For the tests of a client in another language; without npm they are skipped, with the reason.
$(NODE): tests/node/package-lock.json
	@if command -v npm >/dev/null; then \
		(cd tests/node && npm ci --no-audit --no-fund --ignore-scripts --loglevel=error) \
		&& touch $@ || echo "npm ci failed: the tests of the Node client are skipped"; \
	fi
