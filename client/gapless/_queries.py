"""Reads as unary calls: which method, and what it answers."""

from __future__ import annotations

from typing import Generic, Protocol, TypeVar

from google.protobuf import descriptor_pool
from google.protobuf.message import Message

ResponseT_co = TypeVar("ResponseT_co", bound=Message, covariant=True)


class Request(Protocol):
    """What every request message has."""

    def SerializeToString(self) -> bytes: ...  # noqa: N802  (protobuf's name)


class QueryKind(Generic[ResponseT_co]):
    """One kind of read: a method of a service, and the type of its answer."""

    __slots__ = ("path", "response")

    def __init__(self, method: str, response: type[ResponseT_co]) -> None:
        """`method` is the service and the method, such as ``"ChannelService.GetChannel"``.

        Raises:
            KeyError: there is no such method.
            ValueError: it answers with another type.
        """
        name = f"gapless.v1.{method}"
        descriptor = descriptor_pool.Default().FindMethodByName(name)
        if descriptor.output_type is not response.DESCRIPTOR:
            raise ValueError(f"{name} answers with {descriptor.output_type.name}")
        service, _, rpc = method.partition(".")
        self.path = f"/gapless.v1.{service}/{rpc}"
        self.response = response


def serialize(request: Request) -> bytes:
    """The bytes of a request."""
    return request.SerializeToString()
