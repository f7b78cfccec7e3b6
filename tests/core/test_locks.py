"""Locks: one holder at a time, under a token that only grows, until a time that never jumps."""

from __future__ import annotations

import pytest

from gapless.v1.locks_pb2 import LockAcquired, LockExpired, LockReleased, LockRenewed
from gapless_server.core.commands import Context, MustWait
from gapless_server.core.kernel import EXPIRED_MAX
from gapless_server.core.state import Moment
from gapless_server.core.times import from_timestamp
from tests.core.batch_commands import batch
from tests.core.chat_commands import channel, post
from tests.core.lock_commands import (
    ANN,
    BOB,
    DOOR,
    acquire,
    held,
    listed,
    lock_of,
    release,
    renew,
    token_of,
)
from tests.core.story import KERNEL, START_TIME_US, STEP_US, Story, forged


class TestAcquire:
    def test_e1_a_free_lock_is_given(self) -> None:
        story = Story()

        lock = story.when(acquire()).lock

        assert (lock.lock_id, lock.holder_id, lock.ttl_seconds) == (DOOR, ANN, 10)
        assert from_timestamp(lock.acquire_time) == START_TIME_US + STEP_US
        assert from_timestamp(lock.expire_time) == START_TIME_US + 11 * STEP_US
        assert story.then_events() == [
            LockAcquired(
                lock_id=DOOR, holder_id=ANN, fencing_token=lock.fencing_token, ttl_seconds=10
            )
        ]
        assert lock_of(story) == lock

    @pytest.mark.parametrize("holder_id", [ANN, BOB])
    def test_e1_a_held_lock_is_refused_naming_holder_and_end(self, holder_id: str) -> None:
        """Also to the holder: who asks twice may be two."""
        story = Story().given(acquire())

        refusal = story.then_refused(acquire(holder_id=holder_id), "LOCK_HELD")

        assert refusal.row.code == 10
        assert refusal.metadata == {
            "lock_id": DOOR,
            "holder_id": ANN,
            "expire_time": "2023-11-14T22:13:31Z",
        }
        assert refusal.retry_after_seconds == 9

    def test_e1_a_released_lock_is_given_again_under_a_larger_token(self) -> None:
        story = Story()
        first = token_of(story, acquire())
        story.given(release(first))

        assert token_of(story, acquire(holder_id=BOB)) > first

    def test_e2_two_locks_are_independent(self) -> None:
        story = Story().given(acquire("a"), acquire("b", BOB))

        assert listed(story) == ["a", "b"]

    def test_tokens_grow_within_one_entry(self) -> None:
        story = Story()

        answer = story.when(batch(acquire("a"), acquire("b"), acquire("c")))

        tokens = [result.acquire_lock.lock.fencing_token for result in answer.results]
        assert tokens == sorted(set(tokens))
        story.assert_sound()

    def test_tokens_grow_where_time_stands_still(self) -> None:
        moment = Moment(1, 1, 1)
        story, tokens = Story(), []
        for lock_id in ("a", "b"):
            typed = story.typed(acquire(lock_id))
            decision = typed.decide(story.state, Context(moment, "", "made-"))
            KERNEL.evolve(story.state, decision.events, moment)
            tokens.append(decision.response.lock.fencing_token)  # type: ignore[attr-defined]

        assert tokens == [1, 2]

    def test_a_token_is_not_below_its_commit_time(self) -> None:
        """So it is above those of a history that a restore has dropped."""
        story = Story()

        assert token_of(story, acquire()) == START_TIME_US + STEP_US

    @pytest.mark.parametrize(
        ("bad", "field"),
        [
            (acquire(""), "lock_id"),
            (acquire(holder_id=""), "holder_id"),
            (acquire(ttl_seconds=0), "ttl_seconds"),
            (acquire(ttl_seconds=-1), "ttl_seconds"),
            (acquire(ttl_seconds=86_401), "ttl_seconds"),
            (acquire(ttl_seconds=2**63 - 1), "ttl_seconds"),
            (acquire(wait_seconds=-1), "wait_seconds"),
            (acquire(wait_seconds=3_601), "wait_seconds"),
            (renew(0), "fencing_token"),
            (renew(1, ttl_seconds=0), "ttl_seconds"),
            (release(0), "fencing_token"),
        ],
    )
    def test_bad_input_is_named_by_its_field(self, bad: object, field: str) -> None:
        refusal = Story().then_refused(bad, "INVALID_FIELD")  # type: ignore[arg-type]

        assert [fault.field for fault in refusal.faults] == [field]


