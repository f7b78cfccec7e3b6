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


def replayed(data: Path, namespace: str) -> tuple[State, Moment]:
    """Returns the state that a log gives, and the moment of its newest entry."""
    state, moment = _KERNEL.new_state(), Moment(0, 0, 0)
    with LogFile(log_path(data, namespace)) as log:
        for record in log.rounds():
            stored_round = StoredRound.FromString(record.data)
            for stored in stored_round.entries:
                time_us = from_timestamp(stored.entry.commit_time)
                moment = Moment(stored.entry.position, time_us, stored_round.uptime_us)
                _KERNEL.replay(state, stored.entry.events, moment)
    return state, moment


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


def _answers(client: Client, names: dict[str, Sequence[str]]) -> list[tuple[str, Any, Any]]:
    """Asks the service every query: the method, the request, and what was answered."""
    found = []
    for path, request_type, response_type in _queries():
        ask = client.channel.unary_unary(
            path,
            request_serializer=request_type.SerializeToString,
            response_deserializer=response_type.FromString,
        )
        for request in _requests(request_type, names):
            try:
                answer = ask(request, metadata=client.metadata)
            except grpc.RpcError as error:
                answer = error
            found.append((path, request, answer))
    return found


def differences(
    client: Client, data: Path, namespace: str, names: dict[str, Sequence[str]]
) -> tuple[int, list[str]]:
    """Asks the service every query; returns how many were answered, and which otherwise.

    Nobody sends commands meanwhile; but what is over ends by itself, so that it is asked again.
    """
    before, after = -1, 0
    while before != after:
        before = client.operations.get_namespace().head_position
        answers = _answers(client, names)
        after = client.operations.get_namespace().head_position
    state, moment = replayed(data, namespace)
    found = []
    for path, request, answer in answers:
        try:
            expected: Any = _KERNEL.query(state, request, PageLimits(), moment)
        except Refused as refusal:
            expected = refusal
        if not _same(answer, expected):
            found.append(f"{path} {request}: {answer}, the log gives {expected}")
    return len(answers), found


def _same(answer: Any, expected: Any) -> bool:
    if isinstance(answer, grpc.RpcError) or isinstance(expected, Refused):
        return (
            isinstance(answer, grpc.RpcError)
            and isinstance(expected, Refused)
            and answer.details() == str(expected)
        )
    return bool(_without_times(answer) == _without_times(expected))


def _without_times(message: Message) -> Message:
    """Returns a message without its times: when something ends depends on when it is asked."""
    found = type(message)()
    found.CopyFrom(message)
    _clear_times(found)
    return found


def _clear_times(message: Message) -> None:
    for field, value in message.ListFields():
        if field.message_type is None:
            continue
        if field.message_type.full_name == "google.protobuf.Timestamp":
            message.ClearField(field.name)
        elif not isinstance(value, Message):
            for one in value:
                if isinstance(one, Message):
                    _clear_times(one)
        else:
            _clear_times(value)
