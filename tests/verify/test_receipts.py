"""A head that a client was told is a receipt: history before it cannot be changed unnoticed."""

from __future__ import annotations

from pathlib import Path

from gapless.testing import InProcessServer
from gapless_server.storage.v1.storage_pb2 import StoredRound
from tests.cli.commands import run
from tests.verify.logs import NAMESPACE, change, log_of, rounds_of, with_round


def forge(log: Path, position: int) -> None:
    """Rewrites one event, and every hash after it, as somebody would who wants it unnoticed."""

    def edit(stored: StoredRound) -> None:
        stored.entries[0].entry.events[0].message_posted.body.data = b"never said"

    for record in with_round(rounds_of(log), position, edit):
        change(
            log,
            "UPDATE rounds SET data = ?, chain_hash = ? WHERE first_position = ?",
            record.data,
            record.chain_hash,
            record.first_position,
        )
    for suffix in (".head", ".state"):
        log.with_suffix(suffix).unlink()


def test_g8_a_receipt_holds_for_ever_and_tells_a_history_that_was_forged(tmp_path: Path) -> None:
    with InProcessServer(directory=tmp_path) as server, server.client(NAMESPACE) as client:
        client.channels.create("c1")
        client.messages.post("c1", "ann", "said", message_id="m1")
        client.messages.post("c1", "ann", "said as well", message_id="m2")
        told = client.operations.get_namespace()
        receipt = f"{told.head_position}:{told.chain_hash.hex()}"
        client.messages.post("c1", "ann", "later")
        client.erasures.redact_message("c1", "m1", "root", reason="asked")
    log = log_of(tmp_path / "data")

    honest = run("verify", log, "--expect", receipt)
    forge(log, position=3)
    forged = run("verify", log)
    forged_with_receipt = run("verify", log, "--expect", receipt)

    assert honest.exit_code == 0, honest.stdout
    assert forged.exit_code == 0, forged.stdout
    assert forged_with_receipt.exit_code == 3
    assert "this is not the log that it was told of" in forged_with_receipt.stdout
