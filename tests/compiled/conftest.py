from __future__ import annotations

import pytest

from gapless_server.compiled import AVAILABLE


@pytest.fixture(autouse=True)
def _compiled_modules() -> None:
    if not AVAILABLE:
        pytest.skip("the compiled modules were not built: that takes gcc and python3-dev")
