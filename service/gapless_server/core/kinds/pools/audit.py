"""Recounts pools: who holds which number, in the range in force, and in order where it matters."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Sequence

from google.protobuf.message import Message

from gapless.v1 import pool_reservations_pb2 as pb
from gapless.v1 import pools_pb2
from gapless_server.core.audit import Auditor
from gapless_server.core.state import Moment
from gapless_server.core.times import from_timestamp


class _Reservation:
    """What the auditor knows of a reservation."""

    def __init__(self, event: pb.NumbersReserved, moment: Moment) -> None:
        self.numbers = list(event.numbers)
        self.end_uptime_us = _end_us(event, moment) if event.HasField("expire_time") else 0


class _Pool:
    """What the auditor knows of a pool."""

    def __init__(self, *, gap_free: bool) -> None:
        self.gap_free = gap_free
        self.ranges: list[tuple[int, int]] = []
        self.exclusions: list[tuple[int, int]] = []
        self.last_number = -1
        self.holders: dict[int, tuple[str, str]] = {}
        self.reservations: dict[tuple[str, str], _Reservation] = {}

    def set_range(self, event: pools_pb2.PoolCreated | pools_pb2.PoolUpdated) -> None:
        self.ranges = [(one.first, one.last) for one in event.ranges]
        self.exclusions = [(one.first, one.last) for one in event.exclusions]

    def may_give(self, number: int) -> bool:
        return _inside(self.ranges, number) and not _inside(self.exclusions, number)

    def next_number(self) -> int | None:
        """Returns the smallest number above the last one that the pool may give."""
        candidates = [max(first, self.last_number + 1) for first, _ in self.ranges]
        after_exclusions = [last + 1 for _, last in self.exclusions]
        candidates += [number for number in after_exclusions if number > self.last_number]
        return min((number for number in candidates if self.may_give(number)), default=None)


def _inside(ranges: Sequence[tuple[int, int]], number: int) -> bool:
    """Says whether a number lies in one of the ranges, which are in order."""
    index = bisect_right(ranges, number, key=lambda one: one[0])
    return index > 0 and number <= ranges[index - 1][1]


def _end_us(event: pb.NumbersReserved | pb.ReservationRenewed, moment: Moment) -> int:
    return moment.uptime_at(from_timestamp(event.expire_time))


class PoolAuditor(Auditor):
    """Recounts who holds which number of which pool.

    1. A number is held by one reservation at a time.
    2. A number that is given lies in the range in force at its position.
    3. A reservation ends as a whole, once, and expires no earlier than it said, in uptime (G11).
    4. A gap-free pool gives its numbers in order, none twice and none left out.
    """

    def __init__(self) -> None:
        super().__init__()
        self._pools: dict[str, _Pool] = {}

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        match event:
            case pools_pb2.PoolCreated():
                self._created(event, moment)
            case pools_pb2.PoolUpdated() if pool := self._known(event.pool_id, moment):
                pool.set_range(event)
            case pb.NumbersReserved() if pool := self._known(event.pool_id, moment):
                self._reserved(pool, event, moment)
            case pb.ReservationConfirmed() if pool := self._known(event.pool_id, moment):
                self._kept(pool, event, 0, moment)
            case pb.ReservationRenewed() if pool := self._known(event.pool_id, moment):
                self._kept(pool, event, _end_us(event, moment), moment)
            case pb.ReservationsReleased() if pool := self._known(event.pool_id, moment):
                for ended in event.reservations:
                    self._ended(event.pool_id, pool, ended, moment)

    def _known(self, pool_id: str, moment: Moment) -> _Pool | None:
        pool = self._pools.get(pool_id)
        if pool is None:
            self.breach(moment, f"pool {pool_id} was never created")
        return pool

    def _created(self, event: pools_pb2.PoolCreated, moment: Moment) -> None:
        if event.pool_id in self._pools:
            self.breach(moment, f"pool {event.pool_id} is created again")
        pool = self._pools[event.pool_id] = _Pool(gap_free=event.gap_free)
        pool.set_range(event)

    def _reserved(self, pool: _Pool, event: pb.NumbersReserved, moment: Moment) -> None:
        holder = (event.owner_id, event.key)
        name = f"pool {event.pool_id}: owner {event.owner_id}, key {event.key}"
        if holder in pool.reservations:
            self.breach(moment, f"{name} reserves while holding a reservation")
        for number in event.numbers:
            other = pool.holders.get(number)
            if other is not None:
                self.breach(moment, f"{name} is given {number}, held by {other[0]}, key {other[1]}")
            if not pool.may_give(number):
                self.breach(moment, f"{name} is given {number}, which is not in the range in force")
            if pool.gap_free:
                expected = pool.next_number()
                if number != expected:
                    self.breach(moment, f"{name} is given {number}, the next was {expected}")
                pool.last_number = max(pool.last_number, number)
            pool.holders[number] = holder
        pool.reservations[holder] = _Reservation(event, moment)

    def _kept(
        self,
        pool: _Pool,
        event: pb.ReservationConfirmed | pb.ReservationRenewed,
        end_uptime_us: int,
        moment: Moment,
    ) -> None:
        reservation = pool.reservations.get((event.owner_id, event.key))
        name = f"pool {event.pool_id}: the reservation of owner {event.owner_id}, key {event.key}"
        if reservation is None:
            self.breach(moment, f"{name} is kept and is not there")
            return
        if 0 < reservation.end_uptime_us <= moment.uptime_us:
            self.breach(moment, f"{name} is kept after it had expired")
        reservation.end_uptime_us = end_uptime_us

    def _ended(
        self, pool_id: str, pool: _Pool, ended: pb.ReleasedReservation, moment: Moment
    ) -> None:
        holder = (ended.owner_id, ended.key)
        name = f"pool {pool_id}: the reservation of owner {ended.owner_id}, key {ended.key}"
        reservation = pool.reservations.pop(holder, None)
        if reservation is None:
            self.breach(moment, f"{name} ends and is not there")
            return
        if reservation.numbers != list(ended.numbers):
            self.breach(moment, f"{name} ends with other numbers than it was given")
        expired = 0 < reservation.end_uptime_us <= moment.uptime_us
        if ended.cause == pb.RELEASE_CAUSE_EXPIRED and not expired:
            self.breach(moment, f"{name} ends as expired before its time was over")
        for number in reservation.numbers:
            pool.holders.pop(number, None)
