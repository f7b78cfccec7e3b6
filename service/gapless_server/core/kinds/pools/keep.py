"""Keeps reservations for longer, or for good."""

from __future__ import annotations

import msgspec

from gapless.v1 import errors_pb2
from gapless.v1 import pool_reservations_pb2 as pb
from gapless_server.core.kernel import Context, Decision
from gapless_server.core.kinds.pools.resources import require_reservation, reservation_resource
from gapless_server.core.kinds.pools.tables import ReservationRow, require_pool
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from gapless_server.core.times import MICROSECONDS, to_timestamp

KeepCommand = pb.ConfirmReservationRequest | pb.RenewReservationRequest


def _require_live(state: State, command: KeepCommand, now_us: int) -> ReservationRow:
    """Returns a reservation that is not expired.

    Raises Refused: RESERVATION_NOT_FOUND or RESERVATION_EXPIRED.
    """
    row = require_reservation(state, command.pool_id, (command.owner_id, command.key))
    if row.expired(now_us):
        raise Refused(
            errors_pb2.ERROR_REASON_RESERVATION_EXPIRED,
            pool_id=command.pool_id,
            owner_id=command.owner_id,
            key=command.key,
            expire_time=to_timestamp(row.expire_time_us).ToJsonString(),
        )
    return row


def confirm(state: State, command: pb.ConfirmReservationRequest, context: Context) -> Decision:
    """Decides ConfirmReservation."""
    pool = require_pool(state, command.pool_id)
    now_us = context.moment.time_us
    row = _require_live(state, command, now_us)
    holder = (command.owner_id, command.key)
    kept = msgspec.structs.replace(row, expire_time_us=0)
    response = pb.ConfirmReservationResponse(
        reservation=reservation_resource(command.pool_id, pool, holder, kept, now_us)
    )
    if not row.expire_time_us:
        return Decision([], response)
    confirmed = pb.ReservationConfirmed(
        pool_id=command.pool_id, owner_id=command.owner_id, key=command.key
    )
    return Decision([confirmed], response)


def renew(state: State, command: pb.RenewReservationRequest, context: Context) -> Decision:
    """Decides RenewReservation."""
    pool = require_pool(state, command.pool_id)
    now_us = context.moment.time_us
    row = _require_live(state, command, now_us)
    holder = (command.owner_id, command.key)
    expire_time_us = now_us + command.ttl_seconds * MICROSECONDS
    if not row.expire_time_us or expire_time_us <= row.expire_time_us:
        reservation = reservation_resource(command.pool_id, pool, holder, row, now_us)
        return Decision([], pb.RenewReservationResponse(reservation=reservation))
    renewed = pb.ReservationRenewed(
        pool_id=command.pool_id,
        owner_id=command.owner_id,
        key=command.key,
        expire_time=to_timestamp(expire_time_us),
    )
    row = msgspec.structs.replace(row, expire_time_us=expire_time_us)
    reservation = reservation_resource(command.pool_id, pool, holder, row, now_us)
    return Decision([renewed], pb.RenewReservationResponse(reservation=reservation))
