"""Names and paths are printed as they are, though they look like markup or are no text."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path

import pytest

from gapless.testing import InProcessServer
from tests.cli.commands import SECONDS_MAX, run, run_process
from tests.golden.test_golden_logs import GOLDEN, NEWEST

LOG = GOLDEN / NEWEST / "log.db"
# Taken for markup, the one is an error, and the other is left out of what is printed.
NAMES = ("b[/x]", "b[bold]y")


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessServer]:
    """A service with one namespace."""
    with InProcessServer(directory=tmp_path_factory.mktemp("markup")) as server:
        with server.client("default") as client:
            client.channels.create("c1")
        yield server


@pytest.mark.parametrize("name", NAMES)
def test_a_backup_and_a_restore_name_the_very_path(
    server: InProcessServer, name: str, tmp_path: Path
) -> None:
    folder, data = tmp_path / name, tmp_path / f"data-{name}"

    backed_up = run("backup", folder, "-a", server.address)
    restored = run("restore", folder, "--data", data)

    assert (backed_up.exit_code, restored.exit_code) == (0, 0)
    assert backed_up.stdout.startswith(f"{folder} has namespace default ")
    assert restored.stdout.startswith(f"{data}/namespaces/default.db has namespace default ")


@pytest.mark.parametrize("name", NAMES)
def test_tables_and_bars_show_the_very_name(name: str, tmp_path: Path) -> None:
    log = tmp_path / f"{name}.db".replace("/", "")
    shutil.copy(LOG, log)

    configured = run("config", "--data", f"/{name}")
    verified = run_process("verify", log, "--state-hash")

    assert (configured.exit_code, verified.returncode) == (0, 0)
    assert f" /{name} " in configured.stdout
    assert f" {log.stem} " in verified.stdout
    assert f"{log.stem}: state hash " in verified.stdout
    assert f"recounting {log.stem} " in verified.stderr


def test_a_name_that_is_none_is_refused_with_a_sentence(
    server: InProcessServer, tmp_path: Path
) -> None:
    refused = run("backup", tmp_path / "b", "-n", "x[/y]", "-a", server.address)

    assert refused.exit_code == 2
    assert "x[/y]" in refused.stderr


def test_a_path_that_is_no_text_is_printed_where_only_text_can_be(tmp_path: Path) -> None:
    name = os.fsdecode(b"b\xffz")
    shutil.copy(LOG, tmp_path / f"{name}.db")

    shown = subprocess.run(
        [sys.executable, "-m", "gapless_server", "verify", f"{name}.db"],
        capture_output=True,
        text=True,
        cwd=tmp_path,
        env={**os.environ, "PYTHONIOENCODING": "utf-8:strict"},
        timeout=SECONDS_MAX,
    )

    assert (shown.returncode, "Traceback" in shown.stderr) == (0, False)
    assert r" b\udcffz " in shown.stdout


def test_json_has_the_very_path() -> None:
    shown = run("config", "--data", "/b[/x]", "--json")

    assert json.loads(shown.stdout)["data"]["value"] == "/b[/x]"


@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_json_is_json_whatever_the_output_can_carry(
    server: InProcessServer, encoding: str, tmp_path: Path
) -> None:
    namespace = f"letters-{encoding}"
    with server.client(namespace) as client:
        client.channels.create("caf\u00e9-\U0001f600")
    watch = ["watch", "-a", server.address, "-n", namespace, "--from", "start", "--until-caught-up"]
    speaking = {"PYTHONUTF8": "0", "PYTHONIOENCODING": encoding}

    watched = _bytes_shown([*watch, "--json"], speaking)
    configured = _bytes_shown(["config", "--data", tmp_path / "\u00e9", "--json"], speaking)
    exported = _bytes_shown(["export", server.directory / "data", "-n", namespace, "-q"], speaking)

    (event,) = json.loads(watched.decode("utf-8"))["events"]
    assert event["channel_created"]["channel_id"] == "caf\u00e9-\U0001f600"
    assert json.loads(configured.decode("utf-8"))["data"]["value"] == str(tmp_path / "\u00e9")
    assert "caf\u00e9-\U0001f600" in exported.decode("utf-8")
    assert all(json.loads(line) for line in exported.decode("utf-8").splitlines())


def _bytes_shown(arguments: Sequence[object], environment: Mapping[str, str]) -> bytes:
    return subprocess.run(
        [sys.executable, "-m", "gapless_server", *map(str, arguments)],
        capture_output=True,
        check=True,
        env={**os.environ, **environment},
        timeout=SECONDS_MAX,
    ).stdout
