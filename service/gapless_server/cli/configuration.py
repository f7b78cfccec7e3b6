"""Where each setting comes from: a flag, the environment, a TOML file, or its default.

In that order of strength. The settings themselves are the fields of `Settings`; this module
only finds their values, checks them, and remembers where each one was found.
"""

from __future__ import annotations

import difflib
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from gapless_server.cli.exits import WrongSettings
from gapless_server.settings import FIELDS, TYPES, Settings, allowed, is_of_type, keeps_rule

ENVIRONMENT_PREFIX: Final = "GAPLESS_"

# What begins so and is no setting, but of the command line, the tests or the soak.
_OTHER_VARIABLES: Final = frozenset(
    f"{ENVIRONMENT_PREFIX}{name}"
    for name in ["ADDRESS", "NAMESPACE", "CONFIG", "TIER", "SEED", "TIMES", "REPORT", "LOCK_CYCLES"]
)

# How like a setting's a name must be, from 0 to 1, to be taken for it.
_NEARNESS_MIN: Final = 0.7

_TRUE: Final = ("true", "yes", "on", "1")
_FALSE: Final = ("false", "no", "off", "0")


@dataclass(frozen=True, slots=True)
class SettingValue:
    """A setting, its value, and where the value was found."""

    name: str
    value: Any
    source: str


@dataclass(frozen=True, slots=True)
class Configuration:
    """Every setting with its source, in the order of `Settings`."""

    values: tuple[SettingValue, ...]

    def settings(self) -> Settings:
        """The values, as the service takes them."""
        return Settings(**{found.name: found.value for found in self.values})


def flag_name(setting: str) -> str:
    """The flag of a setting."""
    return f"--{setting.replace('_', '-')}"


def variable_name(setting: str) -> str:
    """The environment variable of a setting."""
    return f"{ENVIRONMENT_PREFIX}{setting.upper()}"


def resolve(
    flags: Mapping[str, Any], environment: Mapping[str, str], config_file: Path | None
) -> Configuration:
    """Finds the value of every setting.

    `flags` holds the settings given on the command line, of the right types; None is not given.
    Raises WrongSettings, naming the place, what is allowed and what was found.
    """
    in_file = {} if config_file is None else _read_file(config_file)
    values = []
    for name, field in FIELDS.items():
        if flags.get(name) is not None:
            found = SettingValue(name, flags[name], f"flag {flag_name(name)}")
        elif variable_name(name) in environment:
            source = f"environment variable {variable_name(name)}"
            found = SettingValue(name, _from_text(name, environment[variable_name(name)]), source)
        elif name in in_file:
            found = SettingValue(name, in_file[name], f"file {config_file}")
        else:
            found = SettingValue(name, field.default, "default")
        values.append(_checked(found))
    return Configuration(tuple(values))


def unknown_variables(environment: Mapping[str, str]) -> dict[str, str | None]:
    """Returns the variables that are named like settings and are none, with what may be meant.

    Another program may own such a name, so none of them is wrong for sure.
    """
    known = {variable_name(name) for name in FIELDS}
    unknown: dict[str, str | None] = {}
    for variable in sorted(environment.keys() - _OTHER_VARIABLES):
        if variable.startswith(ENVIRONMENT_PREFIX) and variable not in known:
            name = variable.removeprefix(ENVIRONMENT_PREFIX).lower()
            nearest = difflib.get_close_matches(name, FIELDS, n=1, cutoff=_NEARNESS_MIN)
            unknown[variable] = variable_name(nearest[0]) if nearest else None
    return unknown


def _wrong(name: str, source: str, value: object) -> WrongSettings:
    return WrongSettings(f"{name} ({source}) is {value!r}; expected {allowed(name)}")


def _read_file(path: Path) -> dict[str, Any]:
    try:
        found = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise WrongSettings(f"cannot read the settings file {path}: {error.strerror}") from error
    except ValueError as error:
        raise WrongSettings(f"the settings file {path} is not TOML: {error}") from error
    for name, value in found.items():
        if isinstance(value, dict):
            raise WrongSettings(
                f"the settings file {path} has the table [{name}]; tables are not taken: write"
                " each setting as `name = value`"
            )
        if name not in FIELDS:
            raise WrongSettings(f"the settings file {path} has {_unknown(name)}")
    return {name: _from_toml(name, value, f"file {path}") for name, value in found.items()}


def _unknown(name: str) -> str:
    nearest = difflib.get_close_matches(name, FIELDS, n=1, cutoff=0)
    return f"the unknown key {name!r}; did you mean {nearest[0]!r}? `gapless config` lists all"


def _from_toml(name: str, value: object, source: str) -> Any:
    kind = TYPES[name]
    if kind is Path and isinstance(value, str) and value:
        return Path(value)
    if kind is float and type(value) is int:
        return float(value)
    if not is_of_type(name, value):
        raise _wrong(name, source, value)
    return value


def _from_text(name: str, text: str) -> Any:
    source, kind = f"environment variable {variable_name(name)}", TYPES[name]
    if kind is bool:
        if text.lower() not in _TRUE + _FALSE:
            raise _wrong(name, source, text)
        return text.lower() in _TRUE
    # An empty path would be the directory that one happens to be in.
    if kind is Path and not text:
        raise _wrong(name, source, text)
    try:
        return kind(text)
    except ValueError:
        raise _wrong(name, source, text) from None


def _checked(found: SettingValue) -> SettingValue:
    if not keeps_rule(found.name, found.value):
        raise _wrong(found.name, found.source, found.value)
    return found
