"""Part A: messages and threads in order, whoever posts at once and whatever is sent again."""

from __future__ import annotations

import asyncio
import signal
import sys
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from functools import partial

from gapless import AsyncClient, Client, Entry
from gapless.testing import SubprocessServer
from gapless.v1.messages_pb2 import MessagePosted, PostMessageResponse
from tests.scenarios.connections import by_position, connections, in_order
from tests.scenarios.delaying_proxy import delaying_proxy
from tests.scenarios.processes import Place, at_once

GENERAL = "general"


async def sequences(client: AsyncClient, *, descending: bool = False) -> list[int]:
    messages = client.messages.list(GENERAL, descending=descending)
    return [message.sequence async for message in messages]


async def texts(client: AsyncClient) -> list[str]:
    return [message.body.data.decode() async for message in client.messages.list(GENERAL)]


async def test_a1_ten_messages_posted_at_once_to_a_fresh_channel_get_1_to_10(
    place: Place, async_client: AsyncClient
) -> None:
    await async_client.channels.create(GENERAL)

    async with connections(place, 10) as clients:
        answers = await in_order(
            [client.messages.post(GENERAL, "ann", f"{n}") for n, client in enumerate(clients)]
        )

    assert [answer.sequence for answer in answers] == list(range(1, 11))
    assert await sequences(async_client) == list(range(1, 11))
    assert sorted(await texts(async_client)) == [f"{n}" for n in range(10)]


def post_ten(client: Client, name: str) -> list[PostMessageResponse]:
    return [client.messages.post(GENERAL, name, f"{name} {n}") for n in range(10)]


def test_a2_fifty_messages_from_5_processes_after_100_get_101_to_150(
    place: Place, client: Client
) -> None:
    client.channels.create(GENERAL, first_sequence=101)

    posted = at_once(place, [partial(post_ten, name=f"user{n}") for n in range(5)])

    answers = by_position([answer for answers in posted for answer in answers])
    assert [answer.sequence for answer in answers] == list(range(101, 151))
    messages = list(client.messages.list(GENERAL))
    assert [message.sequence for message in messages] == list(range(101, 151))
    assert Counter(message.sender_id for message in messages) == {f"user{n}": 10 for n in range(5)}
    assert len({message.body.data for message in messages}) == 50
    assert client.channels.get(GENERAL).head_sequence == 150


async def test_a3_five_replies_at_once_get_thread_sequences_1_to_5(
    place: Place, async_client: AsyncClient
) -> None:
    await async_client.channels.create(GENERAL)
    parent = (await async_client.messages.post(GENERAL, "ann", "question")).message_id

    async with connections(place, 5) as clients:
        answers = await in_order(
            [
                client.threads.reply(GENERAL, parent, "bob", f"{n}")
                for n, client in enumerate(clients)
            ]
        )

    assert [answer.thread_sequence for answer in answers] == [1, 2, 3, 4, 5]
    replies = [reply async for reply in async_client.threads.list(GENERAL, parent)]
    assert [reply.thread_sequence for reply in replies] == [1, 2, 3, 4, 5]
    assert [reply.message_id for reply in replies] == [answer.message_id for answer in answers]
    assert sorted(reply.body.data for reply in replies) == [b"0", b"1", b"2", b"3", b"4"]


async def test_a4_ten_replies_at_once_are_counted_in_the_very_next_read(
    place: Place, async_client: AsyncClient
) -> None:
    await async_client.channels.create(GENERAL)
    parent = (await async_client.messages.post(GENERAL, "ann", "question")).message_id

    async with connections(place, 10) as clients:
        replies = (client.threads.reply(GENERAL, parent, "bob", "answer") for client in clients)
        answers = await in_order(list(replies))
        counts = [
            (await client.messages.get(GENERAL, parent)).thread.reply_count for client in clients
        ]

    assert [answer.reply_count for answer in answers] == list(range(1, 11))
    assert counts == [10] * 10


async def test_a5_a_message_delayed_in_flight_comes_last_and_all_see_the_same_order_for_ever(
    place: Place, service: SubprocessServer, async_client: AsyncClient
) -> None:
    await async_client.channels.create(GENERAL)
    async with (
        delaying_proxy(place.address) as proxy,
        AsyncClient(proxy.address, namespace=place.namespace) as slow,
    ):
        await slow.messages.post(GENERAL, "slow", "before")
        proxy.to_server.hold()
        delayed = asyncio.create_task(slow.messages.post(GENERAL, "slow", "delayed"))
        await proxy.to_server.something_is_held()

        for n in range(5):
            await async_client.messages.post(GENERAL, "quick", f"{n}")
        proxy.to_server.release()

        assert (await delayed).sequence == 7
    expected = ["before", "0", "1", "2", "3", "4", "delayed"]

    async with connections(place, 3) as clients:
        seen = [await texts(client) for client in clients]
        backwards = await sequences(clients[0], descending=True)
    await asyncio.to_thread(service.restart)

    assert seen == [expected] * 3
    assert backwards == [7, 6, 5, 4, 3, 2, 1]
    assert await texts(async_client) == expected
    assert await sequences(async_client) == [1, 2, 3, 4, 5, 6, 7]


