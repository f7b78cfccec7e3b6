"""Cursors: where a reader of the log stands, as (incarnation, position), opaque to clients."""

from __future__ import annotations

import base64
import binascii
from typing import NamedTuple

import msgspec

from gapless_server.core.refusals import invalid_field


class Cursor(NamedTuple):
    """The position up to which the log of an incarnation has been read.

    `in_part` is set where something after it was read as well: readers who handle the entries of a
    message one by one keep this cursor until they have come to the end of them.
    """

    incarnation: str
    position: int
    in_part: bool = False


def write_cursor(cursor: Cursor) -> str:
    """Returns the text of a cursor."""
    return base64.urlsafe_b64encode(msgspec.msgpack.encode(cursor)).decode("ascii")


def read_cursor(text: str) -> Cursor:
    """Returns the cursor of a text. Raises Refused, reason INVALID_FIELD."""
    try:
        data = base64.b64decode(text, altchars=b"-_", validate=True)
        cursor = msgspec.msgpack.decode(data, type=Cursor)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise invalid_field("cursor", "is not a cursor that this service gave out") from error
    if cursor.position < 0:
        raise invalid_field("cursor", "is not a cursor that this service gave out")
    return cursor
