"""Fingerprints: what a command said, small enough to keep beside every entry.

A fingerprint has eight bytes for each field that the command set, in the order of the field
numbers: the number in the first byte, then seven bytes of the XXH3 hash of the value. So two
commands are told apart, the fields that differ can be named, and a field that a later version
adds leaves old fingerprints as they are. A field number must therefore stay below 256. The
request id is left out: it is the key that a fingerprint is looked up by. Guards and other
circumstances of a command are told apart as fields of `extra`.
"""

from __future__ import annotations

import struct

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from xxhash import xxh3_64_intdigest

_NUMBER_SHIFT = 56
_HASH_SHIFT = 8
_WIDTH = 8
# Which command it was, as the number of a field that no message has.
_TYPE_NUMBER = 0


def _digest(field: FieldDescriptor, value: object) -> int:
    if isinstance(value, str):
        data = value.encode()
    elif isinstance(value, bytes):
        data = value
    elif isinstance(value, Message):
        data = value.SerializeToString(deterministic=True)
    elif isinstance(value, int | float):
        data = repr(value).encode()
    else:
        data = _container_bytes(field, value)
    return xxh3_64_intdigest(data)


def _container_bytes(field: FieldDescriptor, value: object) -> bytes:
    """The bytes of a repeated field or a map: those of a message that holds nothing else."""
    holder = field.containing_type._concrete_class()
    container = getattr(holder, field.name)
    if field.message_type is not None and field.message_type.GetOptions().map_entry:
        container.MergeFrom(value)
    else:
        container.extend(value)
    return bytes(holder.SerializeToString(deterministic=True))


def fingerprint(command: Message, command_number: int) -> bytes:
    """Returns the fingerprint of a typed command; `command_number` is its field in Command."""
    words = [(_TYPE_NUMBER << _NUMBER_SHIFT) | command_number]
    for field, value in command.ListFields():
        if field.name != "request_id":
            digest = _digest(field, value)
            words.append((field.number << _NUMBER_SHIFT) | (digest >> _HASH_SHIFT))
    return struct.pack(f">{len(words)}Q", *words)


def differing_fields(old: bytes, new: bytes, command: Descriptor) -> list[str]:
    """Names the fields in which two fingerprints differ, in the order of their numbers.

    `command` describes the newer command. Another type of command altogether is named "command".
    """
    old_words, new_words = _by_number(old), _by_number(new)
    if old_words[_TYPE_NUMBER] != new_words[_TYPE_NUMBER]:
        return ["command"]
    numbers = sorted(old_words.keys() | new_words.keys())
    differing = [number for number in numbers if old_words.get(number) != new_words.get(number)]
    return [
        command.fields_by_number[number].name
        if number in command.fields_by_number
        else f"field {number}"
        for number in differing
    ]


def _by_number(value: bytes) -> dict[int, int]:
    words = struct.unpack(f">{len(value) // _WIDTH}Q", value)
    return {word >> _NUMBER_SHIFT: word for word in words}
