"""Settings come from flags, environment, file and defaults, in that order of strength."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from gapless_server.cli.configuration import (
    SettingValue,
    resolve,
    unknown_variables,
    variable_name,
)
from gapless_server.cli.exits import WrongSettings
from gapless_server.settings import FIELDS, INT64_MAX, MIB, Settings
from tests.cli.commands import run


@pytest.fixture
def file(tmp_path: Path) -> Path:
    """A file that sets the port and the grace."""
    path = tmp_path / "gapless.toml"
    path.write_text('port = 3000\ngrace_seconds = 3\nlog_level = "warning"\n')
    return path


def _found(
    name: str,
    flags: dict[str, Any] | None = None,
    environment: dict[str, str] | None = None,
    file: Path | None = None,
) -> SettingValue:
    [found] = [
        value
        for value in resolve(flags or {}, environment or {}, file).values
        if value.name == name
    ]
    return found


def _written(tmp_path: Path, text: str) -> Path:
    path = tmp_path / "gapless.toml"
    path.write_text(text)
    return path


def test_without_anything_said_the_defaults_hold() -> None:
    configuration = resolve({}, {}, None)

    assert configuration.settings() == Settings()
    assert {value.source for value in configuration.values} == {"default"}
    assert Settings().host == "127.0.0.1"


def test_a_flag_is_stronger_than_the_environment_and_that_than_the_file(file: Path) -> None:
    flags, environment = {"port": 1000}, {"GAPLESS_PORT": "2000"}

    assert _found("port", flags, environment, file) == SettingValue("port", 1000, "flag --port")
    assert _found("port", {}, environment, file) == SettingValue(
        "port", 2000, "environment variable GAPLESS_PORT"
    )
    assert _found("port", {}, {}, file) == SettingValue("port", 3000, f"file {file}")
    assert _found("port") == SettingValue("port", 4275, "default")


def test_every_setting_can_be_given_in_each_of_the_three_ways(tmp_path: Path) -> None:
    for name, field in FIELDS.items():
        default = field.default
        toml = json.dumps(str(default) if isinstance(default, Path) else default)

        in_file = _found(name, file=_written(tmp_path, f"{name} = {toml}"))
        in_environment = _found(name, environment={variable_name(name): str(default)})
        given = _found(name, flags={name: default})

        assert in_file.value == in_environment.value == given.value == default
        assert type(in_file.value) is type(in_environment.value)


@pytest.mark.parametrize(
    ("text", "value"),
    [("true", True), ("on", True), ("1", True), ("FALSE", False), ("no", False), ("0", False)],
)
def test_yes_and_no_are_understood_in_the_environment(text: str, value: bool) -> None:
    found = _found("create_namespaces", environment={"GAPLESS_CREATE_NAMESPACES": text})

    assert found.value is value


@pytest.mark.parametrize(
    ("unknown", "nearest"),
    [("prot", "port"), ("log_levl", "log_level"), ("page_items_maximum", "page_items_max")],
)
def test_an_unknown_key_in_the_file_is_refused_with_the_nearest_known_one(
    tmp_path: Path, unknown: str, nearest: str
) -> None:
    path = _written(tmp_path, f"{unknown} = 1")

    with pytest.raises(WrongSettings) as refused:
        resolve({}, {}, path)

    assert refused.value.message == (
        f"the settings file {path} has the unknown key '{unknown}'; did you mean '{nearest}'?"
        " `gapless config` lists all"
    )


def test_only_what_is_named_like_a_setting_and_is_none_is_unknown() -> None:
    known = {variable_name(name): "" for name in FIELDS}
    own = {"GAPLESS_ADDRESS": "", "GAPLESS_NAMESPACE": "", "GAPLESS_CONFIG": "", "GAPLESS_SEED": ""}
    unknown = {"GAPLESS_PROT": "", "GAPLESS_LOGLEVEL": "", "GAPLESS_X": "", "OTHERS": ""}

    assert unknown_variables(known | own) == {}
    assert unknown_variables(known | own | unknown) == {
        "GAPLESS_LOGLEVEL": "GAPLESS_LOG_LEVEL",
        "GAPLESS_PROT": "GAPLESS_PORT",
        "GAPLESS_X": None,
    }


@pytest.mark.parametrize(
    ("variable", "text", "allowed"),
    [
        ("GAPLESS_PORT", "65536", "a whole number from 0 to 65535"),
        ("GAPLESS_PORT", "-1", "a whole number from 0 to 65535"),
        ("GAPLESS_PORT", "http", "a whole number from 0 to 65535"),
        # What Kubernetes puts there for a service that is called gapless.
        ("GAPLESS_PORT", "tcp://10.0.0.1:4275", "a whole number from 0 to 65535"),
        ("GAPLESS_QUEUE_COMMANDS_MAX", "-5", f"a whole number from 1 to {INT64_MAX}"),
        ("GAPLESS_QUEUE_COMMANDS_MAX", "1.5", f"a whole number from 1 to {INT64_MAX}"),
        ("GAPLESS_ROUND_BYTES_MAX", "9" * 26, f"a whole number from {MIB} to {INT64_MAX}"),
        ("GAPLESS_CHECKPOINT_ENTRIES", "0", f"a whole number from 1 to {INT64_MAX}"),
        ("GAPLESS_CHECKPOINT_ENTRIES", "-5", f"a whole number from 1 to {INT64_MAX}"),
        ("GAPLESS_GRACE_SECONDS", "nan", "a finite number of at least 0"),
        ("GAPLESS_GRACE_SECONDS", "-0.1", "a finite number of at least 0"),
        ("GAPLESS_GRACE_SECONDS", "inf", "a finite number of at least 0"),
        ("GAPLESS_LOG_LEVEL", "loud", "one of debug, info, warning, error"),
        ("GAPLESS_JOURNAL", "postgres", "one of sqlite, memory"),
        ("GAPLESS_CREATE_NAMESPACES", "perhaps", "true or false"),
        ("GAPLESS_HOST", "", "a text that is not empty"),
    ],
)
def test_a_value_out_of_range_is_refused_with_what_is_allowed(
    variable: str, text: str, allowed: str
) -> None:
    name = variable.removeprefix("GAPLESS_").lower()

    with pytest.raises(WrongSettings) as refused:
        resolve({}, {variable: text}, None)

    assert refused.value.message.startswith(f"{name} (environment variable {variable}) is ")
    assert refused.value.message.endswith(f"; expected {allowed}")


@pytest.mark.parametrize(
    ("line", "name"),
    [
        ('port = "4275"', "port"),
        ("port = true", "port"),
        ("host = 1", "host"),
        ("data = 1", "data"),
    ],
)
def test_a_value_of_another_type_in_the_file_is_refused(
    tmp_path: Path, line: str, name: str
) -> None:
    path = _written(tmp_path, line)

    with pytest.raises(WrongSettings, match=rf"^{name} \(file "):
        resolve({}, {}, path)


def test_a_file_that_is_not_there_or_not_toml_is_refused(tmp_path: Path) -> None:
    with pytest.raises(WrongSettings, match=r"cannot read the settings file .*nowhere"):
        resolve({}, {}, tmp_path / "nowhere")
    with pytest.raises(WrongSettings, match="is not TOML"):
        resolve({}, {}, _written(tmp_path, "port: 3000"))


@pytest.mark.parametrize("text", ["[serve]\nport = 1", "[port]\na = 1", "serve.port = 1"])
def test_a_table_in_the_file_is_refused_as_one(tmp_path: Path, text: str) -> None:
    with pytest.raises(WrongSettings, match=r"has the table \[\w+\]; tables are not taken"):
        resolve({}, {}, _written(tmp_path, text))


def test_config_shows_each_value_and_where_it_came_from(file: Path) -> None:
    environment = {"GAPLESS_CONFIG": str(file), "GAPLESS_LOG_LEVEL": "debug"}

    shown = run("config", "--json", "--port", "1000", environment=environment)

    settings = json.loads(shown.output)
    assert settings["port"] == {"value": 1000, "source": "flag --port"}
    assert settings["log_level"] == {
        "value": "debug",
        "source": "environment variable GAPLESS_LOG_LEVEL",
    }
    assert settings["grace_seconds"] == {"value": 3.0, "source": f"file {file}"}
    assert settings["data"] == {"value": "data", "source": "default"}
    assert list(settings) == list(FIELDS)


def test_config_shows_a_table_to_people() -> None:
    shown = run("config", "--no-create-namespaces")

    [row] = [line for line in shown.output.splitlines() if "create_namespaces" in line]
    assert [cell.strip() for cell in row.split("│")[1:-1]] == [
        "create_namespaces",
        "false",
        "flag --create-namespaces",
    ]


def test_config_refuses_what_serve_would_refuse() -> None:
    refused = run("config", "--port", "70000")

    assert refused.exit_code == 2
    assert refused.output == (
        "Error: port (flag --port) is 70000; expected a whole number from 0 to 65535\n"
    )
