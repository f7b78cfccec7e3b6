"""What clients were told, against what the log has in the end."""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from pathlib import Path

from gapless.v1.events_pb2 import Event
from gapless_server.storage.v1.storage_pb2 import StoredEntry
from gapless_server.writer.entries import result_of
from tests.reliability.harness import Run
from tests.reliability.stored_logs import stored_entries
from tests.scenarios.busy_clients import Acknowledged, Report, without_receipt

# What must not happen to a service that is killed (scenario C4).
PROMISED = ["lost", "gaps", "twice", "never_acknowledged", "refused_and_done", "watches_wrong"]


def events_of(entries: Sequence[StoredEntry]) -> Iterator[Event]:
    for stored in entries:
        yield from stored.entry.events


def gaps(entries: Sequence[StoredEntry]) -> list[str]:
    """Names every place where a number is missing, comes twice, or is out of order."""
    numbers: defaultdict[str, list[int]] = defaultdict(list)
    numbers["positions"] = [stored.entry.position for stored in entries]
    for event in events_of(entries):
        match event.WhichOneof("event"):
            case "message_posted":
                posted = event.message_posted
                numbers[f"channel {posted.channel_id}"].append(posted.sequence)
            case "reply_posted":
                reply = event.reply_posted
                thread = f"thread {reply.channel_id} {reply.parent_message_id}"
                numbers[thread].append(reply.thread_sequence)
    return [name for name, given in numbers.items() if given != list(range(1, len(given) + 1))]


def is_in(log: dict[int, StoredEntry], command: Acknowledged) -> bool:
    """Whether the log has a command where its answer said, with what its answer said."""
    stored = log.get(command.position)
    if stored is None or stored.entry.request_id != command.request_id:
        return False
    if bool(stored.entry.events) != command.changed:
        return False
    if not command.answer:
        return True
    result = result_of(stored, replayed=False)
    return without_receipt(getattr(result, str(result.WhichOneof("result")))) == command.answer


def compare(
    run: Run, data: Path, namespace: str, reports: Sequence[Report], prepared: int, head: int
) -> None:
    """Counts what came of it; `prepared` commands were sent before, watches came to `head`."""
    entries = list(stored_entries(data, namespace))
    log = {stored.entry.position: stored for stored in entries}
    times = Counter(stored.entry.request_id for stored in entries if stored.entry.request_id)
    acknowledged = [command for report in reports for command in report.acknowledged]
    run.count("entries", len(entries))
    run.count("acknowledged", len(acknowledged))
    run.count("answers_from_a_second_attempt", sum(one.replayed for one in acknowledged))
    run.count("refused", sum(len(report.refused) for report in reports))
    for command in acknowledged:
        if not is_in(log, command):
            run.violation("lost", f"{command}: the log has {log.get(command.position)}")
    for name in gaps(entries):
        run.violation("gaps", name)
    for request_id, count in times.items():
        if count > 1:
            run.violation("twice", f"{request_id} is there {count} times")
    if unanswered := len(times) - len(acknowledged) - prepared:
        run.violation("never_acknowledged", f"{unanswered} commands", abs(unanswered))
    for request_id in (refused for report in reports for refused in report.refused):
        if request_id in times:
            run.violation("refused_and_done", request_id)
    shown = [(stored.entry.position, stored.entry.request_id) for stored in entries[:head]]
    for report in reports:
        if report.watched[:head] != shown:
            run.violation("watches_wrong", f"{len(report.watched)} entries were watched")
