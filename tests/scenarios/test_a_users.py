"""Part A: reactions, memberships, settings, endpoints and read markers of users, all at once."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from functools import partial

import pytest

from gapless import AsyncClient, Client, NotificationLevel, ToggleOutcome
from gapless.errors import MembershipAlreadyExists
from gapless.v1.push_subscriptions_pb2 import UpsertPushSubscriptionResponse
from gapless.v1.reactions_pb2 import ToggleReactionResponse
from tests.scenarios.connections import by_position, connections, in_order, outcomes
from tests.scenarios.processes import Place, at_once

GENERAL = "general"
THUMBS_UP = "thumbsup"
ADDED, REMOVED = ToggleOutcome.TOGGLE_OUTCOME_ADDED, ToggleOutcome.TOGGLE_OUTCOME_REMOVED


@pytest.fixture
async def message_id(async_client: AsyncClient) -> str:
    """A message in a channel."""
    await async_client.channels.create(GENERAL)
    return (await async_client.messages.post(GENERAL, "ann", "hello")).message_id


async def toggle_at_once(
    place: Place, message_id: str, user_ids: Sequence[str]
) -> list[ToggleReactionResponse]:
    """Toggles once for each user, from as many connections; gives the answers in commit order."""
    async with connections(place, len(user_ids)) as clients:
        return await in_order(
            [
                client.reactions.toggle(GENERAL, message_id, user_id, THUMBS_UP)
                for client, user_id in zip(clients, user_ids, strict=True)
            ]
        )


async def who_reacted(client: AsyncClient, message_id: str) -> list[str]:
    return [found.user_id async for found in client.reactions.list(GENERAL, message_id)]


async def test_a6_two_toggles_at_once_add_and_remove_in_that_order(
    place: Place, async_client: AsyncClient, message_id: str
) -> None:
    answers = await toggle_at_once(place, message_id, ["bob"] * 2)

    assert [answer.outcome for answer in answers] == [ADDED, REMOVED]
    assert await who_reacted(async_client, message_id) == []
    assert await async_client.reactions.counts(GENERAL, message_id) == {}


async def test_a7_five_toggles_at_once_leave_exactly_one_reaction(
    place: Place, async_client: AsyncClient, message_id: str
) -> None:
    answers = await toggle_at_once(place, message_id, ["bob"] * 5)

    assert [answer.outcome for answer in answers] == [ADDED, REMOVED, ADDED, REMOVED, ADDED]
    assert await who_reacted(async_client, message_id) == ["bob"]
    assert await async_client.reactions.counts(GENERAL, message_id) == {THUMBS_UP: 1}


async def test_a8_five_users_toggling_at_once_are_five_reactions(
    place: Place, async_client: AsyncClient, message_id: str
) -> None:
    users = [f"user{n}" for n in range(5)]

    answers = await toggle_at_once(place, message_id, users)

    assert [answer.outcome for answer in answers] == [ADDED] * 5
    assert [answer.count for answer in answers] == [1, 2, 3, 4, 5]
    assert await who_reacted(async_client, message_id) == users
    assert await async_client.reactions.counts(GENERAL, message_id) == {THUMBS_UP: 5}


async def test_a9_of_three_settings_at_once_the_last_committed_one_holds_for_every_reader(
    place: Place, async_client: AsyncClient, message_id: str
) -> None:
    assert message_id
    levels = [
        NotificationLevel.NOTIFICATION_LEVEL_ALL,
        NotificationLevel.NOTIFICATION_LEVEL_MENTIONS,
        NotificationLevel.NOTIFICATION_LEVEL_NONE,
    ]

    async with connections(place, 3) as clients:
        answers = await in_order(
            [
                client.notification_settings.set(GENERAL, "bob", level)
                for client, level in zip(clients, levels, strict=True)
            ]
        )
        seen = [await client.notification_settings.get(GENERAL, "bob") for client in clients]

    last = answers[-1].setting
    assert {answer.setting.level for answer in answers} == set(levels)
    assert seen == [last] * 3
    reader = async_client.events.read(event_types=["notification_setting_changed"])
    written = [
        (entry.position, entry.events[0].notification_setting_changed.level)
        async for entry in reader
    ]
    assert written == [(answer.receipt.position, answer.setting.level) for answer in answers]
    assert written[-1] == (last.position, last.level)


async def test_a10_of_two_joins_at_once_both_succeed_and_one_says_that_it_changed_something(
    place: Place, async_client: AsyncClient, message_id: str
) -> None:
    assert message_id
    async with connections(place, 2) as clients:
        answers = await in_order([client.memberships.join(GENERAL, "bob") for client in clients])

    assert [answer.receipt.changed for answer in answers] == [True, False]
    assert answers[0].membership == answers[1].membership
    members = [found.user_id async for found in async_client.memberships.list_members(GENERAL)]
    assert members == ["bob"]


async def test_a11_of_five_joins_that_ask_to_fail_one_succeeds_and_may_be_sent_again(
    place: Place, async_client: AsyncClient, message_id: str
) -> None:
    assert message_id
    async with connections(place, 5) as clients:
        answers, refused = await outcomes(
            [
                client.memberships.join(
                    GENERAL, "bob", fail_if_unchanged=True, request_id=f"join{n}"
                )
                for n, client in enumerate(clients)
            ]
        )
    [winner] = answers
    known = [await async_client.events.get_request(f"join{n}") for n in range(5)]
    [winner_id] = [f"join{n}" for n in range(5) if known[n].found]

    again = await async_client.memberships.join(
        GENERAL, "bob", fail_if_unchanged=True, request_id=winner_id
    )

    assert [type(error) for error in refused] == [MembershipAlreadyExists] * 4
    assert winner.receipt.changed
    assert again.receipt.replayed
    assert again.membership == winner.membership
    assert again.receipt.position == winner.receipt.position


async def test_a12_of_two_leaves_at_once_both_succeed_and_one_says_that_it_changed_something(
    place: Place, async_client: AsyncClient, message_id: str
) -> None:
    assert message_id
    await async_client.memberships.join(GENERAL, "bob")

    async with connections(place, 2) as clients:
        answers = await in_order([client.memberships.leave(GENERAL, "bob") for client in clients])

    assert [answer.receipt.changed for answer in answers] == [True, False]
    assert await async_client.memberships.check(GENERAL, "bob") is None


ENDPOINT = "https://push.example/device"


def subscribe(client: Client, number: int) -> UpsertPushSubscriptionResponse:
    return client.push_subscriptions.upsert(
        "bob", ENDPOINT, p256dh_key=f"public {number}".encode(), auth_key=b"%d" % number
    )


def test_a13_an_endpoint_that_subscribes_again_from_5_clients_has_the_last_committed_keys(
    place: Place, client: Client
) -> None:
    subscribe(client, 99)

    answers = at_once(place, [partial(subscribe, number=number) for number in range(5)])

    [kept] = client.push_subscriptions.list("bob")
    last = by_position(answers)[-1]
    number = answers.index(last)
    assert [answer.receipt.changed for answer in answers] == [True] * 5
    assert (kept.endpoint, kept.position) == (ENDPOINT, last.receipt.position)
    assert (kept.p256dh_key, kept.auth_key) == (b"public %d" % number, b"%d" % number)


async def test_a14_marking_read_at_once_leaves_nothing_unread_and_never_goes_back(
    place: Place, async_client: AsyncClient, message_id: str
) -> None:
    assert message_id
    for _ in range(9):
        await async_client.messages.post(GENERAL, "ann", "hello")

    async with connections(place, 5) as clients:
        answers = await in_order(
            [client.read_markers.mark(GENERAL, "bob", 10) for client in clients]
        )
    smaller = await async_client.read_markers.mark(GENERAL, "bob", 3)
    beyond = await async_client.read_markers.mark(GENERAL, "bob", 999)
    await async_client.messages.post(GENERAL, "ann", "one more")
    marker = await async_client.read_markers.get(GENERAL, "bob")

    assert [answer.receipt.changed for answer in answers] == [True] + [False] * 4
    assert [answer.marker.unread_count for answer in answers] == [0] * 5
    assert (smaller.marker.sequence, smaller.receipt.changed) == (10, False)
    assert (beyond.marker.sequence, beyond.marker.unread_count) == (10, 0)
    assert (marker.sequence, marker.head_sequence, marker.unread_count) == (10, 11, 1)


async def test_a14_a_mark_beyond_the_head_counts_as_the_head(
    place: Place, async_client: AsyncClient, message_id: str
) -> None:
    assert message_id
    async with connections(place, 5) as clients:
        marks = (client.read_markers.mark(GENERAL, "bob", 999) for client in clients)
        answers = await asyncio.gather(*marks)

    assert [answer.marker.sequence for answer in answers] == [1] * 5
    assert [answer.receipt.changed for answer in answers].count(True) == 1
