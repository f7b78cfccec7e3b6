"""Keeps reservations for longer, or for good."""

from __future__ import annotations

import msgspec

from gapless.v1 import errors_pb2
from gapless.v1 import pool_reservations_pb2 as pb
from gapless_server.core.kernel import Context, Decision
from gapless_server.core.kinds.pools.resources import require_reservation, reservation_resource
from gapless_server.core.kinds.pools.tables import ReservationRow, require_pool
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.times import MICROSECONDS, to_timestamp

KeepCommand = pb.ConfirmReservationRequest | pb.RenewReservationRequest


def _require_live(state: State, command: KeepCommand, now: Moment) -> ReservationRow:
    """Returns a reservation that is not expired.

    Raises Refused: RESERVATION_NOT_FOUND or RESERVATION_EXPIRED.
    """
    row = require_reservation(state, command.pool_id, (command.owner_id, command.key))
    if row.expired(now.uptime_us):
        raise Refused(
            errors_pb2.ERROR_REASON_RESERVATION_EXPIRED,
            pool_id=command.pool_id,
            owner_id=command.owner_id,
            key=command.key,
            expire_time=to_timestamp(now.time_at(row.end_uptime_us)).ToJsonString(),
        )
    return row


def confirm(state: State, command: pb.ConfirmReservationRequest, context: Context) -> Decision:
    """Decides ConfirmReservation."""
    require_pool(state, command.pool_id)
    now = context.moment
    row = _require_live(state, command, now)
    holder = (command.owner_id, command.key)
    kept = msgspec.structs.replace(row, end_uptime_us=0)
    response = pb.ConfirmReservationResponse(
        reservation=reservation_resource(state, command.pool_id, holder, kept, now)
    )
    if not row.end_uptime_us:
        return Decision([], response)
    confirmed = pb.ReservationConfirmed(
        pool_id=command.pool_id, owner_id=command.owner_id, key=command.key
    )
    return Decision([confirmed], response)


def renew(state: State, command: pb.RenewReservationRequest, context: Context) -> Decision:
    """Decides RenewReservation."""
    require_pool(state, command.pool_id)
    now = context.moment
    row = _require_live(state, command, now)
    holder = (command.owner_id, command.key)
    end_uptime_us = now.uptime_us + command.ttl_seconds * MICROSECONDS
    if not row.end_uptime_us or end_uptime_us <= row.end_uptime_us:
        reservation = reservation_resource(state, command.pool_id, holder, row, now)
        return Decision([], pb.RenewReservationResponse(reservation=reservation))
    renewed = pb.ReservationRenewed(
        pool_id=command.pool_id,
        owner_id=command.owner_id,
        key=command.key,
        expire_time=to_timestamp(now.time_at(end_uptime_us)),
    )
    row = msgspec.structs.replace(row, end_uptime_us=end_uptime_us)
    reservation = reservation_resource(state, command.pool_id, holder, row, now)
    return Decision([renewed], pb.RenewReservationResponse(reservation=reservation))
