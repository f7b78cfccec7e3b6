"""One real log for all tests of the recount."""

from __future__ import annotations

from pathlib import Path

import pytest

from gapless_server.journal.port import Round
from tests.verify.logs import log_of, make_log, rounds_of


@pytest.fixture(scope="package")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The data directory of a service that has stopped; not to be changed."""
    return make_log(tmp_path_factory.mktemp("verify"))


@pytest.fixture(scope="package")
def rounds(data: Path) -> list[Round]:
    """The rounds of its log, one a command."""
    return rounds_of(log_of(data))
