"""Every method against the real service, once in each colour: what goes out comes back typed."""

from __future__ import annotations

import uuid
from typing import Any, TypeVar

import pytest

from gapless import AsyncClient, AsyncPager, Body, Entry, NotificationLevel, ToggleOutcome, errors
from gapless.testing import InProcessServer
from gapless.v1.channels_pb2 import GetChannelRequest
from gapless.v1.channels_pb2_grpc import ChannelServiceStub
from tests.sdk.conftest import Connect

ItemT = TypeVar("ItemT")


@pytest.fixture
async def client(connect: Connect, gapless_server: InProcessServer) -> AsyncClient:
    """A client in a namespace of its own, with the channel ``general``."""
    client = connect(gapless_server.address, namespace=f"sdk-{uuid.uuid4().hex}")
    await client.channels.create("general", title="General")
    return client


async def all_of(pager: AsyncPager[ItemT]) -> list[ItemT]:
    return [item async for item in pager]


async def test_channels(client: AsyncClient) -> None:
    created = await client.channels.create(
        "random", title="Random", attributes={"team": "a"}, first_sequence=100
    )
    again = await client.channels.create(
        "random", title="Random", attributes={"team": "a"}, first_sequence=100
    )
    made = await client.channels.create()
    updated = await client.channels.update("random", title="Noise", attributes={})
    archived = await client.channels.archive("random")

    assert (created.channel.channel_id, created.channel.first_sequence) == ("random", 100)
    assert (created.receipt.changed, again.receipt.changed) == (True, False)
    assert made.channel.channel_id
    assert (updated.channel.title, dict(updated.channel.attributes)) == ("Noise", {})
    assert archived.channel.HasField("archive_time")
    assert await client.channels.get("random") == archived.channel
    listed = [channel.channel_id for channel in await all_of(client.channels.list(page_size=1))]
    assert listed == sorted(["general", "random", made.channel.channel_id])
    with pytest.raises(errors.ChannelNotFound):
        await client.channels.get("nowhere")
    with pytest.raises(errors.InvalidField):
        await client.channels.update("random")
    with pytest.raises(errors.ChannelArchived):
        await client.messages.post("random", "alice", "late")


async def test_messages(client: AsyncClient) -> None:
    text = await client.messages.post("general", "alice", "grüezi", attributes={"lang": "gsw"})
    data = await client.messages.post("general", "bob", b"\x00\x01", message_id="m-2")
    body = Body(data=b"{}", content_type="application/json")
    typed = await client.messages.post("general", "bob", body)
    edited = await client.messages.edit("general", "m-2", "better", expected_version=1)
    deleted = await client.messages.delete("general", typed.message_id, expected_version=1)

    assert [text.sequence, data.sequence, typed.sequence] == [1, 2, 3]
    assert (edited.version, deleted.version) == (2, 2)
    first = await client.messages.get("general", text.message_id)
    assert (first.body.data.decode(), first.body.content_type) == (
        "grüezi",
        "text/plain; charset=utf-8",
    )
    assert (first.sender_id, dict(first.attributes)) == ("alice", {"lang": "gsw"})
    up = [message.sequence for message in await all_of(client.messages.list("general"))]
    down = [
        message.sequence
        async for message in client.messages.list(
            "general", descending=True, start_sequence=2, page_size=1
        )
    ]
    assert (up, down) == ([1, 2, 3], [2, 1])
    with pytest.raises(errors.MessageVersionMismatch) as raised:
        await client.messages.edit("general", "m-2", "again", expected_version=1)
    assert raised.value.metadata["version"] == "2"
    with pytest.raises(errors.MessageDeleted):
        await client.messages.delete("general", typed.message_id, fail_if_unchanged=True)


async def test_threads(client: AsyncClient) -> None:
    parent = (await client.messages.post("general", "alice", "question")).message_id
    hidden = await client.threads.reply("general", parent, "bob", "answer", message_id="r-1")
    shown = await client.threads.reply("general", parent, "carol", "more", show_in_channel=True)

    assert (hidden.message_id, hidden.thread_sequence, hidden.sequence) == ("r-1", 1, 0)
    assert (shown.thread_sequence, shown.sequence, shown.reply_count) == (2, 2, 2)
    replies = await all_of(client.threads.list("general", parent, page_size=1))
    assert [reply.thread_sequence for reply in replies] == [1, 2]
    backwards = await all_of(
        client.threads.list("general", parent, descending=True, start_sequence=1)
    )
    assert [reply.thread_sequence for reply in backwards] == [1]
    people = await all_of(client.threads.participants("general", parent, page_size=1))
    assert [(person.user_id, person.reply_count) for person in people] == [("bob", 1), ("carol", 1)]
    with pytest.raises(errors.ParentIsReply):
        await client.threads.reply("general", "r-1", "dave", "nested")


