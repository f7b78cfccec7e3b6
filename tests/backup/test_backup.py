"""`gapless backup` and `gapless restore`: what was acknowledged comes back, as another history."""

from __future__ import annotations

import hashlib
import json
import sqlite3
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Self

import grpc
import pytest

from gapless import Client, Entry, errors
from gapless.testing import InProcessServer, SubprocessServer
from gapless.v1.commands_pb2 import Command, ExecuteRequest
from gapless.v1.commands_pb2_grpc import CommandServiceStub
from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import AcquireLockRequest, LockGuard
from gapless.v1.locks_pb2_grpc import LockServiceStub
from tests.cli.commands import run
from tests.verify.logs import NAMESPACE, change

# How many commands a client that keeps the service busy must have had acknowledged before the
# backup begins.
ACKNOWLEDGED_MIN = 200


@pytest.fixture(scope="module")
def backup(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A backup of a namespace; not to be changed."""
    directory = tmp_path_factory.mktemp("backup")
    with InProcessServer(directory=directory / "server") as server:
        with server.client(NAMESPACE) as client:
            client.channels.create("c1", request_id="r1")
            client.messages.post("c1", "ann", "one", message_id="m1", request_id="r2")
        back_up(server, directory / "backup")
    return directory / "backup"


def back_up(server: InProcessServer | SubprocessServer, folder: Path) -> dict[str, object]:
    shown = run("backup", folder, "-a", server.address, "-n", NAMESPACE, "--json")
    assert shown.exit_code == 0, shown.output
    manifest: dict[str, object] = json.loads(shown.stdout)
    return manifest


def restore(folder: Path, data: Path, *more: str) -> dict[str, object]:
    shown = run("restore", folder, "--data", data, "--json", *more)
    assert shown.exit_code == 0, shown.output
    restored: dict[str, object] = json.loads(shown.stdout)
    return restored


class BusyClient:
    """Posts from a thread until it is stopped, and knows what was acknowledged."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.acknowledged: list[str] = []
        self.enough = threading.Event()
        self._stop = threading.Event()
        self._thread = threading.Thread(target=self._run)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        while not self._stop.is_set():
            request_id = f"busy-{len(self.acknowledged)}"
            self._client.messages.post("c1", "ann", "x" * 500, request_id=request_id)
            self.acknowledged.append(request_id)
            if len(self.acknowledged) >= ACKNOWLEDGED_MIN:
                self.enough.set()


@pytest.fixture
def busy(tmp_path: Path) -> Iterator[tuple[SubprocessServer, BusyClient]]:
    """A service in a process of its own, and a client that keeps it busy."""
    with (
        SubprocessServer(directory=tmp_path / "server") as server,
        server.client(NAMESPACE) as client,
    ):
        client.channels.create("c1", request_id="create")
        with BusyClient(client) as poster:
            assert poster.enough.wait(60)
            yield server, poster


def test_c3_a_backup_under_load_restored_elsewhere_has_all_that_was_acknowledged_before(
    busy: tuple[SubprocessServer, BusyClient], tmp_path: Path
) -> None:
    server, poster = busy
    before = list(poster.acknowledged)

    manifest = back_up(server, tmp_path / "backup")
    restored = restore(tmp_path / "backup", tmp_path / "elsewhere")

    # The service was written to all the while, and the copy is a prefix of what it has.
    with server.client(NAMESPACE) as client:
        lived = [entry.message for entry in client.events.read(page_size=1000)]
    with (
        InProcessServer(directory=tmp_path, data=tmp_path / "elsewhere") as elsewhere,
        elsewhere.client(NAMESPACE) as client,
    ):
        *copied, last = [entry.message for entry in client.events.read(page_size=1000)]
    assert len(lived) > len(copied) >= len(before) + 1
    assert [entry.position for entry in copied] == list(range(1, len(copied) + 1))
    assert copied == lived[: len(copied)]
    assert set(before) <= {entry.request_id for entry in copied}
    assert last.events[0].log_restored.previous_incarnation == manifest["incarnation"]
    checked = run("verify", tmp_path / "elsewhere", "--expect", receipt(manifest))
    assert checked.exit_code == 0, checked.output
    assert restored["previous_position"] == manifest["head_position"] == len(copied)


def receipt(manifest: dict[str, object]) -> str:
    return f"{manifest['head_position']}:{manifest['chain_hash']}"


def test_g3_a_request_that_was_answered_before_the_backup_has_the_same_answer_after_the_restore(
    backup: Path, tmp_path: Path
) -> None:
    restore(backup, tmp_path / "data")

    with InProcessServer(directory=tmp_path) as server, server.client(NAMESPACE) as client:
        again = client.messages.post("c1", "ann", "one", message_id="m1", request_id="r2")
        next_one = client.messages.post("c1", "ann", "two")

    assert (again.sequence, again.receipt.position, again.receipt.replayed) == (1, 2, True)
    # Position 3 is the restore itself.
    assert (next_one.sequence, next_one.receipt.position) == (2, 4)


@pytest.mark.parametrize("handled", [1, 2])
def test_g6_a_cursor_of_before_the_restore_is_told_that_the_log_is_another(
    tmp_path: Path, handled: int
) -> None:
    """Also if only the first entries of a page or a message were handled."""
    with InProcessServer(directory=tmp_path / "old") as server, server.client(NAMESPACE) as client:
        client.channels.create("c1")
        client.channels.create("c2")
        cursor = list(client.events.read())[handled - 1].cursor
        back_up(server, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "data")

    with InProcessServer(directory=tmp_path) as server, server.client(NAMESPACE) as client:
        with pytest.raises(errors.CursorReset), client.events.watch(cursor=cursor) as watch:
            next(iter(watch))
        with pytest.raises(errors.CursorReset):
            list(client.events.read(cursor=cursor))


def test_a_position_of_before_the_restore_that_is_gone_is_refused_and_not_waited_for_for_ever(
    backup: Path, tmp_path: Path
) -> None:
    restored = restore(backup, tmp_path / "data")

    with (
        InProcessServer(directory=tmp_path, min_position_seconds_max=0.05) as server,
        server.client(NAMESPACE) as client,
        pytest.raises(errors.PositionNotReached) as refused,
    ):
        client.with_options(min_position=1_000_000).channels.get("c1")

    assert refused.value.metadata["incarnation"] == restored["incarnation"]
    assert refused.value.metadata["head_position"] == "3"


def test_a_namespace_can_come_back_under_another_name(backup: Path, tmp_path: Path) -> None:
    for name in ("first", "second"):
        restore(backup, tmp_path / "data", "--namespace", name)

    with InProcessServer(directory=tmp_path) as server, server.client() as client:
        assert list(client.operations.list_namespaces()) == ["first", "second"]
        incarnations = {
            client.with_namespace(name).operations.get_namespace().incarnation
            for name in ("first", "second")
        }
    assert len(incarnations) == 2


def test_a_namespace_that_exists_is_never_restored_over(backup: Path, tmp_path: Path) -> None:
    restored = restore(backup, tmp_path)

    refused = run("restore", backup, "--data", tmp_path)

    assert refused.exit_code == 2
    assert f"namespace {NAMESPACE} exists" in refused.stderr
    [found] = json.loads(run("verify", tmp_path, "--json").stdout).values()
    assert found["incarnation"] == restored["incarnation"]


def test_g9_a_running_service_keeps_its_data_to_itself(backup: Path, tmp_path: Path) -> None:
    with InProcessServer(directory=tmp_path):
        refused = run("restore", backup, "--data", tmp_path / "data")

    assert refused.exit_code == 4
    assert "is in use by process" in refused.stderr


def damage(backup: Path, directory: Path) -> Path:
    folder = directory / "damaged"
    folder.mkdir()
    for name in ("manifest.json", "log.db"):
        (folder / name).write_bytes((backup / name).read_bytes())
    return folder


def test_g8_a_backup_with_a_flipped_bit_is_refused_and_nothing_is_left(
    backup: Path, tmp_path: Path
) -> None:
    folder = damage(backup, tmp_path)
    data = bytearray((folder / "log.db").read_bytes())
    data[-1] ^= 1
    (folder / "log.db").write_bytes(data)

    refused = run("restore", folder, "--data", tmp_path / "data")

    assert refused.exit_code == 3
    assert "the manifest says" in refused.stderr
    assert [path.name for path in (tmp_path / "data").rglob("*") if path.is_file()] == [
        "owner.lock"
    ]


def test_g8_a_backup_whose_log_was_changed_and_manifest_made_to_fit_is_refused(
    backup: Path, tmp_path: Path
) -> None:
    folder = damage(backup, tmp_path)
    change(
        folder / "log.db",
        "UPDATE rounds SET data = CAST(data || x'00' AS BLOB) WHERE first_position = 2",
    )
    forge_manifest(folder)

    refused = run("restore", folder, "--data", tmp_path / "data")

    assert refused.exit_code == 3
    assert "positions 2 to 2: the hash is not that of these bytes" in refused.stderr


def test_g8_a_backup_that_is_shorter_than_its_manifest_says_is_refused(
    backup: Path, tmp_path: Path
) -> None:
    folder = damage(backup, tmp_path)
    change(folder / "log.db", "DELETE FROM rounds WHERE first_position = 2")
    forge_manifest(folder)

    refused = run("restore", folder, "--data", tmp_path / "data")

    assert refused.exit_code == 3
    assert "ends at position 1" in refused.stderr


def forge_manifest(folder: Path) -> None:
    data = (folder / "log.db").read_bytes()
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["size_bytes"] = len(data)
    manifest["file_hash"] = hashlib.blake2b(data, digest_size=32).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))


