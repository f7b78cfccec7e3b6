"""Field rules: compiled once from the options of the protos, checked for every request.

What a field may hold is written where its documentation is, in the proto file. Enums need no
rule: a number that the enum does not name is always refused.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from google.protobuf.descriptor import Descriptor, FieldDescriptor
from google.protobuf.message import Message

from gapless.v1 import options_pb2
from gapless_server.core.quick_check import CheckWriter, QuickCheck, compile_quick_check
from gapless_server.core.refusals import FieldFault, invalid_fields
from gapless_server.core.wire import is_map

# Long enough for a UUID with a prefix or a URL-safe hash, short enough for an index key.
IDENTIFIER_CHARACTERS_MAX = 128

# Says what is wrong with a value of the field's type; None if nothing is.
ValueCheck = Callable[[Any], str | None]
# Returns the faults of one field, or of several, of a message; paths begin at that message.
FieldCheck = Callable[[Message], Sequence[FieldFault]]

_INTEGERS = {
    FieldDescriptor.CPPTYPE_INT32,
    FieldDescriptor.CPPTYPE_INT64,
    FieldDescriptor.CPPTYPE_UINT32,
    FieldDescriptor.CPPTYPE_UINT64,
}

# Only messages of our own have rules; a FieldMask or a Timestamp has none.
_OWN_PACKAGE = "gapless.v1"


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
    """Checks messages against the rules of their fields.

    `must_be_empty` says of fields, by name, why they may hold nothing, whatever their own rules.
    """

    def __init__(self, must_be_empty: Mapping[str, str] | None = None) -> None:
        self._must_be_empty = must_be_empty or {}
        self._checks: dict[str, list[FieldCheck]] = {}
        self._checks_by_type: dict[type[Message], list[FieldCheck]] = {}
        self._quick_checks: dict[type[Message], QuickCheck] = {}

    def check(self, message: Message) -> None:
        """Raises Refused, reason INVALID_FIELD, naming every field that breaks its rule."""
        quick_check = self._quick_checks.get(type(message))
        if quick_check is None:
            quick_check = self._quick_check(type(message))
        if quick_check(message):
            return
        for field_check in self._checks_of(message):
            if field_check(message):
                raise invalid_fields(tuple(self.faults(message)))

    def faults(self, message: Message) -> list[FieldFault]:
        """Returns the fault of every field that breaks its rule."""
        return _faults(self._checks_of(message), message)

    def _quick_check(self, message_type: type[Message]) -> QuickCheck:
        # What must be empty is not in the rules that a quick check is made of.
        quick_check = self._quick_checks[message_type] = (
            _never_sure
            if self._must_be_empty
            else compile_quick_check(message_type.DESCRIPTOR, check_writer())
        )
        return quick_check

    def _checks_of(self, message: Message) -> list[FieldCheck]:
        checks = self._checks_by_type.get(type(message))
        if checks is None:
            checks = self._compiled(type(message).DESCRIPTOR)
            self._checks_by_type[type(message)] = checks
        return checks

    def _compiled(self, descriptor: Any) -> list[FieldCheck]:
        checks = self._checks.get(descriptor.full_name)
        if checks is None:
            # Known before it is filled, so that a message may hold others of its type.
            checks = self._checks[descriptor.full_name] = []
            required_identifiers = [
                field.name
                for field in descriptor.fields
                if _is_required_identifier(field) and field.name not in self._must_be_empty
            ]
            if required_identifiers:
                checks.append(_required_identifiers_check(required_identifiers))
            for field in descriptor.fields:
                field_check = self._compile(field)
                if field_check is not None:
                    checks.append(field_check)
        return checks

    def _compile(self, field: FieldDescriptor) -> FieldCheck | None:
        rules = field_rules(field)
        if field.name in self._must_be_empty:
            return _empty_check(field.name, self._must_be_empty[field.name])
        if field.is_repeated:
            if is_map(field):
                return _map_check(field, rules)
            return self._repeated_check(field, rules)
        if field.message_type is not None:
            return self._message_check(field, rules)
        if _is_required_identifier(field):
            return None  # checked together with the others of the message
        return _scalar_check(field, rules)

    def _message_check(
        self, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> FieldCheck | None:
        name = field.name
        inner = self._inner_checks(field)
        if rules.required:

            def required_check(message: Message) -> Sequence[FieldFault]:
                if message.HasField(name):
                    found = _faults(inner, getattr(message, name))
                    return below(name, found) if found else ()
                return (FieldFault(name, "is required"),)

            return required_check

        def check(message: Message) -> Sequence[FieldFault]:
            value = getattr(message, name)
            for inner_check in inner:
                if inner_check(value):
                    # What an absent message lacks is no fault; asked last, as it is seldom so.
                    return below(name, _faults(inner, value)) if message.HasField(name) else ()
            return ()

        return check if _is_own(field) else None

    def _repeated_check(
        self, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> FieldCheck | None:
        name, items_max, required = field.name, rules.items_max, rules.required
        inner = self._inner_checks(field)
        value_fault = None if field.message_type is not None else _value_check(field, rules)

        def check(message: Message) -> Sequence[FieldFault]:
            items = getattr(message, name)
            if not items:
                return (FieldFault(name, "must have at least one item"),) if required else ()
            if items_max and len(items) > items_max:
                return (_too_many(name, items_max, len(items)),)
            faults: list[FieldFault] = []
            if not inner and value_fault is None:
                return faults  # there may be a million of them
            for index, item in enumerate(items):
                if value_fault is None:
                    if found := _faults(inner, item):
                        faults += below(f"{name}[{index}]", found)
                elif fault := value_fault(item):
                    faults.append(FieldFault(f"{name}[{index}]", fault))
            return faults

        return check

    def _inner_checks(self, field: FieldDescriptor) -> list[FieldCheck]:
        checked_here = _is_own(field) and not field_rules(field).checked_apart
        return self._compiled(field.message_type) if checked_here else []


def _never_sure(_message: Message) -> None:
    return None


def check_writer(*, reads_all: bool = False) -> CheckWriter:
    """Returns what writes quick checks of the rules of the protos."""
    return CheckWriter(field_rules, _OWN_PACKAGE, IDENTIFIER_CHARACTERS_MAX, reads_all=reads_all)


def field_rules(field: FieldDescriptor) -> options_pb2.FieldRules:
    """Returns the rules that the proto file states for a field."""
    return field.GetOptions().Extensions[options_pb2.rules]


def _is_own(field: FieldDescriptor) -> bool:
    inner: Descriptor | None = field.message_type
    return inner is not None and inner.file.package == _OWN_PACKAGE


def _faults(checks: Sequence[FieldCheck], message: Message) -> list[FieldFault]:
    found: list[FieldFault] = []
    for check in checks:
        if faults := check(message):
            found.extend(faults)
    return found


def below(path: str, faults: Sequence[FieldFault]) -> list[FieldFault]:
    """Returns faults of a message as those of one that holds it at `path`."""
    return [FieldFault(f"{path}.{fault.field}", fault.description) for fault in faults]


def _too_many(path: str, items_max: int, count: int) -> FieldFault:
    return FieldFault(path, f"must have at most {items_max} items, found {count}")


def _empty_check(name: str, description: str) -> FieldCheck:
    def check(message: Message) -> Sequence[FieldFault]:
        return (FieldFault(name, description),) if getattr(message, name) else ()

    return check


def _is_required_identifier(field: FieldDescriptor) -> bool:
    rules = field_rules(field)
    return rules.required and rules.identifier and not field.is_repeated


def _required_identifiers_check(names: Sequence[str]) -> FieldCheck:
    """The check of most fields of most commands: in one loop, as it is in everyone's way."""
    characters_max = IDENTIFIER_CHARACTERS_MAX

    def check(message: Message) -> Sequence[FieldFault]:
        faults: list[FieldFault] = []
        for name in names:
            value = getattr(message, name)
            # The first line of identifier_fault: a call a field would double the cost.
            if value.isascii() and value.isprintable() and 0 < len(value) <= characters_max:
                continue
            if not value:
                faults.append(FieldFault(name, "is required"))
            elif fault := identifier_fault(value):
                faults.append(FieldFault(name, fault))
        return faults

    return check


