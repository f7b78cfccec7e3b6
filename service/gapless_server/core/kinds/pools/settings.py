"""Creates pools, and changes which numbers they may give."""

from __future__ import annotations

from collections.abc import Sequence

import msgspec

from gapless.v1 import errors_pb2, pools_pb2
from gapless_server.core.kernel import Context, Decision, Steps
from gapless_server.core.kinds.pools.ranges import (
    Run,
    Runs,
    holds,
    joined,
    overlap,
    runs_from,
)
from gapless_server.core.kinds.pools.rebuild import held_outside, held_runs
from gapless_server.core.kinds.pools.resources import pool_resource, range_messages
from gapless_server.core.kinds.pools.tables import (
    ALL,
    PoolCounts,
    PoolRow,
    pool_counts,
    pool_row,
    pool_tables,
    require_pool,
)
from gapless_server.core.refusals import FieldFault, Refused, invalid_field, invalid_fields
from gapless_server.core.state import State
from gapless_server.core.steps import InSteps, let_go

_UPDATABLE = ("ranges", "exclusions", "preferred_numbers")


def _checked_runs(field: str, ranges: Sequence[pools_pb2.NumberRange]) -> Runs:
    """Returns ranges as joined runs.

    Raises Refused, reason INVALID_FIELD, if one is reversed or two overlap.
    """
    faults = tuple(
        FieldFault(
            f"{field}[{index}].last", f"must be at least first, {one.first}; found {one.last}"
        )
        for index, one in enumerate(ranges)
        if one.last < one.first
    )
    if faults:
        raise invalid_fields(faults)
    runs = runs_from(ranges)
    found = overlap(runs)
    if found is not None:
        earlier, later = found
        text = f"{_text(runs[later])} overlaps {field}[{earlier}], {_text(runs[earlier])}"
        raise invalid_field(f"{field}[{later}]", text)
    return joined(runs)


def _text(run: Run) -> str:
    return f"{run.first}-{run.last}"


def _check_settings(pool: PoolRow) -> None:
    """Raises Refused, reason INVALID_FIELD, if settings do not go together."""
    if not pool.allowed:
        raise invalid_field(
            "exclusions", "leave no number of the ranges; at least one must be left"
        )
    if pool.gap_free and pool.preferred:
        text = "must be empty for a gap-free pool: it gives its numbers in order"
        raise invalid_field("preferred_numbers", text)
    faults: list[FieldFault] = []
    first_index: dict[int, int] = {}
    for index, number in enumerate(pool.preferred):
        field = f"preferred_numbers[{index}]"
        earlier = first_index.setdefault(number, index)
        if earlier != index:
            faults.append(FieldFault(field, f"repeats preferred_numbers[{earlier}], {number}"))
        if not holds(pool.allowed, number):
            text = f"must be a number that the pool may give, found {number}"
            faults.append(FieldFault(field, text))
    if faults:
        raise invalid_fields(tuple(faults))


def create_pool(state: State, command: pools_pb2.CreatePoolRequest, context: Context) -> Decision:
    """Decides CreatePool."""
    pool_id, time_us = command.pool_id, context.moment.time_us
    pool = pool_row(
        _checked_runs("ranges", command.ranges),
        _checked_runs("exclusions", command.exclusions),
        tuple(command.preferred_numbers),
        gap_free=command.gap_free,
        create_time_us=time_us,
        update_time_us=time_us,
    )
    _check_settings(pool)
    there = pool_tables(state).pools.get(ALL, pool_id)
    if there is None:
        created = pools_pb2.PoolCreated(
            pool_id=pool_id,
            ranges=range_messages(pool.ranges),
            exclusions=range_messages(pool.exclusions),
            preferred_numbers=pool.preferred,
            gap_free=pool.gap_free,
        )
        resource = pool_resource(pool_id, pool, PoolCounts())
        return Decision([created], pools_pb2.CreatePoolResponse(pool=resource))
    differing = _differing(there, pool)
    if differing:
        raise Refused(
            errors_pb2.ERROR_REASON_POOL_ALREADY_EXISTS,
            pool_id=pool_id,
            fields=", ".join(differing),
        )
    resource = pool_resource(pool_id, there, pool_counts(state, pool_id))
    return Decision([], pools_pb2.CreatePoolResponse(pool=resource))


def _differing(there: PoolRow, asked: PoolRow) -> list[str]:
    """Names the settings in which two pools differ."""
    pairs = (
        ("ranges", there.ranges, asked.ranges),
        ("exclusions", there.exclusions, asked.exclusions),
        ("preferred_numbers", there.preferred, asked.preferred),
        ("gap_free", there.gap_free, asked.gap_free),
    )
    return [name for name, old, new in pairs if old != new]


@InSteps
def update_pool(state: State, command: pools_pb2.UpdatePoolRequest, context: Context) -> Steps:
    """Decides UpdatePool."""
    paths = list(command.update_mask.paths)
    unknown = [path for path in paths if path not in _UPDATABLE]
    if unknown or not paths:
        found = ", ".join(unknown) or "nothing"
        raise invalid_field(
            "update_mask", f"must name some of {', '.join(_UPDATABLE)}; found {found}"
        )
    if "ranges" in paths and not command.ranges:
        raise invalid_field("ranges", "must have at least one item where update_mask names it")
    pool_id = command.pool_id
    old = require_pool(state, pool_id)
    pool = _updated_row(old, command, paths, context.moment.time_us)
    _check_settings(pool)
    counts = pool_counts(state, pool_id)
    if not _differing(old, pool):
        resource = pool_resource(pool_id, old, counts)
        return Decision([], pools_pb2.UpdatePoolResponse(pool=resource))
    updated = pools_pb2.PoolUpdated(
        pool_id=pool_id,
        ranges=range_messages(pool.ranges),
        exclusions=range_messages(pool.exclusions),
        preferred_numbers=pool.preferred,
    )
    held = yield from held_runs(pool_tables(state), pool_id)
    outside = yield from held_outside(held, pool)
    yield from let_go(held)
    counts = msgspec.structs.replace(counts, outside=outside)
    resource = pool_resource(pool_id, pool, counts)
    return Decision([updated], pools_pb2.UpdatePoolResponse(pool=resource))


def _updated_row(
    old: PoolRow, command: pools_pb2.UpdatePoolRequest, paths: list[str], time_us: int
) -> PoolRow:
    return pool_row(
        _checked_runs("ranges", command.ranges) if "ranges" in paths else old.ranges,
        _checked_runs("exclusions", command.exclusions)
        if "exclusions" in paths
        else old.exclusions,
        tuple(command.preferred_numbers) if "preferred_numbers" in paths else old.preferred,
        gap_free=old.gap_free,
        create_time_us=old.create_time_us,
        update_time_us=time_us,
    )
