"""Message bodies from what callers have at hand."""

from __future__ import annotations

from typing import Final

from gapless.v1 import common_pb2

BodyLike = str | bytes | common_pb2.Body
"""A text (sent as UTF-8), bytes without a content type, or a ``Body``."""

TEXT_CONTENT_TYPE: Final = "text/plain; charset=utf-8"


def fill_body(target: common_pb2.Body, body: BodyLike) -> None:
    """Writes `body` into the field `target` of a request.

    Raises:
        TypeError: `body` is of another type.
        UnicodeEncodeError: the text holds a lone surrogate, which UTF-8 can not carry.
    """
    if isinstance(body, str):
        target.data = body.encode()
        target.content_type = TEXT_CONTENT_TYPE
    elif isinstance(body, bytes):
        target.data = body
    elif isinstance(body, common_pb2.Body):
        target.CopyFrom(body)
        target.SetInParent()
    else:
        raise TypeError(f"body is a {type(body).__name__}; expected str, bytes or gapless.v1 Body")
