"""Audits: recounts the promises from the log alone, without the state that serves.

An auditor takes the events in the order of the log and notes what should never have happened. It
shares no code with deciders and tables, so that a fault in those shows up here.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable

from google.protobuf.message import Message

from gapless.v1.events_pb2 import Entry
from gapless_server.core.state import START, Moment
from gapless_server.core.times import from_timestamp

# Enough to see a pattern; a log that is wrong throughout must not fill the memory.
BREACHES_MAX = 1000


class Auditor:
    """Recounts one promise. Notes breaches, at most `BREACHES_MAX`, and goes on."""

    def __init__(self) -> None:
        self._breaches: list[str] = []

    def observe(self, event: Message, moment: Moment) -> None:
        """Takes the next event of the log, of any kind."""
        raise NotImplementedError

    def breach(self, moment: Moment, text: str) -> None:
        """Notes a breach: a sentence that says what and where."""
        if len(self._breaches) < BREACHES_MAX:
            self._breaches.append(f"position {moment.position}: {text}")

    def breaches(self) -> list[str]:
        """Returns what was noted, in the order of the log."""
        return list(self._breaches)


class Audit:
    """Runs auditors over a log, and recounts what all kinds share.

    1. Positions are 1, 2, 3 and so on (G1).
    2. Commit times and uptimes never decrease (G11).
    3. No caller's request id stands in two entries (G3).
    """

    def __init__(self, auditors: Iterable[Callable[[], Auditor]]) -> None:
        self._shared = _LogAuditor()
        self._auditors = [make() for make in auditors]

    def observe(self, entry: Entry, caller: str, uptime_us: int) -> None:
        """Takes the next entry of the log, whose command it was, and the uptime it stands at."""
        moment = Moment(entry.position, from_timestamp(entry.commit_time), uptime_us)
        self._shared.observe_entry(moment, caller, entry.request_id)
        for event in entry.events:
            name = event.WhichOneof("event")
            if name is None:
                self._shared.breach(moment, "holds an event that this version does not know")
                continue
            message = getattr(event, name)
            for auditor in self._auditors:
                auditor.observe(message, moment)

    def breaches(self) -> list[str]:
        """Returns every breach found so far, each as a sentence that says what and where."""
        found = self._shared.breaches()
        for auditor in self._auditors:
            found.extend(auditor.breaches())
        return found


class _LogAuditor(Auditor):
    """What holds for every entry, whatever it says."""

    def __init__(self) -> None:
        super().__init__()
        self._last = START
        self._positions: dict[tuple[str, str], int] = {}

    def observe_entry(self, moment: Moment, caller: str, request_id: str) -> None:
        if moment.position != self._last.position + 1:
            self.breach(moment, f"follows position {self._last.position}")
        if moment.time_us < self._last.time_us:
            self.breach(
                moment,
                f"was committed at {moment.time_us} us, before position"
                f" {self._last.position} at {self._last.time_us} us",
            )
        if moment.uptime_us < self._last.uptime_us:
            self.breach(
                moment,
                f"was committed at an uptime of {moment.uptime_us} us, before position"
                f" {self._last.position} at {self._last.uptime_us} us",
            )
        if request_id:
            first = self._positions.setdefault((caller, request_id), moment.position)
            if first != moment.position:
                self.breach(
                    moment,
                    f"request id {request_id!r} of caller {caller!r}"
                    f" was already used at position {first}",
                )
        self._last = moment
