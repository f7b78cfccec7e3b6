"""What both kinds of test server share: settings, directory, log file, clients, life cycle."""

from __future__ import annotations

import abc
import asyncio
import contextlib
import shutil
import tempfile
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING, Any, Final, Literal, Self

from gapless.testing._ports import free_port
from gapless.testing._service import check_settings, require_service

if TYPE_CHECKING:
    from gapless import AsyncClient, Client
    from gapless_server.settings import Settings

Journal = Literal["sqlite", "memory"]

# How much of a server's log goes into an error.
_TAIL_CHARACTERS: Final = 4_000


class ServerError(Exception):
    """The server did not start, did not stop in order, or ended by itself. Has its log's end."""


class RunningServer(abc.ABC):
    """A service for tests, on a free port of this machine.

    Invariants:
    1. `address` and `directory` are the same before and after a restart.
    2. After `start` the service answers; after `stop` or `kill` nothing of it is left running.
    3. A start that is broken off leaves nothing running.

    Use it as a context manager, blocking or asynchronous. Every method blocks for as long as it
    takes; from a coroutine, call `await asyncio.to_thread(server.restart)` and the like.
    """

    def __init__(
        self,
        *,
        directory: Path | str | None = None,
        journal: Journal = "sqlite",
        **settings: Any,
    ) -> None:
        """Nothing runs yet.

        Args:
            directory: holds the data and the log of the server, made if it is not there, and
                kept. None: a temporary one, removed when the server is closed.
            journal: "sqlite", or "memory": quicker, and all is forgotten when the server stops.
            settings: further settings of the service by their names, as in `gapless config`.

        Raises:
            ServiceMissing: ``gapless[server]`` is not installed.
            TypeError: the service has no such setting.
            ValueError: a setting is not what it may be; the text says what that is.
        """
        require_service()
        from gapless_server.settings import Settings

        self._is_temporary = directory is None
        self.directory = Path(directory or tempfile.mkdtemp(prefix="gapless-testing-")).absolute()
        given = {"journal": journal, "data": self.directory / "data", **settings}
        try:
            host = Settings(**given).host
            if not given.get("port"):
                given["port"] = free_port(host)
            self.settings: Settings = Settings(**given)
            check_settings(given)
        except BaseException:
            self._remove_directory()
            raise
        self._make_directory()

    @property
    def address(self) -> str:
        """Where the service listens: ``host:port``, or ``[host]:port`` if it is an IPv6 address."""
        from gapless_server.listening import listen_address

        return listen_address(self.settings.host, self.settings.port)

    @property
    def log_path(self) -> Path:
        """The file that the server's log lines are appended to."""
        return self.directory / "server.log"

    @property
    @abc.abstractmethod
    def is_running(self) -> bool:
        """Whether it was started and has not ended since."""

    @abc.abstractmethod
    def start(self) -> None:
        """Starts the service; returns once it answers.

        Raises:
            ServerError: it did not start; has the end of its log.
            RuntimeError: it runs already.
        """

    @abc.abstractmethod
    def stop(self) -> None:
        """Stops the service as SIGTERM does: what is queued is answered. Not running: nothing.

        Raises:
            ServerError: it did not stop in order, or had failed before.
        """

    @abc.abstractmethod
    def kill(self) -> None:
        """Ends the service at once, with SIGKILL.

        Raises:
            KillNotPossible: it runs in this process.
        """

    def restart(self) -> None:
        """Stops the service if it runs, and starts it again on the same port and directory.

        Raises:
            ServerError: as for `stop` and `start`.
        """
        self.stop()
        self.start()

    def close(self) -> None:
        """Stops the service and removes the directory, if that is temporary.

        Raises:
            ServerError: as for `stop`.
        """
        try:
            self.stop()
        finally:
            self._remove_directory()

    def client(self, namespace: str | None = None, **options: Any) -> Client:
        """A new blocking client of this server; close it yourself.

        Args:
            namespace: the namespace that it works in. None: ``default``.
            options: further arguments of ``gapless.Client``.
        """
        from gapless import Client

        return Client(self.address, namespace=namespace, **options)

    def async_client(self, namespace: str | None = None, **options: Any) -> AsyncClient:
        """A new client for asyncio of this server; close it yourself.

        Args:
            namespace: the namespace that it works in. None: ``default``.
            options: further arguments of ``gapless.AsyncClient``.
        """
        from gapless import AsyncClient

        return AsyncClient(self.address, namespace=namespace, **options)

    def log_tail(self) -> str:
        """The end of the server's log."""
        try:
            log = self.log_path.read_text(encoding="utf-8", errors="replace")
        except FileNotFoundError:
            log = ""
        return log[-_TAIL_CHARACTERS:] or "(empty)"

    def _error(self, what: str) -> ServerError:
        return ServerError(
            f"the server at {self.address} {what}; its log, {self.log_path}, ends with:\n"
            f"{self.log_tail()}"
        )

    def _make_directory(self) -> None:
        """Makes the directory if it is not there: closing removes a temporary one."""
        self.directory.mkdir(
            mode=0o700 if self._is_temporary else 0o777, parents=True, exist_ok=True
        )

    def _remove_directory(self) -> None:
        if self._is_temporary:
            shutil.rmtree(self.directory, ignore_errors=True)

    def _close_quietly(self) -> None:
        with contextlib.suppress(ServerError):
            self.close()

    def __enter__(self) -> Self:
        try:
            self.start()
        except BaseException:
            # It may be about to run, if the start was interrupted.
            self._close_quietly()
            raise
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()

    async def __aenter__(self) -> Self:
        entering = asyncio.ensure_future(asyncio.to_thread(self.__enter__))
        try:
            return await asyncio.shield(entering)
        except asyncio.CancelledError:
            # The thread goes on: nothing ends it but the start.
            await asyncio.wait([entering])
            if entering.exception() is None:
                await asyncio.to_thread(self._close_quietly)
            raise

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        await asyncio.to_thread(self.close)
