"""The pytest plugin: what its fixtures give, and that it costs nothing where it is not used."""

from __future__ import annotations

import subprocess
import sys

import pytest

pytest_plugins = ["pytester"]

# Above what the runs take by far; they start an interpreter and a server.
SECONDS_MAX = 60

BLOCKING_TESTS = """
    import pytest
    from gapless.errors import ChannelNotFound

    def test_posts(gapless_client):
        gapless_client.channels.create("general")
        assert gapless_client.messages.post("general", "ann", "hello").sequence == 1

    def test_sees_nothing_of_the_other_test(gapless_client):
        with pytest.raises(ChannelNotFound):
            gapless_client.channels.get("general")

    def test_time_stands_still_until_it_is_advanced(gapless_client, gapless_clock):
        def commit_time(channel_id):
            return gapless_client.channels.create(channel_id).receipt.commit_time.ToMicroseconds()

        first, second = commit_time("a"), commit_time("b")
        gapless_clock.advance(60)
        assert commit_time("c") - second == 60_000_000
        assert second == first

    def test_the_server_is_at_hand(gapless_server):
        assert gapless_server.is_running
        with gapless_server.client("another") as client:
            client.channels.create("general")
"""

ASYNC_TESTS = """
    import pytest
    from gapless.errors import ChannelNotFound

    async def test_posts(async_gapless_client):
        await async_gapless_client.channels.create("general")
        posted = await async_gapless_client.messages.post("general", "ann", "hello")
        assert posted.sequence == 1

    async def test_sees_nothing_of_the_other_test(async_gapless_client):
        with pytest.raises(ChannelNotFound):
            await async_gapless_client.channels.get("general")
"""


def run(pytester: pytest.Pytester, *arguments: str) -> pytest.RunResult:
    # What pytest-asyncio would warn about if it were left open.
    scope = ("-o", "asyncio_default_fixture_loop_scope=function")
    return pytester.runpytest_subprocess("-W", "error", *scope, *arguments, timeout=SECONDS_MAX)


def test_each_test_has_a_client_in_a_namespace_of_its_own(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BLOCKING_TESTS)

    run(pytester).assert_outcomes(passed=4)


@pytest.mark.parametrize("mode", ["auto", "strict"])
def test_asynchronous_tests_have_a_client_too(pytester: pytest.Pytester, mode: str) -> None:
    mark = "" if mode == "auto" else "    import pytest\n    pytestmark = pytest.mark.asyncio\n"
    pytester.makepyfile(mark + ASYNC_TESTS)

    run(pytester, "-o", f"asyncio_mode={mode}").assert_outcomes(passed=2)


def test_it_works_without_pytest_asyncio(pytester: pytest.Pytester) -> None:
    pytester.makepyfile(BLOCKING_TESTS)

    pytester.runpytest_subprocess(
        "-W", "error", "-p", "no:asyncio", timeout=SECONDS_MAX
    ).assert_outcomes(passed=4)


def test_its_fixtures_are_listed_with_what_they_are(pytester: pytest.Pytester) -> None:
    result = run(pytester, "--fixtures")

    listed = result.stdout.str()
    for name in ("gapless_server", "gapless_client", "async_gapless_client", "gapless_clock"):
        assert name in listed


NOTHING_IMPORTED = """
import sys
import pytest
import pytest_gapless
assert pytest_gapless.__doc__
print([name for name in sys.modules if name.split(".")[0] in {"gapless", "gapless_server", "grpc"}])
"""


def test_loading_it_imports_nothing_of_gapless() -> None:
    """So it costs nothing, and coverage sees the package imported when it is measured."""
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", NOTHING_IMPORTED],
        capture_output=True,
        text=True,
        timeout=SECONDS_MAX,
        check=True,
    )

    assert done.stdout == "[]\n"


def test_a_run_that_does_not_use_it_imports_nothing_of_gapless(
    pytester: pytest.Pytester,
) -> None:
    pytester.makepyfile(
        """
        import sys

        def test_nothing_is_imported():
            assert "pytest_gapless" in sys.modules
            assert "gapless" not in sys.modules
            assert "grpc" not in sys.modules
        """
    )

    run(pytester).assert_outcomes(passed=1)
