"""Checkpoint files, read without owning them, against a replay of the log up to where they stand.

A checkpoint is derived, and one that is damaged is made anew at the next start. Only one that
fits its own seals and yet is not what the log gives would be served: a fault of the service.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator
from contextlib import suppress
from io import FileIO
from itertools import islice
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

import msgspec

from gapless_server.checkpoint.chunks import ChunkTable
from gapless_server.checkpoint.page_sum import NOT_AS_WRITTEN, PageSum
from gapless_server.checkpoint.port import CheckpointHead, Damaged
from gapless_server.checkpoint.request_tables import read_requests
from gapless_server.checkpoint.sqlite import OWN_TABLES, SELECT_HEAD, StoredHead, read_head
from gapless_server.core.audit import BREACHES_MAX
from gapless_server.core.keys import encode_key, split_keys
from gapless_server.core.state import PartitionedTable, State
from gapless_server.writer.requests import RequestIndex

_HAS_META: Final = "SELECT 1 FROM sqlite_schema WHERE name = 'meta'"
# What a file that is damaged, or that is none, can bring about.
_UNREADABLE = (
    sqlite3.DatabaseError,
    Damaged,
    ValueError,
    KeyError,
    TypeError,
    msgspec.MsgspecError,
)


class CheckpointFile:
    """The checkpoint beside a log, as it is at one moment; use it in a `with`.

    Open it before the log: it is never ahead of a log that is opened later.
    """

    def __init__(self, log: Path) -> None:
        self.path = log.with_suffix(".state")
        self._connection: sqlite3.Connection | None = None
        self._head: StoredHead | None = None
        self._fault = ""
        self._file: FileIO | None = None
        if not self.path.exists():
            return
        with suppress(OSError):
            # Open for as long as the connection is, whose locks would be gone when this is closed.
            self._file = self.path.open("rb", buffering=0)
        try:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            self._connection = sqlite3.connect(uri, uri=True, isolation_level=None)
            self._connection.execute("BEGIN")
            # Without a head it is being made, or was never finished, and is not there (C1).
            if self._connection.execute(_HAS_META).fetchone():
                row = self._connection.execute(SELECT_HEAD).fetchone()
                self._head = None if row is None else read_head(row[0])
        except _UNREADABLE as error:
            if getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_READONLY_ROLLBACK:
                # A process was killed while it made the file: whoever may write takes that back.
                return
            self._fault = self._breach(f"it cannot be read ({error})")

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        exc_type: type[BaseException] | None,
        exc: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if self._connection is not None:
            self._connection.close()
        if self._file is not None:
            self._file.close()

    @property
    def faults(self) -> list[str]:
        """What is wrong with it at first sight."""
        return [self._fault] if self._fault else []

    def at(self, incarnation: str) -> CheckpointHead | None:
        """Returns where it stands; None if it is not of that incarnation, or of this format."""
        if self._head is None or self._head.incarnation != incarnation:
            return None
        return self._head.at

    def differences(self, state: State, requests: RequestIndex) -> list[str]:
        """Compares it with what the log gives up to where it stands; a sentence a difference."""
        assert self._connection is not None
        assert self._head is not None
        found: list[str] = []
        try:
            stored = self._tables()
            for name, table in state.tables().items():
                found += self._row_differences(name, table, exists=name in stored)
            found += self._request_differences(requests)
            if not found and not self._has_its_pages():
                found.append(NOT_AS_WRITTEN)
        except _UNREADABLE as error:
            found.append(str(error))
        return [self._breach(text) for text in islice(found, BREACHES_MAX)]

    def _has_its_pages(self) -> bool:
        """Says whether its pages are those of its sum, which a start compares.

        Without a sum it was never finished, and is not there (C1).
        """
        if self._file is None:
            return True
        with suppress(Damaged):
            return PageSum(self.path).fits(self._file)
        return True

    def _breach(self, text: str) -> str:
        where = f" at position {self._head.at.head.position}" if self._head is not None else ""
        return (
            f"checkpoint {self.path}{where}: {text}; the log has all that is in it: stop the"
            " service, delete this file, and it is made anew"
        )

    def _tables(self) -> list[str]:
        assert self._connection is not None
        query = "SELECT name FROM sqlite_schema WHERE type = 'table'"
        return [name for (name,) in self._connection.execute(query) if name not in OWN_TABLES]

    def _row_differences(
        self, name: str, table: PartitionedTable[Any, Any, Any], *, exists: bool
    ) -> Iterator[str]:
        assert self._connection is not None
        expected = {
            encode_key(partition) + encode_key(key): row for (partition, key), row in table.items()
        }
        decode = msgspec.msgpack.Decoder(table.row_type).decode
        before = b""
        for fence, keys, stored in ChunkTable(name).chunks(self._connection) if exists else ():
            # What lies on the wrong side of a fence, or of another key, is not found there.
            if before >= fence > b"":
                yield f"{name} has the row {_named(before)} in another place than its own"
            for key, data in zip(keys, stored, strict=True):
                if key < fence or key <= before:
                    yield f"{name} has the row {_named(key)} in another place than its own"
                before = key
                row = expected.pop(key, None)
                if row is None:
                    yield f"{name} has a row {_named(key)} that the log does not give"
                elif decode(data) != row:
                    yield f"{name} has another row {_named(key)} than the log gives"
        for key in expected:
            yield f"{name} lacks the row {_named(key)} that the log gives"

    def _request_differences(self, requests: RequestIndex) -> Iterator[str]:
        assert self._connection is not None
        stored = RequestIndex()
        read_requests(self._connection, stored)
        given, found = set(requests.pairs()), set(stored.pairs())
        for _hash, position in sorted(given - found, key=_position):
            yield f"the index of request ids lacks the one of position {position}"
        for _hash, position in sorted(found - given, key=_position):
            yield f"the index of request ids has one at position {position} that the log has not"
        if stored.collided != requests.collided:
            yield "the index of request ids has other request ids of equal hashes than the log"


def _position(pair: tuple[int, int]) -> int:
    return pair[1]


def _named(key: bytes) -> str:
    """Returns a key as a person reads it."""
    with suppress(ValueError, TypeError):
        partition, within = split_keys(key)
        return repr(within) if partition == "" else f"{within!r} of {partition!r}"
    return repr(key)