def send_same_ten_times(client: Client) -> list[PostMessageResponse]:
    """Sends one command ten times over, all under way at the same time."""

    def send(_: int) -> PostMessageResponse:
        return client.messages.post(GENERAL, "ann", "once", request_id="same")

    with ThreadPoolExecutor(10) as threads:
        return list(threads.map(send, range(10)))


def without_replayed(answer: PostMessageResponse) -> bytes:
    copy = PostMessageResponse()
    copy.CopyFrom(answer)
    copy.receipt.replayed = False
    return copy.SerializeToString(deterministic=True)


def test_a15_one_command_sent_50_times_over_5_connections_has_one_effect_and_50_equal_answers(
    place: Place, client: Client
) -> None:
    client.channels.create(GENERAL)

    sent = at_once(place, [send_same_ten_times] * 5)

    answers = [answer for answers in sent for answer in answers]
    assert len(answers) == 50
    assert [answer.receipt.replayed for answer in answers].count(False) == 1
    assert len({without_replayed(answer) for answer in answers}) == 1
    [message] = client.messages.list(GENERAL)
    assert message.sequence == answers[0].sequence == 1
    assert client.operations.get_namespace().head_position == 2


# A client that says when its stream of commands stands, and sends its command when told to.
LONE_CLIENT = """
import sys
from gapless import Client
client = Client(sys.argv[1], namespace=sys.argv[2])
client.channels.create("general")
print("connected", flush=True)
sys.stdin.readline()
client.messages.post("general", "ann", "once", request_id="same")
"""


async def start_lone_client(address: str, place: Place) -> asyncio.subprocess.Process:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-c",
        LONE_CLIENT,
        address,
        place.namespace,
        stdin=asyncio.subprocess.PIPE,
        stdout=asyncio.subprocess.PIPE,
    )
    assert process.stdout is not None
    assert await process.stdout.readline() == b"connected\n"
    return process


async def kill(process: asyncio.subprocess.Process) -> None:
    process.kill()
    assert await process.wait() == -signal.SIGKILL


async def next_post(client: AsyncClient) -> MessagePosted:
    """Waits for the first message to be committed."""
    async with client.events.watch(from_start=True, event_types=["message_posted"]) as watch:
        async for item in watch:
            if isinstance(item, Entry):
                return item.events[0].message_posted
    raise AssertionError("the watch has ended")


async def test_a16_a_client_killed_before_its_answer_came_may_send_again(
    place: Place, async_client: AsyncClient
) -> None:
    await async_client.channels.create(GENERAL)
    async with delaying_proxy(place.address) as proxy:
        process = await start_lone_client(proxy.address, place)
        assert process.stdin is not None
        proxy.to_client.hold()
        process.stdin.write(b"send\n")
        posted = await next_post(async_client)
        await kill(process)

    again = await async_client.messages.post(GENERAL, "ann", "once", request_id="same")

    known = await async_client.events.get_request("same")
    assert again.receipt.replayed
    assert (again.message_id, again.sequence) == (posted.message_id, posted.sequence)
    assert without_replayed(again) == without_replayed(known.result.post_message)
    assert await texts(async_client) == ["once"]


async def test_a16_a_client_killed_before_its_command_arrived_may_send_again(
    place: Place, async_client: AsyncClient
) -> None:
    await async_client.channels.create(GENERAL)
    async with delaying_proxy(place.address) as proxy:
        process = await start_lone_client(proxy.address, place)
        assert process.stdin is not None
        proxy.to_server.hold()
        process.stdin.write(b"send\n")
        await proxy.to_server.something_is_held()
        await kill(process)
        again = await async_client.messages.post(GENERAL, "ann", "once", request_id="same")
        # And now what the dead client had sent arrives as well.
        proxy.to_server.release()
        await proxy.all_carried()
        later = await async_client.messages.post(GENERAL, "ann", "later")

    assert not again.receipt.replayed
    assert (again.sequence, later.sequence) == (1, 2)
    assert await texts(async_client) == ["once", "later"]
