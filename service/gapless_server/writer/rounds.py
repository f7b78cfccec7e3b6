"""A round: the commands that are decided together and committed with one fsync."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from functools import cache
from typing import TYPE_CHECKING, Any

import structlog

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import Command
from gapless_server.checkpoint.port import Damaged
from gapless_server.core.batches import TypedBatch
from gapless_server.core.commands import (
    Context,
    Decision,
    LongCommand,
    MustWait,
    Steps,
    TypedCommand,
)
from gapless_server.core.kernel import Kernel
from gapless_server.core.refusals import Refused
from gapless_server.core.runs import Runs
from gapless_server.core.state import Moment, State
from gapless_server.journal.port import Head, Round, next_round
from gapless_server.storage.v1.storage_pb2 import RewrittenRound, StoredEntry, StoredRound
from gapless_server.writer.clock import LogTime
from gapless_server.writer.entries import (
    RUN_TAGS,
    Answer,
    Answers,
    Draft,
    EntryWriter,
    replayed_answer,
    response_form,
    round_data,
)
from gapless_server.writer.erasure import ErasingEvent, by_position, erased_entries, mark_erased
from gapless_server.writer.requests import RequestIndex, request_key

if TYPE_CHECKING:  # they may not have been built
    from gapless_server.compiled.frames import PostFrame
    from gapless_server.compiled.post_fields import PostFields
    from gapless_server.compiled.posts import PostDecider

_log = structlog.get_logger()

# What became of a command: its answer with a receipt, or why it was refused. Answers are those to
# several.
Outcome = Answer | Answers | Refused
# A command that is ready to be decided.
AnyTyped = TypedCommand | TypedBatch
# One that is decided with pauses.
Stepped = TypedBatch | LongCommand


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
        self._writer = EntryWriter(time.time_us)
        self._id_seed = id_seed
        self._known_entry = known_entry
        self._next_position = head.position + 1
        # What was decided and is not written yet, and before it the fields of StoredRound of what
        # is: those of an entry, or of a run, together, and the first position of each.
        self._drafts: list[Draft] = []
        self._written: list[bytes] = []
        self._written_from: list[int] = []
        # Decides runs, while nothing else is decided.
        self._run_decider: PostDecider | None = None
        # How long what was written is, and the answers that were given again.
        self.size_bytes = 0
        # Lines whose first command can be run again, since something was freed for it.
        self.freed: list[str] = []
        # What the events of the round erase from the log, itself included.
        self.erasures: list[ErasingEvent] = []
        self._erased_positions: set[int] = set()

    @property
    def uptime_us(self) -> int:
        """The uptime at which everything in the round stands."""
        return self._time.uptime_us

    def read(self, command: Command | Refused) -> AnyTyped | Refused:
        """Returns a command ready to be decided, or why it is none. Looks at no state."""
        if isinstance(command, Refused):
            return command
        try:
            return self._kernel.typed(command)
        except Refused as refusal:
            return refusal

    def decide(self, typed: AnyTyped, caller: str, *, may_wait: bool = False) -> Outcome | MustWait:
        """Decides one command. A refusal leaves no trace and uses up nothing (G1).

        The answer is filled in by `write`. Returns MustWait, which leaves no trace either, only if
        `may_wait`. Raises EntryNeeded.
        """
        self._end_run()
        request_id = typed.request_id
        key = request_key(caller, request_id) if caller else request_id
        try:
            known = self._requests.get(key)
            if known is not None and self._is_of(known, key):
                return self._replay(known, typed)
            context = self._next_context(caller, may_wait=may_wait)
            decision = self._decide(typed, context)
        except (Refused, MustWait) as reason:
            return reason
        self._apply(decision.events, context.moment)
        return self._accept(typed, key, context, decision)

    def decide_in_steps(self, typed: Stepped, caller: str) -> Generator[None, None, Outcome]:
        """Decides a command as `decide` does, with its pauses, those of its events and others.

        Nothing else may be decided, and state not be read, before it has returned.
        """
        self._end_run()
        try:
            key = request_key(caller, typed.request_id)
            known = self._requests.get(key)
            if known is not None and self._is_of(known, key):
                return self._replay(known, typed)
            context = self._next_context(caller)
            decision = yield from self._steps(typed, context)
        except Refused as refusal:
            return refusal
        for place, event in enumerate(decision.events):
            yield from self._kernel.evolve_in_steps(self._state, (event,), context.moment)
            self._note(event, place)
            yield
        return self._accept(typed, key, context, decision)

    def decide_run(
        self,
        found: PostFrame,
        start: int,
        stop: int,
        caller: str,
        bytes_max: int,
        *,
        is_call: bool = False,
    ) -> Answers | Answer | None:
        """Decides commands of a frame that need nothing but the compiled way, as far as it goes.

        Those from `start` on that are such, before `stop`, and until the round has more bytes than
        `bytes_max`. What comes of them is what would come of each by `decide`. Returns None if the
        first one is none; the answer is by itself if the frame is a call of one command.
        """
        decider = self._run_decider or self._new_run_decider()
        if decider is None:
            return None
        self.write()
        first = decider.next_position = self._next_position
        bytes_left = bytes_max - self.size_bytes
        end, entries, results = decider.run(found, start, stop, caller, bytes_left, not is_call)
        if end == start:
            return None
        self._add_written(entries, first)
        self._next_position = decider.next_position
        if is_call:
            assert self._kernel.runs is not None
            return Answer(self._kernel.runs.number, results)
        return Answers(end - start, results)

    def _new_run_decider(self) -> PostDecider | None:
        places = self._requests.places()
        runs = self._kernel.runs
        if runs is None or places is None:
            return None
        fields, moment = _run_fields(runs), self._next_moment()
        self._run_decider = runs.decider(
            fields, self._state, places, self._writer.time, moment, self._id_seed
        )
        return self._run_decider

    def _end_run(self) -> None:
        """Something else is decided, and may change what a run knows of the state."""
        self._run_decider = None

    def _accept(self, typed: AnyTyped, key: str, context: Context, decision: Decision) -> Answer:
        """Takes a decision, whose events are applied, into the round."""
        answer, position = Answer(typed.number), context.moment.position
        self._add(
            Draft(position, decision.events, typed, context.caller, decision.response, answer)
        )
        self._requests.put(key, position)
        return answer

    def expire(self) -> bool:
        """Ends things that are over, in one entry without a request id; False if there are none."""
        self._end_run()
        moment = self._next_moment()
        events = self._kernel.expire(self._state, moment)
        self._apply(events, moment)
        if events:
            self._add(Draft(moment.position, events))
        return bool(events)

    @property
    def unwritten(self) -> int:
        """How many entries are decided and not written."""
        return len(self._drafts)

    def write(self) -> None:
        """Writes the entries and the answers of what was decided."""
        for _ in self.write_in_steps():
            pass

    def write_in_steps(self) -> Iterator[None]:
        """Writes the entries and the answers of what was decided, with a pause after each.

        Apart from deciding, as doing the same for many in a row is quicker than doing all for one
        after another: it finds its code and data in the caches of the processor.
        """
        drafts, self._drafts = self._drafts, []
        for draft in drafts:
            self._add_written(self._entry_of(draft), draft.position)
            yield

    def _add_written(self, entries: bytes, first_position: int) -> None:
        self._written.append(entries)
        self._written_from.append(first_position)
        self.size_bytes += len(entries)

    def _entry_of(self, draft: Draft) -> bytes:
        """Returns a draft as a field of StoredRound, and fills in its answer."""
        writer, event_types = self._writer, self._kernel.event_types
        events = []
        for event in draft.events:
            event_type = event_types[type(event)]
            events.append((event_type.number, event_type.write(event)))
        place, typed, answer = writer.place(draft.position), draft.typed, draft.answer
        if typed is None or answer is None:
            return writer.entry(place, "", "", b"", events, None)
        response = draft.response
        response_type: Any = type(response)
        write, receipt_tag = response_form(response_type)
        answer.response = write(response)
        fingerprint = typed.fingerprint()
        entry = writer.entry(place, typed.request_id, draft.caller, fingerprint, events, answer)
        writer.add_receipt(answer, receipt_tag, place, changed=bool(events))
        return entry

    def _next_moment(self) -> Moment:
        return Moment(self._next_position, self._time.time_us, self._time.uptime_us)

    def _next_context(self, caller: str, *, may_wait: bool = False) -> Context:
        moment = self._next_moment()
        return Context(moment, caller, f"{self._id_seed}{moment.position:x}-", may_wait)

    def _apply(self, events: Sequence[Any], moment: Moment) -> None:
        """Applies the events of the next entry to the state."""
        for place, event in enumerate(events):
            for evolve in self._kernel.event_types[type(event)].evolvers:
                evolve(self._state, event, moment)
            self._note(event, place)

    def _note(self, event: Any, place: int) -> None:
        """Takes note of what follows from an event of the next entry that was applied."""
        event_type = self._kernel.event_types[type(event)]
        for frees in event_type.frees:
            self.freed.append(frees(event))
        if event_type.erasure is not None:
            erasing = ErasingEvent(event_type.erasure, event, self._next_position, place)
            self.erasures.append(erasing)
            self._erased_positions.update(event_type.erasure.positions(event))

    def _add(self, draft: Draft) -> None:
        """Adds a draft, whose events are applied, to the round."""
        self._drafts.append(draft)
        self._next_position += 1

    def seal(self, rewritten: Iterable[RewrittenRound] = ()) -> Round | None:
        """Returns the round as the journal takes it; None if nothing was committed in it.

        `rewritten` says what rounds of before are from now on, as its events have erased content
        from them.
        """
        self.write()
        if not self._written:
            return None
        self._erase_pending()
        data = round_data(self._written, self._time.uptime_us, rewritten)
        return next_round(self._head, self._next_position - 1, data)

    def _erase_pending(self) -> None:
        """Takes content out of entries of this very round."""
        first_position = self._head.position + 1
        for position, events in by_position(self.erasures).items():
            if position >= first_position:
                place, index = self._place_of(position)
                self._written[place] = erased_entries(self._written[place], {index: events})

    def _place_of(self, position: int) -> tuple[int, int]:
        """Returns where among what is written an entry is, and its index there."""
        place = bisect_right(self._written_from, position) - 1
        return place, position - self._written_from[place]

    def _decide(self, typed: AnyTyped, context: Context) -> Decision:
        try:
            return typed.decide(self._state, context)
        except (Refused, MustWait, Damaged):
            raise
        except Exception as error:
            raise _fault(typed, context) from error

    def _steps(self, typed: Stepped, context: Context) -> Steps:
        try:
            return (yield from typed.steps(self._state, context))
        except (Refused, Damaged):
            raise
        except Exception as error:
            raise _fault(typed, context) from error

    def _entry(self, position: int) -> StoredEntry:
        """Returns an entry, pending or durable. Raises EntryNeeded."""
        if position > self._head.position:
            self.write()
            place, index = self._place_of(position)
            return StoredRound.FromString(self._written[place]).entries[index]
        stored = self._known_entry(position)
        if stored is None:
            raise EntryNeeded(position)
        return stored

    def _is_of(self, position: int, key: str) -> bool:
        """Says whether the entry is of this request, and not of one with the same hash."""
        stored = self._entry(position)
        return request_key(stored.caller, stored.entry.request_id) == key

    def _replay(self, position: int, typed: AnyTyped) -> Outcome:
        """Answers a known request id from its entry (G3)."""
        stored = self._entry(position)
        if position in self._erased_positions:
            # By this very round: in the log, it is marked once the round is there.
            stored = StoredEntry.FromString(stored.SerializeToString())
            mark_erased(stored)
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
        answer = replayed_answer(stored)
        self.size_bytes += len(answer.response)
        return answer


@cache
def _run_fields(runs: Runs) -> PostFields:
    return runs.fields(RUN_TAGS)


def _fault(typed: AnyTyped, context: Context) -> Refused:
    """Deciding changes nothing, so a fault in it is this command's alone (G5)."""
    _log.exception("command_fault", command=typed.field, fault_id=context.id_prefix)
    return Refused(errors_pb2.ERROR_REASON_INTERNAL_FAULT, fault_id=context.id_prefix)
