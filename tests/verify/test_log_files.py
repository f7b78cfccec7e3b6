"""Log files are read without owning them, and never taken for shorter than they are."""

from __future__ import annotations

import fcntl
import os
import shutil
import sqlite3
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from gapless.testing import SubprocessServer
from gapless_server.journal.drafts import DraftLog
from gapless_server.journal.port import Corrupt, JournalError, Round, next_round
from gapless_server.journal.schema import PAGE_BYTES
from gapless_server.verify.log_files import LogFile, find_logs
from tests.verify.logs import HEAD, NAMESPACE, change, copy_of, log_of, rounds_of

# The first byte of a page of a table that holds rows.
TABLE_LEAF = 0x0D
NOBODY = 65_534  # a user with no rights of its own

needs_root = pytest.mark.skipif(os.getuid() != 0, reason="changing the user needs root")


def test_the_logs_of_a_data_directory_are_found_and_a_file_is_one(data: Path) -> None:
    log = log_of(data)

    assert find_logs(data) == [log]
    assert find_logs(log) == [log]


@pytest.mark.parametrize("made", [True, False])
def test_a_place_without_logs_is_refused(tmp_path: Path, made: bool) -> None:
    place = tmp_path / "data"
    if made:
        place.mkdir()

    with pytest.raises(JournalError, match="holds no log; expected a data directory"):
        find_logs(place)


def test_a_log_tells_its_name_its_incarnation_and_its_end(data: Path) -> None:
    with LogFile(log_of(data)) as log:
        assert (log.name, log.last_position) == (NAMESPACE, HEAD)
        assert len(log.incarnation) == 16


def test_g9_reading_the_log_of_a_running_service_takes_nothing_from_it(tmp_path: Path) -> None:
    with SubprocessServer(directory=tmp_path) as server, server.client(NAMESPACE) as client:
        client.channels.create(channel_id="c1")
        before = rounds_of(log_of(tmp_path / "data"))
        client.messages.post("c1", "ann", "text")
        after = rounds_of(log_of(tmp_path / "data"))

    assert [record.last_position for record in before] == [1]
    assert [record.last_position for record in after] == [1, 2]


def test_g2_a_log_whose_service_was_killed_is_read_to_its_end(tmp_path: Path) -> None:
    server = SubprocessServer(directory=tmp_path)
    with server, server.client(NAMESPACE) as client:
        client.channels.create(channel_id="c1")
        client.messages.post("c1", "ann", "text")
        server.kill()
        found = rounds_of(log_of(tmp_path / "data"))

    assert [record.last_position for record in found] == [1, 2]


def test_what_is_committed_after_the_opening_is_another_recounts(tmp_path: Path) -> None:
    with SubprocessServer(directory=tmp_path) as server, server.client(NAMESPACE) as client:
        client.channels.create(channel_id="c1")
        with LogFile(log_of(tmp_path / "data")) as log:
            client.messages.post("c1", "ann", "text")
            found = list(log.rounds())

    assert [record.last_position for record in found] == [1]


def test_a_file_that_is_no_database_is_corrupt(tmp_path: Path) -> None:
    path = tmp_path / "some.db"
    path.write_bytes(b"not a database, and longer than a header is" * 100)

    with pytest.raises(Corrupt, match="cannot be read"):
        LogFile(path)


def test_a_database_that_is_not_ours_is_refused(data: Path, tmp_path: Path) -> None:
    log = copy_of(data, tmp_path)
    _set_pragma(log, "application_id", 1)

    with pytest.raises(JournalError, match="is not a log of gapless"):
        LogFile(log)


def test_a_log_of_a_newer_format_is_refused(data: Path, tmp_path: Path) -> None:
    log = copy_of(data, tmp_path)
    _set_pragma(log, "user_version", 99)

    with pytest.raises(JournalError, match="has format 99, this version reads format"):
        LogFile(log)


def test_a_database_page_that_is_damaged_is_corrupt(data: Path, tmp_path: Path) -> None:
    log = copy_of(data, tmp_path)
    with log.open("r+b") as file:
        file.seek(PAGE_BYTES)
        file.write(b"\xff" * (log.stat().st_size - PAGE_BYTES))

    with pytest.raises(Corrupt, match="cannot be read"):
        rounds_of(log)


def test_g8_a_log_whose_pages_lead_back_to_older_ones_is_not_read_for_ever(
    tmp_path: Path,
) -> None:
    log = tmp_path / "one.db"
    with DraftLog(log) as draft:
        for position in range(1, 200):
            draft.append(next_round(draft.head, position, bytes(500)))
        draft.name("0123456789abcdef")
        draft.finish()
    content = bytearray(log.read_bytes())
    leaves = [at for at in range(0, len(content), PAGE_BYTES) if content[at] == TABLE_LEAF]
    older, newer = leaves[2], leaves[-2]
    content[newer : newer + PAGE_BYTES] = content[older : older + PAGE_BYTES]
    log.write_bytes(content)

    with pytest.raises(Corrupt, match="its pages are out of order"):
        rounds_of(log)


def test_g8_no_round_is_overlooked_because_another_lies_about_its_positions(
    data: Path, rounds: list[Round], tmp_path: Path
) -> None:
    log = copy_of(data, tmp_path)
    change(log, "UPDATE rounds SET first_position = first_position + 100 WHERE first_position < 3")

    found = rounds_of(log)

    assert len(found) == len(rounds)
    assert [record.last_position for record in found[-2:]] == [1, 2]


@needs_root
def test_a_log_where_nothing_can_be_written_is_read(data: Path) -> None:
    with _readable_by_all(data) as log:
        assert _read_as_nobody(log) == str(list(range(1, HEAD + 1)))


@needs_root
def test_g9_a_log_where_nothing_can_be_written_is_refused_while_a_service_has_it(
    data: Path,
) -> None:
    with _readable_by_all(data) as log, log.open("rb") as owned:
        fcntl.flock(owned, fcntl.LOCK_EX)

        assert "belongs to a running service" in _read_as_nobody(log)


@needs_root
def test_g8_a_log_is_not_read_without_the_entries_that_lie_beside_it(data: Path) -> None:
    with _readable_by_all(data) as log:
        log.with_name(f"{log.name}-wal").write_bytes(b"newest entries")

        assert f"has its newest entries in {log.name}-wal" in _read_as_nobody(log)


def _set_pragma(log: Path, name: str, value: int) -> None:
    connection = sqlite3.connect(log)
    connection.execute(f"PRAGMA {name} = {value}")
    connection.close()


_READ = """
import os, sys, urllib.parse  # pathlib imports it late, and nobody may not read where it lies
from pathlib import Path
from gapless_server.journal.port import JournalError
from gapless_server.verify.log_files import LogFile
os.setuid(int(sys.argv[2]))
try:
    with LogFile(Path(sys.argv[1])) as log:
        print([record.last_position for record in log.rounds()])
except JournalError as error:
    print(error)
"""


@contextmanager
def _readable_by_all(data: Path) -> Iterator[Path]:
    """Copies the log to where any user can read it, and only root can write."""
    with tempfile.TemporaryDirectory() as directory:
        Path(directory).chmod(0o755)
        log = Path(shutil.copy(log_of(data), directory))
        log.chmod(0o644)
        yield log


def _read_as_nobody(log: Path) -> str:
    """Reads the log as a user that can write nothing near it; returns what was printed."""
    command = [sys.executable, "-c", _READ, log, str(NOBODY)]
    read = subprocess.run(command, capture_output=True, text=True, check=True)
    return read.stdout.strip()
