"""The composition root: builds every room from the settings, and starts and stops the service."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from importlib import metadata
from typing import Final

import grpc
import grpc.aio
import structlog

from gapless_server.checkpoint.port import CheckpointStore
from gapless_server.checkpoint.sqlite import SqliteCheckpointStore
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.paging import PageLimits
from gapless_server.journal.memory import MemoryJournalStore
from gapless_server.journal.port import JournalStore
from gapless_server.journal.sqlite_store import LOGS_DIRECTORY, SqliteJournalStore
from gapless_server.listening import listen_address, why_refused
from gapless_server.rpc import commands, events, health, operations, reflection
from gapless_server.rpc.accepting import Accepting
from gapless_server.rpc.call_gate import CallGate, Gated, paths_with_pages
from gapless_server.rpc.loop_gauge import LoopGauge
from gapless_server.rpc.unary import AnyService, kind_handlers, kind_services
from gapless_server.rpc.unsent import Unsent
from gapless_server.settings import Settings
from gapless_server.writer.clock import Clock, SystemClock
from gapless_server.writer.command_log import log_commands
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespaces import NamespaceLimits, Namespaces

_log = structlog.get_logger()

# What any gRPC server has.
_GENERIC_SERVICES: Final[Sequence[AnyService]] = (health.SERVICE, reflection.SERVICE)

VERSION = metadata.version("gapless")

# How often idle namespaces are looked for, as a part of the time after which they are closed.
IDLE_CHECKS = 4


def _store(settings: Settings) -> JournalStore:
    if settings.journal == "memory":
        return MemoryJournalStore()
    return SqliteJournalStore(settings.data, listen_address(settings.host, settings.port))


def _checkpoints(settings: Settings) -> CheckpointStore | None:
    if settings.journal == "memory":
        return None
    return SqliteCheckpointStore(settings.data / LOGS_DIRECTORY)


class Server:
    """A running service. Made and used on one event loop."""

    def __init__(self, settings: Settings, clock: Clock | None = None) -> None:
        """Takes the data directory. Raises OwnedElsewhere if another process has it.

        Raises AddressUnusable, before that, if the host of the settings is none.
        """
        listen_address(settings.host, settings.port)
        self.settings = settings
        self._clock = clock or SystemClock()
        self._store = _store(settings)
        self.failed: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.namespaces = self._namespaces(settings)
        pages = PageLimits(settings.page_items_default, settings.page_items_max)
        self._commands = commands.CommandServicer(
            self.namespaces,
            commands.PipelineLimits(
                settings.frame_commands_max,
                settings.frames_in_flight_max,
                settings.pipeline_streams_max,
            ),
        )
        self._events = events.EventServicer(
            self.namespaces,
            self._clock,
            events.WatchLimits(
                settings.heartbeat_seconds,
                settings.watch_streams_max,
                settings.watch_responses_per_second_max,
            ),
            pages,
        )
        self._gauge = LoopGauge()
        self._operations = operations.OperationsServicer(
            self.namespaces, self._clock, pages, VERSION, settings.backup_streams_max, self._gauge
        )
        names = [one.full_name for one in self._services()]
        self._health = health.HealthServicer(names)
        self._reflection = reflection.ReflectionServicer(
            [*names, *(one.full_name for one in _GENERIC_SERVICES)]
        )
        self._grpc = self._grpc_server()
        self._accepting = self._bind(self._grpc, pages)
        self._idle_task: asyncio.Task[None] | None = None
        self.port = 0

    @property
    def address(self) -> str:
        """The address that clients connect to, once started."""
        return listen_address(self.settings.host, self.port)

    async def start(self) -> None:
        """Listens and serves. Raises AddressInUse or AddressUnusable."""
        host, port = self.settings.host, self.settings.port
        try:
            self.port = self._grpc.add_insecure_port(listen_address(host, port))
        except RuntimeError as error:
            await self._store.close()
            raise why_refused(host, port) from error
        await self._grpc.start()
        self._accepting.start()
        self._gauge.start()
        self._store.announce(self.address)
        self._health.serve()
        self._idle_task = asyncio.create_task(self._close_idle_namespaces())
        _log.info(
            "serving",
            address=self.address,
            version=VERSION,
            journal=self._store.name,
            journal_version=self._store.version,
            compiled=self.namespaces.kernel.runs is not None,
            accepts_at_once=self._accepting.at_once,
        )

    async def stop(self) -> None:
        """Refuses what is new, answers what is queued, ends streams, and gives the data free."""
        _log.info("stopping", grace_seconds=self.settings.grace_seconds)
        self._health.stop()
        self._reflection.stop()
        if self._idle_task is not None:
            self._idle_task.cancel()
        await self.namespaces.drain()
        self._commands.stop()
        self._events.stop()
        await self._grpc.stop(self.settings.grace_seconds)
        await self.namespaces.close()
        await self._store.close()
        self._gauge.stop()
        _log.info("stopped")

    def _namespaces(self, settings: Settings) -> Namespaces:
        return Namespaces(
            Kernel(KINDS, settings.batch_commands_max),
            self._store,
            self._clock,
            WriterLimits(
                queue_commands_max=settings.queue_commands_max,
                queue_bytes_max=settings.queue_bytes_max,
                round_commands_max=settings.round_commands_max,
                round_bytes_max=settings.round_bytes_max,
                line_commands_max=settings.line_commands_max,
                checkpoint_entries=settings.checkpoint_entries,
                checkpoint_bytes=settings.checkpoint_bytes,
                feed_bytes_max=settings.feed_bytes_max,
                min_position_seconds_max=settings.min_position_seconds_max,
            ),
            NamespaceLimits(
                settings.namespaces_open_max,
                settings.namespace_idle_seconds,
                settings.create_namespaces,
            ),
            self._fail,
            log_commands if settings.log_level == "debug" else None,
            _checkpoints(settings),
        )

    def _grpc_server(self) -> grpc.aio.Server:
        ping_timeout_ms = int(self.settings.ping_timeout_seconds * 1000)
        options = [
            # A second server on the port must fail, not share it.
            ("grpc.so_reuseport", 0),
            ("grpc.max_receive_message_length", self.settings.message_bytes_max),
            ("grpc.max_send_message_length", -1),
            # The defaults cancel calls of a burst of 2,000; the queue has its own limit.
            ("grpc.server.max_pending_requests", 100_000),
            ("grpc.server.max_pending_requests_hard_limit", 200_000),
            # A call that waited 30 s to be looked at would be cancelled, without a reason: how
            # long to wait is for its caller to say.
            ("grpc.server_max_unrequested_time_in_server", 24 * 3600),
            # Clients may ask every 10 s whether the connection still stands (the SDK does every
            # 30 s), also while nothing else is sent; by default they would be cut off for it.
            ("grpc.http2.min_recv_ping_interval_without_data_ms", 10_000),
            ("grpc.keepalive_permit_without_calls", 1),
            # And the service asks as well: who stands still, or is gone without a word, would keep
            # its streams and its pages. One timeout is for answers that the network has not taken
            # (TCP_USER_TIMEOUT), the other for pings that it took and nobody answers.
            ("grpc.keepalive_time_ms", int(self.settings.ping_seconds * 1000)),
            ("grpc.keepalive_timeout_ms", ping_timeout_ms),
            ("grpc.http2.ping_timeout_ms", ping_timeout_ms),
        ]
        return grpc.aio.server(options=options)

    def _services(self) -> list[AnyService]:
        """Returns the services of our own."""
        kinds = kind_services(self.namespaces.kernel)
        return [*kinds, commands.SERVICE, events.SERVICE, operations.SERVICE]

    def _bind(self, server: grpc.aio.Server, pages: PageLimits) -> Accepting:
        """Adds all services to a server; returns what takes in their calls."""
        services = self._services()
        handlers = [
            *kind_handlers(self.namespaces, pages),
            self._commands.handlers(),
            self._events.handlers(),
            self._operations.handlers(),
        ]
        gate = self._gate(pages)
        with_pages = paths_with_pages(services)
        return Accepting(
            server,
            [
                *(Gated(one, gate, with_pages) for one in handlers),
                self._health.handlers(),
                *self._reflection.handlers(),
            ],
            [*services, *_GENERIC_SERVICES],
        )

    def _gate(self, pages: PageLimits) -> CallGate:
        settings = self.settings
        unsent = Unsent(
            settings.unsent_bytes_max, settings.connection_unsent_bytes_max, pages.page_bytes_max
        )
        return CallGate(settings.calls_in_flight_max, unsent)

    def _fail(self, namespace: str, error: BaseException) -> None:
        """A writer stopped: nothing may be served that could turn out not to be durable (G8)."""
        if not self.failed.done():
            self.failed.set_result(f"namespace {namespace}: {type(error).__name__}: {error}")

    async def _close_idle_namespaces(self) -> None:
        while True:
            await asyncio.sleep(self.settings.namespace_idle_seconds / IDLE_CHECKS)
            await self.namespaces.close_idle()
