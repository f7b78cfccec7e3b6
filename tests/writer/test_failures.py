"""A commit whose outcome is unknown is never called failed, and nothing follows it (G8)."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from gapless.v1.messages_pb2 import MessagePosted
from gapless_server.core.kernel import Kernel, Kind
from gapless_server.core.kinds import KINDS
from gapless_server.core.refusals import Refused
from gapless_server.writer.namespace import Namespace
from tests.writer.harness import (
    FailingJournal,
    channel_head,
    create,
    entries,
    frame_of,
    memory_journal,
    open_namespace,
    post,
    run,
    settle,
)


class Stopped:
    """Remembers what the service was told."""

    def __init__(self) -> None:
        self.told: list[tuple[str, BaseException]] = []

    def __call__(self, namespace: str, error: BaseException) -> None:
        self.told.append((namespace, error))


async def failing_namespace(stopped: Stopped) -> tuple[Namespace, FailingJournal]:
    """Returns a namespace with a channel of one message, whose disk fails from now on."""
    journal = FailingJournal(await memory_journal())
    namespace = await open_namespace(journal, on_fatal=stopped)
    await run(namespace, create(), post("p1"))
    journal.fails = True
    return namespace, journal


async def refusal_of(awaited: Any) -> Refused:
    with pytest.raises(Refused) as caught:
        await awaited
    return caught.value


async def test_g8_everything_pending_is_told_that_its_outcome_is_unknown() -> None:
    stopped = Stopped()
    namespace, journal = await failing_namespace(stopped)
    journal.hold()
    in_round = [frame_of(post("p2")), frame_of(post("lost", channel_id="nowhere"))]
    for frame in in_round:
        namespace.submit(frame)
    await journal.entered.wait()
    queued = frame_of(post("p3"))
    namespace.submit(queued)
    read = asyncio.create_task(channel_head(namespace))
    waiting = asyncio.create_task(namespace.reached(3))
    await settle()

    journal.release()
    refusals = [await refusal_of(frame.outcomes) for frame in (*in_round, queued)]
    refusals += [await refusal_of(read), await refusal_of(waiting)]

    assert {refusal.row.reason for refusal in refusals} == {"OUTCOME_UNKNOWN"}
    assert "the disk is gone" in str(refusals[0])
    await namespace.drain()


async def test_g8_the_service_is_told_to_end() -> None:
    stopped = Stopped()
    namespace, _journal = await failing_namespace(stopped)

    await refusal_of(run(namespace, post("p2")))

    [(name, error)] = stopped.told
    assert name == "test"
    assert str(error) == "the disk is gone"
    await namespace.drain()


async def test_g8_nothing_is_taken_and_nothing_is_read_after_a_failure() -> None:
    namespace, journal = await failing_namespace(Stopped())
    await refusal_of(run(namespace, post("p2")))
    journal.fails = False

    with pytest.raises(Refused) as refused:
        namespace.submit(frame_of(post("p3")))

    assert refused.value.row.reason == "OUTCOME_UNKNOWN"
    assert (await refusal_of(channel_head(namespace))).row.reason == "OUTCOME_UNKNOWN"
    assert (await refusal_of(namespace.reached(3))).row.reason == "OUTCOME_UNKNOWN"
    assert [record.last_position for record in journal.appended] == [2]
    await namespace.drain()


async def test_g8_what_was_durable_before_stays_readable_as_a_log() -> None:
    namespace, _journal = await failing_namespace(Stopped())
    await refusal_of(run(namespace, post("p2")))

    assert [entry.position for entry in await entries(namespace)] == [1, 2]
    await namespace.drain()


async def test_g8_a_caller_that_has_gone_away_leaves_no_complaint() -> None:
    namespace, journal = await failing_namespace(Stopped())
    journal.hold()
    gone, waiting = frame_of(post("p2")), frame_of(post("p3"))
    namespace.submit(gone)
    namespace.submit(waiting)
    await journal.entered.wait()
    gone.outcomes.cancel()

    journal.release()

    assert (await refusal_of(waiting.outcomes)).row.reason == "OUTCOME_UNKNOWN"
    await namespace.drain()


async def test_g8_an_event_that_does_not_fit_the_state_stops_the_writer() -> None:
    """The state may be half changed: going on could commit what does not follow from the log."""

    def broken(*_: object) -> None:
        raise LookupError("no such row")

    stopped = Stopped()
    faulty = Kind(name="faulty", events={MessagePosted: broken})
    kernel = Kernel([*KINDS, faulty])
    namespace = await open_namespace(await memory_journal(), kernel=kernel, on_fatal=stopped)
    await run(namespace, create())

    refusal = await refusal_of(run(namespace, post("p1")))

    assert refusal.row.reason == "OUTCOME_UNKNOWN"
    assert [str(error) for _name, error in stopped.told] == ["no such row"]
    assert namespace.head.position == 1
    await namespace.drain()
