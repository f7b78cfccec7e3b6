"""Keys that begin with the same text, in order: they stand together in an ordered table."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TypeVar

from gapless_server.core.state import PartitionedTable

Row = TypeVar("Row")


def scan_prefix(
    table: PartitionedTable[str, str, Row], partition: str, prefix: str, after: str | None
) -> Iterator[tuple[str, Row]]:
    """Yields keys that begin with `prefix`, and their rows, beginning after `after`.

    In the order of keys the prefix itself comes first of all, and all that begin with it follow
    without another key between them.
    """
    if after is None and prefix:
        row = table.get(partition, prefix)
        if row is not None:
            yield prefix, row
        after = prefix
    for key, row in table.scan(partition, after=after):
        if not key.startswith(prefix):
            return
        yield key, row
