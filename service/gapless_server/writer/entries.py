"""Entries and answers as bytes: how the round writes them, and how they are read again.

Everything here is the wire form of ``StoredEntry`` and ``CommandResult``; a test holds that each
equals what protobuf itself would make of the same values.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from functools import cache
from typing import Any, ClassVar, Final, NamedTuple

import msgspec

from gapless.v1.commands_pb2 import CommandResult, PipelineResponse
from gapless.v1.common_pb2 import Receipt
from gapless.v1.events_pb2 import Entry
from gapless_server.core.batches import TypedBatch
from gapless_server.core.commands import TypedCommand
from gapless_server.core.plain import both_forms
from gapless_server.core.times import timestamp_bytes
from gapless_server.core.wire import VARINTS, bytes_tag, field, number_tag, serializer
from gapless_server.storage.v1.storage_pb2 import RewrittenRound, StoredEntry, StoredRound

_ROUND_ENTRY = bytes_tag(StoredRound.ENTRIES_FIELD_NUMBER)
_ROUND_REWRITTEN = bytes_tag(StoredRound.REWRITTEN_FIELD_NUMBER)
_ROUND_UPTIME = number_tag(StoredRound.UPTIME_US_FIELD_NUMBER)
_STORED_ENTRY = bytes_tag(StoredEntry.ENTRY_FIELD_NUMBER)
_STORED_CALLER = bytes_tag(StoredEntry.CALLER_FIELD_NUMBER)
_STORED_FINGERPRINT = bytes_tag(StoredEntry.FINGERPRINT_FIELD_NUMBER)
_STORED_ANSWER = bytes_tag(StoredEntry.ANSWER_FIELD_NUMBER)
# An entry and its receipt have the same first two fields.
_POSITION = number_tag(Entry.POSITION_FIELD_NUMBER)
_TIME = bytes_tag(Entry.COMMIT_TIME_FIELD_NUMBER)
if (Receipt.POSITION_FIELD_NUMBER, Receipt.COMMIT_TIME_FIELD_NUMBER) != (
    Entry.POSITION_FIELD_NUMBER,
    Entry.COMMIT_TIME_FIELD_NUMBER,
):
    raise LookupError("position and commit_time have other numbers in Receipt than in Entry")
_ENTRY_REQUEST_ID = bytes_tag(Entry.REQUEST_ID_FIELD_NUMBER)
_ENTRY_EVENT = bytes_tag(Entry.EVENTS_FIELD_NUMBER)
_RECEIPT_CHANGED = number_tag(Receipt.CHANGED_FIELD_NUMBER) + VARINTS[1]

# All of these for what writes entries in compiled form, and those of the answers in a frame.
RUN_TAGS: Final[Mapping[str, int]] = {
    name: int.from_bytes(tag, "little")
    for name, tag in (
        ("round_entry", _ROUND_ENTRY),
        ("stored_entry", _STORED_ENTRY),
        ("stored_caller", _STORED_CALLER),
        ("stored_fingerprint", _STORED_FINGERPRINT),
        ("stored_answer", _STORED_ANSWER),
        ("entry_position", _POSITION),
        ("entry_request_id", _ENTRY_REQUEST_ID),
        ("entry_event", _ENTRY_EVENT),
        ("receipt_changed", number_tag(Receipt.CHANGED_FIELD_NUMBER)),
        ("frame_result", bytes_tag(PipelineResponse.RESULTS_FIELD_NUMBER)),
    )
}

# The tags of the fields of the unions, whose numbers stay below 256.
_TAGS = [bytes_tag(number) for number in range(256)]


class Answer(msgspec.Struct, gc=False):
    """The answer to a command: its field in CommandResult, and the serialized response.

    The response is empty until the round is written.
    """

    count: ClassVar[int] = 1

    number: int
    response: bytes = b""

    def result(self) -> bytes:
        """Returns the answer as a serialized CommandResult."""
        return field(_TAGS[self.number], self.response)

    def result_in(self, tag: bytes) -> tuple[bytes, ...]:
        """Returns the parts of a field, given by its tag, that holds the answer as a result."""
        response = self.response
        union_tag, size = _TAGS[self.number], VARINTS[len(response)]
        length = len(union_tag) + len(size) + len(response)
        return tag, VARINTS[length], union_tag, size, response


class Answers(msgspec.Struct, frozen=True, gc=False):
    """The answers to commands that came one after another and were decided as a run."""

    count: int
    # The results of a PipelineResponse, as its fields.
    results: bytes

    def each(self) -> list[Answer]:
        """Returns them one by one."""
        results = PipelineResponse.FromString(self.results).results
        return [_answer_of(result) for result in results]


class ResponseForm(NamedTuple):
    """How responses of a type are written, and the tag of the receipt that follows."""

    write: Callable[[Any], bytes]
    receipt_tag: bytes


@cache
def response_form(response_type: Any) -> ResponseForm:
    """Returns how responses of a type are written."""
    receipt = response_type.DESCRIPTOR.fields_by_name["receipt"]
    message_type, plain_type = both_forms(response_type)
    write = serializer(message_type) if plain_type is None else plain_type.write
    return ResponseForm(write, bytes_tag(receipt.number))


class Draft(msgspec.Struct, frozen=True, gc=False):
    """An entry that is decided and in the state, but not written yet."""

    position: int
    events: Sequence[Any]
    # The others are absent for what the service does by itself.
    typed: TypedCommand | TypedBatch | None = None
    caller: str = ""
    response: Any = None
    answer: Answer | None = None


class EntryWriter:
    """Writes the entries of one round, which all have the same commit time."""

    def __init__(self, commit_time_us: int) -> None:
        self.time = field(_TIME, timestamp_bytes(commit_time_us))

    def place(self, position: int) -> bytes:
        """Returns where and when an entry stands, as it begins both the entry and its receipt."""
        return b"".join((_POSITION, VARINTS[position], self.time))

    def entry(
        self,
        place: bytes,
        request_id: str,
        caller: str,
        fingerprint: bytes,
        events: Iterable[tuple[int, bytes]],
        answer: Answer | None,
    ) -> bytes:
        """Returns an entry as a field of StoredRound.

        `events` are their fields in Event and their bytes; `answer` has no receipt.
        """
        parts = [place]
        if request_id:
            data = request_id.encode()
            parts += (_ENTRY_REQUEST_ID, VARINTS[len(data)], data)
        for number, event in events:
            tag, size = _TAGS[number], VARINTS[len(event)]
            parts += (_ENTRY_EVENT, VARINTS[len(tag) + len(size) + len(event)], tag, size, event)
        shown = b"".join(parts)
        parts = [_STORED_ENTRY, VARINTS[len(shown)], shown]
        if caller:
            parts.append(field(_STORED_CALLER, caller.encode()))
        if fingerprint:
            parts += (_STORED_FINGERPRINT, VARINTS[len(fingerprint)], fingerprint)
        if answer is not None:
            parts += answer.result_in(_STORED_ANSWER)
        stored = b"".join(parts)
        return b"".join((_ROUND_ENTRY, VARINTS[len(stored)], stored))

    def add_receipt(
        self, answer: Answer, receipt_tag: bytes, place: bytes, *, changed: bool
    ) -> None:
        """Puts the receipt of an answer behind its other fields."""
        end = _RECEIPT_CHANGED if changed else b""
        size = VARINTS[len(place) + len(end)]
        answer.response = b"".join((answer.response, receipt_tag, size, place, end))


def round_data(
    entries: Iterable[bytes], uptime_us: int, rewritten: Iterable[RewrittenRound] = ()
) -> bytes:
    """Returns a StoredRound of entries that were written as fields of it.

    `rewritten` says what rounds of before are from now on.
    """
    parts = [*entries, _ROUND_UPTIME, VARINTS[uptime_us]]
    parts += (field(_ROUND_REWRITTEN, one.SerializeToString()) for one in rewritten)
    return b"".join(parts)


def receipt_of(stored: StoredEntry, *, replayed: bool) -> Receipt:
    """Returns the receipt of a stored entry."""
    return Receipt(
        position=stored.entry.position,
        commit_time=stored.entry.commit_time,
        replayed=replayed,
        changed=bool(stored.entry.events),
        erased=stored.erased,
    )


def result_of(stored: StoredEntry, *, replayed: bool) -> CommandResult:
    """Returns the answer of a stored entry, with its receipt."""
    result = CommandResult()
    result.CopyFrom(stored.answer)
    name = result.WhichOneof("result")
    if name is None:
        raise LookupError(f"position {stored.entry.position} holds no answer")
    getattr(result, name).receipt.CopyFrom(receipt_of(stored, replayed=replayed))
    return result


def replayed_answer(stored: StoredEntry) -> Answer:
    """Returns the answer of a stored entry as it is given a second time."""
    return _answer_of(result_of(stored, replayed=True))


def _answer_of(result: CommandResult) -> Answer:
    name = str(result.WhichOneof("result"))
    number = CommandResult.DESCRIPTOR.fields_by_name[name].number
    return Answer(number, getattr(result, name).SerializeToString())
