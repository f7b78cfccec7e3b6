"""Plain forms: structs that stand in for messages of protobuf where every microsecond counts.

A plain form has the constructor and the fields of its message type, and is made, read and written
in a fraction of the time. It is for messages that live for one command: a kind makes its events
and responses of the plain form and registers it in the place of the message type. Replays, the log
and the wire know the message type alone, so what takes a plain form must take either.

1. A plain form is written as protobuf writes the same values, byte for byte; a test holds it.
2. It can have texts, bytes, integers, booleans and enums, maps, lists of numbers, and messages
   without maps, which it holds as they are: as messages, or as whatever else has their
   fields and is serialized like them. Other types have no plain form.
3. Values are not checked: they come out of messages, or are what the core has made. None stands
   for what is absent, as with the constructors of messages; a number with presence is None then.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from functools import cache
from sys import intern
from typing import Any, ClassVar, TypeVar, cast

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gapless_server.core.unions import message_class
from gapless_server.core.wire import (
    SMALL_VARINTS,
    VARINTS,
    bytes_tag,
    holds_map,
    is_map,
    number_tag,
    packed,
)

AnyMessage = TypeVar("AnyMessage", bound=Message)

_NUMBERS = (
    FieldDescriptor.TYPE_INT32,
    FieldDescriptor.TYPE_INT64,
    FieldDescriptor.TYPE_UINT32,
    FieldDescriptor.TYPE_UINT64,
    FieldDescriptor.TYPE_BOOL,
    FieldDescriptor.TYPE_ENUM,
)
_SCALARS = (FieldDescriptor.TYPE_STRING, FieldDescriptor.TYPE_BYTES, *_NUMBERS)
_INDENT = "    "
# The expression of a number as a varint, small ones out of a table.
_LOOKED_UP = f"({{0}}[{{1}}] if 0 <= {{1}} < {len(SMALL_VARINTS)} else VARINTS[{{1}}])"


class Plain(msgspec.Struct, gc=False):
    """The base of plain forms."""

    DESCRIPTOR: ClassVar[Any]
    message_type: ClassVar[type[Message]]
    # What a field with presence holds while it is not set; None stands for that as well.
    absent: ClassVar[dict[str, Message | None]]
    # Serializes a message in its plain form.
    write: ClassVar[Callable[[Any], bytes]]

    def HasField(self, name: str) -> bool:  # noqa: N802 - protobuf's name
        """Says whether a field with presence is set."""
        value = getattr(self, name)
        return value is not None and value is not self.absent[name]


def plain(message_type: type[AnyMessage]) -> type[AnyMessage]:
    """Returns the plain form of a message type, which type checkers take for the type itself.

    Raises TypeError if it has none.
    """
    return cast("type[AnyMessage]", _plain(cast("Any", message_type)))


@cache
def _plain(message_type: Any) -> type[Plain]:
    fields: list[FieldDescriptor] = list(message_type.DESCRIPTOR.fields)
    defaults = {one.name: _default(one) for one in fields}
    members = {
        "DESCRIPTOR": message_type.DESCRIPTOR,
        "message_type": message_type,
        "absent": {one.name: defaults[one.name] for one in fields if one.has_presence},
        "write": staticmethod(_compile_writer(fields, defaults)),
    }
    # Interned, a keyword is found among the names in half the time.
    struct_fields = [(intern(name), Any, default) for name, default in defaults.items()]
    made = msgspec.defstruct(
        message_type.__name__, struct_fields, bases=(Plain,), namespace=members, gc=False
    )
    return cast("type[Plain]", made)


def both_forms(registered: Any) -> tuple[type[Message], type[Plain] | None]:
    """Returns a message type, and its plain form if that is what was registered."""
    if issubclass(registered, Plain):
        return registered.message_type, registered
    return registered, None


def to_plain(plain_type: Any, message: Message) -> Any:
    """Returns a message in its plain form, without the fields that this version does not know."""
    absent = plain_type.absent
    names = [
        name
        for name in plain_type.__struct_fields__
        if name not in absent or message.HasField(name)
    ]
    return plain_type(**{name: getattr(message, name) for name in names})


def to_message(message: Message | Plain) -> Message:
    """Returns a message that may be in its plain form as protobuf has it."""
    if not isinstance(message, Plain):
        return message
    copy = message.message_type()
    for name in message.__struct_fields__:
        value = getattr(message, name)
        if name in message.absent and not message.HasField(name):
            continue
        if isinstance(value, str | bytes | int):
            setattr(copy, name, value)
        elif name in message.absent:
            getattr(copy, name).MergeFromString(value.SerializeToString())
            getattr(copy, name).SetInParent()
        elif is_map(message.DESCRIPTOR.fields_by_name[name]):
            getattr(copy, name).update(value)
        else:
            getattr(copy, name).extend(value)
    return copy


def _default(one: FieldDescriptor) -> Any:
    if is_map(one):
        return ()
    if not one.is_repeated and one.message_type is not None and not holds_map(one.message_type):
        return _absent(cast("Any", message_class(one)))
    if one.type in _NUMBERS and (one.is_repeated or one.has_presence):
        return () if one.is_repeated else None
    if not (one.is_repeated or one.has_presence) and one.type in _SCALARS:
        return one.default_value
    raise TypeError(f"{one.full_name} is of a type that no plain form has")


@cache
def _absent(message_type: Any) -> Message:
    """The one message that stands for none, so that it stays none when it is passed on."""
    empty: Message = message_type()
    return empty


def _write_slowly(message: Plain) -> bytes:
    """Writes a message with a map: in which order of its keys is protobuf's own business."""
    return to_message(message).SerializeToString(deterministic=True)


