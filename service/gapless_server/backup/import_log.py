"""Imports: a namespace made of an exported log, after every line of it was checked."""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable
from typing import Any, Final

from google.protobuf.json_format import ParseDict, ParseError

from gapless_server.backup.export import FORMAT, VERSION
from gapless_server.backup.faults import DamagedBackup, UnusableBackup
from gapless_server.backup.places import Place, Restored
from gapless_server.core.kernel import Kernel
from gapless_server.journal.drafts import DraftLog
from gapless_server.journal.port import Round
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.verify.recount import Recount

_INCARNATION: Final = re.compile(r"[0-9a-f]{16}")

# What a line raises that is not as an export has it.
_FAULTS: Final = (ValueError, TypeError, KeyError, ParseError, RecursionError)


def import_lines(
    lines: Iterable[str],
    place: Place,
    kernel: Kernel,
    now_us: int,
    on_progress: Callable[[int], None],
) -> Restored:
    """Makes a namespace of the lines of an export; bytes that are no text came as surrogates.

    `on_progress` is told the number of lines read. Raises UnusableBackup if the first line is
    not that of an export, or DamagedBackup, which names the line; then nothing is left.
    """
    recount = Recount(kernel)
    numbered = enumerate(lines, start=1)
    incarnation = _incarnation(next(numbered, (1, "")))
    with DraftLog(place.draft) as draft:
        reader = _RoundReader(draft)
        for number, line in numbered:
            try:
                record = reader.read(line)
            except _FAULTS as error:
                raise DamagedBackup(f"line {number}: {_described(error)}") from error
            if record is not None:
                draft.append(record)
                recount.observe(record)
            on_progress(number)
        if not reader.is_complete:
            raise DamagedBackup("the last line is missing, which says where the log ends")
        draft.name(incarnation)
        draft.finish()
    return place.take(recount.finish(), incarnation, now_us)


def _incarnation(first: tuple[int, str]) -> str:
    try:
        header = _object(first[1])
        if (header["format"], header["version"]) != (FORMAT, VERSION):
            raise ValueError(f"it is {header['format']!r} version {header['version']!r}")
        incarnation = header["incarnation"]
        if not isinstance(incarnation, str) or not _INCARNATION.fullmatch(incarnation):
            raise ValueError(f"its incarnation is {incarnation!r}, expected 16 digits in hex")
        return incarnation
    except _FAULTS as error:
        raise UnusableBackup(
            f"line 1 is not the first one of an export, which is {FORMAT!r} version {VERSION}:"
            f" {_described(error)}"
        ) from error


class _RoundReader:
    """Puts rounds together from lines; the draft's head is where the next one begins."""

    def __init__(self, draft: DraftLog) -> None:
        self._draft = draft
        self._entries: list[StoredEntry] = []
        self.is_complete = False

    def read(self, text: str) -> Round | None:
        """Takes the next line; returns a round if the line is the last one of it.

        Raises ValueError, KeyError, TypeError or ParseError for a line that cannot be right.
        """
        line = _object(text)
        if self.is_complete:
            raise ValueError("stands behind the end of the log")
        if "end" in line:
            self._end(line["end"])
            return None
        stored = ParseDict(line["stored"], StoredEntry())
        expected = self._draft.head.position + len(self._entries) + 1
        if stored.entry.position != expected:
            raise ValueError(f"has position {stored.entry.position}, expected {expected}")
        self._entries.append(stored)
        return self._round(line["round"]) if "round" in line else None

    def _round(self, described: dict[str, Any]) -> Round:
        fields = dict(described)
        chain_hash = bytes.fromhex(fields.pop("chain_hash"))
        digest = fields.pop("data_digest", None)
        stored_round = ParseDict(fields, StoredRound())
        stored_round.entries.extend(self._entries)
        record = Round(
            self._draft.head.position + 1,
            self._draft.head.position + len(self._entries),
            stored_round.SerializeToString(deterministic=True),
            chain_hash,
            None if digest is None else bytes.fromhex(digest),
        )
        if not record.follows(self._draft.head):
            raise ValueError(
                f"the chain hash is not that of positions {record.first_position} to"
                f" {record.last_position} as they stand here; a line was changed"
            )
        self._entries = []
        return record

    def _end(self, end: dict[str, Any]) -> None:
        head = self._draft.head
        if self._entries or end["position"] != head.position:
            found = head.position + len(self._entries)
            raise ValueError(f"says that the log ends at {end['position']}, it is at {found}")
        # The export of an empty log has none.
        expected = head.chain_hash.hex() if head.position else ""
        if end["chain_hash"] != expected:
            raise ValueError(
                f"says that the log ends with chain hash {end['chain_hash']!r}, it is {expected!r}"
            )
        self.is_complete = True


def _object(text: str) -> dict[str, Any]:
    """Reads a line. Raises ValueError if it is no JSON object in UTF-8."""
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("it is not UTF-8") from error
    found = json.loads(text)
    if not isinstance(found, dict):
        raise ValueError("it is not a JSON object")
    return found


def _described(error: Exception) -> str:
    return f"has no {error}" if isinstance(error, KeyError) else str(error)
