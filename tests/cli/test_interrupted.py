"""A command that a signal ends leaves nothing half done behind."""

from __future__ import annotations

import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from tests.cli.commands import SECONDS_MAX
from tests.cli.test_import_log import HEADER


def _hears_ctrl_c() -> None:
    """Runs in the new process: what a shell starts in the background ignores Ctrl-C otherwise."""
    signal.signal(signal.SIGINT, signal.default_int_handler)


@pytest.mark.parametrize(
    ("numbers", "code"),
    [
        ([signal.SIGINT], 130),
        ([signal.SIGTERM], 143),
        # As `timeout` sends it: to the process, and to all of its group.
        ([signal.SIGTERM, signal.SIGTERM], 143),
    ],
    ids=["ctrl-c", "sigterm", "sigterm twice"],
)
def test_the_draft_of_an_import_is_gone_after_a_signal(
    numbers: list[signal.Signals], code: int, tmp_path: Path
) -> None:
    data = tmp_path / "data"
    command = [sys.executable, "-m", "gapless_server", "import-log", "-", "--data", str(data)]
    with subprocess.Popen(
        [*command, "-n", "x"],
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        preexec_fn=_hears_ctrl_c,
    ) as importing:
        try:
            assert importing.stdin is not None
            importing.stdin.write(HEADER)
            importing.stdin.flush()
            # It waits for the second line, with its draft begun.
            give_up_time = time.monotonic() + SECONDS_MAX
            while not list(data.glob("drafts/*")):
                assert importing.poll() is None
                assert time.monotonic() < give_up_time
                time.sleep(0.01)  # until the draft is there
            for number in numbers:
                importing.send_signal(number)
            # Its input stays open: only the signals end it.
            importing.wait(SECONDS_MAX)
        finally:
            importing.kill()

    assert importing.returncode == code
    assert [path.name for path in data.rglob("*") if path.is_file()] == ["owner.lock"]
