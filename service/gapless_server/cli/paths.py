"""Paths that the operator gives: an empty one is a mistake, not the directory one is in."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from gapless_server.cli.exits import WrongSettings

Command = TypeVar("Command", bound=Callable[..., Any])

_DATA_VARIABLE: Final = "GAPLESS_DATA"


class GivenPath(click.Path):
    """A path, which is not empty: an empty one would mean the directory one happens to be in."""

    def __init__(self, **rules: Any) -> None:
        super().__init__(path_type=Path, **rules)

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        """Returns the path."""
        if value == "":
            self.fail("it is empty; expected a path", param, ctx)
        return super().convert(value, param, ctx)


def require_filled(variable: str) -> None:
    """Refuses a variable of the environment that is set to nothing, which click takes for unset."""
    if os.environ.get(variable) == "":
        raise WrongSettings(
            f"the environment variable {variable} is empty; expected a path: set it to one, or"
            " unset it"
        )


def _path_of_logs(ctx: click.Context, param: click.Parameter, path: Path) -> Path:
    if ctx.get_parameter_source(str(param.name)) is click.core.ParameterSource.DEFAULT:
        require_filled(_DATA_VARIABLE)
    return path


def logs_argument(command: Command) -> Command:
    """Gives a command the argument `path`: a data directory or one log file."""
    return click.argument(
        "path",
        type=GivenPath(),
        default=Path("data"),
        envvar=_DATA_VARIABLE,
        callback=_path_of_logs,
    )(command)
