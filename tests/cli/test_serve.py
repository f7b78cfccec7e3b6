"""`gapless serve`: how it starts, what it refuses, and how it ends."""

from __future__ import annotations

import asyncio
import json
import os
import re
import resource
import signal
import socket
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

import pytest

from gapless import Client, GaplessError
from gapless.testing import SubprocessServer
from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.operations_pb2 import GetServerInfoRequest, GetServerInfoResponse
from gapless.v1.pool_reservations_pb2 import ReserveGroupRequest
from gapless.v1.pools_pb2 import CreatePoolRequest, NumberRange
from gapless_server.settings import FIELDS, MIB, TYPES
from tests.cli.commands import SECONDS_MAX, run_process, serving
from tests.rpc.wire import frame, open_wire


def _log_lines(process: subprocess.Popen[str]) -> list[dict[str, object]]:
    _out, errors = process.communicate(timeout=SECONDS_MAX)
    return [json.loads(line) for line in errors.splitlines()]


def test_the_address_file_is_there_when_the_service_answers_and_gone_when_it_has_stopped(
    tmp_path: Path,
) -> None:
    with serving("--port", 0, "--data", tmp_path / "data", directory=tmp_path) as (
        process,
        address,
    ):
        with Client(address) as client:
            info = client.operations.server_info()
        process.send_signal(signal.SIGINT)
        code = process.wait(SECONDS_MAX)

    assert re.fullmatch(r"127\.0\.0\.1:\d+", address)
    assert info.journal == "sqlite"
    assert code == 0
    assert not (tmp_path / "address").exists()


@contextmanager
def children_begin_with(number: signal.Signals, action: signal.Handlers) -> Iterator[None]:
    """Whatever these tests run under, be it a terminal or nohup."""
    before = signal.signal(number, action)
    try:
        yield
    finally:
        signal.signal(number, before)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT, signal.SIGHUP])
def test_a_signal_ends_the_service_in_order(tmp_path: Path, number: signal.Signals) -> None:
    serves = serving("--port", 0, "--data", tmp_path / "data", directory=tmp_path)
    with children_begin_with(signal.SIGHUP, signal.SIG_DFL), serves as (process, _):
        process.send_signal(number)
        lines = _log_lines(process)

    assert process.returncode == 0
    assert lines[-1]["event"] == "stopped"


def test_a_service_under_nohup_outlives_its_terminal(tmp_path: Path) -> None:
    serves = serving("--port", 0, "--data", tmp_path / "data", directory=tmp_path)
    with children_begin_with(signal.SIGHUP, signal.SIG_IGN), serves as (process, address):
        process.send_signal(signal.SIGHUP)
        with Client(address) as client:
            assert client.operations.server_info().journal == "sqlite"


class Running(NamedTuple):
    """A service that runs for all tests of this module."""

    process: subprocess.Popen[str]
    address: str
    data: Path


@pytest.fixture(scope="module")
def running(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Running]:
    directory = tmp_path_factory.mktemp("serve")
    data = directory / "data"
    with serving("--port", 0, "--data", data, directory=directory) as (process, address):
        yield Running(process, address, data)


def test_the_data_directory_is_for_its_owner_only(running: Running) -> None:
    assert running.data.stat().st_mode & 0o777 == 0o700


def test_g9_a_second_service_on_the_data_is_refused_and_told_the_owner(running: Running) -> None:
    refused = run_process("serve", "--port", 0, "--data", running.data)

    assert refused.returncode == 4
    assert refused.stdout == ""
    [line] = refused.stderr.splitlines()
    owner = f"process {running.process.pid} on {socket.gethostname()}, serving {running.address}"
    assert f"is in use by {owner};" in line


def test_g9_a_second_service_on_the_port_is_refused_and_told_who_has_it(
    running: Running, tmp_path: Path
) -> None:
    port = running.address.rpartition(":")[2]

    refused = run_process("serve", "--port", port, "--data", tmp_path / "data")

    assert refused.returncode == 4
    assert refused.stdout == ""
    [line] = refused.stderr.splitlines()
    assert line.startswith(
        f"Error: cannot listen on {running.address}: process {running.process.pid} ("
    )
    assert line.endswith("listens there; stop it, or choose another port with --port")


