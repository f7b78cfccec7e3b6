"""Writes what was measured: JSON with everything, and the tables in Markdown."""

from __future__ import annotations

import json
import os
import platform
import sys
import time
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from bench.run import Measured
from bench.servers import file_system
from bench.targets import Target

# So much of the processors' time may others take, and for so long it is looked at.
BUSY_SHARE_MAX = 0.25
LOOK_SECONDS = 1.0

BUSY = (
    "**The machine was busy with something else**: figures are too low, and ratios are those of"
    " systems that fight for the processor. Run it again on a machine that is idle."
)


@dataclass(slots=True)
class Report:
    """Everything of one run."""

    settings: Mapping[str, Any]
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    left_out: Mapping[str, str]
    measured: Sequence[Measured]
    targets: Sequence[Target]
    recounted: Mapping[str, Any]
    sections: Mapping[str, Any] = field(default_factory=dict)

    def as_json(self) -> dict[str, Any]:
        """Returns everything, with names and units."""
        return {
            "time": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": self.machine,
            "settings": self.settings,
            "versions": self.versions,
            "left_out": self.left_out,
            "targets": [target.as_json() for target in self.targets],
            "recounted": self.recounted,
            **self.sections,
            "cells": [one.as_json() for one in self.measured],
        }

    def as_markdown(self) -> str:
        """Returns the tables that people read."""
        parts = [
            "# What was measured",
            _pairs(self.machine),
            _pairs(self.settings),
            "Versions: " + "; ".join(self.versions.values()),
        ]
        if is_busy(self.machine):
            parts.append(BUSY)
        parts += [f"Left out: {peer}: {why}" for peer, why in self.left_out.items()]
        entries, breaches = self.recounted["entries"], self.recounted["breaches"]
        parts.append(f"Recounted: {entries:,} entries of ours, {len(breaches)} broken promises.")
        parts += ["## Asked and reached", target_table(self.targets)]
        if self.measured:
            parts += ["## All figures", cell_table(self.measured)]
        return "\n\n".join(parts) + "\n"

    def write(self, directory: Path, name: str) -> None:
        """Writes both, as `name`.json and `name`.md."""
        directory.mkdir(parents=True, exist_ok=True)
        text = json.dumps(self.as_json(), indent=1)
        (directory / f"{name}.json").write_text(f"{text}\n", encoding="utf-8")
        (directory / f"{name}.md").write_text(self.as_markdown(), encoding="utf-8")


def is_busy(found: Mapping[str, Any]) -> bool:
    """Whether something else was running on the machine."""
    return float(found["busy_share_before"]) > BUSY_SHARE_MAX


def machine(directory: Path) -> dict[str, Any]:
    """What was measured on. `directory` is where the systems' files lay."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "system": f"{platform.system()} {platform.release()}",
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(memory, 1),
        "file_system": file_system(directory),
        "python": platform.python_version(),
        "busy_share_before": _busy_share(),
    }


def _busy_share() -> float:
    """The part of the processors' time that others take now.

    The load average would count what came before, as setting up the very benchmark.
    """
    if sys.platform != "linux":
        return min(1.0, os.getloadavg()[0] / (os.cpu_count() or 1))
    first = _processor_seconds()
    time.sleep(LOOK_SECONDS)
    busy, idle = (now - before for before, now in zip(first, _processor_seconds(), strict=True))
    return round(busy / (busy + idle), 2)


def _processor_seconds() -> tuple[float, float]:
    """How long all processors were busy and idle since the start, in the kernel's ticks."""
    line = Path("/proc/stat").read_text(encoding="utf-8").splitlines()[0]
    user, nice, system, idle, waiting, *others = map(float, line.split()[1:])
    return user + nice + system + sum(others), idle + waiting


def _processor() -> str:
    if sys.platform != "linux":
        return platform.processor()
    lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.machine()


def _pairs(values: Mapping[str, Any]) -> str:
    return ", ".join(f"{name.replace('_', ' ')} {value}" for name, value in values.items())


def target_table(targets: Iterable[Target]) -> str:
    """The table asked / reached."""
    lines = [
        "| # | against | asked | reached | | a bare stream | figures |",
        "| --- | --- | --- | --- | --- | --- | --- |",
    ]
    for target in targets:
        verdict = {True: "yes", False: "**no**", None: "not measured"}[target.holds]
        reached, bare = (
            "" if value is None else f"{value:,.2f} {target.unit}"
            for value in (target.reached, target.bare)
        )
        asked = f"{target.bound} {target.asked:g} {target.unit}"
        lines.append(
            f"| {target.number} | {target.what} | {asked} | {reached} | {verdict} | {bare}"
            f" | {target.detail} |"
        )
    return "\n".join(lines)


def cell_table(measured: Iterable[Measured]) -> str:
    """Every cell: medians, and whether its answers kept the promise."""
    lines = [
        "| system | processes x in flight | channels | frame | posts/s | p50 ms | p99 ms | |",
        "| --- | --- | --- | --- | --- | --- | --- | --- |",
    ]
    for one in measured:
        shape = one.cell.shape
        answers = "broken" if one.breaches else "floor" if one.cell.system.is_floor else "right"
        lines.append(
            f"| {one.cell.system.name} | {shape.processes} x {shape.in_flight} | {shape.channels}"
            f" | {shape.frame_posts or ''} | {one.median('posts_per_second'):,.0f}"
            f" | {one.median('p50_ms'):.2f} | {one.median('p99_ms'):.2f} | {answers} |"
        )
    return "\n".join(lines)
