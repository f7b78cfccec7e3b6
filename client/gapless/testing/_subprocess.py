"""A server in a process of its own, which can be killed."""

from __future__ import annotations

import dataclasses
import os
import subprocess
import sys
import time
from typing import TYPE_CHECKING, Any, Final

from gapless.testing._base import RunningServer

if TYPE_CHECKING:
    from gapless_server.settings import Settings

# A start takes under a second; a machine under load may take much longer, a hang must not.
START_SECONDS_MAX: Final = 60.0
# Beyond the server's own grace.
STOP_SECONDS_MAX: Final = 30.0
# How often to look for the address file, while also waiting for the end of the process.
_LOOK_SECONDS: Final = 0.01

_ENVIRONMENT_PREFIX: Final = "GAPLESS_"


class SubprocessServer(RunningServer):
    """``gapless serve`` as a child process: it can be killed, and survives nothing but its files.

    Takes the arguments of ``RunningServer``. Ends with this process, however that ends.
    """

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._process: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Whether it was started and has not ended since."""
        return self._process is not None and self._process.poll() is None

    @property
    def pid(self) -> int:
        """The id of the process. Raises RuntimeError if it was not started."""
        return self._started().pid

    def start(self) -> None:
        """Starts the process; returns once the service serves."""
        if self.is_running:
            raise RuntimeError(f"the server at {self.address} runs already, as process {self.pid}")
        self._make_directory()
        address_path = self.directory / "address"
        address_path.unlink(missing_ok=True)
        command = (sys.executable, "-m", "gapless.testing._guarded_process", "serve")
        with self.log_path.open("ab") as log:
            self._process = subprocess.Popen(  # noqa: S603  (our own program)
                [*command, "--address-file", str(address_path)],
                stdin=subprocess.PIPE,
                stdout=log,
                stderr=log,
                env=_environment(self.settings),
            )
        give_up_time = time.monotonic() + START_SECONDS_MAX
        while not address_path.exists():
            code = self._exit_code_within(_LOOK_SECONDS)
            if code is not None:
                self._forget()
                raise self._error(f"ended with exit code {code} before it served")
            if time.monotonic() > give_up_time:
                self.kill()
                raise self._error(f"did not serve within {START_SECONDS_MAX} seconds")

    def stop(self) -> None:
        """Stops the process with SIGTERM and waits for its end."""
        if self._process is None:
            return
        self._process.terminate()
        code = self.wait(self.settings.grace_seconds + STOP_SECONDS_MAX)
        if code != 0:
            raise self._error(f"ended with exit code {code}")

    def kill(self) -> None:
        """Ends the process with SIGKILL and waits for its end. Not running: nothing."""
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._forget()

    def wait(self, seconds_max: float) -> int:
        """Waits for the process to end by itself, or by a signal sent before.

        Returns:
            The exit code; below 0 the number of the signal that ended it.

        Raises:
            ServerError: it still ran after so long, and was killed.
            RuntimeError: it was not started.
        """
        self._started()
        code = self._exit_code_within(seconds_max)
        if code is None:
            self.kill()
            raise self._error(f"did not end within {seconds_max} seconds and was killed")
        self._forget()
        return code

    def _started(self) -> subprocess.Popen[bytes]:
        if self._process is None:
            raise RuntimeError(f"the server at {self.address} was not started")
        return self._process

    def _exit_code_within(self, seconds: float) -> int | None:
        try:
            return self._started().wait(seconds)
        except subprocess.TimeoutExpired:
            return None

    def _forget(self) -> None:
        process, self._process = self._process, None
        if process is not None and process.stdin is not None:
            process.stdin.close()


def _environment(settings: Settings) -> dict[str, str]:
    """The environment of this process, with these settings and none that it happens to hold."""
    kept = {
        name: value
        for name, value in os.environ.items()
        if not name.startswith(_ENVIRONMENT_PREFIX)
    }
    values = dataclasses.asdict(settings)
    return kept | {
        f"{_ENVIRONMENT_PREFIX}{name.upper()}": str(value) for name, value in values.items()
    }
