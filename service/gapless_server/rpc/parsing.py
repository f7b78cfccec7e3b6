"""Parses requests, and says which field is at fault when the bytes are not a message.

gRPC would answer unparsable bytes with INTERNAL before any handler runs; here handlers get bytes
and parse them, so that bad input is INVALID_ARGUMENT, and one bad command of a frame does not
take the good ones with it.
"""

from __future__ import annotations

from typing import Any, TypeVar

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import DecodeError, Message

from gapless.v1 import errors_pb2
from gapless.v1.commands_pb2 import Command, PipelineRequest
from gapless_server.core.refusals import FieldFault, Refused

AnyMessage = TypeVar("AnyMessage", bound=Message)

_VARINT, _FIXED64, _LENGTH, _FIXED32 = 0, 1, 2, 5
_NESTING_MAX = 32


def parse(message_type: type[AnyMessage], data: bytes) -> AnyMessage:
    """Returns the message. Raises Refused, reason MALFORMED_MESSAGE, naming the field if it can."""
    try:
        return message_type.FromString(data)
    except DecodeError as error:
        raise malformed(message_type.DESCRIPTOR, data) from error


def parse_frame(data: bytes) -> list[Command | Refused]:
    """Returns the commands of a frame; one that is malformed is the refusal that says so.

    Raises Refused, reason MALFORMED_MESSAGE, if the frame itself cannot be taken apart.
    """
    try:
        return list(PipelineRequest.FromString(data).commands)
    except DecodeError:
        pass
    commands: list[Command | Refused] = []
    try:
        for number, value in _fields(data):
            if number == PipelineRequest.COMMANDS_FIELD_NUMBER and isinstance(value, bytes):
                commands.append(_parse_member(value))
    except ValueError as error:
        raise _refusal(PipelineRequest.DESCRIPTOR, "commands", str(error)) from error
    return commands


def _parse_member(data: bytes) -> Command | Refused:
    try:
        return parse(Command, data)
    except Refused as refusal:
        return refusal


def malformed(descriptor: Any, data: bytes) -> Refused:
    """Returns the refusal of bytes that are not a message of this type."""
    field, description = _locate(descriptor, data, 0) or ("", "the bytes cannot be parsed")
    return _refusal(descriptor, field, description)


def _refusal(descriptor: Any, field: str, description: str) -> Refused:
    return Refused(
        errors_pb2.ERROR_REASON_MALFORMED_MESSAGE,
        faults=(FieldFault(field, description),) if field else (),
        type=descriptor.name,
        field=field,
        description=f"{field}: {description}" if field else description,
    )


def _locate(descriptor: Any, data: bytes, depth: int) -> tuple[str, str] | None:
    """Finds the first field that keeps the bytes from being parsed: its path and its fault."""
    try:
        for number, value in _fields(data):
            field = descriptor.fields_by_number.get(number)
            if field is None or not isinstance(value, bytes):
                continue
            if field.type == FieldDescriptor.TYPE_STRING:
                try:
                    value.decode("utf-8")
                except UnicodeDecodeError as error:
                    return field.name, f"is not valid UTF-8 at byte {error.start}"
            elif field.message_type is not None and depth < _NESTING_MAX:
                inner = _locate(field.message_type, value, depth + 1)
                if inner is not None:
                    path, description = inner
                    return (f"{field.name}.{path}" if path else field.name), description
    except ValueError as error:
        return "", str(error)
    return None


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Takes apart one level of the wire format. Raises ValueError where it breaks off."""
    fields: list[tuple[int, int | bytes]] = []
    offset = 0
    while offset < len(data):
        tag, offset = _varint(data, offset)
        number, wire_type = tag >> 3, tag & 7
        if wire_type == _VARINT:
            value, offset = _varint(data, offset)
            fields.append((number, value))
            continue
        if wire_type == _LENGTH:
            length, offset = _varint(data, offset)
        elif wire_type in (_FIXED64, _FIXED32):
            length = 8 if wire_type == _FIXED64 else 4
        else:
            raise ValueError(f"unknown wire type {wire_type} at byte {offset}")
        if offset + length > len(data):
            raise ValueError(f"the bytes end within a field that begins at byte {offset}")
        fields.append((number, data[offset : offset + length]))
        offset += length
    return fields


def _varint(data: bytes, offset: int) -> tuple[int, int]:
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
