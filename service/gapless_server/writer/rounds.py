"""A round: the commands that are decided together and committed with one fsync."""

from __future__ import annotations

from collections.abc import Callable

import structlog

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import Command
from gapless_server.checkpoint.port import Damaged
from gapless_server.core.batches import TypedBatch
from gapless_server.core.commands import Context, Decision, TypedCommand
from gapless_server.core.kernel import Kernel
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.times import to_timestamp
from gapless_server.journal.port import Head, Round, link
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.entries import Answer, EntryWriter, replayed_answer
from gapless_server.writer.requests import RequestIndex, request_key

_log = structlog.get_logger()

# What became of a command: its answer with a receipt, or why it was refused.
Outcome = Answer | Refused


class EntryNeeded(Exception):
    """The answer to a repeated request id lies in an entry that is not in memory.

    Nothing was done: the command is to be run again once the entry is loaded.
    """

    def __init__(self, position: int) -> None:
        super().__init__(position)
        self.position = position


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
        known_entry: Callable[[int], StoredEntry | None],
    ) -> None:
        self._kernel = kernel
        self._state = state
        self._requests = requests
        self._head = head
        self._time_us = time_us
        self._writer = EntryWriter(to_timestamp(time_us))
        self._id_seed = id_seed
        self._known_entry = known_entry
        self._next_position = head.position + 1
        # Fields of StoredRound, one an entry.
        self._entries: list[bytes] = []

    def run(self, command: Command, caller: str) -> Outcome:
        """Decides one command. A refusal leaves no trace and uses up nothing (G1).

        Raises EntryNeeded.
        """
        try:
            typed = self._kernel.typed(command)
            request_id: str = typed.message.request_id  # type: ignore[attr-defined]  # every command has one
            key = request_key(caller, request_id)
            known = self._requests.get(key)
            if known is not None and self._is_of(known, key):
                return self._replay(known, typed)
            position = self._next_position
            moment = Moment(position, self._time_us)
            context = Context(moment, caller, f"{self._id_seed}{position:x}-")
            decision = self._decide(typed, context)
        except Refused as refusal:
            return refusal
        events, response = decision.events, decision.response
        self._kernel.evolve(self._state, events, moment)
        event_types = self._kernel.event_types
        answer = Answer(typed.number, response.SerializeToString(deterministic=True))
        entry = self._writer.entry(
            position,
            request_id,
            caller,
            typed.fingerprint(),
            [(event_types[type(event)], event) for event in events],
            answer,
        )
        self._entries.append(entry)
        self._requests.put(key, position)
        self._next_position = position + 1
        receipt = self._writer.receipt(response, position, changed=bool(events))
        return Answer(answer.number, answer.response + receipt)

    def seal(self) -> Round | None:
        """Returns the round as the journal takes it; None if nothing was committed in it."""
        if not self._entries:
            return None
        first, last = self._head.position + 1, self._next_position - 1
        data = b"".join(self._entries)
        return Round(first, last, data, link(self._head.chain_hash, first, last, data))

    def _decide(self, typed: TypedCommand | TypedBatch, context: Context) -> Decision:
        try:
            return typed.decide(self._state, context)
        except (Refused, Damaged):
            raise
        except Exception as error:
            # Deciding changes nothing, so a fault in it is this command's alone (G5).
            _log.exception("command_fault", command=typed.field, fault_id=context.id_prefix)
            raise Refused(
                errors_pb2.ERROR_REASON_INTERNAL_FAULT, fault_id=context.id_prefix
            ) from error

    def _entry(self, position: int) -> StoredEntry:
        """Returns an entry, pending or durable. Raises EntryNeeded."""
        pending_index = position - self._head.position - 1
        if pending_index >= 0:
            return StoredRound.FromString(self._entries[pending_index]).entries[0]
        stored = self._known_entry(position)
        if stored is None:
            raise EntryNeeded(position)
        return stored

    def _is_of(self, position: int, key: str) -> bool:
        """Says whether the entry is of this request, and not of one with the same hash."""
        stored = self._entry(position)
        return request_key(stored.caller, stored.entry.request_id) == key

    def _replay(self, position: int, typed: TypedCommand | TypedBatch) -> Outcome:
        """Answers a known request id from its entry (G3)."""
        stored = self._entry(position)
        if typed.fingerprint() != stored.fingerprint:
            return Refused(
                errors_pb2.ERROR_REASON_REQUEST_ID_REUSED,
                request_id=stored.entry.request_id,
                position=position,
                fields=", ".join(typed.differing_fields(stored.fingerprint)),
            )
        return replayed_answer(stored)
