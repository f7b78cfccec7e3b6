"""Quick checks: one straight-line function a message type that says "surely nothing wrong".

Nearly every command is right, and is asked before anything else is done with it. A quick check is
compiled from the same rules as the checks in validation.py, which name the faults: as the methods
of a dataclass are, from text that is made of the names of the fields and of whole numbers alone.

Invariant: a quick check that says True is right. None says nothing: the slow checks decide.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

from google.protobuf.descriptor import FieldDescriptor
from google.protobuf.message import Message

from gapless.v1 import options_pb2

# Says True if a message keeps every rule, and None if that is not known.
QuickCheck = Callable[[Message], bool | None]
# Returns the rules of a field.
RulesOf = Callable[[FieldDescriptor], options_pb2.FieldRules]

_INDENT = "    "
_DOUBT = "return None"


def compile_quick_check(descriptor: Any, checks: CheckWriter) -> QuickCheck:
    """Returns the quick check of a message type."""
    lines = ["def quick_check(message):"]
    for field in descriptor.fields:
        lines += [_INDENT + line for line in checks.field("message", field)]
    lines.append(f"{_INDENT}return True")
    names: dict[str, Any] = {}
    exec("\n".join(lines), names)  # noqa: S102 - made of field names and numbers: see above
    quick_check: QuickCheck = names["quick_check"]
    return quick_check


class CheckWriter:
    """Writes the lines that look at each field; any doubt is `return None`.

    Messages of other packages have no rules and are not looked into. With `reads_all` the lines
    put every field into a local variable, `message_<name>` and `message_<name>_<name>` inside of a
    message that is looked into, and what they do not read is a doubt, if it is set.
    """

    def __init__(
        self,
        rules_of: RulesOf,
        own_package: str,
        identifier_characters_max: int,
        *,
        reads_all: bool = False,
    ) -> None:
        self._rules_of = rules_of
        self._own_package = own_package
        self._reads_all = reads_all
        self._identifier = (
            "{value}.isascii() and {value}.isprintable()"
            f" and 0 < len({{value}}) <= {identifier_characters_max}"
        )

    def field(self, path: str, field: FieldDescriptor) -> Iterator[str]:
        """Yields the lines for a field of the message that the expression `path` gives."""
        rules = self._rules_of(field)
        where = f"{path}.{field.name}"
        if field.is_repeated:
            yield _DOUBT if rules.required else f"if {where}: {_DOUBT}"
        elif field.message_type is not None:
            yield from self._inner(path, field, rules)
        elif field.has_presence:
            if self._reads_all or rules.ListFields() or field.enum_type is not None:
                yield f"if {path}.HasField({field.name!r}): {_DOUBT}"
                if rules.required:
                    yield _DOUBT
        else:
            yield from self._scalar(where, f"{path}_{field.name}", field, rules)

    def is_required(self, field: FieldDescriptor) -> bool:
        """Whether a field must be set, which the lines have then made sure of."""
        return self._rules_of(field).required

    def looks_into(self, field: FieldDescriptor) -> bool:
        """Whether a message inside is looked into: where all that it holds may also be absent."""
        inner: Any = field.message_type
        return (
            inner.file.package == self._own_package
            and not field.is_repeated
            and not self._rules_of(field).ListFields()
            and all(self._is_plain(one) for one in inner.fields)
        )

    def _inner(
        self, path: str, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> Iterator[str]:
        inner: Any = field.message_type
        if self.looks_into(field):
            name = f"{path}_{field.name}"
            yield f"{name} = {path}.{field.name}"
            for one in inner.fields:
                yield from self.field(name, one)
        elif rules.required:
            yield _DOUBT
        elif inner.file.package == self._own_package or self._reads_all:
            yield f"if {path}.HasField({field.name!r}): {_DOUBT}"

    def _is_plain(self, field: FieldDescriptor) -> bool:
        single = not field.is_repeated and field.message_type is None and not field.has_presence
        return single and not self._rules_of(field).required

    def _scalar(
        self, where: str, value: str, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> Iterator[str]:
        doubts = list(self._doubts(value, field, rules))
        if doubts or self._reads_all:
            yield f"{value} = {where}"
        for doubt in doubts:
            yield f"if {doubt}: {_DOUBT}"

    def _doubts(
        self, value: str, field: FieldDescriptor, rules: options_pb2.FieldRules
    ) -> Iterator[str]:
        """Yields the conditions under which a value may break a rule."""
        if field.cpp_type == FieldDescriptor.CPPTYPE_STRING:
            if rules.identifier:
                doubt = f"not ({self._identifier.format(value=value)})"
                yield doubt if rules.required else f"{value} and {doubt}"
                return
            if rules.length_max:
                yield f"len({value}) > {rules.length_max}"
            if rules.required:
                yield f"not {value}"
        elif rules.HasField("minimum") or rules.HasField("maximum"):
            if rules.HasField("minimum"):
                yield f"{value} < {rules.minimum}"
            if rules.HasField("maximum"):
                yield f"{value} > {rules.maximum}"
        elif field.enum_type is not None:
            # 0 is a value of every enum; which others there are, the slow check knows.
            yield "True" if rules.required else value
        elif rules.required:
            yield f"not {value}"
