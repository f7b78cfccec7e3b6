"""What was asked for and what was reached: the rows P1 to P6 out of the cells."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from bench.run import Measured
from bench.systems import HOT, MANY, Shape

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

    def exactly(self, name: str, shape: Shape) -> Measured | None:
        """The system of just this name under a load."""
        named = [one for one in self._measured if one.cell.system.name == name]
        return next((one for one in named if one.cell.shape == shape), None)


def _ratio(
    number: str, what: str, asked: float, ours: Measured | None, theirs: Measured | None
) -> Target:
    """A row "at least so many times as quick"."""
    if ours is None or theirs is None:
        return Target(number, what, "at least", asked, None)
    own, other = ours.median("posts_per_second"), theirs.median("posts_per_second")
    detail = f"{own:,.0f}/s against {other:,.0f}/s ({theirs.cell.system.name})"
    return Target(number, what, "at least", asked, own / other if other else None, detail=detail)


def throughput_targets(measured: Sequence[Measured]) -> list[Target]:
    """The rows P1 to P6."""
    figures = Figures(measured)
    return [*_p1(figures), *_p2(figures), *_p3(figures), *_p4_p5(figures), *_p6(figures)]


def _p1(figures: Figures) -> list[Target]:
    hot = Shape(1, 128, HOT)
    ours = figures.exactly("gapless, SDK", hot)
    sqlite = [Shape(count, 1, HOT) for count in (1, 2, 4)]
    p50 = None if ours is None else ours.median("p50_ms")
    return [
        _ratio("P1", "Redis, 128 callers", 3, ours, figures.best("Redis", hot)),
        _ratio("P1", "UmaDB", 7, ours, figures.best("UmaDB", hot)),
        _ratio("P1", "PostgreSQL at its best", 20, ours, figures.best("PostgreSQL", hot)),
        _ratio("P1", "etcd", 10, ours, figures.best("etcd", hot)),
        _ratio("P1", "plain SQLite at its best", 13, ours, figures.best("plain SQLite", *sqlite)),
        Target("P1", "p50", "at most", 1.5, p50, "ms"),
    ]


def _p2(figures: Figures) -> list[Target]:
    ours = figures.exactly("gapless, SDK", Shape(4, 256, MANY))
    theirs = Shape(4, 32, MANY)
    more = (theirs, Shape(4, 256, MANY), Shape(1, 128, MANY))
    return [
        _ratio("P2", "4 x 256, to Redis 4 x 32", 4, ours, figures.best("Redis", theirs)),
        _ratio("P2", "PostgreSQL at its best", 8, ours, figures.best("PostgreSQL", *more)),
    ]


def _p3(figures: Figures) -> list[Target]:
    frames = Shape(1, 4, HOT, 1000)
    ours = figures.exactly("gapless, frames by hand", frames)
    redis, postgres = figures.best("Redis", frames), figures.best("PostgreSQL", frames)
    return [
        _ratio("P3", "Redis, pipelines of 1,000", 2.5, ours, redis),
        _ratio("P3", "PostgreSQL, arrays of 1,000", 1.5, ours, postgres),
    ]


def _p4_p5(figures: Figures) -> list[Target]:
    few, hot = Shape(1, 16, HOT), Shape(1, 128, HOT)
    ours = figures.exactly("gapless, SDK", few)
    rows = [_ratio("P4", "Redis, 16 callers", 1, ours, figures.best("Redis", few))]
    for shape in (few, hot):
        own, echo = figures.exactly("gapless, unary", shape), figures.exactly("echo, unary", shape)
        rows.append(_ratio("P5", f"unary echo, {shape.in_flight} in flight", 0.85, own, echo))
    return rows


def _p6(figures: Figures) -> list[Target]:
    one = Shape(1, 1, HOT)
    ours, uma = figures.exactly("gapless, SDK", one), figures.exactly("UmaDB", one)
    echo, sync = figures.exactly("echo, stream", one), figures.exactly("fdatasync", one)
    reached, detail = None, ""
    if ours is not None and echo is not None and sync is not None:
        floor = echo.median("p50_ms") + sync.median("p50_ms")
        own = ours.median("p50_ms")
        reached, detail = own / floor, f"{own:.2f} ms against {floor:.2f} ms"
    return [
        Target("P6", "p50 to stream echo + fdatasync", "at most", 1.4, reached, detail=detail),
        _ratio("P6", "UmaDB, 1 in flight", 1, ours, uma),
    ]
