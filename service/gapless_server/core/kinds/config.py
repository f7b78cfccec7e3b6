"""Config: values by key, with versions that outlive deletions, and the last changes of each key."""

from __future__ import annotations

from collections.abc import Iterator

import msgspec

from gapless.v1 import common_pb2, config_pb2, errors_pb2
from gapless_server.core.kernel import Context, Decision, Kind, Unmet
from gapless_server.core.kinds.config_audit import ConfigAuditor
from gapless_server.core.paging import PageLimits, read_token, written_page
from gapless_server.core.refusals import Refused, invalid_field
from gapless_server.core.state import Moment, PartitionedTable, State, Table, UndoLog
from gapless_server.core.times import timestamp_bytes
from gapless_server.core.writing import Written, writer

_write_value = writer(config_pb2.ConfigValue)
_write_change = writer(config_pb2.ConfigChange)
_write_body = writer(common_pb2.Body)
_write_get_response = writer(config_pb2.GetConfigResponse)

# All keys of a namespace are one partition, so that they can be listed in order.
ALL = ""

# How many changes of a key stay in the state; the log has them all. A page of them is cut by its
# size in bytes, so that a hundred of the largest values (6.25 MiB) take several pages.
HISTORY_CHANGES_MAX = 100


class ConfigRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """The value of a key that exists."""

    data: bytes
    content_type: str
    version: int
    position: int
    create_time_us: int
    update_time_us: int


class ChangeRow(msgspec.Struct, frozen=True, array_like=True, gc=False):
    """A change of a key, as its history tells it."""

    data: bytes  # empty for a deletion
    content_type: str  # empty for a deletion
    deleted: bool
    position: int
    time_us: int


class ConfigTables:
    """The values by key; by every key ever written its newest version and its newest changes.

    1. A key's changes are those of the consecutive versions up to its newest one, at most
       HISTORY_CHANGES_MAX of them.
    2. The value of a key that exists is that of its newest change.
    """

    def __init__(self, undo: UndoLog) -> None:
        self.values: PartitionedTable[str, str, ConfigRow] = PartitionedTable(undo, ConfigRow)
        self.versions: Table[str, int] = Table(undo, int)
        self.changes: PartitionedTable[str, int, ChangeRow] = PartitionedTable(undo, ChangeRow)


def config_version(state: State, key: str) -> int:
    """Returns the version that a key is at; 0 if it does not exist."""
    row = state.of(ConfigTables).values.get(ALL, key)
    return 0 if row is None else row.version


def _last_version(state: State, key: str) -> int:
    """Returns the version of a key's newest change, a deletion included; 0 if never written."""
    return state.of(ConfigTables).versions.get(key) or 0


def _require_version(state: State, key: str, expected_version: int) -> None:
    """Raises Refused, reason CONFIG_VERSION_MISMATCH, if the key is at another version."""
    version = config_version(state, key)
    if version != expected_version:
        raise Refused(
            errors_pb2.ERROR_REASON_CONFIG_VERSION_MISMATCH,
            key=key,
            version=version,
            expected_version=expected_version,
            last_version=_last_version(state, key),
        )


def _require_distinct_keys(command: config_pb2.SetConfigRequest) -> None:
    first_index: dict[str, int] = {}
    for index, write in enumerate(command.writes):
        earlier = first_index.setdefault(write.key, index)
        if earlier != index:
            raise invalid_field(
                f"writes[{index}].key",
                f"must be in the command once, found {write.key} also in writes[{earlier}]",
            )


def _set(state: State, command: config_pb2.SetConfigRequest, _context: Context) -> Decision:
    _require_distinct_keys(command)
    events: list[config_pb2.ConfigSet] = []
    response = config_pb2.SetConfigResponse()
    for write in command.writes:
        key, body = write.key, write.body
        if write.HasField("expected_version"):
            _require_version(state, key, write.expected_version)
        row = state.of(ConfigTables).values.get(ALL, key)
        if row is not None and (row.data, row.content_type) == (body.data, body.content_type):
            response.results.add(key=key, version=row.version, changed=False)
            continue
        version = _last_version(state, key) + 1
        events.append(config_pb2.ConfigSet(key=key, body=body, version=version))
        response.results.add(key=key, version=version, changed=True)
    return Decision(events, response)


def _delete(state: State, command: config_pb2.DeleteConfigRequest, _context: Context) -> Decision:
    key = command.key
    if command.HasField("expected_version"):
        _require_version(state, key, command.expected_version)
    last_version = _last_version(state, key)
    if state.of(ConfigTables).values.get(ALL, key) is None:
        if command.fail_if_unchanged:
            raise Refused(errors_pb2.ERROR_REASON_CONFIG_NOT_FOUND, key=key)
        return Decision([], config_pb2.DeleteConfigResponse(version=last_version))
    deleted = config_pb2.ConfigDeleted(key=key, version=last_version + 1)
    return Decision([deleted], config_pb2.DeleteConfigResponse(version=deleted.version))


