"""The messages of the bare stream: no more than a post needs.

They are made when they are imported: a schema would be one more generated file to keep.
"""

from __future__ import annotations

from typing import Any, Final, NamedTuple

from google.protobuf.descriptor_pb2 import FieldDescriptorProto, FileDescriptorProto
from google.protobuf.descriptor_pool import DescriptorPool
from google.protobuf.message_factory import GetMessages

PACKAGE: Final = "bench.bare"


class _Field(NamedTuple):
    name: str
    type: FieldDescriptorProto.Type.ValueType
    is_repeated: bool = False
    message: str = ""


_CHANNEL = _Field("channel_id", FieldDescriptorProto.TYPE_STRING)
_REQUEST = _Field("request_id", FieldDescriptorProto.TYPE_STRING)
_BODY = _Field("body", FieldDescriptorProto.TYPE_BYTES)
_SEQUENCE = _Field("sequence", FieldDescriptorProto.TYPE_UINT64)
_SEQUENCES = _Field("sequences", FieldDescriptorProto.TYPE_UINT64, is_repeated=True)
_NUMBER = _Field("number", FieldDescriptorProto.TYPE_UINT64)
_POSTS = _Field("posts", FieldDescriptorProto.TYPE_MESSAGE, is_repeated=True, message="Post")

_SCHEMA: Final = {
    "Post": [_CHANNEL, _REQUEST, _BODY],
    "Frame": [_NUMBER, _POSTS],
    "Stored": [_SEQUENCE, _CHANNEL, _REQUEST, _BODY],
    "Answers": [_NUMBER, _SEQUENCES],
}


def _messages() -> dict[str, Any]:
    file = FileDescriptorProto(name="bench/bare.proto", package=PACKAGE, syntax="proto3")
    for name, fields in _SCHEMA.items():
        message = file.message_type.add(name=name)
        for number, field in enumerate(fields, 1):
            message.field.add(
                name=field.name,
                number=number,
                type=field.type,
                type_name=f".{PACKAGE}.{field.message}" if field.message else None,
                label=FieldDescriptorProto.LABEL_REPEATED
                if field.is_repeated
                else FieldDescriptorProto.LABEL_OPTIONAL,
            )
    return GetMessages([file], pool=DescriptorPool())


_MADE: Final = _messages()
# A client sends frames, numbered by it, and gets the answers of each under its number.
Frame: Final[Any] = _MADE[f"{PACKAGE}.Frame"]
Answers: Final[Any] = _MADE[f"{PACKAGE}.Answers"]
# What lies in the file for a post.
Stored: Final[Any] = _MADE[f"{PACKAGE}.Stored"]
