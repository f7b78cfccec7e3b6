"""Bad input is refused in documented words and changes nothing; a senseless log is not served."""

from __future__ import annotations

import grpc.aio
import pytest

from gapless.testing import InProcessServer
from tests.reliability.fuzzing.calls import STRETCH, CallFuzzer
from tests.reliability.fuzzing.over_grpc import WireFuzzer
from tests.reliability.fuzzing.stored import STRETCH as STARTS
from tests.reliability.fuzzing.stored import LogFuzzer
from tests.reliability.fuzzing.verdicts import FAULTS, HANGS, PROMISED, SERVED, UNDOCUMENTED
from tests.reliability.harness import harness


@pytest.mark.timeout(0)
async def test_fuzzed_calls_are_answered_in_documented_words_and_change_nothing() -> None:
    with harness("fuzzing", small=19_000, full=1_900_000, promised=PROMISED) as run:
        left = run.times
        while left > 0:
            await CallFuzzer(run).stretch(min(left, STRETCH))
            left -= STRETCH


@pytest.mark.timeout(0)
async def test_g8_a_log_that_makes_no_sense_is_refused_at_its_start_in_clear_words() -> None:
    promised = (SERVED, FAULTS, UNDOCUMENTED, HANGS)
    with harness("fuzzing_logs", small=1000, full=100_000, promised=promised) as run:
        left = run.times
        while left > 0:
            await LogFuzzer(run).stretch(min(left, STARTS))
            left -= STARTS


@pytest.mark.timeout(0)
async def test_fuzzed_calls_over_grpc_are_answered_in_documented_words() -> None:
    promised = (UNDOCUMENTED, FAULTS, HANGS)
    with (
        harness("fuzzing_grpc", small=300, full=20_000, promised=promised) as run,
        InProcessServer(journal="memory") as server,
    ):
        async with grpc.aio.insecure_channel(server.address) as channel:
            fuzzer = WireFuzzer(run, channel)
            for _ in range(run.times):
                await fuzzer.call()
