"""Listed reservations are written as bytes: as protobuf would write what their rows say."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from gapless.v1 import pool_reservations_pb2 as pb
from gapless_server.core.kinds.pools.ranges import Run, numbers_in, runs_of
from gapless_server.core.kinds.pools.resources import reservation_writer
from gapless_server.core.kinds.pools.tables import (
    ALL,
    PoolCounts,
    ReservationRow,
    pool_row,
    pool_tables,
)
from gapless_server.core.state import Moment
from gapless_server.core.times import timestamp_bytes, to_timestamp
from tests.core.story import KERNEL

names = st.text(st.characters(codec="utf-8"), min_size=1, max_size=128)
times = st.integers(min_value=0, max_value=2**53)
NOW = Moment(position=9, time_us=1_700_000_000_000_000, uptime_us=5_000_000)
# The last number that the pool still gives.
LAST_ALLOWED = 40


@st.composite
def rows(draw: st.DrawFn) -> ReservationRow:
    numbers = draw(st.sets(st.integers(0, 60) | st.integers(2**62, 2**63 - 1), min_size=1))
    return ReservationRow(
        runs=runs_of(sorted(numbers)),
        shape=draw(st.sampled_from([1, 2, 3])),
        base=draw(st.just(-1) | st.integers(0, 2**63 - 1)),
        position=draw(st.integers(1, 2**63 - 1)),
        create_time_us=draw(times),
        end_uptime_us=draw(st.sampled_from([0, 4_000_000, 5_000_001])),
    )


@given(st.lists(st.tuples(names, names, rows()), min_size=1, max_size=3), st.booleans())
def test_a_listed_reservation_says_what_its_row_says(
    held: list[tuple[str, str, ReservationRow]], has_outside: bool
) -> None:
    last = LAST_ALLOWED if has_outside else 2**63 - 1
    state = KERNEL.new_state()
    pool = pool_row((Run(0, last),), (), (), gap_free=False, create_time_us=1, update_time_us=1)
    pool_tables(state).pools.put(ALL, "pool", pool)
    pool_tables(state).counts.put("pool", PoolCounts(outside=1 if has_outside else 0))
    write = reservation_writer(state, "pool", NOW)

    for owner_id, key, row in held:
        numbers = numbers_in(row.runs)
        end_us = row.end_uptime_us
        said = pb.Reservation(
            pool_id="pool",
            owner_id=owner_id,
            key=key,
            numbers=numbers,
            shape=row.shape,  # type: ignore[arg-type]  # the row has the number of the enum value
            base=None if row.base < 0 else row.base,
            create_time=to_timestamp(row.create_time_us),
            position=row.position,
            expire_time=to_timestamp(NOW.time_at(end_us)) if end_us else None,
            expired=end_us == 4_000_000,
            outside_numbers=[number for number in numbers if number > last],
        )
        assert write((owner_id, key), row) == said.SerializeToString()


@given(times | st.integers(min_value=0, max_value=10**9).map(lambda seconds: seconds * 1_000_000))
def test_a_time_is_written_as_protobuf_writes_it(time_us: int) -> None:
    assert timestamp_bytes(time_us) == to_timestamp(time_us).SerializeToString()
