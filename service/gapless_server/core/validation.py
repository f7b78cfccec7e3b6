"""Field rules: compiled once from the options of the protos, checked for every request.

What a field may hold is written where its documentation is, in the proto file. Enums need no
rule: a number that the enum does not name is always refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gapless.v1 import options_pb2
from gapless_server.core.refusals import FieldFault, invalid_fields

# Long enough for a UUID with a prefix or a URL-safe hash, short enough for an index key.
IDENTIFIER_CHARACTERS_MAX = 128

# Returns what is wrong with a value, or None.
Check = Callable[[object], str | None]
# Appends the faults of a message, with `path` before the names of its fields.
FieldCheck = Callable[[Message, str, list[FieldFault]], None]

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}


def identifier_fault(value: str) -> str | None:
    """Returns what keeps a text from being an identifier, or None."""
    if value.isascii() and value.isprintable() and 0 < len(value) <= IDENTIFIER_CHARACTERS_MAX:
        return None
    if not value:
        return "must not be empty"
    if len(value) > IDENTIFIER_CHARACTERS_MAX:
        return f"must have at most {IDENTIFIER_CHARACTERS_MAX} characters, found {len(value)}"
    for index, character in enumerate(value):
        if unicodedata.category(character) in ("Cc", "Cs"):
            return f"must not hold control characters, found U+{ord(character):04X} at {index}"
    if not unicodedata.is_normalized("NFC", value):
        return "must be in Unicode normalization form NFC"
    return None


class Validator:
    """Checks messages against the rules of their fields."""

    def __init__(self) -> None:
        self._checks: dict[Descriptor, list[FieldCheck]] = {}

    def check(self, message: Message) -> None:
        """Raises Refused, reason INVALID_FIELD, naming every field that breaks its rule."""
        faults: list[FieldFault] = []
        for field_check in self._compiled(message.DESCRIPTOR):
            field_check(message, "", faults)
        if faults:
            raise invalid_fields(tuple(faults))

    def _compiled(self, descriptor: Descriptor) -> list[FieldCheck]:
        checks = self._checks.get(descriptor)
        if checks is None:
            checks = self._checks[descriptor] = []
            for field in descriptor.fields:
                field_check = self._compile(field)
                if field_check is not None:
                    checks.append(field_check)
        return checks

    def _compile(self, field: FieldDescriptor) -> FieldCheck | None:
        rules = field.GetOptions().Extensions[options_pb2.rules]
        if field.is_repeated:
            if field.message_type is not None and field.message_type.GetOptions().map_entry:
                return _map_check(field, rules)
            return self._repeated_check(field, rules)
        if field.message_type is not None:
            return self._message_check(field, rules)
        return _scalar_check(field, rules)

    def _message_check(
        self, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> FieldCheck | None:
        name, required, inner = field.name, rules.required, field.message_type
        # Only messages of our own have rules; a FieldMask or a Timestamp has none.
        own = inner.file.package == "gapless.v1"
        if not own and not required:
            return None

        def check(message: Message, path: str, faults: list[FieldFault]) -> None:
            if message.HasField(name):
                if own:
                    value = getattr(message, name)
                    for field_check in self._compiled(inner):
                        field_check(value, f"{path}{name}.", faults)
            elif required:
                faults.append(FieldFault(path + name, "is required"))

        return check

    def _repeated_check(
        self, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> FieldCheck | None:
        name, items_max, required = field.name, rules.items_max, rules.required
        value_fault = None if field.message_type is not None else _value_check(field, rules)
        inner = field.message_type

        def check(message: Message, path: str, faults: list[FieldFault]) -> None:
            items = getattr(message, name)
            if required and not items:
                faults.append(FieldFault(path + name, "must have at least one item"))
            if items_max and len(items) > items_max:
                text = f"must have at most {items_max} items, found {len(items)}"
                faults.append(FieldFault(path + name, text))
                return
            for index, item in enumerate(items):
                if inner is not None:
                    for field_check in self._compiled(inner):
                        field_check(item, f"{path}{name}[{index}].", faults)
                elif value_fault is not None and (fault := value_fault(item)):
                    faults.append(FieldFault(f"{path}{name}[{index}]", fault))

        return check


def _value_check(field: FieldDescriptor, rules: options_pb2.FieldRules) -> Check | None:
    """The check of one value of a field, wherever it stands."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if rules.identifier:
            return identifier_fault  # type: ignore[return-value]  # the field holds only str
        return _length_check(field, rules.length_max) if rules.length_max else None
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return _enum_check(field)
    if field.cpp_type in _INTEGERS:
        return _integer_check(rules)
    return None


def _length_check(field: FieldDescriptor, length_max: int) -> Check:
    unit = "bytes" if field.type == FieldDescriptor.TYPE_BYTES else "characters"

    def check(value: object) -> str | None:
        length = len(value)  # type: ignore[arg-type]  # the field holds only str or bytes
        if length <= length_max:
            return None
        return f"must have at most {length_max} {unit}, found {length}"

    return check


def _enum_check(field: FieldDescriptor) -> Check:
    known = field.enum_type.values_by_number
    names = ", ".join(value.name for value in field.enum_type.values if value.number)

    def check(value: object) -> str | None:
        return None if value in known else f"unknown value {value}, expected one of {names}"

    return check


def _integer_check(rules: options_pb2.FieldRules) -> Check | None:
    minimum = rules.minimum if rules.HasField("minimum") else None
    maximum = rules.maximum if rules.HasField("maximum") else None
    if minimum is None and maximum is None:
        return None

    def check(value: object) -> str | None:
        assert isinstance(value, int)
        if minimum is not None and value < minimum:
            return f"must be at least {minimum}, found {value}"
        if maximum is not None and value > maximum:
            return f"must be at most {maximum}, found {value}"
        return None

    return check


def _scalar_check(field: FieldDescriptor, rules: options_pb2.FieldRules) -> FieldCheck | None:
    name, required = field.name, rules.required
    value_fault = _value_check(field, rules)
    if value_fault is None and not required:
        return None
    # An integer without presence is checked also when 0; everything else only when it is set.
    always = field.cpp_type in _INTEGERS and not field.has_presence
    presence = field.has_presence

    def check(message: Message, path: str, faults: list[FieldFault]) -> None:
        value = getattr(message, name)
        if always or value or (presence and message.HasField(name)):
            if value_fault is not None and (fault := value_fault(value)):
                faults.append(FieldFault(path + name, fault))
        elif required:
            faults.append(FieldFault(path + name, "is required"))

    return check


def _map_check(field: FieldDescriptor, rules: options_pb2.FieldRules) -> FieldCheck | None:
    """Keys of a map are identifiers; `length_max` is about its values, `items_max` about both."""
    name, items_max, length_max = field.name, rules.items_max, rules.length_max
    value_field = field.message_type.fields_by_name["value"]
    value_fault = _length_check(value_field, length_max) if length_max else None

    def check(message: Message, path: str, faults: list[FieldFault]) -> None:
        items = getattr(message, name)
        if not items:
            return
        if items_max and len(items) > items_max:
            text = f"must have at most {items_max} items, found {len(items)}"
            faults.append(FieldFault(path + name, text))
            return
        for key, value in items.items():
            where = f"{path}{name}[{key!r:.140}]"
            if fault := identifier_fault(key):
                faults.append(FieldFault(where, f"key {fault}"))
            if value_fault is not None and (fault := value_fault(value)):
                faults.append(FieldFault(where, fault))

    return check
