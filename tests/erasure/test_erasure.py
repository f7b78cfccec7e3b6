"""What is erased is nowhere any more; what stays says that it was, by whom and why."""

from __future__ import annotations

import contextlib
import json
import sqlite3
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from gapless import Client, errors
from gapless.testing import InProcessServer
from gapless.v1.commands_pb2 import ExecuteBatchRequest
from gapless.v1.commands_pb2_grpc import CommandServiceStub
from gapless_server.journal.port import digest_of
from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.verify.log_files import LogFile
from tests.cli.commands import run

NAMESPACE = "erasing"
CHANNEL = "general"
SECRET = "the-secret-of-ann"
ATTRIBUTE = "an-attribute-of-the-secret"
EDITED = "the-edited-secret-of-ann"
# A hang must end the test.
SECONDS_MAX = 20.0
_LOOK_SECONDS = 0.01


@pytest.fixture
def server(tmp_path: Path) -> Iterator[InProcessServer]:
    """A service with a short checkpoint interval, so that content lies in the checkpoint too."""
    with InProcessServer(directory=tmp_path, checkpoint_entries=10) as server:
        yield server


@pytest.fixture
def client(server: InProcessServer) -> Iterator[Client]:
    """A client, and many messages around the secret one."""
    with server.client(NAMESPACE) as client:
        client.channels.create(CHANNEL)
        for number in range(30):
            client.messages.post(CHANNEL, "bob", f"before {number}", message_id=f"b{number}")
        client.messages.post(
            CHANNEL,
            "ann",
            SECRET,
            message_id="secret",
            attributes={"note": ATTRIBUTE},
            request_id="post-secret",
        )
        client.messages.edit(CHANNEL, "secret", EDITED, request_id="edit-secret")
        for number in range(30):
            client.messages.post(CHANNEL, "bob", f"after {number}", message_id=f"a{number}")
        yield client


def redact(client: Client, message_id: str = "secret", request_id: str = "redact") -> Any:
    return client.erasures.redact_message(
        CHANNEL, message_id, "officer", reason="ann asked for it", request_id=request_id
    )


def wait_for_scrub(client: Client) -> None:
    """Returns once the service says that no file has the content any more."""
    give_up_time = time.monotonic() + SECONDS_MAX
    while client.operations.get_namespace().erasure_pending:
        assert time.monotonic() < give_up_time, "the erasure is pending for too long"
        time.sleep(_LOOK_SECONDS)  # until the service says so


def remove_checkpoints(directory: Path) -> None:
    """Leaves a stopped service nothing to start from but its logs."""
    for path in (directory / "data" / "namespaces").glob("*.state*"):
        path.unlink()


def files_with(data: Path, *texts: str) -> list[str]:
    """Returns the files below a directory that have one of the texts anywhere in their bytes."""
    return sorted(
        path.name
        for path in data.rglob("*")
        if path.is_file() and any(text.encode() in path.read_bytes() for text in texts)
    )


def test_the_content_lies_in_the_files_before(client: Client, tmp_path: Path) -> None:
    """Holds that the search below would find it."""
    found = files_with(tmp_path / "data", SECRET, EDITED, ATTRIBUTE)

    assert f"{NAMESPACE}.db-wal" in found


def test_erased_content_is_in_no_byte_of_any_file(
    client: Client, server: InProcessServer, tmp_path: Path
) -> None:
    # One large checkpoint, with a page beside the secret in it: what SQLite leaves of such a one is
    # more than the small ones after it write over.
    with client.batch() as batch:
        for number in range(300):
            batch.messages.post(CHANNEL, "bob", "long " * 100, message_id=f"s{number}")
    for _ in range(10):
        client.messages.post(CHANNEL, "bob", "short")

    redact(client)
    wait_for_scrub(client)

    assert files_with(tmp_path / "data", SECRET, EDITED, ATTRIBUTE) == []
    server.restart()
    client.channels.get(CHANNEL)
    assert files_with(tmp_path / "data", SECRET, EDITED, ATTRIBUTE) == []
    server.stop()
    assert files_with(tmp_path / "data", SECRET, EDITED, ATTRIBUTE) == []


