"""One request id, one effect and one answer, for ever (G3)."""

from __future__ import annotations

import pytest

from gapless.v1.commands_pb2 import CommandResult
from gapless_server.core.refusals import Refused
from gapless_server.journal.port import Journal
from gapless_server.writer.limits import WriterLimits
from gapless_server.writer.rounds import Outcome
from tests.writer.harness import (
    channel_head,
    create,
    frame_of,
    join,
    leave,
    memory_journal,
    open_namespace,
    post,
    reason,
    receipt,
    result,
    run,
)

# Nothing stays in memory, so that answers must come from the journal.
FORGETFUL = WriterLimits(feed_bytes_max=0)


def without_replayed(outcome: Outcome) -> CommandResult:
    answer = result(outcome)
    name = answer.WhichOneof("result")
    assert name is not None
    getattr(answer, name).receipt.replayed = False
    return answer


async def test_g3_twins_in_one_frame_have_one_effect_and_one_answer() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create())

    outcomes = await run(namespace, post("p1"), post("p1"), post("p1"))

    assert [receipt(outcome).replayed for outcome in outcomes] == [False, True, True]
    assert len({without_replayed(outcome).SerializeToString() for outcome in outcomes}) == 1
    assert await channel_head(namespace) == 1
    await namespace.close()


async def test_g3_twins_in_several_frames_of_one_round_have_one_effect_and_one_answer() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create())
    frames = [frame_of(post("p1")) for _ in range(10)]

    for frame in frames:
        namespace.submit(frame)
    outcomes = [outcome for frame in frames for outcome in await frame.outcomes]

    assert [receipt(outcome).replayed for outcome in outcomes] == [False] + [True] * 9
    assert len({without_replayed(outcome).SerializeToString() for outcome in outcomes}) == 1
    assert namespace.head.position == 2
    await namespace.close()


@pytest.mark.parametrize("limits", [WriterLimits(), FORGETFUL], ids=["in memory", "from disk"])
async def test_g3_a_repeated_command_gets_the_first_answer(limits: WriterLimits) -> None:
    namespace = await open_namespace(await memory_journal(), limits=limits)
    await run(namespace, create())
    [first] = await run(namespace, post("p1"))
    await run(namespace, *(post(f"later{n}") for n in range(5)))
    await run(namespace, post("last"))

    [again] = await run(namespace, post("p1"))

    assert receipt(again).replayed
    assert without_replayed(again) == result(first)
    assert await channel_head(namespace) == 7
    await namespace.close()


async def test_g3_a_repeated_command_gets_the_first_answer_after_a_restart() -> None:
    journal = await memory_journal()
    namespace = await open_namespace(journal)
    first = (await run(namespace, create(), post("p1"), post("p2")))[1:]
    await namespace.drain()

    opened = await open_namespace(journal, limits=FORGETFUL)
    again = await run(opened, post("p1"), post("p2"), post("p3"))

    assert [without_replayed(outcome) for outcome in again[:2]] == [result(o) for o in first]
    assert result(again[2]).post_message.sequence == 3
    await opened.close()


async def test_g3_a_command_that_found_all_as_it_asked_is_remembered_too() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create(), join("first"))
    [unchanged] = await run(namespace, join("second"))
    await run(namespace, leave("away"))

    [again] = await run(namespace, join("second"))

    assert (receipt(unchanged).changed, receipt(again).changed) == (False, False)
    assert receipt(again).replayed
    assert receipt(again).position == receipt(unchanged).position
    await namespace.close()


async def test_g3_a_refused_command_is_not_remembered_and_may_succeed_later() -> None:
    namespace = await open_namespace(await memory_journal())
    [refused] = await run(namespace, post("p1"))
    await run(namespace, create())

    [outcome] = await run(namespace, post("p1"))

    assert reason(refused) == "CHANNEL_NOT_FOUND"
    assert not receipt(outcome).replayed
    assert result(outcome).post_message.sequence == 1
    await namespace.close()


async def test_g3_the_winner_of_a_race_may_ask_again_and_the_losers_are_refused_again() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create())
    winner, loser = join("winner", fail_if_unchanged=True), join("loser", fail_if_unchanged=True)
    await run(namespace, winner)

    outcomes = await run(namespace, loser, winner)

    assert reason(outcomes[0]) == "MEMBERSHIP_ALREADY_EXISTS"
    assert receipt(outcomes[1]).replayed
    await namespace.close()


async def reused(journal: Journal, *, same_round: bool, reopen: bool) -> Outcome:
    namespace = await open_namespace(journal, limits=FORGETFUL)
    other = post("p1", text="other", channel_id="elsewhere")
    if same_round:
        return (await run(namespace, create(), post("p1"), other))[-1]
    await run(namespace, create(), post("p1"))
    if reopen:
        await namespace.drain()
        namespace = await open_namespace(journal, limits=FORGETFUL)
    return (await run(namespace, other))[-1]


@pytest.mark.parametrize(
    ("same_round", "reopen"),
    [(True, False), (False, False), (False, True)],
    ids=["same round", "later", "after a restart"],
)
async def test_g3_a_request_id_with_other_content_is_refused_naming_what_differs(
    same_round: bool, reopen: bool
) -> None:
    outcome = await reused(await memory_journal(), same_round=same_round, reopen=reopen)

    assert isinstance(outcome, Refused)
    assert outcome.row.reason == "REQUEST_ID_REUSED"
    assert outcome.metadata == {
        "request_id": "p1",
        "position": "2",
        "fields": "channel_id, body",
    }


async def test_g3_a_request_id_of_another_command_is_refused_as_such() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create("same"))

    [outcome] = await run(namespace, post("same"))

    assert isinstance(outcome, Refused)
    assert outcome.row.reason == "REQUEST_ID_REUSED"
    assert outcome.metadata["fields"] == "command"
    await namespace.close()


async def test_g3_request_ids_of_different_callers_have_nothing_to_do_with_each_other() -> None:
    namespace = await open_namespace(await memory_journal())
    await run(namespace, create())

    sequences = []
    for caller in ("", "a", "b", "a"):
        [outcome] = await run(namespace, post("p1"), caller=caller)
        sequences.append((result(outcome).post_message.sequence, receipt(outcome).replayed))

    assert sequences == [(1, False), (2, False), (3, False), (2, True)]
    await namespace.close()


async def test_what_became_of_a_request_id_is_known_for_its_caller_alone() -> None:
    namespace = await open_namespace(await memory_journal(), limits=FORGETFUL)
    await run(namespace, create(), post("p1"), caller="a")
    await run(namespace, post("p2"), caller="a")

    found = await namespace.entry_of_request("a", "p1")

    assert found is not None
    assert found.entry.position == 2
    assert found.entry.events[0].message_posted.sequence == 1
    assert await namespace.entry_of_request("", "p1") is None
    assert await namespace.entry_of_request("a", "never") is None
    await namespace.close()
