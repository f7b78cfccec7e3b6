"""Whether two frames of half the commands serve more than one frame of them all.

With one frame of all that their callers have to say, client and service take turns: while the
service is at the frame, the client has nothing to do, and while the client hands out the answers
and gathers what comes of them, the service has not. With two halves both work at once, but what a
frame costs whatever it holds, the sync of the disk above all, is paid twice. So halves pay where
the client's own part of a turn is longer than that cost, and are dear where the disk is slow.

Neither is known, but the share of the time that the client's own work takes says enough: from the
first answer to the next frame, by the clock of its thread, of all the time from frame to frame. If
a frame costs the service F, with one frame after the other the share is at most own / (own + F);
with halves it is at most own / 2 F. A slow disk, a far or busy service and others who take the
processor all make the share smaller, and leave it at one frame. Callers who rest between their
commands do too, as the thread's clock stands still meanwhile; so do those who do not wait for each
other, as little of what they do falls between an answer and the next frame.

There is no timer in it: nothing ever waits for a frame to fill.
"""

from __future__ import annotations

from typing import Final

# From this share on there are halves. What is beside F in a turn (the service's work on each
# command, the way there and back) makes the share about a third smaller where both weigh the same.
SHARE_MIN: Final = 0.3
# Halves take less of everybody's time if they pay, which makes the share larger. If it has become
# smaller instead, they do not.
HALVED_SHARE_MIN: Final = 0.22
# Each frame counts for an eighth: a few slow ones change nothing, and a dozen do.
_WEIGHT: Final = 1 / 8
# A pause counts for no more than this, so that what follows it is soon seen.
_TURN_SECONDS_MAX: Final = 0.1


class Pace:
    """The pace of one stream; all times are its caller's."""

    def __init__(self) -> None:
        self.halves_pay = False
        self._own_seconds = 0.0
        self._turn_seconds = _TURN_SECONDS_MAX
        self._sent_time = 0.0
        # The clock of the thread when the first answer since the last frame came.
        self._answered_thread_time: float | None = None

    def answered(self, thread_time: float) -> None:
        """An answer has come, and nothing was done with it yet."""
        if self._answered_thread_time is None:
            self._answered_thread_time = thread_time

    def sent(self, now: float, thread_time: float) -> None:
        """A frame was put together."""
        if self._answered_thread_time is None:
            return
        own = thread_time - self._answered_thread_time
        turn = min(now - self._sent_time, _TURN_SECONDS_MAX)
        self._answered_thread_time = None
        self._sent_time = now
        self._own_seconds += (own - self._own_seconds) * _WEIGHT
        self._turn_seconds += (turn - self._turn_seconds) * _WEIGHT
        share_min = HALVED_SHARE_MIN if self.halves_pay else SHARE_MIN
        self.halves_pay = self._own_seconds >= share_min * self._turn_seconds
