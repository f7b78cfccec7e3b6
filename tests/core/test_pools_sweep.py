"""What a reservation that finds no room sweeps: as much as one command may, what helps first."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless_server.core.kinds.pools.release import RELEASED_RESERVATIONS_MAX
from tests.core.pool_commands import create, let_pass, reserve, reserve_group, update_ranges
from tests.core.story import Story

# More than one command sweeps.
MANY = RELEASED_RESERVATIONS_MAX + 2


@pytest.fixture
def story() -> Story:
    """Every number of a pool is held by a reservation that has expired, the largest last."""
    story = Story().given(create((1, MANY)))
    story.given(*(reserve(f"k{number}", ttl_seconds=1) for number in range(1, MANY + 1)))
    let_pass(story, 2)
    return story


@pytest.mark.parametrize(
    "asked",
    [
        reserve("new", preferred=MANY, only_preferred=True),
        reserve_group("new", offsets=[0, 1], base=MANY - 1),
    ],
    ids=["number", "base"],
)
def test_a_number_that_is_named_is_swept_however_many_expired_before(
    story: Story, asked: Message
) -> None:
    answer = story.when(asked)

    assert not answer.already_held
    assert len(story.then_events()[0].reservations) == RELEASED_RESERVATIONS_MAX


def test_those_that_hold_nothing_of_the_pool_any_more_stand_back(story: Story) -> None:
    story.given(update_ranges((MANY, MANY)))

    answer = story.when(reserve("new"))

    assert answer.number == MANY
    swept = story.then_events()[0].reservations
    assert (swept[0].key, len(swept)) == (f"k{MANY}", RELEASED_RESERVATIONS_MAX)
