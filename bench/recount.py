"""Recounts our logs after the loads, as `gapless verify` does: each load had its own namespace."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path
from typing import Any


def recount(data: Path) -> dict[str, Any]:
    """Recounts every log below a data directory."""
    logs = sorted((data / "namespaces").glob("*.db"))
    with ProcessPoolExecutor() as pool:
        found = list(pool.map(_recount_one, logs))
    return {
        "logs": len(found),
        "entries": sum(entries for entries, _ in found),
        "breaches": [breach for _, breaches in found for breach in breaches],
    }


def _recount_one(path: Path) -> tuple[int, list[str]]:
    from gapless_server.cli.verify import recount_log

    shown = recount_log(path, quiet=True)
    return shown["entries"], shown["breaches"]


def together(recounted: Sequence[Mapping[str, Any]]) -> dict[str, Any]:
    """Adds up what several directories gave."""
    return {
        "logs": sum(one["logs"] for one in recounted),
        "entries": sum(one["entries"] for one in recounted),
        "breaches": [breach for one in recounted for breach in one["breaches"]],
    }