def test_erased_content_is_out_of_reads_and_the_log_with_the_answer(client: Client) -> None:
    redact(client)

    log = [entry.message for entry in client.events.read(page_size=1000)]
    with client.events.watch(from_start=True) as watch:
        watched = [item for item, _ in zip(watch, log, strict=False)]
    for shown in (*log, *watched, client.messages.get(CHANNEL, "secret")):
        assert SECRET not in str(shown)
        assert EDITED not in str(shown)
        assert ATTRIBUTE not in str(shown)


def test_what_is_no_content_stays_and_the_erasure_is_on_record(client: Client) -> None:
    before = client.messages.get(CHANNEL, "secret")

    answer = redact(client)

    after = client.messages.get(CHANNEL, "secret")
    kept = ("sequence", "sender_id", "version", "create_time", "edit_time")
    assert [getattr(after, name) for name in kept] == [getattr(before, name) for name in kept]
    assert (after.HasField("body"), dict(after.attributes)) == (False, {})
    assert after.redact_time == answer.receipt.commit_time
    *_, last = [entry.message for entry in client.events.read(page_size=1000)]
    event = last.events[0].message_redacted
    assert (event.requested_by, event.reason) == ("officer", "ann asked for it")
    assert list(event.erased_positions) == [32, 33]


def test_g3_an_erased_command_keeps_its_answer_which_says_that_it_was_erased(
    client: Client,
) -> None:
    redact(client)

    again = client.messages.post(CHANNEL, "ann", "anything", request_id="post-secret")
    edited = client.messages.edit(CHANNEL, "secret", "anything", request_id="edit-secret")

    assert (again.sequence, again.message_id) == (31, "secret")
    assert (again.receipt.replayed, again.receipt.erased) == (True, True)
    assert (edited.version, edited.receipt.erased) == (2, True)
    with pytest.raises(errors.RequestIdReused) as refused:
        client.memberships.join(CHANNEL, "ann", request_id="post-secret")
    assert refused.value.metadata["fields"] == "command"


def test_no_digest_of_what_was_said_is_left(client: Client, tmp_path: Path) -> None:
    """A digest would give a short text away to whoever tries all short texts."""
    redact(client)

    with LogFile(tmp_path / "data" / "namespaces" / f"{NAMESPACE}.db") as log:
        stored = {
            stored.entry.request_id: stored
            for record in log.rounds()
            for stored in StoredRound.FromString(record.data).entries
        }
    for request_id in ("post-secret", "edit-secret"):
        assert (len(stored[request_id].fingerprint), stored[request_id].erased) == (1, True)


def test_g8_the_chain_still_verifies_and_an_old_receipt_still_holds(
    client: Client, server: InProcessServer, tmp_path: Path
) -> None:
    before = client.operations.get_namespace()

    redact(client)

    receipt = f"{before.head_position}:{before.chain_hash.hex()}"
    checked = run("verify", tmp_path / "data", "--expect", receipt)
    assert checked.exit_code == 0, checked.output
    server.restart()
    assert client.messages.post(CHANNEL, "ann", "later").sequence == 62


def test_g10_the_log_without_the_content_gives_the_state_that_was_served(
    client: Client, server: InProcessServer, tmp_path: Path
) -> None:
    redact(client)
    served = list(client.messages.list(CHANNEL))
    server.stop()
    remove_checkpoints(tmp_path)

    server.start()

    assert list(client.messages.list(CHANNEL)) == served


def tamper(data: Path, statement: str) -> None:
    connection = sqlite3.connect(data / "namespaces" / f"{NAMESPACE}.db")
    with contextlib.closing(connection), connection:
        assert connection.execute(statement).rowcount == 1


