"""Part C: the service is killed at any moment and started again."""

from __future__ import annotations

from pathlib import Path

import pytest

from tests.reliability.acknowledged import PROMISED, compare
from tests.reliability.forked_service import ForkedService
from tests.reliability.harness import harness
from tests.reliability.kills import Killer, between_kills, final_head
from tests.scenarios.busy_clients import CHANNELS, busy_clients
from tests.scenarios.processes import Place

CLIENTS = 4
ENTRIES_BETWEEN_KILLS = 100


@pytest.mark.timeout(0)
def test_c4_a_service_killed_at_any_moment_loses_nothing_doubles_nothing_and_leaves_no_gap(
    tmp_path: Path,
) -> None:
    with (
        harness("c4", small=8, full=50, promised=PROMISED) as run,
        ForkedService(directory=tmp_path) as server,
        server.client("c4") as client,
    ):
        for channel_id in CHANNELS:
            client.channels.create(channel_id)
        killer = Killer(server, client, "c4", run.chance)
        with busy_clients(Place(server.address, "c4"), CLIENTS, run.seed) as clients:
            for _kill in between_kills(client, ENTRIES_BETWEEN_KILLS, run.times):
                killer.ways["at_work"]()
            clients.stop()
            clients.settled()
            head = final_head(server, "c4")
            reports = clients.reports(head_position=head)
        assert [report.failure for report in reports] == [""] * CLIENTS
        compare(run, tmp_path / "data", "c4", reports, len(CHANNELS), head)
