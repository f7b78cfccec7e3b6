"""A round: the commands that are decided together and committed with one fsync."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gapless.v1 import common_pb2, errors_pb2
from gapless.v1.commands_pb2 import Command, CommandResult
from gapless_server.core.fingerprint import differing_fields
from gapless_server.core.kernel import CommandType, Context, Kernel
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.times import to_timestamp
from gapless_server.journal.port import Head, Round, link
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.requests import RequestIndex, request_key

_log = structlog.get_logger()

# What became of a command: its answer with a receipt, or why it was refused.
Outcome = CommandResult | Refused


class RoundBuilder:
    """Decides commands one after another on the pending state and collects their entries.

    An exception other than those it returns means that state may be half changed: the writer
    must stop.
    """

    def __init__(
        self,
        kernel: Kernel,
        state: State,
        requests: RequestIndex,
        head: Head,
        time_us: int,
        id_seed: str,
        known_entry: Callable[[int], StoredEntry],
    ) -> None:
        self._kernel = kernel
        self._state = state
        self._requests = requests
        self._head = head
        self._time_us = time_us
        self._commit_time = to_timestamp(time_us)
        self._id_seed = id_seed
        self._known_entry = known_entry
        self.stored = StoredRound()

    @property
    def next_position(self) -> int:
        """The position that the next committed command gets."""
        return self._head.position + len(self.stored.entries) + 1

    def run(self, command: Command, caller: str) -> Outcome:
        """Decides one command. A refusal leaves no trace and uses up nothing (G1)."""
        try:
            command_type, message = self._kernel.typed(command)
            key = request_key(caller, message.request_id)  # type: ignore[attr-defined]  # rule: required
            known = self._requests.get(key)
            if known is not None:
                return self._replay(known, command_type, message)
            position = self.next_position
            context = Context(
                Moment(position, self._time_us), caller, f"{self._id_seed}{position:x}-"
            )
            try:
                events, answer = self._kernel.decide(self._state, command_type, message, context)
            except Refused:
                raise
            except Exception:
                return self._fault(command_type.field)
        except Refused as refusal:
            return refusal
        self._kernel.evolve(self._state, events, context.moment)
        stored = self.stored.entries.add(
            caller=caller,
            fingerprint=self._kernel.fingerprint(command_type, message),
            answer=answer,
        )
        entry = stored.entry
        entry.position = position
        entry.commit_time.CopyFrom(self._commit_time)
        entry.request_id = message.request_id  # type: ignore[attr-defined]
        entry.events.extend(events)
        self._requests.put(key, position)
        getattr(answer, command_type.field).receipt.CopyFrom(
            common_pb2.Receipt(
                position=position, commit_time=self._commit_time, changed=bool(events)
            )
        )
        return answer

    def seal(self) -> Round:
        """Returns the round as the journal takes it."""
        first = self._head.position + 1
        last = self._head.position + len(self.stored.entries)
        data = self.stored.SerializeToString(deterministic=True)
        return Round(first, last, data, link(self._head.chain_hash, first, last, data))

    def _replay(self, position: int, command_type: CommandType, message: object) -> Outcome:
        """Answers a known request id from its entry, pending or durable (G3)."""
        pending_index = position - self._head.position - 1
        if pending_index >= 0:
            stored = self.stored.entries[pending_index]
        else:
            stored = self._known_entry(position)
        asked = self._kernel.fingerprint(command_type, message)  # type: ignore[arg-type]
        if asked != stored.fingerprint:
            differing = differing_fields(stored.fingerprint, asked, message.DESCRIPTOR)  # type: ignore[attr-defined]
            return Refused(
                errors_pb2.ERROR_REASON_REQUEST_ID_REUSED,
                request_id=stored.entry.request_id,
                position=position,
                fields=", ".join(differing),
            )
        return answer_of(stored, replayed=True)

    def _fault(self, name: str) -> Refused:
        fault_id = f"{self._id_seed}{self.next_position:x}"
        _log.exception("command_fault", command=name, fault_id=fault_id)
        return Refused(errors_pb2.ERROR_REASON_INTERNAL_FAULT, fault_id=fault_id)


def receipt_of(stored: StoredEntry, *, replayed: bool) -> common_pb2.Receipt:
    """Returns the receipt of a stored entry."""
    return common_pb2.Receipt(
        position=stored.entry.position,
        commit_time=stored.entry.commit_time,
        replayed=replayed,
        changed=bool(stored.entry.events),
    )


def answer_of(stored: StoredEntry, *, replayed: bool) -> CommandResult:
    """Returns the answer of a stored entry, with its receipt."""
    answer = CommandResult()
    answer.CopyFrom(stored.answer)
    name = answer.WhichOneof("result")
    if name is None:
        raise LookupError(f"position {stored.entry.position} holds no answer")
    getattr(answer, name).receipt.CopyFrom(receipt_of(stored, replayed=replayed))
    return answer
