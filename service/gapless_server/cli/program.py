"""The group of all commands. A command's module is imported when it is asked for."""

from __future__ import annotations

import errno
import math
import os
import signal
import sys
import time
from contextlib import suppress
from importlib import import_module, metadata
from io import TextIOWrapper
from pathlib import Path
from types import FrameType
from typing import Final, TextIO

import click

from gapless_server.cli.exits import (
    EXIT_CODES_HELP,
    FAILED,
    INTERRUPTED,
    TERMINATED,
    CommandError,
    Terminated,
)

# By name, the module of this room that has it as `command`.
_COMMANDS: Final = {
    "serve": "serve",
    "config": "config",
    "status": "status",
    "watch": "watch",
    "import": "import_slack",
    "verify": "verify",
    "backup": "backup",
    "restore": "restore",
    "export": "export",
    "import-log": "import_log",
    "demo": "demo",
    "bench": "bench",
}

# What a write to an open file, as the output is, can fail with.
_WRITE_FAULTS: Final = (
    errno.ENOSPC,
    errno.EDQUOT,
    errno.EFBIG,
    errno.EIO,
    errno.EBADF,
    errno.EPIPE,
)


_SIGTERM_AGAIN_SECONDS: Final = 1.0


class _Commands(click.Group):
    """Finds commands by their names; keeps them in the order of the list."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        return list(_COMMANDS)

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        module_name = _COMMANDS.get(cmd_name)
        if module_name is None:
            return None
        module = import_module(f"gapless_server.cli.{module_name}")
        command: click.Command = module.command
        return command


@click.command(
    cls=_Commands,
    epilog=EXIT_CODES_HELP,
    context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100},
)
@click.version_option(metadata.version("gapless"), prog_name="gapless")
def program() -> None:
    """Numbers that never skip, commands that never apply twice.

    Start the service with `gapless serve`, see what it holds with `gapless status`, and check
    its promises with `gapless verify`. `gapless COMMAND --help` tells more about each command.
    """


def main() -> None:
    """Runs the command line and exits with one of the documented codes."""
    # What gRPC's core prints about refused ports and lost connections, the commands say better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    _require_streams()
    _hear_sigterm()
    try:
        code = program.main(prog_name="gapless", standalone_mode=False)
    except click.ClickException as error:
        code = _told(error)
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    except Terminated:
        code = TERMINATED
    except OSError as error:
        if error.errno not in _WRITE_FAULTS or error.filename is not None:
            raise
        code = _lost(error)
    fault = _write_out(sys.stdout)
    if fault is not None and not code:  # else it was told already, or there is worse
        code = _lost(fault)
    # Nothing can be told there then; what is asked of a command is on standard output.
    _write_out(sys.stderr)
    sys.exit(code)


def _hear_sigterm() -> None:
    """Lets SIGTERM end the command as Ctrl-C does, so that nothing half done is left behind.

    `serve` hears it in its own way, and whoever started this may want it ignored.
    """
    ended_time = -math.inf

    def end(_signal: int, _frame: FrameType | None) -> None:
        nonlocal ended_time
        # `timeout` sends it twice at once: the second must not end the cleaning up.
        if time.monotonic() - ended_time > _SIGTERM_AGAIN_SECONDS:
            ended_time = time.monotonic()
            raise Terminated

    if signal.getsignal(signal.SIGTERM) is signal.SIG_DFL:
        signal.signal(signal.SIGTERM, end)


def _require_streams() -> None:
    """Sees to it that there is something to write to: Python has None for what is closed."""
    streams: dict[str, TextIO | None] = {"stdout": sys.stdout, "stderr": sys.stderr}
    if streams["stderr"] is None:
        # It lasts as long as the process.
        sys.stderr = Path(os.devnull).open("w", encoding="utf-8")  # noqa: SIM115
    if streams["stdout"] is None:
        text = "standard output is closed; expected an open one: send it to /dev/null if need be"
        sys.exit(_told(CommandError(text)))
    # A path may have bytes that are no text.
    if isinstance(sys.stdout, TextIOWrapper):
        sys.stdout.reconfigure(errors="backslashreplace")


def _told(error: click.ClickException) -> int:
    """Tells an error on standard error, and returns its exit code."""
    # Where that cannot be written to, the code alone tells it.
    with suppress(OSError):
        error.show()
    return error.exit_code


def _lost(fault: OSError) -> int:
    """Tells that the output took less than it was given, and returns the exit code."""
    if isinstance(fault, BrokenPipeError):  # whoever read it has enough, and wants no word of it
        return FAILED
    return _told(
        CommandError(
            f"cannot write the output: {fault.strerror}; what was written of it is not whole"
        )
    )


def _write_out(stream: TextIO) -> OSError | None:
    """Writes what is buffered; returns what was wrong with that, and drops the rest then.

    Python would try it again at its end, and tell it in its own words.
    """
    try:
        stream.flush()
    except OSError as error:
        os.dup2(os.open(os.devnull, os.O_WRONLY), stream.fileno())
        return error
    return None
