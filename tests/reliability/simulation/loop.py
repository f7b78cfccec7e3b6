"""An event loop whose time is simulated: it passes when there is nothing left to do.

1. What is ready runs in an order that the seed chooses, so code that relies on an order which
   asyncio happens to keep is found out.
2. A process is what pauses and dies together. Whatever is started in its context belongs to it:
   tasks, timers, and what those start. Of a process that died nothing runs any more.
3. Every step takes a microsecond, so no two steps happen at the same time.
"""

from __future__ import annotations

import asyncio
import heapq
import itertools
import random
import signal
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from contextvars import Context, ContextVar, copy_context
from typing import Any

STEP_SECONDS = 0.000_001


class Stuck(Exception):
    """Nothing is ready and nothing will ever be."""


class Hung(SystemExit):
    """A step of the loop does not end. Asyncio lets this through to whoever runs the loop."""


@contextmanager
def watchdog(seconds: float) -> Iterator[None]:
    """Raises Hung after so much time of this process. For the main thread."""

    def bark(_number: int, _frame: object) -> None:
        raise Hung(f"it did not end within {seconds} s of this process")

    before = signal.signal(signal.SIGVTALRM, bark)
    signal.setitimer(signal.ITIMER_VIRTUAL, seconds)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_VIRTUAL, 0)
        signal.signal(signal.SIGVTALRM, before)


class Handle:
    """A call that is to be made, with what asyncio asks of such; leaner than its own."""

    __slots__ = ("arguments", "callback", "context", "is_cancelled")

    def __init__(
        self, callback: Callable[..., object], arguments: tuple[Any, ...], context: Context | None
    ) -> None:
        self.callback = callback
        self.arguments = arguments
        self.context = copy_context() if context is None else context
        self.is_cancelled = False

    def cancel(self) -> None:
        """Takes the call back."""
        self.is_cancelled = True

    def cancelled(self) -> bool:
        """Whether it was taken back."""
        return self.is_cancelled


class Process:
    """Tasks and timers that pause together and die together."""

    def __init__(self, loop: SimulatedLoop) -> None:
        self._loop = loop
        self.is_alive = True
        self.is_paused = False
        # What became ready during a pause.
        self.held: list[Handle] = []
        self.context = copy_context()
        self.context.run(_process.set, self)

    def start(self, coroutine: Coroutine[Any, Any, Any]) -> asyncio.Task[Any]:
        """Runs a coroutine as a task of the process."""
        return self._loop.create_task(coroutine, context=self.context)

    def pause(self) -> None:
        """Stops it, as a signal or a virtual machine does; time goes on."""
        self.is_paused = True

    def resume(self) -> None:
        """Lets it go on with all that has gathered."""
        self.is_paused = False
        held, self.held = self.held, []
        self._loop.make_ready(held)

    def kill(self) -> None:
        """Ends it where it stands: nothing of it is told, and nothing of it runs."""
        self.is_alive = False
        self.held.clear()


_process: ContextVar[Process | None] = ContextVar("process", default=None)


