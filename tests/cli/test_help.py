"""Help that a newcomer can work from: every command, every option, no words of the workshop."""

from __future__ import annotations

import click
import pytest

from gapless_server.cli.configuration import flag_name, variable_name
from gapless_server.cli.program import program
from gapless_server.settings import FIELDS
from tests.cli.commands import run, run_process

COMMANDS = program.list_commands(click.Context(program))

# Words that say something only to who wrote the service.
JARGON = ("asyncio", "coroutine", "decider", "evolve", "kernel", "msgspec", "protobuf", "servicer",
          "stub", "uvloop", "WAL", "xxhash")  # fmt: skip


@pytest.mark.parametrize("name", COMMANDS)
def test_help_says_what_a_command_does_and_how_it_ends(name: str) -> None:
    shown = run(name, "--help")

    assert shown.exit_code == 0
    assert shown.output.startswith(f"Usage: program {name} ")
    assert [word for word in JARGON if word in shown.output] == []


@pytest.mark.parametrize("name", [name for name in COMMANDS if name != "config"])
def test_help_lists_the_exit_codes(name: str) -> None:
    assert "130  it was interrupted" in run(name, "--help").output


@pytest.mark.parametrize("name", COMMANDS)
def test_every_option_says_what_it_is_for(name: str) -> None:
    command = program.get_command(click.Context(program), name)
    assert command is not None

    silent = [
        option.name
        for option in command.params
        if isinstance(option, click.Option) and not (option.help or "").strip()
    ]

    assert silent == []


@pytest.mark.parametrize("name", ["serve", "config"])
def test_every_setting_is_an_option_that_names_its_variable(name: str) -> None:
    output = run(name, "--help").output

    for setting in FIELDS:
        assert flag_name(setting) in output
        assert f"[{variable_name(setting)};" in output.replace("\n", "").replace(" ", "")


@pytest.mark.parametrize("name", ["backup", "import"])
def test_what_takes_as_long_as_there_is_to_do_has_no_timeout(name: str) -> None:
    assert "--timeout" not in run(name, "--help").output


def test_the_first_help_lists_every_command_in_one_line_each() -> None:
    output = run("--help").output

    lines = {line.split()[0]: line for line in output.splitlines() if line.startswith("  ")}
    assert [name for name in COMMANDS if name not in lines] == []
    assert not [line for line in lines.values() if line.endswith("...")]


def test_an_unknown_command_and_an_unknown_option_are_refused_with_2() -> None:
    command, option = run_process("severe"), run("serve", "--prot", 1)

    assert command.returncode == option.exit_code == 2
    assert "No such command 'severe'" in command.stderr
    assert "--port" in option.output


def test_the_version_is_that_of_the_package() -> None:
    assert run("--version").output == "gapless, version 0.1.0\n"
