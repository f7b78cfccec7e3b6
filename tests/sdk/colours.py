"""Runs one test body, written for asyncio, against the clients of both colours.

The blocking client is used as its twin for asyncio is: what the twin awaits runs in a thread, and
what the twin iterates asynchronously is iterated from one.
"""

from __future__ import annotations

import asyncio
import importlib
import inspect
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Literal, cast

from gapless import AsyncClient, Client

Colour = Literal["async", "blocking"]
COLOURS: tuple[Colour, ...] = ("async", "blocking")

# More than any test has callers waiting at once.
_threads = ThreadPoolExecutor(max_workers=64, thread_name_prefix="blocking client")


def make_client(colour: Colour, address: str, **options: Any) -> AsyncClient:
    """A client of this colour, to be used as if it were for asyncio."""
    if colour == "async":
        return AsyncClient(address, **options)
    return cast("AsyncClient", _Blocking(Client(address, **options)))


class _Blocking:
    """An object of the blocking client in the clothes of its twin."""

    def __init__(self, inner: Any) -> None:
        self._inner = inner
        self._twin = _twin_of(type(inner))

    def __getattr__(self, name: str) -> Any:
        value = getattr(self._inner, name)
        if not inspect.ismethod(value):
            return _dressed(value)
        if not inspect.iscoroutinefunction(getattr(self._twin, name)):
            return lambda *arguments, **named: _dressed(value(*arguments, **named))

        async def in_thread(*arguments: Any, **named: Any) -> Any:
            return _dressed(await _call(value, *arguments, **named))

        return in_thread

    def __aiter__(self) -> Any:
        return _iterate(iter(self._inner))

    async def __anext__(self) -> Any:
        item = await _call(next, self._inner, _END)
        if item is _END:
            raise StopAsyncIteration
        return item

    async def __aenter__(self) -> Any:
        return _dressed(await _call(self._inner.__enter__))

    async def __aexit__(self, *error: object) -> None:
        await _call(self._inner.__exit__, *error)


_END = object()


async def _iterate(iterator: Any) -> Any:
    while (item := await _call(next, iterator, _END)) is not _END:
        yield item


async def _call(function: Any, *arguments: Any, **named: Any) -> Any:
    loop = asyncio.get_running_loop()
    return await loop.run_in_executor(_threads, lambda: function(*arguments, **named))


def _twin_of(kind: type) -> type | None:
    """The class for asyncio that a class of the blocking client was generated from."""
    if not kind.__module__.startswith("gapless._sync."):
        return None
    module = importlib.import_module(kind.__module__.replace("._sync.", "._async."))
    twin = getattr(module, kind.__name__, None) or getattr(module, f"Async{kind.__name__}")
    return cast("type", twin)


def _dressed(value: Any) -> Any:
    if inspect.isgenerator(value):
        return _iterate(value)
    return _Blocking(value) if _twin_of(type(value)) is not None else value
