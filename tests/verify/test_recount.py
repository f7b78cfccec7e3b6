"""Whatever is wrong with the rounds of a log is found, and said in a sentence that tells where."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pytest

from gapless_server.core.kernel import Kernel
from gapless_server.core.kinds import KINDS
from gapless_server.journal.port import EMPTY_HEAD, Head, Round
from gapless_server.storage.v1.storage_pb2 import StoredRound
from gapless_server.verify.recount import Recount, Result
from tests.verify.logs import ENTRIES, HEAD, chained, with_round


def _recount(rounds: Sequence[Round]) -> Result:
    recount = Recount(Kernel(KINDS))
    for record in rounds:
        recount.observe(record)
    return recount.finish()


def test_a_good_log_holds_and_is_counted(rounds: list[Round]) -> None:
    result = _recount(rounds)

    assert result.breaches == ()
    assert (result.round_count, result.entry_count, result.event_count) == (ENTRIES, ENTRIES, 11)
    assert result.head == Head(HEAD, rounds[-1].chain_hash)
    assert result.head_time_us > 0


def test_an_empty_log_holds() -> None:
    result = _recount([])

    assert (result.holds, result.head, result.head_time_us) == (True, EMPTY_HEAD, 0)


def test_g10_the_same_log_gives_the_same_state_hash(rounds: list[Round]) -> None:
    digests = set()
    for _ in range(2):
        recount = Recount(Kernel(KINDS))
        for record in rounds:
            recount.observe(record)
        digests.add(recount.state_digest())

    assert len(digests) == 1


@pytest.mark.parametrize("position", range(1, HEAD + 1))
def test_g8_one_flipped_bit_anywhere_breaks_the_chain_there(
    rounds: list[Round], position: int
) -> None:
    data = bytearray(rounds[position - 1].data)
    data[len(data) // 2] ^= 1
    tampered = [*rounds]
    tampered[position - 1] = rounds[position - 1]._replace(data=bytes(data))

    first = _recount(tampered).breaches[0]

    assert first == (
        f"positions {position} to {position}: the hash is not that of these bytes after position"
        f" {position - 1}; they were changed, or what stands before them was"
    )


def test_g1_a_removed_round_is_missing(rounds: list[Round]) -> None:
    assert _recount(rounds[:4] + rounds[5:]).breaches[0] == (
        "position 5 is missing: the next round is positions 6 to 6"
    )


def test_g1_several_removed_rounds_are_missing(rounds: list[Round]) -> None:
    assert _recount(rounds[:4] + rounds[7:]).breaches[0] == (
        "positions 5 to 7 are missing: the next round is positions 8 to 8"
    )


def test_g1_a_round_that_is_there_twice_is_found(rounds: list[Round]) -> None:
    assert _recount([*rounds[:5], rounds[4], *rounds[5:]]).breaches[0] == (
        "positions 5 to 5: the round before ends at position 5"
    )


def test_g1_swapped_rounds_are_found(rounds: list[Round]) -> None:
    swapped = [*rounds]
    swapped[3], swapped[4] = (
        rounds[3]._replace(data=rounds[4].data, chain_hash=rounds[4].chain_hash),
        rounds[4]._replace(data=rounds[3].data, chain_hash=rounds[3].chain_hash),
    )

    breaches = _recount(swapped).breaches

    assert "positions 4 to 4: the round holds other positions, 1 from 5 to 5" in breaches
    assert "positions 5 to 5: the round holds other positions, 1 from 4 to 4" in breaches


def test_g8_a_round_that_claims_any_number_of_positions_is_told_at_once(
    rounds: list[Round],
) -> None:
    claims = [*rounds[:4], rounds[4]._replace(last_position=2**60), *rounds[5:]]
    recount = Recount(Kernel(KINDS), [Head(5, rounds[4].chain_hash)])
    for record in claims:
        recount.observe(record)

    breaches = recount.finish().breaches

    assert f"positions 5 to {2**60}: the round holds other positions, 1 from 5 to 5" in breaches
    assert f"position 5: expected as a head; positions 5 to {2**60} are one" in breaches


@pytest.mark.parametrize("field", ["last_position", "data", "chain_hash"])
def test_g8_a_row_of_wrong_values_is_told(rounds: list[Round], field: str) -> None:
    damaged = [*rounds[:4], rounds[4]._replace(**{field: "text"}), *rounds[5:]]

    assert "the round after position 4: its row is damaged" in _recount(damaged).breaches


def test_g8_bytes_that_are_no_round_are_found_also_where_the_chain_fits(
    rounds: list[Round],
) -> None:
    forged = [*rounds]
    forged[4] = rounds[4]._replace(data=b"\xff")

    assert (
        "positions 5 to 5: the bytes are not those of a round"
        in _recount(chained(forged)).breaches[0]
    )


def _use_the_request_id_of_another(stored: StoredRound) -> None:
    stored.entries[0].entry.request_id = "r3"


def _go_back_in_time(stored: StoredRound) -> None:
    stored.entries[0].entry.commit_time.seconds -= 3600


def _skip_a_sequence(stored: StoredRound) -> None:
    stored.entries[0].entry.events[0].message_posted.sequence += 1


def _forget_the_answer(stored: StoredRound) -> None:
    stored.entries[0].ClearField("answer")


def _forget_the_events(stored: StoredRound) -> None:
    del stored.entries[0].entry.events[:]


def _delete_no_reply(stored: StoredRound) -> None:
    stored.entries[0].entry.events[0].message_deleted.parent_message_id = ""


def _be_of_another_position(stored: StoredRound) -> None:
    stored.entries[0].entry.position = 99


@pytest.mark.parametrize(
    ("position", "forge", "found"),
    [
        (
            5,
            _use_the_request_id_of_another,
            "request id 'r3' of caller '' was already used at position 3",
        ),
        (5, _go_back_in_time, "position 5: was committed at"),
        (5, _skip_a_sequence, "position 5: channel c1: sequence 4 follows 2"),
        (5, _forget_the_answer, "position 5: a command without the answer that it got"),
        (5, _forget_the_events, "position 6: channel c1: sequence 4 follows 2"),
        (9, _delete_no_reply, "position 9: message m8 in channel c1 is deleted as a reply to ''"),
        (5, _be_of_another_position, "the round holds other positions, 1 from 99 to 99"),
    ],
)
def test_a_forged_log_whose_chain_fits_is_found_by_what_it_says(
    rounds: list[Round], position: int, forge: Callable[[StoredRound], None], found: str
) -> None:
    breaches = _recount(with_round(rounds, position, forge)).breaches

    assert [breach for breach in breaches if found in breach] != []
    assert not [breach for breach in breaches if "the hash is not" in breach]


def test_an_event_that_no_state_can_take_ends_the_replay_and_is_told(rounds: list[Round]) -> None:
    def be_of_nowhere(stored: StoredRound) -> None:
        stored.entries[0].entry.events[0].message_posted.channel_id = "nowhere"

    breaches = _recount(with_round(rounds, 5, be_of_nowhere)).breaches

    told = "position 5: cannot be applied to the state that the log gives before it"
    assert [breach for breach in breaches if breach.startswith(told)] != []
