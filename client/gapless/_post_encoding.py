"""The request that is sent most, as bytes: a message that is serialized costs four times more.

Invariant: the bytes are those that protobuf would write. What is not plain (attributes, a body that
is a message, arguments of wrong types) is left to protobuf, and what that refuses is named here.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from gapless._bodies import TEXT_CONTENT_TYPE, BodyLike, fill_body
from gapless._wire import Headers
from gapless.v1.common_pb2 import Body
from gapless.v1.messages_pb2 import PostMessageRequest

_REQUEST_ID: Final = Headers(PostMessageRequest.REQUEST_ID_FIELD_NUMBER, is_scalar=True)
_CHANNEL_ID: Final = Headers(PostMessageRequest.CHANNEL_ID_FIELD_NUMBER, is_scalar=True)
_SENDER_ID: Final = Headers(PostMessageRequest.SENDER_ID_FIELD_NUMBER, is_scalar=True)
_MESSAGE_ID: Final = Headers(PostMessageRequest.MESSAGE_ID_FIELD_NUMBER, is_scalar=True)
_BODY_FIELDS: Final = (PostMessageRequest.BODY_FIELD_NUMBER, Body.DATA_FIELD_NUMBER)
_BYTES: Final = Headers(*_BODY_FIELDS, is_scalar=True)
_TEXT_TRAILER: Final = Body(content_type=TEXT_CONTENT_TYPE).SerializeToString()
_TEXT: Final = Headers(*_BODY_FIELDS, is_scalar=True, trailer_size=len(_TEXT_TRAILER))

# Called as a function, it refuses what is not a text.
_utf8: Final = str.encode


def encoded_post(
    request_id: str,
    channel_id: str,
    sender_id: str,
    body: BodyLike,
    attributes: Mapping[str, str] | None,
    message_id: str | None,
) -> bytes:
    """A ``PostMessageRequest``, serialized.

    Raises:
        TypeError: an argument is of another type.
        UnicodeEncodeError: a text holds a lone surrogate, which UTF-8 can not carry.
    """
    if attributes is not None:
        return _by_protobuf(request_id, channel_id, sender_id, body, attributes, message_id)
    trailer = own_id = b""
    headers = _BYTES
    try:
        request = _utf8(request_id)
        channel = _utf8(channel_id)
        sender = _utf8(sender_id)
        if message_id is not None:
            own_id = _utf8(message_id)
            own_id = _MESSAGE_ID[len(own_id)] + own_id
        if type(body) is bytes:
            data = body
        else:
            data = _utf8(body)  # type: ignore[arg-type]  # a Body raises, as it should
            headers = _TEXT
            trailer = _TEXT_TRAILER
    except TypeError:
        return _by_protobuf(request_id, channel_id, sender_id, body, attributes, message_id)
    return b"".join(
        (
            _REQUEST_ID[len(request)],
            request,
            _CHANNEL_ID[len(channel)],
            channel,
            _SENDER_ID[len(sender)],
            sender,
            headers[len(data)],
            data,
            trailer,
            own_id,
        )
    )


def _by_protobuf(
    request_id: str,
    channel_id: str,
    sender_id: str,
    body: BodyLike,
    attributes: Mapping[str, str] | None,
    message_id: str | None,
) -> bytes:
    request = PostMessageRequest()
    texts = (("request_id", request_id), ("channel_id", channel_id), ("sender_id", sender_id))
    for name, text in texts:
        _set_text(request, name, text)
    if attributes is not None:
        try:
            request.attributes.update(attributes)
        except TypeError as error:
            raise TypeError(_named_attributes(attributes)) from error
    if message_id is not None:
        _set_text(request, "message_id", message_id)
    fill_body(request.body, body)
    return request.SerializeToString()


def _set_text(request: PostMessageRequest, name: str, text: str) -> None:
    try:
        setattr(request, name, text)
    except TypeError as error:
        raise TypeError(f"{name} is {text!r}; expected a str") from error


def _named_attributes(attributes: object) -> str:
    """Says what is wrong with attributes that protobuf refuses."""
    if isinstance(attributes, Mapping):
        for key, value in attributes.items():
            if not (isinstance(key, str) and isinstance(value, str)):
                return f"attributes has {value!r} under {key!r}; expected a str under a str"
    return f"attributes is a {type(attributes).__name__}; expected a mapping of str to str"
