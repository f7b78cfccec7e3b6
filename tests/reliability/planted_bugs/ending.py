"""A plugin of pytest: the process ends with its last test.

A test that a planted bug makes fail may leave a thread behind, which would keep the process.
"""

from __future__ import annotations

import os
import sys

import pytest

_EXIT_CODE = pytest.StashKey[int]()


def pytest_sessionfinish(session: pytest.Session, exitstatus: int) -> None:
    session.config.stash[_EXIT_CODE] = exitstatus


@pytest.hookimpl(tryfirst=True)
def pytest_unconfigure(config: pytest.Config) -> None:
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(config.stash.get(_EXIT_CODE, int(pytest.ExitCode.INTERNAL_ERROR)))
