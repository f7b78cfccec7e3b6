from array import array
from collections.abc import Callable
from typing import Any, TypeAlias, final

from gapless_server.compiled.frames import PostFrame
from gapless_server.compiled.post_fields import PostFields
from gapless_server.compiled.shards import Shard

# The head of a channel, what finds a message of it by its id, the parts of the tables of its
# messages and its sequences, and the rows of the heads of all channels.
Opened: TypeAlias = tuple[int, Callable[[str], Any], Any, Any, dict[str, int]]
OpenChannel: TypeAlias = Callable[[str], Opened | None]

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
    def run(
        self,
        frame: PostFrame,
        start: int,
        stop: int,
        caller: str,
        bytes_max: int,
        in_frame: bool,
    ) -> tuple[int, bytes, bytes]: ...
