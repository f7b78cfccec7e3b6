"""Chooses what a reservation that finds no room sweeps. Changes nothing."""

from __future__ import annotations

from collections.abc import Generator, Iterable, Iterator
from typing import Final

from gapless_server.core.kinds.pools.ranges import all_within
from gapless_server.core.kinds.pools.release import (
    RELEASED_RESERVATIONS_MAX,
    Ending,
    bounded,
    expired_ending,
)
from gapless_server.core.kinds.pools.tables import (
    PoolRow,
    PoolTables,
    holder_of,
    pool_tables,
)
from gapless_server.core.state import State

# So many that have expired are looked at for some that help: others hold nothing that the pool
# still gives.
EXPIRED_SEEN_MAX: Final = 10_000
# So many reservations are looked for, maybe on the disk, without a pause.
_LOOKS_BETWEEN_PAUSES: Final = 50

# Endings, and None where there may be a pause.
_Endings = Iterator[Ending | None]


def sweep(
    state: State, pool_id: str, pool: PoolRow, named: Iterable[int], uptime_us: int
) -> Generator[None, None, list[Ending]]:
    """Returns what an automatic sweep ends, within the bound of one command.

    First who holds one of the numbers `named`, then what gives numbers back, then the rest; of
    either what expired first, first.
    """
    tables = pool_tables(state)
    found: dict[tuple[str, str], Ending] = {}
    for endings in (
        _of_numbers(tables, pool_id, named, uptime_us),
        _by_age(tables, pool_id, pool, uptime_us),
    ):
        for ending in endings:
            if ending is None:
                yield
            else:
                found.setdefault(ending.holder, ending)
                if len(found) == RELEASED_RESERVATIONS_MAX:
                    return bounded(found.values())
    return bounded(found.values())


def _of_numbers(tables: PoolTables, pool_id: str, named: Iterable[int], uptime_us: int) -> _Endings:
    for looks, number in enumerate(named, start=1):
        holder = holder_of(tables, pool_id, number)
        if holder is not None:
            ending = expired_ending(tables, pool_id, holder)
            if ending.row.expired(uptime_us):
                yield ending
        if looks % _LOOKS_BETWEEN_PAUSES == 0:
            yield None


def _by_age(tables: PoolTables, pool_id: str, pool: PoolRow, uptime_us: int) -> _Endings:
    useless: list[Ending] = []
    looks = 0
    for due in tables.expiries.scan_in_steps(pool_id):
        if due is None:
            yield None
            continue
        end_uptime_us, owner_id, key = due[0]
        if end_uptime_us > uptime_us or looks == EXPIRED_SEEN_MAX:
            break
        ending = expired_ending(tables, pool_id, (owner_id, key))
        if all_within(ending.row.runs, pool.allowed):
            yield ending
        elif len(useless) < RELEASED_RESERVATIONS_MAX:
            useless.append(ending)
        looks += 1
        if looks % _LOOKS_BETWEEN_PAUSES == 0:
            yield None
    yield from useless
