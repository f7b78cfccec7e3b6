from array import array
from typing import Any, Final, final

SHARD_BITS: Final[int]
FIRST_CAPACITY: Final[int]
LOAD_NUMERATOR: Final[int]
LOAD_DENOMINATOR: Final[int]

@final
class Shard:
    hashes: array[int]
    positions: array[int]
    mask: int
    count: int
    def __init__(self, capacity: int = ...) -> None: ...
    def slot(self, value: int) -> int: ...
    def fill(self, slot: int, value: int, position: int, load_numerator: int = ...) -> None: ...
    def load(self, stored: Any) -> None: ...

def add_pairs(
    shards: list[Shard], pairs: array[int], behind: bytes, load_numerator: int
) -> None: ...
