"""Commands in a queue, and their callers, for tests that drive a queue as a pipeline would."""

from __future__ import annotations

from typing import Any

from gapless import GaplessError, errors
from gapless._command_queue import (
    CommandQueue,
    Refusal,
)
from gapless._commands import CommandKind, PendingCommand
from gapless.v1.commands_pb2 import (
    CommandResult,
    PipelineRequest,
    PipelineResponse,
)
from gapless.v1.messages_pb2 import PostMessageRequest, PostMessageResponse

POST = CommandKind("post_message", PostMessageResponse)
NEVER = float("inf")


class Caller:
    """Waits for the answer of one command, as a future would."""

    def __init__(self) -> None:
        self.result: Any = None
        self.error: GaplessError | None = None

    def done(self) -> bool:
        return self.result is not None or self.error is not None

    def set_result(self, result: Any, /) -> None:
        assert not self.done()
        self.result = result

    def set_exception(self, exception: GaplessError, /) -> None:
        assert not self.done()
        self.error = exception


def pending(
    name: str, *, size: int = 0, deadline: float = NEVER, attempts_max: int | None = None
) -> PendingCommand:
    request = PostMessageRequest(request_id=name)
    request.body.data = b"x" * size
    data = POST.element(request.SerializeToString())
    command = PendingCommand(POST.field, name, data, deadline, attempts_max)
    command.waiter = Caller()
    return command


def queue_of(*commands: PendingCommand, commands_max: int = 100_000) -> CommandQueue:
    queue = CommandQueue("127.0.0.1:1", commands_max=commands_max, bytes_max=2**30)
    for command in commands:
        queue.add(command)
    return queue


def names(frame: bytes | None) -> list[str]:
    assert frame is not None
    request = PipelineRequest.FromString(frame)
    return [command.post_message.request_id for command in request.commands]


def answers(*sequences: int) -> PipelineResponse:
    return PipelineResponse(
        results=[
            CommandResult(post_message=PostMessageResponse(sequence=sequence))
            for sequence in sequences
        ]
    )


def tell(refusals: list[Refusal]) -> None:
    """What a pipeline does with what is not to be sent again."""
    for command, error in refusals:
        command.waiter.set_exception(error)


def caller(command: PendingCommand) -> Caller:
    assert isinstance(command.waiter, Caller)
    return command.waiter


LOST = errors.UnavailableError("the connection broke")
