"""No legal call holds up the event loop for long: every other call would wait as well (G7)."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from typing import Final

import pytest

from gapless.testing import manual_clock
from tests.reliability.harness import harness
from tests.reliability.heavy_calls import HEAVY, QUICK, Calls
from tests.reliability.measured_server import MeasuredServer
from tests.rpc.wire import open_wire

PAUSE_MS_MAX: Final = 100
TOO_LONG: Final = "pauses_too_long"
# Known to come near to that or go beyond it, in milliseconds: what cannot be done in parts.
KNOWN_MS: Final = {
    "a_change_of_ranges": 200,
    "a_group_of_offsets_that_fits_nowhere": 150,
    "a_list_of_10_000_items_inserted_at_once": 200,
    "a_release_of_all_that_an_owner_holds": 200,
    "an_erasure_out_of_a_round_of_the_largest_bodies": 250,
}


@pytest.fixture
def nothing_of_other_tests() -> Iterator[None]:
    """Keeps what this process has from before out of collections, as `gapless serve` does."""
    gc.collect()
    gc.freeze()
    yield
    gc.unfreeze()


@pytest.mark.usefixtures("nothing_of_other_tests")
async def test_g7_no_legal_call_holds_up_the_loop_for_100_ms() -> None:
    """In processor time of the service's thread, so that a busy machine makes no difference."""
    with harness("loop_pauses", small=1, full=5, promised=[TOO_LONG]) as run:
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
                    if pause_ms > KNOWN_MS.get(name, PAUSE_MS_MAX):
                        run.violation(TOO_LONG, f"{name}: {pause_ms} ms")
