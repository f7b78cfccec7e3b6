"""`gapless status` of a service whose namespaces are not all well, and its health alone."""

from __future__ import annotations

import json
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import grpc
import pytest

from gapless.testing import InProcessServer, SubprocessServer
from tests.cli.commands import run


def _make(server: SubprocessServer, *names: str) -> None:
    for name in names:
        with server.client(name) as client:
            client.channels.create(channel_id="c1")


def test_g8_a_damaged_log_and_a_stray_file_do_not_hide_the_other_namespaces(tmp_path: Path) -> None:
    server = SubprocessServer(directory=tmp_path)
    with server:
        _make(server, "good", "ill")
    logs = tmp_path / "data" / "namespaces"
    (logs / "Bad Name.db").write_bytes((logs / "good.db").read_bytes())
    for file in logs.glob("ill.*"):
        file.write_bytes(b"rubbish" * 1000)

    with server:
        shown = run("status", "-a", server.address, "--json")
        table = run("status", "-a", server.address)
        others = [
            run(*command, "-a", server.address, "-n", "ill")
            for command in (("watch", "--from", "start"), ("backup", tmp_path / "backup"))
        ]

    rows = {row["namespace"]: row for row in json.loads(shown.stdout)["namespaces"]}
    assert list(rows) == ["good", "ill"]
    assert (rows["good"]["head_position"], rows["good"]["error"]) == (1, None)
    assert (rows["ill"]["head_position"], rows["ill"]["incarnation"]) == (None, None)
    assert "the log of namespace ill is damaged" in rows["ill"]["error"]
    assert shown.exit_code == table.exit_code == 3
    assert shown.stderr == ("Error: 1 of 2 namespaces cannot be read: ill; their rows say why\n")
    assert "ill: " in table.stdout
    for other in others:
        assert other.exit_code == 3
        assert "the log of namespace ill is damaged" in other.stderr
    assert not (tmp_path / "backup").exists()


def test_a_service_with_its_limit_of_namespaces_open_shows_those_it_can(tmp_path: Path) -> None:
    with SubprocessServer(directory=tmp_path, namespaces_open_max=1) as server:
        _make(server, "other", "held")
        with server.client("held") as client, client.events.watch(from_start=True) as watch:
            next(iter(watch))
            shown = run("status", "-a", server.address, "--json")

    rows = {row["namespace"]: row for row in json.loads(shown.stdout)["namespaces"]}
    assert rows["held"]["head_position"] == 1
    assert "which is its limit" in rows["other"]["error"]
    assert shown.exit_code == 1


def test_health_opens_no_namespace(tmp_path: Path) -> None:
    server = SubprocessServer(directory=tmp_path)
    with server:
        _make(server, "one")
    with server:
        shown = run("status", "-a", server.address, "--health")
        with server.client() as client:
            opened = client.operations.server_info().open_namespace_count

    assert (shown.exit_code, shown.stdout, opened) == (0, "SERVING\n", 0)


def test_health_of_a_service_that_is_not_there_is_one_sentence() -> None:
    shown = run("status", "-a", "127.0.0.1:1", "--health")

    assert shown.exit_code == 1
    assert shown.output.startswith("Error: no service answers at 127.0.0.1:1; ")


@pytest.mark.parametrize("timeout", ["inf", "1e300"])
def test_health_is_told_however_long_the_timeout(timeout: str, tmp_path: Path) -> None:
    with InProcessServer(directory=tmp_path) as server:
        shown = run("status", "-a", server.address, "--health", "--timeout", timeout)

    assert (shown.exit_code, shown.stdout) == (0, "SERVING\n")


@pytest.mark.parametrize("more", [(), ("--health",)])
def test_a_timeout_that_is_no_number_is_refused(more: tuple[str, ...]) -> None:
    refused = run("status", "-a", "127.0.0.1:1", "--timeout", "nan", *more)

    assert (refused.exit_code, "'nan' is no number" in refused.stderr) == (2, True)


def test_a_service_that_tells_no_health_is_not_said_to_be_away() -> None:
    server = grpc.server(ThreadPoolExecutor(1))  # it has no service at all
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        shown = run("status", "-a", f"127.0.0.1:{port}", "--health")
    finally:
        server.stop(None).wait()

    assert shown.exit_code == 1
    assert shown.stderr.startswith(
        f"Error: the service at 127.0.0.1:{port} does not tell its health: UNIMPLEMENTED: "
    )


def test_the_image_asks_for_health_alone() -> None:
    dockerfile = Path(__file__).resolve().parents[2] / "deploy" / "Dockerfile"

    assert '"gapless", "status", "--health"' in dockerfile.read_text()
