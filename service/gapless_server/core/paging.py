"""Pages: how long one is, and the tokens that lead from one to the next.

A token holds the key of the last item given and a digest of the query, so a token of another
query is refused instead of giving a page of the wrong thing. Tokens are not secrets.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Callable, Generator, Iterator
from dataclasses import dataclass
from typing import Any, Protocol, TypeVar

import msgspec
from google.protobuf.message import Message
from xxhash import xxh3_64_intdigest

from gapless_server.core.refusals import Refused, invalid_field
from gapless_server.core.steps import whole_answer
from gapless_server.core.writing import Written, writer

Key = TypeVar("Key")
Row = TypeVar("Row")
Built = TypeVar("Built")
Item = TypeVar("Item", bound=Message)


@dataclass(frozen=True, slots=True)
class PageLimits:
    """How large a page may get; settings of the service."""

    page_items_default: int = 100
    page_items_max: int = 1000
    # Below gRPC's default limit of 4 MiB for what a client receives.
    page_bytes_max: int = 3 * 1024 * 1024


class PageRequest(Protocol):
    """A request for a page: a message with these two fields."""

    page_size: int
    page_token: str

    def SerializeToString(self, *, deterministic: bool = ...) -> bytes: ...  # noqa: N802, D102 - protobuf's name


def page_items(requested: int, limits: PageLimits) -> int:
    """Returns how many items a page has at most; 0 asks for the default."""
    return min(requested or limits.page_items_default, limits.page_items_max)


def _query_digest(request: PageRequest) -> int:
    copy = type(request)()
    copy.CopyFrom(request)  # type: ignore[attr-defined]  # every request is a protobuf message
    copy.page_size = 0
    copy.page_token = ""
    data = copy.SerializeToString(deterministic=True)
    return xxh3_64_intdigest(type(request).__name__.encode() + b"\0" + data)


def read_token(request: PageRequest, key_type: type[Key]) -> Key | None:
    """Returns the key that the page begins after; None for the first page.

    Raises Refused, reason INVALID_FIELD, if the token is not one of this query.
    """
    token = request.page_token
    if not token:
        return None
    try:
        data = base64.b64decode(token, altchars=b"-_", validate=True)
        digest, packed_key = msgspec.msgpack.decode(data, type=tuple[int, msgspec.Raw])
        key = msgspec.msgpack.decode(packed_key, type=key_type)
    except (ValueError, binascii.Error, msgspec.MsgspecError) as error:
        raise _bad_token() from error
    if digest != _query_digest(request):
        raise _bad_token()
    return key


def _bad_token() -> Refused:
    return invalid_field("page_token", "is not a next_page_token of this query; begin without it")


def make_token(request: PageRequest, last: object) -> str:
    """Returns the token of the page that begins after the key `last`."""
    data = msgspec.msgpack.encode((_query_digest(request), last))
    return base64.urlsafe_b64encode(data).decode("ascii")


def fill_page(
    request: PageRequest,
    limits: PageLimits,
    rows: Iterator[tuple[Key, Row]],
    build: Callable[[Key, Row], Item],
) -> tuple[list[Item], str]:
    """Returns the items of a page, within the limits, and the token of the next one.

    A page has at least one item if there is any, whatever its size.
    """
    return _filled(request, limits, rows, build, _size_of)


def fill_page_in_steps(
    request: PageRequest,
    limits: PageLimits,
    rows: Iterator[tuple[Key, Row] | None],
    build: Callable[[Key, Row], Item],
) -> Generator[None, None, tuple[list[Item], str]]:
    """Does the same with a pause wherever there is None among the rows."""
    return _filling(request, limits, rows, build, _size_of)


def _size_of(item: Message) -> int:
    return item.ByteSize()


def written_page(
    request: PageRequest,
    limits: PageLimits,
    rows: Iterator[tuple[Key, Row]],
    write: Callable[[Key, Row], bytes],
    page_type: Any,
    items_name: str,
    **others: Any,
) -> Written:
    """Returns a page as `fill_page` does, of items that are bytes, in the field `items_name`.

    `others` are further fields of the page. A message an item would take three times as long.
    """
    items, token = _filled(request, limits, rows, write, len)
    fields = {items_name: items, "next_page_token": token, **others}
    return Written(page_type, writer(page_type)(**fields))


def _filled(
    request: PageRequest,
    limits: PageLimits,
    rows: Iterator[tuple[Key, Row]],
    build: Callable[[Key, Row], Built],
    size_of: Callable[[Built], int],
) -> tuple[list[Built], str]:
    return whole_answer(_filling(request, limits, rows, build, size_of))


def _filling(
    request: PageRequest,
    limits: PageLimits,
    rows: Iterator[tuple[Key, Row] | None],
    build: Callable[[Key, Row], Built],
    size_of: Callable[[Built], int],
) -> Generator[None, None, tuple[list[Built], str]]:
    items: list[Built] = []
    items_max = page_items(request.page_size, limits)
    size_bytes = 0
    last: Key | None = None
    for found in rows:
        if found is None:
            yield
            continue
        if len(items) == items_max:
            return items, make_token(request, last)
        item = build(*found)
        size_bytes += size_of(item)
        if items and size_bytes > limits.page_bytes_max:
            return items, make_token(request, last)
        items.append(item)
        last = found[0]
    return items, ""