def test_a_setting_out_of_range_is_refused_before_anything_is_made(tmp_path: Path) -> None:
    data = tmp_path / "data"

    refused = run_process("serve", "--data", data, environment={"GAPLESS_PORT": "99999"})

    assert refused.returncode == 2
    assert refused.stderr == (
        "Error: port (environment variable GAPLESS_PORT) is 99999;"
        " expected a whole number from 0 to 65535\n"
    )
    assert not data.exists()


def test_a_service_runs_with_every_number_at_its_largest(tmp_path: Path) -> None:
    largest = {
        name: field.metadata["maximum"]
        for name, field in FIELDS.items()
        if TYPES[name] is int and name != "port"
    }
    with SubprocessServer(directory=tmp_path, **largest) as server, server.client() as client:
        client.channels.create(channel_id="c1")
        with client.batch() as batch:
            for number in range(100):
                batch.messages.post("c1", "ann", f"text {number}")
        client.messages.post("c1", "ann", "one more")
        assert sum(1 for _message in client.messages.list("c1")) == 101
        with client.events.watch(from_start=True) as watch:
            assert next(iter(watch)).position == 1


@pytest.mark.parametrize(
    ("name", "reason"),
    [
        ("nowhere/address", "No such file or directory"),
        ("file/address", "Not a directory"),
        (".", "Is a directory"),
    ],
)
def test_an_address_file_that_cannot_be_written_is_refused_before_anything_is_made(
    name: str, reason: str, tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    data, file = tmp_path / "data", tmp_path / name

    refused = run_process("serve", "--port", 0, "--data", data, "--address-file", file)

    assert refused.returncode == 2
    assert refused.stderr == (
        f"Error: cannot write the address file {file} (--address-file): {reason};"
        " expected a file in a directory that is there and can be written\n"
    )
    assert not data.exists()


def test_a_data_directory_that_cannot_be_made_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")

    data = tmp_path / "file" / "data"

    refused = run_process("serve", "--port", 0, "--data", data)

    assert refused.returncode == 1
    assert refused.stderr == (
        f"Error: cannot start: {data}: Not a directory; the data directory is {data}, choose"
        " another with --data\n"
    )


def test_the_service_takes_as_many_file_handles_as_it_may_have(tmp_path: Path) -> None:
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    # Less than the service may have, and enough for what this process has open.
    resource.setrlimit(resource.RLIMIT_NOFILE, (min(4096, hard), hard))
    try:
        with serving("--port", 0, "--data", tmp_path / "data", directory=tmp_path) as (
            process,
            _address,
        ):
            taken = resource.prlimit(process.pid, resource.RLIMIT_NOFILE)
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))

    assert taken == (hard, hard)


def test_g8_a_commit_that_fails_ends_the_service_with_1_and_logs_no_payload(
    tmp_path: Path,
) -> None:
    with serving("--port", 0, "--data", tmp_path / "data", directory=tmp_path) as (
        process,
        address,
    ):
        with Client(address, timeout=5, max_attempts=1) as client:
            client.channels.create(channel_id="c1")
            # From now on no file of the service can grow.
            resource.prlimit(process.pid, resource.RLIMIT_FSIZE, (1, 1))
            with pytest.raises(GaplessError) as failed:
                client.messages.post("c1", "ann", "words of a message")
        code = process.wait(SECONDS_MAX)
        lines = _log_lines(process)

    assert failed.value.outcome_unknown
    assert code == 1
    [reason] = [line["reason"] for line in lines if line["event"] == "service_failed"]
    assert str(reason).startswith("namespace default: OutcomeUnknown: ")
    # The fault comes with a traceback, and that without the variables.
    assert "words of a message" not in json.dumps(lines)


def test_g8_a_commit_that_fails_ends_the_service_also_when_no_log_line_can_be_written(
    tmp_path: Path,
) -> None:
    with SubprocessServer(directory=tmp_path) as server:
        with server.client(timeout=5, max_attempts=1) as client:
            client.channels.create(channel_id="c1")
            # From now on no file can grow, and the log goes to one.
            resource.prlimit(server.pid, resource.RLIMIT_FSIZE, (1, 1))
            with pytest.raises(GaplessError):
                client.messages.post("c1", "ann", "words of a message")

        assert server.wait(SECONDS_MAX) == 1


SECRETS = ("words of a message", "value of an attribute", "p256dh key", "auth secret")