def _at_version(state: State, guard: config_pb2.ConfigVersionGuard) -> Unmet | None:
    version = config_version(state, guard.key)
    if version == guard.version:
        return None
    return Unmet(f"config key {guard.key}", f"version {guard.version}", f"version {version}")


def _record_change(state: State, key: str, version: int, change: ChangeRow) -> None:
    """Makes a change the newest of its key, and lets the oldest beyond the bound go."""
    tables = state.of(ConfigTables)
    tables.versions.put(key, version)
    tables.changes.put(key, version, change)
    tables.changes.delete(key, version - HISTORY_CHANGES_MAX)


def _was_set(state: State, event: config_pb2.ConfigSet, moment: Moment) -> None:
    values = state.of(ConfigTables).values
    old = values.get(ALL, event.key)
    row = ConfigRow(
        data=event.body.data,
        content_type=event.body.content_type,
        version=event.version,
        position=moment.position,
        create_time_us=moment.time_us if old is None else old.create_time_us,
        update_time_us=moment.time_us,
    )
    values.put(ALL, event.key, row)
    change = ChangeRow(
        data=row.data,
        content_type=row.content_type,
        deleted=False,
        position=moment.position,
        time_us=moment.time_us,
    )
    _record_change(state, event.key, event.version, change)


def _was_deleted(state: State, event: config_pb2.ConfigDeleted, moment: Moment) -> None:
    state.of(ConfigTables).values.delete(ALL, event.key)
    change = ChangeRow(
        data=b"", content_type="", deleted=True, position=moment.position, time_us=moment.time_us
    )
    _record_change(state, event.key, event.version, change)


def _written(key: str, row: ConfigRow) -> bytes:
    return _write_value(
        key=key,
        body=_write_body(data=row.data, content_type=row.content_type),
        version=row.version,
        position=row.position,
        create_time=timestamp_bytes(row.create_time_us),
        update_time=timestamp_bytes(row.update_time_us),
    )


def _get(state: State, request: config_pb2.GetConfigRequest, _limits: PageLimits) -> Written:
    row = state.of(ConfigTables).values.get(ALL, request.key)
    if row is None:
        raise Refused(errors_pb2.ERROR_REASON_CONFIG_NOT_FOUND, key=request.key)
    response = _write_get_response(value=_written(request.key, row))
    return Written(config_pb2.GetConfigResponse, response)


def _with_prefix(state: State, prefix: str, after: str | None) -> Iterator[tuple[str, ConfigRow]]:
    """Yields the keys that begin with a prefix, in order, beginning after `after`.

    In the order of keys the prefix itself comes first of all, and all that begin with it follow
    without another key between them.
    """
    values = state.of(ConfigTables).values
    if after is None and prefix:
        row = values.get(ALL, prefix)
        if row is not None:
            yield prefix, row
        after = prefix
    for key, row in values.scan(ALL, after=after):
        if not key.startswith(prefix):
            return
        yield key, row


def _list(state: State, request: config_pb2.ListConfigRequest, limits: PageLimits) -> Written:
    rows = _with_prefix(state, request.key_prefix, after=read_token(request, str))
    return written_page(request, limits, rows, _written, config_pb2.ListConfigResponse, "values")


def _written_change(version: int, row: ChangeRow) -> bytes:
    body = _write_body(data=row.data, content_type=row.content_type)
    return _write_change(
        version=version,
        body=None if row.deleted else body,
        position=row.position,
        change_time=timestamp_bytes(row.time_us),
    )


def _changes_from(state: State, key: str, version: int) -> Iterator[tuple[int, ChangeRow]]:
    """Yields the changes of a key from `version` downwards, as far as they are kept."""
    changes = state.of(ConfigTables).changes
    while (row := changes.get(key, version)) is not None:
        yield version, row
        version -= 1


def _history(
    state: State, request: config_pb2.ListConfigHistoryRequest, limits: PageLimits
) -> Written:
    last_version = _last_version(state, request.key)
    if not last_version:
        raise Refused(errors_pb2.ERROR_REASON_CONFIG_NOT_FOUND, key=request.key)
    given = read_token(request, int)
    rows = _changes_from(state, request.key, last_version if given is None else given - 1)
    return written_page(
        request, limits, rows, _written_change, config_pb2.ListConfigHistoryResponse, "changes"
    )


KIND = Kind(
    name="config",
    tables=(ConfigTables,),
    commands={
        config_pb2.SetConfigRequest: _set,
        config_pb2.DeleteConfigRequest: _delete,
    },
    guards={config_pb2.ConfigVersionGuard: _at_version},
    events={
        config_pb2.ConfigSet: _was_set,
        config_pb2.ConfigDeleted: _was_deleted,
    },
    queries={
        config_pb2.GetConfigRequest: _get,
        config_pb2.ListConfigRequest: _list,
        config_pb2.ListConfigHistoryRequest: _history,
    },
    auditors=(ConfigAuditor,),
)
