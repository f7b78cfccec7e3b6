"""Settings: what an operator can set, with the defaults and what each one means."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

MIB = 1024 * 1024

_DATA = Path("data")


def _setting(default: Any, description: str) -> Any:
    return field(default=default, metadata={"help": description})


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Every setting of the service. A field's metadata has its help text."""

    host: str = _setting("127.0.0.1", "Address to listen on.")
    port: int = _setting(4275, "Port to listen on; 0 takes a free one.")
    journal: str = _setting(
        "sqlite", 'What makes entries durable: "sqlite", or "memory" for tests.'
    )
    data: Path = _setting(  # noqa: RUF009 - a path is immutable
        _DATA, "Directory of the logs; made with mode 0700."
    )
    create_namespaces: bool = _setting(True, "Whether a first command makes its namespace.")
    namespaces_open_max: int = _setting(1000, "Namespaces open at a time.")
    namespace_idle_seconds: float = _setting(300.0, "Close a namespace unused for so long.")
    message_bytes_max: int = _setting(4 * MIB, "Size of one gRPC message.")
    frame_commands_max: int = _setting(10_000, "Commands in one frame of a pipeline.")
    frames_in_flight_max: int = _setting(8, "Unanswered frames held of one pipeline.")
    pipeline_streams_max: int = _setting(1000, "Pipelines open at a time.")
    watch_streams_max: int = _setting(1000, "Watches open at a time.")
    queue_commands_max: int = _setting(100_000, "Commands waiting in one namespace.")
    queue_bytes_max: int = _setting(64 * MIB, "Bytes of commands waiting in one namespace.")
    round_commands_max: int = _setting(10_000, "Commands committed with one fsync.")
    feed_bytes_max: int = _setting(
        16 * MIB, "Newest rounds kept in memory for watches, a namespace."
    )
    page_items_default: int = _setting(100, "Items on a page when the caller does not say.")
    page_items_max: int = _setting(1000, "Items on a page at most.")
    heartbeat_seconds: float = _setting(5.0, "An idle watch says so this often.")
    grace_seconds: float = _setting(10.0, "Time to finish after SIGTERM.")
    log_level: str = _setting("info", "Least level that is logged: debug, info, warning, error.")
    log_format: str = _setting("auto", 'Log lines: "console", "json", or "auto" by terminal.')
