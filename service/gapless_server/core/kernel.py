"""The kernel: knows every kind, and runs a command through the one that it belongs to.

It names no kind. A kind registers its commands, events and queries by the types of their
messages; the unions in ``commands.proto`` and ``events.proto`` say which field carries which type.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Hashable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import msgspec
from google.protobuf.message import Message
from msgspec.structs import replace

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import Command
from gapless.v1.events_pb2 import Event
from gapless.v1.guards_pb2 import Guard
from gapless_server.compiled import AVAILABLE
from gapless_server.core.alarms import Thing
from gapless_server.core.audit import Audit
from gapless_server.core.audit import Auditor as Auditor  # kinds find here all they register
from gapless_server.core.batches import BATCH_COMMANDS_MAX, EXECUTE_BATCH, MemberRefused, TypedBatch
from gapless_server.core.commands import CommandType, Decide, LongCommand, TypedCommand
from gapless_server.core.commands import Context as Context
from gapless_server.core.commands import Decision as Decision
from gapless_server.core.commands import MustWait as MustWait
from gapless_server.core.commands import Steps as Steps
from gapless_server.core.guards import GuardCheck, GuardTypes, TypedGuard
from gapless_server.core.guards import Unmet as Unmet
from gapless_server.core.paging import PageLimits
from gapless_server.core.plain import Plain, both_forms
from gapless_server.core.reading import compile_reader
from gapless_server.core.refusals import Refused, invalid_field, invalid_fields
from gapless_server.core.runs import Runs
from gapless_server.core.state import START, Moment, State, UndoLog
from gapless_server.core.steps import InSteps
from gapless_server.core.steps import whole_answer as whole_answer
from gapless_server.core.unions import union_fields
from gapless_server.core.validation import Validator, below, check_writer
from gapless_server.core.wire import serializer
from gapless_server.core.writing import Written, as_message

# How many things end in one entry; what ends at the same moment beyond that ends in the next.
EXPIRED_MAX = 1000

# evolve(state, event, moment): changes state; never refuses. One that takes long is `InSteps`, and
# so are then the commands that lead to its event `long_commands`.
Evolve = Callable[[State, Any, Moment], None]
# query(state, request, limits): answers from state; raises Refused.
Query = Callable[[State, Any, PageLimits], Message | Written]
# timed query(state, request, limits, now): its answer also depends on the moment it is asked at.
TimedQuery = Callable[[State, Any, PageLimits, Moment], Message | Written]
# Answers a request from state with the bytes of the response; asks for the moment if need be.
Ask = Callable[[State, Any, Callable[[], Moment]], bytes]
# An answer that takes long to make, with pauses in which state is not changed.
AnswerSteps = Generator[None, None, Message]
# stepped query(state, request, limits, now): as a timed query.
SteppedQuery = Callable[[State, Any, PageLimits, Moment], AnswerSteps]
# frees(event): the line of commands that the event lets go on; see MustWait.
Frees = Callable[[Any], str]


class Erasure(NamedTuple):
    """How an event erases content from the log."""

    # positions(event): those of the entries that have the content.
    positions: Callable[[Any], Iterable[int]]
    # erases(event): which content that is.
    erases: Callable[[Any], Hashable]
    # content(old): which content an event of before has; None: it has none.
    content: Callable[[Any], Hashable | None]
    # clear(old): takes it out.
    clear: Callable[[Any], None]


class Expiry(NamedTuple):
    """How things of a kind end by themselves, each known by a key.

    Evolvers set `state.alarms` for whatever gets an end, and drop them for what has ended; an end
    may move to later by itself.
    """

    # keys(state): everything that has an end.
    keys: Callable[[State], Iterable[str]]
    # end_of(state, key): the uptime of its end, or None if there is no such thing (any more).
    end_of: Callable[[State, str], int | None]
    # expired(state, key): the event that ends it.
    expired: Callable[[State, str], Message]


@dataclass(frozen=True)
class Kind:
    """A kind of thing: what it registers with the kernel.

    `commands`, `guards`, `events`, `frees`, `erases` and the three sorts of queries are keyed by
    the type of the message; commands and events also by its plain form, which their deciders and
    evolvers then take: see plain.py.
    `long_commands` are those of the commands that may take tens of milliseconds to be decided, or
    their events to be applied: others have their turn in between. They never wait in line.
    Several kinds may listen to the same event; they evolve in the order of the kinds.
    """

    name: str
    tables: Sequence[Callable[[UndoLog], Any]] = ()
    commands: Mapping[type[Message], Decide] = field(default_factory=dict)
    long_commands: Collection[type[Message]] = ()
    guards: Mapping[type[Message], GuardCheck] = field(default_factory=dict)
    events: Mapping[type[Message], Evolve] = field(default_factory=dict)
    frees: Mapping[type[Message], Frees] = field(default_factory=dict)
    erases: Mapping[type[Message], Erasure] = field(default_factory=dict)
    expiry: Expiry | None = None
    queries: Mapping[type[Message], Query] = field(default_factory=dict)
    timed_queries: Mapping[type[Message], TimedQuery] = field(default_factory=dict)
    stepped_queries: Mapping[type[Message], SteppedQuery] = field(default_factory=dict)
    auditors: Sequence[Callable[[], Auditor]] = ()
    runs: Runs | None = None


class EventType(msgspec.Struct, frozen=True):
    """An event that some kind knows: its field and number in Event, and what follows from it."""

    field: str
    number: int
    # Returns the event as bytes.
    write: Callable[[Any], bytes]
    evolvers: list[Evolve]
    frees: tuple[Frees, ...] = ()
    erasure: Erasure | None = None


class Kernel:
    """The registry of kinds and the one way through them."""

    def __init__(
        self,
        kinds: Iterable[Kind],
        batch_commands_max: int = BATCH_COMMANDS_MAX,
        *,
        compiled: bool = AVAILABLE,
    ) -> None:
        """Takes the kinds; with `compiled`, runs of commands are decided in compiled form."""
        self.kinds = tuple(kinds)
        self.validator = Validator()
        self._member_validator = Validator(
            {"request_id": "must be empty in a batch, which has one request_id for all"}
        )
        self._batch_commands_max = batch_commands_max
        self.queries: dict[type[Message], TimedQuery] = {}
        # Those of the queries that are the same at any moment.
        self._untimed_queries: dict[type[Message], Query] = {}
        # Those of the queries that can be answered with pauses.
        self.stepped_queries: dict[type[Message], SteppedQuery] = {}
        self.command_fields: dict[type[Message], str] = {}
        self._commands: dict[str, CommandType] = {}
        self._guards = GuardTypes(self.validator)
        self._expiries: dict[str, Expiry] = {}
        self._command_union = union_fields(Command.DESCRIPTOR, "command")
        # By the type of the message, and by its plain form, if a kind has registered that.
        self.event_types: dict[type[Message | Plain], EventType] = {
            event_type: EventType(field.name, field.number, serializer(event_type), [])
            for event_type, field in union_fields(Event.DESCRIPTOR, "event").items()
        }
        self._plain_event_types: list[type[Plain]] = []
        for kind in self.kinds:
            self._register(kind)
        for plain_type in self._plain_event_types:
            known = self.event_types[plain_type.message_type]
            self.event_types[plain_type] = replace(known, write=plain_type.write)
        self.runs = self._simple_runs() if compiled else None

    def _simple_runs(self) -> Runs | None:
        """Returns the runs of the kind that has some, if any.

        None as well where more follows from their event than what its own kind makes of it: runs
        do not know of that, and go the plain way.
        """
        for kind in self.kinds:
            if kind.runs is not None:
                follows = self.event_types[kind.runs.event_type]
                if len(follows.evolvers) == 1 and not follows.frees and follows.erasure is None:
                    return kind.runs
        return None

    def _register(self, kind: Kind) -> None:
        for registered, decide in kind.commands.items():
            command_type, plain_type = both_forms(registered)
            union_field = self._command_union.get(command_type)
            if union_field is None:
                raise LookupError(f"kind {kind.name}: {command_type.__name__} is not in Command")
            name, number = union_field.name, union_field.number
            self.command_fields[command_type] = name
            read = compile_reader(command_type, number, plain_type, check_writer(reads_all=True))
            typed = LongCommand if registered in kind.long_commands else TypedCommand
            self._commands[name] = CommandType(name, number, decide, plain_type, read, typed)
        self._guards.register(kind.name, kind.guards)
        for registered, evolve in kind.events.items():
            event_type, plain_type = both_forms(registered)
            if event_type not in self.event_types:
                raise LookupError(f"kind {kind.name}: {event_type.__name__} is not in Event")
            self.event_types[event_type].evolvers.append(evolve)
            if plain_type is not None:
                self._plain_event_types.append(plain_type)
        for event_type, frees in kind.frees.items():
            known = self.event_types[event_type]
            self.event_types[event_type] = replace(known, frees=(*known.frees, frees))
        for event_type, erasure in kind.erases.items():
            known = self.event_types[event_type]
            self.event_types[event_type] = replace(known, erasure=erasure)
        if kind.expiry is not None:
            self._expiries[kind.name] = kind.expiry
        self.queries.update(kind.timed_queries)
        self.stepped_queries.update(kind.stepped_queries)
        self.queries.update(
            {request: _whole(query) for request, query in kind.stepped_queries.items()}
        )
        self.queries.update({request: _timed(query) for request, query in kind.queries.items()})
        self._untimed_queries.update(kind.queries)

    def new_state(self) -> State:
        """Returns the state of an empty log."""
        classes = dict.fromkeys(tables for kind in self.kinds for tables in kind.tables)
        return State(classes)

    def new_audit(self) -> Audit:
        """Returns an audit of a whole log, with the auditors of every kind."""
        return Audit(auditor for kind in self.kinds for auditor in kind.auditors)

    def typed(self, command: Command) -> TypedCommand | TypedBatch:
        """Returns a command that keeps its field rules, ready to be decided.

        Raises Refused, reason INVALID_FIELD or BATCH_TOO_LARGE.
        """
        name = command.WhichOneof("command")
        known = self._commands.get(name) if name is not None else None
        if known is None:
            if name == EXECUTE_BATCH.name:
                return self._typed_batch(command)
            raise invalid_field("command", "must have exactly one command that this version knows")
        field, number, decide, _plain_type, read, typed = known
        message = getattr(command, field)
        reading = read(message)
        guards = command.guards
        if guards or reading is None:
            return self._slowly_typed(known, message, guards)
        request_id, fingerprint, decided = reading
        return typed(field, number, decide, message, (), request_id, decided, fingerprint)

    def _slowly_typed(
        self, known: CommandType, message: Any, guards: Sequence[Guard]
    ) -> TypedCommand:
        """Returns a command that is guarded, or of which the reader was not sure."""
        self.validator.check(message)
        return self._typed(known, message, self._guards.typed(guards))

    def _typed(
        self, known: CommandType, message: Any, guards: Sequence[TypedGuard]
    ) -> TypedCommand:
        field, number, decide, *_ = known
        command = known.as_decided(message)
        return known.typed(field, number, decide, message, guards, message.request_id, command)

    def _typed_batch(self, command: Command) -> TypedBatch:
        batch = command.execute_batch
        if command.guards:
            raise invalid_field("guards", "must be empty for a batch, which has guards of its own")
        self.validator.check(batch)
        if len(batch.commands) > self._batch_commands_max:
            raise Refused(
                errors_pb2.ERROR_REASON_BATCH_TOO_LARGE,
                commands=len(batch.commands),
                commands_max=self._batch_commands_max,
            )
        members = []
        for index, member in enumerate(batch.commands):
            path = f"commands[{index}]"
            try:
                members.append(self._typed_member(member, path))
            except Refused as refusal:
                not_tried = len(batch.commands) - index - 1
                raise MemberRefused(refusal, path, index, not_tried, refusal.faults) from refusal
        return TypedBatch(batch, members, self._guards.typed(batch.guards), self.evolve_in_steps)

    def _typed_member(self, member: Command, path: str) -> TypedCommand:
        name = member.WhichOneof("command")
        if name == EXECUTE_BATCH.name:
            raise invalid_field(f"{path}.{name}", "must not be a batch in a batch")
        known = self._commands.get(name) if name is not None else None
        if known is None:
            raise invalid_field(path, "must have exactly one command that this version knows")
        message = getattr(member, known.field)
        if faults := self._member_validator.faults(message):
            raise invalid_fields(tuple(below(f"{path}.{name}", faults)))
        return self._typed(known, message, self._guards.typed(member.guards, f"{path}.guards"))

    def evolve(self, state: State, events: Sequence[Message], moment: Moment) -> None:
        """Changes state by typed events. An exception here is a fault of the service."""
        for event in events:
            for evolve in self.event_types[type(event)].evolvers:
                evolve(state, event, moment)

    def evolve_in_steps(
        self, state: State, events: Sequence[Message], moment: Moment
    ) -> Generator[None, None, None]:
        """Does the same with pauses, in which state has a part of it only."""
        for event in events:
            for evolve in self.event_types[type(event)].evolvers:
                if isinstance(evolve, InSteps):
                    yield from evolve.steps(state, event, moment)
                else:
                    evolve(state, event, moment)

    def replay(self, state: State, events: Iterable[Event], moment: Moment) -> None:
        """Changes state by the events of an entry as the log holds them."""
        typed = []
        for event in events:
            name: str | None = event.WhichOneof("event")
            if name is None:
                raise LookupError(
                    f"position {moment.position} holds an event that this version does not know;"
                    " run the version that wrote it, or a newer one"
                )
            typed.append(getattr(event, name))
        self.evolve(state, typed, moment)

    def set_alarms(self, state: State) -> None:
        """Sets the alarms of everything in the state that has an end, after it was loaded."""
        state.alarms.clear()
        for kind_name, expiry in self._expiries.items():
            for key in expiry.keys(state):
                end_us = expiry.end_of(state, key)
                if end_us is not None:
                    state.alarms.set(Thing(kind_name, key), end_us)

    def expire(self, state: State, moment: Moment) -> list[Message]:
        """Returns the events that end what is over at a moment, at most EXPIRED_MAX.

        To be asked again until there is none, after the state has evolved by those before.
        """
        events: list[Message] = []
        for thing in state.alarms.take_due(moment.uptime_us):
            expiry = self._expiries[thing.kind]
            end_us = expiry.end_of(state, thing.key)
            if end_us is None:
                continue
            if end_us > moment.uptime_us:
                state.alarms.set(thing, end_us)
                continue
            events.append(expiry.expired(state, thing.key))
            if len(events) == EXPIRED_MAX:
                break
        return events

    def query(
        self, state: State, request: Message, limits: PageLimits, now: Moment = START
    ) -> Message:
        """Answers a read of any kind. Raises Refused.

        `now` is the moment that the next command would get: what has a time to live is shown as
        that command would find it. Other reads do without.
        """
        self.validator.check(request)
        return as_message(self.queries[type(request)](state, request, limits, now))

    def ask(self, request_type: type[Message], limits: PageLimits) -> Ask:
        """Returns what answers reads of a type as `query` does, for who sends the answer on."""
        check = self.validator.check
        timed = self.queries[request_type]
        untimed = self._untimed_queries.get(request_type)

        def ask(state: State, request: Message, _now: Callable[[], Moment]) -> bytes:
            assert untimed is not None
            check(request)
            return untimed(state, request, limits).SerializeToString()

        def ask_timed(state: State, request: Message, now: Callable[[], Moment]) -> bytes:
            check(request)
            return timed(state, request, limits, now()).SerializeToString()

        return ask_timed if untimed is None else ask

    def query_in_steps(
        self, state: State, request: Message, limits: PageLimits, now: Moment
    ) -> AnswerSteps:
        """Answers a read of `stepped_queries` as `query` does, with pauses."""
        self.validator.check(request)
        return self.stepped_queries[type(request)](state, request, limits, now)


def _whole(query: SteppedQuery) -> TimedQuery:
    def answer(state: State, request: Message, limits: PageLimits, now: Moment) -> Message:
        return whole_answer(query(state, request, limits, now))

    return answer


def _timed(query: Query) -> TimedQuery:
    return lambda state, request, limits, _now: query(state, request, limits)
