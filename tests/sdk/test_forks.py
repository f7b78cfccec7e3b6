"""A client of the parent says in a forked child what to do instead; it never hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from typing import Any

import pytest

from gapless.testing import SubprocessServer

pytestmark = pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")


def _told_by(chosen: str, **environment: str) -> dict[str, Any]:
    with SubprocessServer(journal="memory") as server:
        program = subprocess.run(
            [sys.executable, "-m", "tests.sdk.forking", chosen, server.address],
            capture_output=True,
            env=os.environ | environment,
            text=True,
            timeout=60,
        )
    assert program.returncode == 0, program.stderr
    told: dict[str, Any] = json.loads(program.stdout)
    return told


def test_after_a_fork_the_child_needs_a_blocking_client_of_its_own() -> None:
    told = _told_by("blocking")

    for call in ("command", "read"):
        assert told[call].startswith("ClientForkedError")
        assert "create a new client in the child" in told[call]
    assert (told["fresh"], told["parent"]) == (1, 2)


def test_closing_in_a_child_that_began_while_the_client_connected_does_not_hang() -> None:
    told = _told_by("opening")

    assert told["command"].startswith("ClientForkedError")
    assert told["closed"] is True


def test_after_a_fork_the_child_of_a_process_on_asyncio_is_told_to_spawn() -> None:
    # gRPC's own handling of forks, which is on unless told otherwise, now and then crashes a child
    # of a process that uses it with asyncio, even if that does nothing.
    told = _told_by("async", GRPC_ENABLE_FORK_SUPPORT="0")

    for call in ("command", "read"):
        assert told[call].startswith("ClientForkedError")
        assert "create a new client in the child" in told[call]
    assert "start method 'spawn'" in told["fresh"]
    assert told["parent"] == 1
