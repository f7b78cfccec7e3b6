"""The library `eventsourcing` on SQLite: a channel is an aggregate, a sequence is its version.

A request id is an aggregate of its own, saved with the channel's event in one transaction, so a
repeat finds it. Commands of one process run one after another, as the library's SQLite has it.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any
from uuid import NAMESPACE_URL, UUID, uuid5

from bench.servers import NotInstalled
from gapless_server.load.driver import Post


@contextmanager
def server(directory: Path, _environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """There is no server, only a file."""
    server_version()
    yield {"path": str(directory / "events.db")}


def server_version() -> str:
    """The version of the library."""
    try:
        return f"eventsourcing {metadata.version('eventsourcing')}"
    except metadata.PackageNotFoundError as error:
        raise NotInstalled("the package eventsourcing is not installed") from error


def _aggregates() -> tuple[Any, Any]:
    from eventsourcing.domain import Aggregate, event

    class Channel(Aggregate):
        """Its version counts its messages, and its creation."""

        def __init__(self, channel_id: str) -> None:
            self.channel_id = channel_id

        @staticmethod
        def create_id(channel_id: str) -> UUID:
            return uuid5(NAMESPACE_URL, channel_id)

        @event("Posted")
        def post(self, body: str) -> None:
            pass

    class Request(Aggregate):
        """Remembers which sequence a request id was answered with."""

        def __init__(self, request_id: str, sequence: int) -> None:
            self.sequence = sequence

        @staticmethod
        def create_id(request_id: str, sequence: int = 0) -> UUID:
            return uuid5(NAMESPACE_URL, request_id)

    return Channel, Request


class EventsourcingDriver:
    """An Application of the library."""

    def __init__(self, path: str) -> None:
        self._path = path

    def open(self) -> None:
        from eventsourcing.application import AggregateNotFoundError, Application

        self._not_found = AggregateNotFoundError
        self._channel, self._request = _aggregates()
        self._application: Any = Application(
            env={
                "PERSISTENCE_MODULE": "eventsourcing.sqlite",
                "SQLITE_DBNAME": self._path,
                "AGGREGATE_CACHE_MAXSIZE": "2000",
            }
        )

    def prepare(self, channel_ids: Sequence[str]) -> None:
        self.open()
        self._application.save(*[self._channel(channel_id=one) for one in channel_ids])
        self.close()

    def post(self, post: Post) -> int:
        repository = self._application.repository
        try:
            known = repository.get(self._request.create_id(post.request_id))
            return int(known.sequence)
        except self._not_found:
            pass
        channel = repository.get(self._channel.create_id(post.channel_id))
        channel.post(post.body.decode())
        sequence = channel.version - 1
        self._application.save(
            channel, self._request(request_id=post.request_id, sequence=sequence)
        )
        return int(sequence)

    def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        return [self.post(post) for post in posts]

    def close(self) -> None:
        self._application.close()