async def test_reactions(client: AsyncClient) -> None:
    message = (await client.messages.post("general", "alice", "hello")).message_id
    added = await client.reactions.add("general", message, "bob", "thumbsup")
    removed = await client.reactions.remove("general", message, "bob", "thumbsup")
    gone = await client.reactions.remove("general", message, "bob", "thumbsup")
    toggled = await client.reactions.toggle("general", message, "bob", "wave")
    await client.reactions.add("general", message, "carol", "wave")

    assert (added.count, removed.count) == (1, 0)
    assert (removed.receipt.changed, gone.receipt.changed) == (True, False)
    assert (toggled.outcome, toggled.count) == (ToggleOutcome.TOGGLE_OUTCOME_ADDED, 1)
    assert await client.reactions.counts("general", message) == {"wave": 2}
    listed = await all_of(client.reactions.list("general", message, page_size=1))
    assert [(one.emoji, one.user_id) for one in listed] == [("wave", "bob"), ("wave", "carol")]
    with pytest.raises(errors.ReactionAlreadyExists):
        await client.reactions.add("general", message, "bob", "wave", fail_if_unchanged=True)
    with pytest.raises(errors.ReactionNotFound):
        await client.reactions.remove("general", message, "bob", "x", fail_if_unchanged=True)


async def test_memberships(client: AsyncClient) -> None:
    joined = await client.memberships.join("general", "alice")
    again = await client.memberships.join("general", "alice")
    await client.memberships.join("general", "bob")

    assert (joined.receipt.changed, again.receipt.changed) == (True, False)
    membership = await client.memberships.check("general", "alice")
    assert membership == joined.membership
    assert await client.memberships.check("general", "carol") is None
    members = await all_of(client.memberships.list_members("general", page_size=1))
    assert [member.user_id for member in members] == ["alice", "bob"]
    theirs = await all_of(client.memberships.list_for_user("alice", page_size=1))
    assert [one.channel_id for one in theirs] == ["general"]
    with pytest.raises(errors.MembershipAlreadyExists):
        await client.memberships.join("general", "alice", fail_if_unchanged=True)
    assert (await client.memberships.leave("general", "alice")).receipt.changed is True
    with pytest.raises(errors.MembershipNotFound):
        await client.memberships.leave("general", "alice", fail_if_unchanged=True)


async def test_read_markers(client: AsyncClient) -> None:
    await client.memberships.join("general", "alice")
    for _ in range(3):
        await client.messages.post("general", "bob", "hello")
    marked = await client.read_markers.mark("general", "alice", 2)

    assert (marked.marker.sequence, marked.marker.unread_count) == (2, 1)
    assert await client.read_markers.get("general", "alice") == marked.marker
    assert await all_of(client.read_markers.list("alice", page_size=1)) == [marked.marker]


async def test_notification_settings(client: AsyncClient) -> None:
    mentions = NotificationLevel.NOTIFICATION_LEVEL_MENTIONS
    unset = await client.notification_settings.get("general", "alice")
    written = await client.notification_settings.set("general", "alice", mentions)

    assert (unset.position, written.setting.level) == (0, mentions)
    assert await client.notification_settings.get("general", "alice") == written.setting


async def test_push_subscriptions(client: AsyncClient) -> None:
    endpoint = "https://push.example/1"
    await client.push_subscriptions.upsert("alice", endpoint, p256dh_key=b"p", auth_key=b"a")
    listed = await all_of(client.push_subscriptions.list("alice", page_size=1))

    assert [(one.endpoint, one.p256dh_key, one.auth_key) for one in listed] == [
        (endpoint, b"p", b"a")
    ]
    assert (await client.push_subscriptions.remove("alice", endpoint)).receipt.changed is True
    with pytest.raises(errors.PushSubscriptionNotFound):
        await client.push_subscriptions.remove("alice", endpoint, fail_if_unchanged=True)


