"""Whether a history of operations fits one order, which is that of the log (G4).

1. Commands stand in the order of their positions. None may stand before one that had ended before
   it began: going up the positions, no answer came before the latest beginning so far.
2. Each answer is the one that the model gives there.
3. A read, or a refusal that tells what a thing is like, stands somewhere behind all that had ended
   before it began and before all that began after it had ended, where the thing was like that.
   Each is given the first such place, so that those after it have the most to choose from.
"""

from __future__ import annotations

import heapq
import math
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Iterable, Sequence
from typing import Any

from gapless_server.storage.v1.storage_pb2 import StoredEntry
from tests.reliability.histories import Operation
from tests.reliability.sequential_model import Model, Violated

# Takes the name of what was violated, and the particulars.
Violation = Callable[[str, str], None]


class Checker:
    """Checks one history against its log."""

    def __init__(self, history: Sequence[Operation], violation: Violation) -> None:
        self._history = history
        self._by_request_id = {operation.request_id: operation for operation in history}
        self._violation = violation
        self._model = Model()

    def check(self, log: Iterable[StoredEntry]) -> None:
        """Checks everything; `log` is without what was done before the history began."""
        committed = self._replay(log)
        for operation in self._history:
            position = committed.get(operation.request_id)
            if operation.position and operation.position != position:
                self._violation("answers_lost", f"{operation} stands at {position}")
            if operation.is_called_failed and position is not None:
                self._violation("called_failed_and_done", f"{operation} stands at {position}")
            if operation.refusal and position is not None:
                self._violation("refused_and_done", f"{operation} stands at {position}")
        placed = [(position, self._by_request_id[name]) for name, position in committed.items()]
        self._check_commands(placed)
        self._check_reads(placed)

    def _replay(self, log: Iterable[StoredEntry]) -> dict[str, int]:
        """Runs the log through the model; returns the position of each request id."""
        committed: dict[str, int] = {}
        for stored in log:
            entry = stored.entry
            try:
                if not entry.request_id:
                    self._model.expire(entry.position, entry.events)
                    continue
                if entry.request_id in committed:
                    self._violation("done_twice", f"{entry.request_id}")
                committed[entry.request_id] = entry.position
                self._run(stored)
            except Violated as violated:
                self._violation("wrong_effects", f"position {entry.position}: {violated}")
        return committed

    def _run(self, stored: StoredEntry) -> None:
        position = stored.entry.position
        operation = self._by_request_id[stored.entry.request_id]
        said = operation.answer
        if said is None and operation.kind == "acquire":
            # Nobody was told the token; who comes later must get a larger one all the same.
            said = stored.answer.acquire_lock.lock.fencing_token
        right = self._model.run(position, operation.kind, operation.arguments, said)
        if operation.position and operation.answer != right:
            self._violation("wrong_answers", f"{operation}; right is {right}")

    def _check_commands(self, placed: Sequence[tuple[int, Operation]]) -> None:
        latest = -math.inf
        for position, operation in placed:
            if operation.returned < latest:
                self._violation(
                    "commands_out_of_order", f"{operation} at {position} ended before one began"
                )
            latest = max(latest, operation.invoked)

    def _check_reads(self, placed: Sequence[tuple[int, Operation]]) -> None:
        bounds = _Bounds(placed)
        reads = sorted(
            (operation for operation in self._history if operation.thing is not None),
            key=lambda operation: operation.invoked,
        )
        # When earlier reads ended, and the latest place of those that ended before this one began.
        ended: list[tuple[float, int]] = []
        after_reads = 0
        for read in reads:
            if read.returned == math.inf:
                continue  # it failed, so it saw nothing
            while ended and ended[0][0] < read.invoked:
                after_reads = max(after_reads, heapq.heappop(ended)[1])
            first = max(bounds.first(read.invoked), after_reads)
            assert read.thing is not None
            place = self._model.things[read.thing].first_after(
                first, bounds.last(read.returned), _seen_by(read)
            )
            if place is None:
                self._violation(
                    "reads_out_of_order",
                    f"{read} can not stand from {first} to {bounds.last(read.returned)}",
                )
            else:
                heapq.heappush(ended, (read.returned, place))


class _Bounds:
    """Between which positions an operation stands that has none of its own."""

    def __init__(self, placed: Sequence[tuple[int, Operation]]) -> None:
        by_return = sorted((operation.returned, position) for position, operation in placed)
        self._returned = [returned for returned, _position in by_return]
        self._highest = [0]
        for _returned, position in by_return:
            self._highest.append(max(self._highest[-1], position))
        by_invocation = sorted((operation.invoked, position) for position, operation in placed)
        self._invoked = [invoked for invoked, _position in by_invocation]
        self._lowest: list[float] = [math.inf]
        for _invoked, position in reversed(by_invocation):
            self._lowest.append(min(self._lowest[-1], position))
        self._lowest.reverse()

    def first(self, invoked: float) -> int:
        """The newest position of all that had ended by then."""
        return self._highest[bisect_left(self._returned, invoked)]

    def last(self, returned: float) -> float:
        """The last position before all that began after then."""
        return self._lowest[bisect_right(self._invoked, returned)] - 1


def _seen_by(read: Operation) -> Callable[[Any], bool]:
    """Says whether a thing that is like this is what a read saw."""
    seen = read.answer
    match read.refusal, read.kind:
        case "CONFIG_VERSION_MISMATCH", _:
            return lambda config: (0 if config[1] is None else config[0]) == seen
        case "LOCK_HELD", _:
            return lambda lock: lock is not None and lock[0] == seen
        case "", "read_config":
            return lambda config: (None if config[1] is None else config) == seen
        case _:
            return lambda value: value == seen
