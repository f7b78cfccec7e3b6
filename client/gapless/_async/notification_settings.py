"""Notification settings: what a user wants to be told about a channel."""

from __future__ import annotations

from typing import Final

from gapless._async._calls import Calls
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless._request_ids import new_request_id
from gapless.v1.notification_settings_pb2 import (
    GetNotificationSettingRequest,
    GetNotificationSettingResponse,
    NotificationLevel,
    NotificationSetting,
    SetNotificationSettingRequest,
    SetNotificationSettingResponse,
)

_SET: Final = CommandKind("set_notification_setting", SetNotificationSettingResponse)
_GET: Final = QueryKind(
    "NotificationSettingService.GetNotificationSetting", GetNotificationSettingResponse
)


class NotificationSettings:
    """A user's choice for a channel; ``client.notification_settings``."""

    def __init__(self, calls: Calls) -> None:
        self._calls = calls

    async def set(
        self,
        channel_id: str,
        user_id: str,
        level: NotificationLevel.ValueType,
        *,
        request_id: str | None = None,
        timeout: float | None = None,
    ) -> SetNotificationSettingResponse:
        """Writes a setting; the last committed write wins. The same again: ``changed`` is False.

        Args:
            channel_id: which channel.
            user_id: which user.
            level: for example ``gapless.NotificationLevel.NOTIFICATION_LEVEL_MENTIONS``.
            request_id: the idempotency key. None: one is made.
            timeout: seconds for all attempts together. None: the client's.

        Returns:
            The setting after the command, and the receipt.

        Raises:
            ChannelNotFound: there is no such channel.
            GaplessError: any other failure.
        """
        request = SetNotificationSettingRequest(
            request_id=new_request_id() if request_id is None else request_id,
            channel_id=channel_id,
            user_id=user_id,
            level=level,
        )
        return await self._calls.submit(_SET, request, timeout)

    async def get(
        self, channel_id: str, user_id: str, *, timeout: float | None = None
    ) -> NotificationSetting:
        """Returns a setting; one that was never set has level UNSPECIFIED and position 0.

        Args:
            channel_id: which channel.
            user_id: which user.
            timeout: seconds for all attempts together. None: the client's.

        Raises:
            ChannelNotFound: there is no such channel.
            GaplessError: any other failure.
        """
        request = GetNotificationSettingRequest(channel_id=channel_id, user_id=user_id)
        response = await self._calls.query(_GET, request, timeout)
        return response.setting
