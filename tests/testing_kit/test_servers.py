"""The servers of the test kit: both kinds do the same, and leave nothing behind."""

from __future__ import annotations

import asyncio
import os
import re
import select
import signal
import socket
import subprocess
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless import Client
from gapless.errors import ChannelNotFound, NamespaceCreationDisabled
from gapless.testing import (
    InProcessServer,
    KillNotPossible,
    RunningServer,
    ServerError,
    SubprocessServer,
    manual_clock,
)
from tests.ipv6 import needs_ipv6

# For what takes milliseconds; a hang must not take the whole run.
SECONDS_MAX = 60

ServerType = type[InProcessServer] | type[SubprocessServer]

both = pytest.mark.parametrize("server_type", [InProcessServer, SubprocessServer])


@pytest.fixture(scope="module", params=[InProcessServer, SubprocessServer])
def server(request: pytest.FixtureRequest) -> Iterator[RunningServer]:
    """A server of each kind, for what leaves it as it was."""
    server_type: ServerType = request.param
    with server_type() as server:
        yield server


def post(client: Client) -> int:
    client.channels.create("general")
    return client.messages.post("general", "ann", "hello").sequence


def head_of(server: RunningServer) -> int:
    with server.client() as client:
        return client.channels.get("general").head_sequence


def test_a_server_answers_once_it_is_started(server: RunningServer) -> None:
    with server.client("blocking") as client:
        assert post(client) == 1


@needs_ipv6
@both
def test_a_server_on_an_ipv6_address_has_clients_too(server_type: ServerType) -> None:
    with server_type(host="::1") as server:
        with server.client() as client:
            assert post(client) == 1

        assert server.address == f"[::1]:{server.settings.port}"


async def test_a_server_has_clients_for_asyncio_too(server: RunningServer) -> None:
    async with server.async_client("asyncio") as client:
        await client.channels.create("general")
        posted = await client.messages.post("general", "ann", "hello")

    assert posted.sequence == 1


def test_clients_work_in_their_namespace_and_with_their_options(server: RunningServer) -> None:
    with server.client("team-a", caller="one") as client:
        client.channels.create("general", request_id="same")
    with server.client("team-a", caller="two") as client:
        created = client.channels.create("other", request_id="same")
    with server.client("team-b") as client, pytest.raises(ChannelNotFound):
        client.channels.get("general")

    assert not created.receipt.replayed


def test_a_server_that_runs_is_not_started_again(server: RunningServer) -> None:
    with pytest.raises(RuntimeError, match="runs already"):
        server.start()


@both
def test_a_restart_keeps_address_and_data_and_clients_go_on(server_type: ServerType) -> None:
    with server_type() as server, server.client() as client:
        post(client)
        address = server.address

        server.restart()

        assert server.address == address
        assert client.messages.post("general", "ann", "again").sequence == 2


def test_a_server_in_memory_forgets_when_it_stops() -> None:
    with InProcessServer(journal="memory") as server:
        with server.client() as client:
            post(client)

        server.restart()

        with pytest.raises(ChannelNotFound):
            head_of(server)


def test_a_killed_server_has_what_it_acknowledged_when_it_is_started_again() -> None:
    with SubprocessServer() as server:
        with server.client() as client:
            post(client)
        pid = server.pid

        server.kill()
        was_running = server.is_running
        server.restart()

        assert not was_running
        assert server.pid != pid
        assert head_of(server) == 1


def test_a_server_in_this_process_says_that_it_cannot_be_killed() -> None:
    with InProcessServer(journal="memory") as server:
        with pytest.raises(KillNotPossible, match="use SubprocessServer"):
            server.kill()

        assert server.is_running


@both
async def test_nothing_listens_once_a_server_is_stopped(server_type: ServerType) -> None:
    async with server_type(journal="memory") as server:
        await asyncio.to_thread(server.stop)
        # Again does nothing.
        await asyncio.to_thread(server.stop)

        assert not server.is_running
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection(server.settings.host, server.settings.port)


def test_a_temporary_directory_is_removed_and_a_given_one_kept(tmp_path: Path) -> None:
    with InProcessServer() as temporary:
        assert temporary.directory.is_dir()
    with InProcessServer(directory=tmp_path / "mine") as given, given.client() as client:
        post(client)

    assert not temporary.directory.exists()
    assert (tmp_path / "mine" / "data" / "namespaces" / "default.db").is_file()


@both
def test_a_server_that_was_closed_can_be_entered_again(server_type: ServerType) -> None:
    server = server_type(journal="memory")
    with server:
        address = server.address

    with server, server.client() as client:
        assert post(client) == 1
        assert server.address == address

    assert not server.directory.exists()


def assert_nothing_is_left_of(server: RunningServer) -> None:
    assert not server.is_running
    assert not server.directory.exists()
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection((server.settings.host, server.settings.port))


@both
async def test_nothing_is_left_of_a_server_whose_start_was_cancelled(
    server_type: ServerType,
) -> None:
    server = server_type(journal="memory")
    entering = asyncio.create_task(server.__aenter__())
    # Until the thread that starts it has begun.
    await asyncio.sleep(0)

    entering.cancel()

    with pytest.raises(asyncio.CancelledError):
        await entering
    assert_nothing_is_left_of(server)


class Interrupted(BaseException):
    """What Ctrl-C raises in a thread, wherever it is."""


