"""gapless itself, started as an operator starts it, with its default settings."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path

from bench.servers import HOST, free_port, running


@contextmanager
def server(directory: Path, environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """Runs `gapless serve`; its logs lie in the directory."""
    port = free_port()
    command = [sys.executable, "-m", "gapless_server", "serve", "--port", str(port)]
    command += ["--data", str(directory / "data")]
    with running(command, port, directory / "log", environment) as pid:
        yield {"target": f"{HOST}:{port}", "pid": pid, "data": str(directory / "data")}


def server_version() -> str:
    """The version of the package."""
    return f"gapless {metadata.version('gapless')}"
