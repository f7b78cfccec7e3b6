"""Every way in which a field of a request can break the rules that its proto file states.

Made from the descriptors, so that a new field or RPC is tested without a line here.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, NamedTuple

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gapless.v1 import options_pb2
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.rpc import events, operations
from gapless_server.rpc.unary import kind_services

# The descriptors have two implementations without a common base in their stubs.
Field = Any
Method = Any

SERVICES = (*kind_services(Kernel(KINDS)), events.SERVICE, operations.SERVICE)

OVERLONG = "x" * 129
NOT_NFC = "e\u0301"  # an e and a combining accent, which NFC makes one character
WITH_NUL = "a\0b"
WITH_NEWLINE = "a\nb"
BAD_IDENTIFIERS = {
    "overlong": OVERLONG,
    "not NFC": NOT_NFC,
    "with a NUL": WITH_NUL,
    "with a newline": WITH_NEWLINE,
}


class BadRequest(NamedTuple):
    """A request with one fault: what to call, with what, and which field has it."""

    method: str
    request: Message
    field: str
    fault: str

    def __str__(self) -> str:
        return f"{self.method}: {self.field} {self.fault}"


def methods() -> Iterator[Method]:
    """Yields every unary method of the services that are not about running commands."""
    for service in SERVICES:
        yield from (method for method in service.methods if not method.server_streaming)


def short_name(method: Method) -> str:
    """Returns the name of a method as `Wire` takes it."""
    return f"{method.containing_service.name}/{method.name}"


def bad_requests() -> Iterator[BadRequest]:
    """Yields each fault of each field of each request, one at a time."""
    for method in methods():
        for field in method.input_type.fields:
            for fault in _faults(field):
                request = valid(GetMessageClass(method.input_type))
                path = _break(request, field, fault)
                yield BadRequest(short_name(method), request, path, fault)


def rules_of(field: Field) -> options_pb2.FieldRules:
    rules: options_pb2.FieldRules = field.GetOptions().Extensions[options_pb2.rules]
    return rules


def _is_map(field: Field) -> bool:
    return field.message_type is not None and bool(field.message_type.GetOptions().map_entry)


def valid(request_type: type[Message]) -> Message:
    """Returns a request whose required fields keep their rules, and which has no others."""
    request = request_type()
    for field in request_type.DESCRIPTOR.fields:
        if rules_of(field).required:
            _fill(request, field)
    return request


def _fill(request: Message, field: Field) -> None:
    """Sets a field to the plainest value that keeps its rules."""
    if field.is_repeated and not _is_map(field):
        items: Any = getattr(request, field.name)
        if field.message_type is not None:
            items.append(valid(GetMessageClass(field.message_type)))
        else:
            items.append(_plain(field))
    elif field.message_type is not None:
        getattr(request, field.name).CopyFrom(valid(GetMessageClass(field.message_type)))
        getattr(request, field.name).SetInParent()
    else:
        setattr(request, field.name, _plain(field))


def _plain(field: Field) -> object:
    """Returns the plainest value of a scalar field that keeps its rules."""
    if field.type == FieldDescriptor.TYPE_STRING:
        return "x"
    if field.type == FieldDescriptor.TYPE_BYTES:
        return b"x"
    return max(1, rules_of(field).minimum)


def _faults(field: Field) -> list[str]:
    """Names the ways in which a field can break its rules."""
    rules = rules_of(field)
    found = ["missing"] if rules.required else []
    if rules.identifier and not _is_map(field):
        found += BAD_IDENTIFIERS
    if rules.length_max and not _is_map(field):
        found.append("too long")
    if rules.items_max:
        found.append("too many")
    if rules.HasField("minimum"):
        found.append("too small")
    if rules.HasField("maximum"):
        found.append("too large")
    if field.enum_type is not None and not field.is_repeated:
        found.append("unknown")
    if _is_map(field) and rules.length_max:
        found += ["bad key", "long value"]
    return found


def _break(request: Message, field: Field, fault: str) -> str:
    """Gives a field a fault, and returns the path under which it is to be named."""
    rules = rules_of(field)
    name: str = field.name
    if fault == "missing":
        request.ClearField(name)
    elif fault == "too many":
        return _overfill(request, field)
    elif fault == "bad key":
        getattr(request, name)[OVERLONG] = "x"
        return f"{name}[{OVERLONG!r:.140}]"
    elif fault == "long value":
        getattr(request, name)["k"] = "x" * (rules.length_max + 1)
        return f"{name}['k']"
    else:
        value = _bad_value(field, fault)
        if field.is_repeated:
            getattr(request, name)[:] = [_plain(field), value]
            return f"{name}[1]"
        setattr(request, name, value)
    return name


def _bad_value(field: Field, fault: str) -> object:
    rules = rules_of(field)
    if fault in BAD_IDENTIFIERS:
        return BAD_IDENTIFIERS[fault]
    if fault == "too long":
        is_bytes = field.type == FieldDescriptor.TYPE_BYTES
        return (b"x" if is_bytes else "x") * (rules.length_max + 1)
    if fault == "too small":
        return rules.minimum - 1
    if fault == "too large":
        return rules.maximum + 1
    return 999  # an enum has no such value


def _overfill(request: Message, field: Field) -> str:
    """Gives a field one item more than it may have."""
    count = rules_of(field).items_max + 1
    items: Any = getattr(request, field.name)
    if _is_map(field):
        for index in range(count):
            items[f"k{index}"] = "x"
        return str(field.name)
    del items[:]
    if field.message_type is not None:
        item = valid(GetMessageClass(field.message_type))
        items.extend([item] * count)
    else:
        items.extend([_plain(field)] * count)
    return str(field.name)
