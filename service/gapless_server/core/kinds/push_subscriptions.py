"""Push subscriptions: where a user's devices can be reached; one an endpoint in a namespace.

Keys are secrets: they are in state and in the answer to their own read, never in a refusal.
"""

from __future__ import annotations

import msgspec

from gapless.v1 import errors_pb2, push_subscriptions_pb2
from gapless_server.core.kernel import Context, Decision, Kind
from gapless_server.core.paging import PageLimits, fill_page, read_token
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, PartitionedTable, State, Table, UndoLog
from gapless_server.core.times import to_timestamp


class SubscriptionRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The keys of an endpoint and the write that they come from."""

    p256dh_key: bytes
    auth_key: bytes
    position: int
    update_time_us: int


class PushSubscriptionTables:
    """Whose each endpoint is, and the subscriptions by user and endpoint.

    An endpoint that has an owner has exactly one subscription, the owner's.
    """

    def __init__(self, undo: UndoLog) -> None:
        self.owners: Table[str, str] = Table(undo, str)
        self.subscriptions: PartitionedTable[str, str, SubscriptionRow] = PartitionedTable(
            undo, SubscriptionRow
        )


def _upsert(
    state: State, command: push_subscriptions_pb2.UpsertPushSubscriptionRequest, _context: Context
) -> Decision:
    response = push_subscriptions_pb2.UpsertPushSubscriptionResponse()
    subscriptions = state.of(PushSubscriptionTables).subscriptions
    row = subscriptions.get(command.user_id, command.endpoint)
    keys = (command.p256dh_key, command.auth_key)
    if row is not None and (row.p256dh_key, row.auth_key) == keys:
        return Decision([], response)
    upserted = push_subscriptions_pb2.PushSubscriptionUpserted(
        user_id=command.user_id,
        endpoint=command.endpoint,
        p256dh_key=command.p256dh_key,
        auth_key=command.auth_key,
    )
    return Decision([upserted], response)


def _remove(
    state: State, command: push_subscriptions_pb2.RemovePushSubscriptionRequest, _context: Context
) -> Decision:
    response = push_subscriptions_pb2.RemovePushSubscriptionResponse()
    if state.of(PushSubscriptionTables).owners.get(command.endpoint) == command.user_id:
        removed = push_subscriptions_pb2.PushSubscriptionRemoved(
            user_id=command.user_id, endpoint=command.endpoint
        )
        return Decision([removed], response)
    if command.fail_if_unchanged:
        raise Refused(errors_pb2.ERROR_REASON_PUSH_SUBSCRIPTION_NOT_FOUND, user_id=command.user_id)
    return Decision([], response)


def _upserted(
    state: State, event: push_subscriptions_pb2.PushSubscriptionUpserted, moment: Moment
) -> None:
    tables = state.of(PushSubscriptionTables)
    owner = tables.owners.get(event.endpoint)
    if owner is not None and owner != event.user_id:
        tables.subscriptions.delete(owner, event.endpoint)
    row = SubscriptionRow(
        p256dh_key=event.p256dh_key,
        auth_key=event.auth_key,
        position=moment.position,
        update_time_us=moment.time_us,
    )
    tables.owners.put(event.endpoint, event.user_id)
    tables.subscriptions.put(event.user_id, event.endpoint, row)


def _removed(
    state: State, event: push_subscriptions_pb2.PushSubscriptionRemoved, _moment: Moment
) -> None:
    tables = state.of(PushSubscriptionTables)
    tables.owners.delete(event.endpoint)
    tables.subscriptions.delete(event.user_id, event.endpoint)


def _list(
    state: State, request: push_subscriptions_pb2.ListPushSubscriptionsRequest, limits: PageLimits
) -> push_subscriptions_pb2.ListPushSubscriptionsResponse:
    user_id = request.user_id
    subscriptions = state.of(PushSubscriptionTables).subscriptions
    rows = subscriptions.scan(user_id, after=read_token(request, str))

    def build(endpoint: str, row: SubscriptionRow) -> push_subscriptions_pb2.PushSubscription:
        return push_subscriptions_pb2.PushSubscription(
            endpoint=endpoint,
            user_id=user_id,
            p256dh_key=row.p256dh_key,
            auth_key=row.auth_key,
            position=row.position,
            update_time=to_timestamp(row.update_time_us),
        )

    page, token = fill_page(request, limits, rows, build)
    return push_subscriptions_pb2.ListPushSubscriptionsResponse(
        subscriptions=page, next_page_token=token
    )


KIND = Kind(
    name="push_subscriptions",
    tables=(PushSubscriptionTables,),
    commands={
        push_subscriptions_pb2.UpsertPushSubscriptionRequest: _upsert,
        push_subscriptions_pb2.RemovePushSubscriptionRequest: _remove,
    },
    events={
        push_subscriptions_pb2.PushSubscriptionUpserted: _upserted,
        push_subscriptions_pb2.PushSubscriptionRemoved: _removed,
    },
    queries={push_subscriptions_pb2.ListPushSubscriptionsRequest: _list},
)