def _value_check(field: FieldDescriptor, rules: options_pb2.FieldRules) -> ValueCheck | None:
    """The check of one value of a field, wherever it stands."""
    if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
        if rules.identifier:
            return identifier_fault
        return _length_check(field, rules.length_max) if rules.length_max else None
    if field.cpp_type == FieldDescriptor.CPPTYPE_ENUM:
        return _enum_check(field)
    if field.cpp_type in _INTEGERS:
        return _integer_check(rules)
    return None


def _length_check(field: FieldDescriptor, length_max: int) -> ValueCheck:
    unit = "bytes" if field.type == FieldDescriptor.TYPE_BYTES else "characters"

    def check(value: str | bytes) -> str | None:
        if len(value) <= length_max:
            return None
        return f"must have at most {length_max} {unit}, found {len(value)}"

    return check


def _enum_check(field: FieldDescriptor) -> ValueCheck:
    enum: Any = field.enum_type
    known = frozenset(enum.values_by_number)
    names = ", ".join(value.name for value in enum.values if value.number)

    def check(value: int) -> str | None:
        return None if value in known else f"unknown value {value}, expected one of {names}"

    return check


def _integer_check(rules: options_pb2.FieldRules) -> ValueCheck | None:
    minimum = rules.minimum if rules.HasField("minimum") else None
    maximum = rules.maximum if rules.HasField("maximum") else None
    if minimum is None and maximum is None:
        return None

    def check(value: int) -> str | None:
        if minimum is not None and value < minimum:
            return f"must be at least {minimum}, found {value}"
        if maximum is not None and value > maximum:
            return f"must be at most {maximum}, found {value}"
        return None

    return check


