"""UmaDB: an append whose condition is that no event has the request's tag.

Its positions are dense and global, so they number one hot channel; it has no number a channel.
Its Python client blocks, so a caller is a thread. A repeat with the same uuid and condition is
answered with the first position.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from uuid import UUID

from bench.servers import HOST, NotInstalled, free_port, running
from gapless_server.load.driver import Post


@contextmanager
def server(directory: Path, environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """Runs the server that comes with the package."""
    server_version()
    port = free_port()
    command = [str(Path(sys.executable).parent / "umadb"), "--listen", f"{HOST}:{port}"]
    command += ["--db-path", str(directory)]
    with running(command, port, directory.parent / "umadb.log", environment) as pid:
        yield {"port": port, "pid": pid}


def server_version() -> str:
    """The version of the package, which holds server and client."""
    try:
        return f"umadb {metadata.version('umadb')}"
    except metadata.PackageNotFoundError as error:
        raise NotInstalled("the package umadb is not installed") from error


class UmaDriver:
    """The client of the package; one hot channel in a database of its own."""

    def __init__(self, port: int) -> None:
        self._url = f"http://{HOST}:{port}"
        self._before = 0

    def open(self) -> None:
        import umadb

        self._umadb = umadb
        self._client = umadb.Client(self._url)
        self._before = self._first_position()

    def _first_position(self) -> int:
        """How many events there were before this load: the check wants numbers from 1."""
        found = self._client.read(
            query=self._umadb.Query([self._umadb.QueryItem(types=["begun"])]),
            backwards=True,
            limit=1,
        )
        return next((int(one.position) for one in found), 0)

    def prepare(self, channel_ids: Sequence[str]) -> None:
        import umadb

        umadb.Client(self._url).append([umadb.Event("begun", b"", [channel_ids[0]])])

    def post(self, post: Post) -> int:
        return self.post_frame([post])[0]

    def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        umadb = self._umadb
        events = [
            umadb.Event(
                "posted", post.body, [post.channel_id, post.request_id], uuid=UUID(post.request_id)
            )
            for post in posts
        ]
        tags = [umadb.QueryItem(tags=[post.request_id]) for post in posts]
        condition = umadb.AppendCondition(umadb.Query(tags))
        last = int(self._client.append(events, condition)) - self._before
        return range(last - len(posts) + 1, last + 1)

    def close(self) -> None:
        self._client.close()
