"""The limits of a writer."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class WriterLimits:
    """What may pile up in a namespace; settings of the service."""

    queue_commands_max: int = 100_000
    queue_bytes_max: int = 64 * 1024 * 1024
    round_commands_max: int = 10_000
    round_bytes_max: int = 32 * 1024 * 1024
    line_commands_max: int = 10_000
    feed_bytes_max: int = 16 * 1024 * 1024
    checkpoint_entries: int = 50_000
    checkpoint_bytes: int = 32 * 1024 * 1024
    retry_after_seconds: float = 0.1
    min_position_seconds_max: float = 10.0