def test_g8_a_rewritten_round_that_is_changed_once_more_is_found_and_not_served(
    client: Client, server: InProcessServer, tmp_path: Path
) -> None:
    redact(client)
    server.stop()
    for path in (tmp_path / "data" / "namespaces").glob("*.state*"):
        path.unlink()
    tamper(
        tmp_path / "data",
        "UPDATE rounds SET data = (SELECT data FROM rounds WHERE first_position = 33)"
        " WHERE first_position = 32",
    )

    checked = run("verify", tmp_path / "data")

    assert checked.exit_code == 3
    assert "position 32: the round was rewritten, and is not what the log says" in checked.stdout
    server.start()
    with pytest.raises(errors.LogCorrupt):
        client.channels.get(CHANNEL)


def test_g8_a_round_cannot_be_passed_off_as_rewritten(
    client: Client, server: InProcessServer, tmp_path: Path
) -> None:
    server.stop()
    digest = "X'" + "00" * 32 + "'"
    tamper(tmp_path / "data", f"INSERT INTO rewritten_rounds VALUES (40, {digest})")

    checked = run("verify", tmp_path / "data")

    assert checked.exit_code == 3
    assert "positions 40 to 40: the hash is not that of these bytes" in checked.stdout


def test_g8_a_changed_round_with_the_digest_of_the_old_one_is_found_and_not_served(
    client: Client, server: InProcessServer, tmp_path: Path
) -> None:
    """The chain fits then, but nothing in the log says that the round was rewritten."""
    server.stop()
    for path in (tmp_path / "data" / "namespaces").glob("*.state*"):
        path.unlink()
    with LogFile(tmp_path / "data" / "namespaces" / f"{NAMESPACE}.db") as log:
        old = next(record for record in log.rounds() if record.first_position == 40)
    forged = old.data.replace(b"after", b"AFTER")
    assert forged != old.data
    digest = digest_of(old.data).hex()
    tamper(tmp_path / "data", f"INSERT INTO rewritten_rounds VALUES (40, X'{digest}')")
    tamper(
        tmp_path / "data", f"UPDATE rounds SET data = X'{forged.hex()}' WHERE first_position = 40"
    )

    checked = run("verify", tmp_path / "data")

    assert checked.exit_code == 3
    assert "position 40: the round was rewritten, and is not what the log says" in checked.stdout
    server.start()
    with pytest.raises(errors.LogCorrupt, match="at position 40 was rewritten"):
        client.channels.get(CHANNEL)


def test_backups_and_exports_made_from_then_on_do_not_have_it(
    client: Client, server: InProcessServer, tmp_path: Path
) -> None:
    redact(client)

    made = run("backup", tmp_path / "backup", "-a", server.address, "-n", NAMESPACE)
    exported = run("export", tmp_path / "data", "-n", NAMESPACE, "--quiet")
    restored = run("restore", tmp_path / "backup", "--data", tmp_path / "elsewhere")

    assert [made.exit_code, exported.exit_code, restored.exit_code] == [0, 0, 0]
    assert files_with(tmp_path / "backup", SECRET, EDITED, ATTRIBUTE) == []
    assert SECRET not in exported.stdout
    assert run("verify", tmp_path / "elsewhere").exit_code == 0


def test_a_tombstone_and_a_reply_can_be_erased(client: Client, tmp_path: Path) -> None:
    client.messages.delete(CHANNEL, "secret")
    client.threads.reply(CHANNEL, "b1", "ann", "a-secret-reply", message_id="reply")

    redact(client)
    redact(client, "reply", "redact-reply")

    wait_for_scrub(client)
    assert files_with(tmp_path / "data", SECRET, EDITED, "a-secret-reply") == []
    assert client.messages.get(CHANNEL, "reply").thread_sequence == 1


def test_a_message_of_a_batch_is_erased_and_its_neighbours_are_not(
    client: Client, tmp_path: Path
) -> None:
    batch = ExecuteBatchRequest(request_id="batch")
    for name, text in (("one", "batched-secret"), ("two", "batched-text")):
        post = batch.commands.add().post_message
        post.channel_id, post.sender_id, post.message_id = CHANNEL, "ann", name
        post.body.data = text.encode()
    client.stub(CommandServiceStub).ExecuteBatch(batch, metadata=client.metadata)

    redact(client, "one")

    wait_for_scrub(client)
    assert files_with(tmp_path / "data", "batched-secret") == []
    assert client.messages.get(CHANNEL, "two").body.data == b"batched-text"


