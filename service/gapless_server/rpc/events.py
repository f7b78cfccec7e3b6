"""EventService: the log as a stream, by page, and by request id."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass

import grpc
import grpc.aio
from google.protobuf.message import Message

from gapless.v1 import errors_pb2
from gapless.v1.events_pb2 import (
    DESCRIPTOR,
    CaughtUp,
    Entries,
    Entry,
    GetRequestRequest,
    GetRequestResponse,
    Heartbeat,
    ReadEventsRequest,
    ReadEventsResponse,
    Reset,
    WatchRequest,
    WatchResponse,
)
from gapless_server.core.paging import PageLimits, page_items
from gapless_server.core.refusals import Refused, invalid_field
from gapless_server.core.times import to_timestamp
from gapless_server.core.wire import VARINTS, bytes_tag, field
from gapless_server.journal.port import Corrupt
from gapless_server.rpc.calls import CallScope, ServicerContext, scope_of
from gapless_server.rpc.cursors import Cursor, read_cursor, write_cursor
from gapless_server.rpc.fanout import Fanout
from gapless_server.rpc.filters import SLICE_ENTRIES, Filter, without_secrets
from gapless_server.rpc.parsing import parse
from gapless_server.rpc.status import abort
from gapless_server.rpc.streams import StreamGate
from gapless_server.rpc.unary import unary_handler
from gapless_server.writer.breath import Breath
from gapless_server.writer.clock import Clock
from gapless_server.writer.entries import receipt_of, result_of
from gapless_server.writer.feed import CommittedRound
from gapless_server.writer.log_reader import journal_refusal
from gapless_server.writer.namespace import Namespace
from gapless_server.writer.namespaces import Namespaces

SERVICE = DESCRIPTOR.services_by_name["EventService"]

_CURSOR = bytes_tag(WatchResponse.CURSOR_FIELD_NUMBER)
_ENTRIES = bytes_tag(WatchResponse.ENTRIES_FIELD_NUMBER)
_START_CURSOR = bytes_tag(Entries.START_CURSOR_FIELD_NUMBER)

# A response of a stream is sent once it holds so much; below gRPC's 4 MiB for a message, also
# with one slice, and in it one entry of the largest size, on top: see rpc/sizes.py.
RESPONSE_BYTES = 1024 * 1024
# After so many entries a search for what a filter wants shows that it is not dead.
SCANNED_ENTRIES = 1000


@dataclass(frozen=True, slots=True)
class WatchLimits:
    """How streams of events behave; settings of the service."""

    heartbeat_seconds: float = 5.0
    streams_max: int = 1000
    responses_per_second_max: int = 2000
    # How many entries one page looks through at most, so that a narrow filter ends in time.
    scan_entries_max: int = 10_000


class EventServicer:
    """Answers EventService."""

    def __init__(
        self, namespaces: Namespaces, clock: Clock, limits: WatchLimits, pages: PageLimits
    ) -> None:
        self._namespaces = namespaces
        self._clock = clock
        self._limits = limits
        self._pages = pages
        self._gate = StreamGate("watch", limits.streams_max)
        self._fanout = Fanout(
            limits.responses_per_second_max, lambda: namespaces.sharing.round_under_way
        )

    def handlers(self) -> grpc.GenericRpcHandler:
        """Returns the handlers of the service."""
        return grpc.method_handlers_generic_handler(
            SERVICE.full_name,
            {
                "Watch": grpc.unary_stream_rpc_method_handler(self._watch),
                "ReadEvents": unary_handler(ReadEventsRequest, self._read_events),
                "GetRequest": unary_handler(GetRequestRequest, self._get_request),
            },
        )

    def stop(self) -> None:
        """Ends every stream with the reason SHUTTING_DOWN."""
        self._fanout.stop()

    async def _watch(self, data: bytes, context: ServicerContext) -> AsyncIterator[bytes]:
        try:
            scope = scope_of(context)
            request = parse(WatchRequest, data)
            self._namespaces.kernel.validator.check(request)
            wanted = Filter(request.filter)
            with self._gate:
                async with self._namespaces.use(scope.namespace) as namespace:
                    start = _start(request, namespace)
                    if start.incarnation != namespace.incarnation:
                        yield _reset(namespace).SerializeToString()
                        return
                    async for response in self._responses(namespace, start.position, wanted):
                        yield response
                    raise Refused(errors_pb2.ERROR_REASON_SHUTTING_DOWN, retry_after_seconds=1.0)
        except Refused as refusal:
            await abort(context, refusal)

    async def _responses(
        self, namespace: Namespace, position: int, wanted: Filter
    ) -> AsyncIterator[bytes]:
        """Yields the log from after `position` on, until the service stops, as WatchResponses.

        The seam between what is there and what comes: `position` is all that a stream remembers,
        and each turn asks for everything after it, from memory or from disk.
        """
        catch_up_to = namespace.head.position
        caught_up = False
        pulse = _Pulse(self._limits.heartbeat_seconds)
        while not self._fanout.stopped():
            if not caught_up and position >= catch_up_to:
                caught_up = True
                pulse.beat()
                yield WatchResponse(
                    cursor=_cursor(namespace, position), caught_up=CaughtUp(position=position)
                ).SerializeToString()
            if pulse.is_due:
                pulse.beat()
                yield self._heartbeat(namespace, position).SerializeToString()
            if position >= namespace.head.position:
                await self._fanout.news(namespace.feed, pulse.seconds_left)
                continue
            is_first = True
            async for entries, reached in _handfuls(namespace, position, wanted):
                if not is_first:
                    await self._fanout.turn()
                    if self._fanout.stopped():
                        return
                is_first = False
                start_cursor = _cursor(namespace, position, in_part=True)
                position = reached
                if entries:
                    pulse.beat()
                    yield _with_entries(entries, start_cursor, _cursor(namespace, position))
                if pulse.is_due or (not caught_up and position >= catch_up_to):
                    break

    def _heartbeat(self, namespace: Namespace, position: int) -> WatchResponse:
        return WatchResponse(
            cursor=_cursor(namespace, position),
            heartbeat=Heartbeat(position=position, time=to_timestamp(self._clock.now_us())),
        )

    async def _read_events(self, request: Message, scope: CallScope) -> Message:
        assert isinstance(request, ReadEventsRequest)
        self._namespaces.kernel.validator.check(request)
        wanted = Filter(request.filter)
        async with self._namespaces.use(scope.namespace) as namespace:
            await namespace.reached(scope.min_position)
            cursor = Cursor(namespace.incarnation, 0)
            if request.cursor:
                cursor = _given_cursor(request.cursor, namespace)
            if cursor.incarnation != namespace.incarnation:
                raise Refused(
                    errors_pb2.ERROR_REASON_CURSOR_RESET,
                    cursor_incarnation=cursor.incarnation,
                    incarnation=namespace.incarnation,
                )
            items_max = page_items(request.page_size, self._pages)
            entries, position = await self._page(namespace, cursor.position, wanted, items_max)
            return ReadEventsResponse(
                entries=entries,
                start_cursor=_cursor(namespace, cursor.position, in_part=True),
                cursor=_cursor(namespace, position),
                end_of_log=position >= namespace.head.position,
            )

    async def _page(
        self, namespace: Namespace, position: int, wanted: Filter, items_max: int
    ) -> tuple[list[Entry], int]:
        entries: list[Entry] = []
        size_bytes = 0
        scan_to = position + self._limits.scan_entries_max
        breath = Breath()
        async for committed in namespace.rounds_from(position + 1):
            start = position + 1 - committed.record.first_position
            # Asked for anew after a breath, in which content may have been erased.
            while some := committed.entries[start : start + SLICE_ENTRIES]:
                for stored in some:
                    shown = list(wanted.apply([stored]))
                    size_bytes += sum(entry.ByteSize() for entry in shown)
                    if entries and size_bytes > self._pages.page_bytes_max:
                        return entries, position
                    entries += shown
                    position = stored.entry.position
                    if len(entries) == items_max or position == scan_to:
                        return entries, position
                start += len(some)
                if breath.is_due:
                    await breath.take()
            if position != committed.record.last_position:
                raise _gap(namespace, committed, position)
        return entries, position

    async def _get_request(self, request: Message, scope: CallScope) -> Message:
        assert isinstance(request, GetRequestRequest)
        self._namespaces.kernel.validator.check(request)
        async with self._namespaces.use(scope.namespace) as namespace:
            await namespace.reached(scope.min_position)
            stored = await namespace.entry_of_request(scope.caller, request.request_id)
        if stored is None:
            return GetRequestResponse(found=False)
        return GetRequestResponse(
            found=True,
            receipt=receipt_of(stored, replayed=False),
            events=[without_secrets(event) for event in stored.entry.events],
            result=result_of(stored, replayed=False),
        )


class _Pulse:
    """Tells when a stream has been silent for so long that it must give a sign of life."""

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._loop = asyncio.get_running_loop()
        self.beat()

    def beat(self) -> None:
        """Says that something is sent now."""
        self._due_time = self._loop.time() + self._seconds

    @property
    def seconds_left(self) -> float:
        """How long the stream may stay silent."""
        return max(0.0, self._due_time - self._loop.time())

    @property
    def is_due(self) -> bool:
        """Whether the silence has lasted long enough."""
        return self.seconds_left == 0


def _cursor(namespace: Namespace, position: int, *, in_part: bool = False) -> str:
    return write_cursor(Cursor(namespace.incarnation, position, in_part))


def _given_cursor(text: str, namespace: Namespace) -> Cursor:
    """Returns the cursor of a request, which may be one of another incarnation.

    Raises Refused, reason INVALID_FIELD, if it is none or stands where the log has not come to.
    """
    cursor = read_cursor(text)
    if cursor.position == 0 and not cursor.in_part:
        # Nothing was read with it that another incarnation could have made wrong.
        return Cursor(namespace.incarnation, 0)
    if cursor.incarnation == namespace.incarnation and cursor.position > namespace.head.position:
        raise invalid_field("cursor", f"is beyond the head of the log, {namespace.head.position}")
    return cursor


def _start(request: WatchRequest, namespace: Namespace) -> Cursor:
    start = request.WhichOneof("start")
    if start == "cursor":
        return _given_cursor(request.cursor, namespace)
    if start is None or not getattr(request, start):
        raise invalid_field("start", "must be one of from_start: true, from_now: true, or a cursor")
    return Cursor(namespace.incarnation, 0 if start == "from_start" else namespace.head.position)


def _reset(namespace: Namespace) -> WatchResponse:
    return WatchResponse(
        cursor=_cursor(namespace, 0), reset=Reset(incarnation=namespace.incarnation)
    )


def _gap(namespace: Namespace, committed: CommittedRound, position: int) -> Refused:
    """Returns what is answered instead of a round that has not all the entries it should have."""
    first_position, last_position = committed.record[:2]
    description = (
        f"the round of positions {first_position} to {last_position} has no entry after {position}"
    )
    return journal_refusal(namespace.name, Corrupt(description))


def _with_entries(entries: Sequence[bytes], start_cursor: str, cursor: str) -> bytes:
    """Returns a serialized WatchResponse, put together from fields of Entries."""
    start = field(_START_CURSOR, start_cursor.encode())
    size_bytes = sum(map(len, entries)) + len(start)
    # One join: each copies all that is sent.
    return b"".join(
        (field(_CURSOR, cursor.encode()), _ENTRIES, VARINTS[size_bytes], *entries, start)
    )


async def _handfuls(
    namespace: Namespace, position: int, wanted: Filter
) -> AsyncIterator[tuple[list[bytes], int]]:
    """Yields the entries after `position` in handfuls, each with the position it reaches.

    A handful may be empty where the filter leaves everything out: a long search must neither
    hold up the other calls nor look like a stream that is dead.
    """
    entries: list[bytes] = []
    size_bytes = scanned = 0
    breath = Breath()
    async for committed in namespace.rounds_from(position + 1):
        while position < committed.record.last_position:
            some = wanted.slice(committed, position + 1 - committed.record.first_position)
            if some.end == some.start:
                raise _gap(namespace, committed, position)
            position += some.end - some.start
            scanned += some.end - some.start
            if some.data:
                size_bytes += len(some.data)
                entries.append(some.data)
            if size_bytes >= RESPONSE_BYTES or scanned >= SCANNED_ENTRIES:
                yield entries, position
                entries, size_bytes, scanned = [], 0, 0
            if breath.is_due:
                await breath.take()
    yield entries, position
