"""Pools against a model of Python sets: whatever is tried, in whatever order."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from google.protobuf.message import Message
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from gapless_server.core.times import MICROSECONDS
from tests.core.pool_commands import (
    ANN,
    BOB,
    Span,
    check,
    clean_up,
    confirm,
    create,
    let_pass,
    pool_of,
    preview,
    release,
    release_owner,
    renew,
    reservations_of,
    reserve,
    reserve_group,
    update,
)
from tests.core.story import Story
from tests.core.test_layers import DictStore

# Few names and numbers, so that commands meet each other.
OWNERS = st.sampled_from([ANN, BOB])
KEYS = st.sampled_from(["a", "b", "c"])
NUMBERS = st.integers(0, 20)
TTLS = st.one_of(st.none(), st.integers(1, 6))
COUNTS = st.integers(1, 6)
OFFSETS = st.lists(st.integers(0, 8), min_size=1, max_size=4, unique=True)
GONE = st.sampled_from([[], [ANN], [BOB], [ANN, BOB]])

# Owner and key.
Holder = tuple[str, str]
# Chooses numbers out of what is free; None if it can't.
Choose = Callable[[set[int]], list[int] | None]


@dataclass(frozen=True)
class Held:
    """What the model knows of a reservation."""

    numbers: list[int]
    shape: tuple[object, ...]
    expire_time_us: int = 0


@st.composite
def spans(draw: st.DrawFn, min_edges: int = 2) -> list[Span]:
    """Ranges that do not overlap."""
    edges = sorted(draw(st.lists(NUMBERS, min_size=min_edges, max_size=6, unique=True)))
    return list(zip(edges[::2], edges[1::2], strict=False))


def numbers_of(ranges: Sequence[Span]) -> set[int]:
    return {number for first, last in ranges for number in range(first, last + 1)}


def runs(free: set[int]) -> list[list[int]]:
    """Returns numbers as lists without a gap, in order."""
    found: list[list[int]] = []
    for number in sorted(free):
        if found and found[-1][-1] + 1 == number:
            found[-1].append(number)
        else:
            found.append([number])
    return found


class PoolMachine(RuleBasedStateMachine):
    """Runs commands on the kernel and on the model, and compares answers and reads.

    The tables lie on a row store that is written to now and then, as those of a service do.
    """

    gap_free = False

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.store = DictStore()
        self.story.state.attach(self.store)
        self.ranges: list[Span] = []
        self.exclusions: list[Span] = []
        self.preferred: list[int] = []
        self.last_number = -1
        self.void: set[int] = set()
        self.held: dict[Holder, Held] = {}

    @property
    def allowed(self) -> set[int]:
        return numbers_of(self.ranges) - numbers_of(self.exclusions)

    @property
    def now_us(self) -> int:
        """The time that the next command gets."""
        return self.story.moment.time_us

    def free(self) -> set[int]:
        if self.gap_free:
            return {number for number in self.allowed if number > self.last_number}
        return self.allowed - self.taken()

    def taken(self) -> set[int]:
        return {number for held in self.held.values() for number in held.numbers}

    def expired(self) -> list[Holder]:
        """Names what is expired, those that expired first, first."""
        dead = [
            (held.expire_time_us, holder)
            for holder, held in self.held.items()
            if 0 < held.expire_time_us <= self.now_us
        ]
        return [holder for _, holder in sorted(dead)]

    def end(self, holder: Holder) -> list[int]:
        """Ends a reservation and returns its numbers."""
        numbers = self.held.pop(holder).numbers
        if self.gap_free:
            self.void.update(numbers)
        return numbers

    @initialize(ranges=spans(), data=st.data())
    def create(self, ranges: list[Span], data: st.DataObject) -> None:
        self.ranges = ranges
        self.preferred = self._draw_preferred(data)
        self.story.given(create(*ranges, preferred=self.preferred, gap_free=self.gap_free))

    def _draw_preferred(self, data: st.DataObject) -> list[int]:
        if self.gap_free:
            return []
        allowed = st.sampled_from(sorted(self.allowed))
        return data.draw(st.lists(allowed, max_size=3, unique=True))

    # Reserving

    @rule(owner_id=OWNERS, key=KEYS, preferred=st.one_of(st.none(), NUMBERS), ttl=TTLS)
    def reserve(self, owner_id: str, key: str, preferred: int | None, ttl: int | None) -> None:
        if self.gap_free:
            preferred = None
        command = reserve(key, owner_id, preferred=preferred, ttl_seconds=ttl)

        def choose(free: set[int]) -> list[int] | None:
            wanted = [number for number in (preferred, *self.preferred) if number in free]
            return [wanted[0] or 0] if wanted else [min(free)] if free else None

        old = self.held.get((owner_id, key))
        sticky = preferred is None or (old is not None and old.numbers == [preferred])
        self._reserve(command, (owner_id, key), Held([], ("one",)), choose, sticky=sticky)

    @rule(owner_id=OWNERS, key=KEYS, count=COUNTS, ttl=TTLS)
    def reserve_any(self, owner_id: str, key: str, count: int, ttl: int | None) -> None:
        command = reserve_group(key, count, owner_id, ttl_seconds=ttl)

        def choose(free: set[int]) -> list[int] | None:
            first = [number for number in self.preferred if number in free]
            order = first + sorted(free - set(first))
            return sorted(order[:count]) if len(free) >= count else None

        self._reserve(command, (owner_id, key), Held([], ("any", count)), choose)

    @rule(owner_id=OWNERS, key=KEYS, count=COUNTS, ttl=TTLS)
    def reserve_contiguous(self, owner_id: str, key: str, count: int, ttl: int | None) -> None:
        command = reserve_group(key, count, owner_id, contiguous=True, ttl_seconds=ttl)

        def choose(free: set[int]) -> list[int] | None:
            candidates = runs(free)[:1] if self.gap_free else sorted(runs(free), key=len)
            fitting = [run for run in candidates if len(run) >= count]
            return fitting[0][:count] if fitting else None

        self._reserve(command, (owner_id, key), Held([], ("contiguous", count)), choose)

    @rule(owner_id=OWNERS, key=KEYS, offsets=OFFSETS, ttl=TTLS)
    def reserve_offsets(self, owner_id: str, key: str, offsets: list[int], ttl: int | None) -> None:
        command = reserve_group(key, 0, owner_id, offsets=offsets, ttl_seconds=ttl)
        if self.gap_free:
            self.story.then_refused(command, "INVALID_FIELD")
            return

        def choose(free: set[int]) -> list[int] | None:
            at_bases = [sorted(base + offset for offset in offsets) for base in range(21)]
            return next((numbers for numbers in at_bases if free.issuperset(numbers)), None)

        shape = ("offsets", *sorted(offsets))
        self._reserve(command, (owner_id, key), Held([], shape), choose)

    def _reserve(
        self, command: Message, holder: Holder, asked: Held, choose: Choose, *, sticky: bool = True
    ) -> None:
        """Runs a reservation for which the model chooses the numbers."""
        before, void_before, expired = dict(self.held), set(self.void), self.expired()
        old = self.held.get(holder)
        if old is not None and holder not in expired:
            self._reserve_again(command, old, asked)
            return
        if old is not None:
            self.end(holder)
        comes_back = old is not None and sticky and old.shape == asked.shape
        if old is not None and comes_back and not self.gap_free and self._may_give(old.numbers):
            numbers: list[int] | None = old.numbers
        else:
            numbers = choose(self.free())
        if numbers is None and not self.gap_free:
            for dead in expired:
                if dead in self.held:
                    self.end(dead)
            numbers = choose(self.free())
        if numbers is None:
            enough = len(self.free()) >= self._count(asked)
            self.held, self.void = before, void_before
            self.story.then_refused(command, "POOL_FRAGMENTED" if enough else "POOL_EXHAUSTED")
            return
        expire_time_us = self.now_us + command.ttl_seconds * MICROSECONDS  # type: ignore[attr-defined]
        stays = not command.HasField("ttl_seconds")
        self.held[holder] = Held(numbers, asked.shape, 0 if stays else expire_time_us)
        if self.gap_free:
            self.last_number = numbers[-1]
        answer = self.story.when(command)
        assert (self._numbers(answer), answer.already_held) == (numbers, False)

    def _may_give(self, numbers: list[int]) -> bool:
        return self.allowed.issuperset(numbers)

    def _reserve_again(self, command: Message, old: Held, asked: Held) -> None:
        if old.shape != asked.shape:
            self.story.then_refused(command, "RESERVATION_DIFFERS")
            return
        answer = self.story.when(command)
        assert self.story.then_events() == []
        assert (self._numbers(answer), answer.already_held) == (old.numbers, True)

    @staticmethod
    def _count(asked: Held) -> int:
        match asked.shape:
            case ("one",):
                return 1
            case ("offsets", *offsets):
                return len(offsets)
            case (_, int(count)):
                return count
        raise AssertionError(asked.shape)

    @staticmethod
    def _numbers(answer: object) -> list[int]:
        return list(answer.numbers) if hasattr(answer, "numbers") else [answer.number]  # type: ignore[attr-defined]

    # Keeping and ending

    @rule(owner_id=OWNERS, key=KEYS)
    def confirm(self, owner_id: str, key: str) -> None:
        held = self._live(confirm(key, owner_id), (owner_id, key))
        if held is not None:
            self.story.given(confirm(key, owner_id))
            self.held[owner_id, key] = replace(held, expire_time_us=0)

    @rule(owner_id=OWNERS, key=KEYS, ttl=st.integers(1, 6))
    def renew(self, owner_id: str, key: str, ttl: int) -> None:
        command = renew(key, ttl, owner_id)
        held = self._live(command, (owner_id, key))
        if held is not None:
            end_us = self.now_us + ttl * MICROSECONDS
            self.story.given(command)
            if held.expire_time_us:
                end_us = max(held.expire_time_us, end_us)
                self.held[owner_id, key] = replace(held, expire_time_us=end_us)

    def _live(self, command: Message, holder: Holder) -> Held | None:
        """Returns what is held and not expired; where there is none, the command is refused."""
        if holder not in self.held:
            self.story.then_refused(command, "RESERVATION_NOT_FOUND")
        elif holder in self.expired():
            self.story.then_refused(command, "RESERVATION_EXPIRED")
        else:
            return self.held[holder]
        return None

    @rule(owner_id=OWNERS, key=KEYS)
    def release(self, owner_id: str, key: str) -> None:
        holder = (owner_id, key)
        answer = self.story.when(release(key, owner_id))
        assert list(answer.numbers) == (self.end(holder) if holder in self.held else [])

    @rule(owner_id=OWNERS)
    def release_owner(self, owner_id: str) -> None:
        holders = sorted(holder for holder in self.held if holder[0] == owner_id)
        answer = self.story.when(release_owner(owner_id))
        found = {one.key: list(one.numbers) for one in answer.released}
        assert found == {holder[1]: self.end(holder) for holder in holders}

    @rule(gone=GONE)
    def clean_up(self, gone: list[str]) -> None:
        expired = self.expired()
        orphans = [holder for holder in self.held if holder[0] in gone and holder not in expired]
        previewed = self.story.read(preview(*gone)).reservations
        released = self.story.when(clean_up(*gone)).released
        assert sorted(map(str, previewed)) == sorted(map(str, released))
        order = [(one.owner_id, one.key) for one in released]
        assert order == expired + sorted(orphans)
        for holder, one in zip(order, released, strict=True):
            assert list(one.numbers) == self.end(holder)

    # Around them

    @rule(ranges=spans(), exclusions=spans(min_edges=0), data=st.data())
    def update(self, ranges: list[Span], exclusions: list[Span], data: st.DataObject) -> None:
        allowed = numbers_of(ranges) - numbers_of(exclusions)
        if not allowed:
            paths = ("ranges", "exclusions", "preferred_numbers")
            command = update(*paths, spans=ranges, exclusions=exclusions)
            self.story.then_refused(command, "INVALID_FIELD")
            return
        self.ranges, self.exclusions = ranges, exclusions
        self.preferred = self._draw_preferred(data)
        self.story.given(
            update(
                "ranges",
                "exclusions",
                "preferred_numbers",
                spans=ranges,
                exclusions=exclusions,
                preferred=self.preferred,
            )
        )

    @rule(seconds=st.integers(1, 4))
    def let_pass(self, seconds: int) -> None:
        let_pass(self.story, seconds)

    @rule(count=COUNTS)
    def fail_a_batch(self, count: int) -> None:
        self.story.undone(
            [
                release_owner(ANN),
                clean_up(BOB),
                reserve("x"),
                reserve_group("y", count),
                update("exclusions", exclusions=[(0, 3)]),
                release("x"),
                reserve_group("z", count, contiguous=True),
            ]
        )

    @rule()
    def write_a_checkpoint(self) -> None:
        self.store.write(self.story.state)
        self.story.state.thaw()

    @invariant()
    def reads_agree(self) -> None:
        if not self.ranges:
            return
        found = {(one.owner_id, one.key): list(one.numbers) for one in reservations_of(self.story)}
        assert found == {holder: held.numbers for holder, held in self.held.items()}
        expired = [(one.owner_id, one.key) for one in reservations_of(self.story) if one.expired]
        assert expired == sorted(self.expired())
        pool, taken = pool_of(self.story), self.taken()
        assert pool.size == len(self.allowed)
        assert pool.free_count == len(self.free())
        assert (pool.held_count, pool.void_count) == (len(taken), len(self.void))
        assert pool.outside_count == len(taken - self.allowed)

    @invariant()
    def the_check_and_the_audit_find_nothing(self) -> None:
        if self.ranges:
            answer = check(self.story)
            assert list(answer.problems) == []
            assert list(answer.outside_numbers) == sorted(self.taken() - self.allowed)
        assert self.story.breaches() == []

    def teardown(self) -> None:
        self.story.assert_sound()


class GapFreePoolMachine(PoolMachine):
    """The same for a gap-free pool."""

    gap_free = True


TestPoolModel = PoolMachine.TestCase
TestGapFreePoolModel = GapFreePoolMachine.TestCase
TestPoolModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
TestGapFreePoolModel.settings = settings(max_examples=40, stateful_step_count=30, deadline=None)
