"""Readers: one straight-line function a type of command that takes all that is needed out of it.

Reading a field of a message costs as much as deciding what to do about it, so it is done once: a
reader looks at the form of the command, takes its fingerprint and puts it into its plain form in
one pass. It is compiled as quick checks are, and of the same lines.

Invariant: where a reader returns a reading, its command keeps every rule, and the fingerprint is
the one that fingerprint.py would take. None says nothing: the slow ways decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import msgspec
from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from xxhash import xxh3_64_digest

from gapless_server.core.plain import Plain
from gapless_server.core.quick_check import CheckWriter


class Reading(NamedTuple):
    """What a reader takes out of a command. It returns a bare tuple, which is made sooner."""

    request_id: str
    fingerprint: bytes
    # In its plain form, if the kind registered that.
    command: Any


Reader = Callable[[Message], Reading | None]

_REQUEST_ID = "request_id"
_INDENT = "    "


class Part(msgspec.Struct, gc=False):
    """A message inside a command: its fields, and the bytes that it came as."""

    wire: bytes

    def SerializeToString(self) -> bytes:  # noqa: N802 - protobuf's name
        """Returns the bytes, with the fields that this version does not know."""
        return self.wire


def compile_reader(
    message_type: type[Message], number: int, plain_type: type[Plain] | None, checks: CheckWriter
) -> Reader:
    """Returns the reader of a type of command; `number` is its field in Command."""
    descriptor: Any = message_type.DESCRIPTOR
    fields: list[FieldDescriptor] = sorted(descriptor.fields, key=lambda field: field.number)
    writer = _ReaderWriter(number, plain_type, checks)
    lines = ["def read(message):"]
    for field in fields:
        lines += [_INDENT + line for line in checks.field("message", field)]
        lines += [_INDENT + line for line in writer.digest(field)]
    lines.append(f"{_INDENT}return {writer.reading(descriptor)}")
    exec("\n".join(lines), writer.names)  # noqa: S102 - made of field names and numbers
    read: Reader = writer.names["read"]
    return read


class _ReaderWriter:
    """Writes the lines that take the fingerprint, and the expression of what is read.

    The fields are in the locals that the checks have put them into.
    """

    def __init__(self, number: int, plain_type: type[Plain] | None, checks: CheckWriter) -> None:
        self._plain_type = plain_type
        self._checks = checks
        self._numbers, self._digests = ["header"], list[str]()
        # What the text refers to.
        self.names: dict[str, Any] = {
            "digest": xxh3_64_digest,
            "header": bytes((number,)),
            "plain_type": plain_type,
        }

    def digest(self, field: FieldDescriptor) -> Iterator[str]:
        """Yields the lines for one field; one that leaves the checks in doubt is not set here."""
        if field.name == _REQUEST_ID or not self._is_read(field):
            return
        name, local = str(field.number), f"message_{field.name}"
        self.names[f"number_{name}"] = bytes((field.number,))
        self._digests.append(f"digest_{name}")
        if self._checks.is_required(field):
            self._numbers.append(f"number_{name}")
            yield f"digest_{name} = digest({_to_bytes(field, local)})"
            return
        self._numbers.append(f"found_{name}")
        is_set, data = local, _to_bytes(field, local)
        if field.message_type is not None:
            inner = [f"{local}_{one.name}" for one in field.message_type.fields]
            is_set = " or ".join([*inner, f"message.HasField({field.name!r})"])
        yield f"if {is_set}:"
        if field.message_type is not None:
            yield f"{_INDENT}wire_{name} = {local}.SerializeToString()"
            data = f"wire_{name}"
        yield f"{_INDENT}found_{name} = number_{name}"
        yield f"{_INDENT}digest_{name} = digest({data})"
        yield f"else: found_{name} = digest_{name} = b''"

    def reading(self, descriptor: Any) -> str:
        """Returns the expression of what is read."""
        command = "message"
        if self._plain_type is not None:
            values = [self._value(field) for field in descriptor.fields]
            command = f"plain_type({', '.join(values)})"
        joined = f"b''.join(({', '.join(self._numbers + self._digests)},))"
        return f"(message_{_REQUEST_ID}, {joined}, {command})"

    def _value(self, field: FieldDescriptor) -> str:
        """Returns the expression of a field in the plain form."""
        local, name = f"message_{field.name}", str(field.number)
        if not self._is_read(field):
            # Many values, a number with presence, or a message that is looked at elsewhere: not
            # set, or there was a doubt.
            assert self._plain_type is not None
            self.names[f"absent_{name}"] = self._plain_type.absent.get(field.name, ())
            return f"absent_{name}"
        if field.message_type is None:
            return local
        inner = [one.name for one in field.message_type.fields]
        self.names[f"part_{name}"] = msgspec.defstruct(
            field.message_type.name, [(one, Any) for one in inner], bases=(Part,), gc=False
        )
        assert self._plain_type is not None
        self.names[f"absent_{name}"] = self._plain_type.absent[field.name]
        values = ", ".join([f"wire_{name}", *(f"{local}_{one}" for one in inner)])
        return f"part_{name}({values}) if found_{name} else absent_{name}"

    def _is_read(self, field: FieldDescriptor) -> bool:
        if field.message_type is not None:
            return self._checks.looks_into(field)
        return not (field.is_repeated or field.has_presence)


def _to_bytes(field: FieldDescriptor, local: str) -> str:
    """Returns the expression of the bytes that a fingerprint takes of a scalar."""
    if field.type == FieldDescriptor.TYPE_BYTES:
        return local
    return (
        f"{local}.encode()"
        if field.type == FieldDescriptor.TYPE_STRING
        else f"repr({local}).encode()"
    )