@pytest.mark.parametrize("erasures", [1, 2])
def test_g10_what_a_batch_says_after_its_last_erasure_stays(
    client: Client, server: InProcessServer, tmp_path: Path, erasures: int
) -> None:
    batch = ExecuteBatchRequest(request_id="batch")
    for number in range(erasures):
        edit = batch.commands.add().edit_message
        edit.channel_id, edit.message_id = CHANNEL, "secret"
        edit.body.data = f"batched-secret {number}".encode()
        request = batch.commands.add().redact_message
        request.channel_id, request.message_id, request.requested_by = CHANNEL, "secret", "officer"
    edit = batch.commands.add().edit_message
    edit.channel_id, edit.message_id, edit.body.data = CHANNEL, "secret", b"said after it"

    client.stub(CommandServiceStub).ExecuteBatch(batch, metadata=client.metadata)

    wait_for_scrub(client)
    served = client.messages.get(CHANNEL, "secret")
    assert served.body.data == b"said after it"
    server.stop()
    assert files_with(tmp_path / "data", SECRET, EDITED, ATTRIBUTE, "batched-secret") == []
    checked = run("verify", tmp_path / "data")
    assert checked.exit_code == 0, checked.output
    remove_checkpoints(tmp_path)
    server.start()
    assert client.messages.get(CHANNEL, "secret") == served


def test_a_second_erasure_changes_nothing_until_there_is_new_content(client: Client) -> None:
    redact(client)

    again = redact(client, request_id="again")
    client.messages.edit(CHANNEL, "secret", "new")
    after_edit = redact(client, request_id="after-edit")

    assert [again.receipt.changed, after_edit.receipt.changed] == [False, True]


def test_a_message_that_is_not_there_cannot_be_erased(client: Client) -> None:
    with pytest.raises(errors.MessageNotFound):
        redact(client, "nothing")


def test_all_messages_of_a_user_are_erased_a_hundred_at_a_time(
    client: Client, tmp_path: Path
) -> None:
    for number in range(120):
        client.messages.post(CHANNEL, "cy", "something-of-cy", message_id=f"c{number}")

    first = client.erasures.redact_user(CHANNEL, "cy", "officer")
    second = client.erasures.redact_user(
        CHANNEL, "cy", "officer", after_message_id=first.next_after_message_id
    )

    wait_for_scrub(client)
    assert [len(answer.message_ids) for answer in (first, second)] == [100, 20]
    assert second.next_after_message_id == ""
    assert files_with(tmp_path / "data", "something-of-cy") == []
    assert client.messages.get(CHANNEL, "secret").body.data == EDITED.encode()


def test_an_erasure_goes_on_after_a_restart_where_a_reader_held_it_up(
    client: Client, server: InProcessServer, tmp_path: Path
) -> None:
    reader = sqlite3.connect(tmp_path / "data" / "namespaces" / f"{NAMESPACE}.db")
    reader.execute("BEGIN")
    reader.execute("SELECT count(*) FROM rounds").fetchall()

    redact(client)
    held_up = client.operations.get_namespace().erasure_pending
    reader.close()
    server.restart()
    wait_for_scrub(client)

    assert held_up
    assert files_with(tmp_path / "data", SECRET, EDITED, ATTRIBUTE) == []


def test_what_was_erased_is_imported_as_erased(
    client: Client, server: InProcessServer, tmp_path: Path
) -> None:
    redact(client)
    server.stop()
    exported = tmp_path / "log.jsonl"
    assert run("export", tmp_path / "data", "-n", NAMESPACE, "-o", exported, "-q").exit_code == 0

    imported = run("import-log", exported, "--data", tmp_path / "other", "-n", "copy", "--json")

    assert imported.exit_code == 0, imported.output
    assert json.loads(imported.stdout)["previous_position"] == 64
    assert run("verify", tmp_path / "other").exit_code == 0
