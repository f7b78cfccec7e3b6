"""The promises, checked against all that clients were told and all that was ever on the disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Final

from gapless.v1.events_pb2 import Entry
from gapless_server.core.times import MICROSECONDS
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.verify.recount import Recount
from tests.reliability.simulation.commands import BATCH
from tests.reliability.simulation.disk import History
from tests.reliability.simulation.records import Command, HeadRead, Records, Watched
from tests.reliability.simulation.service import KERNEL

# What must not happen, by the promise that it would break.
LOG_BROKEN: Final = "G1 G3 G10 G11 breaches in the log"
LOST: Final = "G2 shown and not in the log"
ANSWERS_DIFFER: Final = "G3 other answer than the log's"
ORDER: Final = "G4 out of order"
TORN: Final = "G5 torn batches"
WATCH: Final = "G6 watches with holes or doubles"
REFUSED: Final = "G8 called failed and in the log"
STATE: Final = "G10 state unlike its log"
TIME: Final = "G11 uptime ahead of true time"
TOKENS: Final = "fencing tokens that went back"
NOT_LIVE: Final = "not live"
FAULT: Final = "fault"
TRACE: Final = "G10 traces that differ"
PROMISED: Final = (
    LOG_BROKEN, LOST, ANSWERS_DIFFER, ORDER, TORN, WATCH, REFUSED, STATE, TIME, TOKENS, NOT_LIVE,
    FAULT, TRACE,
)  # fmt: skip

Breach = tuple[str, str]

_BATCH_EVENTS: Final = ["message_posted", "config_set", "transfer_made"]


class Log:
    """One incarnation of the log, read."""

    def __init__(self, history: History) -> None:
        self.history = history
        rounds = [StoredRound.FromString(record.data) for record in history.rounds]
        self.uptimes_us = [stored.uptime_us for stored in rounds]
        self.entries: list[StoredEntry] = [entry for each in rounds for entry in each.entries]

    @cached_property
    def recount(self) -> Recount:
        """Every round of it, recounted."""
        recount = Recount(KERNEL)
        for record in self.history.rounds:
            recount.observe(record)
        return recount

    @cached_property
    def by_request(self) -> dict[tuple[str, str], StoredEntry]:
        """The entries by caller and request id."""
        return {(stored.caller, stored.entry.request_id): stored for stored in self.entries}

    def at(self, position: int) -> StoredEntry | None:
        """Returns the entry at a position, or None."""
        return self.entries[position - 1] if 0 < position <= len(self.entries) else None

    def durable_time(self, position: int) -> float:
        """Returns when the entry at a position became durable."""
        return self.history.durable_times[self.history.index_of(position)]

    def of(self, command: Command) -> StoredEntry | None:
        """Returns the entry of a command, or None."""
        return self.by_request.get((command.caller, command.request_id))


@dataclass(frozen=True)
class Evidence:
    """What a world has left behind."""

    records: Records
    histories: Sequence[History]
    # Every message that any client sent, as often as the network had it.
    requests: Sequence[bytes]
    start_times: Sequence[float]
    state_digest: bytes
    # Whether the clock of the machine was left alone, as restores have to rely on it.
    tokens_comparable: bool

    @cached_property
    def logs(self) -> list[Log]:
        """Every incarnation, read."""
        return [Log(history) for history in self.histories]

    def logs_of(self, first: int, last: int) -> list[Log]:
        """Returns the incarnations that something may have been told of."""
        return self.logs[first : last + 1]


def breaches(evidence: Evidence) -> Iterator[Breach]:
    """Yields every promise that was broken, and what shows it."""
    checks: list[Callable[[Evidence], Iterator[Breach]]] = [
        _logs, _answers, _refusals, _order, _reads, _batches, _watches, _time, _tokens,
    ]  # fmt: skip
    for check in checks:
        yield from check(evidence)


def _logs(evidence: Evidence) -> Iterator[Breach]:
    for log in evidence.logs:
        for breach in log.recount.finish().breaches:
            yield LOG_BROKEN, breach
    if evidence.logs[-1].recount.state_digest() != evidence.state_digest:
        yield STATE, "the state that is served is not what a replay of the log gives"


def _answers(evidence: Evidence) -> Iterator[Breach]:
    """What was answered is in the log, and the answer is the one that is kept there (G2, G3)."""
    for command in evidence.records.commands:
        if command.response is None:
            continue
        logs = evidence.logs_of(command.first_history, command.last_history)
        position = command.response.receipt.position
        found = [stored for log in logs if (stored := log.at(position))]
        of_it = [stored for stored in found if _is_of(stored, command)]
        if not of_it:
            yield LOST, f"{command}: not at position {position}"
        elif all(log.durable_time(position) > command.returned for log in logs if log.at(position)):
            yield LOST, f"{command}: it was not durable then"
        elif not any(_answers_alike(stored, command) for stored in of_it):
            yield ANSWERS_DIFFER, f"{command}: {command.response}, the log has {of_it}"


def _is_of(stored: StoredEntry, command: Command) -> bool:
    return (stored.caller, stored.entry.request_id) == (command.caller, command.request_id)


def _answers_alike(stored: StoredEntry, command: Command) -> bool:
    receipt = command.response.receipt
    if receipt.commit_time != stored.entry.commit_time:
        return False
    if stored.erased or isinstance(command.response, _batch_type()):
        return True
    answer = getattr(stored.answer, str(stored.answer.WhichOneof("result")))
    response = type(answer)()
    response.CopyFrom(command.response)
    response.ClearField("receipt")
    return bool(response == answer)


def _batch_type() -> Any:
    from gapless._async._batch import AsyncBatch

    return AsyncBatch


def _refusals(evidence: Evidence) -> Iterator[Breach]:
    """What was refused in earnest has not happened (G8).

    A refusal is not remembered: of a request that came twice, one may be refused and the other
    done. So this holds for those that had one caller, and that the network had once.
    """
    callers = Counter(command.request_id for command in evidence.records.commands)
    for command in evidence.records.commands:
        if command.refusal is None or callers[command.request_id] > 1:
            continue
        for log in evidence.logs_of(command.first_history, command.last_history):
            stored = log.of(command)
            if stored is None:
                continue
            name = command.request_id.encode()
            if sum(1 for request in evidence.requests if name in request) == 1:
                yield REFUSED, f"{command}: at position {stored.entry.position}"


def _order(evidence: Evidence) -> Iterator[Breach]:
    """No command stands before one that had returned when it was called (G4)."""
    for number in range(len(evidence.logs)):
        answered = [
            command
            for command in evidence.records.commands
            if command.response is not None
            and command.first_history == command.last_history == number
        ]
        answered.sort(key=lambda command: command.response.receipt.position)
        latest = 0.0
        for command in answered:
            if command.returned < latest:
                yield ORDER, f"{command}: behind one that was called at {latest:.6f}"
            latest = max(latest, command.invoked)


def _reads(evidence: Evidence) -> Iterator[Breach]:
    """A read shows all that was answered before it (G4), and nothing that is not kept (G2)."""
    for read in evidence.records.heads:
        logs = evidence.logs_of(read.first_history, read.last_history)
        if all(read.head_sequence > _channel_head(log, read.channel_id) for log in logs):
            yield LOST, f"{read}"
        if len(logs) > 1:
            continue
        if missed := _missed(evidence, logs[0], read):
            yield ORDER, f"{read}: does not show {missed}"
        if (time := _time_shown(logs[0], read)) > read.returned:
            yield LOST, f"{read}: what it showed was durable at {time:.6f}"


def _time_shown(log: Log, read: HeadRead) -> float:
    """Returns when the newest that a read showed became durable."""
    for stored in log.entries:
        if read.head_sequence and _sequence(stored.entry, read.channel_id) == read.head_sequence:
            return log.durable_time(stored.entry.position)
    return 0.0


def _channel_head(log: Log, channel_id: str) -> int:
    sequences = [_sequence(stored.entry, channel_id) for stored in log.entries]
    return max(sequences, default=0)


def _sequence(entry: Entry, channel_id: str) -> int:
    """Returns the sequence in the channel that an entry gave, or 0."""
    for event in entry.events:
        name = event.WhichOneof("event")
        if name in ("message_posted", "reply_posted"):
            posted = getattr(event, name)
            if posted.channel_id == channel_id:
                return int(posted.sequence)
    return 0


def _missed(evidence: Evidence, log: Log, read: HeadRead) -> Command | None:
    """Returns a command that was answered before a read which does not show it, or None."""
    for command in evidence.records.commands:
        if command.response is None or command.returned > read.invoked:
            continue
        if (command.first_history, command.last_history) != (read.first_history,) * 2:
            continue  # a restore may have dropped it, and a late twin brought it again
        stored = log.of(command)
        if stored and _sequence(stored.entry, read.channel_id) > read.head_sequence:
            return command
    return None


def _batches(evidence: Evidence) -> Iterator[Breach]:
    """All of a batch is in one entry (G5)."""
    for command in evidence.records.commands:
        if command.kind != BATCH:
            continue
        for log in evidence.logs:
            stored = log.of(command)
            if stored is None:
                continue
            names = [event.WhichOneof("event") for event in stored.entry.events]
            if names != _BATCH_EVENTS:
                yield TORN, f"{command}: {names}"


def _watches(evidence: Evidence) -> Iterator[Breach]:
    """A watch shows every entry of its filter once, in order, as the log has it (G6)."""
    for watched in evidence.records.watches:
        logs = evidence.logs[watched.history :]
        if all(_differs(watched, log) for log in logs):
            shown = [entry.position for entry in watched.entries]
            yield WATCH, f"{watched.name} saw {shown}; {_differs(watched, logs[-1])}"


def _differs(watched: Watched, log: Log) -> str:
    """Says where a watch differs from a log, if it does."""
    channel_id = watched.channel_id
    entries = [stored.entry for stored in log.entries]
    if channel_id is not None:
        entries = [entry for entry in entries if _is_about(entry, channel_id)]
    if len(watched.entries) > len(entries):
        return f"the log has {len(entries)} entries, seen were {len(watched.entries)}"
    for seen, entry in zip(watched.entries, entries, strict=False):
        if seen.position != entry.position:
            return f"saw {seen.position}, expected {entry.position}"
        if (seen.request_id, seen.commit_time) != (entry.request_id, entry.commit_time):
            return f"position {entry.position} is another entry"
        if channel_id is None and len(seen.events) != len(entry.events):
            return f"position {entry.position} has {len(entry.events)} events"
    return ""


def _is_about(entry: Entry, channel_id: str) -> bool:
    return any(
        getattr(getattr(event, str(event.WhichOneof("event"))), "channel_id", "") == channel_id
        for event in entry.events
    )


def _time(evidence: Evidence) -> Iterator[Breach]:
    """Uptime, by which locks expire, is never ahead of how long the log was served (G11).

    The log alone shows that nothing expired early in uptime; that is part of the recount.
    """
    for log in evidence.logs:
        base_us, started, newest_us = 0, 0.0, 0
        for now, uptime_us in zip(log.history.times, log.uptimes_us, strict=True):
            start = max(time for time in evidence.start_times if time <= now)
            if start > started:
                base_us, started = newest_us, start
            served_us = (now - started) * MICROSECONDS
            if uptime_us > base_us + served_us + 2:
                yield TIME, f"{uptime_us} us, after {base_us} us and {served_us:.0f} us more"
            newest_us = uptime_us


def _tokens(evidence: Evidence) -> Iterator[Breach]:
    """Fencing tokens grow over a restore as well, as far as clocks can be relied on."""
    if not evidence.tokens_comparable:
        return
    newest = 0
    for log in evidence.logs:
        since = log.history.restored_position
        tokens = [
            event.lock_acquired.fencing_token
            for stored in log.entries[since:]
            for event in stored.entry.events
            if event.HasField("lock_acquired")
        ]
        if tokens and min(tokens) <= newest:
            yield TOKENS, f"{min(tokens)} after {newest}"
        newest = max([newest, *tokens])
