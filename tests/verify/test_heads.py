"""The numbers that the state says are held against those that the events add up to (G10)."""

from __future__ import annotations

from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.core.state import Moment, State
from gapless_server.journal.port import Round
from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.verify.heads import HeadCount


def _counted(rounds: list[Round]) -> HeadCount:
    count = HeadCount()
    for record in rounds:
        for stored in StoredRound.FromString(record.data).entries:
            count.observe(stored.entry)
    return count


def _state(kernel: Kernel, rounds: list[Round]) -> State:
    state = kernel.new_state()
    for record in rounds:
        for stored in StoredRound.FromString(record.data).entries:
            kernel.replay(state, stored.entry.events, Moment(stored.entry.position, 0, 0))
    return state


def test_the_state_of_all_events_has_their_numbers(rounds: list[Round]) -> None:
    kernel = Kernel(KINDS)

    assert _counted(rounds).differences(kernel, _state(kernel, rounds)) == []


def test_a_state_that_missed_a_message_is_found(rounds: list[Round]) -> None:
    kernel = Kernel(KINDS)
    without_m6 = [record for record in rounds if record.first_position != 6]

    assert _counted(rounds).differences(kernel, _state(kernel, without_m6)) == [
        "channel c1: its events end at sequence 4, the state that they give says 3"
    ]


def test_a_state_that_missed_the_deletion_of_a_reply_is_found(rounds: list[Round]) -> None:
    kernel = Kernel(KINDS)
    without_deletion = [record for record in rounds if record.first_position != 9]

    assert _counted(rounds).differences(kernel, _state(kernel, without_deletion)) == [
        "thread of message m3 in channel c1: its events end at sequence 2 with 1 replies,"
        " the state that they give says 2 with 2"
    ]


def test_a_state_without_the_channels_is_found(rounds: list[Round]) -> None:
    kernel = Kernel(KINDS)

    assert _counted(rounds).differences(kernel, kernel.new_state()) == [
        "channel c1: its events end at sequence 4, the state that they give says None",
        "channel c2: its events end at sequence 99, the state that they give says None",
        "thread of message m3 in channel c1: its events end at sequence 2 with 1 replies,"
        " the state that they give says None with None",
    ]
