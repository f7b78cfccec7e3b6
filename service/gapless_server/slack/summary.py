"""A replay in numbers: what was sent, what came of it, and what was found afterwards."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from gapless_server.slack.plan import Plan
from gapless_server.slack.replay import Tally
from gapless_server.slack.report import Findings


@dataclass(frozen=True, slots=True)
class Summary:
    """The numbers of one replay."""

    event_count: int
    plan: Plan
    tally: Tally
    findings: Findings

    @property
    def commands_per_second(self) -> float:
        """How many commands were answered a second."""
        return self.tally.sent / self.tally.seconds if self.tally.seconds else 0.0

    def latency_ms(self, percent: float) -> float:
        """Returns the latency that so many percent of the commands did not exceed."""
        latencies = sorted(self.tally.latencies_seconds)
        if not latencies:
            return 0.0
        index = min(int(len(latencies) * percent / 100), len(latencies) - 1)
        return latencies[index] * 1000

    def as_json(self) -> dict[str, Any]:
        """Returns everything, with names and units."""
        findings = self.findings
        return {
            "events": self.event_count,
            "commands_sent": self.tally.sent,
            "commands_retried": self.tally.retried,
            "commands_replayed": self.tally.replayed,
            "commands_refused": len(self.tally.refused),
            "events_left_out": dict(self.plan.left_out),
            "placeholders": self.plan.placeholders,
            "channels": findings.channels,
            "messages": findings.messages,
            "threads": findings.threads,
            "acknowledged_messages": len(self.tally.acknowledged),
            "acknowledged_and_lost": len(findings.lost),
            "gaps": len(findings.gaps),
            "out_of_order": len(findings.out_of_order),
            "duplicates": len(findings.duplicates),
            "thread_counts_that_match": findings.thread_counts_equal,
            "thread_counts_that_differ": len(findings.thread_counts_wrong),
            "threads_only_partly_in_the_events": self.plan.threads_in_part,
            "seconds": round(self.tally.seconds, 3),
            "commands_per_second": round(self.commands_per_second),
            "latency_p50_ms": round(self.latency_ms(50), 2),
            "latency_p99_ms": round(self.latency_ms(99), 2),
            "breaches": findings.breaches(),
            "refusals": self.tally.refused,
        }
