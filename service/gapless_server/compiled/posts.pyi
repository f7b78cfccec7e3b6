from array import array
from collections.abc import Callable
from typing import Any, TypeAlias, final

from gapless_server.compiled.frames import PostFrame
from gapless_server.compiled.shards import Shard

# The head of a channel, the parts of the tables of its messages and its sequences, and the rows of
# the heads of all channels.
OpenChannel: TypeAlias = Callable[[str], tuple[int, Any, Any, dict[str, int]] | None]

@final
class PostFields:
    def __init__(self, **values: int) -> None: ...

@final
class PostDecider:
    next_position: int
    def __init__(
        self,
        fields: PostFields,
        open_channel: OpenChannel,
        shards: list[Shard],
        pairs: array[int],
        time_field: bytes,
        time_us: int,
        id_seed: str,
    ) -> None: ...
    def forget_channels(self) -> None: ...
    def run(
        self,
        frame: PostFrame,
        start: int,
        stop: int,
        caller: str,
        bytes_max: int,
        in_frame: bool,
    ) -> tuple[int, bytes, bytes]: ...