async def test_reading_the_log(client: AsyncClient) -> None:
    await client.channels.create("other")
    posted = await client.messages.post("general", "alice", "hello", request_id="r-1")
    reader = client.events.read(page_size=1)
    entries = [entry async for entry in reader]

    assert [entry.position for entry in entries] == [1, 2, 3]
    assert all(isinstance(entry, Entry) for entry in entries)
    assert entries[2].request_id == "r-1"
    assert entries[2].events[0].message_posted.sequence == posted.sequence
    # From any entry's cursor on, by channel, and by type.
    after_first = client.events.read(cursor=entries[0].cursor)
    assert [entry.position async for entry in after_first] == [2, 3]
    in_other = client.events.read(channel_ids=["other"])
    assert [entry.position async for entry in in_other] == [2]
    posts = client.events.read(event_types=["message_posted"])
    assert [entry.position async for entry in posts] == [3]
    # The reader stands at the end, and gives what comes after that.
    await client.messages.post("general", "alice", "more")
    assert [entry.position async for entry in reader] == [4]


async def test_what_became_of_a_command(client: AsyncClient) -> None:
    posted = await client.messages.post("general", "alice", "hello", request_id="r-1")
    known = await client.events.get_request("r-1")
    unknown = await client.events.get_request("r-2")

    assert known.found is True
    assert known.result.post_message == posted
    assert known.events[0].message_posted.message_id == posted.message_id
    assert unknown.found is False


async def test_operations(client: AsyncClient) -> None:
    info = await client.operations.server_info()
    namespace = await client.operations.get_namespace()

    assert info.version
    assert namespace.head_position == 1
    assert namespace.namespace in await all_of(client.operations.list_namespaces(page_size=50))
    with pytest.raises(errors.NamespaceNotFound):
        await client.with_namespace("nobody-was-here").operations.get_namespace()


async def test_a_request_id_of_ones_own_makes_a_repeat_harmless(client: AsyncClient) -> None:
    first = await client.messages.post("general", "alice", "hello", request_id="r-1")
    again = await client.messages.post("general", "alice", "hello", request_id="r-1")

    assert (again.sequence, again.receipt.replayed) == (first.sequence, True)
    with pytest.raises(errors.RequestIdReused) as raised:
        await client.messages.post("general", "alice", "other", request_id="r-1")
    assert raised.value.request_id == "r-1"
    # Another caller has request ids of its own.
    other = await client.with_options(caller="other").messages.post(
        "general", "alice", "hello", request_id="r-1"
    )
    assert (other.sequence, other.receipt.replayed) == (first.sequence + 1, False)


async def test_a_read_can_wait_for_a_position(client: AsyncClient) -> None:
    position = (await client.messages.post("general", "alice", "hello")).receipt.position

    channel = await client.with_options(min_position=position).channels.get("general")

    assert channel.head_sequence == 1


async def test_pages_can_be_taken_as_pages(client: AsyncClient) -> None:
    for _ in range(5):
        await client.messages.post("general", "alice", "hello")

    pages = client.messages.list("general", page_size=2).pages()

    assert [len(page) async for page in pages] == [2, 2, 1]


async def test_a_bad_field_is_named(client: AsyncClient) -> None:
    with pytest.raises(errors.InvalidField) as raised:
        await client.messages.post("", "alice", "hello")

    assert [violation.field for violation in raised.value.field_violations] == ["channel_id"]


async def test_a_body_of_another_type_is_refused_before_it_is_sent(client: AsyncClient) -> None:
    with pytest.raises(TypeError, match="body is a int"):
        await client.messages.post("general", "alice", 7)  # type: ignore[arg-type]  # on purpose
    with pytest.raises(UnicodeEncodeError):
        await client.messages.post("general", "alice", "\ud800")


async def test_the_raw_stub_uses_the_same_connection(
    gapless_server: InProcessServer,
) -> None:
    async with gapless_server.async_client(namespace="raw-stub") as client:
        await client.channels.create("general")
        # Typed as the stub for threads: the generated code has one class for both colours.
        stub: Any = client.stub(ChannelServiceStub)

        response = await stub.GetChannel(
            GetChannelRequest(channel_id="general"), metadata=client.metadata
        )

    assert response.channel.channel_id == "general"
