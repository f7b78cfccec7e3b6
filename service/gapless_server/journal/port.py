"""The journal port: what the writer asks of whatever makes its entries durable.

A journal holds rounds. A round is the entries that were committed together, as one block of
bytes that the journal does not look into. The promises, which one contract test holds for every
backend by these numbers:

J1. When `append` returns, the round is durable: it survives a crash of the process, and with a
    backend that says so, a loss of power.
J2. A round is there whole or not at all.
J3. Rounds are given back in the order of their positions, byte for byte as they were appended.
J4. A round that does not begin right after the head is refused with `ValueError`; nothing is kept.
J5. If `append` raises `OutcomeUnknown`, the round may or may not be there after a new start; the
    journal takes no further round.
    If it raises `NotKept`, nothing was kept, and the same round may be tried again.
J6. One journal at a time has a log open; a second is refused with `OwnedElsewhere`, which names
    the owner.
J7. A log comes into being with its first round: opening and reading one that is not there
    leaves nothing behind.
J8. `append_rewriting` keeps a round and rewrites others in one step (J2); the chain stays as it is.
"""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator
from typing import TYPE_CHECKING, NamedTuple, Protocol

if TYPE_CHECKING:
    from gapless_server.journal.copies import LogCopy

# What stands before the first link of every chain.
CHAIN_START = bytes(32)


class Round(NamedTuple):
    """The entries that are committed together.

    `chain_hash` covers this round and, through the hash before it, all earlier ones.
    `data_digest` is None, or the digest of the data that was committed, where some of it was
    erased since: the chain is made of that one for ever, and a later round says what the data is.
    """

    first_position: int
    last_position: int
    data: bytes
    chain_hash: bytes
    data_digest: bytes | None = None

    @property
    def committed_digest(self) -> bytes:
        """The digest of the data as it was committed."""
        return digest_of(self.data) if self.data_digest is None else self.data_digest

    def follows(self, before: Head) -> bool:
        """Whether this round is the next link of the chain after a head."""
        return self.first_position == before.position + 1 and self.chain_hash == link(
            before.chain_hash, self.first_position, self.last_position, self.committed_digest
        )


class Head(NamedTuple):
    """The newest durable position of a log, 0 if it is empty, and the chain's hash there."""

    position: int
    chain_hash: bytes


EMPTY_HEAD = Head(0, CHAIN_START)


def digest_of(data: bytes) -> bytes:
    """Returns the digest of a round's data: BLAKE2b, 32 bytes."""
    return hashlib.blake2b(data, digest_size=32).digest()


def link(before: bytes, first_position: int, last_position: int, digest: bytes) -> bytes:
    """Returns the chain hash of a round: BLAKE2b, 32 bytes.

    The data enters as its digest, so that a link can be checked without the data.
    """
    numbers = first_position.to_bytes(8, "big") + last_position.to_bytes(8, "big")
    return hashlib.blake2b(before + numbers + digest, digest_size=32).digest()


def next_round(before: Head, last_position: int, data: bytes) -> Round:
    """Returns the round that follows a head."""
    first_position = before.position + 1
    chain_hash = link(before.chain_hash, first_position, last_position, digest_of(data))
    return Round(first_position, last_position, data, chain_hash)


class JournalError(Exception):
    """A log cannot be opened, read or written; the text says which, why and what to do."""


class OwnedElsewhere(JournalError):
    """Another process has the log open."""


class Corrupt(JournalError):
    """What is stored is not what was written; it is not served."""


class OutcomeUnknown(JournalError):
    """A commit failed in a way that leaves open whether it is durable."""


class NotKept(JournalError):
    """Nothing of the round is kept, for a reason that may pass."""


class NoRoom(NotKept):
    """There is no room for the round: nothing of it is kept."""


class NotSupported(JournalError):
    """What was asked for is not for this journal."""


class Journal(Protocol):
    """One open log. Its methods are called from one task at a time, except `read`."""

    @property
    def incarnation(self) -> str:
        """The random name of this history of the log."""
        ...

    @property
    def head(self) -> Head:
        """The newest durable position."""
        ...

    async def append(self, record: Round) -> None:
        """Makes a round durable (J1, J2, J4, J5)."""
        ...

    erasure_pending: bool
    """Whether what rewriting took out of rounds may still lie in pages that nothing refers to."""

    async def append_rewriting(self, record: Round, rewritten: AsyncIterator[Round]) -> None:
        """Makes a round durable as `append` does and, in the same step, others of before.

        Those of `rewritten` are in the log already, with their `data` as it is from now on and the
        digest of what was committed; they may be read from this journal meanwhile. Whatever error
        is raised for one of them, nothing is changed. Sets `erasure_pending`, durably.
        """
        ...

    async def scrub(self) -> bool:
        """Overwrites pages of the log that nothing refers to.

        Returns False if that has to wait for a reader.
        """
        ...

    async def end_erasure(self, position: int) -> None:
        """Clears `erasure_pending`, durably, unless an entry after `position` has erased more."""
        ...

    def has_room(self) -> bool:
        """Says whether an append has a chance, after one raised `NoRoom`."""
        ...

    def read(self, from_position: int) -> AsyncIterator[Round]:
        """Yields the rounds from the one that holds `from_position` on, up to the head (J3).

        May run beside `append`. Raises `Corrupt` where the bytes are damaged.
        """
        ...

    async def close(self) -> None:
        """Gives the log free for another owner."""
        ...


class JournalStore(Protocol):
    """All logs of a service, by the name of their namespace."""

    name: str
    version: str

    def announce(self, address: str) -> None:
        """Tells a second process, which is refused (J6), where this one serves."""
        ...

    async def open(self, namespace: str) -> Journal:
        """Opens a log, there or not (J6, J7)."""
        ...

    def exists(self, namespace: str) -> bool:
        """Says whether the log has ever had a round."""
        ...

    def namespaces(self) -> list[str]:
        """Returns the names of the logs that exist, sorted."""
        ...

    async def copy(self, namespace: str) -> LogCopy:
        """Returns a copy of a log that is open here, as of a moment after the call.

        Raises NotSupported or JournalError.
        """
        ...

    async def close(self) -> None:
        """Gives the whole store free for another owner. Every journal is closed before."""
        ...
