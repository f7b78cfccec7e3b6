"""Refusals: what the core says instead of an event.

A refusal is one row of the error table (``errors.proto``) with its metadata filled in. How it
looks on the wire is the business of ``rpc/``.
"""

from __future__ import annotations

from typing import NamedTuple, TypeAlias

from gapless.v1 import errors_pb2, options_pb2

Reason: TypeAlias = errors_pb2.ErrorReason.ValueType

PREFIX = "ERROR_REASON_"


class FieldFault(NamedTuple):
    """One field that breaks its rule: the path of the field, and what is wrong with it."""

    field: str
    description: str


class ErrorRow(NamedTuple):
    """A row of the error table, taken from the options of the enum value."""

    reason: str
    code: int
    text: str
    retry: options_pb2.RetryAdvice.ValueType
    metadata_keys: tuple[str, ...]


def _read_table() -> dict[int, ErrorRow]:
    table = {}
    for value in errors_pb2.ErrorReason.DESCRIPTOR.values:
        if value.number == errors_pb2.ERROR_REASON_UNSPECIFIED:
            continue
        rules = value.GetOptions().Extensions[options_pb2.error]
        table[value.number] = ErrorRow(
            reason=value.name.removeprefix(PREFIX),
            code=rules.code,
            text=rules.text,
            retry=rules.retry,
            metadata_keys=tuple(rules.metadata),
        )
    return table


ERROR_TABLE = _read_table()


class Refused(Exception):
    """A command or a read that is refused; nothing of it was done.

    `metadata` has a value for every key that the reason's row lists; values are kept as text.
    `retry_after_seconds` is set where waiting helps.
    """

    def __init__(
        self,
        reason: Reason,
        *,
        faults: tuple[FieldFault, ...] = (),
        retry_after_seconds: float | None = None,
        **metadata: object,
    ) -> None:
        self.reason = reason
        self.row = ERROR_TABLE[reason]
        self.metadata = {key: str(value) for key, value in metadata.items()}
        self.faults = faults
        self.retry_after_seconds = retry_after_seconds
        missing = set(self.row.metadata_keys) - self.metadata.keys()
        if missing:
            raise ValueError(f"refusal {self.row.reason} lacks metadata {sorted(missing)}")
        super().__init__(self.row.text.format_map(self.metadata))

    def again(self) -> Refused:
        """Returns the same, which holds nothing of where this one was raised and of its cause."""
        return Refused(
            self.reason,
            faults=self.faults,
            retry_after_seconds=self.retry_after_seconds,
            **self.metadata,
        )


def invalid_field(field: str, description: str) -> Refused:
    """A refusal that names one bad field."""
    return invalid_fields((FieldFault(field, description),))


def invalid_fields(faults: tuple[FieldFault, ...]) -> Refused:
    """A refusal that names every bad field; its text is about the first."""
    return Refused(
        errors_pb2.ERROR_REASON_INVALID_FIELD,
        faults=faults,
        field=faults[0].field,
        description=faults[0].description,
    )
