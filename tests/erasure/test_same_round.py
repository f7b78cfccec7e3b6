"""What a round erases is erased for the rest of that round as well."""

from __future__ import annotations

from collections.abc import Iterator

import grpc
import pytest

from gapless.testing import InProcessServer
from gapless.v1.channels_pb2 import CreateChannelRequest
from gapless.v1.commands_pb2 import (
    Command,
    CommandResult,
    ExecuteBatchRequest,
    PipelineRequest,
)
from gapless.v1.commands_pb2_grpc import CommandServiceStub
from gapless.v1.common_pb2 import Body
from gapless.v1.erasures_pb2 import RedactMessageRequest
from gapless.v1.messages_pb2 import EditMessageRequest, PostMessageRequest

CHANNEL = "general"
CREATE = Command(create_channel=CreateChannelRequest(request_id="create", channel_id=CHANNEL))
REDACT = RedactMessageRequest(channel_id=CHANNEL, message_id="m", requested_by="officer")
SINGLY, IN_A_BATCH = RedactMessageRequest(), ExecuteBatchRequest(request_id="redact")
SINGLY.CopyFrom(REDACT)
SINGLY.request_id = "redact"
IN_A_BATCH.commands.add(redact_message=REDACT)


def post(text: str) -> Command:
    body = Body(data=text.encode())
    return Command(
        post_message=PostMessageRequest(
            request_id="post", channel_id=CHANNEL, message_id="m", sender_id="ann", body=body
        )
    )


EDIT = Command(
    edit_message=EditMessageRequest(
        request_id="edit", channel_id=CHANNEL, message_id="m", body=Body(data=b"other")
    )
)


class Frames:
    """Sends frames: the commands of one are one round."""

    def __init__(self, channel: grpc.Channel) -> None:
        self._stub = CommandServiceStub(channel)

    def send(self, *commands: Command) -> list[CommandResult]:
        (response,) = self._stub.Pipeline(iter([PipelineRequest(commands=commands)]))
        return list(response.results)


@pytest.fixture
def frames() -> Iterator[Frames]:
    with InProcessServer() as server, grpc.insecure_channel(server.address) as channel:
        yield Frames(channel)


@pytest.mark.parametrize(
    "erasing",
    [Command(redact_message=SINGLY), Command(execute_batch=IN_A_BATCH)],
    ids=["singly", "in a batch"],
)
@pytest.mark.parametrize("frames_before", [0, 1], ids=["posted in it", "posted before"])
def test_g3_a_command_sent_again_beside_its_erasure_is_answered_as_later(
    frames: Frames, erasing: Command, frames_before: int
) -> None:
    made = [CREATE, post("secret"), EDIT]
    if frames_before:
        frames.send(*made)
        made = []

    *_, posted, edited, reworded = frames.send(
        *made, erasing, post("secret"), EDIT, post("not what it was")
    )
    later = frames.send(post("secret"), EDIT, post("not what it was"))

    assert (posted.post_message.receipt.erased, edited.edit_message.receipt.erased) == (True, True)
    assert [posted, edited, reworded] == later


def test_a_command_sent_again_before_its_erasure_is_answered_as_it_was(frames: Frames) -> None:
    frames.send(CREATE, post("secret"))

    again, _ = frames.send(post("secret"), Command(redact_message=SINGLY))

    assert (again.post_message.receipt.replayed, again.post_message.receipt.erased) == (True, False)
