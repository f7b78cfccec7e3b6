"""What a stopped service left on the disk: read from its files, past every line that serves it."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.storage.v1.storage_pb2 import StoredEntry, StoredRound
from gapless_server.verify.log_files import LogFile
from gapless_server.verify.recount import Recount


def log_path(data: Path, namespace: str) -> Path:
    return data / "namespaces" / f"{namespace}.db"


def stored_entries(data: Path, namespace: str) -> Iterator[StoredEntry]:
    """Yields the entries of a log in the order in which they lie there."""
    with LogFile(log_path(data, namespace)) as log:
        for record in log.rounds():
            yield from StoredRound.FromString(record.data).entries


def breaches(data: Path, namespace: str) -> Sequence[str]:
    """Recounts every promise of a log; returns what is wrong, a sentence each."""
    recount = Recount(Kernel(KINDS))
    with LogFile(log_path(data, namespace)) as log:
        for record in log.rounds():
            recount.observe(record)
    return recount.finish().breaches


def request_counts(data: Path, namespace: str) -> Counter[str]:
    """Returns how many entries there are of each request id."""
    counts = Counter(stored.entry.request_id for stored in stored_entries(data, namespace))
    del counts[""]  # what the service did by itself
    return counts
