"""Part E, locks (sessions): one holder at a time, under a token that only grows."""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from functools import partial
from pathlib import Path

import pytest

from gapless import Client, Entry, guards
from gapless.errors import GuardFailed, LockHeld, LockNotHeld
from gapless.testing import SubprocessServer
from tests.scenarios.processes import Place, at_once

# More for a long run: GAPLESS_LOCK_CYCLES=1000.
CYCLES = int(os.environ.get("GAPLESS_LOCK_CYCLES", "3"))
TTL = 1


def token_of(client: Client, lock_id: str, holder_id: str, ttl: int = 60, wait: int = 0) -> int:
    return client.locks.acquire(lock_id, holder_id, ttl=ttl, wait=wait).lock.fencing_token


def refused(client: Client, lock_id: str, holder_id: str) -> dict[str, str]:
    """Tries to acquire a lock that must be held; returns what the refusal says."""
    with pytest.raises(LockHeld) as caught:
        client.locks.acquire(lock_id, holder_id)
    return caught.value.metadata


def test_e1_a_lock_is_given_then_refused_then_released_and_given_again(
    place: Place, client: Client
) -> None:
    first = client.locks.acquire("session", "ann", ttl=60).lock

    [found] = at_once(place, [partial(refused, lock_id="session", holder_id="bob")])
    client.locks.release("session", first.fencing_token)
    [second] = at_once(place, [partial(token_of, lock_id="session", holder_id="bob")])

    assert found["holder_id"] == "ann"
    assert found["expire_time"] == first.expire_time.ToJsonString()
    assert second > first.fencing_token


def test_e2_two_locks_do_not_know_each_other(client: Client) -> None:
    one, other = token_of(client, "one", "ann"), token_of(client, "other", "bob")

    client.locks.release("one", one)

    held = client.locks.get("other")
    assert held is not None
    assert (held.holder_id, held.fencing_token) == ("bob", other)
    assert client.locks.get("one") is None


def test_e3_a_holder_who_goes_silent_loses_the_lock_and_all_that_it_sends(
    place: Place, client: Client
) -> None:
    client.channels.create("general")
    begin = time.monotonic()
    stale = token_of(client, "session", "ann", ttl=TTL)
    # The holder says nothing more; another process waits until the lock is to be had.
    [fresh] = at_once(place, [partial(token_of, lock_id="session", holder_id="bob", wait=30)])

    assert time.monotonic() - begin >= TTL
    assert fresh > stale
    guarded = client.with_guards(guards.lock("session", stale))
    with pytest.raises(GuardFailed) as caught:
        guarded.messages.post("general", "ann", "from a ghost")
    assert caught.value.metadata["found"] == f"bob holds it with fencing token {fresh}"
    with pytest.raises(LockNotHeld):
        client.locks.renew("session", stale)
    assert not client.locks.release("session", stale).receipt.changed
    assert client.channels.get("general").head_sequence == 0
    lock = client.locks.get("session")
    assert lock is not None
    assert lock.fencing_token == fresh


def try_to_acquire(client: Client, lock_id: str, holder_id: str) -> int:
    """Returns the token, or 0 if somebody else was quicker."""
    try:
        return token_of(client, lock_id, holder_id)
    except LockHeld:
        return 0


def test_e4_of_three_who_try_the_same_lock_one_gets_it_and_of_five_different_ones_all(
    place: Place,
) -> None:
    same = [
        partial(try_to_acquire, lock_id="same", holder_id=f"writer-{number}") for number in range(3)
    ]
    different = [
        partial(try_to_acquire, lock_id=f"lock-{number}", holder_id=f"writer-{number}")
        for number in range(5)
    ]

    outcomes = at_once(place, [*same, *different])

    assert sorted(map(bool, outcomes[:3])) == [False, False, True]
    assert all(outcomes[3:])
    assert len(set(filter(None, outcomes))) == 6


def read_session(client: Client) -> list[str]:
    """Reads the session and all about it 20 times."""
    found = []
    for _ in range(20):
        lock = client.locks.get("session")
        assert lock is not None
        found.append(lock.holder_id)
        assert [message.sequence for message in client.messages.list("session")] == [1]
    return found


