"""Part B: numbers handed out from a range, to many who ask for them at once."""

from __future__ import annotations

import asyncio
import contextlib
from collections import Counter
from collections.abc import Coroutine, Iterator
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import pytest

from gapless import AsyncClient, Client, ReleaseCause
from gapless.errors import PoolExhausted, PoolFragmented
from gapless.testing import InProcessServer, manual_clock
from gapless.v1.pool_reservations_pb2 import NumbersReserved
from tests.scenarios.processes import Place, at_once

PORTS = "ports"

Held = dict[str, list[int]]
Result = TypeVar("Result")


def held(client: Client) -> Held:
    """Reads what is held, by key: a state of one moment, as long as it fits into a page."""
    return {one.key: list(one.numbers) for one in client.reservations.list(PORTS, page_size=1000)}


def reserve(client: Client, keys: list[str], owner_id: str = "owner") -> list[int]:
    """Reserves a number for each key; returns the numbers."""
    return [client.reservations.reserve(PORTS, owner_id, key).number for key in keys]


def keys(name: str, count: int) -> list[str]:
    return [f"{name}-{index:03}" for index in range(count)]


def reservations_in_log(client: Client) -> list[NumbersReserved]:
    return [
        event.numbers_reserved
        for entry in client.events.read(event_types=["numbers_reserved"])
        for event in entry.events
    ]


def test_b1_ten_processes_that_reserve_at_once_get_ten_numbers(
    place: Place, client: Client
) -> None:
    client.pools.create(PORTS, [range(1, 101)])
    works = [partial(reserve, keys=[f"key-{number}"]) for number in range(10)]

    numbers = [number for [number] in at_once(place, works)]

    assert sorted(numbers) == list(range(1, 11))
    assert held(client) == {f"key-{index}": [number] for index, number in enumerate(numbers)}


def read_50_times(client: Client) -> list[Held]:
    return [held(client) for _ in range(50)]


def write_20(client: Client) -> list[Held]:
    reserve(client, keys("key", 20))
    return []


def test_b2_every_list_that_is_read_meanwhile_is_a_state_that_existed(
    place: Place, client: Client
) -> None:
    client.pools.create(PORTS, [range(1, 101)])
    numbers = {key: [number] for number, key in enumerate(keys("key", 20), start=1)}
    states = [dict(list(numbers.items())[:count]) for count in range(21)]

    outcomes = at_once(place, [*([read_50_times] * 10), write_20])

    for seen in outcomes[:10]:
        assert len(seen) == 50
        # No reader goes back in time, either.
        assert [states.index(state) for state in seen] == sorted(map(states.index, seen))
    assert held(client) == states[20]


def test_b3_after_50_reservations_at_once_the_check_passes(place: Place, client: Client) -> None:
    client.pools.create(PORTS, [range(1, 101)])
    works = [partial(reserve, keys=keys(f"process-{number}", 5)) for number in range(10)]

    numbers = [number for reserved in at_once(place, works) for number in reserved]

    checked = client.pools.check(PORTS)
    assert sorted(numbers) == list(range(1, 51))
    assert (checked.ok, list(checked.problems)) == (True, [])
    assert (checked.pool.held_count, checked.pool.reservation_count) == (50, 50)


GROUP_ROUNDS = 20


def reserve_and_release_a_group(client: Client) -> list[int]:
    for _ in range(GROUP_ROUNDS):
        client.reservations.reserve_group(PORTS, "owner", "group", 10)
        client.reservations.release(PORTS, "owner", "group")
    client.reservations.reserve_group(PORTS, "owner", "group", 10)
    return []


def poll_pool(client: Client) -> list[int]:
    """Returns how many numbers were held each time, by the pool and by the list."""
    seen: list[int] = []
    for _ in range(50):
        seen.append(client.pools.get(PORTS).held_count)
        seen.append(sum(map(len, held(client).values())))
    return seen


def test_b4_readers_see_all_of_a_group_or_nothing(place: Place, client: Client) -> None:
    client.pools.create(PORTS, [range(1, 101)])

    outcomes = at_once(place, [poll_pool, poll_pool, poll_pool, reserve_and_release_a_group])

    seen = [count for counts in outcomes for count in counts]
    assert len(seen) == 300
    assert set(seen) <= {0, 10}
    assert held(client) == {"group": list(range(1, 11))}
    assert [len(event.numbers) for event in reservations_in_log(client)] == [10] * (
        GROUP_ROUNDS + 1
    )


def race(client: Client, key: str) -> int | str:
    """Returns the number, or what the refusal says."""
    try:
        return client.reservations.reserve(PORTS, "owner", key).number
    except PoolExhausted as refusal:
        return str(refusal)


