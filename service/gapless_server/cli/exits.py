"""How a command ends: its exit code, and the one sentence that says why."""

from __future__ import annotations

from typing import Final

import click

OK: Final = 0
FAILED: Final = 1
USAGE: Final = 2  # what click itself exits with
BROKEN_PROMISE: Final = 3
IN_USE: Final = 4
INTERRUPTED: Final = 130  # what a shell reports of a program that Ctrl-C ended
TERMINATED: Final = 143  # and of one that SIGTERM ended

EXIT_CODES_HELP: Final = """\b
Exit codes:
  0    it did what was asked
  1    it failed: the message says what and what to do
  2    it was asked for in a wrong way: an option, setting or file
  3    a promise is broken or a log damaged: the message says which and where
  4    the port or the data belongs to another process
  130  it was interrupted; 143 by SIGTERM"""


class Terminated(SystemExit):
    """SIGTERM ends the command: what it was at is cleaned up on the way out."""


class CommandError(click.ClickException):
    """Ends the command with a sentence on standard error. The base of the ones below."""

    exit_code = FAILED


class WrongSettings(CommandError):
    """An option, a setting or a file is not what it should be."""

    exit_code = USAGE


class BrokenPromise(CommandError):
    """The log is damaged, or it or the answers break a promise."""

    exit_code = BROKEN_PROMISE


class InUse(CommandError):
    """Another process has the port or the data."""

    exit_code = IN_USE
