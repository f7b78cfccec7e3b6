"""A log that goes on while it is recounted: what is erased from it meanwhile is no breach."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

import pytest

from gapless import Client
from gapless.testing import SubprocessServer
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.journal.port import Round, digest_of
from gapless_server.storage.v1.storage_pb2 import RewrittenRound, StoredRound
from gapless_server.verify.checkpoint_files import CheckpointFile
from gapless_server.verify.log_files import LogFile
from gapless_server.verify.recount import Recount
from gapless_server.writer.erasure import Attestations
from tests.verify.logs import NAMESPACE, log_of

# More than one look at the file takes.
ROUNDS = 100
# In a round of the first look, and in one of a later look.
EARLY, LATE = "m3", "m90"


class Running(NamedTuple):
    """A log that a service has open, each round with two messages, and a client of the service."""

    log: Path
    client: Client

    def erase(self, message_id: str) -> None:
        self.client.erasures.redact_message("c1", message_id, "root", reason="asked for")


@pytest.fixture
def running(tmp_path: Path) -> Iterator[Running]:
    with (
        SubprocessServer(directory=tmp_path, checkpoint_entries=20) as server,
        server.client(NAMESPACE) as client,
    ):
        client.channels.create(channel_id="c1")
        for number in range(ROUNDS):
            with client.batch() as batch:
                for message_id in (f"m{number}", f"n{number}"):
                    batch.messages.post("c1", "ann", "text", message_id=message_id)
        yield Running(log_of(tmp_path / "data"), client)


def recounted(running: Running, *erased: str) -> tuple[str, ...]:
    """Recounts a log of which messages are erased once a first look was taken at it."""
    recount = Recount(Kernel(KINDS))
    with CheckpointFile(running.log) as checkpoint, LogFile(running.log) as log:
        recount.compare(checkpoint, log.incarnation)
        steps = recount.observe_log(log)
        next(steps)
        for message_id in erased:
            running.erase(message_id)
        assert list(steps)[-1] == log.last_position
    return recount.finish().breaches


@pytest.mark.parametrize("message_id", [EARLY, LATE])
def test_g8_what_is_erased_while_a_log_is_recounted_is_no_breach(
    running: Running, message_id: str
) -> None:
    assert recounted(running, message_id) == ()


@pytest.mark.parametrize("message_id", [EARLY, LATE])
def test_g8_nor_is_what_is_erased_from_a_round_that_was_rewritten_before(
    running: Running, message_id: str
) -> None:
    running.erase(message_id)

    assert recounted(running, message_id.replace("m", "n")) == ()


@pytest.mark.parametrize(("attested", "wrong"), [(b"as it is", []), (b"another", [1])])
def test_g8_a_rewritten_round_must_be_what_one_of_the_erasures_says(
    attested: bytes, wrong: list[int]
) -> None:
    attestations = Attestations()
    attestations.observe(Round(1, 1, b"as it is", bytes(32), bytes(32)), StoredRound())

    later = RewrittenRound(first_position=1, data_digest=digest_of(attested))
    attestations.observe_later(StoredRound(rewritten=[later]))

    assert attestations.wrong() == wrong
