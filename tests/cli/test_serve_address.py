"""`gapless serve --host`: what it listens on, and the true reason when it can not."""

from __future__ import annotations

import socket
from pathlib import Path

import pytest

from gapless import Client
from gapless_server.listening import listen_address
from tests.cli.commands import run_process, serving
from tests.ipv6 import needs_ipv6

REFUSED = {
    " ": "is neither an address nor the name of a machine",
    "unix:/tmp/gapless-test.sock": "is neither an address nor the name of a machine",
    "127.0.0.1:80": "is neither an address nor the name of a machine",
    "nosuch.invalid": "the host 'nosuch.invalid' cannot be resolved",
    # An address that is kept for examples, and is no machine's.
    "192.0.2.1": "cannot listen on 192.0.2.1:5109: it is no address of this machine",
    "2001:db8::1": "cannot listen on [2001:db8::1]:5109: it is no address of this machine",
}


@pytest.mark.parametrize("host", REFUSED)
def test_a_host_that_cannot_be_listened_on_is_refused_with_the_reason(
    host: str, tmp_path: Path
) -> None:
    refused = run_process("serve", "--host", host, "--port", 5109, "--data", tmp_path / "data")

    assert REFUSED[host] in refused.stderr
    assert (refused.returncode, refused.stderr.count("\n")) == (2, 1)


@needs_ipv6
@pytest.mark.parametrize("host", ["::1", "[::1]"])
def test_a_bare_ipv6_address_is_listened_on(host: str, tmp_path: Path) -> None:
    arguments = ("--host", host, "--port", 0, "--data", tmp_path / "data")
    with serving(*arguments, directory=tmp_path) as (_process, address), Client(address) as client:
        assert client.operations.server_info().journal == "sqlite"

    assert address.startswith("[::1]:")


@needs_ipv6
def test_g9_a_port_of_ipv6_that_is_taken_is_in_use(tmp_path: Path) -> None:
    with socket.socket(socket.AF_INET6) as other:
        other.bind(("::1", 0))
        other.listen()
        port = other.getsockname()[1]

        refused = run_process("serve", "--host", "::1", "--port", port, "--data", tmp_path / "data")

    assert refused.returncode == 4
    assert refused.stderr.startswith(f"Error: cannot listen on [::1]:{port}: process ")


def test_names_and_addresses_of_ipv4_stay_as_they_are() -> None:
    assert listen_address("127.0.0.1", 1) == "127.0.0.1:1"
    assert listen_address("localhost", 1) == "localhost:1"
    assert listen_address("::", 1) == "[::]:1"
