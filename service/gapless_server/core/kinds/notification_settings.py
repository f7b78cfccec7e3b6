"""Notification settings: what a user wants to be told about a channel."""

from __future__ import annotations

import msgspec

from gapless.v1 import notification_settings_pb2
from gapless_server.core.kernel import Context, Decision, Kind
from gapless_server.core.kinds.channels import require_channel
from gapless_server.core.paging import PageLimits
from gapless_server.core.state import Moment, State, Table, UndoLog
from gapless_server.core.times import optional_timestamp


class SettingRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A setting and the write that it comes from."""

    level: int  # a number of NotificationLevel; 0: never set
    position: int  # of the last write that changed it; 0: never set
    update_time_us: int  # of that write; 0: never set


_NEVER_SET = SettingRow(level=0, position=0, update_time_us=0)


class NotificationSettingTables:
    """The settings by channel and user."""

    def __init__(self, undo: UndoLog) -> None:
        self.settings: Table[tuple[str, str], SettingRow] = Table(undo, SettingRow)


def _row(state: State, channel_id: str, user_id: str) -> SettingRow:
    """Returns the row of a setting, also if never set. Raises Refused, CHANNEL_NOT_FOUND."""
    require_channel(state, channel_id)
    settings = state.of(NotificationSettingTables).settings
    return settings.get((channel_id, user_id)) or _NEVER_SET


def _resource(
    channel_id: str, user_id: str, row: SettingRow
) -> notification_settings_pb2.NotificationSetting:
    return notification_settings_pb2.NotificationSetting(
        channel_id=channel_id,
        user_id=user_id,
        level=notification_settings_pb2.NotificationLevel.ValueType(row.level),
        position=row.position,
        update_time=optional_timestamp(row.update_time_us),
    )


def _set(
    state: State,
    command: notification_settings_pb2.SetNotificationSettingRequest,
    context: Context,
) -> Decision:
    channel_id, user_id = command.channel_id, command.user_id
    row = _row(state, channel_id, user_id)
    if row.level == command.level:
        setting = _resource(channel_id, user_id, row)
        response = notification_settings_pb2.SetNotificationSettingResponse(setting=setting)
        return Decision([], response)
    row = SettingRow(command.level, context.moment.position, context.moment.time_us)
    setting = _resource(channel_id, user_id, row)
    changed = notification_settings_pb2.NotificationSettingChanged(
        channel_id=channel_id, user_id=user_id, level=command.level
    )
    response = notification_settings_pb2.SetNotificationSettingResponse(setting=setting)
    return Decision([changed], response)


def _changed(
    state: State, event: notification_settings_pb2.NotificationSettingChanged, moment: Moment
) -> None:
    row = SettingRow(event.level, moment.position, moment.time_us)
    state.of(NotificationSettingTables).settings.put((event.channel_id, event.user_id), row)


def _get(
    state: State,
    request: notification_settings_pb2.GetNotificationSettingRequest,
    _limits: PageLimits,
) -> notification_settings_pb2.GetNotificationSettingResponse:
    row = _row(state, request.channel_id, request.user_id)
    setting = _resource(request.channel_id, request.user_id, row)
    return notification_settings_pb2.GetNotificationSettingResponse(setting=setting)


KIND = Kind(
    name="notification_settings",
    tables=(NotificationSettingTables,),
    commands={notification_settings_pb2.SetNotificationSettingRequest: _set},
    events={notification_settings_pb2.NotificationSettingChanged: _changed},
    queries={notification_settings_pb2.GetNotificationSettingRequest: _get},
)
