"""The client: a connection, and the groups of what can be asked of the service."""

from __future__ import annotations

from collections.abc import Mapping
from types import TracebackType
from typing import Any, Self, TypeVar

import grpc

from gapless._async._calls import Calls
from gapless._async._connection import Connection
from gapless._async._transport import Channel
from gapless._async.channels import Channels
from gapless._async.config import Config
from gapless._async.events import Events
from gapless._async.ledgers import Ledgers
from gapless._async.list_items import ListItems
from gapless._async.lists import Lists
from gapless._async.memberships import Memberships
from gapless._async.messages import Messages
from gapless._async.notification_settings import NotificationSettings
from gapless._async.operations import Operations
from gapless._async.pools import Pools
from gapless._async.push_subscriptions import PushSubscriptions
from gapless._async.reactions import Reactions
from gapless._async.read_markers import ReadMarkers
from gapless._async.reservations import Reservations
from gapless._async.threads import Threads
from gapless._options import TIMEOUT_SECONDS, CallOptions, ConnectionOptions, StubFactory
from gapless.metadata import DEFAULT_TARGET, CallMetadata

StubT = TypeVar("StubT")


class AsyncClient:
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
            target: where the service listens, as host:port or any gRPC target.
            namespace: the namespace of every call. None: ``default``.
            caller: the scope within which request ids are unique; printable ASCII. None: empty.
            timeout: seconds for all attempts of a call together; ``math.inf`` for no limit.
            max_attempts: how often to try at most, from 1. None: as often as the time allows.
            credentials: for TLS. None: unencrypted, as fits a service on the same machine.
            channel_options: gRPC channel options, over those that the client sets itself.

        Raises:
            ValueError: an argument breaks its rule; the text says which.
        """
        connection = Connection(ConnectionOptions(target, credentials, channel_options or {}))
        options = CallOptions(namespace, caller, timeout, max_attempts, min_position=None)
        self._set_up(connection, options)

    def _set_up(self, connection: Connection, options: CallOptions) -> None:
        self._connection = connection
        self._calls = calls = Calls(connection, options)
        self.channels = Channels(calls)
        """Create, read, change and archive channels."""
        self.messages = Messages(calls)
        """Post, edit, delete and read messages."""
        self.threads = Threads(calls)
        """Reply to messages and read the replies."""
        self.reactions = Reactions(calls)
        """Add, remove, toggle and read reactions."""
        self.memberships = Memberships(calls)
        """Join and leave channels, and read who is in them."""
        self.read_markers = ReadMarkers(calls)
        """Mark channels as read and read what is unread."""
        self.notification_settings = NotificationSettings(calls)
        """Write and read what users want to be told."""
        self.push_subscriptions = PushSubscriptions(calls)
        """Write, remove and read endpoints of users."""
        self.config = Config(calls)
        """Write, delete and read configuration."""
        self.lists = Lists(calls)
        """Create, reorder, delete and read ordered lists."""
        self.list_items = ListItems(calls)
        """Insert, edit, move, delete and read the items of lists."""
        self.pools = Pools(calls)
        """Create, change, check and clean up pools of numbers."""
        self.reservations = Reservations(calls)
        """Reserve, keep, release and read the numbers of pools."""
        self.ledgers = Ledgers(calls)
        """Create accounts, move amounts between them, and read both."""
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

        Closing again does nothing, and neither does closing a view.
        """
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
