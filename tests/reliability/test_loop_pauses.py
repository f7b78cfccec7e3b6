"""No legal call holds up the event loop for long: every other call would wait as well (G7)."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Final

import pytest

from gapless.testing import manual_clock
from gapless_server.cli.serve import GC_THRESHOLDS
from tests.reliability.harness import harness
from tests.reliability.heavy_calls import HEAVY, QUICK, Calls
from tests.reliability.measured_server import MeasuredServer
from tests.rpc.wire import open_wire

PAUSE_MS_MAX: Final = 100
TOO_LONG: Final = "pauses_too_long"


@pytest.fixture
def collector_of_a_service() -> Iterator[None]:
    """Collects garbage as `gapless serve` does, and leaves out what this process has from before.

    Else what takes long may be a collection of all that the calls before have made.
    """
    thresholds = gc.get_threshold()
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
    yield
    gc.set_threshold(*thresholds)
    gc.unfreeze()


@pytest.mark.usefixtures("collector_of_a_service")
async def test_g7_no_legal_call_holds_up_the_loop_for_100_ms() -> None:
    """In processor time of the service's thread, so that a busy machine makes no difference."""
    with harness("loop_pauses", small=1, full=2, promised=[TOO_LONG]) as run:
        cases = HEAVY if run.tier == "full" else QUICK
        clock = manual_clock()
        async with MeasuredServer(clock=clock) as server:
            for turn in range(run.times):
                for case in cases:
                    name = case.__name__
                    async for wire in open_wire(server.address, f"{turn}-{name}"[:63]):
                        await server.begin_anew()
                        await case(Calls(wire, clock, server.begin_anew))
                    pause_ms = round(await server.longest_seconds() * 1000)
                    run.counts[f"ms {name}"] = max(run.counts[f"ms {name}"], pause_ms)
                    if pause_ms > PAUSE_MS_MAX:
                        run.violation(TOO_LONG, f"{name}: {pause_ms} ms")
