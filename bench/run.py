"""Runs the cells side by side: every system's server is up, one at a time is driven, in rounds.

A round goes through all cells once, so that what the machine does meanwhile falls on all of them;
what counts is the median of the rounds.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass, field
from importlib import import_module
from pathlib import Path
from typing import Any, Self

from bench.servers import NotInstalled
from bench.systems import Cell, System
from gapless_server.load.plan import DriverSpec, Load
from gapless_server.load.processes import run_load
from gapless_server.load.tally import LoadResult

# Called with what is run next, and meanwhile.
OnNews = Callable[[str], None]


@dataclass(slots=True)
class Measured:
    """A cell and what its rounds gave."""

    cell: Cell
    results: list[LoadResult] = field(default_factory=list)

    def median(self, name: str) -> float:
        """The median of `posts_per_second`, `p50_ms` or `p99_ms`."""
        return statistics.median(getattr(result, name) for result in self.results)

    @property
    def breaches(self) -> list[str]:
        """What answers broke a promise; a floor makes none."""
        if self.cell.system.is_floor:
            return []
        return [breach for result in self.results for breach in result.breaches]

    def as_json(self) -> dict[str, Any]:
        """The medians, and every round."""
        shape = self.cell.shape
        return {
            "system": self.cell.system.name,
            "processes": shape.processes,
            "in_flight": shape.in_flight,
            "channels": shape.channels,
            "frame_posts": shape.frame_posts,
            "posts_per_second": round(self.median("posts_per_second"), 1),
            "p50_ms": round(self.median("p50_ms"), 4),
            "p99_ms": round(self.median("p99_ms"), 4),
            "breaches": self.breaches,
            "rounds": [result.as_json() for result in self.results],
        }


class Servers:
    """The servers of all systems, started when first asked for, ended together."""

    def __init__(self, directory: Path, environment: Mapping[str, str] | None = None) -> None:
        self._directory = directory
        self._environment = environment or {}
        self._stack = ExitStack()
        self._facts: dict[tuple[str, str], dict[str, object]] = {}
        # Why a peer was left out, by its module.
        self.left_out: dict[str, str] = {}
        self.versions: dict[str, str] = {}

    def facts(self, system: System) -> dict[str, object]:
        """What is known of a system's server, which runs then. Raises NotInstalled."""
        key = (system.peer, system.server)
        if system.peer in self.left_out:
            raise NotInstalled(self.left_out[system.peer])
        if key not in self._facts:
            module = import_module(f"bench.peers.{system.peer}")
            directory = self._directory / f"{system.peer}-{system.server}"
            directory.mkdir()
            try:
                self.versions[system.peer] = module.server_version()
                context = getattr(module, system.server)(directory, self._environment)
                self._facts[key] = self._stack.enter_context(context)
            except NotInstalled as error:
                self.left_out[system.peer] = str(error)
                raise
        return self._facts[key]

    def own_data(self) -> Path:
        """The data directory of gapless."""
        return Path(str(self._facts["ourselves", "server"]["data"]))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_error: object) -> None:
        self._stack.close()


def driver_of(system: System, facts: Mapping[str, object], namespace: str) -> DriverSpec:
    """The driver for one load; ours gets a namespace of its own, to be recounted afterwards."""
    options = {name: facts[name] for name in system.facts} | dict(system.options)
    if system.peer == "ourselves":
        options["namespace"] = namespace
    return DriverSpec(system.driver_path, options)


def run_cell(servers: Servers, cell: Cell, name: str, seconds: float) -> LoadResult:
    """Runs one load. `name` is that of its channels and, with us, of its namespace."""
    shape = cell.shape
    load = Load(
        prefix=name,
        processes=shape.processes,
        in_flight=shape.in_flight,
        channels=shape.channels,
        frame_posts=shape.frame_posts,
        seconds=seconds,
        warm_up_seconds=min(0.3, seconds / 2),
    )
    return run_load(driver_of(cell.system, servers.facts(cell.system), name), load)


def run_cells(
    servers: Servers, cells: Sequence[Cell], rounds: int, seconds: float, on_news: OnNews
) -> list[Measured]:
    """Runs all cells so many times; those of a peer that is not installed are left out."""
    measured = [Measured(cell) for cell in cells]
    for round_number in range(rounds):
        for number, one in enumerate(measured):
            on_news(f"{one.cell.system.name}: {one.cell.shape.in_flight} in flight")
            name = f"r{round_number}c{number}"
            try:
                one.results.append(run_cell(servers, one.cell, name, seconds))
            except NotInstalled:
                continue
    return [one for one in measured if one.results]
