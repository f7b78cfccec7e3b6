"""G10: a log that a released version wrote gives the same state and answers, for ever."""

from __future__ import annotations

import json
import shutil
import sqlite3
from pathlib import Path
from typing import Any

import msgspec
import pytest
from google.protobuf.json_format import ParseDict

from gapless import errors
from gapless.testing import InProcessServer
from gapless.v1.commands_pb2 import Command, ExecuteRequest
from gapless.v1.commands_pb2_grpc import CommandServiceStub
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.journal.schema import FORMAT_VERSION
from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.verify.log_files import LogFile
from gapless_server.verify.recount import Recount
from tests.cli.commands import run
from tools.make_golden_log import answers, event_counts, make, moment_of, read_story

GOLDEN = Path(__file__).resolve().parent
FORMATS = sorted(path.parent.name for path in GOLDEN.glob("format-*/log.db"))
NEWEST = f"format-{FORMAT_VERSION}"

ADVICE = (
    "a version that was released reads its log otherwise now. As long as none is released that"
    " writes this format: python tools/make_golden_log.py tests/golden/<format>"
)


def expected_of(name: str) -> dict[str, Any]:
    expected: dict[str, Any] = json.loads((GOLDEN / name / "expected.json").read_text())
    return expected


def test_the_newest_format_has_a_golden_log() -> None:
    assert NEWEST in FORMATS


@pytest.mark.parametrize("name", FORMATS)
def test_g10_a_golden_log_gives_the_state_that_it_always_gave(name: str) -> None:
    expected = expected_of(name)
    recount = Recount(Kernel(KINDS))

    with LogFile(GOLDEN / name / "log.db") as log:
        for record in log.rounds():
            recount.observe(record)
    result = recount.finish()

    assert list(result.breaches) == []
    assert result.head.position == expected["head_position"]
    assert result.head.chain_hash.hex() == expected["chain_hash"], ADVICE
    assert recount.state_digest().hex() == expected["state_digest"], ADVICE


@pytest.mark.parametrize("name", FORMATS)
def test_g10_a_golden_log_gives_the_answers_that_it_always_gave(name: str) -> None:
    expected = expected_of(name)
    kernel = Kernel(KINDS)
    state = kernel.new_state()
    with LogFile(GOLDEN / name / "log.db") as log:
        rounds = list(log.rounds())

    for record in rounds:
        for stored in StoredRound.FromString(record.data).entries:
            moment = msgspec.structs.replace(moment_of(record), position=stored.entry.position)
            kernel.replay(state, stored.entry.events, moment)

    assert event_counts(rounds) == expected["events"]
    _told, queries = read_story(GOLDEN / name)
    found = answers(kernel, state, moment_of(rounds[-1]), queries)
    assert dict(enumerate(found)) == dict(enumerate(expected["answers"])), ADVICE


@pytest.mark.parametrize("name", FORMATS)
def test_g3_a_service_answers_the_commands_of_a_golden_log_as_it_did_and_goes_on_with_it(
    name: str, tmp_path: Path
) -> None:
    logs = tmp_path / "data" / "namespaces"
    logs.mkdir(parents=True)
    shutil.copy(GOLDEN / name / "log.db", logs / "golden.db")
    told, _queries = read_story(GOLDEN / name)
    head = expected_of(name)["head_position"]

    with InProcessServer(directory=tmp_path) as server, server.client("golden") as client:
        positions = []
        for line in told:
            stub = client.with_options(caller=line.get("caller") or None)
            for command in line.get("commands", ()):
                request = ExecuteRequest(command=ParseDict(command, Command()))
                answer = client.stub(CommandServiceStub).Execute(request, metadata=stub.metadata)
                result = getattr(answer.result, str(answer.result.WhichOneof("result")))
                assert result.receipt.replayed, command
                positions.append(result.receipt.position)
        after = client.messages.post("general", "ann", "after the upgrade")
    assert positions == sorted(set(positions))
    assert after.receipt.position > head
    assert run("verify", tmp_path / "data").exit_code == 0


def test_the_golden_log_of_the_newest_format_is_what_the_story_gives_today(tmp_path: Path) -> None:
    shutil.copy(GOLDEN / NEWEST / "story.jsonl", tmp_path)

    made = make(tmp_path)

    assert made == expected_of(NEWEST), ADVICE
    assert read_rounds(tmp_path / "log.db") == read_rounds(GOLDEN / NEWEST / "log.db")


def read_rounds(path: Path) -> list[Any]:
    with LogFile(path) as log:
        return list(log.rounds())


def test_a_log_of_a_newer_format_is_refused_and_left_alone(tmp_path: Path) -> None:
    logs = tmp_path / "data" / "namespaces"
    logs.mkdir(parents=True)
    log = logs / "golden.db"
    shutil.copy(GOLDEN / NEWEST / "log.db", log)
    connection = sqlite3.connect(log)
    connection.execute(f"PRAGMA user_version = {FORMAT_VERSION + 1}")
    connection.close()
    before = log.read_bytes()

    verified = run("verify", log)
    with (
        InProcessServer(directory=tmp_path) as server,
        server.client("golden", max_attempts=1) as client,
        pytest.raises(errors.LogUnavailable) as refused,
    ):
        client.channels.get("general")

    assert verified.exit_code == 2
    assert f"has format {FORMAT_VERSION + 1}" in verified.stderr
    assert f"has format {FORMAT_VERSION + 1}" in str(refused.value)
    assert log.read_bytes() == before
