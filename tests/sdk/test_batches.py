"""Batches and guards against the real service, once in each colour."""

from __future__ import annotations

import uuid
from typing import Any

import pytest

from gapless import AsyncClient, ReadInBatchError, errors, guards
from gapless.testing import InProcessServer
from tests.sdk.conftest import Connect


@pytest.fixture
def client(connect: Connect, gapless_server: InProcessServer) -> AsyncClient:
    """A client in a namespace of its own."""
    return connect(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}")


async def test_what_a_batch_leads_to_is_filled_in_at_its_end(client: AsyncClient) -> None:
    async with client.batch() as batch:
        created = await batch.channels.create("general")
        posted = await batch.messages.post("general", "ann", "hello")
        joined = await batch.memberships.join("general", "ann")
        again = await batch.memberships.join("general", "ann")
        written = await batch.config.set("rate", "1")
        before = (batch.receipt, posted.sequence, posted.message_id)

    assert before == (None, 0, "")
    assert batch.receipt is not None
    assert (batch.receipt.position, batch.receipt.changed) == (1, True)
    assert created.channel.channel_id == "general"
    assert (posted.sequence, joined.membership.user_id) == (1, "ann")
    assert [r.receipt.changed for r in (created, posted, joined, again, written)] == [
        True,
        True,
        True,
        False,
        True,
    ]
    for response in (created, posted, joined, again, written):
        assert response.receipt.position == 1
        assert response.receipt.commit_time == batch.receipt.commit_time
    entries = [entry async for entry in client.events.read()]
    assert [(entry.position, len(entry.events)) for entry in entries] == [(1, 4)]


async def test_c2_a_refused_command_is_raised_and_nothing_has_happened(
    client: AsyncClient,
) -> None:
    await client.channels.create("general")

    batch = client.batch()
    posted: Any = None

    async def fill() -> None:
        nonlocal posted
        async with batch:
            posted = await batch.messages.post("general", "ann", "hello")
            await batch.messages.post("nowhere", "ann", "hello")
            await batch.config.set("rate", "1")

    with pytest.raises(errors.ChannelNotFound) as caught:
        await fill()

    assert caught.value.batch_index == 1
    assert caught.value.metadata["batch_not_tried"] == "1"
    assert caught.value.request_id == batch.request_id
    assert (posted.sequence, batch.receipt) == (0, None)
    assert (await client.channels.get("general")).head_sequence == 0
    with pytest.raises(errors.ConfigNotFound):
        await client.config.get("rate")


async def test_a_bad_member_is_named_by_its_field(client: AsyncClient) -> None:
    async def fill() -> None:
        async with client.batch() as batch:
            await batch.channels.create("general")
            await batch.messages.post("general", "", "hello")

    with pytest.raises(errors.InvalidField) as caught:
        await fill()

    assert caught.value.metadata["field"] == "commands[1].post_message.sender_id"
    assert caught.value.batch_index == 1
    assert caught.value.metadata["batch_not_tried"] == "0"


async def test_a_block_that_raises_sends_nothing(client: AsyncClient) -> None:
    async def fill() -> None:
        async with client.batch() as batch:
            await batch.channels.create("general")
            raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await fill()

    with pytest.raises(errors.ChannelNotFound):
        await client.channels.get("general")


async def test_a_batch_of_nothing_sends_nothing(client: AsyncClient) -> None:
    async with client.batch() as batch:
        pass

    assert batch.receipt is None


async def test_a_batch_that_has_run_takes_nothing_more(client: AsyncClient) -> None:
    async with client.batch() as batch:
        await batch.channels.create("general")

    with pytest.raises(RuntimeError, match="another one"):
        await batch.channels.create("late")
    with pytest.raises(RuntimeError, match="another one"):
        await batch.__aenter__()


async def test_g3_the_same_batch_again_is_answered_from_memory(client: AsyncClient) -> None:
    async def send(title: str) -> tuple[int, bool]:
        async with client.batch(request_id="once") as batch:
            await batch.channels.create("general", title=title)
            posted = await batch.messages.post("general", "ann", "hello")
        assert batch.receipt is not None
        return posted.sequence, batch.receipt.replayed

    assert await send("first") == (1, False)
    assert await send("first") == (1, True)
    with pytest.raises(errors.RequestIdReused) as caught:
        await send("other")
    assert caught.value.metadata["fields"] == "commands[0].create_channel.title"


