"""One blocking client serves many threads at once."""

from __future__ import annotations

import gc
import threading

import pytest

from gapless import Client, GaplessError
from gapless.v1 import events_pb2
from gapless.v1.events_pb2 import WatchResponse
from tests.sdk.fake_service import FakeService, Hold, Watched

THREADS = 16
COMMANDS_EACH = 50


def test_many_threads_share_one_client_and_one_stream(fake: FakeService) -> None:
    positions: list[list[int]] = []

    def work(client: Client, name: str) -> None:
        mine = []
        for index in range(COMMANDS_EACH):
            answer = client.messages.post("general", name, "x", request_id=f"{name}-{index:03}")
            mine.append(answer.receipt.position)
        positions.append(mine)

    with Client(fake.address) as client:
        threads = [
            threading.Thread(target=work, args=(client, f"t{number:02}"))
            for number in range(THREADS)
        ]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()

    # Every command has an answer of its own, and each thread's are in its order.
    answered = [position for mine in positions for position in mine]
    assert sorted(answered) == list(range(1, THREADS * COMMANDS_EACH + 1))
    assert all(mine == sorted(mine) for mine in positions)
    assert fake.streams_opened == 1


def test_closing_from_another_thread_ends_every_wait() -> None:
    errors: list[GaplessError] = []

    def work(client: Client) -> None:
        with pytest.raises(GaplessError, match="closed") as raised:
            client.messages.post("general", "alice", "x")
        errors.append(raised.value)

    with FakeService([Hold()]) as service:
        client = Client(service.address)
        threads = [threading.Thread(target=work, args=(client,)) for _ in range(4)]
        for thread in threads:
            thread.start()
        service.wait_for_frames(1)

        client.close()
        for thread in threads:
            thread.join()

    assert len(errors) == 4


def test_a_watch_that_is_dropped_leaves_no_thread_behind() -> None:
    before = set(threading.enumerate())
    caught_up = WatchResponse(cursor="c0", caught_up=events_pb2.CaughtUp())
    with FakeService(watches=[Watched([caught_up])]) as service, Client(service.address) as client:
        assert next(iter(client.events.watch(from_start=True))) is not None
        gc.collect()

        ours = [one for one in set(threading.enumerate()) - before if "watchdog" in one.name]
        for thread in ours:
            thread.join()
        service.release()


def test_a_client_leaves_no_thread_behind(fake: FakeService) -> None:
    before = set(threading.enumerate())
    with Client(fake.address) as client:
        client.messages.post("general", "alice", "x")

    ours = {thread for thread in set(threading.enumerate()) - before if "gapless" in thread.name}
    assert ours == set()