def test_b5_of_20_processes_11_get_a_number_and_9_are_told_that_the_pool_is_full(
    place: Place, client: Client
) -> None:
    client.pools.create(PORTS, [range(1, 12)])

    outcomes = at_once(place, [partial(race, key=key) for key in keys("key", 20)])

    numbers = [outcome for outcome in outcomes if isinstance(outcome, int)]
    refusals = [outcome for outcome in outcomes if isinstance(outcome, str)]
    assert sorted(numbers) == list(range(1, 12))
    assert len(refusals) == 9
    assert all("pool ports has 0 of its 11 numbers free, 11 held" in text for text in refusals)


def change_range_100_times(client: Client) -> list[int]:
    for number in range(100):
        first = 1 + 7 * ((number + 1) % 10)
        client.pools.update(PORTS, ranges=[range(first, first + 100)])
    return []


def test_b6_every_number_lies_in_the_range_in_force_at_its_position(
    place: Place, client: Client
) -> None:
    client.pools.create(PORTS, [range(1, 101)])
    works = [partial(reserve, keys=keys(f"process-{number}", 10)) for number in range(5)]

    outcomes = at_once(place, [*works, change_range_100_times])

    in_force, changes, given = range(0), 0, []
    for entry in client.events.read():
        for event in entry.events:
            if event.HasField("numbers_reserved"):
                [number] = event.numbers_reserved.numbers
                assert number in in_force
                given.append(number)
            else:
                name = "pool_created" if event.HasField("pool_created") else "pool_updated"
                [one] = getattr(event, name).ranges
                in_force, changes = range(one.first, one.last + 1), changes + 1
    assert changes == 101
    assert sorted(given) == sorted(number for numbers in outcomes for number in numbers)
    assert len(set(given)) == 50
    checked = client.pools.check(PORTS)
    assert checked.ok
    assert list(checked.outside_numbers) == sorted(set(given) - set(in_force))


@pytest.fixture
def timed_server(tmp_path: Path) -> Iterator[InProcessServer]:
    """A service on SQLite whose clock stands still until the test advances it."""
    with InProcessServer(directory=tmp_path, clock=manual_clock()) as server:
        yield server


def clean_up(client: Client) -> list[str]:
    """Cleans up; returns what went and why."""
    answer = client.pools.clean_up(PORTS, gone_owner_ids=["gone"])
    assert answer.remaining_count == 0
    return [f"{one.key}: {ReleaseCause.Name(one.cause)}" for one in answer.released]


def test_b7_a_clean_up_takes_exactly_the_dead_and_leaves_the_new(
    timed_server: InProcessServer,
) -> None:
    place = Place(timed_server.address, "default")
    with timed_server.client() as client:
        client.pools.create(PORTS, [range(1, 101)])
        for key in keys("expired", 5):
            client.reservations.reserve(PORTS, "owner", key, ttl_seconds=60)
        reserve(client, keys("orphan", 5), owner_id="gone")
        client.reservations.reserve(PORTS, "owner", "lives", ttl_seconds=3600)
        timed_server.clock.advance(60)  # type: ignore[union-attr]  # the manual one
        new = [partial(reserve, keys=[key]) for key in keys("new", 5)]

        outcomes = at_once(place, [*new, clean_up, clean_up])

        assert Counter(outcomes[5] + outcomes[6]) == {
            **{f"{key}: RELEASE_CAUSE_EXPIRED": 1 for key in keys("expired", 5)},
            **{f"{key}: RELEASE_CAUSE_OWNER_GONE": 1 for key in keys("orphan", 5)},
        }
        assert sorted(held(client)) == ["lives", *keys("new", 5)]
        assert [held(client)[key] for key in keys("new", 5)] == outcomes[:5]
        assert client.pools.check(PORTS).ok


def ask_for_a_group(client: Client, name: str) -> str:
    try:
        client.reservations.reserve_group(PORTS, "owner", name, 3, contiguous=True)
    except PoolFragmented as refusal:
        return str(refusal)
    return ""


def test_b8_a_group_that_does_not_fit_leaves_nothing_behind(place: Place, client: Client) -> None:
    client.pools.create(PORTS, [range(1, 21)])
    everything = keys("key", 20)
    reserve(client, everything)
    # Two in a row are free, again and again, and never three.
    for index, key in enumerate(everything):
        if index % 3:
            client.reservations.release(PORTS, "owner", key)
    before = held(client)
    head = client.operations.get_namespace().head_position

    outcomes = at_once(place, [partial(ask_for_a_group, name=name) for name in keys("group", 5)])

    assert (
        outcomes
        == [
            "pool ports has no place for a group of 3 numbers (a contiguous group of 3 numbers):"
            " 13 of its 20 numbers are free, 2 of them in a row."
            " Ask for fewer, for numbers that may lie anywhere, or release some"
        ]
        * 5
    )
    assert held(client) == before
    assert client.operations.get_namespace().head_position == head


