"""Makes a golden log: a small one with every kind of event, the same bytes at every run.

``python tools/make_golden_log.py tests/golden/format-1`` reads ``story.jsonl`` there: rounds of
commands, and then queries. It writes ``log.db`` and ``expected.json``: the chain hash, the digest
of the state, and the answers to the queries. Once a version that writes a format is released, its
golden log is never made again: tests hold that later versions read it alike.
"""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path
from typing import Any

from google.protobuf.json_format import MessageToDict, ParseDict
from google.protobuf.message import Message

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT / "client"), str(ROOT / "service")]

from gapless.v1.commands_pb2 import Command  # noqa: E402  (needs the source roots above)
from gapless_server.backup.places import restored_round  # noqa: E402
from gapless_server.core.kernel import Kernel  # noqa: E402
from gapless_server.core.kinds import KINDS  # noqa: E402
from gapless_server.core.paging import PageLimits  # noqa: E402
from gapless_server.core.refusals import Refused  # noqa: E402
from gapless_server.core.state import Moment, State  # noqa: E402
from gapless_server.journal.drafts import DraftLog  # noqa: E402
from gapless_server.journal.memory import MemoryJournalStore  # noqa: E402
from gapless_server.journal.port import Journal, Round  # noqa: E402
from gapless_server.storage.v1.storage_pb2 import StoredRound  # noqa: E402
from gapless_server.writer.clock import LogTime  # noqa: E402
from gapless_server.writer.erasure import Rewriting  # noqa: E402
from gapless_server.writer.requests import RequestIndex  # noqa: E402
from gapless_server.writer.rounds import RoundBuilder  # noqa: E402

START_TIME_US = 1_700_000_000_000_000
MICROSECONDS = 1_000_000
INCARNATION = "00000000000000bb"

Line = dict[str, Any]


class Story:
    """A log that is being told."""

    def __init__(self, journal: Journal) -> None:
        self.kernel = Kernel(KINDS)
        self.state = self.kernel.new_state()
        self._journal = journal
        self._requests = RequestIndex()

    async def tell(self, line: Line) -> None:
        """Adds the round of a line."""
        uptime_us = line["uptime_seconds"] * MICROSECONDS
        time = LogTime(START_TIME_US + uptime_us, uptime_us)
        if "restored_from" in line:
            await self._restore(line["restored_from"], time)
            return
        builder = RoundBuilder(
            self.kernel,
            self.state,
            self._requests,
            self._journal.head,
            time,
            "golden-",
            lambda _: None,
        )
        while builder.expire():
            pass
        for command in line["commands"]:
            outcome = builder.read(ParseDict(command, Command()))
            if not isinstance(outcome, Exception):
                outcome = builder.decide(outcome, line["caller"])
            if isinstance(outcome, Exception):
                raise SystemExit(f"make_golden_log: {command} is refused: {outcome}")
        rewriting = Rewriting(self._journal, builder.erasures)
        record = builder.seal(await rewriting.attested())
        if record is None:
            raise SystemExit(f"make_golden_log: nothing is committed by {line}")
        await self._journal.append_rewriting(record, rewriting.rounds())

    async def _restore(self, incarnation: str, time: LogTime) -> None:
        record = restored_round(self._journal.head, incarnation, time.time_us, time.uptime_us)
        [stored] = StoredRound.FromString(record.data).entries
        moment = Moment(record.first_position, time.time_us, time.uptime_us)
        self.kernel.replay(self.state, stored.entry.events, moment)
        await self._journal.append(record)

    async def rounds(self) -> list[Round]:
        """Returns the log so far."""
        return [record async for record in self._journal.read(1)]


def read_story(folder: Path) -> tuple[list[Line], list[Line]]:
    """Returns the lines with rounds, and those with queries."""
    lines = [json.loads(line) for line in (folder / "story.jsonl").read_text().splitlines()]
    return [line for line in lines if "query" not in line], [
        line for line in lines if "query" in line
    ]


def answers(kernel: Kernel, state: State, now: Moment, queries: list[Line]) -> list[Any]:
    """Returns what a state answers to the queries, each as JSON."""
    types = {request.__name__: request for request in kernel.queries}
    limits = PageLimits(100, 1000)
    found: list[Any] = []
    for query in queries:
        request: Message = ParseDict(query["request"], types[query["query"]]())
        try:
            found.append(MessageToDict(kernel.query(state, request, limits, now)))
        except Refused as refusal:
            raise SystemExit(f"make_golden_log: {query} is refused: {refusal}") from refusal
    return found


def event_counts(rounds: list[Round]) -> dict[str, int]:
    """Counts the events of a log by their types."""
    counts: dict[str, int] = {}
    for record in rounds:
        for stored in StoredRound.FromString(record.data).entries:
            for event in stored.entry.events:
                name = str(event.WhichOneof("event"))
                counts[name] = counts.get(name, 0) + 1
    return dict(sorted(counts.items()))


def moment_of(record: Round) -> Moment:
    """Returns the moment of the last entry of a round."""
    stored = StoredRound.FromString(record.data)
    commit_time = stored.entries[-1].entry.commit_time
    return Moment(record.last_position, commit_time.ToNanoseconds() // 1000, stored.uptime_us)


async def _told(told: list[Line]) -> tuple[Story, list[Round]]:
    story = Story(await MemoryJournalStore().open("golden"))
    for line in told:
        await story.tell(line)
    return story, await story.rounds()


def make(folder: Path) -> Line:
    """Writes the log of a folder, and returns what it is expected to be."""
    told, queries = read_story(folder)
    story, rounds = asyncio.run(_told(told))
    counts = event_counts(rounds)
    known = {event_type.field for event_type in story.kernel.event_types.values()}
    if missing := known - counts.keys():
        raise SystemExit(f"make_golden_log: no such event in the story: {sorted(missing)}")
    path = folder / "log.db"
    path.unlink(missing_ok=True)
    with DraftLog(path) as draft:
        for record in rounds:
            draft.append(record)
        draft.name(INCARNATION)
        draft.finish()
    return {
        "head_position": rounds[-1].last_position,
        "chain_hash": rounds[-1].chain_hash.hex(),
        "state_digest": story.state.digest().hex(),
        "events": counts,
        "answers": answers(story.kernel, story.state, moment_of(rounds[-1]), queries),
    }


def main() -> None:
    folder = Path(sys.argv[1])
    expected = make(folder)
    text = json.dumps(expected, indent=1, ensure_ascii=False, sort_keys=True)
    (folder / "expected.json").write_text(text + "\n")
    print(f"make_golden_log: {folder} ends at position {expected['head_position']}")


if __name__ == "__main__":
    main()
