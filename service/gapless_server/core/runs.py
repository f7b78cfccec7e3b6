"""Runs: commands of one type that came one after another, and are decided in compiled form.

A kind whose commands come by the ten thousand a second can have them decided without a message, a
struct or a call of Python for each: see compiled/. What comes of a run is byte for byte what
comes of its commands one by one, and whatever is not plain about a command is left to that way.
"""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from typing import TYPE_CHECKING, NamedTuple, Protocol

from google.protobuf.message import Message

from gapless_server.core.state import Moment, State

if TYPE_CHECKING:  # they may not have been built
    from gapless_server.compiled.frames import FrameReader
    from gapless_server.compiled.post_fields import PostFields
    from gapless_server.compiled.posts import PostDecider
    from gapless_server.compiled.shards import Shard


class RequestPlaces(NamedTuple):
    """Where a run looks up request ids and puts them: in the index, and what is not saved of it."""

    shards: list[Shard]
    pairs: array[int]


class Runs(Protocol):
    """How a kind has runs of one type of command decided. There is one such thing a kind."""

    def __hash__(self) -> int: ...

    @property
    def command_type(self) -> type[Message]:
        """The type of the commands."""
        ...

    @property
    def number(self) -> int:
        """The field of its responses in CommandResult."""
        ...

    @property
    def event_type(self) -> type[Message]:
        """The type of the one event that each leads to; nothing else may follow from it."""
        ...

    def reader(self) -> FrameReader:
        """Returns what finds such commands in frames."""
        ...

    def fields(self, tags: Mapping[str, int]) -> PostFields:
        """Returns where all stands that is written.

        `tags` are those of the fields that entries and answers are made of.
        """
        ...

    def decider(
        self,
        fields: PostFields,
        state: State,
        requests: RequestPlaces,
        time: bytes,
        moment: Moment,
        id_seed: str,
    ) -> PostDecider:
        """Returns what decides those of one round; `time` is its commit time as a field."""
        ...