def reserve_again(client: Client) -> list[tuple[int, bool]]:
    """Reserves one key over and over; returns the number and whether it was already held."""
    answers = [client.reservations.reserve(PORTS, "owner", "key") for _ in range(10)]
    assert all(answer.receipt.changed is not answer.already_held for answer in answers)
    return [(answer.number, answer.already_held) for answer in answers]


def test_b9_the_same_owner_and_key_get_the_same_number(place: Place, client: Client) -> None:
    client.pools.create(PORTS, [range(1, 101)])

    outcomes = at_once(place, [reserve_again] * 5)

    answers = Counter(answer for outcome in outcomes for answer in outcome)
    assert answers == {(1, False): 1, (1, True): 49}
    assert len(reservations_in_log(client)) == 1


CLIENTS_EACH = 25


def run_25_clients(client: Client, place: Place, name: str) -> list[int]:
    """Is 25 clients, each with a connection of its own, that make 100 reservations each."""

    async def make_100(one: AsyncClient, owner_id: str) -> list[int]:
        answers = await asyncio.gather(
            *(one.reservations.reserve(PORTS, owner_id, key) for key in keys("key", 100))
        )
        return [answer.number for answer in answers]

    async def run() -> list[int]:
        clients = [
            AsyncClient(place.address, namespace=place.namespace) for _ in range(CLIENTS_EACH)
        ]
        numbers = await asyncio.gather(
            *(make_100(one, f"{name}-{index}") for index, one in enumerate(clients))
        )
        await asyncio.gather(*(one.close() for one in clients))
        return [number for made in numbers for number in made]

    return asyncio.run(run())


def test_b10_100_clients_make_10_000_reservations_all_different(
    place: Place, client: Client
) -> None:
    client.pools.create(PORTS, [range(1, 20_001)])
    works = [partial(run_25_clients, place=place, name=f"process-{index}") for index in range(4)]

    outcomes = at_once(place, works)

    numbers = [number for made in outcomes for number in made]
    assert sorted(numbers) == list(range(1, 10_001))
    checked = client.pools.check(PORTS)
    assert checked.ok
    assert (checked.pool.held_count, checked.pool.reservation_count) == (10_000, 10_000)


def open_files() -> list[str]:
    """Names what this process has open."""
    names = []
    for path in Path("/proc/self/fd").iterdir():
        # The directory that is being listed is open for as long as that takes.
        with contextlib.suppress(FileNotFoundError):
            names.append(str(path.readlink()))
    return sorted(names)


def count_tasks(server: InProcessServer) -> Counter[str]:
    """Counts the tasks of a server by what they run."""

    async def count() -> Counter[str]:
        return _task_names()

    return _run_in(server, count())


def assert_no_more_tasks(server: InProcessServer, before: Counter[str]) -> None:
    """Holds that no more tasks run than before, once those that are about to end have ended."""

    async def wait() -> None:
        async with asyncio.timeout(60):
            while _task_names() - before:
                await asyncio.wait(
                    asyncio.all_tasks() - {asyncio.current_task()},
                    return_when=asyncio.FIRST_COMPLETED,
                )

    _run_in(server, wait())


def _task_names() -> Counter[str]:
    others = asyncio.all_tasks() - {asyncio.current_task()}
    return Counter(str(task.get_coro().__qualname__) for task in others)  # type: ignore[union-attr]


def _run_in(server: InProcessServer, work: Coroutine[Any, Any, Result]) -> Result:
    assert server._loop is not None
    return asyncio.run_coroutine_threadsafe(work, server._loop).result()


def cycle(client: Client, count: int) -> None:
    for _ in range(count):
        assert client.reservations.reserve(PORTS, "owner", "key").number == 2
        assert list(client.reservations.release(PORTS, "owner", "key").numbers) == [2]


def test_b11_a_thousand_cycles_leave_the_pool_and_the_service_as_they_were(
    timed_server: InProcessServer,
) -> None:
    with timed_server.client() as client:
        client.pools.create(PORTS, [range(1, 101)])
        client.reservations.reserve(PORTS, "owner", "stays")
        cycle(client, 10)
        pool, reservations = client.pools.get(PORTS), list(client.reservations.list(PORTS))
        running, files = count_tasks(timed_server), open_files()

        cycle(client, 1000)

        assert client.pools.get(PORTS) == pool
        assert list(client.reservations.list(PORTS)) == reservations
        assert client.pools.check(PORTS).ok
        assert_no_more_tasks(timed_server, running)
        assert open_files() == files
        assert client.operations.get_namespace().head_position == 2 + 2 * 1010
