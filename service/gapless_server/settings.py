"""Settings: what an operator can set, with the defaults and what each one means."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, get_type_hints

MIB = 1024 * 1024

_DATA = Path("data")


# What the types on the wire and in gRPC's options can hold.
INT32_MAX = 2**31 - 1
# What everything else can that counts: C, and SQLite.
INT64_MAX = 2**63 - 1


def _setting(
    default: Any,
    description: str,
    *,
    minimum: float | None = None,
    maximum: float | None = None,
    choices: tuple[str, ...] = (),
) -> Any:
    if type(default) is int and maximum is None:
        maximum = INT64_MAX
    rules = {"help": description, "minimum": minimum, "maximum": maximum, "choices": choices}
    return field(default=default, metadata=rules)


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of the service.

    A field's metadata has its help text, and what an operator may set it to: `minimum` and
    `maximum` (both included, None for no bound, and a whole number always has a maximum) or
    `choices` (empty for no choice).
    """

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(4275, "Port to listen on; 0 takes a free one.", minimum=0, maximum=65_535)
    journal: str = _setting(
        "sqlite",
        'What makes entries durable: "sqlite", or "memory" for tests.',
        choices=("sqlite", "memory"),
    )
    data: Path = _setting(  # noqa: RUF009 - a path is immutable
        _DATA, "Directory of the logs; made with mode 0700."
    )
    create_namespaces: bool = _setting(True, "Whether a first command makes its namespace.")
    namespaces_open_max: int = _setting(
        1000, "Namespaces open at a time.", minimum=1, maximum=INT32_MAX
    )
    namespace_idle_seconds: float = _setting(
        300.0, "Close a namespace unused for so long.", minimum=0.1
    )
    # Above what any field may hold, so that a field that is too large is refused by its name.
    message_bytes_max: int = _setting(
        16 * MIB, "Size of one gRPC message.", minimum=MIB, maximum=INT32_MAX
    )
    calls_in_flight_max: int = _setting(
        10_000, "Unary calls under way at a time.", minimum=1, maximum=INT32_MAX
    )
    unsent_bytes_max: int = _setting(
        256 * MIB, "Bytes of pages made and not yet sent to their clients.", minimum=4 * MIB
    )
    connection_unsent_bytes_max: int = _setting(
        32 * MIB, "Bytes of them on one connection.", minimum=4 * MIB
    )
    ping_seconds: float = _setting(
        30.0,
        "A connection that was silent for so long is asked whether it still stands.",
        minimum=1,
        maximum=INT32_MAX / 1000,
    )
    ping_timeout_seconds: float = _setting(
        60.0,
        "One that does not answer in so long is ended, and what is kept for it freed.",
        minimum=1,
        maximum=INT32_MAX / 1000,
    )
    frame_commands_max: int = _setting(10_000, "Commands in one frame of a pipeline.", minimum=1)
    batch_commands_max: int = _setting(1000, "Commands in one atomic batch.", minimum=1)
    frames_in_flight_max: int = _setting(8, "Unanswered frames held of one pipeline.", minimum=1)
    pipeline_streams_max: int = _setting(1000, "Pipelines open at a time.", minimum=1)
    watch_streams_max: int = _setting(1000, "Watches open at a time.", minimum=0)
    watch_responses_per_second_max: int = _setting(
        2000,
        "Responses with entries to all watches; beyond it each has more of them.",
        minimum=1,
    )
    backup_streams_max: int = _setting(2, "Backups taken at a time.", minimum=0)
    min_position_seconds_max: float = _setting(
        10.0, "A read waits so long for a position that the log has not.", minimum=0
    )
    queue_commands_max: int = _setting(100_000, "Commands waiting in one namespace.", minimum=1)
    queue_bytes_max: int = _setting(
        64 * MIB, "Bytes of commands waiting in one namespace.", minimum=MIB
    )
    round_commands_max: int = _setting(10_000, "Commands committed with one fsync.", minimum=1)
    round_bytes_max: int = _setting(
        32 * MIB,
        "Bytes that one frame may lead to; a round of so many takes no further frame.",
        minimum=MIB,
    )
    checkpoint_entries: int = _setting(
        50_000, "Entries after which the state is written down.", minimum=1
    )
    checkpoint_bytes: int = _setting(
        32 * MIB, "Bytes of entries after which it is; so much stays in memory.", minimum=1
    )
    line_commands_max: int = _setting(
        10_000, "Commands waiting for something held, in one namespace.", minimum=0
    )
    feed_bytes_max: int = _setting(
        16 * MIB, "Newest rounds kept in memory for watches, a namespace.", minimum=0
    )
    page_items_default: int = _setting(
        100, "Items on a page when the caller does not say.", minimum=1
    )
    page_items_max: int = _setting(1000, "Items on a page at most.", minimum=1)
    heartbeat_seconds: float = _setting(5.0, "An idle watch says so this often.", minimum=0.1)
    grace_seconds: float = _setting(10.0, "Time to finish after SIGTERM.", minimum=0)
    log_level: str = _setting(
        "info", "Least level that is logged.", choices=("debug", "info", "warning", "error")
    )
    log_format: str = _setting(
        "auto",
        "Form of log lines; auto is console on a terminal and json otherwise.",
        choices=("auto", "console", "json"),
    )


FIELDS: Final = {field.name: field for field in dataclasses.fields(Settings)}
TYPES: Final[Mapping[str, type]] = get_type_hints(Settings)


def allowed(name: str) -> str:
    """What a setting may be, as a phrase."""
    rules, kind = FIELDS[name].metadata, TYPES[name]
    if rules["choices"]:
        return "one of " + ", ".join(rules["choices"])
    if kind is bool:
        return "true or false"
    if kind in (int, float):
        noun = "a whole number" if kind is int else "a finite number"
        if rules["minimum"] is not None and rules["maximum"] is not None:
            return f"{noun} from {rules['minimum']} to {rules['maximum']}"
        return f"{noun} of at least {rules['minimum']}" if rules["minimum"] is not None else noun
    return "a path that is not empty" if kind is Path else "a text that is not empty"


def keeps_rule(name: str, value: Any) -> bool:
    """Whether a value of the setting's type is one that it may have."""
    rules = FIELDS[name].metadata
    if rules["choices"] and value not in rules["choices"]:
        return False
    if TYPES[name] is str and not value:
        return False
    if TYPES[name] is float and math.isinf(value):
        return False
    # Written so that a NaN, which compares with nothing, is refused too.
    if rules["minimum"] is not None and not value >= rules["minimum"]:
        return False
    return rules["maximum"] is None or bool(value <= rules["maximum"])


def is_of_type(name: str, value: object) -> bool:
    """Whether a value is of the setting's type, or is as good."""
    kind = TYPES[name]
    if kind is Path:
        return isinstance(value, Path)
    # A bool is an int to Python, and is not one to an operator.
    return type(value) is kind or (kind is float and type(value) is int)
