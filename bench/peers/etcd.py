"""etcd: one transaction checks the request's key, puts the message and raises the counter.

etcd has no counter, but it counts how often a key was put: that version is the sequence, read back
in the same transaction. A repeat finds the revision of the request's key, and reads the counter as
it was then. Driven with gRPC, which is etcd's own interface.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

import grpc.aio
from google.protobuf import descriptor_pb2, descriptor_pool, message_factory

from bench.servers import HOST, free_port, program, running, version
from gapless_server.load.driver import Post

PACKAGE = "etcd-server"
# The parts of etcd's interface that are used here: fields by message, as (number, type, repeated).
MESSAGES: dict[str, dict[str, tuple[int, str, bool]]] = {
    "KeyValue": {"key": (1, "bytes", False), "mod_revision": (3, "int64", False),
                 "version": (4, "int64", False)},
    "RangeRequest": {"key": (1, "bytes", False), "revision": (4, "int64", False)},
    "RangeResponse": {"kvs": (2, "KeyValue", True)},
    "PutRequest": {"key": (1, "bytes", False), "value": (2, "bytes", False)},
    "RequestOp": {"request_range": (1, "RangeRequest", False),
                  "request_put": (2, "PutRequest", False)},
    "ResponseOp": {"response_range": (1, "RangeResponse", False)},
    "Compare": {"result": (1, "int32", False), "target": (2, "int32", False),
                "key": (3, "bytes", False), "create_revision": (5, "int64", False)},
    "TxnRequest": {"compare": (1, "Compare", True), "success": (2, "RequestOp", True),
                   "failure": (3, "RequestOp", True)},
    "TxnResponse": {"succeeded": (2, "bool", False), "responses": (3, "ResponseOp", True)},
}  # fmt: skip
# Of a Compare: the key's revision of creation equals 0, that is, there is no such key.
TARGET_CREATE = 1
# Fields of a oneof, which have to be sent even where they are 0.
EXPLICIT = {("Compare", "create_revision")}


@contextmanager
def server(directory: Path, environment: Mapping[str, str]) -> Iterator[dict[str, object]]:
    """Runs a cluster of one, which syncs its log before it answers."""
    port, peer_port = free_port(), free_port()
    client_url, peer_url = f"http://{HOST}:{port}", f"http://{HOST}:{peer_port}"
    command = [program("etcd", PACKAGE), "--data-dir", str(directory / "data")]
    command += ["--listen-client-urls", client_url, "--advertise-client-urls", client_url]
    command += ["--listen-peer-urls", peer_url, "--initial-advertise-peer-urls", peer_url]
    command += ["--initial-cluster", f"default={peer_url}", "--quota-backend-bytes", "8000000000"]
    command += ["--log-level", "error"]
    with running(command, port, directory / "log", environment) as pid:
        yield {"port": port, "pid": pid}


def server_version() -> str:
    """What the server says about itself."""
    return version(program("etcd", PACKAGE), "--version")


@cache
def _classes() -> dict[str, Any]:
    file = descriptor_pb2.FileDescriptorProto(
        name="bench/etcd.proto", package="etcdserverpb", syntax="proto3"
    )
    scalars = {"bytes": 12, "int64": 3, "int32": 5, "bool": 8}
    for name, fields in MESSAGES.items():
        message = file.message_type.add(name=name)
        for field_name, (number, kind, repeated) in fields.items():
            field = message.field.add(name=field_name, number=number, label=3 if repeated else 1)
            if kind in scalars:
                field.type = scalars[kind]
            else:
                field.type, field.type_name = 11, f".etcdserverpb.{kind}"
            if (name, field_name) in EXPLICIT:
                message.oneof_decl.add(name=f"_{field_name}")
                field.oneof_index, field.proto3_optional = 0, True
    pool = descriptor_pool.DescriptorPool()
    pool.Add(file)
    find = pool.FindMessageTypeByName
    return {
        name: message_factory.GetMessageClass(find(f"etcdserverpb.{name}")) for name in MESSAGES
    }


class EtcdDriver:
    """etcd's KV service over one gRPC channel."""

    def __init__(self, port: int) -> None:
        self._target = f"{HOST}:{port}"

    async def open(self) -> None:
        self._types = types = _classes()
        self._channel = grpc.aio.insecure_channel(self._target)
        self._txn: Any = self._channel.unary_unary(
            "/etcdserverpb.KV/Txn",
            request_serializer=types["TxnRequest"].SerializeToString,
            response_deserializer=types["TxnResponse"].FromString,
        )
        self._range: Any = self._channel.unary_unary(
            "/etcdserverpb.KV/Range",
            request_serializer=types["RangeRequest"].SerializeToString,
            response_deserializer=types["RangeResponse"].FromString,
        )
        await self._channel.channel_ready()

    async def prepare(self, channel_ids: Sequence[str]) -> None:
        """Channels need no making."""

    async def post(self, post: Post) -> int:
        counter, message = f"c/{post.channel_id}".encode(), f"m/{post.request_id}".encode()
        response = await self._txn(self._transaction(counter, message, post.body))
        if response.succeeded:
            return int(response.responses[-1].response_range.kvs[0].version)
        revision = response.responses[0].response_range.kvs[0].mod_revision
        past = await self._range(self._types["RangeRequest"](key=counter, revision=revision))
        return int(past.kvs[0].version)

    def _transaction(self, counter: bytes, message: bytes, body: bytes) -> Any:
        types = self._types
        operation, put, read = types["RequestOp"], types["PutRequest"], types["RangeRequest"]
        return types["TxnRequest"](
            compare=[types["Compare"](target=TARGET_CREATE, key=message, create_revision=0)],
            success=[
                operation(request_put=put(key=message, value=body)),
                operation(request_put=put(key=counter)),
                operation(request_range=read(key=counter)),
            ],
            failure=[operation(request_range=read(key=message))],
        )

    async def post_frame(self, posts: Sequence[Post]) -> Sequence[int]:
        return [await self.post(post) for post in posts]

    async def close(self) -> None:
        await self._channel.close()
