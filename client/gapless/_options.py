"""What a client is set to: how to connect, for whom to call, and how long to try."""

from __future__ import annotations

import dataclasses
import ipaddress
import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeVar

import grpc

from gapless._version import __version__
from gapless.metadata import DEFAULT_TARGET, CallMetadata, call_metadata
from gapless.v1.guards_pb2 import Guard

TIMEOUT_SECONDS: Final = 10.0

PIPELINE_PATH: Final = "/gapless.v1.CommandService/Pipeline"
# Asked before a stream is opened, to learn whether the service is there: cheap, and known to all.
PING_PATH: Final = "/gapless.v1.OperationsService/GetServerInfo"

# What has no answer yet, in all pipelines of one namespace and caller; past it, callers wait.
QUEUE_COMMANDS_MAX: Final = 20_000
QUEUE_BYTES_MAX: Final = 64 * 1024 * 1024

# A stream that carried nothing for so long is closed; the next command opens another.
STREAM_IDLE_SECONDS_MAX: Final = 60.0
# The service ends its side then; one that does not for so long is not waited for.
STREAM_END_SECONDS_MAX: Final = 1.0

# Several of the service's heartbeats, which come every 5 seconds unless it is set otherwise.
WATCH_SILENCE_SECONDS_MAX: Final = 30.0

_CHANNEL_OPTIONS: Final[Mapping[str, Any]] = {
    # A restarted service is found within a second.
    "grpc.initial_reconnect_backoff_ms": 100,
    "grpc.max_reconnect_backoff_ms": 500,
    # Despite its name this is how long one attempt to connect may take.
    "grpc.min_reconnect_backoff_ms": 5_000,
    # Each client has a connection of its own; gRPC would share them within a process.
    "grpc.use_local_subchannel_pool": 1,
    # Answers of full frames and pages of large bodies go beyond gRPC's 4 MiB.
    "grpc.max_receive_message_length": 128 * 1024 * 1024,
    # A connection that died without a word is noticed within 40 seconds.
    "grpc.keepalive_time_ms": 30_000,
    "grpc.keepalive_timeout_ms": 10_000,
    "grpc.http2.max_pings_without_data": 0,
    # Retries are made here, by request id and with the whole budget in view.
    "grpc.enable_retries": 0,
    "grpc.primary_user_agent": f"gapless-python/{__version__}",
}


# A name, an IPv4 address, or an IPv6 address in brackets, and no port behind it.
_HOST_ALONE: Final = re.compile(r"[^:/]+|\[[^\[\]/]*\]")

StubT_co = TypeVar("StubT_co", covariant=True)


class StubFactory(Protocol[StubT_co]):
    """The class of a generated stub."""

    def __call__(self, channel: Any, /) -> StubT_co: ...


@dataclass(frozen=True)
class ConnectionOptions:
    """Where a client connects and with what credentials."""

    target: str
    credentials: grpc.ChannelCredentials | None
    channel_options: Mapping[str, Any]

    def as_grpc(self) -> Sequence[tuple[str, Any]]:
        """The options of the gRPC channel, those of the caller over ours."""
        return list({**_CHANNEL_OPTIONS, **self.channel_options}.items())


@dataclass(frozen=True)
class CallOptions:
    """For whom a view of a client calls, and how long it tries."""

    namespace: str | None
    caller: str | None
    timeout_seconds: float
    attempts_max: int | None
    min_position: int | None
    guards: tuple[Guard, ...] = ()

    def __post_init__(self) -> None:
        """Raises ValueError if an option breaks its rule."""
        check_timeout(self.timeout_seconds)
        if self.attempts_max is not None and self.attempts_max < 1:
            raise ValueError(f"max_attempts is {self.attempts_max}; expected at least 1, or None")
        self.command_metadata()
        self.read_metadata()

    def replace(self, **changes: Any) -> CallOptions:
        """The same with some options changed; None leaves an option as it is."""
        given = {name: value for name, value in changes.items() if value is not None}
        return dataclasses.replace(self, **given)

    def command_metadata(self) -> CallMetadata:
        """The metadata of the stream of commands."""
        return call_metadata(namespace=self.namespace, caller=self.caller)

    def read_metadata(self) -> CallMetadata:
        """The metadata of reads."""
        return call_metadata(
            namespace=self.namespace, caller=self.caller, min_position=self.min_position
        )


def check_target(target: str, credentials: grpc.ChannelCredentials | None) -> str:
    """The same target. Raises ValueError if it is a host that lacks its port.

    gRPC takes port 443 then, which is meant with TLS at best. Everything that a scheme can begin
    (``dns:``, ``unix:``, ``xds:``) has a colon, and is left to gRPC.
    """
    if credentials is None and (not target or _HOST_ALONE.fullmatch(target) or _is_ipv6(target)):
        raise ValueError(
            f"target is {target!r}, which has no port; expected host:port, such as"
            f" {DEFAULT_TARGET!r} or '[::1]:4275', or another gRPC target"
        )
    return target


def _is_ipv6(target: str) -> bool:
    try:
        ipaddress.IPv6Address(target)
    except ValueError:
        return False
    return True


def check_timeout(timeout_seconds: float) -> float:
    """The same timeout. Raises ValueError if it is not a time to wait."""
    if not timeout_seconds > 0 or math.isnan(timeout_seconds):
        raise ValueError(
            f"timeout is {timeout_seconds}; expected seconds above 0, or math.inf for no limit"
        )
    return timeout_seconds
