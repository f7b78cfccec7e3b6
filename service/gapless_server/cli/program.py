"""The group of all commands. A command's module is imported when it is asked for."""

from __future__ import annotations

import os
import sys
from importlib import import_module, metadata
from typing import Final

import click

from gapless_server.cli.exits import EXIT_CODES_HELP, INTERRUPTED

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
    try:
        code = program.main(prog_name="gapless", standalone_mode=False)
    except click.ClickException as error:
        error.show()
        code = error.exit_code
    except (click.Abort, KeyboardInterrupt):
        code = INTERRUPTED
    sys.exit(code)