def _compile_writer(
    fields: list[FieldDescriptor], defaults: Mapping[str, Any]
) -> Callable[[Any], bytes]:
    """Returns the function that serializes: one straight line through the fields, and one join.

    As the methods of a dataclass are, it is compiled from text, which is made of the names of the
    fields alone.
    """
    names: dict[str, Any] = {
        "SMALL": SMALL_VARINTS,
        # Of numbers, and lengths of texts, of which 0 is not written.
        "PRESENT": [b"", *SMALL_VARINTS[1:]],
        "VARINTS": VARINTS,
        "join": b"".join,
        "write_slowly": _write_slowly,
        "packed": packed,
    }
    lines, parts = ["def write(message):"], list[str]()
    for one in sorted(fields, key=lambda one: one.number):
        is_number = one.type in _NUMBERS and not one.is_repeated
        tag = (number_tag if is_number else bytes_tag)(one.number)
        names |= {f"tag_{one.name}": tag, f"absent_{one.name}": defaults[one.name]}
        lines += [_INDENT + line for line in _preparing(one)]
        parts += _parts(one)
    lines.append(f"{_INDENT}return join(({', '.join(parts)},))")
    exec("\n".join(lines), names)  # noqa: S102 - made of field names: see above
    write: Callable[[Any], bytes] = names["write"]
    return write


def _preparing(one: FieldDescriptor) -> Iterator[str]:
    """Yields the lines that get what is to be written of a field."""
    name = one.name
    yield f"{name} = message.{name}"
    if is_map(one):
        yield f"if {name}: return write_slowly(message)"
    elif one.message_type is not None:
        yield f"if {name} is absent_{name} or {name} is None: start_{name} = {name} = b''"
        yield "else:"
        yield f"{_INDENT}{name} = {name}.SerializeToString(); size = len({name})"
        yield f"{_INDENT}start_{name} = tag_{name} + {_LOOKED_UP.format('SMALL', 'size')}"
    elif one.is_repeated:
        yield f"{name} = packed({name}) if {name} else b''"
        yield f"size_{name} = len({name})"
    elif one.type not in _NUMBERS:
        if one.type == FieldDescriptor.TYPE_STRING:
            yield f"{name} = {name}.encode()"
        yield f"size_{name} = len({name})"


def _parts(one: FieldDescriptor) -> list[str]:
    """Returns the expressions of the parts of a field; of one that is not set, they are empty."""
    name = one.name
    if is_map(one):
        return []
    if one.message_type is not None:
        return [f"start_{name}", name]
    tag = f"tag_{name} if {name} else b''"
    if one.has_presence:
        return [f"b'' if {name} is None else tag_{name} + VARINTS[{name}]"]
    if one.type in _NUMBERS and not one.is_repeated:
        return [tag, _LOOKED_UP.format("PRESENT", name)]
    return [tag, _LOOKED_UP.format("PRESENT", f"size_{name}"), name]
