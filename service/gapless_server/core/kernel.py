"""The kernel: knows every kind, and runs a command through the one that it belongs to.

It names no kind. A kind registers its commands, events and queries by the types of their
messages; the unions in ``commands.proto`` and ``events.proto`` say which field carries which type.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gapless.v1.commands_pb2 import Command
from gapless.v1.events_pb2 import Event
from gapless_server.core.audit import Audit
from gapless_server.core.audit import Auditor as Auditor  # kinds find here all they register
from gapless_server.core.fingerprint import fingerprint
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import invalid_field
from gapless_server.core.state import Moment, State, UndoLog
from gapless_server.core.validation import Validator


class Context:
    """What the world contributes to one command: its moment, its caller, and randomness."""

    __slots__ = ("_ids_made", "caller", "id_prefix", "moment")

    def __init__(self, moment: Moment, caller: str, id_prefix: str) -> None:
        self.moment = moment
        self.caller = caller
        self.id_prefix = id_prefix
        self._ids_made = 0

    def new_id(self) -> str:
        """Returns an id that nothing else has: `id_prefix` is unique to the command."""
        self._ids_made += 1
        return f"{self.id_prefix}{self._ids_made:x}"


class Decision(NamedTuple):
    """What a command leads to: its events, in order, and its response without a receipt.

    No events means that all was as asked: the receipt then says changed=false.
    """

    events: Sequence[Message]
    response: Message


# decide(state, command, context): reads state, never changes it; raises Refused.
Decide = Callable[[State, Any, Context], Decision]
# evolve(state, event, moment): changes state; never refuses.
Evolve = Callable[[State, Any, Moment], None]
# query(state, request, limits): answers from state; raises Refused.
Query = Callable[[State, Any, PageLimits], Message]
# timed query(state, request, limits, time_us): its answer also depends on when it is asked.
TimedQuery = Callable[[State, Any, PageLimits, int], Message]


@dataclass(frozen=True)
class Kind:
    """A kind of thing: what it registers with the kernel.

    `commands`, `events`, `queries` and `timed_queries` are keyed by the type of the message.
    Several kinds may listen to the same event; they evolve in the order of the kinds.
    """

    name: str
    tables: Sequence[Callable[[UndoLog], Any]] = ()
    commands: Mapping[type[Message], Decide] = field(default_factory=dict)
    events: Mapping[type[Message], Evolve] = field(default_factory=dict)
    queries: Mapping[type[Message], Query] = field(default_factory=dict)
    timed_queries: Mapping[type[Message], TimedQuery] = field(default_factory=dict)
    auditors: Sequence[Callable[[], Auditor]] = ()


def message_class(field: FieldDescriptor) -> type[Message]:
    """Returns the type of the messages that a field of a union holds."""
    assert field.message_type is not None  # the unions hold messages only
    return GetMessageClass(field.message_type)


class CommandType(NamedTuple):
    """A command that some kind decides: its field and number in Command, and its decider."""

    field: str
    number: int
    decide: Decide


class EventType(NamedTuple):
    """An event that some kind knows: its field and number in Event, and who evolves by it."""

    field: str
    number: int
    evolvers: list[Evolve]


class Kernel:
    """The registry of kinds and the one way through them."""

    def __init__(self, kinds: Iterable[Kind]) -> None:
        self.kinds = tuple(kinds)
        self.validator = Validator()
        self.queries: dict[type[Message], TimedQuery] = {}
        self.command_fields: dict[type[Message], str] = {}
        self._commands: dict[str, CommandType] = {}
        self.event_types: dict[type[Message], EventType] = {
            message_class(field): EventType(field.name, field.number, [])
            for field in Event.DESCRIPTOR.oneofs_by_name["event"].fields
        }
        for kind in self.kinds:
            self._register(kind)

    def _register(self, kind: Kind) -> None:
        for union_field in Command.DESCRIPTOR.oneofs_by_name["command"].fields:
            command_type = message_class(union_field)
            if command_type in kind.commands:
                self.command_fields[command_type] = union_field.name
                self._commands[union_field.name] = CommandType(
                    union_field.name, union_field.number, kind.commands[command_type]
                )
        for command_type in kind.commands:
            if command_type not in self.command_fields:
                raise LookupError(f"kind {kind.name}: {command_type.__name__} is not in Command")
        for event_type, evolve in kind.events.items():
            if event_type not in self.event_types:
                raise LookupError(f"kind {kind.name}: {event_type.__name__} is not in Event")
            self.event_types[event_type].evolvers.append(evolve)
        self.queries.update(kind.timed_queries)
        self.queries.update({request: _timed(query) for request, query in kind.queries.items()})

    def new_state(self) -> State:
        """Returns the state of an empty log."""
        classes = dict.fromkeys(tables for kind in self.kinds for tables in kind.tables)
        return State(classes)

    def new_audit(self) -> Audit:
        """Returns an audit of a whole log, with the auditors of every kind."""
        return Audit(auditor for kind in self.kinds for auditor in kind.auditors)

    def typed(self, command: Command) -> tuple[CommandType, Message]:
        """Returns the type and the typed message of a command that keeps its field rules.

        Raises Refused, reason INVALID_FIELD.
        """
        name = command.WhichOneof("command")
        known = self._commands.get(name) if name is not None else None
        if known is None:
            raise invalid_field("command", "must have exactly one command that this version knows")
        message = getattr(command, known.field)
        self.validator.check(message)
        return known, message

    def fingerprint(self, command_type: CommandType, message: Message) -> bytes:
        """Returns what the command said, for comparing it with a later one of the same id."""
        return fingerprint(message, command_type.number)

    def decide(
        self, state: State, command_type: CommandType, message: Message, context: Context
    ) -> Decision:
        """Returns the events of a command and its response; changes nothing. Raises Refused."""
        return command_type.decide(state, message, context)

    def evolve(self, state: State, events: Iterable[Message], moment: Moment) -> None:
        """Changes state by typed events. An exception here is a fault of the service."""
        for event in events:
            for evolve in self.event_types[type(event)].evolvers:
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

    def query(
        self, state: State, request: Message, limits: PageLimits, time_us: int = 0
    ) -> Message:
        """Answers a read of any kind. Raises Refused.

        `time_us` is the moment that the next command would get: what has a time to live is shown
        as that command would find it.
        """
        self.validator.check(request)
        return self.queries[type(request)](state, request, limits, time_us)


def _timed(query: Query) -> TimedQuery:
    return lambda state, request, limits, _time_us: query(state, request, limits)
