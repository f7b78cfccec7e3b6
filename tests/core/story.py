"""A log that one test writes: commands go in, events or a refusal come out. No service, no clock.

Every command runs through the whole kernel (field rules, decider, evolvers), as it would in the
writer. A story can be told again: replaying its entries must give the same state (G10).
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Sequence
from typing import Any, TypeVar

import pytest
from google.protobuf.message import Message

from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.events_pb2 import Entry, Event
from gapless.v1.guards_pb2 import Guard
from gapless_server.core.batches import TypedBatch
from gapless_server.core.commands import TypedCommand
from gapless_server.core.kernel import Context, Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.paging import PageLimits
from gapless_server.core.plain import to_message
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.times import to_timestamp

START_TIME_US = 1_700_000_000_000_000
STEP_US = 1_000_000

KERNEL = Kernel(KINDS)

Answer = TypeVar("Answer", bound=Message)

new_command: Callable[..., Command] = Command


class Story:
    """The entries of one namespace and the state that they add up to."""

    def __init__(self) -> None:
        self.state = KERNEL.new_state()
        self.entries: list[Entry] = []
        self.limits = PageLimits()
        self._moments: list[Moment] = []
        self._idle_us = 0
        self._commands_tried = 0

    @property
    def moment(self) -> Moment:
        """The moment that the next entry gets: a second after the one before, if none was idle."""
        position = len(self.entries) + 1
        uptime_us = position * STEP_US + self._idle_us
        return Moment(position, START_TIME_US + uptime_us, uptime_us)

    def given(self, *commands: Message) -> Story:
        """Runs commands that must all succeed."""
        for command in commands:
            self.when(command)
        return self

    def idle(self, seconds: int) -> Story:
        """Lets time pass in which nothing is sent. What is over by then ends."""
        self._idle_us += seconds * STEP_US
        self._end_what_is_over()
        return self

    def typed(
        self, command: Message, guards: Sequence[Guard] = (), request_id: str = "request"
    ) -> TypedCommand | TypedBatch:
        """Returns a command as the writer would run it. Raises Refused for what breaks a rule."""
        copy = type(command)()
        copy.CopyFrom(command)
        copy.request_id = copy.request_id or request_id  # type: ignore[attr-defined]
        union = command_of(copy)
        union.guards.extend(guards)
        return KERNEL.typed(union)

    def when(self, command: Message, caller: str = "", guards: Sequence[Guard] = ()) -> Any:
        """Runs a command, commits what it leads to, and returns its typed answer.

        A command without a request id gets one of its own. Raises Refused.
        """
        self._commands_tried += 1
        self._end_what_is_over()
        moment = self.moment
        typed = self.typed(command, guards, f"request-{self._commands_tried}")
        context = Context(moment, caller, f"made-{moment.position}-")
        decision = typed.decide(self.state, context)
        self._commit(decision.events, typed.message.request_id)  # type: ignore[attr-defined]
        return to_message(decision.response)

    def _commit(self, events: Sequence[Message], request_id: str = "") -> None:
        moment = self.moment
        KERNEL.evolve(self.state, events, moment)
        entry = Entry(
            position=moment.position,
            commit_time=to_timestamp(moment.time_us),
            request_id=request_id,
            events=[union_of(event) for event in events],
        )
        self.entries.append(entry)
        self._moments.append(moment)

    def _end_what_is_over(self) -> None:
        while events := KERNEL.expire(self.state, self.moment):
            self._commit(events)

    def try_each(self, commands: Sequence[Message]) -> None:
        """Runs commands, each of which may be refused."""
        for command in commands:
            with contextlib.suppress(Refused):
                self.when(command)

    def then_events(self) -> list[Message]:
        """Returns the typed events of the newest entry."""
        return typed_events(self.entries[-1].events)

    def then_refused(self, command: Message, reason: str, guards: Sequence[Guard] = ()) -> Refused:
        """Runs a command that must be refused for this reason, and returns the refusal.

        Holds that a refusal changes nothing.
        """
        self._end_what_is_over()
        before = self.state.digest()
        with pytest.raises(Refused) as caught:
            self.when(command, guards=guards)
        assert caught.value.row.reason == reason
        assert self.state.digest() == before
        return caught.value

    def read(self, request: Message) -> Any:
        """Answers a query. Raises Refused."""
        self._end_what_is_over()
        return KERNEL.query(self.state, request, self.limits, self.moment)

    def then_read_refused(self, request: Message, reason: str) -> Refused:
        """Asks a query that must be refused for this reason, and returns the refusal."""
        with pytest.raises(Refused) as caught:
            self.read(request)
        assert caught.value.row.reason == reason
        return caught.value

    def undone(self, commands: Sequence[Message]) -> None:
        """Runs commands as a batch that fails, after all of them or at one that is refused.

        Holds that nothing of them is left.
        """
        before, entries_before = self.state.digest(), len(self.entries)
        self.state.undo.begin()
        with contextlib.suppress(Refused):
            self.given(*commands)
        self.state.undo.roll_back()
        del self.entries[entries_before:], self._moments[entries_before:]
        assert self.state.digest() == before

    def breaches(self) -> list[str]:
        """Recounts the story from its events alone, and returns what is wrong with it."""
        audit = KERNEL.new_audit()
        for entry, moment in zip(self.entries, self._moments, strict=True):
            audit.observe(entry, "", moment.uptime_us)
        return audit.breaches()

    def assert_sound(self) -> None:
        """Holds that the audit finds nothing, and that a replay gives the same state (G10)."""
        assert self.breaches() == []
        replayed = KERNEL.new_state()
        self.replay(replayed)
        assert replayed.digest() == self.state.digest()

    def replay(self, state: State) -> None:
        """Tells the story again to a state."""
        for entry, moment in zip(self.entries, self._moments, strict=True):
            KERNEL.replay(state, entry.events, moment)


def command_of(message: Message) -> Command:
    """Returns a typed command, or a batch, with the union around it."""
    if isinstance(message, ExecuteBatchRequest):
        return Command(execute_batch=message)
    return new_command(**{KERNEL.command_fields[type(message)]: message})


def union_of(event: Message) -> Event:
    """Returns a typed event with the union around it."""
    new_event: Callable[..., Event] = Event
    return new_event(**{KERNEL.event_types[type(event)].field: to_message(event)})


def typed_events(events: Sequence[Event]) -> list[Message]:
    """Returns events without the union around them."""
    return [getattr(event, str(event.WhichOneof("event"))) for event in events]


def forged(*events: Message) -> list[str]:
    """Returns the breaches that an audit finds in a log of these events, an entry each."""
    audit = KERNEL.new_audit()
    for position, event in enumerate(events, start=1):
        audit.observe(Entry(position=position, events=[union_of(event)]), "", uptime_us=0)
    return audit.breaches()
