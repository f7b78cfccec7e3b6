"""Namespaces are opened when needed and closed when idle, and nobody notices either."""

from __future__ import annotations

import asyncio
import gc
import weakref
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack
from pathlib import Path

import pytest

from gapless.v1.commands_pb2 import Command
from gapless_server.core.refusals import Refused
from gapless_server.journal.memory import MemoryJournal, MemoryJournalStore
from gapless_server.journal.port import Corrupt, Journal, JournalStore
from gapless_server.journal.sqlite_store import SqliteJournalStore
from gapless_server.writer.clock import ManualClock
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.namespaces import NamespaceLimits, Namespaces
from tests.writer.harness import (
    KERNEL,
    HeldJournal,
    channel_head,
    create,
    frame_of,
    post,
    run,
    sequence,
    settle,
    store_of,
)

# What is not used is idle at once.
IDLE_AT_ONCE = NamespaceLimits(idle_seconds=0)


def make_namespaces(
    store: JournalStore | None = None,
    limits: NamespaceLimits = IDLE_AT_ONCE,
    clock: ManualClock | None = None,
) -> Namespaces:
    return Namespaces(
        KERNEL,
        store or MemoryJournalStore(),
        clock or ManualClock(),
        WriterLimits(),
        limits,
        lambda *_: None,
    )


async def run_in(namespaces: Namespaces, name: str, *commands: Command) -> list[int]:
    """Runs commands in a namespace and returns the sequences of the posts."""
    async with namespaces.use(name) as namespace:
        outcomes = await run(namespace, *commands)
    return [sequence(outcome) for outcome in outcomes]


async def refusal_of_use(namespaces: Namespaces, name: str) -> Refused:
    with pytest.raises(Refused) as refused:
        async with namespaces.use(name):
            pass
    return refused.value


@pytest.fixture
async def held() -> AsyncIterator[tuple[Namespaces, list[HeldJournal]]]:
    """Namespaces whose journals a test can hold, by the order of their opening."""
    journals: list[HeldJournal] = []

    def wrap(journal: Journal) -> Journal:
        journals.append(HeldJournal(journal))
        return journals[-1]

    namespaces = make_namespaces(store_of(wrap))
    yield namespaces, journals
    for journal in journals:
        journal.release()
    await namespaces.close()


async def test_an_idle_namespace_is_closed_and_goes_on_where_it_was_when_used_again() -> None:
    namespaces = make_namespaces()
    await run_in(namespaces, "one", create(), post("p1"))

    await namespaces.close_idle()
    closed_count = namespaces.open_count
    sequences = await run_in(namespaces, "one", post("p2"), post("p1"))

    assert closed_count == 0
    assert sequences == [2, 1]
    await namespaces.close()


async def test_a_namespace_in_use_is_not_idle() -> None:
    namespaces = make_namespaces()
    async with namespaces.use("one") as namespace:
        await namespaces.close_idle()
        await run(namespace, create())

    assert namespaces.open_count == 1
    await namespaces.close()


async def test_a_namespace_is_not_closed_before_its_idle_time() -> None:
    namespaces = make_namespaces(limits=NamespaceLimits(idle_seconds=3600))
    await run_in(namespaces, "one", create())

    await namespaces.close_idle()

    assert namespaces.open_count == 1
    await namespaces.close()


async def test_namespaces_have_nothing_to_do_with_each_other() -> None:
    namespaces = make_namespaces()
    await run_in(namespaces, "one", create(), post("p1"), post("p2"))

    sequences = await run_in(namespaces, "two", create(), post("p1"))

    assert sequences == [0, 1]
    await namespaces.close()


async def test_a_namespace_that_is_just_being_closed_is_waited_for(
    held: tuple[Namespaces, list[HeldJournal]],
) -> None:
    """A command that comes at that moment is neither lost nor run beside the old writer."""
    namespaces, journals = held
    await run_in(namespaces, "one", create())
    journals[0].hold()
    async with namespaces.use("one") as namespace:
        frame = frame_of(post("p1"))
        namespace.submit(frame)
        await journals[0].entered.wait()
    closing = asyncio.create_task(namespaces.close_idle())
    await settle()
    later = asyncio.create_task(run_in(namespaces, "one", post("p2")))
    await settle()
    opened_while_closing = len(journals)

    journals[0].release()

    assert await later == [2]
    assert opened_while_closing == 1
    await frame.outcomes
    await closing


async def test_a_namespace_that_was_closed_and_opened_again_meanwhile_is_not_idle(
    held: tuple[Namespaces, list[HeldJournal]],
) -> None:
    """Closing one may take a while, in which others are closed for other reasons, and used."""
    namespaces, journals = held
    await run_in(namespaces, "one", create())
    await run_in(namespaces, "two", create())
    journals[0].hold()
    async with namespaces.use("one") as namespace:
        namespace.submit(frame_of(post("p1")))
        await journals[0].entered.wait()
    closing = asyncio.create_task(namespaces.close_idle())
    await settle()
    await namespaces.close_idle()

    async with namespaces.use("two") as two:
        journals[0].release()
        await closing

        [outcome] = await run(two, post("p2"))

    assert sequence(outcome) == 1
    assert namespaces.open_count == 1


