"""The manifest of a backup: what the file beside it holds, and how to tell that it is whole."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Final

import msgspec

from gapless.v1.operations_pb2 import BackupManifest
from gapless_server.backup.faults import UnusableBackup
from gapless_server.core.times import from_timestamp
from gapless_server.journal.port import Head

MANIFEST_NAME: Final = "manifest.json"
LOG_NAME: Final = "log.db"


_Hash = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{64}$")]


class Manifest(msgspec.Struct, frozen=True, kw_only=True, forbid_unknown_fields=False):
    """A backup's manifest as it lies beside the log; hashes are BLAKE2b, 32 bytes, in hex."""

    namespace: str
    incarnation: Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{16}$")]
    head_position: int
    chain_hash: _Hash
    format_version: int
    version: str
    size_bytes: int
    file_hash: _Hash
    create_time_us: int

    @property
    def head(self) -> Head:
        """Where the log in the backup ends."""
        return Head(self.head_position, bytes.fromhex(self.chain_hash))

    def to_json(self) -> bytes:
        """Returns the text of the file."""
        return msgspec.json.format(msgspec.json.encode(self), indent=2) + b"\n"


def manifest_of(sent: BackupManifest) -> Manifest:
    """Returns the manifest that a service sent."""
    return Manifest(
        namespace=sent.namespace,
        incarnation=sent.incarnation,
        head_position=sent.head_position,
        chain_hash=sent.chain_hash.hex(),
        format_version=sent.format_version,
        version=sent.version,
        size_bytes=sent.size_bytes,
        file_hash=sent.file_hash.hex(),
        create_time_us=from_timestamp(sent.create_time),
    )


def read_manifest(backup: Path) -> Manifest:
    """Returns the manifest in the folder of a backup. Raises UnusableBackup."""
    path = backup / MANIFEST_NAME
    try:
        return msgspec.json.decode(path.read_bytes(), type=Manifest)
    except OSError as error:
        raise UnusableBackup(
            f"{backup} is not a backup: {path} cannot be read ({error.strerror}); name the folder"
            " that `gapless backup` wrote"
        ) from error
    except (msgspec.MsgspecError, ValueError) as error:
        raise UnusableBackup(f"{path} is not a manifest of gapless: {error}") from error
