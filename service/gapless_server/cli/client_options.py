"""The options of the commands that talk to a running service, and how their failures are told."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import wraps
from typing import Any, Final

import click

from gapless import DEFAULT_TARGET, AsyncClient, GaplessError
from gapless.errors import (
    DeadlineExceededError,
    InvalidArgumentError,
    LogCorrupt,
    UnavailableError,
)
from gapless.metadata import call_metadata
from gapless_server.cli.exits import BrokenPromise, CommandError, WrongSettings
from gapless_server.cli.numbers import NumberRange

# Beyond it there is no limit, as in the SDK.
_CALL_SECONDS_MAX: Final = 1e9
_TIMEOUT_SECONDS: Final = 10.0


@dataclass(frozen=True, slots=True)
class Service:
    """The service that a command talks to, and for which namespace."""

    address: str
    namespace: str
    timeout_seconds: float

    @property
    def call_seconds(self) -> float | None:
        """The timeout of a call of gRPC's own: None for one that is longer than gRPC can count."""
        return None if self.timeout_seconds > _CALL_SECONDS_MAX else self.timeout_seconds

    def client(self, *, max_attempts: int | None = None) -> AsyncClient:
        """A new client of it."""
        return AsyncClient(
            self.address,
            namespace=self.namespace,
            timeout=self.timeout_seconds,
            max_attempts=max_attempts,
        )


def service_options(command: Callable[..., None]) -> Callable[..., None]:
    """Gives a command the options, and calls it with `service` instead."""
    timeout = click.option(
        "--timeout",
        type=NumberRange(min=0, min_open=True),
        default=_TIMEOUT_SECONDS,
        show_default=True,
        metavar="SECONDS",
        help="How long to wait for an answer.",
    )
    return _place_options(timeout(_with_service(command)))


def untimed_service_options(command: Callable[..., None]) -> Callable[..., None]:
    """The same without --timeout, for a command that takes as long as there is to do."""
    return _place_options(_with_service(command))


def _with_service(command: Callable[..., None]) -> Callable[..., None]:
    @wraps(command)
    def with_service(
        address: str, namespace: str, timeout: float = _TIMEOUT_SECONDS, **given: Any
    ) -> None:
        command(service=Service(address, namespace, timeout), **given)

    return with_service


# Refused is what the SDK refuses, before a command begins and has processes that would say so.


def _valid_address(_ctx: click.Context, _param: click.Parameter, address: str) -> str:
    try:
        AsyncClient(address)  # nothing is connected by that
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return address


def _valid_namespace(_ctx: click.Context, _param: click.Parameter, namespace: str) -> str:
    try:
        call_metadata(namespace=namespace)
    except ValueError as error:
        raise click.BadParameter(str(error)) from error
    return namespace


def _place_options(command: Callable[..., None]) -> Callable[..., None]:
    namespace = click.option(
        "--namespace",
        "-n",
        callback=_valid_namespace,
        envvar="GAPLESS_NAMESPACE",
        default="default",
        show_default=True,
        metavar="NAME",
        help="The namespace to work in.  [GAPLESS_NAMESPACE]",
    )
    address = click.option(
        "--address",
        "-a",
        callback=_valid_address,
        envvar="GAPLESS_ADDRESS",
        default=DEFAULT_TARGET,
        show_default=True,
        metavar="HOST:PORT",
        help="Where the service listens.  [GAPLESS_ADDRESS]",
    )
    return address(namespace(command))


@contextmanager
def failures_told(address: str) -> Iterator[None]:
    """Turns what the SDK raises into a sentence and an exit code."""
    try:
        yield
    except LogCorrupt as error:
        raise BrokenPromise(str(error)) from error
    except InvalidArgumentError as error:
        raise WrongSettings(str(error)) from error
    except GaplessError as error:
        # With a reason, the error is the service's own word.
        if not error.reason and isinstance(error, (UnavailableError, DeadlineExceededError)):
            raise no_service(address) from error
        raise CommandError(str(error)) from error


def no_service(address: str) -> CommandError:
    """The error of a service that does not answer."""
    return CommandError(
        f"no service answers at {address}; start one with `gapless serve`, or say where it is with"
        " --address"
    )
