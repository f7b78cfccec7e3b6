"""What `import` and `demo` share: reading events, replaying them under a bar, and the table."""

from __future__ import annotations

import asyncio
import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Final

from rich.table import Table

from gapless_server.cli.exits import CommandError, WrongSettings
from gapless_server.cli.output import progress, verdict
from gapless_server.slack.events import BadEvents, event_files, read_lines
from gapless_server.slack.plan import Plan, make_plan
from gapless_server.slack.processes import ReplayFailed, replay_in_processes
from gapless_server.slack.report import check_replay
from gapless_server.slack.summary import Summary

# How many refusals or breaches are printed; --json has all.
SENTENCES_SHOWN: Final = 20


def read_plan(paths: list[Path]) -> tuple[int, Plan]:
    """Returns how many events the files hold, and the plan. Raises WrongSettings."""
    try:
        lines = list(read_lines(event_files(paths)))
    except BadEvents as error:
        raise WrongSettings(str(error)) from error
    plan = make_plan(itertools.chain.from_iterable(lines))
    if not plan.commands:
        raise WrongSettings("the files hold no event that can be replayed")
    return len(lines), plan


def run_replay(
    paths: list[Path],
    address: str,
    namespace: str,
    processes: int,
    *,
    quiet: bool = False,
    on_done: Callable[[int, int], None] = lambda _done, _total: None,
) -> Summary:
    """Replays files, reads everything back, and returns what was found.

    `on_done` hears how many commands are done, and of how many. Raises CommandError or
    GaplessError.
    """
    event_count, plan = read_plan(paths)
    with progress(quiet=quiet) as bar:
        task = bar.add_task(f"{processes} processes replay", total=plan.command_count)

        def report(done: int) -> None:
            bar.update(task, completed=done)
            on_done(done, plan.command_count)

        try:
            tally = replay_in_processes(plan, address, namespace, processes, report)
        except ReplayFailed as error:
            raise CommandError(f"the replay could not go on: {error}") from error
        bar.update(task, completed=tally.sent)
    findings = asyncio.run(check_replay(address, namespace, plan, tally.acknowledged))
    return Summary(event_count, plan, tally, findings)


def summary_table(summary: Summary) -> Table:
    """Returns the numbers of a replay as people read them; broken promises are red."""
    tally, findings, plan = summary.tally, summary.findings, summary.plan
    table = Table("what", "how many", show_header=False)

    def row(name: str, value: str) -> None:
        table.add_row(name, value)

    def promise(name: str, breaches: int) -> None:
        table.add_row(name, verdict(f"{breaches:,}", is_good=not breaches))

    row("events read", f"{summary.event_count:,}")
    row("commands sent", f"{tally.sent:,}")
    row("  sent again, because no answer came", f"{tally.retried:,}")
    row("  answered from memory: already applied", f"{tally.replayed:,}")
    row("  refused", f"{len(tally.refused):,}")
    for reason, count in sorted(plan.left_out.items()):
        row(f"left out: {reason}", f"{count:,}")
    row("parents not in the events, stood in for", f"{plan.placeholders:,}")
    table.add_section()
    row("messages and replies", f"{findings.messages:,}")
    row("channels", f"{findings.channels:,}")
    row("threads", f"{findings.threads:,}")
    promise("gaps in channels and threads", len(findings.gaps))
    promise("messages out of order", len(findings.out_of_order))
    promise("duplicates", len(findings.duplicates))
    promise("acknowledged and lost", len(findings.lost))
    row("thread counts equal to Slack's", f"{findings.thread_counts_equal:,}")
    promise("thread counts that differ", len(findings.thread_counts_wrong))
    row("threads not wholly in the events", f"{plan.threads_in_part:,}")
    table.add_section()
    row("commands a second", f"{summary.commands_per_second:,.0f}")
    row("latency p50, from sending to the answer", f"{summary.latency_ms(50):,.1f} ms")
    row("latency p99", f"{summary.latency_ms(99):,.1f} ms")
    return table