def test_a_backup_in_a_newer_format_is_refused_by_an_older_program(
    backup: Path, tmp_path: Path
) -> None:
    folder = damage(backup, tmp_path)
    connection = sqlite3.connect(folder / "log.db")
    connection.execute("PRAGMA user_version = 99")
    connection.close()
    forge_manifest(folder)

    refused = run("restore", folder, "--data", tmp_path / "data")

    assert refused.exit_code == 2
    assert "has format 99" in refused.stderr


def test_a_backup_is_there_whole_or_not_at_all(tmp_path: Path) -> None:
    with InProcessServer(directory=tmp_path / "server") as server:
        refused = run("backup", tmp_path / "backup", "-a", server.address, "-n", "nobody")

    assert refused.exit_code == 1
    assert "nobody" in refused.stderr
    assert not (tmp_path / "backup").exists()


def test_a_backup_never_overwrites(backup: Path) -> None:
    refused = run("backup", backup)

    assert refused.exit_code == 2
    assert "is there already" in refused.stderr


def test_the_memory_journal_says_that_it_cannot_be_backed_up(tmp_path: Path) -> None:
    with (
        InProcessServer(directory=tmp_path, journal="memory") as server,
        server.client(NAMESPACE) as client,
    ):
        client.channels.create("c1")
        with pytest.raises(errors.BackupNotSupported):
            list(client.operations.backup_namespace())


