"""`gapless status` and `gapless watch`, for people and for scripts."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless.testing import SubprocessServer
from tests.cli.commands import SECONDS_MAX, run


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SubprocessServer]:
    """A service with three entries in each of two namespaces."""
    directory: Path = tmp_path_factory.mktemp("watching")
    with SubprocessServer(directory=directory) as server:
        with server.client("story") as client:
            client.channels.create(channel_id="c1", request_id="r1")
            client.messages.post(
                "c1", "ann", "hello", attributes={"a": "b"}, message_id="m1", request_id="r2"
            )
            client.messages.post("c1", "ann", b"\x00\x01", message_id="m2", request_id="r3")
        with server.client("another") as client:
            client.channels.create(channel_id="c1")
            client.memberships.join("c1", "ann")
            client.memberships.join("c1", "ann", request_id="again")  # changes nothing
        yield server


def _lines(server: SubprocessServer, *arguments: Any) -> list[dict[str, Any]]:
    """Runs watch to the end of what is there; returns its JSON lines."""
    shown = run(
        "watch", "-a", server.address, "-n", "story", "--until-caught-up", "--json", *arguments
    )
    assert shown.exit_code == 0
    return [json.loads(line) for line in shown.stdout.splitlines()]


def test_status_shows_each_namespace_with_its_head(server: SubprocessServer) -> None:
    shown = json.loads(run("status", "-a", server.address, "--json").stdout)

    heads = {one["namespace"]: one["head_position"] for one in shown["namespaces"]}
    assert heads == {"another": 3, "story": 3}
    assert (shown["version"], shown["journal"]) == ("0.1.0", "sqlite")
    assert len({one["incarnation"] for one in shown["namespaces"]}) == 2


def test_status_of_a_service_that_is_not_there_is_one_sentence() -> None:
    shown = run("status", "-a", "127.0.0.1:1")

    assert shown.exit_code == 1
    assert shown.output == (
        "Error: no service answers at 127.0.0.1:1; start one with `gapless serve`, or say where"
        " it is with --address\n"
    )


def test_the_address_can_come_from_the_environment(server: SubprocessServer) -> None:
    shown = run("status", environment={"GAPLESS_ADDRESS": server.address})

    assert shown.exit_code == 0
    assert f"gapless 0.1.0 at {server.address}, journal sqlite" in shown.stdout


def test_status_of_one_namespace_shows_that_one(server: SubprocessServer) -> None:
    shown = run("status", "-a", server.address, "--json", "-n", "story")
    unknown = run("status", "-a", server.address, "-n", "nobody")
    working_in = run(
        "status", "-a", server.address, "--json", environment={"GAPLESS_NAMESPACE": "nobody"}
    )

    assert [one["namespace"] for one in json.loads(shown.stdout)["namespaces"]] == ["story"]
    assert (unknown.exit_code, "namespace nobody does not exist" in unknown.stderr) == (1, True)
    assert len(json.loads(working_in.stdout)["namespaces"]) == 2


def test_an_empty_cursor_is_refused(server: SubprocessServer) -> None:
    refused = run("watch", "-a", server.address, "-n", "story", "--cursor", "", "--until-caught-up")

    assert (refused.exit_code, "it is empty; expected the cursor" in refused.stderr) == (2, True)


def test_watch_gives_scripts_one_entry_a_line(server: SubprocessServer) -> None:
    lines = _lines(server, "--from", "start")

    assert [(line["position"], line["request_id"]) for line in lines] == [
        (1, "r1"),
        (2, "r2"),
        (3, "r3"),
    ]
    assert lines[1]["events"] == [
        {
            "message_posted": {
                "channel_id": "c1",
                "message_id": "m1",
                "sequence": "1",
                "sender_id": "ann",
                "body": {"data": "aGVsbG8=", "content_type": "text/plain; charset=utf-8"},
                "attributes": {"a": "b"},
            }
        }
    ]


def test_g6_watch_goes_on_after_the_cursor_of_a_line(server: SubprocessServer) -> None:
    first, *others = _lines(server, "--from", "start")

    assert _lines(server, "--cursor", first["cursor"]) == others


def test_watch_shows_only_the_types_and_channels_asked_for(server: SubprocessServer) -> None:
    created = _lines(server, "--from", "start", "--type", "channel_created")
    nothing = _lines(server, "--from", "start", "--channel", "c9")

    assert ([line["position"] for line in created], nothing) == ([1], [])


def test_watch_from_now_shows_nothing_of_what_was(server: SubprocessServer) -> None:
    assert _lines(server) == []


def test_an_unknown_type_is_refused_with_the_services_own_words(server: SubprocessServer) -> None:
    shown = run("watch", "-a", server.address, "--type", "nonsense")

    assert shown.exit_code == 2
    assert "unknown event type 'nonsense'" in shown.stderr


def test_a_cursor_that_is_none_is_refused(server: SubprocessServer) -> None:
    shown = run("watch", "-a", server.address, "-n", "story", "--cursor", "garbage")

    assert (shown.exit_code, "cursor" in shown.stderr) == (2, True)


def test_watch_gives_people_one_event_a_line(server: SubprocessServer) -> None:
    shown = run(
        "watch", "-a", server.address, "-n", "story", "--from", "start", "--until-caught-up"
    )

    created, text, data = shown.stdout.splitlines()
    assert created.endswith("channel_created  channel_id=c1 first_sequence=1")
    assert text.endswith(
        "message_posted  channel_id=c1 message_id=m1 sequence=1 sender_id=ann body='hello'"
        ' attributes={"a":"b"}'
    )
    assert data.endswith("sender_id=ann body=2 bytes of no type")


def test_an_entry_without_events_is_shown_as_one(server: SubprocessServer) -> None:
    arguments = ("-a", server.address, "-n", "another", "--from", "start", "--until-caught-up")

    readable = run("watch", *arguments).stdout.splitlines()
    line = json.loads(run("watch", *arguments, "--json").stdout.splitlines()[-1])

    assert len(readable) == 3
    assert readable[-1].startswith("       3  ")
    assert readable[-1].endswith("  (no events)")
    assert (line["position"], line["request_id"], line["events"]) == (3, "again", [])


def _hears_ctrl_c() -> None:
    """Runs in the new process: what a shell starts in the background ignores Ctrl-C otherwise."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(
    ("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)], ids=["ctrl-c", "sigterm"]
)
def test_a_signal_ends_a_watch_with_its_code_and_without_a_word(
    server: SubprocessServer, number: signal.Signals, code: int
) -> None:
    command = [sys.executable, "-m", "gapless_server", "watch", "-a", server.address]
    with subprocess.Popen(
        [*command, "-n", "story", "--from", "start"],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        preexec_fn=_hears_ctrl_c,
    ) as watch:
        try:
            assert watch.stdout is not None
            first = watch.stdout.readline()
            watch.send_signal(number)
            _rest, errors = watch.communicate(timeout=SECONDS_MAX)
        finally:
            watch.kill()

    assert "channel_created" in first
    assert (watch.returncode, errors.strip()) == (code, "")


def test_whoever_reads_a_watch_may_stop_reading(server: SubprocessServer) -> None:
    command = f"{sys.executable} -m gapless_server watch -a {server.address} -n story --from start"
    script = f"{command} --until-caught-up | head -n 1; exit ${{PIPESTATUS[0]}}"

    piped = subprocess.run(["bash", "-c", script], capture_output=True, text=True)

    assert (piped.returncode, piped.stderr) == (0, "")
    assert piped.stdout.count("\n") == 1
