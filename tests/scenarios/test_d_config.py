"""Part D: configuration that many write at once."""

from __future__ import annotations

import asyncio
import time
from functools import partial

from gapless import AsyncClient, Client
from gapless.errors import ConfigVersionMismatch
from tests.scenarios.processes import Place, at_once

RATE = "billing/eu/rate"


def write_one(client: Client, key: str) -> int:
    """Writes a key with its own name; returns the position."""
    return client.config.set(key, f"value of {key}").receipt.position


def values_below(client: Client, prefix: str) -> dict[str, str]:
    return {value.key: value.body.data.decode() for value in client.config.list(prefix)}


def test_d1_processes_that_write_different_keys_at_once_all_find_them_there(
    place: Place, client: Client
) -> None:
    few = [f"few/{number}" for number in range(20)]
    many = [f"many/{number}" for number in range(100)]

    positions_of_few = at_once(place, [partial(write_one, key=key) for key in few])
    positions_of_many = at_once(place, [partial(write_one, key=key) for key in many])

    assert sorted(positions_of_few) == list(range(1, 21))
    assert sorted(positions_of_many) == list(range(21, 121))
    assert values_below(client, "few/") == {key: f"value of {key}" for key in few}
    assert values_below(client, "many/") == {key: f"value of {key}" for key in many}
    assert {value.version for value in client.config.list()} == {1}


async def test_d2_so_do_tasks_of_one_process(async_client: AsyncClient) -> None:
    keys = [f"key/{number}" for number in range(10)]

    answers = await asyncio.gather(*(async_client.config.set(key, key) for key in keys))

    assert sorted(answer.receipt.position for answer in answers) == list(range(1, 11))
    assert [value.key async for value in async_client.config.list("key/")] == keys


def test_d3_100_writes_one_after_another_take_far_less_than_10_seconds(client: Client) -> None:
    client.config.set(RATE, "first")
    started = time.perf_counter()

    for number in range(100):
        client.config.set(RATE, str(number))

    assert time.perf_counter() - started < 10
    assert client.config.get(RATE).version == 101


VERSIONS_EACH = 25


def compete(client: Client, name: str) -> tuple[list[int], list[tuple[int, int]]]:
    """Tries to be the one that moves the key from each version to the next.

    Returns:
        The versions that it made, and for each that it lost the version that it expected and the
        one that it met.
    """
    won: list[int] = []
    lost: list[tuple[int, int]] = []
    for expected in range(VERSIONS_EACH):
        try:
            answer = client.config.set(RATE, f"{name} at {expected}", expected_version=expected)
        except ConfigVersionMismatch as mismatch:
            lost.append((expected, int(mismatch.metadata["version"])))
        else:
            won.append(answer.results[0].version)
    return won, lost


def test_d4_of_those_who_compare_and_set_exactly_one_wins_each_version(
    place: Place, client: Client
) -> None:
    names = [f"writer-{number}" for number in range(8)]

    outcomes = at_once(place, [partial(compete, name=name) for name in names])

    winners = {
        version: name for name, (won, _lost) in zip(names, outcomes, strict=True) for version in won
    }
    assert sorted(version for won, _lost in outcomes for version in won) == list(
        range(1, VERSIONS_EACH + 1)
    )
    assert all(len(won) + len(lost) == VERSIONS_EACH for won, lost in outcomes)
    assert all(expected < met <= VERSIONS_EACH for _won, lost in outcomes for expected, met in lost)
    history = {change.version: change.body.data.decode() for change in client.config.history(RATE)}
    assert history == {
        version: f"{winners[version]} at {version - 1}" for version in range(1, VERSIONS_EACH + 1)
    }


def write_both(client: Client, name: str) -> None:
    """Writes two keys in one command, over and over."""
    for number in range(10):
        text = f"{name} {number}"
        client.config.set_many({"pair/left": text, "pair/right": text})


def read_pairs(client: Client) -> list[tuple[str, ...]]:
    """Reads two keys in one page, over and over."""
    return [tuple(values_below(client, "pair/").values()) for _ in range(30)]


def test_g5_keys_of_one_command_are_never_seen_apart(place: Place, client: Client) -> None:
    client.config.set_many({"pair/left": "first", "pair/right": "first"})
    writers = [partial(write_both, name=f"writer-{number}") for number in range(4)]

    outcomes = at_once(place, [*writers, read_pairs, read_pairs])

    pairs = [pair for seen in outcomes[4:] for pair in seen]
    assert len(pairs) == 60
    assert all(left == right for left, right in pairs)


def watch_prefix(client: Client, changes: int) -> list[tuple[int, str, int]]:
    """Watches the keys below "rates/" until so many of their changes came."""
    seen: list[tuple[int, str, int]] = []
    with client.events.watch(from_start=True, config_key_prefixes=["rates/"]) as watch:
        for item in watch:
            for event in getattr(item, "events", ()):
                changed = event.config_set if event.HasField("config_set") else event.config_deleted
                seen.append((item.position, changed.key, changed.version))
            if len(seen) >= changes:
                return seen
    raise AssertionError("a watch ends only when it is closed")


def change_keys(client: Client, name: str) -> None:
    """Makes 30 changes below "rates/", and as many beside it."""
    for number in range(10):
        client.config.set(f"rates/{name}", str(number))
        client.config.delete(f"rates/{name}")
        client.config.set("rates/shared", f"{name} {number}")
        client.config.set_many({f"other/{name}": str(number), "rates": f"{name} {number}"})


def test_g6_who_watches_a_prefix_sees_every_change_below_it_once_and_no_other(
    place: Place, client: Client
) -> None:
    names = ["a", "b", "c"]
    changers = [partial(change_keys, name=name) for name in names]
    watchers = [partial(watch_prefix, changes=90)] * 3

    outcomes = at_once(place, [*watchers, *changers])

    first = outcomes[0]
    assert outcomes[1] == first
    assert outcomes[2] == first
    versions: dict[str, list[int]] = {}
    for _position, key, version in first:
        versions.setdefault(key, []).append(version)
    assert versions == {
        "rates/a": list(range(1, 21)),
        "rates/b": list(range(1, 21)),
        "rates/c": list(range(1, 21)),
        "rates/shared": list(range(1, 31)),
    }
    positions = [position for position, _key, _version in first]
    assert positions == sorted(set(positions))
