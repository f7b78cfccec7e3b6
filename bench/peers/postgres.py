"""PostgreSQL: one PL/pgSQL function a post, or one for a whole array, over an asyncpg pool.

The row of a channel is its counter, and its lock. Two callers with the same request id at once
collide in the unique index; the loser's whole call is rolled back, number included, and repeated.
"""

from __future__ import annotations

import os
import shutil
import subprocess
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.servers import HOST, free_port, program, running, version
from gapless_server.load.driver import Post

PACKAGE = "postgresql"
SCHEMA = """
CREATE TABLE channels (channel_id text PRIMARY KEY, head bigint NOT NULL) WITH (fillfactor = 50);
CREATE TABLE messages (
    channel_id text NOT NULL,
    sequence bigint NOT NULL,
    request_id uuid NOT NULL UNIQUE,
    body bytea NOT NULL,
    PRIMARY KEY (channel_id, sequence)
);
CREATE FUNCTION post(channel text, request uuid, content bytea) RETURNS bigint AS $$
DECLARE given bigint;
BEGIN
    SELECT sequence INTO given FROM messages WHERE request_id = request;
    IF FOUND THEN RETURN given; END IF;
    UPDATE channels SET head = head + 1 WHERE channel_id = channel RETURNING head INTO given;
    INSERT INTO messages VALUES (channel, given, request, content);
    RETURN given;
END $$ LANGUAGE plpgsql;
CREATE FUNCTION post_many(asked_channels text[], asked_requests uuid[], contents bytea[])
RETURNS SETOF bigint AS $$
BEGIN
    -- In one order, so that two calls never wait for each other.
    PERFORM 1 FROM channels WHERE channel_id = ANY (asked_channels) ORDER BY channel_id FOR UPDATE;
    RETURN QUERY
    WITH asked AS (
        SELECT a.channel, a.request, a.content, a.place, m.sequence AS known
        FROM unnest(asked_channels, asked_requests, contents)
            WITH ORDINALITY AS a(channel, request, content, place)
        LEFT JOIN messages m ON m.request_id = a.request
    ), numbered AS (
        SELECT a.channel, a.request, a.content, a.place,
            c.head + row_number() OVER (PARTITION BY a.channel ORDER BY a.place) AS given
        FROM asked a JOIN channels c ON c.channel_id = a.channel WHERE a.known IS NULL
    ), raised AS (
        UPDATE channels SET head = n.last
        FROM (SELECT channel, max(given) AS last FROM numbered GROUP BY channel) n
        WHERE channel_id = n.channel
    ), stored AS (
        INSERT INTO messages SELECT channel, given, request, content FROM numbered
    )
    SELECT coalesce(a.known, n.given) FROM asked a LEFT JOIN numbered n USING (place)
    ORDER BY place;
END $$ LANGUAGE plpgsql;
"""


@contextmanager
def server(directory: Path, environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """Runs PostgreSQL as it comes, with fsync and synchronous_commit on."""
    user = None
    if os.geteuid() == 0:
        user = "postgres"
        shutil.chown(directory, user)
    data = directory / "data"
    initialize = [program("initdb", PACKAGE), "--pgdata", str(data), "--auth", "trust"]
    initialize += ["--username", "bench", "--encoding", "UTF8", "--locale", "C"]
    subprocess.run(initialize, check=True, capture_output=True, user=user, cwd="/")
    port = free_port()
    command = [program("postgres", PACKAGE), "-D", str(data), "-p", str(port), "-h", HOST]
    for setting in (
        f"unix_socket_directories={directory}",
        "fsync=on",
        "synchronous_commit=on",
        "max_connections=300",
        "shared_buffers=512MB",
        "max_wal_size=4GB",
    ):
        command += ["-c", setting]
    with running(command, port, directory.parent / "postgres.log", environment, user) as pid:
        yield {"port": port, "pid": pid}


def server_version() -> str:
    """What the server says about itself."""
    return version(program("postgres", PACKAGE), "--version")


class PostgresDriver:
    """A pool of asyncpg; as many connections as were found to be best share out the callers."""

    def __init__(self, port: int, connections: int) -> None:
        self._dsn = f"postgresql://bench@{HOST}:{port}/postgres"
        self._connections = connections

    async def open(self) -> None:
        import asyncpg

        count = self._connections
        self._retried: Any = asyncpg.UniqueViolationError
        self._pool = await asyncpg.create_pool(self._dsn, min_size=count, max_size=count)

    async def prepare(self, channel_ids: Sequence[str]) -> None:
        """Makes the schema, if it is not there, and the channels."""
        import asyncpg

        connection = await asyncpg.connect(self._dsn)
        try:
            if await connection.fetchval("SELECT to_regclass('channels')") is None:
                await connection.execute(SCHEMA)
            await connection.executemany(
                "INSERT INTO channels VALUES ($1, 0)", [(one,) for one in channel_ids]
            )
        finally:
            await connection.close()

    async def post(self, post: Post) -> int:
        try:
            return int(await self._pool.fetchval("SELECT post($1, $2, $3)", *post))
        except self._retried:
            return await self.post(post)

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        channels, requests, bodies = map(list, zip(*posts, strict=True))
        rows = await self._pool.fetch(
            "SELECT post_many($1::text[], $2::uuid[], $3::bytea[])", channels, requests, bodies
        )
        return [row[0] for row in rows]

    async def close(self) -> None:
        await self._pool.close()
