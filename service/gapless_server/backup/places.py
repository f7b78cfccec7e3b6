"""Places for logs that are to be: in a data directory that no service has open."""

from __future__ import annotations

import asyncio
import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from gapless.v1.events_pb2 import Entry, Event
from gapless.v1.restores_pb2 import LogRestored
from gapless_server.backup.faults import DamagedBackup, PlaceTaken, UnusableBackup
from gapless_server.core.times import to_timestamp
from gapless_server.journal.copies import new_draft
from gapless_server.journal.drafts import DraftLog
from gapless_server.journal.port import Head, Round, next_round
from gapless_server.journal.sqlite import sync_directory
from gapless_server.journal.sqlite_store import NAMESPACE_PATTERN, SqliteJournalStore
from gapless_server.journal.witness import witness_path
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.verify.recount import Result

# How a second process is told who has the data directory meanwhile.
_ADDRESS: Final = "nobody: a log is being restored"
# Of a log that breaks promises so many are told at once.
_BREACHES_TOLD: Final = 3


@dataclass(frozen=True, slots=True)
class Restored:
    """A log that has got its place."""

    namespace: str
    path: Path
    previous_incarnation: str
    incarnation: str
    previous_head: Head
    head: Head
    """One entry further: the restore itself is on record."""


class Place:
    """Where the log of one namespace is to be. Nothing is there until `take` has returned."""

    def __init__(self, store: SqliteJournalStore, namespace: str) -> None:
        self.namespace = namespace
        self.draft = new_draft(store.drafts, namespace)
        self._path = store.path(namespace)

    def take(self, checked: Result, previous_incarnation: str, now_us: int) -> Restored:
        """Makes the draft, which was recounted, the log of the namespace.

        It gets a new incarnation, and an entry that says so. Raises DamagedBackup if the log
        breaks a promise.
        """
        if checked.breaches:
            told = "; ".join(checked.breaches[:_BREACHES_TOLD])
            raise DamagedBackup(f"the log breaks {len(checked.breaches)} promises: {told}")
        incarnation = secrets.token_hex(8)
        with DraftLog(self.draft) as draft:
            # Times never decrease in a log (G11), whatever the clock of this machine says.
            time_us = max(now_us, checked.head_time_us)
            draft.append(
                restored_round(draft.head, previous_incarnation, time_us, checked.head_uptime_us)
            )
            draft.name(incarnation)
            head = draft.head
            draft.finish()
        self.draft.rename(self._path)
        sync_directory(self._path.parent)
        return Restored(
            self.namespace, self._path, previous_incarnation, incarnation, checked.head, head
        )


@contextmanager
def place_for(data: Path, namespace: str) -> Iterator[Place]:
    """Owns a data directory, and gives the place for a namespace that it does not have.

    Raises OwnedElsewhere if a service runs there, PlaceTaken if the namespace exists, or
    UnusableBackup if the name is none.
    """
    if not NAMESPACE_PATTERN.fullmatch(namespace):
        raise UnusableBackup(
            f"{namespace!r} is not a name of a namespace: it must match {NAMESPACE_PATTERN.pattern}"
        )
    store = SqliteJournalStore(data, _ADDRESS)
    try:
        path = store.path(namespace)
        # A write-ahead log without its database would be taken for that of the new one, and a
        # witness would tell that another log has taken the place of its own.
        sides = (path.with_name(f"{path.name}{suffix}") for suffix in ("-wal", "-shm", "-journal"))
        for file in (path, *sides, witness_path(path)):
            if file.exists():
                raise PlaceTaken(
                    f"namespace {namespace} exists: {file} is there; restore under another name"
                    " with --namespace, or move its files away"
                )
        place = Place(store, namespace)
        try:
            yield place
        finally:
            for leftover in place.draft.parent.glob(f"{place.draft.name}*"):
                leftover.unlink()
    finally:
        asyncio.run(store.close())


def restored_round(head: Head, previous_incarnation: str, time_us: int, uptime_us: int) -> Round:
    """Returns the round that says that a log, which ends at `head`, was restored."""
    position = head.position + 1
    event = LogRestored(previous_incarnation=previous_incarnation, previous_position=head.position)
    entry = Entry(
        position=position,
        commit_time=to_timestamp(time_us),
        events=[Event(log_restored=event)],
    )
    stored = StoredRound(entries=[StoredEntry(entry=entry)], uptime_us=uptime_us)
    data = stored.SerializeToString(deterministic=True)
    return next_round(head, position, data)