def test_e5_readers_of_a_locked_session_do_not_wait_for_the_lock(
    place: Place, client: Client
) -> None:
    client.channels.create("session")
    client.messages.post("session", "ann", "hello")
    token_of(client, "session", "ann", ttl=3600)

    # The lock is held all the while: a reader that waited for it would not come back in time.
    outcomes = at_once(place, [read_session] * 5)

    assert outcomes == [["ann"] * 20] * 5
    lock = client.locks.get("session")
    assert lock is not None


def work_in_turn(client: Client, name: str) -> list[int]:
    """Takes the lock again and again, waiting in line; returns what it saw and wrote under it."""
    seen = []
    for _ in range(10):
        with client.locks.hold("counter", holder_id=name, ttl=30, wait=60) as lock:
            values = list(client.config.list("counter"))
            count = int(values[0].body.data) if values else 0
            client.with_guards(lock).config.set("counter", str(count + 1))
            seen.append(count + 1)
    return seen


def test_e4_who_waits_in_line_gets_a_turn_and_no_turn_is_lost(place: Place) -> None:
    """Read, think, write: under a lock nothing comes between, whatever the processes do."""
    outcomes = at_once(place, [partial(work_in_turn, name=f"p-{number}") for number in range(8)])

    assert sorted(count for outcome in outcomes for count in outcome) == list(range(1, 81))


IN_LINE = 5


def wait_for_ever(address: str, namespace: str, name: str) -> None:
    """Says that it is about to, and stands in line, in a process that will be killed there."""
    with Client(address, namespace=namespace) as client:
        client.config.set(f"ready/{name}", "")
        client.locks.acquire("session", name, ttl=TTL, wait=3600)


def test_e3_who_is_killed_in_line_holds_nobody_up(place: Place, client: Client) -> None:
    token = token_of(client, "session", "ann")
    context = multiprocessing.get_context("forkserver")
    doomed = [
        context.Process(target=wait_for_ever, args=(place.address, place.namespace, f"p-{number}"))
        for number in range(IN_LINE)
    ]
    with client.events.watch(from_start=True, event_types=["config_set"]) as watch:
        for process in doomed:
            process.start()
        ready = (item for item in watch if isinstance(item, Entry))
        for _ in doomed:
            next(ready)
    for process in doomed:
        process.kill()
        process.join()
    waiting = partial(token_of, lock_id="session", holder_id="bob", wait=60)

    # Should one of the dead have been given the lock for all that, it ends by itself.
    next_token, _ = at_once(place, [waiting, partial(release, lock_id="session", token=token)])

    assert next_token > token
    lock = client.locks.get("session")
    assert lock is not None
    assert lock.holder_id == "bob"


def release(client: Client, lock_id: str, token: int) -> None:
    client.locks.release(lock_id, token)


@pytest.fixture
def killable(tmp_path: Path) -> Iterator[SubprocessServer]:
    with SubprocessServer(directory=tmp_path, journal="sqlite") as server:
        yield server


@pytest.mark.timeout(60 + 20 * CYCLES)
def test_e3_tokens_grow_and_no_lock_ends_early_however_often_the_service_is_killed(
    killable: SubprocessServer,
) -> None:
    """Acquire, kill the service, start it again, and wait for the lock to end by itself."""
    tokens: list[int] = []
    with Client(killable.address) as client:
        client.channels.create("general")
        for cycle in range(CYCLES):
            begin = time.monotonic()
            token = token_of(client, "session", f"holder-{cycle}", ttl=TTL, wait=60)
            killable.kill()
            killable.start()

            next_token = token_of(client, "session", f"heir-{cycle}", wait=60)

            assert time.monotonic() - begin >= TTL
            guarded = client.with_guards(guards.lock("session", token))
            with pytest.raises(GuardFailed):
                guarded.messages.post("general", "ghost", "boo")
            client.locks.release("session", next_token)
            tokens += [token, next_token]
        assert client.channels.get("general").head_sequence == 0
        ended = [
            event.lock_expired.fencing_token
            for entry in client.events.read(event_types=["lock_expired"])
            for event in entry.events
        ]
    assert tokens == sorted(set(tokens))
    assert ended == tokens[::2]
