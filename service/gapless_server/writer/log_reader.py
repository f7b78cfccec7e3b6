"""Reads the durable log of an open namespace: from the feed where it can, else from the journal."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable

import structlog

from gapless.v1 import errors_pb2
from gapless_server.core.refusals import Refused
from gapless_server.journal.port import Corrupt, Journal, JournalError, NoRoom, Round
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.feed import CommittedRound, Feed

_log = structlog.get_logger()


async def round_at(journal: Journal, position: int) -> Round:
    """Returns the durable round that holds a position. Raises Corrupt."""
    async for record in journal.read(position):
        return record
    raise Corrupt(f"no round holds position {position}")


class LogReader:
    """Reads the log for those who answer clients. Raises Refused."""

    def __init__(
        self, name: str, journal: Journal, feed: Feed, head_position: Callable[[], int]
    ) -> None:
        self._name = name
        self._journal = journal
        self._feed = feed
        self._head_position = head_position

    async def entries_at(self, position: int) -> dict[int, StoredEntry]:
        """Returns the entries, by position, of the durable round that holds `position`."""
        try:
            record = await round_at(self._journal, position)
        except JournalError as error:
            raise self.refusal(error) from error
        stored_round = StoredRound.FromString(record.data)
        return {stored.entry.position: stored for stored in stored_round.entries}

    async def rounds_from(self, position: int) -> AsyncIterator[CommittedRound]:
        """Yields the durable rounds from the one that holds `position` on, up to the head."""
        while position <= self._head_position():
            recent = self._feed.rounds_from(position)
            if recent:
                for committed in recent:
                    yield committed
                    position = committed.record.last_position + 1
                continue
            try:
                async for record in self._journal.read(position):
                    yield CommittedRound(record)
                    position = record.last_position + 1
                    if self._feed.rounds_from(position) is not None:
                        break
            except JournalError as error:
                raise self.refusal(error) from error

    def refusal(self, error: JournalError) -> Refused:
        """Returns what is answered instead of what can not be read or written."""
        return journal_refusal(self._name, error)


def journal_refusal(name: str, error: JournalError) -> Refused:
    """Returns what is answered where a log is damaged, has no room, or is not to be had now."""
    if isinstance(error, Corrupt):
        _log.critical("log_corrupt", namespace=name, description=str(error))
        return Refused(errors_pb2.ERROR_REASON_LOG_CORRUPT, namespace=name, description=error)
    if isinstance(error, NoRoom):
        _log.error("disk_full", namespace=name, description=str(error))
        return disk_full(name)
    _log.error("log_unavailable", namespace=name, description=str(error))
    return Refused(
        errors_pb2.ERROR_REASON_LOG_UNAVAILABLE,
        retry_after_seconds=1.0,
        namespace=name,
        description=error,
    )


def disk_full(name: str) -> Refused:
    """Returns what is answered while there is no room for a round."""
    return Refused(errors_pb2.ERROR_REASON_DISK_FULL, retry_after_seconds=1.0, namespace=name)
