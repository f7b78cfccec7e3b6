"""The compiled modules are there wherever they can be built; else their tests are skipped."""

from __future__ import annotations

import shutil
import sysconfig
from pathlib import Path

from gapless_server.compiled import AVAILABLE


def test_they_are_built_where_there_is_a_compiler() -> None:
    headers = Path(sysconfig.get_path("include"), "Python.h")

    assert AVAILABLE or not (shutil.which("cc") and headers.exists())
