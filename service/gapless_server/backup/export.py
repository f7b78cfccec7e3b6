"""Exports: a log as text, one JSON object a line, that any program can read.

The first line says whose log it is, the last one where it ends; between them stands an entry a
line, in the order of the positions. The last entry of a round has the round's chain hash, so that
what is imported again is what was exported, to the byte.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any, Final

from google.protobuf.json_format import MessageToDict

from gapless_server.journal.port import Round
from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.verify.log_files import LogFile

FORMAT: Final = "gapless-log"
# Raise when an older program would misread a line.
VERSION: Final = 1


def export_lines(log: LogFile) -> Iterator[tuple[int, str]]:
    """Yields the lines of a log, each with the position that it reaches. Raises Corrupt."""
    yield 0, _line({"format": FORMAT, "version": VERSION, "incarnation": log.incarnation})
    position, chain_hash = 0, ""
    for record in log.rounds():
        for line in _round_lines(record):
            yield record.last_position, line
        position, chain_hash = record.last_position, record.chain_hash.hex()
    yield position, _line({"end": {"position": position, "chain_hash": chain_hash}})


def _round_lines(record: Round) -> Iterator[str]:
    stored_round = StoredRound.FromString(record.data)
    entries = list(stored_round.entries)
    stored_round.ClearField("entries")
    for stored in entries:
        line: dict[str, Any] = {"stored": MessageToDict(stored, preserving_proto_field_name=True)}
        if stored.entry.position == record.last_position:
            line["round"] = {
                "chain_hash": record.chain_hash.hex(),
                **MessageToDict(stored_round, preserving_proto_field_name=True),
            }
            if record.data_digest is not None:
                line["round"]["data_digest"] = record.data_digest.hex()
        yield _line(line)


def _line(value: dict[str, Any]) -> str:
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))
