"""`gapless import`: Slack events through the SDK, from several processes, and then the check."""

from __future__ import annotations

import json
import os
import uuid
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless import Client
from gapless.testing import SubprocessServer
from tests.cli.commands import run, run_process
from tests.slack.lines import message, report

ROOT = Path(__file__).resolve().parent.parent.parent
SAMPLE = ROOT / "service" / "gapless_server" / "data" / "sample-events.jsonl"
REAL_EVENTS = ROOT.parent / "shared" / "data" / "slack-events"


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SubprocessServer]:
    """A service on SQLite, as it is run for real."""
    with SubprocessServer(directory=tmp_path_factory.mktemp("import")) as server:
        yield server


@pytest.fixture
def namespace() -> str:
    """A namespace that nobody else uses."""
    return f"import-{uuid.uuid4().hex}"


def _import(server: SubprocessServer, namespace: str, *arguments: Any) -> tuple[int, Any]:
    """Runs the command; returns its exit code and what it printed."""
    shown = run("import", *arguments, "-a", server.address, "-n", namespace, "--json")
    return shown.exit_code, json.loads(shown.stdout)


def _promises(result: dict[str, Any]) -> dict[str, int]:
    """The numbers that must be 0."""
    names = ("gaps", "out_of_order", "duplicates", "acknowledged_and_lost", "commands_refused",
             "thread_counts_that_differ")  # fmt: skip
    return {name: result[name] for name in names if result[name]}


def test_the_sample_is_replayed_by_several_processes_and_every_promise_holds(
    server: SubprocessServer, namespace: str
) -> None:
    code, result = _import(server, namespace, SAMPLE, "--processes", 3)

    assert (code, _promises(result)) == (0, {})
    assert result["events"] == 4_001
    assert (result["commands_sent"], result["commands_replayed"]) == (3_344, 0)
    assert (result["threads"], result["thread_counts_that_match"]) == (561, 533)
    assert result["messages"] == result["acknowledged_messages"]


@pytest.mark.skipif(not REAL_EVENTS.is_dir(), reason=f"{REAL_EVENTS.name} is not there")
def test_four_days_of_a_real_workspace_have_slacks_own_counts_of_replies(
    server: SubprocessServer, namespace: str
) -> None:
    code, result = _import(server, namespace, REAL_EVENTS, "--processes", 8)

    assert (code, _promises(result)) == (0, {})
    assert (result["events"], result["commands_sent"]) == (3_822, 3_750)
    assert result["thread_counts_that_match"] == 57
    assert result["threads_only_partly_in_the_events"] == 13


def _small(path: Path) -> Path:
    """Writes a file of one thread and a second channel."""
    path.write_text(
        "\n".join(
            (
                message("1.1", client_msg_id="a"),
                message("1.2", thread_ts="1.1"),
                message("1.3", channel="C2"),
                report("1.4", "1.1", ["1.2"]),
            )
        )
    )
    return path


def test_g3_importing_again_applies_nothing_twice(
    server: SubprocessServer, namespace: str, tmp_path: Path
) -> None:
    file = _small(tmp_path / "events.jsonl")
    _import(server, namespace, file)
    with Client(server.address, namespace=namespace) as client:
        before = client.operations.get_namespace()

        code, result = _import(server, namespace, file)

        assert (code, _promises(result)) == (0, {})
        assert result["commands_replayed"] == result["commands_sent"] == 5
        assert client.operations.get_namespace() == before


def test_a_count_that_is_not_slacks_ends_with_3_and_names_the_thread(
    server: SubprocessServer, namespace: str, tmp_path: Path
) -> None:
    file = _small(tmp_path / "events.jsonl")
    file.write_text(file.read_text() + "\n" + report("1.5", "1.1", ["1.2"], count=7))

    shown = run("import", file, "-a", server.address, "-n", namespace)

    sentence = "thread 1.1 of channel C1: Slack last reported 7 replies, the service counts 1"
    assert shown.exit_code == 3
    assert sentence in shown.stdout
    assert shown.stderr.endswith(f"Error: 1 promises are broken; the first: {sentence}\n")


def test_a_command_that_is_refused_ends_with_1_and_is_named(
    server: SubprocessServer, namespace: str, tmp_path: Path
) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text(f"{message('1.1')}\n{message('1.2', user='x' * 129)}\n")

    code, result = _import(server, namespace, file)

    assert (code, result["messages"]) == (1, 1)
    [refusal] = result["refusals"]
    assert refusal.startswith("slack:C1:1.2: ")
    assert "sender_id" in refusal


def test_a_damaged_log_ends_with_3_at_once(
    server: SubprocessServer, namespace: str, tmp_path: Path
) -> None:
    file = _small(tmp_path / "events.jsonl")
    _import(server, namespace, file)
    server.stop()
    log = server.directory / "data" / "namespaces" / f"{namespace}.db"
    os.truncate(log, log.stat().st_size // 2)
    server.start()

    shown = run_process("import", file, "-a", server.address, "-n", namespace)

    assert shown.returncode == 3
    assert f"Error: the log of namespace {namespace} is damaged: " in shown.stderr


def test_people_get_a_table(server: SubprocessServer, namespace: str, tmp_path: Path) -> None:
    shown = run("import", _small(tmp_path / "events.jsonl"), "-a", server.address, "-n", namespace)

    rows = {
        cells[1].strip(): cells[2].strip()
        for line in shown.stdout.splitlines()
        if len(cells := line.split("│")) > 2
    }
    assert rows["commands sent"] == "5"
    assert rows["gaps in channels and threads"] == rows["duplicates"] == "0"
    assert rows["thread counts equal to Slack's"] == "1"


def test_a_bad_line_is_refused_before_anything_is_sent(tmp_path: Path) -> None:
    file = tmp_path / "events.jsonl"
    file.write_text("{}\n")

    shown = run("import", file, "-a", "127.0.0.1:1")

    assert shown.exit_code == 2
    assert f"Error: {file}, line 1: not an event of Slack's: KeyError('type')" in shown.stderr


def test_a_service_that_is_not_there_is_told(tmp_path: Path) -> None:
    shown = run("import", _small(tmp_path / "events.jsonl"), "-a", "127.0.0.1:1")

    assert shown.exit_code == 1
    assert "the replay could not go on: the service at 127.0.0.1:1" in shown.stderr


@pytest.mark.parametrize("command", [("import", SAMPLE), ("bench",), ("status",), ("watch",)])
def test_a_namespace_that_is_no_name_is_refused_before_a_command_begins(
    command: tuple[str, ...],
) -> None:
    shown = run(*command, "-a", "127.0.0.1:1", "-n", "x y")

    assert shown.exit_code == 2
    assert shown.stderr.strip().splitlines()[-1] == (
        "Error: Invalid value for '--namespace' / '-n': namespace 'x y' is not a valid name:"
        " expected 1 to 63 characters of a-z, 0-9, '.', '_' and '-', beginning with a letter or a"
        " digit"
    )
