"""A service that is killed at any moment loses nothing, doubles nothing and leaves no gap."""

from __future__ import annotations

from pathlib import Path
from typing import Final

import pytest

from tests.cli.commands import run as run_command
from tests.reliability.acknowledged import PROMISED, compare
from tests.reliability.all_commands import BANK, KEYS, LIST, LOCKS, POOL, AllCommands, prepare
from tests.reliability.answered_state import differences
from tests.reliability.forked_service import ForkedService
from tests.reliability.harness import harness
from tests.reliability.kills import Killer, between_kills, final_head
from tests.scenarios.busy_clients import CHANNELS, busy_clients
from tests.scenarios.processes import Place

NAMESPACE: Final = "kills"
CLIENTS: Final = 8
ENTRIES_BETWEEN_KILLS: Final = 40
# Small, so that some checkpoint is nearly always being written.
CHECKPOINT_ENTRIES: Final = 50
# What is asked for at the end, by the fields that name it.
NAMES: Final = {
    "channel_id": CHANNELS,
    "user_id": [f"client{index}" for index in range(CLIENTS)],
    "list_id": [LIST],
    "lock_id": LOCKS,
    "pool_id": [POOL],
    "key": KEYS,
    "account_id": [BANK, *(f"client{index}" for index in range(CLIENTS))],
}


@pytest.mark.timeout(0)
def test_c4_nothing_is_lost_twice_or_skipped_by_a_service_that_is_killed_at_any_moment(
    tmp_path: Path,
) -> None:
    with (
        harness("kills", small=20, full=500, promised=[*PROMISED, "verify", "answers"]) as run,
        ForkedService(directory=tmp_path, checkpoint_entries=CHECKPOINT_ENTRIES) as server,
        server.client(NAMESPACE) as client,
    ):
        prepared = prepare(client, [f"client{index}" for index in range(CLIENTS)])
        killer = Killer(server, client, NAMESPACE, run.chance)
        place = Place(server.address, NAMESPACE)
        with busy_clients(place, CLIENTS, run.seed, AllCommands, tasks=1) as clients:
            for _kill in between_kills(client, ENTRIES_BETWEEN_KILLS, run.times):
                way = run.chance.choice(sorted(killer.ways))
                killer.ways[way]()
                run.count(f"kills_{way}")
            clients.stop()
            clients.settled()
            head = final_head(server, NAMESPACE)
            reports = clients.reports(head_position=head)
        assert [report.failure for report in reports] == [""] * CLIENTS
        # The checkpoint is left as the kills left it, and then brought to the end by a clean stop:
        # both times it must have what the log gives.
        for stop in (server.kill, server.stop):
            stop()
            verified = run_command("verify", tmp_path / "data")
            if verified.exit_code != 0:
                run.violation("verify", verified.stdout)
            server.start()
        compare(run, tmp_path / "data", NAMESPACE, reports, prepared, head)
        # After that, since it sends commands of its own.
        asked, differing = differences(client, tmp_path / "data", NAMESPACE, NAMES)
        run.count("queries", asked)
        for difference in differing:
            run.violation("answers", difference)
