"""A round: the commands that are decided together and committed with one fsync."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import structlog
from google.protobuf.message import Message

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import Command
from gapless_server.checkpoint.port import Damaged
from gapless_server.core.batches import TypedBatch
from gapless_server.core.commands import Context, Decision, MustWait, TypedCommand
from gapless_server.core.kernel import Kernel
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.times import to_timestamp
from gapless_server.journal.port import Head, Round, next_round
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.writer.clock import LogTime
from gapless_server.writer.entries import (
    Answer,
    EntryWriter,
    replayed_answer,
    response_form,
    round_data,
)
from gapless_server.writer.erasure import ErasingEvent, by_position, erased_entries
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
        time: LogTime,
        id_seed: str,
        known_entry: Callable[[int], StoredEntry | None],
    ) -> None:
        self._kernel = kernel
        self._state = state
        self._requests = requests
        self._head = head
        self._time = time
        self._writer = EntryWriter(to_timestamp(time.time_us))
        self._id_seed = id_seed
        self._known_entry = known_entry
        self._next_position = head.position + 1
        # Fields of StoredRound, one an entry.
        self._entries: list[bytes] = []
        # Lines whose first command can be run again, since something was freed for it.
        self.freed: list[str] = []
        # What the events of the round erase from the log, itself included.
        self.erasures: list[ErasingEvent] = []

    @property
    def uptime_us(self) -> int:
        """The uptime at which everything in the round stands."""
        return self._time.uptime_us

    def run(self, command: Command, caller: str, *, may_wait: bool = False) -> Outcome | MustWait:
        """Decides one command. A refusal leaves no trace and uses up nothing (G1).

        Returns MustWait, which leaves no trace either, only if `may_wait`. Raises EntryNeeded.
        """
        try:
            typed = self._kernel.typed(command)
            request_id = typed.request_id
            key = request_key(caller, request_id)
            known = self._requests.get(key)
            if known is not None and self._is_of(known, key):
                return self._replay(known, typed)
            moment = self._next_moment()
            id_prefix = f"{self._id_seed}{moment.position:x}-"
            context = Context(moment, caller, id_prefix, may_wait=may_wait)
            decision = self._decide(typed, context)
        except (Refused, MustWait) as reason:
            return reason
        position, response = moment.position, decision.response
        response_type: Any = type(response)
        write, receipt_tag = response_form(response_type)
        answer = Answer(typed.number, write(response))
        self._commit(decision.events, moment, request_id, caller, typed.fingerprint(), answer)
        self._requests.put(key, position)
        changed = bool(decision.events)
        return self._writer.with_receipt(answer, receipt_tag, position, changed=changed)

    def expire(self) -> bool:
        """Ends things that are over, in one entry without a request id; False if there are none."""
        moment = self._next_moment()
        events = self._kernel.expire(self._state, moment)
        if events:
            self._commit(events, moment)
        return bool(events)

    def _next_moment(self) -> Moment:
        return Moment(self._next_position, self._time.time_us, self._time.uptime_us)

    def _commit(
        self,
        events: Sequence[Message],
        moment: Moment,
        request_id: str = "",
        caller: str = "",
        fingerprint: bytes = b"",
        answer: Answer | None = None,
    ) -> None:
        """Applies events to the state and adds their entry to the round."""
        state, event_types = self._state, self._kernel.event_types
        written = []
        for event in events:
            event_type = event_types[type(event)]
            for evolve in event_type.evolvers:
                evolve(state, event, moment)
            written.append((event_type.number, event_type.write(event)))
            for frees in event_type.frees:
                self.freed.append(frees(event))
            if event_type.erasure is not None:
                self.erasures.append(ErasingEvent(event_type.erasure, event))
        entry = self._writer.entry(
            moment.position, request_id, caller, fingerprint, written, answer
        )
        self._entries.append(entry)
        self._next_position += 1

    def seal(self, rewritten: Sequence[Round] = ()) -> Round | None:
        """Returns the round as the journal takes it; None if nothing was committed in it.

        `rewritten` are the rounds of before that its events have erased content from: it attests
        what they are from now on.
        """
        if not self._entries:
            return None
        self._erase_pending()
        data = round_data(self._entries, self._time.uptime_us, rewritten)
        return next_round(self._head, self._next_position - 1, data)

    def _erase_pending(self) -> None:
        """Takes content out of entries of this very round."""
        first_position = self._head.position + 1
        for position, events in by_position(self.erasures).items():
            if position >= first_position:
                index = position - first_position
                self._entries[index] = erased_entries(self._entries[index], {0: events})

    def _decide(self, typed: TypedCommand | TypedBatch, context: Context) -> Decision:
        try:
            return typed.decide(self._state, context)
        except (Refused, MustWait, Damaged):
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
        fingerprint = typed.fingerprint()
        # Of what was erased, it is only known which command it was.
        same = fingerprint[:1] if stored.erased else fingerprint
        if same != stored.fingerprint:
            return Refused(
                errors_pb2.ERROR_REASON_REQUEST_ID_REUSED,
                request_id=stored.entry.request_id,
                position=position,
                fields=", ".join(typed.differing_fields(stored.fingerprint)),
            )
        return replayed_answer(stored)
