"""Entries and answers as bytes: how the round writes them, and how they are read again.

Everything here is the wire form of ``StoredEntry`` and ``CommandResult``; a test holds that each
equals what protobuf itself would make of the same values.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from functools import cache
from typing import Any, NamedTuple

from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp

from gapless.v1.commands_pb2 import CommandResult
from gapless.v1.common_pb2 import Receipt
from gapless.v1.events_pb2 import Entry
from gapless_server.core.kernel import EventType
from gapless_server.journal.port import Round, digest_of
from gapless_server.storage.v1.storage_pb2 import RewrittenRound, StoredEntry, StoredRound
from gapless_server.writer.wire import bytes_tag, field, number_tag, varint

_ROUND_ENTRY = bytes_tag(StoredRound.ENTRIES_FIELD_NUMBER)
_ROUND_REWRITTEN = bytes_tag(StoredRound.REWRITTEN_FIELD_NUMBER)
_ROUND_UPTIME = number_tag(StoredRound.UPTIME_US_FIELD_NUMBER)
_STORED_ENTRY = bytes_tag(StoredEntry.ENTRY_FIELD_NUMBER)
_STORED_CALLER = bytes_tag(StoredEntry.CALLER_FIELD_NUMBER)
_STORED_FINGERPRINT = bytes_tag(StoredEntry.FINGERPRINT_FIELD_NUMBER)
_STORED_ANSWER = bytes_tag(StoredEntry.ANSWER_FIELD_NUMBER)
_ENTRY_POSITION = number_tag(Entry.POSITION_FIELD_NUMBER)
_ENTRY_TIME = bytes_tag(Entry.COMMIT_TIME_FIELD_NUMBER)
_ENTRY_REQUEST_ID = bytes_tag(Entry.REQUEST_ID_FIELD_NUMBER)
_ENTRY_EVENT = bytes_tag(Entry.EVENTS_FIELD_NUMBER)
_RECEIPT_POSITION = number_tag(Receipt.POSITION_FIELD_NUMBER)
_RECEIPT_TIME = bytes_tag(Receipt.COMMIT_TIME_FIELD_NUMBER)
_RECEIPT_CHANGED = number_tag(Receipt.CHANGED_FIELD_NUMBER) + varint(1)

# The tags of the fields of the unions, whose numbers stay below 256.
_TAGS = [bytes_tag(number) for number in range(256)]


class Answer(NamedTuple):
    """The answer to a command: its field in CommandResult, and the serialized response."""

    number: int
    response: bytes

    def result(self) -> bytes:
        """Returns the answer as a serialized CommandResult."""
        return field(_TAGS[self.number], self.response)


@cache
def _receipt_tag(response: Hashable) -> bytes:
    descriptor: Any = response
    return bytes_tag(descriptor.fields_by_name["receipt"].number)


class EntryWriter:
    """Writes the entries of one round, which all have the same commit time."""

    def __init__(self, commit_time: Timestamp) -> None:
        time = commit_time.SerializeToString()
        self._entry_time = field(_ENTRY_TIME, time)
        self._receipt_time = field(_RECEIPT_TIME, time)

    def entry(
        self,
        position: int,
        request_id: str,
        caller: str,
        fingerprint: bytes,
        events: Iterable[tuple[EventType, Message]],
        answer: Answer | None,
    ) -> bytes:
        """Returns an entry as a field of StoredRound. `answer` has no receipt."""
        shown = _ENTRY_POSITION + varint(position) + self._entry_time
        if request_id:
            shown += field(_ENTRY_REQUEST_ID, request_id.encode())
        for event_type, event in events:
            data = field(_TAGS[event_type.number], event.SerializeToString(deterministic=True))
            shown += field(_ENTRY_EVENT, data)
        stored = field(_STORED_ENTRY, shown)
        if caller:
            stored += field(_STORED_CALLER, caller.encode())
        if fingerprint:
            stored += field(_STORED_FINGERPRINT, fingerprint)
        if answer is not None:
            stored += field(_STORED_ANSWER, field(_TAGS[answer.number], answer.response))
        return field(_ROUND_ENTRY, stored)

    def receipt(self, response: Message, position: int, *, changed: bool) -> bytes:
        """Returns the receipt as a field of a response, to be put behind its other fields."""
        data = _RECEIPT_POSITION + varint(position) + self._receipt_time
        return field(
            _receipt_tag(response.DESCRIPTOR), data + _RECEIPT_CHANGED if changed else data
        )


def round_data(entries: Iterable[bytes], uptime_us: int, rewritten: Sequence[Round] = ()) -> bytes:
    """Returns a StoredRound of entries that were written as fields of it.

    `rewritten` are rounds of before as they are from now on.
    """
    data = b"".join(entries) + _ROUND_UPTIME + varint(uptime_us)
    for record in rewritten:
        attested = RewrittenRound(
            first_position=record.first_position, data_digest=digest_of(record.data)
        )
        data += field(_ROUND_REWRITTEN, attested.SerializeToString())
    return data


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
    result = result_of(stored, replayed=True)
    name = str(result.WhichOneof("result"))
    number = CommandResult.DESCRIPTOR.fields_by_name[name].number
    return Answer(number, getattr(result, name).SerializeToString())
