"""A post is written without protobuf exactly as protobuf would write it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

import pytest

from gapless import BodyLike
from gapless._bodies import fill_body
from gapless._post_encoding import encoded_post
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest

# On both sides of where a length takes another byte, and of how long headers are kept.
SIZES = (0, 1, 99, 100, 101, 127, 128, 4_095, 4_096, 4_097, 16_383, 16_384, 65_536)


def by_protobuf(
    request_id: str,
    channel_id: str,
    sender_id: str,
    body: BodyLike,
    attributes: Mapping[str, str] | None = None,
    message_id: str | None = None,
) -> bytes:
    request = PostMessageRequest(
        request_id=request_id,
        channel_id=channel_id,
        sender_id=sender_id,
        attributes=attributes,
        message_id=message_id or "",
    )
    fill_body(request.body, body)
    return request.SerializeToString(deterministic=True)


@pytest.mark.parametrize("size", SIZES)
def test_a_body_of_any_size_is_written_as_protobuf_writes_it(size: int) -> None:
    for body in (b"x" * size, "x" * size):
        written = encoded_post("r1", "general", "alice", body, None, None)
        assert written == by_protobuf("r1", "general", "alice", body)


@pytest.mark.parametrize(
    "name", ["", "a", "\u00fc\u00f1\u00ef", "\U0001f600" * 32, "x" * 128, "x" * 5_000]
)
def test_ids_of_any_length_are_written_as_protobuf_writes_them(name: str) -> None:
    for ids in ((name, "c", "s"), ("r", name, "s"), ("r", "c", name)):
        assert encoded_post(*ids, "hello", None, None) == by_protobuf(*ids, "hello")
    written = encoded_post("r", "c", "s", b"hello", None, name)
    assert written == by_protobuf("r", "c", "s", b"hello", None, name)


@pytest.mark.parametrize(
    ("body", "attributes", "message_id"),
    [
        ("hello", {"kind": "greeting"}, None),
        ("hello", {}, None),
        ("hello", {"kind": "greeting"}, "m1"),
        (Body(data=b"{}", content_type="application/json"), None, None),
        (Body(), None, None),
    ],
    ids=["attributes", "no-attributes", "attributes-and-message-id", "body", "empty-body"],
)
def test_what_is_not_plain_is_written_by_protobuf(
    body: BodyLike, attributes: Mapping[str, str] | None, message_id: str | None
) -> None:
    written = encoded_post("r1", "general", "alice", body, attributes, message_id)

    assert written == by_protobuf("r1", "general", "alice", body, attributes, message_id)


@pytest.mark.parametrize("wrong", [None, 7, ["general"]])
def test_an_argument_of_another_type_is_refused(wrong: Any) -> None:
    found = f"is {re.escape(repr(wrong))}; expected a str"

    for attributes in (None, {"kind": "greeting"}):
        with pytest.raises(TypeError, match=f"^request_id {found}$"):
            encoded_post(wrong, "c", "s", "b", attributes, None)
        with pytest.raises(TypeError, match=f"^channel_id {found}$"):
            encoded_post("r", wrong, "s", "b", attributes, None)
        with pytest.raises(TypeError, match=f"^sender_id {found}$"):
            encoded_post("r", "c", wrong, "b", attributes, None)
        with pytest.raises(TypeError, match=r"^body is a \w+; expected str, bytes or"):
            encoded_post("r", "c", "s", wrong, attributes, None)
        if wrong is not None:
            with pytest.raises(TypeError, match=f"^message_id {found}$"):
                encoded_post("r", "c", "s", "b", attributes, wrong)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        (7, "attributes is a int; expected a mapping of str to str"),
        ({"a": "b", "count": 1}, "attributes has 1 under 'count'; expected a str under a str"),
        ({1: "b"}, "attributes has 'b' under 1; expected a str under a str"),
    ],
    ids=["no-mapping", "value", "key"],
)
def test_attributes_of_another_type_are_refused(wrong: Any, told: str) -> None:
    with pytest.raises(TypeError, match=f"^{re.escape(told)}$"):
        encoded_post("r", "c", "s", "b", wrong, None)


def test_a_lone_surrogate_is_refused() -> None:
    for arguments in (("r", "c\ud800", "s", "b"), ("r", "c", "s", "b\ud800")):
        with pytest.raises(UnicodeEncodeError):
            encoded_post(*arguments, None, None)
    with pytest.raises(UnicodeEncodeError):
        encoded_post("r", "c", "s", "b", None, "m\ud800")