async def test_many_first_calls_at_once_open_a_namespace_once(
    held: tuple[Namespaces, list[HeldJournal]],
) -> None:
    namespaces, journals = held

    await asyncio.gather(
        *(run_in(namespaces, "one", create(f"c{n}", channel_id=f"c{n}")) for n in range(20))
    )

    assert len(journals) == 1
    async with namespaces.use("one") as namespace:
        assert namespace.head.position == 20


async def test_a_caller_that_goes_away_while_a_namespace_opens_does_not_stop_the_others() -> None:
    namespaces = make_namespaces()
    impatient = asyncio.create_task(run_in(namespaces, "one", create()))
    await asyncio.sleep(0)
    patient = asyncio.create_task(run_in(namespaces, "one", create("c2"), post("p1")))
    await asyncio.sleep(0)
    impatient.cancel()

    assert (await patient)[-1] == 1
    await asyncio.wait([impatient])
    await namespaces.close()


async def test_g7_the_least_used_namespace_makes_room_for_a_new_one() -> None:
    limits = NamespaceLimits(namespaces_open_max=2, idle_seconds=3600)
    namespaces = make_namespaces(limits=limits)
    await run_in(namespaces, "old", create())
    await run_in(namespaces, "new", create())
    await run_in(namespaces, "old", post("p1"))

    await run_in(namespaces, "third", create())

    assert namespaces.open_count == 2
    # "new" was used before "old" was used again.
    assert await run_in(namespaces, "new", post("p1")) == [1]
    await namespaces.close()


async def test_g7_a_use_that_awaits_nothing_counts_as_a_use() -> None:
    limits = NamespaceLimits(namespaces_open_max=2, idle_seconds=3600)
    namespaces = make_namespaces(limits=limits)
    await run_in(namespaces, "old", create())
    await run_in(namespaces, "new", create())
    old = namespaces.opened("old")
    assert old is not None

    old.used()
    await run_in(namespaces, "third", create())

    assert namespaces.opened("old") is old
    assert namespaces.opened("new") is None
    await namespaces.close()


async def test_a_namespace_that_is_only_being_opened_is_not_given_as_open() -> None:
    namespaces = make_namespaces()
    opening = asyncio.create_task(namespaces.open("one"))

    await asyncio.sleep(0)
    while_opening = namespaces.opened("one")

    opened = await opening

    assert while_opening is None
    assert namespaces.opened("one") is opened
    await namespaces.close()


async def test_g7_more_namespaces_in_use_than_may_be_open_are_refused() -> None:
    namespaces = make_namespaces(limits=NamespaceLimits(namespaces_open_max=2))
    async with AsyncExitStack() as stack:
        for name in ("one", "two"):
            await stack.enter_async_context(namespaces.use(name))

        refusal = await refusal_of_use(namespaces, "three")

    assert refusal.row.reason == "TOO_MANY_NAMESPACES"
    assert refusal.metadata == {"namespaces_open_max": "2"}
    assert refusal.retry_after_seconds is not None
    assert await run_in(namespaces, "three", create()) == [0]
    await namespaces.close()


async def test_a_setting_forbids_new_namespaces_and_leaves_those_that_exist() -> None:
    store = MemoryJournalStore()
    first = make_namespaces(store)
    await run_in(first, "one", create())
    await first.close_idle()
    namespaces = make_namespaces(store, NamespaceLimits(create_namespaces=False))

    namespaces.require_creatable("one")
    with pytest.raises(Refused) as refused:
        namespaces.require_creatable("two")

    assert refused.value.row.reason == "NAMESPACE_CREATION_DISABLED"
    assert refused.value.metadata == {"namespace": "two"}


async def test_a_namespace_exists_once_a_command_was_committed_in_it() -> None:
    namespaces = make_namespaces()
    async with namespaces.use("one") as namespace:
        await run(namespace, post("refused"))
        existed = namespaces.exists("one")
        await run(namespace, create())
        exists = namespaces.exists("one")
    await namespaces.close_idle()

    assert (existed, exists, namespaces.exists("one")) == (False, True, True)
    await namespaces.close()


async def test_draining_answers_what_is_queued_in_every_namespace(
    held: tuple[Namespaces, list[HeldJournal]],
) -> None:
    namespaces, journals = held
    frames = []
    for index, name in enumerate(("one", "two")):
        await run_in(namespaces, name, create())
        journals[index].hold()
        async with namespaces.use(name) as namespace:
            frames += [frame_of(post("p1")), frame_of(post("p2"))]
            for frame in frames[-2:]:
                namespace.submit(frame)
    draining = asyncio.create_task(namespaces.drain())
    await settle()
    drained_while_held = draining.done()

    for journal in journals:
        journal.release()
    await draining

    assert not drained_while_held
    assert [sequence(frame.outcomes.result()[0]) for frame in frames] == [1, 2, 1, 2]


