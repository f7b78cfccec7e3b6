"""The recount of one log: takes its rounds one after another and says what is wrong with them.

1. Rounds hold the positions 1, 2, 3 and so on, each once (G1).
2. Every round's hash is that of its bytes and of all rounds before it (G8). Where content was
   erased, the bytes are those that a later round says.
3. The entries keep what the audits of every kind recount: sequences, request ids, times and the
   rest (G1, G3, G11).
4. Every command's entry holds the answer to give when it comes again (G3).
5. The chain has the hashes that somebody was told before, at the positions told with them.
6. The checkpoint, if one is given, has the rows and the request ids that the log gives up to where
   it stands (G3, G10).
7. Replayed through the core, the log gives a state with the heads and counts that its events add
   up to (G10).
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass

from google.protobuf.message import DecodeError

from gapless_server.core.audit import BREACHES_MAX
from gapless_server.core.kernel import Kernel
from gapless_server.core.state import Moment
from gapless_server.core.times import from_timestamp
from gapless_server.journal.port import EMPTY_HEAD, Head, Round
from gapless_server.journal.reading import is_round
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.verify.checkpoint_files import CheckpointFile
from gapless_server.verify.heads import HeadCount
from gapless_server.verify.log_files import LogFile
from gapless_server.writer.erasure import Attestations
from gapless_server.writer.requests import RequestIndex, request_key


@dataclass(frozen=True, slots=True)
class Result:
    """What a recount found."""

    round_count: int
    entry_count: int
    event_count: int
    head: Head
    """The last position, and the hash that stands there."""
    head_time_us: int
    """When it was committed, in microseconds since the Unix epoch; 0 for an empty log."""
    head_uptime_us: int
    """For how long the log had been served then."""
    breaches: tuple[str, ...]
    """What is wrong and where, a sentence each; none for a good log."""

    @property
    def holds(self) -> bool:
        """Whether every promise holds."""
        return not self.breaches


class Recount:
    """Recounts one log. Goes on after a breach, to find all of them.

    `expected` are heads that the log had before, as GetNamespace or a backup told them.
    """

    def __init__(self, kernel: Kernel, expected: Iterable[Head] = ()) -> None:
        self._expected = {head.position: head.chain_hash for head in expected}
        self._kernel = kernel
        self._audit = kernel.new_audit()
        self._heads = HeadCount()
        self._attestations = Attestations()
        self._state = kernel.new_state()
        # A state on top of a fault says nothing more, so the replay ends with the first one.
        self._replays = True
        self._head = EMPTY_HEAD
        # That of the newest round which was committed meanwhile.
        self._later_head: Head | None = None
        self._head_time_us = 0
        self._uptime_us = 0
        self._round_count = self._entry_count = self._event_count = 0
        self._breaches: list[str] = []
        self._checkpoint: CheckpointFile | None = None
        self._checkpoint_at = EMPTY_HEAD
        self._checkpoint_differences: list[str] = []
        self._requests = RequestIndex()

    def compare(self, checkpoint: CheckpointFile, incarnation: str) -> None:
        """Compares a checkpoint with the log, too; before any round is taken."""
        self._breaches += checkpoint.faults
        at = checkpoint.at(incarnation)
        if at is not None and at.head.position:
            self._checkpoint, self._checkpoint_at = checkpoint, at.head
            self.expect(at.head)

    def expect(self, head: Head) -> None:
        """Adds a head that the log had before; before any round is taken."""
        self._expected.setdefault(head.position, head.chain_hash)

    def observe_log(self, log: LogFile) -> Iterator[int]:
        """Takes all rounds of a log, which may go on meanwhile; yields how far it has come."""
        for record in log.rounds():
            self.observe(record)
            yield self._head.position
        for record in log.later_rounds():
            self._observe_later(record)

    def observe(self, record: Round) -> None:
        """Takes the next round of the log."""
        if not is_round(record):
            self._breach(f"the round after position {self._head.position}: its row is damaged")
            self._replays = False
            return
        self._check_chain(record)
        if self._expected:
            self._check_expected(record)
        self._head = Head(record.last_position, record.chain_hash)
        self._round_count += 1
        try:
            stored_round = StoredRound.FromString(record.data)
        except DecodeError as error:
            self._breach(f"{_named(record)}: the bytes are not those of a round ({error})")
            self._replays = False
            return
        self._attestations.observe(record, stored_round)
        entries = stored_round.entries
        self._uptime_us = stored_round.uptime_us
        positions = [stored.entry.position for stored in entries]
        # Made of the entries: a damaged row may claim any number of positions.
        held = range(record.first_position, record.first_position + len(positions))
        if record.last_position != held.stop - 1 or positions != list(held):
            self._breach(f"{_named(record)}: the round holds other positions, {_listed(positions)}")
            self._replays = False
        for stored in entries:
            try:
                self._observe_entry(stored)
            except Exception as error:  # whatever bytes that are not those of an entry bring about
                self._replays = False
                self._breach(
                    f"position {stored.entry.position}: cannot be recounted"
                    f" ({type(error).__name__}: {error})"
                )
        if self._checkpoint is not None and self._replays:
            self._compare_checkpoint(stored_round)

    def _observe_later(self, record: Round) -> None:
        """Takes a round that was committed since the first was taken.

        It may have erased from those that were taken; everything else in it is another recount's.
        """
        before = self._later_head or self._head
        if not is_round(record) or not record.follows(before):
            return
        self._later_head = Head(record.last_position, record.chain_hash)
        try:
            stored_round = StoredRound.FromString(record.data)
        except DecodeError:
            return
        self._attestations.observe_later(stored_round)
        self._forgive_what_is_erased(stored_round)

    def state_digest(self) -> bytes:
        """Returns a hash of the state that the log gives: equal for equal logs, on any machine.

        Takes time and memory in proportion to the state.
        """
        return self._state.digest()

    def finish(self) -> Result:
        """Returns what was found, after the last round."""
        breaches = self._breaches + self._checkpoint_differences + self._audit.breaches()
        breaches += [
            f"position {position}: the round was rewritten, and is not what the log says since"
            for position in self._attestations.wrong()
        ]
        breaches += [
            f"position {position}: expected with chain hash {chain_hash.hex()}, but the log ends at"
            f" position {self._head.position}"
            for position, chain_hash in self._expected.items()
        ]
        if self._replays:
            breaches += self._heads.differences(self._kernel, self._state)
        return Result(
            self._round_count,
            self._entry_count,
            self._event_count,
            self._head,
            self._head_time_us,
            self._uptime_us,
            tuple(breaches),
        )

    def _compare_checkpoint(self, stored_round: StoredRound) -> None:
        assert self._checkpoint is not None
        if self._head == self._checkpoint_at:
            self._checkpoint_differences = self._checkpoint.differences(self._state, self._requests)
        else:
            self._forgive_what_is_erased(stored_round)

    def _forgive_what_is_erased(self, stored_round: StoredRound) -> None:
        """What was erased since is still in the checkpoint, while the erasure is pending."""
        position = self._checkpoint_at.position
        if any(rewritten.first_position <= position for rewritten in stored_round.rewritten):
            self._checkpoint_differences = []

    def _check_chain(self, record: Round) -> None:
        before = self._head.position
        if record.first_position != before + 1 or record.last_position < record.first_position:
            self._replays = False
            if record.first_position > before + 1:
                missing = _positions(before + 1, record.first_position - 1)
                self._breach(f"{missing} missing: the next round is {_named(record)}")
            else:
                self._breach(f"{_named(record)}: the round before ends at position {before}")
            return
        if not record.follows(self._head):
            self._breach(
                f"{_named(record)}: the hash is not that of these bytes after position {before};"
                " they were changed, or what stands before them was"
            )

    def _check_expected(self, record: Round) -> None:
        held = range(record.first_position, record.last_position + 1)
        for position in [position for position in self._expected if position in held]:
            expected = self._expected.pop(position)
            if position != record.last_position:
                self._breach(f"position {position}: expected as a head; {_named(record)} are one")
            elif record.chain_hash != expected:
                self._breach(
                    f"position {position}: the chain hash is {record.chain_hash.hex()}, expected"
                    f" was {expected.hex()}; this is not the log that it was told of"
                )

    def _observe_entry(self, stored: StoredEntry) -> None:
        entry = stored.entry
        self._entry_count += 1
        self._event_count += len(entry.events)
        self._head_time_us = from_timestamp(entry.commit_time)
        self._audit.observe(entry, stored.caller, self._uptime_us)
        if entry.request_id and stored.answer.WhichOneof("result") is None:
            self._breach(f"position {entry.position}: a command without the answer that it got")
        if not self._replays:
            return
        if self._checkpoint is not None and entry.request_id:
            self._requests.put(request_key(stored.caller, entry.request_id), entry.position)
        moment = Moment(entry.position, self._head_time_us, self._uptime_us)
        self._heads.observe(entry)
        try:
            self._kernel.replay(self._state, entry.events, moment)
        except Exception as error:  # whatever a wrong event may bring about
            self._replays = False
            self._breach(
                f"position {entry.position}: cannot be applied to the state that the log gives"
                f" before it ({type(error).__name__}: {error})"
            )

    def _breach(self, text: str) -> None:
        if len(self._breaches) < BREACHES_MAX:
            self._breaches.append(text)


def _positions(first: int, last: int) -> str:
    return f"position {first} is" if first == last else f"positions {first} to {last} are"


def _named(record: Round) -> str:
    return f"positions {record.first_position} to {record.last_position}"


def _listed(positions: list[int]) -> str:
    if not positions:
        return "none at all"
    return f"{len(positions)} from {positions[0]} to {positions[-1]}"
