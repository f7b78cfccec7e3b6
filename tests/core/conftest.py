"""What the tests of the core share. Helpers are imported by name; there are no fixtures here."""

import pytest

# Assertions in these helpers say what they found, like those in tests.
pytest.register_assert_rewrite("tests.core.story", "tests.core.chat_reads", "tests.core.chat_twice")
