"""A client of the parent says in a forked child what to do instead; it never hangs."""

from __future__ import annotations

import json
import os
import subprocess
import sys

import pytest

from gapless.testing import SubprocessServer
from tests.sdk.colours import Colour


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
def test_after_a_fork_the_child_needs_a_client_of_its_own(colour: Colour) -> None:
    # Given a program that uses a client and forks, and whose child tries what there is
    with SubprocessServer(journal="memory") as server:
        program = subprocess.run(
            [sys.executable, "-m", "tests.sdk.forking", colour, server.address],
            capture_output=True,
            text=True,
            timeout=60,
        )
    assert program.returncode == 0, program.stderr
    told = json.loads(program.stdout)

    for call in ("command", "read"):
        assert told[call].startswith("ClientForkedError")
        assert "create a new client in the child" in told[call]
    # gRPC has no asyncio in the child of a process that uses it: said at once, not by hanging.
    if colour == "async":
        assert "use the blocking gapless.Client" in told["fresh_asyncio"]
    assert (told["fresh"], told["parent"]) == (1, 2)
