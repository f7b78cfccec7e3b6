"""Guards: what a command says must be so, looked at on the state right before it is decided."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

from google.protobuf.message import Message

from gapless.v1 import errors_pb2
from gapless.v1.guards_pb2 import Guard
from gapless_server.core.refusals import Refused, invalid_field, invalid_fields
from gapless_server.core.state import State
from gapless_server.core.unions import union_fields
from gapless_server.core.validation import Validator, below

# More than any command has parts that could be guarded; bounds what one command may cost.
GUARDS_MAX = 100


class Unmet(NamedTuple):
    """Why a guard does not hold: for what, and what was expected and found about it."""

    subject: str
    expected: str
    found: str


# check(state, guard): returns None if the guard holds; reads state, never changes it.
GuardCheck = Callable[[State, Any], Unmet | None]


class TypedGuard(NamedTuple):
    """A guard that keeps its field rules: as it came, its field in Guard, and what checks it."""

    guard: Guard
    field: str
    message: Message
    check: GuardCheck


class GuardTypes:
    """The guards that the kinds know."""

    def __init__(self, validator: Validator) -> None:
        self._validator = validator
        self._fields = union_fields(Guard.DESCRIPTOR, "guard")
        self._checks: dict[str, GuardCheck] = {}

    def register(self, kind_name: str, checks: Mapping[type[Message], GuardCheck]) -> None:
        """Adds the guards of a kind. Raises LookupError for one that is not in Guard."""
        for guard_type, check in checks.items():
            if guard_type not in self._fields:
                raise LookupError(f"kind {kind_name}: {guard_type.__name__} is not in Guard")
            self._checks[self._fields[guard_type].name] = check

    def typed(self, guards: Sequence[Guard], path: str = "guards") -> tuple[TypedGuard, ...]:
        """Returns guards that keep their field rules; `path` names them where they do not.

        Raises Refused, reason INVALID_FIELD.
        """
        if len(guards) > GUARDS_MAX:
            raise invalid_field(path, f"must have at most {GUARDS_MAX} items, found {len(guards)}")
        return tuple(
            self._typed_guard(guard, f"{path}[{index}]") for index, guard in enumerate(guards)
        )

    def _typed_guard(self, guard: Guard, path: str) -> TypedGuard:
        name = guard.WhichOneof("guard")
        check = self._checks.get(name) if name is not None else None
        if name is None or check is None:
            raise invalid_field(path, "must have exactly one guard that this version knows")
        message: Message = getattr(guard, name)
        if faults := self._validator.faults(message):
            raise invalid_fields(tuple(below(f"{path}.{name}", faults)))
        return TypedGuard(guard, name, message, check)


def require(state: State, guards: Sequence[TypedGuard]) -> None:
    """Raises Refused, reason GUARD_FAILED, for the first guard that does not hold."""
    for index, guard in enumerate(guards):
        unmet = guard.check(state, guard.message)
        if unmet is not None:
            raise Refused(
                errors_pb2.ERROR_REASON_GUARD_FAILED,
                guard_index=index,
                guard_type=guard.field,
                **unmet._asdict(),
            )


def guards_of(guards: Sequence[TypedGuard]) -> Sequence[Guard]:
    """Returns guards as they came."""
    return [typed.guard for typed in guards]
