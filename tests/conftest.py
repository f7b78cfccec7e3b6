"""What all tests share. Fixtures for a service come with the package: see `pytest_gapless`."""

import pytest
from hypothesis import settings

# Assertions in these helpers say what they found, like those in tests.
pytest.register_assert_rewrite(
    "tests.rpc.watching",
    "tests.rpc.wire",
    "tests.scenarios.connections",
    "tests.writer.harness",
)

# How long an example takes depends on the machine; no test here is about time.
settings.register_profile("gapless", deadline=None)
settings.load_profile("gapless")
