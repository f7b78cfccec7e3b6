"""Whatever the contract offers, the SDK has a method for."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator

import gapless._async
import gapless.v1
from gapless._commands import CommandKind
from gapless._queries import QueryKind
from gapless.v1 import commands_pb2

# Commands and reads whose methods are still to be written.
AWAITED = {"redact_message", "redact_user"}
# What carries commands, rather than being one.
CARRIERS = {"/gapless.v1.CommandService/Execute", "/gapless.v1.CommandService/Pipeline"}


def _kinds() -> Iterator[str]:
    """Everything that a module of the client for asyncio calls."""
    for module in pkgutil.iter_modules(gapless._async.__path__):
        for value in vars(importlib.import_module(f"gapless._async.{module.name}")).values():
            if isinstance(value, CommandKind):
                yield value.field
            elif isinstance(value, QueryKind):
                yield value.path


def _reads() -> Iterator[str]:
    """The methods of every service that do not answer a command."""
    answers = {field.message_type for field in commands_pb2.CommandResult.DESCRIPTOR.fields}
    for module in pkgutil.iter_modules(gapless.v1.__path__):
        if not module.name.endswith("_pb2"):
            continue
        descriptor = importlib.import_module(f"gapless.v1.{module.name}").DESCRIPTOR
        for service in descriptor.services_by_name.values():
            for method in service.methods:
                if method.output_type not in answers:
                    yield f"/{service.full_name}/{method.name}"


def test_every_command_and_every_read_has_a_method() -> None:
    commands = commands_pb2.Command.DESCRIPTOR.oneofs_by_name["command"].fields
    offered = {field.name for field in commands} | set(_reads()) - CARRIERS

    assert offered - set(_kinds()) <= AWAITED
