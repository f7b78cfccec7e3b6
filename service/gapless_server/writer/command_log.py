"""One log line a command, at debug: what it was, whose, and what became of it.

Never what it said: no payload, no attribute, no key of a push endpoint.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import structlog

from gapless.v1.commands_pb2 import CommandResult
from gapless_server.core.refusals import Refused
from gapless_server.writer.deciding import Decided
from gapless_server.writer.entries import Answer, Answers
from gapless_server.writer.rounds import Outcome

_log = structlog.get_logger()


def log_commands(namespace: str, decided: Sequence[Decided]) -> None:
    """Logs the commands of a round, once their outcomes are final."""
    for frame, outcomes in decided:
        for command, outcome in zip(frame.commands, _each(outcomes), strict=True):
            if isinstance(command, Refused):
                name, request_id = None, None
            else:
                name = command.WhichOneof("command")
                request_id = getattr(getattr(command, name), "request_id", None) if name else None
            _log.debug(
                "command",
                namespace=namespace,
                caller=frame.caller,
                command=name,
                request_id=request_id,
                **_became(outcome),
            )


def _each(outcomes: Sequence[Outcome]) -> Iterator[Answer | Refused]:
    for outcome in outcomes:
        if isinstance(outcome, Answers):
            yield from outcome.each()
        else:
            yield outcome


def _became(outcome: Answer | Refused) -> dict[str, object]:
    if isinstance(outcome, Refused):
        return {"refused": outcome.row.reason}
    result = CommandResult.FromString(outcome.result())
    name = result.WhichOneof("result")
    receipt = None if name is None else getattr(result, name).receipt
    if receipt is None:
        return {}
    return {"position": receipt.position, "replayed": receipt.replayed, "changed": receipt.changed}
