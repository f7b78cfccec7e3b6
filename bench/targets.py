"""What was asked for and what was reached: the rows P1 to P6 out of the cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.run import Measured
from bench.systems import BARE_STREAMS, HOT, MANY, Shape

# A cell is known by its system's name and its shape.
PostsPerSecond = Callable[[Measured], float]


@dataclass(frozen=True, slots=True)
class Target:
    """One row of the table asked / reached; `reached` is None where it was not measured."""

    number: str
    what: str
    # "at least" or "at most".
    bound: str
    asked: float
    reached: float | None
    unit: str = "x"
    detail: str = ""
    # What the bare stream reaches in our place, in its quicker form: what a service that promises
    # and checks nothing is able to here. None where it was not measured, or is no such thing.
    bare: float | None = None

    @property
    def holds(self) -> bool | None:
        """Whether it is reached."""
        if self.reached is None:
            return None
        if self.bound == "at least":
            return self.reached >= self.asked
        return self.reached <= self.asked

    def as_json(self) -> dict[str, Any]:
        """Returns everything."""
        return {**asdict(self), "holds": self.holds}


class Figures:
    """Finds figures among what was measured."""

    def __init__(self, measured: Iterable[Measured]) -> None:
        self._measured = list(measured)

    def best(self, name: str, *shapes: Shape) -> Measured | None:
        """The quickest of the systems whose names begin so, under any of the loads."""
        found = [
            one
            for one in self._measured
            if one.cell.shape in shapes and one.cell.system.name.split(",")[0] == name
        ]
        return max(found, key=lambda one: one.median("posts_per_second"), default=None)

    def bare(self, shape: Shape, name: str = "posts_per_second") -> float | None:
        """The best that a bare stream did under a load: of a rate the largest, else the least."""
        medians = [
            one.median(name)
            for one in self._measured
            if one.cell.shape == shape and one.cell.system in BARE_STREAMS
        ]
        best = max if name == "posts_per_second" else min
        return best(medians, default=None)

    def exactly(self, name: str, shape: Shape) -> Measured | None:
        """The system of just this name under a load."""
        named = [one for one in self._measured if one.cell.system.name == name]
        return next((one for one in named if one.cell.shape == shape), None)


def ratio_target(
    number: str,
    what: str,
    asked: float,
    ours: Measured | None,
    theirs: Measured | None,
    bare: float | None = None,
) -> Target:
    """A row "at least so many times as quick". `bare` are the posts a second of a bare stream."""
    if ours is None or theirs is None:
        return Target(number, what, "at least", asked, None)
    own, other = ours.median("posts_per_second"), theirs.median("posts_per_second")
    detail = f"{own:,.0f}/s against {other:,.0f}/s ({theirs.cell.system.name})"
    reached = own / other if other else None
    bare_reached = bare / other if bare is not None and other else None
    return Target(number, what, "at least", asked, reached, detail=detail, bare=bare_reached)


def throughput_targets(measured: Sequence[Measured]) -> list[Target]:
    """The rows P1 to P6."""
    figures = Figures(measured)
    return [*_p1(figures), *_p2(figures), *_p3(figures), *_p4_p5(figures), *_p6(figures)]


def _p1(figures: Figures) -> list[Target]:
    hot = Shape(1, 128, HOT)
    ours = figures.exactly("gapless, SDK", hot)
    bare = figures.bare(hot)
    sqlite = [Shape(count, 1, HOT) for count in (1, 2, 4)]
    p50 = None if ours is None else ours.median("p50_ms")
    peers = [
        ("Redis, 128 callers", 3, figures.best("Redis", hot)),
        ("UmaDB", 7, figures.best("UmaDB", hot)),
        ("PostgreSQL at its best", 20, figures.best("PostgreSQL", hot)),
        ("etcd", 10, figures.best("etcd", hot)),
        ("plain SQLite at its best", 13, figures.best("plain SQLite", *sqlite)),
    ]
    return [
        *(ratio_target("P1", what, asked, ours, theirs, bare) for what, asked, theirs in peers),
        Target("P1", "p50", "at most", 1.5, p50, "ms", bare=figures.bare(hot, "p50_ms")),
    ]


def _p2(figures: Figures) -> list[Target]:
    own_shape, theirs = Shape(4, 256, MANY), Shape(4, 32, MANY)
    more = (theirs, own_shape, Shape(1, 128, MANY))
    ours, bare = figures.exactly("gapless, SDK", own_shape), figures.bare(own_shape)
    redis, postgres = figures.best("Redis", theirs), figures.best("PostgreSQL", *more)
    return [
        ratio_target("P2", "4 x 256, to Redis 4 x 32", 4, ours, redis, bare),
        ratio_target("P2", "PostgreSQL at its best", 8, ours, postgres, bare),
    ]


def _p3(figures: Figures) -> list[Target]:
    frames = Shape(1, 4, HOT, 1000)
    ours, bare = figures.exactly("gapless, frames by hand", frames), figures.bare(frames)
    redis, postgres = figures.best("Redis", frames), figures.best("PostgreSQL", frames)
    return [
        ratio_target("P3", "Redis, pipelines of 1,000", 2.5, ours, redis, bare),
        ratio_target("P3", "PostgreSQL, arrays of 1,000", 1.5, ours, postgres, bare),
    ]


def _p4_p5(figures: Figures) -> list[Target]:
    few, hot = Shape(1, 16, HOT), Shape(1, 128, HOT)
    ours, redis = figures.exactly("gapless, SDK", few), figures.best("Redis", few)
    rows = [ratio_target("P4", "Redis, 16 callers", 1, ours, redis, figures.bare(few))]
    for shape in (few, hot):
        own, echo = figures.exactly("gapless, unary", shape), figures.exactly("echo, unary", shape)
        rows.append(ratio_target("P5", f"unary echo, {shape.in_flight} in flight", 0.85, own, echo))
    return rows


def _p6(figures: Figures) -> list[Target]:
    one = Shape(1, 1, HOT)
    ours, uma = figures.exactly("gapless, SDK", one), figures.exactly("UmaDB", one)
    echo, sync = figures.exactly("echo, stream", one), figures.exactly("fdatasync", one)
    reached, bare, detail = None, None, ""
    if ours is not None and echo is not None and sync is not None:
        floor = echo.median("p50_ms") + sync.median("p50_ms")
        own, bare_p50 = ours.median("p50_ms"), figures.bare(one, "p50_ms")
        reached, detail = own / floor, f"{own:.2f} ms against {floor:.2f} ms"
        bare = None if bare_p50 is None else bare_p50 / floor
    return [
        Target(
            "P6", "p50 to stream echo + fdatasync", "at most", 1.4, reached, "x", detail, bare=bare
        ),
        ratio_target("P6", "UmaDB, 1 in flight", 1, ours, uma, figures.bare(one)),
    ]
