"""Parses requests, and says which field is at fault when the bytes are not a message.

gRPC would answer unparsable bytes with INTERNAL before any handler runs; here handlers get bytes
and parse them, so that bad input is INVALID_ARGUMENT, and one bad command of a frame does not
take the good ones with it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from itertools import count
from typing import Any, Final, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import Command, PipelineRequest
from gapless_server.core.refusals import FieldFault, Refused
from gapless_server.core.wire import bytes_tag, field

AnyMessage = TypeVar("AnyMessage", bound=Message)
Data = TypeVar("Data", bytes, memoryview)
# Makes a command of the bytes of one of a frame; counts the fields that were looked at in all.
ParseMember = Callable[[bytes, Iterator[int]], Command | Refused]

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5

# So deep protobuf takes messages in messages.
NESTING_MAX: Final = 100
# So many fields are looked at, about 10 ms, to find which one is at fault: in all commands of a
# frame together, as nothing else is done meanwhile.
LOOKS_MAX: Final = 10_000
# The commands of a longer frame are counted before they are parsed.
UNCOUNTED_BYTES_MAX: Final = 1024 * 1024


def parse(message_type: type[AnyMessage], data: bytes) -> AnyMessage:
    """Returns the message. Raises Refused, reason MALFORMED_MESSAGE, naming the field if it can."""
    try:
        return message_type.FromString(data)
    except DecodeError as error:
        raise malformed(message_type.DESCRIPTOR, data) from error


def command_parser(request_type: type[Message], name: str) -> Callable[[bytes], Command]:
    """Returns what makes a command of the bytes of a request; `name` is its field in Command.

    In one go, as parsing the request and copying it into a command would take three times as long.
    What it returns raises Refused as `parse` does.
    """
    tag = bytes_tag(Command.DESCRIPTOR.fields_by_name[name].number)

    def parse_command(data: bytes) -> Command:
        try:
            return Command.FromString(field(tag, data))
        except DecodeError:
            request: Any = parse(request_type, data)
            # It is right by itself, if its depth is just what a message may have.
            return Command(**{name: request})

    return parse_command


def parse_frame(
    data: bytes, commands_max: int, parse_one: ParseMember | None = None
) -> list[Command | Refused]:
    """Returns the commands of a frame; one that is malformed is the refusal that says so.

    `parse_one` parses those of a frame with a large one, instead of `parse_member`. Raises Refused,
    reason MALFORMED_MESSAGE, if the frame itself cannot be taken apart, or FRAME_TOO_LARGE.
    """
    if len(data) > UNCOUNTED_BYTES_MAX:
        largest_bytes = _count_commands(data, commands_max)
        if largest_bytes > UNCOUNTED_BYTES_MAX:
            return _parse_members(data, commands_max, parse_one or parse_member)
    try:
        found = PipelineRequest.FromString(data).commands
    except DecodeError:
        return _parse_members(data, commands_max, parse_one or parse_member)
    if len(found) > commands_max:
        raise _frame_too_large(str(len(found)), commands_max)
    return list(found)


def _count_commands(data: bytes, commands_max: int) -> int:
    """Refuses a frame of too many commands without making any of them; returns the largest size.

    An empty one takes two bytes and as a message a hundred times as much, so that a frame of the
    largest size could hold up all else for seconds.
    """
    largest_bytes = 0
    try:
        for index, (_number, value) in enumerate(_fields(data), start=1):
            if index > commands_max:
                raise _frame_too_large(f"more than {commands_max}", commands_max)
            if isinstance(value, bytes):
                largest_bytes = max(largest_bytes, len(value))
    except ValueError:
        return 0  # told by who parses it
    return largest_bytes


def _parse_members(
    data: bytes, commands_max: int, parse_one: ParseMember
) -> list[Command | Refused]:
    commands: list[Command | Refused] = []
    looks = count(1)
    try:
        for number, value in _fields(data):
            if number == PipelineRequest.COMMANDS_FIELD_NUMBER and isinstance(value, bytes):
                commands.append(parse_one(value, looks))
                if len(commands) > commands_max:
                    raise _frame_too_large(f"more than {commands_max}", commands_max)
    except ValueError as error:
        raise _refusal(PipelineRequest.DESCRIPTOR, "commands", str(error)) from error
    return commands


def _frame_too_large(commands: str, commands_max: int) -> Refused:
    return Refused(
        errors_pb2.ERROR_REASON_FRAME_TOO_LARGE, commands=commands, commands_max=commands_max
    )


def parse_member(data: bytes, looks: Iterator[int]) -> Command | Refused:
    """Returns a command of a frame, or the refusal that says why it is none.

    `looks` counts the fields that were looked at in all commands of the frame.
    """
    try:
        return Command.FromString(data)
    except DecodeError:
        return malformed(Command.DESCRIPTOR, data, looks)


def malformed(descriptor: Any, data: bytes, looks: Iterator[int] | None = None) -> Refused:
    """Returns the refusal of bytes that are not a message of this type."""
    # A view, as each level would copy what is in it.
    found = _locate(descriptor, memoryview(data), 0, looks or count(1))
    field, description = found or ("", "the bytes cannot be parsed")
    return _refusal(descriptor, field, description)


def has_many_fields(descriptor: Any, data: bytes) -> bool:
    """Says whether bytes have more fields than are looked at, without making a message of them."""
    looks = count(1)
    _locate(descriptor, memoryview(data), 0, looks)
    return next(looks) > LOOKS_MAX + 1


def _refusal(descriptor: Any, field: str, description: str) -> Refused:
    return Refused(
        errors_pb2.ERROR_REASON_MALFORMED_MESSAGE,
        faults=(FieldFault(field, description),) if field else (),
        type=descriptor.name,
        field=field,
        description=f"{field}: {description}" if field else description,
    )


def _locate(
    descriptor: Any, data: memoryview, depth: int, looks: Iterator[int]
) -> tuple[str, str] | None:
    """Finds the first field that keeps the bytes from being parsed: its path and its fault."""
    if depth > NESTING_MAX:
        return "", f"is nested deeper than {NESTING_MAX} messages"
    items: Counter[int] = Counter()
    try:
        for number, value in _fields(data):
            if next(looks) > LOOKS_MAX:
                return None
            known = descriptor.fields_by_number.get(number)
            if known is None or isinstance(value, int):
                continue
            name = known.name
            if known.is_repeated:
                name += f"[{items[number]}]"
                items[number] += 1
            if known.type == FieldDescriptor.TYPE_STRING:
                try:
                    str(value, "utf-8")
                except UnicodeDecodeError as error:
                    return name, f"is not valid UTF-8 at byte {error.start}"
            elif known.message_type is not None:
                inner = _locate(known.message_type, value, depth + 1, looks)
                if inner is not None:
                    path, description = inner
                    return (f"{name}.{path}" if path else name), description
    except ValueError as error:
        return "", str(error)
    return None


def _fields(data: Data) -> Iterator[tuple[int, int | Data]]:
    """Takes apart one level of the wire format. Raises ValueError where it breaks off."""
    offset = 0
    while offset < len(data):
        tag, offset = _varint(data, offset)
        number, wire_type = tag >> 3, tag & 7
        if number == 0:
            raise ValueError(f"there is no field 0, as at byte {offset}")
        if wire_type == _VARINT:
            value, offset = _varint(data, offset)
            yield number, value
            continue
        if wire_type == _LENGTH:
            length, offset = _varint(data, offset)
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire_type} at byte {offset}")
        if offset + length > len(data):
            raise ValueError(f"the bytes end within a field that begins at byte {offset}")
        yield number, data[offset : offset + length]
        offset += length


def _varint(data: Data, offset: int) -> tuple[int, int]:
    value = 0
    for shift in range(0, 70, 7):
        if offset >= len(data):
            break
        byte = data[offset]
        offset += 1
        value |= (byte & 0x7F) << shift
        if byte < 0x80:
            return value, offset
    raise ValueError(f"a number breaks off at byte {offset}")
