"""What is measured: every system, and the loads that each is driven with."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

HOT = 1
MANY = 1000
OWN_DRIVERS = "gapless_server.load.gapless_drivers"


@dataclass(frozen=True, slots=True)
class System:
    """One way to drive one server. `facts` of the server that the driver is made with."""

    name: str
    # Module of bench.peers, and the context manager in it that runs the server.
    peer: str
    driver: str
    server: str = "server"
    facts: Sequence[str] = ("port",)
    options: Mapping[str, Any] = field(default_factory=dict)
    # A floor keeps no promise, and is not held to any.
    is_floor: bool = False

    @property
    def driver_path(self) -> str:
        """The driver as the load generator names it."""
        return self.driver if ":" in self.driver else f"bench.peers.{self.peer}:{self.driver}"


@dataclass(frozen=True, slots=True)
class Shape:
    """A load without its length."""

    processes: int
    in_flight: int
    channels: int
    frame_posts: int = 0


@dataclass(frozen=True, slots=True)
class Cell:
    """One figure of the table: a system under a load."""

    system: System
    shape: Shape


def _own(name: str, driver: str) -> System:
    return System(name, "ourselves", f"{OWN_DRIVERS}:{driver}", facts=("target",))


SDK = _own("gapless, SDK", "SdkDriver")
UNARY = _own("gapless, unary", "UnaryDriver")
FRAMES = _own("gapless, frames by hand", "FrameDriver")
REDIS = System("Redis", "redis_lua", "RedisSharedDriver")
UMADB = System("UmaDB", "uma", "UmaDriver")
ETCD = System("etcd", "etcd", "EtcdDriver")
SQLITE = System("plain SQLite", "plain_sqlite", "SqliteDriver", facts=("path",))
EVENTSOURCING = System(
    "eventsourcing, SQLite", "eventsourcing_sqlite", "EventsourcingDriver", facts=("path",)
)
ECHO_UNARY = System("echo, unary", "floors", "EchoUnaryDriver", is_floor=True)
ECHO_STREAM = System("echo, stream", "floors", "EchoStreamDriver", is_floor=True)
BARE = System("bare stream, in a thread", "bare", "BareDriver", is_floor=True)
BARE_ON_LOOP = System(
    "bare stream, on its loop", "bare", "BareDriver", server="server_on_loop", is_floor=True
)
BARE_STREAMS = (BARE, BARE_ON_LOOP)
FDATASYNC = System(
    "fdatasync", "floors", "SyncDriver", server="file", facts=("path",), is_floor=True
)


def redis_py(connections: int) -> System:
    """redis-py with so many connections, one for each of its callers."""
    return System(
        "Redis, redis-py", "redis_lua", "RedisPyDriver", options={"connections": connections}
    )


def postgres(connections: int) -> System:
    """PostgreSQL with so many connections in all."""
    return System(
        f"PostgreSQL, {connections} connections",
        "postgres",
        "PostgresDriver",
        options={"connections": connections},
    )


def _cells(systems: Iterable[System], *shapes: Shape) -> list[Cell]:
    return [Cell(system, shape) for shape in shapes for system in systems]


def quick_cells() -> list[Cell]:
    """What P1 to P6 need, and nothing else."""
    hot, many = Shape(1, 128, HOT), Shape(4, 256, MANY)
    frames = Shape(1, 4, HOT, 1000)
    return [
        *_cells([SDK, REDIS, UMADB, ETCD, postgres(4), postgres(16)], hot),
        *_cells([SQLITE], Shape(1, 1, HOT), Shape(4, 1, HOT)),
        *_cells([SDK], many),
        *_cells([REDIS, postgres(2), postgres(8)], Shape(4, 32, MANY)),
        *_cells([FRAMES, REDIS, postgres(4)], frames),
        *_cells([SDK, REDIS], Shape(1, 16, HOT)),
        *_cells([UNARY, ECHO_UNARY], Shape(1, 16, HOT), hot),
        *_cells([SDK, UMADB, ECHO_STREAM, FDATASYNC], Shape(1, 1, HOT)),
        *_cells([BARE_ON_LOOP], Shape(1, 1, HOT), Shape(1, 16, HOT), hot, many, frames),
    ]


def full_cells() -> list[Cell]:
    """Every system under every load that it can be given."""
    one_process = [Shape(1, in_flight, HOT) for in_flight in (1, 16, 128, 1024)]
    processes = [Shape(4, in_flight, HOT) for in_flight in (32, 256)]
    many = [Shape(1, 128, MANY), Shape(4, 32, MANY), Shape(4, 256, MANY)]
    frames = [Shape(1, 4, HOT, 100), Shape(1, 4, HOT, 1000)]
    asynchronous = [SDK, REDIS, ETCD]
    cells = _cells(asynchronous, *one_process, *processes, *many)
    cells += _cells([UMADB], *one_process, *processes)
    cells += [Cell(redis_py(shape.in_flight), shape) for shape in one_process[:3]]
    for connections in (2, 4, 8, 16, 32, 64):
        cells += _cells([postgres(connections)], Shape(1, 128, HOT), Shape(1, 128, MANY))
    cells += _cells([postgres(1)], Shape(1, 1, HOT))
    cells += _cells([postgres(16)], Shape(1, 16, HOT), Shape(1, 1024, HOT))
    # Connections are those of a process.
    for connections in (1, 2, 4, 8):
        cells += _cells([postgres(connections)], *processes, *many[1:])
    cells += _cells([SQLITE], *(Shape(count, 1, HOT) for count in (1, 2, 4)), Shape(4, 1, MANY))
    cells += _cells([EVENTSOURCING], Shape(1, 1, HOT), Shape(1, 1, MANY))
    cells += _cells([FRAMES, REDIS, UMADB, postgres(1), postgres(4)], *frames)
    cells += _cells([UNARY, ECHO_UNARY], *one_process[:3])
    cells += _cells([ECHO_STREAM, FDATASYNC], Shape(1, 1, HOT))
    cells += _cells(BARE_STREAMS, *one_process, many[-1], frames[-1])
    return cells
