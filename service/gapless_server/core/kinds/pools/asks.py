"""What a reservation asks for: taken from a command, and compared with what is held."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gapless.v1 import pool_reservations_pb2 as pb
from gapless_server.core.kinds.pools.ranges import NUMBER_MAX, numbers_in, size
from gapless_server.core.kinds.pools.tables import PoolRow, ReservationRow
from gapless_server.core.refusals import FieldFault, Refused, invalid_field, invalid_fields

# A text names at most this many offsets.
_OFFSETS_SHOWN_MAX = 8

SINGLE = pb.RESERVATION_SHAPE_SINGLE
ANY = pb.RESERVATION_SHAPE_ANY
CONTIGUOUS = pb.RESERVATION_SHAPE_CONTIGUOUS
OFFSETS = pb.RESERVATION_SHAPE_OFFSETS


class Ask(msgspec.Struct, frozen=True, gc=False):
    """What is to be reserved. -1 stands for "not given"."""

    shape: pb.ReservationShape.ValueType
    count: int
    preferred: int = -1
    only_preferred: bool = False
    offsets: tuple[int, ...] = ()  # in order
    base: int = -1

    def matches(self, row: ReservationRow) -> bool:
        """Says whether a reservation is what this asks for."""
        if row.shape != self.shape or size(row.runs) != self.count:
            return False
        if self.shape == OFFSETS:
            return self.base in (-1, row.base) and self.offsets == _offsets_of(row)
        return not self.only_preferred or self.preferred == row.runs[0].first

    def named(self) -> Sequence[int]:
        """Returns the numbers that alone will do, if it is so."""
        if self.base >= 0:
            return [self.base + offset for offset in self.offsets]
        return [self.preferred] if self.only_preferred else []

    def describe(self) -> str:
        """Returns what is asked for, for a text."""
        if self.only_preferred:
            return f"number {self.preferred}"
        return _describe(self.shape, self.count, self.offsets, self.base)


def describe_row(row: ReservationRow) -> str:
    """Returns what a reservation is, for a text."""
    if row.shape == SINGLE:
        return f"number {row.runs[0].first}"
    offsets = _offsets_of(row) if row.shape == OFFSETS else ()
    return _describe(row.shape, size(row.runs), offsets, row.base)


def _describe(shape: int, count: int, offsets: tuple[int, ...], base: int) -> str:
    if shape == SINGLE:
        return "one number"
    if shape == ANY:
        return f"a group of {count} numbers"
    if shape == CONTIGUOUS:
        return f"a contiguous group of {count} numbers"
    shown = ", ".join(str(offset) for offset in offsets[:_OFFSETS_SHOWN_MAX])
    more = ", ..." if len(offsets) > _OFFSETS_SHOWN_MAX else ""
    where = "a free base" if base < 0 else f"base {base}"
    return f"a group of {count} numbers at offsets {shown}{more} from {where}"


def _offsets_of(row: ReservationRow) -> tuple[int, ...]:
    return tuple(number - row.base for number in numbers_in(row.runs))


def ask_for_number(command: pb.ReserveNumberRequest, pool: PoolRow) -> Ask:
    """Returns what a command asks for. Raises Refused, reason INVALID_FIELD."""
    preferred = command.preferred_number if command.HasField("preferred_number") else -1
    if command.only_preferred and preferred < 0:
        raise invalid_field("preferred_number", "is required where only_preferred is set")
    if pool.gap_free and preferred >= 0:
        raise _not_for_gap_free("preferred_number", command.pool_id)
    return Ask(SINGLE, 1, preferred, command.only_preferred)


def ask_for_group(command: pb.ReserveGroupRequest, pool: PoolRow) -> Ask:
    """Returns what a command asks for. Raises Refused, reason INVALID_FIELD."""
    if not command.offsets:
        if not command.count:
            raise invalid_field("count", "must be at least 1 where no offsets are given, found 0")
        if command.HasField("base"):
            raise invalid_field("base", "needs offsets to count from it")
        return Ask(CONTIGUOUS if command.contiguous else ANY, command.count)
    if command.count:
        raise invalid_field("count", "must be 0 where offsets are given: they say how many")
    if command.contiguous:
        raise invalid_field("contiguous", "must not be set where offsets are given")
    if pool.gap_free:
        raise _not_for_gap_free("offsets", command.pool_id)
    base = command.base if command.HasField("base") else -1
    _check_offsets(command.offsets, max(base, 0))
    return Ask(OFFSETS, len(command.offsets), offsets=tuple(sorted(command.offsets)), base=base)


def _check_offsets(offsets: Sequence[int], base: int) -> None:
    """Raises Refused, reason INVALID_FIELD, naming every offset that is not as it must be."""
    faults: list[FieldFault] = []
    first_index: dict[int, int] = {}
    for index, offset in enumerate(offsets):
        earlier = first_index.setdefault(offset, index)
        if earlier != index:
            text = f"repeats offsets[{earlier}], {offset}; offsets must be different"
            faults.append(FieldFault(f"offsets[{index}]", text))
        if base + offset > NUMBER_MAX:
            text = f"leads from base {base} beyond the largest number, {NUMBER_MAX}: found {offset}"
            faults.append(FieldFault(f"offsets[{index}]", text))
    if faults:
        raise invalid_fields(tuple(faults))


def _not_for_gap_free(field: str, pool_id: str) -> Refused:
    text = f"must not be given for pool {pool_id}: it is gap-free and gives its numbers in order"
    return invalid_field(field, text)
