"""Commands that keep their field rules, with what decides them; the shape that the writer runs.

What is made for every command is a struct: made in a fifth of the time of a named tuple.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Sequence
from typing import Any, NamedTuple

import msgspec
from google.protobuf.message import Message

from gapless_server.core.fingerprint import differing_fields, fingerprint
from gapless_server.core.guards import TypedGuard, guards_of, require
from gapless_server.core.plain import Plain, to_plain
from gapless_server.core.reading import Reader
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.steps import InSteps


class Context(msgspec.Struct, gc=False):
    """What the world contributes to one command: its moment, its caller, and randomness.

    `id_prefix` is unique to the command. `may_wait` says whether its answer may come later than
    those of the commands after it.
    """

    moment: Moment
    caller: str
    id_prefix: str
    may_wait: bool = False
    ids_made: int = 0

    def new_id(self) -> str:
        """Returns an id that nothing else has."""
        self.ids_made += 1
        return f"{self.id_prefix}{self.ids_made:x}"


class Decision(msgspec.Struct, frozen=True, gc=False):
    """What a command leads to: its events, in order, and its response without a receipt.

    No events means that all was as asked: the receipt then says changed=false.
    """

    events: Sequence[Message]
    response: Message


class MustWait(Exception):
    """A command that is to wait in line for something that is not free.

    Raised instead of `refusal` where `Context.may_wait` is set. The command is tried again, before
    any other, once it is first in line and an event has freed what it waits for; after `seconds`
    it is refused after all.
    """

    def __init__(self, line: str, seconds: float, refusal: Refused) -> None:
        super().__init__(line)
        self.line = line
        self.seconds = seconds
        self.refusal = refusal


# decide(state, command, context): reads state, never changes it; raises Refused or MustWait. That
# of a long command may be `InSteps`.
Decide = Callable[[State, Any, Context], Decision]


# What decides something with pauses: it is done when it returns.
Steps = Generator[None, None, Decision]


class CommandType(NamedTuple):
    """A type of command: its field and number in Command and CommandResult, and its decider."""

    field: str
    number: int
    decide: Decide
    # The plain form that the decider takes; None if it takes the message itself.
    plain_type: type[Plain] | None
    read: Reader
    # What its commands are made into.
    typed: type[TypedCommand]

    def as_decided(self, message: Message) -> Any:
        """Returns a command as the decider takes it."""
        return message if self.plain_type is None else to_plain(self.plain_type, message)


class TypedCommand(msgspec.Struct, frozen=True, gc=False):
    """One command of a kind.

    `field` and `number` are those of the command in Command, and of its response in CommandResult.
    `command` is the message, or its plain form, as the decider takes it.
    """

    field: str
    number: int
    decider: Decide
    message: Message
    guards: Sequence[TypedGuard]
    request_id: str
    command: Any
    # The fingerprint, if it was taken when the command was read.
    known_fingerprint: bytes | None = None

    def decide(self, state: State, context: Context) -> Decision:
        """Returns what the command leads to; leaves state as it is. Raises Refused."""
        self.require_guards(state)
        return self.decider(state, self.command, context)

    def require_guards(self, state: State) -> None:
        """Raises Refused unless all guards hold."""
        if self.guards:
            require(state, self.guards)

    def fingerprint(self) -> bytes:
        """Returns what the command said, for comparing it with a later one of the same id."""
        if self.known_fingerprint is not None:
            return self.known_fingerprint
        guards = guards_of(self.guards) if self.guards else ()
        return fingerprint(self.message, self.number, guards)

    def differing_fields(self, old: bytes) -> list[str]:
        """Names the fields in which an earlier command of this fingerprint differs."""
        descriptor: Any = self.message.DESCRIPTOR  # of either implementation
        return differing_fields(old, self.fingerprint(), descriptor)


class LongCommand(TypedCommand, frozen=True, gc=False):
    """A command that may lead to so much that others have their turn before it is applied."""

    def steps(self, state: State, context: Context) -> Steps:
        """Decides, with the pauses of its decider and one behind it. Raises Refused."""
        if isinstance(self.decider, InSteps):
            self.require_guards(state)
            decision: Decision = yield from self.decider.steps(state, self.command, context)
        else:
            decision = self.decide(state, context)
        yield
        return decision
