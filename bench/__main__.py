"""`python -m bench`: runs the comparison and writes its results. `make bench` calls it."""

from __future__ import annotations

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from bench import plots, probes, slow_disk
from bench.recount import recount, together
from bench.report import BUSY, Report, is_busy, machine, target_table
from bench.run import Servers, run_cells
from bench.servers import work_directory
from bench.systems import full_cells, quick_cells
from bench.targets import Target, throughput_targets
from gapless_server.cli.output import progress

RESULTS = Path(__file__).parent / "results"


def main() -> None:
    options = _options()
    # What gRPC's core prints about lost connections, the results say better.
    os.environ.setdefault("GRPC_VERBOSITY", "NONE")
    rounds = options.rounds or 3
    seconds = options.seconds or (0.6 if options.quick else 2.0)
    # Which the disk decides, and little else.
    slow_rounds = min(rounds, 2) if options.quick else rounds
    cells = quick_cells() if options.quick else full_cells()
    with work_directory() as directory, progress() as bar:
        before = machine(directory)
        steps = rounds * len(cells) + probes.COUNT + slow_disk.loads(slow_rounds)
        task = bar.add_task("starting", total=steps)

        def on_news(what: str) -> None:
            bar.update(task, description=f"{what:40}", advance=1)

        with Servers(directory) as servers:
            measured = run_cells(servers, cells, rounds, seconds, on_news)
            sections, targets = probes.run(servers, seconds, on_news)
            recounted = recount(servers.own_data())
        slow, slow_targets, slow_recounted = slow_disk.run(directory, slow_rounds, seconds, on_news)
        recounted = together([recounted, *slow_recounted])
        report = Report(
            {"rounds": rounds, "seconds_a_load": seconds, "quick": options.quick},
            before,
            servers.versions,
            servers.left_out,
            measured,
            _in_order([*throughput_targets(measured), *targets, *slow_targets]),
            recounted,
            {**sections, "slow_disk": slow},
        )
    name = "quick" if options.quick else "latest"
    report.write(options.results, name)
    plots.draw(measured, options.results)
    print(target_table(report.targets))
    if is_busy(before):
        print(f"\n{BUSY}")
    broken = [*recounted["breaches"], *(one for cell in measured for one in cell.breaches)]
    if broken:
        sys.exit(f"\na promise is broken: {broken[0]}; {len(broken)} in all, see {name}.json")
    print(f"\nwritten to {options.results / name}.json and .md")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="bench", description=__doc__)
    parser.add_argument("--quick", action="store_true", help="only what P1 to P6 need, shortly")
    parser.add_argument("--rounds", type=int, help="how often each load is run")
    parser.add_argument("--seconds", type=float, help="how long each load is measured")
    parser.add_argument("--results", type=Path, default=RESULTS, help="where to write")
    return parser.parse_args()


def _in_order(targets: Sequence[Target]) -> list[Target]:
    return sorted(targets, key=lambda target: int(target.number[1:]))


if __name__ == "__main__":
    main()
