"""Recounts the holdings of locks."""

from __future__ import annotations

from dataclasses import dataclass

from google.protobuf.message import Message

from gapless.v1 import locks_pb2, restores_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment
from gapless_server.core.times import MICROSECONDS


@dataclass
class _Holding:
    holder_id: str
    fencing_token: int
    end_uptime_us: int


class LockAuditor(Auditor):
    """Recounts that a lock has one holder at a time, under a token that was never used.

    1. Every fencing token is larger than all before it in the namespace.
    2. A lock is acquired only while it is free; it is renewed, released and expires only under
       the token and for the holder that it has.
    3. No lock expires before its time to live is over, in uptime (G11).
    """

    def __init__(self) -> None:
        super().__init__()
        self._newest_token = 0
        self._holdings: dict[str, _Holding] = {}

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        match event:
            case locks_pb2.LockAcquired():
                self._acquired(event, moment)
            case locks_pb2.LockRenewed():
                holding = self._holding(event, "is renewed", moment)
                if holding is not None:
                    holding.end_uptime_us = _end_us(event, moment)
            case locks_pb2.LockReleased():
                self._holding(event, "is released", moment)
                self._holdings.pop(event.lock_id, None)
            case locks_pb2.LockExpired():
                self._expired(event, moment)
            case restores_pb2.LogRestored():
                self._holdings.clear()

    def _acquired(self, event: locks_pb2.LockAcquired, moment: Moment) -> None:
        lock_id, token = event.lock_id, event.fencing_token
        if token <= self._newest_token:
            self.breach(moment, f"lock {lock_id}: token {token} follows {self._newest_token}")
        held = self._holdings.get(lock_id)
        if held is not None:
            self.breach(moment, f"lock {lock_id} is acquired while {held.holder_id} holds it")
        self._newest_token = max(token, self._newest_token)
        self._holdings[lock_id] = _Holding(event.holder_id, token, _end_us(event, moment))

    def _expired(self, event: locks_pb2.LockExpired, moment: Moment) -> None:
        holding = self._holding(event, "expires", moment)
        self._holdings.pop(event.lock_id, None)
        if holding is not None and moment.uptime_us < holding.end_uptime_us:
            early_us = holding.end_uptime_us - moment.uptime_us
            self.breach(moment, f"lock {event.lock_id} expires {early_us} us early")

    def _holding(
        self,
        event: locks_pb2.LockRenewed | locks_pb2.LockReleased | locks_pb2.LockExpired,
        what: str,
        moment: Moment,
    ) -> _Holding | None:
        """Returns what is known of the holding that an event is about."""
        holding = self._holdings.get(event.lock_id)
        asked = (event.holder_id, event.fencing_token)
        found = None if holding is None else (holding.holder_id, holding.fencing_token)
        if asked == found:
            return holding
        self.breach(moment, f"lock {event.lock_id} {what} by {asked}, held by {found}")
        return None


def _end_us(event: locks_pb2.LockAcquired | locks_pb2.LockRenewed, moment: Moment) -> int:
    return moment.uptime_us + event.ttl_seconds * MICROSECONDS
