"""The command line `gapless` in a process that is forked with the imports behind it.

A start takes some 50 ms instead of most of a second, which is what lets a harness start the
service thousands of times. A process can be stopped before its first system call of ours, so that
a tracer can be attached to all of what it does.
"""

from __future__ import annotations

import dataclasses
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.connection import Connection
from multiprocessing.connection import wait as wait_for
from pathlib import Path
from typing import Any, Final

from gapless.testing import RunningServer
from tests.forking import context

# A hang must end the test; a slow machine must not.
SECONDS_MAX: Final = 60.0
_LOOK_SECONDS: Final = 0.005

# Called in the process before the command line; picklable: a function of a module, or a partial.
Preparation = Callable[[], None]


class ForkedCommand:
    """`gapless ARGUMENTS` in a process of its own, which ends with this one, however that ends.

    Made, it waits; `go` lets it run. `prepare` is called in the process before that.
    """

    def __init__(
        self,
        arguments: Sequence[str],
        log_path: Path,
        environment: dict[str, str] | None = None,
        prepare: Preparation | None = None,
    ) -> None:
        self._log_path = log_path
        self._home, away = context.Pipe()
        self._process = context.Process(
            target=_run, args=(away, list(arguments), log_path, environment or {}, prepare)
        )
        self._process.start()
        away.close()

    @property
    def pid(self) -> int:
        """The id of the process."""
        assert self._process.pid is not None
        return self._process.pid

    @property
    def is_running(self) -> bool:
        """Whether it has not ended."""
        return self._process.is_alive()

    def go(self) -> None:
        """Lets the command run."""
        self._home.send(None)

    def signal(self, number: int) -> None:
        """Sends a signal."""
        if self.is_running:
            os.kill(self.pid, number)

    def wait(self, seconds_max: float = SECONDS_MAX) -> int:
        """Returns the exit code, below 0 the number of the signal that ended the process.

        Raises TimeoutError if it still ran after so long; then it was killed.
        """
        ended = bool(wait_for([self._process.sentinel], seconds_max))
        if not ended:
            self._process.kill()
        self._process.join()
        self._home.close()
        if not ended:
            raise TimeoutError(f"still ran after {seconds_max} s; see {self._log_path}")
        assert self._process.exitcode is not None
        return self._process.exitcode


class ForkedService(RunningServer):
    """`gapless serve` as a forked process. `attach` is given its id before it does anything."""

    def __init__(
        self,
        *,
        attach: Callable[[int], None] | None = None,
        prepare: Preparation | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.attach = attach
        self.prepare = prepare
        self._command: ForkedCommand | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._command is not None and self._command.is_running

    @property
    def command(self) -> ForkedCommand:
        """The process. Raises RuntimeError if it was not started."""
        if self._command is None:
            raise RuntimeError(f"the server at {self.address} was not started")
        return self._command

    def start(self) -> None:
        """Starts the process; returns once the service serves. Raises ServerError."""
        address_path = self.directory / "address"
        address_path.unlink(missing_ok=True)
        self._command = ForkedCommand(
            ["serve", "--address-file", str(address_path)],
            self.log_path,
            _environment(self.settings),
            self.prepare,
        )
        if self.attach is not None:
            self.attach(self._command.pid)
        self._command.go()
        give_up_time = time.monotonic() + SECONDS_MAX
        while not address_path.exists():
            if not self._command.is_running:
                raise self._error(f"ended with exit code {self.wait()} before it served")
            if time.monotonic() > give_up_time:
                self.kill()
                raise self._error(f"did not serve within {SECONDS_MAX} seconds")
            threading.Event().wait(_LOOK_SECONDS)

    def stop(self) -> None:
        """Stops the service with SIGTERM and waits for its end. Raises ServerError."""
        if self._command is None:
            return
        self._command.signal(signal.SIGTERM)
        code = self.wait()
        if code != 0:
            raise self._error(f"ended with exit code {code}")

    def kill(self) -> None:
        """Ends the process with SIGKILL and waits for its end. Not running: nothing."""
        if self._command is not None:
            self._command.signal(signal.SIGKILL)
            self.wait()

    def wait(self, seconds_max: float = SECONDS_MAX) -> int:
        """Waits for the end and returns the exit code. Raises TimeoutError."""
        command, self._command = self.command, None
        return command.wait(seconds_max)


def _environment(settings: Any) -> dict[str, str]:
    values = dataclasses.asdict(settings)
    return {f"GAPLESS_{name.upper()}": str(value) for name, value in values.items()}


def _run(
    away: Connection,
    arguments: list[str],
    log_path: Path,
    environment: dict[str, str],
    prepare: Preparation | None,
) -> None:
    """Runs in the process."""
    log = os.open(log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for stream in (sys.stdout, sys.stderr):
        os.dup2(log, stream.fileno())
    os.close(log)
    for name in [name for name in os.environ if name.startswith("GAPLESS_")]:
        del os.environ[name]
    os.environ.update(environment)
    try:
        away.recv()
    except EOFError:
        return
    threading.Thread(target=_end_with_parent, args=(away,), name="guard", daemon=True).start()
    if prepare is not None:
        prepare()
    from gapless_server.cli import main

    sys.argv = ["gapless", *arguments]
    main()


def _end_with_parent(away: Connection) -> None:
    try:
        away.recv()
    except (EOFError, OSError):
        os.kill(os.getpid(), signal.SIGKILL)
