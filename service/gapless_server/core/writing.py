"""Writers: one straight-line function a message type that puts a message together as its bytes.

What is read most is made out of rows, sent and forgotten. A message of protobuf for it takes three
times as long, as every field is a call, and each message inside one more object. A writer takes the
fields as the constructor of the type does, with bytes in the place of the messages inside.

1. The bytes are those that protobuf would write; a test holds it. Only pairs of a map stand in the
   order in which they are given, as protobuf has one of its own.
2. A message inside is given as its bytes, None standing for none; repeated ones as a list of bytes;
   a map of texts as pairs. None stands for whatever else is absent, where its field has presence.
3. Values are not checked: they come out of rows.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from functools import cache
from typing import Any, Final

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gapless_server.core.wire import (
    SMALL_VARINTS,
    VARINTS,
    bytes_tag,
    field,
    is_map,
    number_tag,
    packed,
)

# Takes the fields of a message by their names, and returns the bytes of the message.
Write = Callable[..., bytes]

_NUMBERS: Final = (
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_BOOL,
    FieldDescriptor.TYPE_ENUM,
)
_TEXTS: Final = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES)
_INDENT = "    "
# The expression of a length as a varint, small ones out of a table.
_LENGTH = f"(_SMALL[_size] if _size < {len(SMALL_VARINTS)} else _VARINTS[_size])"


class Written(msgspec.Struct, frozen=True, gc=False):
    """A message that was written as its bytes, for who sends it on and does not look into it."""

    message_type: type[Message]
    data: bytes

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Returns the bytes."""
        return self.data


def as_message(answer: Message | Written) -> Message:
    """Returns an answer that may have been written as protobuf has it."""
    return answer.message_type.FromString(answer.data) if isinstance(answer, Written) else answer


@cache
def writer(message_type: Any) -> Write:
    """Returns the writer of a message type.

    As the methods of a dataclass are, it is compiled from text, which is made of the names of the
    fields, and of others that no field has: theirs never begin with an underscore. Raises TypeError
    for a field of a type that no writer knows.
    """
    fields: list[FieldDescriptor] = sorted(
        message_type.DESCRIPTOR.fields, key=lambda one: one.number
    )
    names: dict[str, Any] = {
        "_SMALL": SMALL_VARINTS,
        "_VARINTS": VARINTS,
        "_join": b"".join,
        "_packed": packed,
        "_pairs": _pairs,
    }
    arguments = [f"{one.name}={_default(one)!r}" for one in fields]
    lines = [f"def write(*, {', '.join(arguments)}):", f"{_INDENT}_parts = []"]
    for one in fields:
        tag = bytes_tag if one.is_repeated or one.type not in _NUMBERS else number_tag
        names[f"_tag_{one.name}"] = tag(one.number)
        lines += [_INDENT + line for line in _lines(one)]
    lines.append(f"{_INDENT}return _join(_parts)")
    exec("\n".join(lines), names)  # noqa: S102 - made of field names: see above
    write: Write = names["write"]
    return write


def _default(one: FieldDescriptor) -> Any:
    """Returns the value of a field that is not given."""
    if one.is_repeated:
        if one.message_type is not None or one.type in (*_NUMBERS, *_TEXTS):
            return ()
    elif one.message_type is not None or (one.has_presence and one.type in (*_NUMBERS, *_TEXTS)):
        return None
    elif one.type in _NUMBERS:
        return 0
    elif one.type in _TEXTS:
        return "" if one.type == FieldDescriptor.TYPE_STRING else b""
    raise TypeError(f"{one.full_name} is of a type that no writer knows")


def _lines(one: FieldDescriptor) -> Iterator[str]:
    """Yields the lines that write a field."""
    name = one.name
    given = f"{name} is not None" if _default(one) is None else name
    is_text = one.type == FieldDescriptor.TYPE_STRING
    if is_map(one):
        yield f"if {name}: _pairs(_parts, _tag_{name}, {name})"
        return
    if one.type in _NUMBERS and not one.is_repeated:
        yield f"if {given}: _parts += (_tag_{name}, _VARINTS[{name}])"
        return
    if one.type in _NUMBERS:
        yield f"if {name}:"
        value = f"_packed({name})"
    elif one.is_repeated:
        yield f"for _data in {name}:"
        value = "_data.encode()" if is_text else "_data"
    else:
        yield f"if {given}:"
        value = f"{name}.encode()" if is_text else name
    yield f"{_INDENT}_data = {value}; _size = len(_data)"
    yield f"{_INDENT}_parts += (_tag_{name}, {_LENGTH}, _data)"


_PAIR_KEY = bytes_tag(1)
_PAIR_VALUE = bytes_tag(2)


def _pairs(parts: list[bytes], tag: bytes, pairs: Iterable[tuple[str, str]]) -> None:
    for key, value in pairs:
        # Key and value stand there even if they are empty.
        pair = field(_PAIR_KEY, key.encode()) + field(_PAIR_VALUE, value.encode())
        parts.append(field(tag, pair))
