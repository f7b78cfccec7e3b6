"""What to run: a load, and which driver runs it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from importlib import import_module
from typing import Any

# About the size of a chat message.
BODY_BYTES = 100


@dataclass(frozen=True, slots=True)
class DriverSpec:
    """A driver that another process can make: `path` is ``module:class``."""

    path: str
    options: Mapping[str, Any] = field(default_factory=dict)

    def make(self) -> Any:
        """Returns a new driver. Raises ImportError or AttributeError if there is none."""
        module, _, name = self.path.partition(":")
        return getattr(import_module(module), name)(**self.options)


@dataclass(frozen=True, slots=True, kw_only=True)
class Load:
    """How hard to drive a system.

    `in_flight` posts, or frames if `frame_posts` is not 0, are unanswered at a time in each
    process. Every post goes to one of `channels` channels, whose ids begin with `prefix`.
    """

    prefix: str
    processes: int = 1
    in_flight: int = 1
    channels: int = 1
    frame_posts: int = 0
    seconds: float = 1.0
    warm_up_seconds: float = 0.2

    @property
    def name(self) -> str:
        """What tables and logs call it."""
        parts = [f"{self.processes} x {self.in_flight}" if self.processes > 1 else ""]
        parts[0] = parts[0] or f"{self.in_flight}"
        if self.frame_posts:
            parts.append(f"frames of {self.frame_posts}")
        parts.append("1 channel" if self.channels == 1 else f"{self.channels} channels")
        return ", ".join(parts)

    def channel_id(self, index: int) -> str:
        """The id of a channel, from 0."""
        return f"{self.prefix}-{index}"

    def channel_ids(self) -> list[str]:
        """The ids of all channels."""
        return [self.channel_id(index) for index in range(self.channels)]
