"""Fingerprints: what a command said, small enough to keep beside every entry.

A fingerprint is one byte for the command's type, one byte for each field that the command set,
and then for each of these eight bytes: the XXH3 hash of the field's value. Types and fields are
given by their numbers, which must therefore stay below 255; that number stands for the guards that
came with the command. So two commands are told apart, the fields that differ can be named, and a
field that a later version adds leaves old fingerprints as they are. The request id is left out: it
is the key that a fingerprint is looked up by.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass
from xxhash import xxh3_64_digest

from gapless_server.core.wire import is_map, serializer

_DIGEST_BYTES = 8
_REQUEST_ID = "request_id"
# The guards, as if they were a field of the command, with a number that no field has.
_GUARDS = 255
GUARDS_NAME = "guards"
_LENGTH_BYTES = 4


class _FieldReader(NamedTuple):
    """How the bytes of one field are had: the same in every version, on any machine (G10)."""

    number: bytes
    name: str
    presence: bool
    to_bytes: Callable[[Any], bytes]


def fingerprint(command: Message, command_number: int, guards: Sequence[Message] = ()) -> bytes:
    """Returns the fingerprint of a typed command; `command_number` is its field in Command."""
    command_type: Any = type(command)
    has_field = command_type.HasField
    header = bytes((command_number,))
    digests = b""
    for number, name, presence, to_bytes in _readers(command_type):
        # A message is never false, so a field that knows whether it is set is asked.
        if presence:
            if not has_field(command, name):
                continue
            value = getattr(command, name)
        else:
            value = getattr(command, name)
            if not value:
                continue
        header += number
        digests += xxh3_64_digest(to_bytes(value))
    if guards:
        header += bytes((_GUARDS,))
        digests += xxh3_64_digest(_joined(guards))
    return header + digests


def _joined(guards: Sequence[Message]) -> bytes:
    parts = [guard.SerializeToString(deterministic=True) for guard in guards]
    return b"".join(len(part).to_bytes(_LENGTH_BYTES, "big") + part for part in parts)


def differing_fields(old: bytes, new: bytes, command: Descriptor) -> list[str]:
    """Names the fields in which two fingerprints differ, in the order of their numbers.

    `command` describes the newer command. Another type of command altogether is named "command".
    """
    if old[0] != new[0]:
        return ["command"]
    old_digests, new_digests = _digests(old), _digests(new)
    return [
        _field_name(command, number)
        for number in sorted(old_digests.keys() | new_digests.keys())
        if old_digests.get(number) != new_digests.get(number)
    ]


def _field_name(command: Descriptor, number: int) -> str:
    if number == _GUARDS:
        return GUARDS_NAME
    field = command.fields_by_number.get(number)
    return f"field {number}" if field is None else field.name


def _digests(value: bytes) -> dict[int, bytes]:
    count = (len(value) - 1) // (1 + _DIGEST_BYTES)
    start = 1 + count
    return {
        value[1 + index]: value[start + index * _DIGEST_BYTES : start + (index + 1) * _DIGEST_BYTES]
        for index in range(count)
    }


@cache
def _readers(command_type: Any) -> tuple[_FieldReader, ...]:
    fields: list[FieldDescriptor] = sorted(
        command_type.DESCRIPTOR.fields, key=lambda field: field.number
    )
    return tuple(
        _FieldReader(
            bytes((field.number,)), field.name, field.has_presence, _to_bytes(command_type, field)
        )
        for field in fields
        if field.name != _REQUEST_ID
    )


def _to_bytes(command_type: Any, field: FieldDescriptor) -> Callable[[Any], bytes]:
    if field.is_repeated:
        return _container_to_bytes(command_type, field)
    if field.message_type is not None:
        return serializer(GetMessageClass(field.message_type))
    if field.type == FieldDescriptor.TYPE_STRING:
        return str.encode
    if field.type == FieldDescriptor.TYPE_BYTES:
        return bytes
    return _number_to_bytes


def _number_to_bytes(value: float) -> bytes:
    return repr(value).encode()


def _container_to_bytes(command_type: Any, field: FieldDescriptor) -> Callable[[Any], bytes]:
    """The bytes of a repeated field or a map: those of a command that holds nothing else."""
    name, merge = field.name, "MergeFrom" if is_map(field) else "extend"

    def to_bytes(value: Any) -> bytes:
        holder: Message = command_type()
        getattr(getattr(holder, name), merge)(value)
        return holder.SerializeToString(deterministic=True)

    return to_bytes