class TestWait:
    def test_who_wants_to_wait_for_a_held_lock_is_told_to(self) -> None:
        story = Story().given(acquire())
        typed = story.typed(acquire(holder_id=BOB, wait_seconds=5))
        before = story.state.digest()

        with pytest.raises(MustWait) as caught:
            typed.decide(story.state, Context(story.moment, "", "made-", may_wait=True))

        assert (caught.value.line, caught.value.seconds) == ("lock door", 5)
        assert caught.value.refusal.row.reason == "LOCK_HELD"
        assert story.state.digest() == before

    def test_who_wants_to_wait_gets_a_free_lock_at_once(self) -> None:
        story = Story()
        typed = story.typed(acquire(wait_seconds=5))

        context = Context(story.moment, "", "made-", may_wait=True)

        assert len(typed.decide(story.state, context).events) == 1

    def test_waiting_is_refused_where_others_would_wait_as_well(self) -> None:
        """In a frame, whether the lock is free or not; and in a batch."""
        story = Story().given(acquire("held"))

        free = story.then_refused(acquire("free", wait_seconds=1), "INVALID_FIELD")
        taken = story.then_refused(acquire("held", wait_seconds=1), "INVALID_FIELD")
        in_batch = story.then_refused(batch(acquire("free", wait_seconds=1)), "INVALID_FIELD")

        assert [fault.field for fault in free.faults] == ["wait_seconds"]
        assert [fault.field for fault in taken.faults] == ["wait_seconds"]
        assert [fault.field for fault in in_batch.faults] == [
            "commands[0].acquire_lock.wait_seconds"
        ]

    @pytest.mark.parametrize("event_type", [LockReleased, LockExpired])
    def test_what_ends_a_lock_lets_its_line_go_on(self, event_type: type) -> None:
        [frees] = KERNEL.event_types[event_type].frees

        assert frees(event_type(lock_id=DOOR)) == "lock door"


class TestRenew:
    def test_a_lock_lasts_a_ttl_from_its_renewal(self) -> None:
        story = Story()
        token = token_of(story, acquire(ttl_seconds=10))
        story.idle(5)

        lock = story.when(renew(token)).lock

        assert from_timestamp(lock.expire_time) == START_TIME_US + 17 * STEP_US
        assert story.then_events() == [
            LockRenewed(lock_id=DOOR, holder_id=ANN, fencing_token=token, ttl_seconds=10)
        ]
        assert lock_of(story.idle(8)) == lock
        assert lock_of(story.idle(1)) is None
        story.assert_sound()

    def test_a_renewal_may_give_another_ttl_which_stays(self) -> None:
        story = Story()
        token = token_of(story, acquire(ttl_seconds=10))

        first = story.when(renew(token, ttl_seconds=20)).lock
        second = story.when(renew(token)).lock

        assert (first.ttl_seconds, second.ttl_seconds) == (20, 20)
        assert from_timestamp(second.expire_time) == START_TIME_US + 23 * STEP_US

    def test_a_renewal_never_makes_a_lock_end_earlier(self) -> None:
        story = Story()
        token = token_of(story, acquire(ttl_seconds=10))

        lock = story.when(renew(token, ttl_seconds=3)).lock

        assert story.then_events() == []
        assert from_timestamp(lock.expire_time) == START_TIME_US + 11 * STEP_US
        assert lock.ttl_seconds == 10

    def test_e3_a_lock_that_has_ended_cannot_be_renewed(self) -> None:
        story = Story()
        token = token_of(story, acquire(ttl_seconds=10))
        story.idle(10)

        refusal = story.then_refused(renew(token), "LOCK_NOT_HELD")

        assert refusal.row.code == 9
        assert refusal.metadata == {
            "lock_id": DOOR,
            "fencing_token": str(token),
            "found": "nobody holds it",
        }

    def test_e3_a_stale_token_renews_nothing(self) -> None:
        story = Story()
        stale = token_of(story, acquire(ttl_seconds=10))
        fresh = token_of(story.idle(10), acquire(holder_id=BOB))

        refusal = story.then_refused(renew(stale), "LOCK_NOT_HELD")

        assert refusal.metadata["found"] == f"bob holds it with fencing token {fresh}"


