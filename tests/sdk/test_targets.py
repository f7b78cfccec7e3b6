"""Where a client connects to: a host without a port is refused before anything is sent."""

from __future__ import annotations

import re

import grpc
import pytest

from gapless import AsyncClient, Client
from tests.cli.commands import run


@pytest.mark.parametrize(
    "target", ["localhost", "gapless.internal", "127.0.0.1", "[::1]", "::1", ""]
)
def test_a_host_without_a_port_is_refused(target: str) -> None:
    told = (
        f"target is {target!r}, which has no port; expected host:port, such as '127.0.0.1:4275' or"
        " '[::1]:4275', or another gRPC target"
    )
    for kind in (Client, AsyncClient):
        with pytest.raises(ValueError, match=f"^{re.escape(told)}$"):
            kind(target)


@pytest.mark.parametrize(
    "target",
    [
        "localhost:4275",
        "127.0.0.1:4275",
        "[::1]:4275",
        "dns:localhost",
        "dns:///localhost:4275",
        "dns://8.8.8.8/localhost",
        "ipv4:127.0.0.1:4275,127.0.0.2:4275",
        "ipv6:[::1]:4275",
        "unix:gapless.sock",
        "unix:///run/gapless.sock",
        "unix-abstract:gapless",
        "vsock:2:4275",
        "xds:///gapless",
    ],
)
def test_every_other_target_is_left_to_grpc(target: str) -> None:
    Client(target).close()


def test_with_tls_the_port_may_be_that_of_https() -> None:
    Client("gapless.example", credentials=grpc.ssl_channel_credentials()).close()


@pytest.mark.parametrize("command", ["status", "watch", "bench"])
def test_the_command_line_refuses_an_address_without_a_port(command: str) -> None:
    refused = run(command, "--address", "localhost")

    assert refused.exit_code == 2
    assert (
        "Invalid value for '--address' / '-a': target is 'localhost', which has" in refused.stderr
    )
