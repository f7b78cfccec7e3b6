"""What a service answers about its state, against what a replay of its log answers (G10)."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

import grpc
from google.protobuf.message import Message
from google.protobuf.message_factory import GetMessageClass

from gapless import Client
from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.paging import PageLimits
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, State
from gapless_server.core.times import from_timestamp
from gapless_server.rpc.unary import kind_services
from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.verify.log_files import LogFile
from tests.reliability.stored_logs import log_path

_PAGE_SIZE: Final = 100
_KERNEL: Final = Kernel(KINDS)
# The key that is written to have an entry in the log.
_MARK: Final = "mark"
# Once what is short-lived has ended, a few times are enough.
_TIMES_ASKED_MAX: Final = 100

# The method, the request, and the answer: a message, or the text of a refusal.
_Asked = list[tuple[str, Any, Any]]


def replayed(data: Path, namespace: str, position: int) -> tuple[State, Moment]:
    """Returns the state that a log gives up to a position, and the moment of the entry there."""
    state = _KERNEL.new_state()
    with LogFile(log_path(data, namespace)) as log:
        for record in log.rounds():
            stored_round = StoredRound.FromString(record.data)
            for stored in stored_round.entries:
                time_us = from_timestamp(stored.entry.commit_time)
                moment = Moment(stored.entry.position, time_us, stored_round.uptime_us)
                _KERNEL.replay(state, stored.entry.events, moment)
                if moment.position == position:
                    return state, moment
    raise LookupError(f"the log of {namespace} has no position {position}")


def _queries() -> Iterator[tuple[str, type[Message], type[Message]]]:
    """Yields the method, the request and the response of every query."""
    for service in kind_services(_KERNEL):
        for method in service.methods:
            request: Any = GetMessageClass(method.input_type)
            if request in _KERNEL.queries:
                path = f"/{service.full_name}/{method.name}"
                yield path, request, GetMessageClass(method.output_type)


def _requests(request_type: Any, names: dict[str, Sequence[str]]) -> Iterable[Any]:
    """Returns requests for each of the things that are named, by the field that names one."""
    requests = [request_type()]
    for field in request_type.DESCRIPTOR.fields:
        if field.name == "page_size":
            for request in requests:
                request.page_size = _PAGE_SIZE
        elif field.name in names:
            requests = [
                _with(request, field.name, name)
                for request in requests
                for name in names[field.name]
            ]
    return requests


def _with(request: Any, field: str, name: str) -> Any:
    named = type(request)()
    named.CopyFrom(request)
    setattr(named, field, name)
    return named


def _ask(client: Client, names: dict[str, Sequence[str]]) -> _Asked:
    """Asks the service every query; what it refuses has the text of the refusal for an answer."""
    found: _Asked = []
    for path, request_type, response_type in _queries():
        ask = client.channel.unary_unary(
            path,
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        for request in _requests(request_type, names):
            try:
                found.append((path, request, ask(request, metadata=client.metadata)))
            except grpc.RpcError as error:
                found.append((path, request, error.details()))
    return found


def _expected(state: State, asked: _Asked, moment: Moment) -> list[Any]:
    """Returns what a state answers to what was asked, at a moment; a refusal as its text."""
    found: list[Any] = []
    for _path, request, _answer in asked:
        try:
            found.append(_KERNEL.query(state, request, PageLimits(), moment))
        except Refused as refusal:
            found.append(str(refusal))
    return found


def _mark(client: Client) -> int:
    """Commits an entry, so that the log has a moment; returns its position."""
    return client.config.set(_MARK, "asked").receipt.position


def differences(
    client: Client, data: Path, namespace: str, names: dict[str, Sequence[str]]
) -> tuple[int, list[str]]:
    """Asks the service every query; returns how many were answered, and which otherwise.

    Nobody may send commands meanwhile. What has a time to live is shown as of the moment of the
    question, which only the service knows. So it is asked between two entries: the log has their
    moments, and where it answers the same at both, that is the answer at every moment between.
    Where it does not, because something has ended, or a clock was set, it is asked again.
    """
    for _ in range(_TIMES_ASKED_MAX):
        first = _mark(client)
        asked = _ask(client, names)
        last = _mark(client)
        if last != first + 1:
            continue
        state, earliest = replayed(data, namespace, first)
        _state, latest = replayed(data, namespace, last)
        expected = _expected(state, asked, earliest)
        if expected == _expected(state, asked, latest):
            return len(asked), _differing(asked, expected)
    raise AssertionError(f"asked {_TIMES_ASKED_MAX} times, and each time something ended meanwhile")


def _differing(asked: _Asked, expected: list[Any]) -> list[str]:
    return [
        f"{path} {request}: {answer}, the log gives {wanted}"
        for (path, request, answer), wanted in zip(asked, expected, strict=True)
        if answer != wanted
    ]
