"""The unions of the contract: Command, Event and Guard, each field of which is a message."""

from __future__ import annotations

from collections.abc import Sequence

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass


def message_class(field: FieldDescriptor) -> type[Message]:
    """Returns the type of the messages that a field holds."""
    assert field.message_type is not None  # the unions hold messages only
    return GetMessageClass(field.message_type)


def union_fields(union: Descriptor, oneof: str) -> dict[type[Message], FieldDescriptor]:
    """Returns the fields of a union by the type of the message that each one holds."""
    fields: Sequence[FieldDescriptor] = union.oneofs_by_name[oneof].fields
    return {message_class(field): field for field in fields}