class TestRelease:
    def test_a_released_lock_is_free(self) -> None:
        story = Story()
        token = token_of(story, acquire())

        story.when(release(token))

        assert story.then_events() == [
            LockReleased(lock_id=DOOR, holder_id=ANN, fencing_token=token)
        ]
        assert lock_of(story) is None
        assert listed(story) == listed(story, ANN) == []

    def test_what_is_not_held_with_the_token_stays_as_it_is(self) -> None:
        story = Story()
        stale = token_of(story, acquire(ttl_seconds=10))
        token_of(story.idle(10), acquire(holder_id=BOB))

        for lock_id in (DOOR, "free"):
            story.when(release(stale, lock_id))
            assert story.then_events() == []
            story.then_refused(release(stale, lock_id, fail_if_unchanged=True), "LOCK_NOT_HELD")
        lock = lock_of(story)
        assert lock is not None
        assert lock.holder_id == BOB


class TestExpiry:
    def test_e3_a_lock_that_is_not_renewed_ends_by_an_event(self) -> None:
        story = Story()
        token = token_of(story, acquire(ttl_seconds=10))

        # The next entry stands a second later anyway.
        story.idle(8)
        assert lock_of(story) is not None

        story.idle(1)
        assert story.then_events() == [
            LockExpired(lock_id=DOOR, holder_id=ANN, fencing_token=token)
        ]
        assert story.entries[-1].request_id == ""
        assert lock_of(story) is None
        assert token_of(story, acquire(holder_id=BOB)) > token
        story.assert_sound()

    def test_many_locks_end_in_entries_of_a_bounded_size(self) -> None:
        story = Story()
        for first in range(0, EXPIRED_MAX + 500, 500):
            story.given(batch(*(acquire(f"{number}") for number in range(first, first + 500))))

        story.idle(60)

        ended = [len(entry.events) for entry in story.entries if not entry.request_id]
        assert ended == [EXPIRED_MAX, 500]
        assert listed(story) == []
        story.assert_sound()

    def test_a_lock_acquired_anew_is_not_ended_by_the_time_of_the_old_one(self) -> None:
        story = Story()
        token = token_of(story, acquire(ttl_seconds=10))
        story.given(release(token), acquire(ttl_seconds=60))

        assert lock_of(story.idle(30)) is not None
        assert lock_of(story.idle(30)) is None

    def test_a_shorter_lock_after_one_that_was_taken_back_ends_in_time(self) -> None:
        """A batch that fails leaves its alarm behind; that must not hide an earlier end."""
        story = Story()
        story.then_refused(batch(acquire(ttl_seconds=1000), post()), "CHANNEL_NOT_FOUND")

        story.given(acquire(ttl_seconds=10))

        assert lock_of(story.idle(10)) is None

    def test_g10_after_a_start_the_same_locks_end_at_the_same_uptime(self) -> None:
        story = Story()
        token = token_of(story, acquire("a", ttl_seconds=10))
        story.given(acquire("b", ttl_seconds=20), renew(token, 30, "a"))
        loaded = KERNEL.new_state()
        story.replay(loaded)
        KERNEL.set_alarms(loaded)

        def ends_at(uptime_seconds: int) -> list[str]:
            moment = Moment(9, 0, uptime_seconds * STEP_US)
            events = KERNEL.expire(loaded, moment)
            KERNEL.evolve(loaded, events, moment)
            return [event.lock_id for event in events]  # type: ignore[attr-defined]

        assert (ends_at(21), ends_at(22), ends_at(32), ends_at(33)) == ([], ["b"], [], ["a"])


