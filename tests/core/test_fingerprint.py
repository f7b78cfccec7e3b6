"""Fingerprints: two commands are told apart, and the fields in which they differ are named (G3)."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import Any

import pytest
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message

from gapless.v1.channels_pb2 import CreateChannelRequest, UpdateChannelRequest
from gapless.v1.commands_pb2 import Command
from gapless.v1.common_pb2 import Body
from gapless.v1.config_pb2 import ConfigWrite, SetConfigRequest
from gapless.v1.lists_pb2 import ReorderListRequest
from gapless.v1.messages_pb2 import EditMessageRequest, PostMessageRequest
from gapless.v1.threads_pb2 import PostReplyRequest
from gapless_server.core.fingerprint import differing_fields, fingerprint
from tests.core.story import KERNEL

POST = PostMessageRequest(
    request_id="r",
    channel_id="c",
    sender_id="u",
    body=Body(data=b"data", content_type="text/plain"),
    attributes={"a": "1", "b": "2"},
    message_id="m",
)


def of(command: Message) -> bytes:
    field = KERNEL.command_fields[type(command)]
    number: int = Command.DESCRIPTOR.fields_by_name[field].number
    return fingerprint(command, number)


def difference(old: Message, new: Message) -> list[str]:
    descriptor: Any = type(new).DESCRIPTOR
    return differing_fields(of(old), of(new), descriptor)


def changed(**fields: object) -> PostMessageRequest:
    """Returns `POST` with some fields set to something else, or taken away with None."""
    command = PostMessageRequest()
    command.CopyFrom(POST)
    for name, value in fields.items():
        command.ClearField(name)  # type: ignore[arg-type]
        if value is not None:
            command.MergeFrom(PostMessageRequest(**{name: value}))  # type: ignore[arg-type]
    return command


def test_equal_commands_have_equal_fingerprints() -> None:
    assert of(changed()) == of(POST)
    assert difference(POST, changed()) == []


def test_the_request_id_does_not_matter() -> None:
    """It is the key that a fingerprint is looked up by."""
    assert of(changed(request_id="other")) == of(POST)


@pytest.mark.parametrize(
    ("field", "value"),
    [
        ("channel_id", "d"),
        ("sender_id", "v"),
        ("body", Body(data=b"data")),
        ("body", Body(data=b"datb", content_type="text/plain")),
        ("body", Body()),
        ("body", None),
        ("attributes", {"a": "1"}),
        ("attributes", {"a": "2", "b": "1"}),
        ("attributes", None),
        ("message_id", "n"),
        ("message_id", None),
    ],
)
def test_a_field_that_differs_is_named(field: str, value: object) -> None:
    assert difference(POST, changed(**{field: value})) == [field]
    assert difference(changed(**{field: value}), POST) == [field]


def test_several_are_named_in_the_order_of_their_numbers() -> None:
    other = changed(message_id="n", attributes=None, sender_id="v")

    assert difference(POST, other) == ["sender_id", "attributes", "message_id"]


def test_an_empty_body_is_not_no_body() -> None:
    assert difference(changed(body=Body()), changed(body=None)) == ["body"]


def test_an_optional_zero_is_not_absent() -> None:
    absent = EditMessageRequest(channel_id="c", message_id="m")
    zero = EditMessageRequest(channel_id="c", message_id="m", expected_version=0)

    assert difference(absent, zero) == ["expected_version"]


def test_another_type_of_command_is_named_as_such() -> None:
    edit = EditMessageRequest(channel_id="c", message_id="m")

    assert difference(POST, edit) == ["command"]


def test_equal_values_in_different_fields_differ() -> None:
    one = PostMessageRequest(channel_id="x")
    other = PostMessageRequest(sender_id="x")

    assert difference(one, other) == ["channel_id", "sender_id"]


def test_the_order_of_a_map_does_not_matter() -> None:
    forwards = {f"key-{n}": str(n) for n in range(64)}
    backwards = dict(reversed(forwards.items()))

    assert of(changed(attributes=forwards)) == of(changed(attributes=backwards))


def test_the_order_of_a_list_does() -> None:
    one = ReorderListRequest(list_id="l", item_ids=["a", "b"])
    other = ReorderListRequest(list_id="l", item_ids=["b", "a"])

    assert difference(one, other) == ["item_ids"]


def test_a_list_is_not_its_items_run_together() -> None:
    one = ReorderListRequest(list_id="l", item_ids=["ab", "c"])
    other = ReorderListRequest(list_id="l", item_ids=["a", "bc"])

    assert difference(one, other) == ["item_ids"]


def test_messages_in_a_list_are_told_apart() -> None:
    one = SetConfigRequest(writes=[ConfigWrite(key="k", body=Body(data=b"1"))])
    other = SetConfigRequest(writes=[ConfigWrite(key="k", body=Body(data=b"2"))])

    assert difference(one, one) == []
    assert difference(one, other) == ["writes"]


def test_numbers_and_flags_are_told_apart() -> None:
    one = CreateChannelRequest(channel_id="c", first_sequence=1)
    other = CreateChannelRequest(channel_id="c", first_sequence=2**63 - 1)
    quiet = PostReplyRequest(channel_id="c")
    shown = PostReplyRequest(channel_id="c", show_in_channel=True)

    assert difference(one, other) == ["first_sequence"]
    assert difference(quiet, shown) == ["show_in_channel"]


def test_messages_of_others_are_told_apart() -> None:
    one = UpdateChannelRequest(channel_id="c", update_mask=FieldMask(paths=["title"]))
    other = UpdateChannelRequest(channel_id="c", update_mask=FieldMask(paths=["attributes"]))

    assert difference(one, other) == ["update_mask"]


def test_g10_a_fingerprint_is_these_bytes_for_ever() -> None:
    """Type, field numbers, digests: a log keeps them, so they must never come out otherwise."""
    command = PostMessageRequest(request_id="r", channel_id="c", sender_id="u")

    xxh3_of_c, xxh3_of_u = "8c40219a46b9f81b", "0de0f3cef1e76922"
    assert of(command).hex() == "0d" + "02" + "03" + xxh3_of_c + xxh3_of_u


def test_g10_it_is_the_same_on_another_hash_seed() -> None:
    program = (
        "from tests.core.test_fingerprint import POST, changed, of;"
        "print(of(changed(attributes={str(n): str(n) for n in range(50)})).hex())"
    )

    outputs = {
        subprocess.run(
            [sys.executable, "-c", program],
            env=os.environ | {"PYTHONHASHSEED": seed, "PYTHONPATH": os.pathsep.join(sys.path)},
            capture_output=True,
            text=True,
            check=True,
        ).stdout
        for seed in ("1", "2")
    }

    assert len(outputs) == 1


def test_a_field_that_a_later_version_adds_leaves_old_fingerprints_as_they_are() -> None:
    """What was fingerprinted without it equals what leaves it unset."""
    old = of(PostMessageRequest(channel_id="c", sender_id="u"))

    newer = PostMessageRequest(channel_id="c", sender_id="u", message_id="")

    assert of(newer) == old


def test_a_field_that_an_older_version_does_not_know_is_named_by_its_number() -> None:
    new = of(changed(attributes=None))
    count = (len(new) - 1) // 9
    from_a_newer_version = bytes([*new[: 1 + count], 200, *new[1 + count :], *b"8 digest"])

    assert differing_fields(from_a_newer_version, new, PostMessageRequest.DESCRIPTOR) == [
        "field 200"
    ]


@pytest.mark.parametrize(
    "command_type", KERNEL.command_fields, ids=lambda command_type: command_type.DESCRIPTOR.name
)
def test_the_numbers_of_every_command_fit_into_a_byte(command_type: type[Message]) -> None:
    field = KERNEL.command_fields[command_type]

    assert Command.DESCRIPTOR.fields_by_name[field].number < 256
    assert all(field.number < 256 for field in command_type.DESCRIPTOR.fields)