async def test_after_draining_open_namespaces_are_still_read_and_no_other_is_opened() -> None:
    namespaces = make_namespaces()
    await run_in(namespaces, "one", create(), post("p1"))

    await namespaces.drain()

    async with namespaces.use("one") as namespace:
        assert await channel_head(namespace) == 1
    assert (await refusal_of_use(namespaces, "two")).row.reason == "SHUTTING_DOWN"
    await namespaces.close()


async def test_closing_waits_for_a_namespace_that_is_just_being_closed(
    held: tuple[Namespaces, list[HeldJournal]],
) -> None:
    namespaces, journals = held
    await run_in(namespaces, "one", create())
    journals[0].hold()
    async with namespaces.use("one") as namespace:
        namespace.submit(frame_of(post("p1")))
        await journals[0].entered.wait()
    idle = asyncio.create_task(namespaces.close_idle())
    await settle()
    closing = asyncio.create_task(namespaces.close())
    await settle()
    closed_while_held = closing.done()

    journals[0].release()
    await closing

    assert not closed_while_held
    await idle


def corrupt(path: Path) -> None:
    path.write_bytes(b"not a database, but long enough to be looked at as one" * 100)


def of_another_program(path: Path) -> None:
    import sqlite3
    from contextlib import closing

    with closing(sqlite3.connect(path)) as connection:
        connection.execute("CREATE TABLE theirs (x)")


def unreadable(path: Path) -> None:
    """Lets the system refuse to read a file beside the log, as it does without a file handle."""
    path.with_suffix(".head").mkdir()


@pytest.mark.parametrize(
    ("damage", "reason"),
    [
        (corrupt, "LOG_CORRUPT"),
        (of_another_program, "LOG_UNAVAILABLE"),
        (unreadable, "LOG_UNAVAILABLE"),
    ],
)
async def test_g8_a_log_that_cannot_be_opened_is_refused_each_time_and_alone(
    tmp_path: Path, damage: Callable[[Path], None], reason: str
) -> None:
    store = SqliteJournalStore(tmp_path / "data", "127.0.0.1:4275")
    namespaces = make_namespaces(store)
    damage(store.path("bad"))

    refusals = [await refusal_of_use(namespaces, "bad") for _ in range(2)]

    assert [refusal.row.reason for refusal in refusals] == [reason, reason]
    assert refusals[0].metadata["namespace"] == "bad"
    assert str(store.path("bad").with_suffix("")) in refusals[0].metadata["description"]
    assert await run_in(namespaces, "good", create(), post("p1")) == [0, 1]
    await namespaces.close()
    await store.close()


class Loaded:
    """What a start has loaded by the time it finds damage."""


class DamagedStore(MemoryJournalStore):
    """A store whose logs turn out to be damaged after so many seconds."""

    def __init__(self, clock: ManualClock, seconds: float) -> None:
        super().__init__()
        self._clock = clock
        self._seconds = seconds
        self.opened = 0
        self.loaded: list[weakref.ref[Loaded]] = []

    async def open(self, namespace: str) -> MemoryJournal:
        self.opened += 1
        loaded = Loaded()
        self.loaded.append(weakref.ref(loaded))
        self._clock.advance(self._seconds)
        raise Corrupt("position 7 does not follow position 6")


async def test_a_damaged_log_is_gone_through_again_only_after_as_long_as_that_took() -> None:
    clock = ManualClock()
    store = DamagedStore(clock, seconds=3)
    namespaces = make_namespaces(store, clock=clock)
    first = await refusal_of_use(namespaces, "n")

    clock.advance(2.9)
    again = [await refusal_of_use(namespaces, "n") for _ in range(5)]
    opened_early = store.opened
    clock.advance(0.1)
    later = await refusal_of_use(namespaces, "n")

    assert {str(one) for one in (first, *again, later)} == {str(first)}
    assert (opened_early, store.opened) == (1, 2)


async def test_a_damaged_log_holds_up_no_other() -> None:
    clock = ManualClock()
    store = DamagedStore(clock, seconds=3)
    namespaces = make_namespaces(store, clock=clock)

    refusals = [await refusal_of_use(namespaces, name) for name in ("n", "other")]

    assert [one.metadata["namespace"] for one in refusals] == ["n", "other"]


async def test_nothing_of_what_a_refused_start_had_loaded_is_kept() -> None:
    clock = ManualClock()
    store = DamagedStore(clock, seconds=3)
    namespaces = make_namespaces(store, clock=clock)

    await refusal_of_use(namespaces, "n")
    await refusal_of_use(namespaces, "n")

    await settle()
    gc.collect()
    assert [one() for one in store.loaded] == [None]