async def test_a_read_through_a_batch_is_a_mistake_that_is_said(client: AsyncClient) -> None:
    with pytest.raises(ReadInBatchError):
        async with client.batch() as batch:
            await batch.channels.get("general")


async def test_a_lock_that_a_batch_is_to_hold_is_a_mistake_that_is_said(
    client: AsyncClient,
) -> None:
    with pytest.raises(RuntimeError, match=r"hold it around the batch.*guards=\[lock\]"):
        async with client.batch() as batch:
            batch.locks.hold("door")


async def test_a_lock_is_not_waited_for_in_a_batch(client: AsyncClient) -> None:
    with pytest.raises(errors.InvalidField) as caught:
        async with client.batch() as batch:
            await batch.locks.acquire("door", "ann", wait=1)

    assert caught.value.metadata["field"] == "commands[0].acquire_lock.wait_seconds"


async def test_commands_are_run_only_if_their_guards_hold(client: AsyncClient) -> None:
    await client.channels.create("general")
    await client.memberships.join("general", "ann")
    await client.config.set("rate", "1")
    await client.lists.create("deck")
    await client.ledgers.create_account("purse", "point")
    lock = (await client.locks.acquire("door", "ann")).lock
    guarded = client.with_guards(
        guards.channel_head("general", 0),
        guards.membership("general", "ann"),
        guards.config_version("rate", 1),
        guards.list_version("deck", 1),
    ).with_guards(guards.account_balance("purse", 0), guards.lock("door", lock.fencing_token))

    assert (await guarded.messages.post("general", "ann", "hello")).sequence == 1

    with pytest.raises(errors.GuardFailed) as caught:
        await guarded.messages.post("general", "ann", "hello")
    assert caught.value.metadata == {
        "guard_index": "0",
        "guard_type": "channel_head",
        "subject": "channel general",
        "expected": "head sequence 0",
        "found": "head sequence 1",
    }
    assert (await client.messages.post("general", "ann", "hello")).sequence == 2


async def test_guards_of_a_batch_are_those_of_its_client_and_its_own(client: AsyncClient) -> None:
    await client.channels.create("general")
    guarded = client.with_guards(guards.channel_head("general", 0))

    async with guarded.batch(guards=[guards.config_version("rate", 0)]) as batch:
        await batch.messages.post("general", "ann", "hello")
        await batch.config.set("rate", "1")

    with pytest.raises(errors.GuardFailed) as caught:
        async with guarded.batch() as batch:
            await batch.messages.post("general", "ann", "hello")
    assert caught.value.metadata["found"] == "head sequence 1"
    with pytest.raises(errors.GuardFailed) as caught:
        async with client.batch(guards=[guards.config_version("rate", 0)]) as batch:
            await batch.messages.post("general", "ann", "hello")
    assert caught.value.metadata["found"] == "version 1"


async def test_g3_guards_are_part_of_what_a_request_id_stands_for(client: AsyncClient) -> None:
    await client.channels.create("general", request_id="r")

    guarded = client.with_guards(guards.channel_head("general", 0))
    with pytest.raises(errors.RequestIdReused) as caught:
        await guarded.channels.create("general", request_id="r")

    assert caught.value.metadata["fields"] == "guards"


async def test_g3_a_job_that_runs_again_under_a_new_lock_needs_other_request_ids(
    client: AsyncClient,
) -> None:
    await client.channels.create("general")

    async def run_job(request_id: str) -> int:
        async with client.locks.hold("job", holder_id="ann") as lock:
            guarded = client.with_guards(lock)
            posted = await guarded.messages.post("general", "ann", "done", request_id=request_id)
            return posted.sequence

    assert await run_job("run-1") == 1
    with pytest.raises(errors.RequestIdReused) as caught:
        await run_job("run-1")
    assert caught.value.metadata["fields"] == "guards"
    assert await run_job("run-2") == 2
