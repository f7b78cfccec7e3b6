"""What came of a load: counts, latencies, and whether the promises were kept."""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

from gapless_server.load.driver import Post
from gapless_server.load.plan import Load

# How many sentences about broken promises are kept.
BREACHES_KEPT_MAX = 10


@dataclass(slots=True)
class Tally:
    """What one process measured."""

    # Answers within the measured time, and that time.
    posts: int = 0
    seconds: float = 0.0
    # Of each call within the measured time: a post, or a frame.
    latencies_seconds: array[float] = field(default_factory=lambda: array("d"))
    # Of every answer, before and after the measured time too: channel index and sequence.
    channels: array[int] = field(default_factory=lambda: array("q"))
    sequences: array[int] = field(default_factory=lambda: array("q"))
    # Repeats that were answered otherwise than the first time.
    repeats_wrong: list[str] = field(default_factory=list)
    repeats: int = 0


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What all processes together measured."""

    load: Load
    posts: int
    posts_per_second: float
    p50_ms: float
    p99_ms: float
    repeats: int
    breaches: list[str]

    def as_json(self) -> dict[str, Any]:
        """Returns everything, with names and units."""
        load = self.load
        return {
            "load": load.name,
            "processes": load.processes,
            "in_flight": load.in_flight,
            "channels": load.channels,
            "frame_posts": load.frame_posts,
            "seconds": load.seconds,
            "posts": self.posts,
            "posts_per_second": round(self.posts_per_second, 1),
            "p50_ms": round(self.p50_ms, 4),
            "p99_ms": round(self.p99_ms, 4),
            "repeats_checked": self.repeats,
            "breaches": self.breaches,
        }


def total(load: Load, tallies: Sequence[Tally]) -> LoadResult:
    """Adds up what the processes measured, and checks their answers."""
    latencies = sorted(latency for tally in tallies for latency in tally.latencies_seconds)
    return LoadResult(
        load,
        sum(tally.posts for tally in tallies),
        sum(tally.posts / tally.seconds for tally in tallies if tally.seconds),
        percentile(latencies, 50) * 1000,
        percentile(latencies, 99) * 1000,
        sum(tally.repeats for tally in tallies),
        breaches(load, tallies),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """The value that so many percent of the ordered ones do not exceed; 0 of none."""
    if not ordered:
        return 0.0
    return ordered[min(int(len(ordered) * percent / 100), len(ordered) - 1)]


def breaches(load: Load, tallies: Sequence[Tally]) -> list[str]:
    """Says where answers break the promise: sequences 1..n of every channel, each once."""
    given: dict[int, list[int]] = {}
    for tally in tallies:
        for channel, sequence in zip(tally.channels, tally.sequences, strict=True):
            given.setdefault(channel, []).append(sequence)
    found = [breach for tally in tallies for breach in tally.repeats_wrong]
    for channel, sequences in given.items():
        count, largest = len(sequences), max(sequences)
        distinct = len(set(sequences))
        if distinct < count:
            found.append(f"{load.channel_id(channel)}: {count - distinct} given twice")
        if min(sequences) != 1 or largest != distinct:
            found.append(
                f"{load.channel_id(channel)}: {distinct} sequences from {min(sequences)}"
                f" to {largest}, expected 1 to {distinct}"
            )
    return found[:BREACHES_KEPT_MAX]


def check_repeat(tally: Tally, post: Post, first: int, second: int) -> None:
    """Notes whether a repeat was answered as the first time."""
    tally.repeats += 1
    if first != second and len(tally.repeats_wrong) < BREACHES_KEPT_MAX:
        tally.repeats_wrong.append(
            f"{post.request_id}: answered {first}, and {second} when it was repeated"
        )
