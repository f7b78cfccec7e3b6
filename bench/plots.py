"""Draws the figures as SVG: one line a system."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from bench.run import Measured
from bench.systems import HOT

SIZE_INCHES = (7.5, 4.8)


def draw(measured: Sequence[Measured], directory: Path) -> None:
    """Throughput and p99 against concurrency, both axes logarithmic, one hot channel."""
    hot = [
        one for one in measured if one.cell.shape.channels == HOT and not one.cell.shape.frame_posts
    ]
    for name, label in (("posts_per_second", "messages a second"), ("p99_ms", "p99, ms")):
        lines: dict[str, dict[int, float]] = {}
        for one in hot:
            shape = one.cell.shape
            line = lines.setdefault(_line(one), {})
            best = line.get(shape.processes * shape.in_flight)
            value = one.median(name)
            take_best = min if name == "p99_ms" else max
            line[shape.processes * shape.in_flight] = (
                value if best is None else take_best(best, value)
            )
        _plot(lines, "callers at once", label, directory / f"{name}.svg")


def draw_growth(points: Mapping[str, Mapping[int, float]], label: str, path: Path) -> None:
    """A figure against the number of entries in the log."""
    _plot(points, "entries in the log", label, path, x_scale="linear", y_scale="linear")


def _line(one: Measured) -> str:
    """PostgreSQL is one line, with its best number of connections at each point."""
    name = one.cell.system.name
    return "PostgreSQL" if name.startswith("PostgreSQL") else name


def _plot(
    lines: Mapping[str, Mapping[int, float]],
    x_label: str,
    y_label: str,
    path: Path,
    x_scale: str = "log",
    y_scale: str = "log",
) -> None:
    import matplotlib

    matplotlib.use("svg")
    from matplotlib import pyplot

    figure, axes = pyplot.subplots(figsize=SIZE_INCHES)
    for name, points in sorted(lines.items()):
        ordered = sorted(points.items())
        width = 2.5 if name.startswith("gapless") else 1.2
        axes.plot(*zip(*ordered, strict=True), marker="o", linewidth=width, label=name)
    axes.set(xlabel=x_label, ylabel=y_label, xscale=x_scale, yscale=y_scale)
    axes.grid(visible=True, which="both", alpha=0.3)
    axes.legend(fontsize="small", bbox_to_anchor=(1.01, 1), loc="upper left")
    figure.savefig(path, bbox_inches="tight", metadata={"Date": None})
    pyplot.close(figure)
