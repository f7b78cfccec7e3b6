"""A quick check never lets through what the checks that name faults would find."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.message_factory import GetMessageClass

from gapless.v1.commands_pb2 import Command
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.quick_check import compile_quick_check
from gapless_server.core.validation import Validator, check_writer
from tests.core.random_requests import fill

REQUESTS = [
    *(GetMessageClass(field.message_type) for field in Command.DESCRIPTOR.oneofs[0].fields),
    *Kernel(KINDS).queries,
]


def _quick_check(request_type: Any) -> Any:
    return compile_quick_check(request_type.DESCRIPTOR, check_writer())


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda one: one.DESCRIPTOR.name)
def test_what_it_lets_through_has_no_fault(request_type: Any) -> None:
    dice = random.Random(7)
    quick_check, validator = _quick_check(request_type), Validator()

    wrong = []
    for _ in range(300):
        message = request_type()
        fill(message, dice)
        if quick_check(message) and validator.faults(message):
            wrong.append(message)

    assert wrong == []


def test_it_lets_the_usual_command_through() -> None:
    body = Body(data=b"hello", content_type="text/plain")

    post = PostMessageRequest(request_id="r", channel_id="c", sender_id="s", body=body)

    assert _quick_check(PostMessageRequest)(post)


def test_it_is_not_sure_of_a_missing_field() -> None:
    assert not _quick_check(PostMessageRequest)(PostMessageRequest(request_id="r"))
