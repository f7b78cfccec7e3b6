"""What lies beside a log is compared with it: its witness and its checkpoint (G3, G8, G10)."""

from __future__ import annotations

import json
import sqlite3
import struct
from collections.abc import Callable
from contextlib import closing
from pathlib import Path

import msgspec
import pytest

from gapless.testing import InProcessServer, SubprocessServer
from gapless_server.checkpoint.chunks import ChunkTable
from gapless_server.checkpoint.page_sum import sum_path
from gapless_server.checkpoint.seals import Sealer
from gapless_server.checkpoint.write_ahead_log import PAGE_BYTES
from gapless_server.core.keys import encode_key
from gapless_server.journal.port import Head
from gapless_server.journal.witness import Witness
from gapless_server.verify.log_files import LogFile
from tests.cli.commands import run
from tests.verify.logs import HEAD, NAMESPACE, change, copy_of, log_of

CHANNELS = "ChannelTables.channels"
# In the first byte of a page of SQLite's.
_LEAF_OF_A_TABLE = 13


@pytest.fixture
def log(data: Path, tmp_path: Path) -> Path:
    """A copy of the log, with all that lies beside it."""
    return copy_of(data, tmp_path)


def breaches(log: Path) -> list[str]:
    shown = run("verify", log, "--json")
    found: list[str] = json.loads(shown.stdout)[str(log)]["breaches"]
    assert shown.exit_code == (3 if found else 0)
    return found


def witness_of(log: Path, head: Head, incarnation: str | None = None) -> None:
    with LogFile(log) as file:
        witness = Witness(log, incarnation or file.incarnation)
    witness.write(head)
    witness.close()


def test_a_log_with_all_that_lies_beside_it_holds(log: Path) -> None:
    assert log.with_suffix(".head").exists()
    assert log.with_suffix(".state").exists()

    assert breaches(log) == []


def test_g10_the_checkpoint_of_a_running_service_is_compared_as_well(tmp_path: Path) -> None:
    with (
        SubprocessServer(directory=tmp_path, checkpoint_entries=2) as server,
        server.client(NAMESPACE) as client,
    ):
        client.channels.create(channel_id="c1")
        for number in range(9):
            client.messages.post("c1", "ann", f"text {number}")

            assert breaches(log_of(tmp_path / "data")) == []


def test_g8_a_checkpoint_from_before_an_erasure_is_no_breach(tmp_path: Path) -> None:
    """So it lies there while the erasure is pending, and after a kill at that moment."""
    with SubprocessServer(directory=tmp_path, checkpoint_entries=2) as server:
        log = log_of(tmp_path / "data")
        with server.client(NAMESPACE) as client:
            client.channels.create(channel_id="c1")
            message_id = client.messages.post("c1", "ann", "secret").message_id
        server.stop()
        sides = {path: path.read_bytes() for path in log.parent.glob(f"{log.stem}.state*")}
        server.start()
        with server.client(NAMESPACE) as client:
            client.erasures.redact_message("c1", message_id, "ann", reason="asked for")
        server.stop()

        for path, data in sides.items():
            path.write_bytes(data)

        assert breaches(log) == []


def test_a_checkpoint_that_was_being_made_when_its_service_was_killed_is_not_there(
    log: Path, tmp_path: Path
) -> None:
    """SQLite would take it back first, which nobody can who only reads."""
    other = tmp_path / "other.state"
    with closing(sqlite3.connect(other, isolation_level=None)) as half:
        half.execute("CREATE TABLE meta (key BLOB, row BLOB)")
        half.execute("PRAGMA cache_size = 1")
        half.execute("BEGIN")
        half.execute("CREATE TABLE rows AS SELECT zeroblob(100000) AS row")
        for suffix in ("", "-journal"):
            target = Path(f"{log.with_suffix('.state')}{suffix}")
            target.write_bytes(Path(f"{other}{suffix}").read_bytes())

    assert breaches(log) == []


def test_g8_a_log_that_is_shorter_than_its_witness_saw_it_is_told(log: Path) -> None:
    witness_of(log, Head(HEAD + 1, bytes(32)))

    [breach] = breaches(log)

    assert breach.startswith(f"position {HEAD + 1}: expected with chain hash 0000")
    assert breach.endswith(f"but the log ends at position {HEAD}")


def test_g8_a_log_that_is_another_than_its_witness_saw_is_told(log: Path) -> None:
    witness_of(log, Head(1, bytes(32)))

    [breach] = breaches(log)

    assert breach.startswith("position 1: the chain hash is")


def test_g8_a_log_in_the_place_of_another_is_told(log: Path) -> None:
    witness_of(log, Head(1, bytes(32)), incarnation="0123456789abcdef")

    [breach] = breaches(log)

    assert "saw incarnation 0123456789abcdef at position 1, and the log beside it" in breach


