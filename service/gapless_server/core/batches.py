"""Atomic batches: several commands that are decided as one, all of them or none.

A batch is decided like any other command: it gives events and a response, and leaves state as it
was. Its members see what those before them did because state evolves along, on rows that are put
back at the end.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator, Sequence
from itertools import zip_longest
from typing import Any, Final

from google.protobuf.message import Message

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import (
    Command,
    CommandResult,
    ExecuteBatchRequest,
    ExecuteBatchResponse,
)
from gapless_server.core.commands import Context, Decision, LongCommand, Steps, TypedCommand
from gapless_server.core.fingerprint import GUARDS_NAME, differing_fields, fingerprint
from gapless_server.core.guards import TypedGuard, guards_of, require
from gapless_server.core.plain import Plain, to_message
from gapless_server.core.refusals import FieldFault, Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.steps import whole_answer
from gapless_server.core.validation import below

BATCH_COMMANDS_MAX = 1000

EXECUTE_BATCH = Command.DESCRIPTOR.fields_by_name["execute_batch"]

# How the length of a part of a batch's fingerprint is written; a part is at most 2,296 bytes.
_LENGTH_BYTES = 2

# How large the events of a batch may be in all, and how large its response. Not a setting: gRPC
# clients take messages of up to 4 MiB unless told otherwise, and an entry travels with up to 1 MiB
# of others. A few bytes of a command can lead to many: a number that is asked for as one of a group
# is answered with the whole group.
ENTRY_BYTES_MAX: Final = 5 * 512 * 1024

# Changes state by events, in steps.
EvolveAll = Callable[[State, Sequence[Message], Moment], Generator[None, None, None]]

# Filled by the name of a field that the descriptors give.
_new_result: Callable[..., CommandResult] = CommandResult


class MemberRefused(Refused):
    """The refusal of a whole batch: that of its first member that failed, and where it stood."""

    def __init__(
        self, member: Refused, path: str, index: int, not_tried: int, faults: Sequence[FieldFault]
    ) -> None:
        """`path` names the member, and `faults` its bad fields, from the batch on."""
        metadata = dict(member.metadata)
        if faults and "field" in metadata:
            metadata["field"] = faults[0].field
        super().__init__(
            member.reason,
            faults=tuple(faults),
            retry_after_seconds=member.retry_after_seconds,
            **metadata,
            batch_index=index,
            batch_not_tried=not_tried,
        )
        self.args = (
            f"{path} is refused, so nothing of the batch was done, and the {not_tried} commands"
            f" after it were not tried: {member}",
        )


class TypedBatch:
    """A batch whose members keep their field rules; of the same shape as a `TypedCommand`."""

    __slots__ = ("_evolve", "guards", "members", "message")

    field = EXECUTE_BATCH.name
    number = EXECUTE_BATCH.number

    def __init__(
        self,
        message: ExecuteBatchRequest,
        members: Sequence[TypedCommand],
        guards: Sequence[TypedGuard],
        evolve: EvolveAll,
    ) -> None:
        self.message = message
        self.members = members
        self.guards = guards
        self._evolve = evolve

    @property
    def request_id(self) -> str:
        """The idempotency key of the whole batch."""
        return self.message.request_id

    def decide(self, state: State, context: Context) -> Decision:
        """Returns what all members lead to; leaves state as it is. Raises Refused."""
        return whole_answer(self.steps(state, context))

    def steps(self, state: State, context: Context) -> Steps:
        """Decides, with pauses between and in members: all of them can take long.

        State is not to be looked at in a pause: it has what the members so far lead to.
        """
        require(state, self.guards)
        state.undo.begin()
        try:
            decision = yield from self._decide_members(state, context)
        except Exception:
            yield from state.undo.roll_back_in_steps()
            raise
        except BaseException:  # nobody goes on with these steps
            state.undo.roll_back()
            raise
        yield from state.undo.roll_back_in_steps()
        return decision

    def _decide_members(self, state: State, context: Context) -> Steps:
        events: list[Message] = []
        response = ExecuteBatchResponse()
        events_bytes = response_bytes = 0
        for index, member in enumerate(self.members):
            own_ids = f"{context.id_prefix}{index:x}-"
            own_context = Context(context.moment, context.caller, own_ids)
            try:
                if isinstance(member, LongCommand):
                    decision = yield from member.steps(state, own_context)
                else:
                    decision = member.decide(state, own_context)
            except Refused as refusal:
                path = f"commands[{index}].{member.field}"
                not_tried = len(self.members) - index - 1
                faults = below(path, refusal.faults)
                raise MemberRefused(refusal, path, index, not_tried, faults) from refusal
            result = _new_result(**{member.field: to_message(decision.response)})
            events_bytes += sum(map(_size, decision.events))
            response_bytes += result.ByteSize()
            if max(events_bytes, response_bytes) > ENTRY_BYTES_MAX:
                raise Refused(
                    errors_pb2.ERROR_REASON_BATCH_LEADS_TO_TOO_MUCH,
                    bytes_max=ENTRY_BYTES_MAX,
                    batch_index=index,
                )
            yield
            yield from self._evolve(state, decision.events, context.moment)
            events.extend(decision.events)
            response.results.append(result)
            response.changed.append(bool(decision.events))
            yield
        return Decision(events, response)

    def fingerprint(self) -> bytes:
        """Returns what the batch said: its number and then, each behind its length, parts.

        The first part is the fingerprint of what the batch says itself, the others are those of
        its members.
        """
        own = fingerprint(ExecuteBatchRequest(), self.number, guards_of(self.guards))
        parts = [own, *(member.fingerprint() for member in self.members)]
        lengths_and_parts = [len(part).to_bytes(_LENGTH_BYTES, "big") + part for part in parts]
        return bytes((self.number,)) + b"".join(lengths_and_parts)

    def differing_fields(self, old: bytes) -> list[str]:
        """Names the members and their fields in which an earlier batch of this fingerprint differs.

        Another command altogether is named "command"; a member that only one of the two has, or
        that is another command, by its place alone.
        """
        if old[0] != self.number:
            return ["command"]
        [old_own, *old_members] = _parts(old)
        [own, *_] = _parts(self.fingerprint())
        differing = differing_fields(old_own, own, ExecuteBatchRequest.DESCRIPTOR)
        pairs = zip_longest(old_members, self.members)
        for index, (old_member, member) in enumerate(pairs):
            path = f"commands[{index}]"
            if old_member is None or member is None or old_member[0] != member.number:
                differing.append(path)
                continue
            for name in member.differing_fields(old_member):
                # Guards stand beside the command, everything else in it.
                of_member = name if name == GUARDS_NAME else f"{member.field}.{name}"
                differing.append(f"{path}.{of_member}")
        return differing


def _size(event: Any) -> int:
    """Returns how long an event is, serialized."""
    return len(type(event).write(event)) if isinstance(event, Plain) else int(event.ByteSize())


def _parts(value: bytes) -> Iterator[bytes]:
    start = 1
    while start < len(value):
        end = start + _LENGTH_BYTES + int.from_bytes(value[start : start + _LENGTH_BYTES], "big")
        yield value[start + _LENGTH_BYTES : end]
        start = end
