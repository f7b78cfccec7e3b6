"""Pools: hands out numbers from a range; never lets two reservations hold the same one."""

from gapless.v1 import pool_reservations_pb2 as pb
from gapless.v1 import pools_pb2
from gapless_server.core.kernel import Kind
from gapless_server.core.kinds.pools import (
    check,
    evolve,
    keep,
    queries,
    release,
    reserve,
    settings,
)
from gapless_server.core.kinds.pools.audit import PoolAuditor
from gapless_server.core.kinds.pools.tables import PoolTables

__all__ = ["KIND"]

KIND = Kind(
    name="pools",
    tables=(PoolTables,),
    commands={
        pools_pb2.CreatePoolRequest: settings.create_pool,
        pools_pb2.UpdatePoolRequest: settings.update_pool,
        pools_pb2.CleanUpPoolRequest: release.clean_up,
        reserve.ReserveNumberRequest: reserve.reserve_number,
        pb.ReserveGroupRequest: reserve.reserve_group,
        pb.ConfirmReservationRequest: keep.confirm,
        pb.RenewReservationRequest: keep.renew,
        pb.ReleaseReservationRequest: release.release,
        pb.ReleaseOwnerRequest: release.release_owner,
    },
    long_commands=(
        pools_pb2.UpdatePoolRequest,
        pools_pb2.CleanUpPoolRequest,
        reserve.ReserveNumberRequest,
        pb.ReserveGroupRequest,
        pb.ReleaseOwnerRequest,
    ),
    events={
        pools_pb2.PoolCreated: evolve.pool_created,
        pools_pb2.PoolUpdated: evolve.pool_updated,
        reserve.NumbersReserved: evolve.numbers_reserved,
        pb.ReservationConfirmed: evolve.reservation_confirmed,
        pb.ReservationRenewed: evolve.reservation_renewed,
        pb.ReservationsReleased: evolve.reservations_released,
    },
    queries={
        pools_pb2.GetPoolRequest: queries.get_pool,
        pools_pb2.ListPoolsRequest: queries.list_pools,
        pb.ListVoidNumbersRequest: queries.list_void_numbers,
    },
    timed_queries={
        pb.GetReservationRequest: queries.get_reservation,
        pb.GetNumberRequest: queries.get_number,
        pb.ListReservationsRequest: queries.list_reservations,
    },
    stepped_queries={
        pools_pb2.CheckPoolRequest: check.check_pool,
        pools_pb2.PreviewCleanUpRequest: queries.preview_clean_up,
    },
    auditors=(PoolAuditor,),
)
