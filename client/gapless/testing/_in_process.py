"""A server in a thread of this process, with a clock that tests can advance."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
from typing import TYPE_CHECKING, Any, Final, NoReturn

from gapless.testing._base import RunningServer
from gapless.testing._log_routing import log_of_this_thread_to

if TYPE_CHECKING:
    from gapless_server.server import Server
    from gapless_server.writer.clock import Clock

# A start takes milliseconds, and with large data seconds; a hang must not go unnoticed.
START_SECONDS_MAX: Final = 60.0
# Beyond the server's own grace.
STOP_SECONDS_MAX: Final = 30.0


class KillNotPossible(RuntimeError):
    """A server in this process can not be killed without the process."""


class InProcessServer(RunningServer):
    """The service on an event loop of its own, in a thread: quick to start, and with a clock.

    Takes the arguments of ``RunningServer``, and `clock`: where the service takes the time from,
    for example ``manual_clock()``; None is the machine's.
    """

    def __init__(self, *, clock: Clock | None = None, **options: Any) -> None:
        super().__init__(**options)
        self.clock = clock
        self._thread: threading.Thread | None = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._stop_asked: asyncio.Event | None = None
        # Asked before there was a loop to ask on.
        self._stop_wanted = False
        # Why it ended, if not because it was asked to.
        self._failure: BaseException | str | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._thread is not None and self._thread.is_alive()

    def start(self) -> None:
        """Starts the thread; returns once the service serves."""
        if self.is_running:
            raise RuntimeError(f"the server at {self.address} runs already")
        started: concurrent.futures.Future[None] = concurrent.futures.Future()
        self._make_directory()
        self._loop = self._stop_asked = self._failure = None
        self._stop_wanted = False
        # A daemon: a test run that is broken off must not hang on a server nobody stops.
        self._thread = threading.Thread(
            target=self._run, args=(started,), name=f"gapless {self.address}", daemon=True
        )
        self._thread.start()
        try:
            started.result(START_SECONDS_MAX)
        except Exception as error:
            self._thread = None
            raise self._error(f"did not start: {type(error).__name__}: {error}") from error

    def stop(self) -> None:
        """Stops the service in order and waits for the end of its thread."""
        thread = self._thread
        if thread is None:
            return
        self._ask_to_stop()
        thread.join(self.settings.grace_seconds + STOP_SECONDS_MAX)
        if thread.is_alive():
            raise self._error("did not stop in time")
        self._thread = None
        if self._failure is not None:
            raise self._error(f"had failed: {self._failure}")

    def kill(self) -> NoReturn:
        """Raises KillNotPossible."""
        raise KillNotPossible(
            "a server in this process can not be killed; use SubprocessServer for that, or stop()"
            " to end it in order"
        )

    def _ask_to_stop(self) -> None:
        self._stop_wanted = True
        loop, stop_asked = self._loop, self._stop_asked
        if loop is None or stop_asked is None or loop.is_closed():
            return
        try:
            loop.call_soon_threadsafe(stop_asked.set)
        except RuntimeError:
            # It ended by itself in this moment, and closed its loop.
            return

    def _run(self, started: concurrent.futures.Future[None]) -> None:
        try:
            with (
                log_of_this_thread_to(self.log_path),
                asyncio.Runner(loop_factory=_loop_factory()) as runner,
            ):
                runner.run(self._serve(started))
        except Exception as error:
            if not started.done():
                started.set_exception(error)
            self._failure = error

    async def _serve(self, started: concurrent.futures.Future[None]) -> None:
        from gapless_server.server import Server

        stop_asked = asyncio.Event()
        self._loop, self._stop_asked = asyncio.get_running_loop(), stop_asked
        if self._stop_wanted:
            stop_asked.set()
        server = Server(self.settings, self.clock)
        await server.start()
        started.set_result(None)
        await self._end(server, stop_asked)

    async def _end(self, server: Server, stop_asked: asyncio.Event) -> None:
        """Stops the service once it is asked to, or once it has failed."""
        asked = asyncio.create_task(stop_asked.wait())
        ends: list[asyncio.Future[Any]] = [asked, server.failed]
        try:
            await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        finally:
            asked.cancel()
        if server.failed.done():
            self._failure = server.failed.result()
        await server.stop()


def _loop_factory() -> Any:
    try:
        import uvloop
    except ImportError:  # not to be had on every platform
        return None
    return uvloop.new_event_loop
