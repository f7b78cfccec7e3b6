"""The options of a command that takes settings: one flag a setting, and `--config`."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import wraps
from pathlib import Path
from typing import Any, Final, TypeVar

import click

from gapless_server.cli.configuration import (
    Configuration,
    flag_name,
    resolve,
    variable_name,
)
from gapless_server.cli.paths import GivenPath, require_filled
from gapless_server.settings import FIELDS, TYPES

Command = TypeVar("Command", bound=Callable[..., Any])

_METAVARS: Final = {int: "NUMBER", float: "NUMBER", str: "TEXT", Path: "PATH"}


def _option(name: str) -> Callable[[Command], Command]:
    field, kind = FIELDS[name], TYPES[name]
    shown = str(field.default).lower() if kind is bool else field.default
    text = f"{field.metadata['help']}  [{variable_name(name)}; default: {shown}]"
    flag = flag_name(name)
    if kind is bool:
        return click.option(f"{flag}/--no-{flag[2:]}", name, default=None, help=text)
    choices = field.metadata["choices"]
    if choices:
        return click.option(flag, name, type=click.Choice(choices), help=text)
    option_type = GivenPath() if kind is Path else kind
    return click.option(flag, name, type=option_type, metavar=_METAVARS[kind], help=text)


def settings_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command every setting as a flag, and calls it with `configuration` instead."""

    @wraps(command)
    def with_configuration(config: Path | None, **given: Any) -> None:
        if config is None:
            require_filled("GAPLESS_CONFIG")
        flags = {name: given.pop(name) for name in FIELDS}
        command(configuration=resolve(flags, os.environ, config), **given)

    for name in reversed(FIELDS):
        with_configuration = _option(name)(with_configuration)
    return click.option(
        "--config",
        type=GivenPath(),
        envvar="GAPLESS_CONFIG",
        metavar="FILE",
        help="A TOML file of settings, keyed like the flags with underscores.  [GAPLESS_CONFIG]",
    )(with_configuration)


__all__ = ["Configuration", "settings_options"]
