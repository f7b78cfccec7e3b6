"""What the overload harness sends, in the sizes of its two tiers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from gapless_server.settings import MIB
from tests.reliability.floods import Flood, Frames, Streams, Unary
from tests.reliability.scheduled_flood import Scheduled
from tests.scenarios.processes import Place

# How often the capacity is offered, so that it is ten times whatever is pushed back.
SCHEDULED_TIMES: Final = 12
# After the end of a flood its clients wait so long for what they were not answered.
PATIENCE_SECONDS: Final = 1.0


@dataclass(frozen=True)
class Size:
    """How much a tier sends."""

    frame_commands: int
    probe_seconds: float
    shapes_seconds: float
    scheduled_processes: int
    # Three times as many as a queue and a round have frames: a stream is held up as long as the
    # first frame of it waits for its turn, and what is due goes to the others meanwhile.
    scheduled_streams: int
    unary_calls: int
    # More than may be open.
    streams: int
    large_frames: bool
    # Whether rates are judged: other tests use the machine beside the small tier.
    is_judged: bool
    settings: dict[str, Any] = field(default_factory=dict)

    def probe(self, place: Place, name: str, seconds: float, begins: float = 0.0) -> Frames:
        """One busy client that does as it is told; alone it is never refused."""
        return Frames(
            name, place, seconds, begins, frame_commands=self.frame_commands, patient=True
        )

    def shapes(self, place: Place) -> list[Flood]:
        """Floods in a closed loop, each of them more than the service has room for."""
        seconds = self.shapes_seconds
        found: list[Flood] = [
            Unary("unary", place, seconds, calls_unanswered=self.unary_calls),
            Streams("streams", place, seconds, streams=self.streams),
        ]
        if self.large_frames:
            large = Frames(
                "large",
                place,
                seconds,
                streams=8,
                frames_unanswered=10,
                frame_commands=50,
                body_bytes=40_000,
            )
            found.append(large)
        return found

    def scheduled(
        self, place: Place, seconds: float, begins: float, capacity: float
    ) -> Sequence[Flood]:
        """The flood at a multiple of the capacity, in commands a second."""
        return [
            Scheduled(
                f"scheduled-{number}",
                place,
                seconds,
                begins,
                commands_per_second=SCHEDULED_TIMES * capacity / self.scheduled_processes,
                streams=self.scheduled_streams // self.scheduled_processes,
                frame_commands=self.frame_commands,
                patience_seconds=PATIENCE_SECONDS,
            )
            for number in range(self.scheduled_processes)
        ]


FULL: Final = Size(
    frame_commands=1000,
    probe_seconds=8,
    shapes_seconds=10,
    scheduled_processes=2,
    scheduled_streams=360,
    unary_calls=2000,
    streams=1200,
    large_frames=True,
    is_judged=True,
)
# Small limits are reached with little.
SMALL: Final = Size(
    frame_commands=100,
    probe_seconds=1,
    shapes_seconds=1,
    scheduled_processes=1,
    scheduled_streams=16,
    unary_calls=200,
    streams=40,
    large_frames=False,
    is_judged=False,
    settings={
        "queue_commands_max": 1000,
        "queue_bytes_max": 4 * MIB,
        "round_commands_max": 1000,
        "round_bytes_max": 4 * MIB,
        "feed_bytes_max": MIB,
        "pipeline_streams_max": 20,
    },
)
