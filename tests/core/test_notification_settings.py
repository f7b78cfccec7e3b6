"""Notification settings: what writing one does, given what was written before."""

from __future__ import annotations

import pytest

from gapless.v1.notification_settings_pb2 import (
    NOTIFICATION_LEVEL_ALL,
    NOTIFICATION_LEVEL_MENTIONS,
    NOTIFICATION_LEVEL_NONE,
    GetNotificationSettingRequest,
    NotificationLevel,
    NotificationSetting,
    NotificationSettingChanged,
    SetNotificationSettingRequest,
)
from gapless_server.core.times import to_timestamp
from tests.core.chat_commands import ANN, BOB, GENERAL, channel
from tests.core.story import START_TIME_US, STEP_US, Story


@pytest.fixture
def story() -> Story:
    """A channel; its creation is position 1."""
    return Story().given(channel())


def write(
    level: NotificationLevel.ValueType, user_id: str = ANN, channel_id: str = GENERAL
) -> SetNotificationSettingRequest:
    return SetNotificationSettingRequest(channel_id=channel_id, user_id=user_id, level=level)


def setting_of(story: Story, user_id: str = ANN) -> NotificationSetting:
    request = GetNotificationSettingRequest(channel_id=GENERAL, user_id=user_id)
    setting: NotificationSetting = story.read(request).setting
    return setting


def written_at(
    position: int, level: NotificationLevel.ValueType, user_id: str = ANN
) -> NotificationSetting:
    return NotificationSetting(
        channel_id=GENERAL,
        user_id=user_id,
        level=level,
        position=position,
        update_time=to_timestamp(START_TIME_US + position * STEP_US),
    )


def test_a_write_is_answered_and_read_with_its_position(story: Story) -> None:
    answer = story.when(write(NOTIFICATION_LEVEL_MENTIONS))

    assert story.then_events() == [
        NotificationSettingChanged(
            channel_id=GENERAL, user_id=ANN, level=NOTIFICATION_LEVEL_MENTIONS
        )
    ]
    assert answer.setting == setting_of(story) == written_at(2, NOTIFICATION_LEVEL_MENTIONS)


def test_a9_the_last_committed_write_wins(story: Story) -> None:
    story.given(
        write(NOTIFICATION_LEVEL_ALL),
        write(NOTIFICATION_LEVEL_NONE),
        write(NOTIFICATION_LEVEL_MENTIONS),
    )

    assert setting_of(story) == written_at(4, NOTIFICATION_LEVEL_MENTIONS)


def test_the_same_level_again_changes_nothing_and_keeps_the_position(story: Story) -> None:
    story.given(write(NOTIFICATION_LEVEL_NONE))

    answer = story.when(write(NOTIFICATION_LEVEL_NONE))

    assert story.then_events() == []
    assert answer.setting == setting_of(story) == written_at(2, NOTIFICATION_LEVEL_NONE)


def test_one_that_was_never_set_has_no_level_no_position_and_no_time(story: Story) -> None:
    assert setting_of(story) == NotificationSetting(channel_id=GENERAL, user_id=ANN)


def test_each_user_and_channel_has_a_setting_of_its_own(story: Story) -> None:
    story.given(channel("other"), write(NOTIFICATION_LEVEL_NONE, ANN, "other"))
    story.given(write(NOTIFICATION_LEVEL_ALL, BOB))

    assert setting_of(story, ANN) == NotificationSetting(channel_id=GENERAL, user_id=ANN)
    assert setting_of(story, BOB) == written_at(4, NOTIFICATION_LEVEL_ALL, BOB)


def test_a_missing_channel_is_refused(story: Story) -> None:
    story.then_refused(write(NOTIFICATION_LEVEL_ALL, channel_id="x"), "CHANNEL_NOT_FOUND")
    story.then_read_refused(
        GetNotificationSettingRequest(channel_id="x", user_id=ANN), "CHANNEL_NOT_FOUND"
    )


def test_no_level_is_refused(story: Story) -> None:
    refusal = story.then_refused(
        SetNotificationSettingRequest(channel_id=GENERAL, user_id=ANN), "INVALID_FIELD"
    )

    assert refusal.metadata == {"field": "level", "description": "is required"}
