"""What lies in deploy/ names settings that exist, and gives the service the time that it asks."""

from __future__ import annotations

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from gapless_server.cli.configuration import variable_name
from gapless_server.settings import FIELDS, Settings

DEPLOY = Path(__file__).resolve().parent.parent / "deploy"
FILES = sorted(DEPLOY.iterdir())
STOP_SECONDS = {
    "compose.yaml": r"stop_grace_period: (\d+)s",
    "gapless.service": r"TimeoutStopSec=(\d+)",
    "kubernetes.yaml": r"terminationGracePeriodSeconds: (\d+)",
}


@pytest.mark.parametrize("file", FILES, ids=lambda file: file.name)
def test_every_variable_is_a_setting(file: Path) -> None:
    known = {variable_name(name) for name in FIELDS} | {"GAPLESS_NAME"}

    assert set(re.findall(r"GAPLESS_[A-Z_]+", file.read_text())) - known == set()


@pytest.mark.parametrize("name", STOP_SECONDS)
def test_a_supervisor_waits_longer_than_the_service_takes_to_stop(name: str) -> None:
    found = re.search(STOP_SECONDS[name], (DEPLOY / name).read_text())

    assert found is not None
    assert int(found.group(1)) > Settings().grace_seconds


def test_every_port_is_that_of_the_settings() -> None:
    for file in FILES:
        ports = re.findall(r"(?:port: |containerPort: |EXPOSE |:)(\d{4})\b", file.read_text())
        assert set(ports) <= {str(Settings().port)}


def test_the_image_is_built_from_sources_alone() -> None:
    ignored = (DEPLOY / "Dockerfile.dockerignore").read_text().splitlines()
    built = ("**/*.so", "service/gapless_server/compiled/*.c")

    # The last line that fits decides.
    assert all(ignored.index(line) > ignored.index("!service") for line in built)


def test_the_image_of_kubernetes_is_asked_of_no_registry() -> None:
    # There is none that has it, and without a tag each start would ask one.
    assert re.search(
        r"image: gapless\n(?: +#.*\n)* +imagePullPolicy: IfNotPresent\n",
        (DEPLOY / "kubernetes.yaml").read_text(),
    )


@pytest.mark.parametrize(
    ("name", "line"),
    [("compose.yaml", "restart: unless-stopped"), ("gapless.service", "StartLimitIntervalSec=0")],
)
def test_no_supervisor_gives_up_on_a_service_that_was_not_stopped(name: str, line: str) -> None:
    assert line in (DEPLOY / name).read_text()


@pytest.mark.skipif(shutil.which("systemd-analyze") is None, reason="systemd is not there")
def test_systemd_knows_every_line_of_the_unit() -> None:
    unit = DEPLOY / "gapless.service"
    check = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)

    complaints = [line for line in check.stderr.splitlines() if "gapless.service" in line]
    # That the program is not installed here is no fault of the unit.
    assert [line for line in complaints if "is not executable" not in line] == []