def _scalar_check(field: FieldDescriptor, rules: options_pb2.FieldRules) -> FieldCheck | None:
    name, required, presence = field.name, rules.required, field.has_presence
    value_fault = _value_check(field, rules)
    if value_fault is None and not required:
        return None
    # An integer without presence is checked also when 0; everything else only when it is set.
    always = field.cpp_type in _INTEGERS and not presence

    def check(message: Message) -> Sequence[FieldFault]:
        value = getattr(message, name)
        if value or always or (presence and message.HasField(name)):
            fault = None if value_fault is None else value_fault(value)
            return (FieldFault(name, fault),) if fault else ()
        return (FieldFault(name, "is required"),) if required else ()

    return check


def _map_check(field: FieldDescriptor, rules: options_pb2.FieldRules) -> FieldCheck:
    """Keys of a map are identifiers; `length_max` is about its values, `items_max` about both."""
    name, items_max, length_max = field.name, rules.items_max, rules.length_max
    entry: Any = field.message_type
    value_fault = _length_check(entry.fields_by_name["value"], length_max) if length_max else None

    def check(message: Message) -> Sequence[FieldFault]:
        items = getattr(message, name)
        if not items:
            return ()
        if items_max and len(items) > items_max:
            return (_too_many(name, items_max, len(items)),)
        faults: list[FieldFault] = []
        for key, value in items.items():
            where = f"{name}[{key!r:.140}]"
            if fault := identifier_fault(key):
                faults.append(FieldFault(where, f"key {fault}"))
            if value_fault is not None and (fault := value_fault(value)):
                faults.append(FieldFault(where, fault))
        return faults

    return check