def test_at_debug_each_command_is_one_line_that_says_nothing_of_its_content(
    tmp_path: Path,
) -> None:
    words, value, key, auth = SECRETS
    with serving(
        "--port", 0, "--data", tmp_path / "data", "--log-level", "debug", directory=tmp_path
    ) as (process, address):
        with Client(address, caller="shop") as client:
            client.channels.create(channel_id="c1", request_id="r1")
            client.messages.post("c1", "ann", words, attributes={"a": value}, request_id="r2")
            client.messages.post("c1", "ann", words, attributes={"a": value}, request_id="r2")
            client.push_subscriptions.upsert(
                "ann",
                "https://push.example/1",
                p256dh_key=key.encode(),
                auth_key=auth.encode(),
                request_id="r3",
            )
            with pytest.raises(GaplessError):
                client.messages.post("nowhere", "ann", words, request_id="r4")
        process.terminate()
        lines = _log_lines(process)

    commands = [
        (line["command"], line["request_id"], line.get("position"), line.get("refused"))
        for line in lines
        if line["event"] == "command"
    ]
    assert commands == [
        ("create_channel", "r1", 1, None),
        ("post_message", "r2", 2, None),
        ("post_message", "r2", 2, None),
        ("upsert_push_subscription", "r3", 3, None),
        ("post_message", "r4", None, "CHANNEL_NOT_FOUND"),
    ]
    assert {line["caller"] for line in lines if line["event"] == "command"} == {"shop"}
    assert not [secret for secret in SECRETS if secret in json.dumps(lines)]


def test_below_debug_no_command_is_logged(tmp_path: Path) -> None:
    with serving("--port", 0, "--data", tmp_path / "data", directory=tmp_path) as (
        process,
        address,
    ):
        with Client(address) as client:
            client.channels.create(channel_id="c1")
        process.terminate()
        lines = _log_lines(process)

    assert [line["event"] for line in lines] == ["serving", "stopping", "stopped"]


def test_a_variable_that_is_no_setting_is_told_with_the_one_that_may_be_meant(
    tmp_path: Path,
) -> None:
    environment = {
        "GAPLESS_CHECKPOINT_ENTRYS": "7",
        "GAPLESS_WEB_SERVICE_HOST": "10.0.0.7",
        "GAPLESS_NAMESPACE": "story",
        "GAPLESS_GRACE_SECONDS": "3",
    }
    arguments = ("--port", 0, "--data", tmp_path / "data")
    with serving(*arguments, directory=tmp_path, environment=environment) as (process, _address):
        process.terminate()
        lines = _log_lines(process)

    assert [line["event"] for line in lines] == [
        "environment_variables_unknown",
        "serving",
        "stopping",
        "stopped",
    ]
    assert lines[0]["level"] == "warning"
    assert lines[0]["unknown"] == {
        "GAPLESS_CHECKPOINT_ENTRYS": "GAPLESS_CHECKPOINT_ENTRIES",
        "GAPLESS_WEB_SERVICE_HOST": None,
    }


def _many_large_groups() -> list[Command]:
    """Takes a service several times as long as it has to stop, in one frame."""
    return [
        Command(
            execute_batch=ExecuteBatchRequest(
                request_id=f"batch-{batch}",
                commands=[
                    Command(
                        reserve_group=ReserveGroupRequest(
                            pool_id="pool", owner_id="ann", key=f"{batch}-{number}", count=1000
                        )
                    )
                    for number in range(100)
                ],
            )
        )
        for batch in range(100)
    ]


async def test_a_service_that_cannot_stop_in_time_ends_all_the_same(tmp_path: Path) -> None:
    server = SubprocessServer(directory=tmp_path, grace_seconds=0, round_bytes_max=256 * MIB)
    await asyncio.to_thread(server.start)
    ranges = [NumberRange(first=1, last=2**40)]
    async for wire in open_wire(server.address, "busy"):
        pool = CreatePoolRequest(request_id="pool", pool_id="pool", ranges=ranges)
        await wire.run(Command(create_pool=pool))
        await wire.pipeline().send(frame(*_many_large_groups()))
        # Answered after what came before it on the connection has been taken in.
        await wire.call(
            "OperationsService/GetServerInfo", GetServerInfoRequest(), GetServerInfoResponse
        )

        os.kill(server.pid, signal.SIGTERM)
        code = await asyncio.to_thread(server.wait, SECONDS_MAX)

    assert code == 1
    assert "not_stopped_in_time" in server.log_tail()
