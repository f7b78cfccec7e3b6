"""The script `gapless` where only the SDK is installed: what to install, and no traceback."""

from __future__ import annotations

import subprocess
import sys

from tests.cli.commands import SECONDS_MAX

# As in an environment without the extra: Python takes None for a module that is not there.
SCRIPT = """
import sys
sys.modules["click"] = None
from gapless_server.cli import main
sys.exit(main())
"""


def test_the_command_line_without_the_service_says_what_to_install() -> None:
    ended = subprocess.run(
        [sys.executable, "-c", SCRIPT, "--version"],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
    )

    assert (ended.returncode, ended.stdout) == (1, "")
    assert ended.stderr == (
        "Error: the command line comes with the service and lacks 'click'; install the service"
        " beside the SDK: pip install 'gapless[server]'\n"
    )