class SimulatedLoop(asyncio.BaseEventLoop):
    """See the head of this file."""

    def __init__(self, chance: random.Random) -> None:
        super().__init__()
        self._chance = chance
        self._now = 0.0
        self._handles: list[Handle] = []
        self._timers: list[tuple[float, int, Handle]] = []
        self._numbers = itertools.count()
        self._tasks: list[asyncio.Task[Any]] = []
        self.set_task_factory(self._new_task)
        # What ended with an error that nobody asked for.
        self.unhandled: list[str] = []
        self.set_exception_handler(self._note_unhandled)

    def time(self) -> float:
        """Returns the simulated time, in seconds."""
        return self._now

    def make_ready(self, handles: list[Handle]) -> None:
        """Has handles run with what is ready."""
        self._handles += handles

    def call_soon(  # type: ignore[override]  # a handle of our own
        self, callback: Callable[..., object], *arguments: Any, context: Context | None = None
    ) -> Handle:
        """Has `callback` called with what is ready next."""
        handle = Handle(callback, arguments, context)
        self._handles.append(handle)
        return handle

    call_soon_threadsafe = call_soon  # type: ignore[assignment]  # there is one thread

    def call_at(  # type: ignore[override]  # a handle of our own
        self,
        when: float,
        callback: Callable[..., object],
        *arguments: Any,
        context: Context | None = None,
    ) -> Handle:
        """Has `callback` called at a simulated time."""
        handle = Handle(callback, arguments, context)
        heapq.heappush(self._timers, (when, next(self._numbers), handle))
        return handle

    def call_later(  # type: ignore[override]  # a handle of our own
        self,
        delay: float,
        callback: Callable[..., object],
        *arguments: Any,
        context: Context | None = None,
    ) -> Handle:
        """Has `callback` called after a simulated time."""
        return self.call_at(self._now + delay, callback, *arguments, context=context)

    def run_in_executor(
        self, _executor: Any, call: Callable[..., Any], *args: Any
    ) -> asyncio.Future[Any]:
        """Calls right away, in this thread, and tells the result a little later."""
        future = self.create_future()
        try:
            tell, outcome = future.set_result, call(*args)
        except Exception as error:
            tell, outcome = future.set_exception, error
        self.call_later(self._chance.random() * 0.001, tell, outcome)
        return future

    def failures(self) -> list[str]:
        """Returns the errors that tasks ended with and nobody has asked for."""
        return [
            f"{task.get_name()}: {task.exception()!r}"
            for task in self._tasks
            if task._log_traceback  # type: ignore[attr-defined]  # asyncio's own mark
        ]

    def close(self) -> None:
        """Ends everything that still waits, as its garbage collection would."""
        self.run_until_complete(self._end_all())
        self._tasks.clear()
        self._handles.clear()
        self._timers.clear()
        super().close()

    async def _end_all(self) -> None:
        this = asyncio.current_task()
        for task in self._tasks:
            if task is not this and not task.done():
                task._log_destroy_pending = False  # type: ignore[attr-defined]  # as asyncio does
                _close_coroutine(task)

    def _new_task(
        self,
        _loop: asyncio.AbstractEventLoop,
        coroutine: Coroutine[Any, Any, Any],
        context: Context | None = None,
    ) -> asyncio.Task[Any]:
        task = asyncio.Task(coroutine, loop=self, context=context)
        # Kept: what the garbage collector ends, it ends at times of its own.
        self._tasks.append(task)
        return task

    def _note_unhandled(self, _loop: asyncio.AbstractEventLoop, what: dict[str, Any]) -> None:
        self.unhandled.append(f"{what.get('message')}: {what.get('exception')!r}")

    def _run_once(self) -> None:
        """One turn of the loop; `run_forever` of asyncio calls nothing else."""
        timers = self._timers
        if not self._handles:
            if not timers:
                raise Stuck("nothing is ready and no time is set")
            self._now = max(self._now, timers[0][0])
        while timers and timers[0][0] <= self._now:
            handle = heapq.heappop(timers)[2]
            if not handle.is_cancelled:
                self._handles.append(handle)
        turn, self._handles = self._handles, []
        if len(turn) > 1:
            self._chance.shuffle(turn)
        for handle in turn:
            if not handle.is_cancelled:
                self._now += STEP_SECONDS
                self._call(handle)

    def _call(self, handle: Handle) -> None:
        process = handle.context.get(_process)
        if process is not None:
            if not process.is_alive:
                return
            if process.is_paused:
                process.held.append(handle)
                return
        try:
            handle.context.run(handle.callback, *handle.arguments)
        except Exception as error:
            self.unhandled.append(repr(error))

    def _process_events(self, _events: object) -> None:
        """There are none."""

    def _write_to_self(self) -> None:
        """There is no selector to wake."""


def _close_coroutine(task: asyncio.Task[Any]) -> None:
    coroutine = task.get_coro()
    try:
        coroutine.close()
    except RuntimeError as error:
        # It waits in a `finally`, which nobody will ever end.
        if "ignored GeneratorExit" not in str(error):
            raise
