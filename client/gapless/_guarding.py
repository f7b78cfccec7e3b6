"""Guards on the wire, and those who carry them: in front of the command that they are about."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

from gapless.v1.commands_pb2 import Command
from gapless.v1.guards_pb2 import Guard


class Guarding(Protocol):
    """What stands for a guard, such as a lock that is held."""

    @property
    def guard(self) -> Guard:
        """The guard."""
        ...


GuardLike = Guard | Guarding


def as_guards(guards: Sequence[GuardLike]) -> tuple[Guard, ...]:
    """The guards themselves."""
    return tuple(guard if isinstance(guard, Guard) else guard.guard for guard in guards)


def encoded_guards(guards: Sequence[Guard]) -> bytes:
    """The fields of a ``Command`` that its guards are, to be followed by the command itself."""
    return Command(guards=guards).SerializeToString() if guards else b""
