"""A quick check never lets through what the checks that name faults would find."""

from __future__ import annotations

import random
from typing import Any

import pytest
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message_factory import GetMessageClass

from gapless.v1.commands_pb2 import Command
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.quick_check import compile_quick_check
from gapless_server.core.validation import IDENTIFIER_CHARACTERS_MAX, Validator, field_rules

REQUESTS = [
    *(GetMessageClass(field.message_type) for field in Command.DESCRIPTOR.oneofs[0].fields),
    *Kernel(KINDS).queries,
]
TEXTS = ("", "a", "a b", "é", "é", "\n", "x" * 128, "x" * 129, "x" * 70_000)
NUMBERS = (0, 1, 2, 7, 1_000, 1_001, 2**31 - 1)


def _quick_check(request_type: Any) -> Any:
    return compile_quick_check(
        request_type.DESCRIPTOR, field_rules, "gapless.v1", IDENTIFIER_CHARACTERS_MAX
    )


def _fill(message: Any, dice: random.Random) -> None:
    """Sets some single fields to values near their limits."""
    for field in message.DESCRIPTOR.fields:
        if field.is_repeated or dice.random() < 0.3:
            continue
        if field.message_type is not None:
            if field.message_type.file.package == "gapless.v1":
                getattr(message, field.name).SetInParent()
                _fill(getattr(message, field.name), dice)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            text = dice.choice(TEXTS)
            is_bytes = field.type == FieldDescriptor.TYPE_BYTES
            setattr(message, field.name, text.encode() if is_bytes else text)
        elif field.cpp_type == FieldDescriptor.CPPTYPE_BOOL:
            setattr(message, field.name, True)
        else:
            setattr(message, field.name, dice.choice(NUMBERS))


@pytest.mark.parametrize("request_type", REQUESTS, ids=lambda one: one.DESCRIPTOR.name)
def test_what_it_lets_through_has_no_fault(request_type: Any) -> None:
    dice = random.Random(7)
    quick_check, validator = _quick_check(request_type), Validator()

    wrong = []
    for _ in range(300):
        message = request_type()
        _fill(message, dice)
        if quick_check(message) and validator.faults(message):
            wrong.append(message)

    assert wrong == []


def test_it_lets_the_usual_command_through() -> None:
    body = Body(data=b"hello", content_type="text/plain")

    post = PostMessageRequest(request_id="r", channel_id="c", sender_id="s", body=body)

    assert _quick_check(PostMessageRequest)(post)


def test_it_is_not_sure_of_a_missing_field() -> None:
    assert not _quick_check(PostMessageRequest)(PostMessageRequest(request_id="r"))
