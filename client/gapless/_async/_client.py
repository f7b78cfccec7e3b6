"""The client: a connection, and the groups of what can be asked of the service."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from gapless._async._batch import AsyncBatch
from gapless._async._calls import Calls
from gapless._async._connection import Connection
from gapless._async._groups import Groups
from gapless._async._transport import Channel
from gapless._async.events import Events
from gapless._async.operations import Operations
from gapless._guarding import GuardLike, as_guards
from gapless._options import (
    TIMEOUT_SECONDS,
    CallOptions,
    ConnectionOptions,
    StubFactory,
    check_target,
)
from gapless.metadata import DEFAULT_TARGET, CallMetadata

StubT = TypeVar("StubT")


class AsyncClient(Groups):
    """Talks to a gapless service.

    One client serves any number of tasks at once: their commands share one pipelined stream for
    each namespace and caller. It connects with the first call. Use it as a context manager, or
    close it.

    After a fork the child needs a client of its own; use of this one raises ClientForkedError.
    gRPC can not promise more than that for a busy process: fork before the first call, or start
    child processes with the start method "spawn".

    Every command is applied at most once, however often it is sent. What fails in passing is sent
    again with the same request id until `timeout` is over; an error whose ``outcome_unknown`` is
    True leaves open whether the command was applied.
    """

    def __init__(
        self,
        target: str = DEFAULT_TARGET,
        *,
        namespace: str | None = None,
        caller: str | None = None,
        timeout: float = TIMEOUT_SECONDS,
        max_attempts: int | None = None,
        credentials: grpc.ChannelCredentials | None = None,
        channel_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Makes a client; nothing is sent yet.

        Args:
            target: where the service listens, as host:port or any gRPC target; the port may be
                left out with TLS, where it is 443 then.
            namespace: the namespace of every call. None: ``default``.
            caller: the scope within which request ids are unique; printable ASCII. None: empty.
            timeout: seconds for all attempts of a call together; ``math.inf`` for no limit.
            max_attempts: how often to try at most, from 1. None: as often as the time allows.
            credentials: for TLS. None: unencrypted, as fits a service on the same machine.
            channel_options: gRPC channel options, over those that the client sets itself.

        Raises:
            ValueError: an argument breaks its rule; the text says which.
        """
        check_target(target, credentials)
        connection = Connection(ConnectionOptions(target, credentials, channel_options or {}))
        options = CallOptions(namespace, caller, timeout, max_attempts, min_position=None)
        self._set_up(connection, options)

    def _set_up(self, connection: Connection, options: CallOptions) -> None:
        self._connection = connection
        self._calls = calls = Calls(connection, options)
        super().__init__(calls)
        self.events = Events(calls)
        """Watch and read the log, and ask what became of a command."""
        self.operations = Operations(calls)
        """Ask what the service and its namespaces are like."""

    def with_namespace(self, namespace: str) -> AsyncClient:
        """A view of this client whose calls are for another namespace.

        It shares the connection, and closing it does nothing. Raises ValueError if the name is
        not valid.
        """
        return _View(self._connection, self._calls.options.replace(namespace=namespace))

    def with_options(
        self,
        *,
        timeout: float | None = None,
        max_attempts: int | None = None,
        caller: str | None = None,
        min_position: int | None = None,
    ) -> AsyncClient:
        """A view of this client with other options; None leaves one as it is.

        It shares the connection, and closing it does nothing.

        Args:
            timeout: seconds for all attempts of a call together.
            max_attempts: how often to try at most, from 1.
            caller: the scope within which request ids are unique.
            min_position: reads are answered once the log has at least this position.

        Raises:
            ValueError: an option breaks its rule; the text says which.
        """
        options = self._calls.options.replace(
            timeout_seconds=timeout,
            attempts_max=max_attempts,
            caller=caller,
            min_position=min_position,
        )
        return _View(self._connection, options)

    def with_guards(self, *guards: GuardLike) -> AsyncClient:
        """A view of this client whose commands are run only if these guards hold.

        Guards are in ``gapless.guards``, and a lock that is held is one. They are checked by the
        service right before each command; if one does not hold, the command raises GuardFailed.
        The guards of this client hold as well. It shares the connection, and closing it does
        nothing.

        Guards are part of what a request id stands for: the same command sent again with others, or
        with none, raises RequestIdReused. A lock that is acquired anew has another fencing token,
        so a job that runs again under a new lock must use other request ids, or do without that
        guard in every run.

        Raises:
            LockLostError: one of them is a lock that is lost.
        """
        options = self._calls.options
        return _View(
            self._connection, options.replace(guards=(*options.guards, *as_guards(guards)))
        )

    def batch(
        self,
        *,
        guards: Sequence[GuardLike] = (),
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> AsyncBatch:
        """Commands that are run as one, all of them or none: an ``async with`` block.

        In the block, call the methods of the batch as you would those of the client. Nothing is
        sent before the block ends, and what they return is filled in only then. If a command is
        refused, its error is raised at the end of the block, with ``batch_index`` saying which it
        was, and nothing has happened. If the block raises, nothing is sent.

        Args:
            guards: what must hold for the batch to be run: see `with_guards`.
            request_id: the idempotency key of the whole batch. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            LockLostError: a guard is a lock that is lost.
        """
        calls = self._calls
        return AsyncBatch(calls, (*calls.options.guards, *as_guards(guards)), request_id, timeout)

    def stub(self, stub_class: StubFactory[StubT]) -> StubT:
        """A raw stub on this client's connection, such as ``channels_pb2_grpc.ChannelServiceStub``.

        Pass ``metadata=client.metadata`` with every call; nothing is sent again, and errors are
        those of gRPC.
        """
        return stub_class(self.channel)

    @property
    def channel(self) -> Channel:
        """The gRPC channel. Raises ClientClosedError once the client is closed."""
        return self._connection.channel()

    @property
    def metadata(self) -> CallMetadata:
        """The gRPC metadata of this client's calls."""
        return self._calls.read_metadata

    async def close(self) -> None:
        """Closes the connection, for all views of it; commands under way raise.

        Locks that are just given back (see ``locks.hold``) are waited for, for 2 seconds at most.
        Closing again does nothing, and neither does closing a view.
        """
        try:
            await self._connection.give_backs.finish()
        finally:
            await self._connection.close()

    async def __aenter__(self) -> Self:
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await self.close()


class _View(AsyncClient):
    """A client on the connection of another."""

    def __init__(self, connection: Connection, options: CallOptions) -> None:
        self._set_up(connection, options)

    async def close(self) -> None:
        """Does nothing: the connection belongs to the client that this is a view of."""
