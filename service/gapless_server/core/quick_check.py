"""Quick checks: one straight-line function a message type that says "surely nothing wrong".

Nearly every command is right, and is asked before anything else is done with it. A quick check is
compiled from the same rules as the checks in validation.py, which name the faults: as the methods
of a dataclass are, from text that is made of the names of the fields and of whole numbers alone.

Invariant: a quick check that says True is right. False says nothing: the slow checks decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gapless.v1 import options_pb2

# Says that a message keeps every rule, or that it is not known.
QuickCheck = Callable[[Message], bool]
# Returns the rules of a field.
RulesOf = Callable[[FieldDescriptor], options_pb2.FieldRules]

_INDENT = "    "


def compile_quick_check(
    descriptor: Any, rules_of: RulesOf, own_package: str, identifier_characters_max: int
) -> QuickCheck:
    """Returns the quick check of a message type.

    Messages of other packages have no rules and are not looked into.
    """
    lines = ["def quick_check(message):"]
    writer = _Writer(rules_of, own_package, identifier_characters_max)
    lines += [_INDENT + line for line in writer.message("message", descriptor)]
    lines.append(f"{_INDENT}return True")
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)  # noqa: S102 - made of field names and numbers: see above
    quick_check: QuickCheck = names["quick_check"]
    return quick_check


class _Writer:
    """Writes the lines that look at each field; any doubt is `return False`."""

    def __init__(self, rules_of: RulesOf, own_package: str, identifier_characters_max: int) -> None:
        self._rules_of = rules_of
        self._own_package = own_package
        self._identifier = (
            "value.isascii() and value.isprintable()"
            f" and 0 < len(value) <= {identifier_characters_max}"
        )

    def message(self, path: str, descriptor: Any) -> Iterator[str]:
        """Yields the lines for all fields of a message that the expression `path` gives."""
        for field in descriptor.fields:
            yield from self._field(path, field, self._rules_of(field))

    def _field(
        self, path: str, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> Iterator[str]:
        where = f"{path}.{field.name}"
        if field.is_repeated:
            yield "return False" if rules.required else f"if {where}: return False"
        elif field.message_type is not None:
            yield from self._inner(path, field, rules)
        elif field.has_presence:
            if rules.ListFields() or field.enum_type is not None:
                yield f"if {path}.HasField({field.name!r}): return False"
                if rules.required:
                    yield "return False"
        else:
            yield from self._scalar(where, field, rules)

    def _inner(
        self, path: str, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> Iterator[str]:
        """A message inside: looked into where all that it holds may also be absent."""
        inner: Any = field.message_type
        if inner.file.package != self._own_package and not rules.required:
            return
        if rules.ListFields() or any(not self._is_plain(one) for one in inner.fields):
            yield f"if {path}.HasField({field.name!r}): return False"
            if rules.required:
                yield "return False"
            return
        name = f"{path}_{field.name}"
        yield f"{name} = {path}.{field.name}"
        yield from self.message(name, inner)

    def _is_plain(self, field: FieldDescriptor) -> bool:
        single = not field.is_repeated and field.message_type is None and not field.has_presence
        return single and not self._rules_of(field).required

    def _scalar(
        self, where: str, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> Iterator[str]:
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            if rules.identifier:
                yield f"value = {where}"
                doubt = f"not ({self._identifier})"
                yield f"if {doubt if rules.required else f'value and {doubt}'}: return False"
                return
            if rules.length_max:
                yield f"if len({where}) > {rules.length_max}: return False"
            if rules.required:
                yield f"if not {where}: return False"
        elif rules.HasField("minimum") or rules.HasField("maximum"):
            yield f"value = {where}"
            if rules.HasField("minimum"):
                yield f"if value < {rules.minimum}: return False"
            if rules.HasField("maximum"):
                yield f"if value > {rules.maximum}: return False"
        elif rules.required or field.enum_type is not None:
            # 0 is a value of every enum; which others there are, the slow check knows.
            doubt = f"if not {where}" if rules.required else f"if {where}"
            yield f"{doubt}: return False"
            if rules.required and field.enum_type is not None:
                yield "return False"
