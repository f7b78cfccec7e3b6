"""Makes messages of any type from its descriptor: mostly legal values, and those around limits."""

from __future__ import annotations

import random
from collections.abc import Callable
from typing import Any, Final

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gapless_server.core.validation import field_rules, is_map

# Few, so that commands meet what other commands have made.
_IDS: Final = ("a", "b", "c", "d")
_TEXTS: Final = (
    "", "x", "word", "é", "e\u0301", "\u202e", "a\0b", "\x7f", "💥", "x" * 128, "x" * 129, "ﷺ" * 50,
)  # fmt: skip
_INTEGERS: Final = (-(2**63), -(2**31), -1, 0, 1, 2, 3, 100, 2**31 - 1, 2**31, 2**53, 2**63 - 1)
_NESTING_MAX: Final = 5
# How deep a command lies that is no member of a batch.
_COMMAND_DEPTH: Final = 1
_LARGE_ITEMS: Final = 1100

FieldName = str


class MessageMaker:
    """Makes messages; `wildness`, from 0 to 1, says how often a value is not a sensible one."""

    def __init__(self, chance: random.Random, wildness: float = 0.05) -> None:
        self._chance = chance
        self._wildness = wildness
        self._request_number = 0
        self._makers: dict[int, Callable[[FieldDescriptor], Any]] = {
            FieldDescriptor.CPPTYPE_STRING: self._string,
            FieldDescriptor.CPPTYPE_BOOL: lambda _field: self._chance.random() < 0.3,
            FieldDescriptor.CPPTYPE_ENUM: self._enum,
        }

    def make(self, message_type: Any, depth: int = 0) -> Any:
        """Returns a message of a type."""
        message = message_type()
        fields = list(message_type.DESCRIPTOR.fields)
        for union in message_type.DESCRIPTOR.oneofs:
            members = [field for field in fields if field.containing_oneof is union]
            kept = self._chance.choice(members)
            fields = [field for field in fields if field not in members or field is kept]
        for field in fields:
            if field_rules(field).required or self._chance.random() < 0.5:
                self.set_field(message, field, depth)
        return message

    def make_member(self, union_type: Any, name: str) -> Any:
        """Returns a message of a union type in which this member is set."""
        made = union_type()
        member = getattr(made, name)
        member.CopyFrom(self.make(type(member), 1))
        return made

    def _wild(self) -> bool:
        return self._chance.random() < self._wildness

    def set_field(self, message: Message, field: FieldDescriptor, depth: int = 0) -> None:
        """Sets one field of a message."""
        if field.is_repeated:
            self._set_repeated(message, field, depth)
        elif field.message_type is not None:
            if depth < _NESTING_MAX:
                made = self.make(GetMessageClass(field.message_type), depth + 1)
                getattr(message, field.name).CopyFrom(made)
        elif field.name == "request_id" and not self._wild():
            # A member of a batch has none of its own.
            if depth <= _COMMAND_DEPTH:
                self._request_number += 1
                setattr(message, field.name, f"r{self._request_number}")
        else:
            setattr(message, field.name, self._value(field))

    def _set_repeated(self, message: Message, field: FieldDescriptor, depth: int) -> None:
        items = getattr(message, field.name)
        count = self._chance.choice((1, 1, 2, 3))
        if field.message_type is None and self._chance.random() < self._wildness / 20:
            count = min(field_rules(field).items_max or _LARGE_ITEMS, _LARGE_ITEMS) + 1
        for _ in range(count):
            if is_map(field):
                items[self._text()] = self._text()
            elif field.message_type is None:
                items.append(self._value(field))
            elif depth < _NESTING_MAX:
                items.append(self.make(GetMessageClass(field.message_type), depth + 1))

    def _value(self, field: FieldDescriptor) -> Any:
        return self._makers.get(field.cpp_type, self._integer)(field)

    def _string(self, field: FieldDescriptor) -> str | bytes:
        if field.type == FieldDescriptor.TYPE_BYTES:
            return self._bytes()
        if field.name == "update_mask" or field.name == "paths":
            return self._chance.choice(("title", "attributes", "ranges", "body", "nothing"))
        return self._text()

    def _text(self) -> str:
        return self._chance.choice(_TEXTS if self._wild() else _IDS)

    def _bytes(self) -> bytes:
        if self._chance.random() < self._wildness / 20:
            return bytes(65_536 + self._chance.choice((-1, 0, 1)))
        return self._chance.randbytes(self._chance.choice((0, 1, 8)))

    def _enum(self, field: FieldDescriptor) -> int:
        enum: Any = field.enum_type
        known = [value.number for value in enum.values]
        return (
            self._chance.choice((-1, 99, 2**31 - 1)) if self._wild() else self._chance.choice(known)
        )

    def _integer(self, field: FieldDescriptor) -> int:
        rules = field_rules(field)
        choices = [1, 2, 3, self._chance.randrange(1000)]
        if self._wild():
            choices = [*_INTEGERS, rules.minimum, rules.maximum, rules.minimum - 1]
            choices.append(rules.maximum + 1)
        low, high = _range_of(field)
        return min(max(self._chance.choice(choices), low), high)


def _range_of(field: FieldDescriptor) -> tuple[int, int]:
    bits = 32 if field.cpp_type in _BITS_32 else 64
    if field.cpp_type in _UNSIGNED:
        return 0, 2**bits - 1
    return -(2 ** (bits - 1)), 2 ** (bits - 1) - 1


_BITS_32 = (FieldDescriptor.CPPTYPE_INT32, FieldDescriptor.CPPTYPE_UINT32)
_UNSIGNED = (FieldDescriptor.CPPTYPE_UINT32, FieldDescriptor.CPPTYPE_UINT64)