def test_what_a_killed_process_left_of_a_copy_is_gone_after_the_next_start(tmp_path: Path) -> None:
    leftover = tmp_path / "data" / "drafts" / "story.0123456789abcdef"
    leftover.parent.mkdir(parents=True)
    leftover.write_bytes(b"half of a copy")

    with InProcessServer(directory=tmp_path):
        assert not leftover.exists()


def test_a_copy_has_no_name_while_it_is_sent(tmp_path: Path) -> None:
    with InProcessServer(directory=tmp_path) as server, server.client(NAMESPACE) as client:
        client.channels.create("c1")
        parts = client.operations.backup_namespace()
        assert next(iter(parts)).manifest.head_position == 1

        assert list((tmp_path / "data" / "drafts").iterdir()) == []


def test_a_copied_log_is_watched_like_any_other(backup: Path, tmp_path: Path) -> None:
    restore(backup, tmp_path / "data")

    with (
        InProcessServer(directory=tmp_path) as server,
        server.client(NAMESPACE) as client,
        client.events.watch(from_start=True) as watch,
    ):
        seen = [item for item, _ in zip(watch, range(3), strict=False)]

    assert [item.position for item in seen if isinstance(item, Entry)] == [1, 2, 3]


def test_g11_a_lock_of_before_the_restore_is_free_and_its_token_neither_works_nor_comes_again(
    tmp_path: Path,
) -> None:
    request = AcquireLockRequest(lock_id="deck", holder_id="ann", ttl_seconds=3600)
    with InProcessServer(directory=tmp_path / "old") as server, server.client(NAMESPACE) as client:
        client.channels.create("c1")
        request.request_id = "first"
        first = client.stub(LockServiceStub).AcquireLock(request, metadata=client.metadata)
        back_up(server, tmp_path / "backup")
    restore(tmp_path / "backup", tmp_path / "data")

    with InProcessServer(directory=tmp_path) as server, server.client(NAMESPACE) as client:
        with pytest.raises(grpc.RpcError) as refused:
            post_under(client, first.lock.fencing_token)
        request.request_id = "second"
        second = client.stub(LockServiceStub).AcquireLock(request, metadata=client.metadata)
        post_under(client, second.lock.fencing_token)

    assert refused.value.code() is grpc.StatusCode.FAILED_PRECONDITION
    assert second.lock.fencing_token > first.lock.fencing_token


def post_under(client: Client, fencing_token: int) -> None:
    command = Command(guards=[Guard(lock=LockGuard(lock_id="deck", fencing_token=fencing_token))])
    command.post_message.request_id = f"post-{fencing_token}"
    command.post_message.channel_id, command.post_message.sender_id = "c1", "ann"
    request = ExecuteRequest(command=command)
    client.stub(CommandServiceStub).Execute(request, metadata=client.metadata)
