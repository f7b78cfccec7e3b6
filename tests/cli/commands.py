"""Runs the command line for tests: in this process, or in one of its own."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from click.testing import CliRunner, Result

from gapless_server.cli.program import program

# A start takes under a second; a hang must end the test.
SECONDS_MAX = 60.0
_LOOK_SECONDS = 0.01


def run(*arguments: Any, environment: Mapping[str, str] | None = None) -> Result:
    """Runs a command in this process; the result has its output and exit code."""
    return CliRunner().invoke(program, [str(one) for one in arguments], env=environment)


def run_process(
    *arguments: Any, environment: Mapping[str, str] | None = None
) -> subprocess.CompletedProcess[str]:
    """Runs a command in a process of its own, as a shell does."""
    return subprocess.run(
        _command(arguments),
        capture_output=True,
        text=True,
        env=_environment(environment),
        timeout=SECONDS_MAX,
    )


@contextmanager
def serving(
    *arguments: Any, directory: Path, environment: Mapping[str, str] | None = None
) -> Iterator[tuple[subprocess.Popen[str], str]]:
    """Runs `gapless serve`; gives its process and its address, and kills what is left of it."""
    address_file = directory / "address"
    command = _command(("serve", *arguments, "--address-file", address_file))
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=_environment(environment),
    )
    try:
        give_up_time = time.monotonic() + SECONDS_MAX
        while not address_file.exists():
            assert process.poll() is None, process.stderr and process.stderr.read()
            assert time.monotonic() < give_up_time
            time.sleep(_LOOK_SECONDS)  # until the file is there
        yield process, address_file.read_text().strip()
    finally:
        process.kill()
        process.communicate()


def _command(arguments: tuple[Any, ...]) -> list[str]:
    return [sys.executable, "-m", "gapless_server", *(str(one) for one in arguments)]


def _environment(added: Mapping[str, str] | None) -> dict[str, str]:
    kept = {name: value for name, value in os.environ.items() if not name.startswith("GAPLESS_")}
    return {**kept, **(added or {})}
