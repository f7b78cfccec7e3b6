"""Push subscriptions: what writing and removing one does, given what was written before."""

from __future__ import annotations

import pytest

from gapless.v1.push_subscriptions_pb2 import (
    ListPushSubscriptionsRequest,
    PushSubscription,
    PushSubscriptionRemoved,
    PushSubscriptionUpserted,
    RemovePushSubscriptionRequest,
    UpsertPushSubscriptionRequest,
)
from gapless_server.core.times import to_timestamp
from tests.core.chat_commands import ANN, BOB
from tests.core.story import START_TIME_US, STEP_US, Story

PHONE = "https://push.example/phone"
LAPTOP = "https://push.example/laptop"


@pytest.fixture
def story() -> Story:
    return Story()


def upsert(
    user_id: str = ANN, endpoint: str = PHONE, key: bytes = b"key", auth: bytes = b"auth"
) -> UpsertPushSubscriptionRequest:
    return UpsertPushSubscriptionRequest(
        user_id=user_id, endpoint=endpoint, p256dh_key=key, auth_key=auth
    )


def remove(
    user_id: str = ANN, endpoint: str = PHONE, *, fail_if_unchanged: bool = False
) -> RemovePushSubscriptionRequest:
    return RemovePushSubscriptionRequest(
        user_id=user_id, endpoint=endpoint, fail_if_unchanged=fail_if_unchanged
    )


def subscriptions_of(story: Story, user_id: str = ANN) -> list[PushSubscription]:
    return list(story.read(ListPushSubscriptionsRequest(user_id=user_id)).subscriptions)


def endpoints_of(story: Story, user_id: str) -> list[str]:
    return [one.endpoint for one in subscriptions_of(story, user_id)]


class TestUpsert:
    def test_a_write_is_read_with_its_keys_and_position(self, story: Story) -> None:
        story.when(upsert())

        assert story.then_events() == [
            PushSubscriptionUpserted(
                user_id=ANN, endpoint=PHONE, p256dh_key=b"key", auth_key=b"auth"
            )
        ]
        assert subscriptions_of(story) == [
            PushSubscription(
                endpoint=PHONE,
                user_id=ANN,
                p256dh_key=b"key",
                auth_key=b"auth",
                position=1,
                update_time=to_timestamp(START_TIME_US + STEP_US),
            )
        ]

    def test_a13_there_is_one_with_the_keys_of_the_last_write(self, story: Story) -> None:
        story.given(*(upsert(key=f"key {n}".encode()) for n in range(5)))

        [subscription] = subscriptions_of(story)

        assert (subscription.p256dh_key, subscription.position) == (b"key 4", 5)

    def test_the_same_again_changes_nothing_and_keeps_the_position(self, story: Story) -> None:
        story.given(upsert())

        story.when(upsert())

        assert story.then_events() == []
        assert subscriptions_of(story)[0].position == 1

    @pytest.mark.parametrize("other", [upsert(key=b"new"), upsert(auth=b"new")])
    def test_either_key_is_a_change(
        self, story: Story, other: UpsertPushSubscriptionRequest
    ) -> None:
        story.given(upsert())

        story.when(other)

        assert len(story.then_events()) == 1
        assert subscriptions_of(story)[0].position == 2

    def test_another_user_takes_the_endpoint_over(self, story: Story) -> None:
        story.given(upsert(ANN), upsert(ANN, LAPTOP))

        story.when(upsert(BOB))

        assert endpoints_of(story, ANN) == [LAPTOP]
        assert endpoints_of(story, BOB) == [PHONE]

    def test_the_first_user_can_take_it_back(self, story: Story) -> None:
        story.given(upsert(ANN), upsert(BOB))

        story.when(upsert(ANN))

        assert len(story.then_events()) == 1
        assert (endpoints_of(story, ANN), endpoints_of(story, BOB)) == ([PHONE], [])


class TestRemove:
    def test_a_subscription_is_removed_once(self, story: Story) -> None:
        story.given(upsert())

        story.when(remove())
        assert story.then_events() == [PushSubscriptionRemoved(user_id=ANN, endpoint=PHONE)]

        story.when(remove())
        assert story.then_events() == []
        assert subscriptions_of(story) == []

    def test_a_removed_one_can_be_written_again(self, story: Story) -> None:
        story.given(upsert(), remove())

        story.when(upsert())

        assert endpoints_of(story, ANN) == [PHONE]

    def test_another_users_is_left_alone(self, story: Story) -> None:
        story.given(upsert(BOB))

        story.when(remove(ANN))

        assert story.then_events() == []
        assert endpoints_of(story, BOB) == [PHONE]

    @pytest.mark.parametrize("owner", [None, BOB])
    def test_none_or_another_users_is_refused_if_so_asked(
        self, story: Story, owner: str | None
    ) -> None:
        if owner is not None:
            story.given(upsert(owner))

        refusal = story.then_refused(
            remove(ANN, fail_if_unchanged=True), "PUSH_SUBSCRIPTION_NOT_FOUND"
        )

        # Whoever has an endpoint can try to address the device, so errors do not spread it.
        assert refusal.metadata == {"user_id": ANN}
        assert PHONE not in str(refusal)


class TestReads:
    def test_the_list_is_in_the_order_of_the_endpoints(self, story: Story) -> None:
        story.given(upsert(endpoint=PHONE), upsert(endpoint=LAPTOP))

        assert endpoints_of(story, ANN) == [LAPTOP, PHONE]

    def test_a_user_without_endpoints_has_an_empty_list(self, story: Story) -> None:
        assert subscriptions_of(story, "nobody") == []