class TestGuard:
    def test_e3_a_command_under_a_lock_is_run_while_it_is_held_and_not_after(self) -> None:
        story = Story().given(channel())
        token = token_of(story, acquire(ttl_seconds=10))

        assert story.when(post(), guards=[held(token)]).sequence == 1

        story.idle(10)
        refusal = story.then_refused(post(), "GUARD_FAILED", guards=[held(token)])
        assert refusal.metadata["subject"] == "lock door"
        assert refusal.metadata["expected"] == f"fencing token {token}"
        assert refusal.metadata["found"] == "nobody holds it"

    def test_e3_the_token_of_another_holding_does_not_do(self) -> None:
        story = Story().given(channel())
        stale = token_of(story, acquire(ttl_seconds=10))
        fresh = token_of(story.idle(10), acquire(holder_id=BOB))

        refusal = story.then_refused(post(), "GUARD_FAILED", guards=[held(stale)])

        assert refusal.metadata["found"] == f"bob holds it with fencing token {fresh}"
        assert story.when(post(), guards=[held(fresh)]).sequence == 1

    def test_the_token_of_another_lock_does_not_do(self) -> None:
        story = Story().given(channel(), acquire("other"))
        token = token_of(story, acquire())

        story.then_refused(post(), "GUARD_FAILED", guards=[held(token, "other")])


class TestList:
    @pytest.fixture
    def story(self) -> Story:
        return Story().given(
            acquire("job/1", ANN),
            acquire("job/2", BOB),
            acquire("job/3", ANN),
            acquire("job", ANN),
            acquire("joc", ANN),
        )

    def test_locks_are_listed_in_the_order_of_their_ids(self, story: Story) -> None:
        assert listed(story) == ["job", "job/1", "job/2", "job/3", "joc"]

    def test_locks_are_listed_by_holder_and_by_prefix(self, story: Story) -> None:
        assert listed(story, BOB) == ["job/2"]
        assert listed(story, ANN) == ["job", "job/1", "job/3", "joc"]
        assert listed(story, prefix="job") == ["job", "job/1", "job/2", "job/3"]
        assert listed(story, ANN, "job/") == ["job/1", "job/3"]
        assert listed(story, "nobody") == []


class TestAudit:
    def test_a_token_that_does_not_grow_is_found(self) -> None:
        acquired = [LockAcquired(lock_id=name, holder_id=ANN, fencing_token=5) for name in "ab"]

        assert forged(*acquired) == ["position 2: lock b: token 5 follows 5"]

    def test_a_second_holder_is_found(self) -> None:
        assert forged(
            LockAcquired(lock_id=DOOR, holder_id=ANN, fencing_token=1, ttl_seconds=1),
            LockAcquired(lock_id=DOOR, holder_id=BOB, fencing_token=2, ttl_seconds=1),
        ) == ["position 2: lock door is acquired while ann holds it"]

    def test_an_early_end_is_found(self) -> None:
        assert forged(
            LockAcquired(lock_id=DOOR, holder_id=ANN, fencing_token=1, ttl_seconds=1),
            LockExpired(lock_id=DOOR, holder_id=ANN, fencing_token=1),
        ) == ["position 2: lock door expires 1000000 us early"]

    @pytest.mark.parametrize(
        ("event", "what"),
        [
            (LockRenewed(lock_id=DOOR, holder_id=ANN, fencing_token=2), "is renewed"),
            (LockReleased(lock_id=DOOR, holder_id=BOB, fencing_token=1), "is released"),
            (LockExpired(lock_id=DOOR, holder_id=ANN, fencing_token=2), "expires"),
        ],
    )
    def test_what_is_done_under_another_holding_is_found(
        self, event: LockRenewed | LockReleased | LockExpired, what: str
    ) -> None:
        acquired = LockAcquired(lock_id=DOOR, holder_id=ANN, fencing_token=1, ttl_seconds=1)
        asked = (event.holder_id, event.fencing_token)

        assert forged(acquired, event) == [
            f"position 2: lock door {what} by {asked}, held by ('ann', 1)"
        ]