def test_g8_what_an_erasure_noted_and_is_not_so_is_told(tmp_path: Path) -> None:
    with InProcessServer(directory=tmp_path) as server, server.client(NAMESPACE) as client:
        client.channels.create("c1")
        client.messages.post("c1", "ann", "secret", message_id="m1")
        client.erasures.redact_message("c1", "m1", "root", reason="asked")
    log = log_of(tmp_path / "data")
    good = breaches(log)
    change(
        log,
        "UPDATE rewritten_rounds"
        " SET data_digest = CAST(substr(data_digest, 1, 32) || x'00' AS BLOB)",
    )

    [breach] = breaches(log)

    assert good == []
    assert breach.startswith("position 2: the round is not what the file notes")


@pytest.mark.parametrize("whole_directory", [False, True])
def test_g8_a_log_that_is_gone_is_told(log: Path, whole_directory: bool) -> None:
    log.unlink()

    shown = run("verify", log.parent.parent if whole_directory else log)

    assert shown.exit_code == 3
    assert f"says that it reached position {HEAD}" in shown.stdout.replace("\n", "")


@pytest.mark.parametrize(
    ("damage", "told"),
    [
        (f'DELETE FROM "{CHANNELS}"', "lacks the row 'c1'"),
        (f'UPDATE "{CHANNELS}" SET chunk = zeroblob(9)', "is not what was written"),
        (f"UPDATE \"{CHANNELS}\" SET fence = x'01'", "is not what was written"),
        ("DELETE FROM request_tail", "the index of request ids lacks the one of position 1"),
        ("UPDATE meta SET value = zeroblob(9)", "it cannot be read"),
    ],
)
def test_g8_a_damaged_checkpoint_is_told_with_what_is_wrong_in_it(
    log: Path, damage: str, told: str
) -> None:
    checkpoint = log.with_suffix(".state")
    change(checkpoint, damage)

    [first, *_others] = breaches(log)

    assert first.startswith(f"checkpoint {checkpoint}")
    assert told in first


def damage_beside_the_rows(checkpoint: Path) -> None:
    """Changes a byte that no row lies at: one between the cells and their pointers."""
    data = bytearray(checkpoint.read_bytes())
    for page in range(PAGE_BYTES, len(data), PAGE_BYTES):
        kind, cells, first = struct.unpack_from(">B2xHH", data, page)
        if kind == _LEAF_OF_A_TABLE and cells > 0 and 8 + 2 * cells < first:
            data[page + first - 1] ^= 0xFF
            checkpoint.write_bytes(data)
            return
    raise AssertionError("no page has room")


def test_g8_a_checkpoint_that_is_not_what_its_sum_says_is_told_though_it_has_every_row(
    log: Path,
) -> None:
    checkpoint = log.with_suffix(".state")
    damage_beside_the_rows(checkpoint)

    assert breaches(log) == [
        f"checkpoint {checkpoint} at position {HEAD}: a page is missing, of an older moment, or not"
        " what was written; the log has all that is in it: stop the service, delete this file, and"
        " it is made anew"
    ]


def test_c1_a_checkpoint_without_its_sum_was_never_finished_and_is_no_breach(log: Path) -> None:
    sum_path(log.with_suffix(".state")).unlink()

    assert breaches(log) == []


def channel_key(name: str) -> bytes:
    return encode_key("") + encode_key(name)


def with_other_rows(checkpoint: Path, change_rows: Callable[[dict[bytes, bytes]], None]) -> None:
    """Changes the rows of the channels, in a chunk that is sealed as it should be."""
    with closing(sqlite3.connect(checkpoint)) as connection:
        [(fence, keys, rows)] = ChunkTable(CHANNELS).chunks(connection)
    rows_by_key = dict(zip(keys, rows, strict=True))
    change_rows(rows_by_key)
    chunk = msgspec.msgpack.encode((list(rows_by_key), list(rows_by_key.values())))
    sealed = Sealer(CHANNELS).sealed(fence, chunk)
    change(checkpoint, f'UPDATE "{CHANNELS}" SET chunk = ?', sealed)


def exchange_c1(rows: dict[bytes, bytes]) -> None:
    rows[channel_key("c1")] = rows[channel_key("c2")]


def lose_c2(rows: dict[bytes, bytes]) -> None:
    del rows[channel_key("c2")]


def add_c3(rows: dict[bytes, bytes]) -> None:
    rows[channel_key("c3")] = rows[channel_key("c2")]


def move_c1(rows: dict[bytes, bytes]) -> None:
    rows[channel_key("c1")] = rows.pop(channel_key("c1"))


@pytest.mark.parametrize(
    ("change_rows", "told"),
    [
        (exchange_c1, "has another row 'c1' than the log gives"),
        (lose_c2, "lacks the row 'c2' that the log gives"),
        (add_c3, "has a row 'c3' that the log does not give"),
        (move_c1, "has the row 'c1' in another place than its own"),
    ],
)
def test_g10_a_chunk_that_is_sealed_and_yet_not_what_the_log_gives_is_told(
    log: Path, change_rows: Callable[[dict[bytes, bytes]], None], told: str
) -> None:
    checkpoint = log.with_suffix(".state")
    with_other_rows(checkpoint, change_rows)

    [first, *_others] = breaches(log)

    assert first.startswith(f"checkpoint {checkpoint}")
    assert f"{CHANNELS} {told}" in first
