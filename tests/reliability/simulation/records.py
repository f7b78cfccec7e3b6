"""What clients were told: the evidence that the promises are checked against."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from gapless import GaplessError


@dataclass(slots=True)
class Command:
    """One command, sent until it had an answer: its first call, and what came of it at last."""

    request_id: str
    caller: str
    kind: str
    invoked: float
    # The incarnations, by number, that it may have been run in.
    first_history: int
    last_history: int = 0
    returned: float = 0.0
    response: Any = None
    # The refusal; None if it was answered, or has not returned.
    refusal: GaplessError | None = None

    @property
    def has_returned(self) -> bool:
        """Whether its caller knows what became of it."""
        return self.returned > 0

    def __str__(self) -> str:
        became = f"refused: {self.refusal}" if self.refusal else "answered"
        return f"{self.kind} {self.request_id}, {became} at {self.returned:.6f}"


@dataclass(frozen=True, slots=True)
class HeadRead:
    """A read of a channel's head."""

    channel_id: str
    head_sequence: int
    invoked: float
    returned: float
    first_history: int
    last_history: int


@dataclass(slots=True)
class Watched:
    """What one watch showed of one incarnation, from its first entry on."""

    name: str
    history: int
    # None: everything.
    channel_id: str | None
    entries: list[Any] = field(default_factory=list)


@dataclass
class Records:
    """All evidence of a world."""

    commands: list[Command] = field(default_factory=list)
    heads: list[HeadRead] = field(default_factory=list)
    watches: list[Watched] = field(default_factory=list)
    # Errors that no caller may ever see.
    faults: list[str] = field(default_factory=list)
