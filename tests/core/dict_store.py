"""A row store as simple as one can be."""

from __future__ import annotations

from collections.abc import Iterator
from operator import itemgetter

from gapless_server.core.state import State


class DictStore:
    """Rows on a dict."""

    def __init__(self) -> None:
        self.rows: dict[tuple[str, bytes], bytes] = {}

    def get(self, table: str, key: bytes) -> bytes | None:
        return self.rows.get((table, key))

    def scan(
        self, table: str, low: bytes, high: bytes, *, descending: bool
    ) -> Iterator[tuple[bytes, bytes]]:
        found = [(key, row) for (name, key), row in self.rows.items() if name == table]
        inside = [(key, row) for key, row in found if low < key < high]
        return iter(sorted(inside, reverse=descending))

    def write(self, state: State) -> None:
        state.freeze()
        for table, frozen_rows in state.frozen_rows():
            rows = list(frozen_rows)
            assert rows == sorted(rows, key=itemgetter(0))
            for key, row in rows:
                if row is None:
                    self.rows.pop((table, key), None)
                else:
                    self.rows[table, key] = row