@both
def test_nothing_is_left_of_a_server_whose_start_was_interrupted(server_type: ServerType) -> None:
    interrupted = threading.Event()

    def raise_interrupted(*_: object) -> None:
        interrupted.set()
        raise Interrupted

    def interrupt() -> None:
        give_up_time = time.monotonic() + SECONDS_MAX
        while not server.is_running and time.monotonic() < give_up_time:
            pass
        signal.pthread_kill(threading.main_thread().ident or 0, signal.SIGUSR1)

    before = signal.signal(signal.SIGUSR1, raise_interrupted)
    try:
        server = server_type(journal="memory")
        interrupting = threading.Thread(target=interrupt)
        interrupting.start()
        # If the start was quicker, its block is what is interrupted.
        with pytest.raises(Interrupted), server:
            interrupted.wait(SECONDS_MAX)
        interrupting.join()
    finally:
        signal.signal(signal.SIGUSR1, before)

    assert_nothing_is_left_of(server)


@both
def test_a_start_that_fails_says_why_with_the_end_of_the_log(
    server_type: ServerType, tmp_path: Path
) -> None:
    with InProcessServer(directory=tmp_path):
        second = server_type(directory=tmp_path)

        with pytest.raises(ServerError, match=rf"is in use by process {os.getpid()}"):
            second.start()

        assert not second.is_running
        second.close()


@both
def test_a_port_that_is_taken_is_named(server_type: ServerType) -> None:
    with InProcessServer(journal="memory") as owner:
        second = server_type(port=owner.settings.port)

        with pytest.raises(ServerError, match=rf"cannot listen on {owner.address}"):
            second.start()

        second.close()


@both
def test_settings_come_from_the_test_alone(
    server_type: ServerType, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GAPLESS_PORT", "1")
    monkeypatch.setenv("GAPLESS_CONFIG", "/does/not/exist")

    with server_type(journal="memory", create_namespaces=False) as server:
        assert server.settings.create_namespaces is False
        with server.client() as client, pytest.raises(NamespaceCreationDisabled):
            post(client)


@both
def test_a_setting_that_does_not_exist_is_refused(server_type: ServerType) -> None:
    with pytest.raises(TypeError, match="pages_max"):
        server_type(pages_max=2)


@both
@pytest.mark.parametrize(
    ("setting", "expected"),
    [
        ({"journal": "memroy"}, "expected one of sqlite, memory"),
        ({"port": 99_999}, "expected a whole number from 0 to 65535"),
        ({"heartbeat_seconds": -1}, "expected a finite number of at least 0.1"),
        ({"log_level": "nope"}, "expected one of debug, info, warning, error"),
        ({"grace_seconds": "10"}, "expected a finite number of at least 0"),
    ],
    ids=lambda value: "" if isinstance(value, str) else next(iter(value)),
)
def test_a_setting_that_the_service_would_not_take_is_refused(
    server_type: ServerType, setting: dict[str, Any], expected: str
) -> None:
    [(name, value)] = setting.items()

    with pytest.raises(ValueError, match=re.escape(f"{name} is {value!r}; {expected}")):
        server_type(**setting)


def test_a_server_that_ended_by_itself_is_reported() -> None:
    server = SubprocessServer(journal="memory")
    server.start()
    os.kill(server.pid, signal.SIGKILL)

    with pytest.raises(ServerError, match="ended with exit code -9"):
        server.close()


def test_a_server_that_was_told_to_end_is_waited_for() -> None:
    with SubprocessServer(journal="memory") as server:
        os.kill(server.pid, signal.SIGTERM)

        assert server.wait(SECONDS_MAX) == 0
        assert not server.is_running


# In a process of its own: a structlog that was configured before, as by a test, is left as it is.
START_AND_COPY_THE_LOG = """
import shutil
import sys
from gapless.testing import InProcessServer
with InProcessServer(journal="memory") as server:
    shutil.copy(server.log_path, sys.argv[1])
"""


def test_the_log_of_a_server_is_in_its_file_and_nowhere_else(tmp_path: Path) -> None:
    copy = tmp_path / "server.log"

    shown = subprocess.run(
        [sys.executable, "-c", START_AND_COPY_THE_LOG, str(copy)],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )

    assert (shown.returncode, shown.stdout, shown.stderr) == (0, "", "")
    assert "serving" in copy.read_text()


START_AND_WAIT = """
import sys
from gapless.testing import SubprocessServer
with SubprocessServer() as server:
    print(server.pid, flush=True)
    sys.stdin.read()
"""


def test_no_server_is_left_behind_by_tests_that_were_killed() -> None:
    tests = subprocess.Popen(
        [sys.executable, "-c", START_AND_WAIT], stdin=subprocess.PIPE, stdout=subprocess.PIPE
    )
    with tests:
        assert tests.stdout is not None
        server = os.pidfd_open(int(tests.stdout.readline()))
        tests.kill()

    ended, _, _ = select.select([server], [], [], SECONDS_MAX)
    os.close(server)

    assert ended == [server]


def test_the_clock_of_a_server_in_this_process_moves_when_the_test_says_so() -> None:
    clock = manual_clock(start_seconds=1_000_000)
    with InProcessServer(clock=clock) as server, server.client() as client:
        first = client.channels.create("a").receipt.commit_time
        clock.advance(90)
        second = client.channels.create("b").receipt.commit_time

    assert (first.seconds, second.seconds) == (1_000_000, 1_000_090)


WITHOUT_SERVICE = """
import sys
sys.modules["gapless_server"] = None
from gapless.testing import InProcessServer, ServiceMissing
try:
    InProcessServer()
except ServiceMissing as error:
    print(error)
"""


def test_without_the_service_the_kit_says_what_to_install() -> None:
    done = subprocess.run(
        [sys.executable, "-c", WITHOUT_SERVICE],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
    )

    assert "pip install 'gapless[server]'" in done.stdout
