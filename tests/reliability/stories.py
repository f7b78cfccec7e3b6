"""What became of a run of a script, and how it compares with a run that nothing disturbed."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from tests.reliability.every_kind import SECRET
from tests.reliability.harness import Run

# What must not happen, as `check` counts it.
PROMISED: Final = (
    "lost", "log_differs", "answers_differ", "state_differs", "watch_wrong", "not_verified",
    "content_left", "did_not_go_on",
)  # fmt: skip


@dataclass
class Story:
    """What was answered, what a watch showed, and what is there at the end.

    By namespace; the answers by request id.
    """

    answers: dict[str, dict[str, Any]] = field(default_factory=dict)
    logs: dict[str, list[tuple[int, str]]] = field(default_factory=dict)
    states: dict[str, Any] = field(default_factory=dict)
    watched: list[tuple[int, str]] = field(default_factory=list)
    # What `gapless verify` found right after a process had ended, and at the end.
    breaches: list[str] = field(default_factory=list)
    # How often a process was killed, and how often a command or a part was run again.
    kills: int = 0
    repeated: int = 0


def check(run: Run, where: str, expected: Story, found: Story, data: Path) -> None:
    """Compares a run that was disturbed with one that was not; all must be the same."""
    for namespace, answers in expected.answers.items():
        log = found.logs[namespace]
        lost = set(answers) - {request_id for _position, request_id in log}
        if lost:
            run.violation("lost", f"{where}: {namespace} has no {sorted(lost)}", len(lost))
        if log != expected.logs[namespace]:
            run.violation("log_differs", f"{where}: the log of {namespace} is {log}")
        if found.answers[namespace] != answers:
            run.violation("answers_differ", f"{where}: {found.answers[namespace]}, not {answers}")
    if found.states != expected.states:
        run.violation("state_differs", f"{where}: {found.states}, not {expected.states}")
    if found.watched != found.logs["story"]:
        run.violation("watch_wrong", f"{where}: watched {found.watched}")
    for breach in found.breaches:
        run.violation("not_verified", f"{where}: {breach}")
    for path in holding(SECRET, data):
        run.violation("content_left", f"{where}: {path.name} has what was erased")


def holding(text: str, data: Path) -> list[Path]:
    """Returns the files below a directory that have a text in them."""
    files = [path for path in data.rglob("*") if path.is_file()]
    return [path for path in files if text.encode() in path.read_bytes()]
