"""Whatever frames come, the compiled way writes the same log as the plain one, byte for byte."""

from __future__ import annotations

import asyncio
from collections.abc import Sequence

import pytest
from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.v1.channels_pb2 import ArchiveChannelRequest, ChannelHeadGuard, CreateChannelRequest
from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.erasures_pb2 import RedactMessageRequest
from gapless.v1.guards_pb2 import Guard
from gapless.v1.messages_pb2 import DeleteMessageRequest, EditMessageRequest, PostMessageRequest
from gapless.v1.reactions_pb2 import AddReactionRequest
from gapless.v1.threads_pb2 import PostReplyRequest
from gapless_server.core.kinds.channels import SEQUENCE_MAX, ChannelTables
from gapless_server.core.kinds.messages import MessageTables
from gapless_server.writer.limits import WriterLimits
from tests.compiled.both_ways import Log, assert_same, frame_of, written
from tests.core.dict_store import DictStore

GENERAL = "general"
CREATE = CreateChannelRequest(request_id="create", channel_id=GENERAL)


def post(request_id: str, channel_id: str = GENERAL, **fields: object) -> PostMessageRequest:
    body = Body(data=b"hello", content_type="text/plain")
    asked = {"sender_id": "ann", "body": body} | fields
    return PostMessageRequest(request_id=request_id, channel_id=channel_id, **asked)  # type: ignore[arg-type]


def posts(count: int, first: int = 0, channel_id: str = GENERAL) -> list[PostMessageRequest]:
    return [post(f"post-{number}", channel_id) for number in range(first, first + count)]


async def test_posts_of_a_frame_are_one_run() -> None:
    compiled, plain = await written([frame_of(CREATE)], [frame_of(*posts(120))])

    assert compiled.in_runs == 120
    assert_same(compiled, plain)


@pytest.mark.parametrize("caller", ["", "shop", "läden"])
async def test_callers_have_request_ids_of_their_own(caller: str) -> None:
    logs = Log(compiled=True), Log(compiled=False)
    for log in logs:
        await log.run(frame_of(CREATE, *posts(3)))
        await log.run(frame_of(*posts(3)), caller=caller)
        await log.run(frame_of(*posts(5)), caller=caller)

    assert_same(*logs)


PLAIN = {
    "without a body": {"body": None},
    "with an empty body": {"body": Body()},
    "of a type and no data": {"body": Body(content_type="text/plain")},
    "of data and no type": {"body": Body(data=bytes(range(256)))},
    "of the longest data": {"body": Body(data=b"\0" * 65_536)},
    "of the longest type": {"body": Body(content_type="t" * 255)},
    "of the longest sender": {"sender_id": "s" * 128},
    "with blanks and signs": {"sender_id": " ~!\"'{}"},
    "with an id of its own": {"message_id": "mine"},
    "of the longest id": {"message_id": "m" * 128},
    "of an id and nothing else": {"message_id": "mine", "body": None},
}
OTHER = {
    "with too much data": {"body": Body(data=b"\0" * 65_537)},
    "of too long a type": {"body": Body(content_type="t" * 256)},
    "of a type that is not ASCII": {"body": Body(content_type="tüxt")},
    "with attributes": {"attributes": {"b": "2", "a": "1"}},
    "with an id that is not ASCII": {"message_id": "meine Nachricht für dich"},
    "of too long an id": {"message_id": "m" * 129},
    "of an id and attributes": {"message_id": "mine", "attributes": {"a": "1"}},
    "of a sender that is not ASCII": {"sender_id": "änn"},
    "of a sender that is not in NFC": {"sender_id": "a\u0308nn"},
    "of too long a sender": {"sender_id": "s" * 129},
    "of a sender with a control character": {"sender_id": "a\x7f"},
    "of nobody": {"sender_id": ""},
    "to nowhere": {"channel_id": "nowhere"},
    "without a channel": {"channel_id": ""},
    "without a request id": {"request_id": ""},
}


@pytest.mark.parametrize("name", [*PLAIN, *OTHER])
async def test_a_post_is_as_it_would_be(name: str) -> None:
    odd = post("odd")
    fields = (PLAIN | OTHER)[name]
    for field, value in fields.items():
        odd.ClearField(field)  # type: ignore[arg-type]  # whichever it is
        if value is not None:
            odd.MergeFrom(PostMessageRequest(**{field: value}))  # type: ignore[arg-type]
    if fields.get("body") == Body():
        odd.body.SetInParent()

    compiled, plain = await written([frame_of(CREATE, *posts(2), odd, *posts(2, 2), odd)])

    assert compiled.in_runs == (5 if name in PLAIN else 4)
    assert_same(compiled, plain)


def _wire(*, tail: bytes = b"", body: bytes = b"") -> bytes:
    """A post as bytes, in a command; `tail` comes behind its fields."""
    inner = b"".join((b"\x0a\x01r", b"\x12\x07general", b"\x1a\x01s", body, tail))
    tag = Command(post_message=PostMessageRequest()).SerializeToString()[:-1]
    return tag + bytes((len(inner),)) + inner


_GUARD = Guard(channel_head=ChannelHeadGuard(channel_id=GENERAL, head_sequence=7))

WIRES = {
    "a guard behind it": _wire() + Command(guards=[_GUARD]).SerializeToString(),
    "as it is": _wire(),
    "a field that this version does not know": _wire(tail=b"\x7a\x01x"),
    "a number that this version does not know": _wire(tail=b"\x78\x01"),
    "a field twice": _wire(tail=b"\x1a\x01t"),
    "the fields in another order": _wire(tail=b"\x0a\x01q"),
    "a body whose fields are in another order": _wire(body=b"\x22\x06\x12\x01t\x0a\x01d"),
    "a body with a field twice": _wire(body=b"\x22\x06\x0a\x01d\x0a\x01e"),
    "a body with an empty field": _wire(body=b"\x22\x05\x0a\x00\x12\x01t"),
    "a body with a field that is not known": _wire(body=b"\x22\x05\x0a\x01d\x18\x01"),
    "a body twice": _wire(body=b"\x22\x03\x0a\x01d\x22\x03\x12\x01t"),
    "a body whose field is longer than it": _wire(body=b"\x22\x03\x0a\x02d"),
    "a length that is longer than it need be": _wire(body=b"\x22\x84\x00\x0a\x82\x00d"),
    "a length beyond the end": _wire(tail=b"\x22\xff\xff\x03"),
    "a length of more than 64 bits": _wire(tail=b"\x22" + b"\xff" * 10 + b"\x01"),
    "a tag that breaks off": _wire(tail=b"\x80"),
    "a type that is not UTF-8": _wire(body=b"\x22\x03\x12\x01\xff"),
    "an empty id": _wire(tail=b"\x32\x00"),
    "an id twice": _wire(tail=b"\x32\x01m\x32\x01n"),
    "an id before the body": _wire(body=b"\x32\x01m", tail=b"\x22\x03\x0a\x01d"),
    "nothing": b"",
    "two commands in one": _wire() + _wire(),
}


@pytest.mark.parametrize("name", WIRES)
async def test_bytes_are_taken_as_protobuf_takes_them(name: str) -> None:
    compiled, plain = await written([frame_of(CREATE, *posts(2), WIRES[name], *posts(2, 2))])

    assert_same(compiled, plain)


@pytest.mark.parametrize(
    "tail", [b"\x0a", b"\x0a\x05ab", b"\x12\x00", b"\x08\x01", b"\xff" * 12, b"\x0a\x00"]
)
async def test_a_frame_that_is_none_is_refused_alike(tail: bytes) -> None:
    frame = frame_of(CREATE, *posts(3)) + tail

    assert_same(*await written([frame]))


def _mixed(channel_id: str) -> Sequence[Message]:
    """Commands of other kinds between posts, that change what posts find."""
    here = {"channel_id": channel_id}
    create = CreateChannelRequest(request_id=f"create {channel_id}", first_sequence=100, **here)
    head = ChannelHeadGuard(channel_id=channel_id, head_sequence=101)
    guarded = Command(post_message=post("guarded", channel_id), guards=[Guard(channel_head=head)])
    batch = ExecuteBatchRequest(
        request_id="batch",
        commands=[Command(post_message=post("", channel_id)) for _ in range(3)],
    )
    refused = ExecuteBatchRequest(
        request_id="refused",
        commands=[
            Command(post_message=post("", channel_id)),
            Command(post_message=post("", "nowhere")),
        ],
    )
    named = post("named", channel_id, message_id="m1")
    edit = {"message_id": "m1", "body": Body(data=b"edited"), **here}
    return [
        post("too-early", channel_id),
        create,
        *posts(2, 10, channel_id),
        guarded,
        *posts(2, 20, channel_id),
        batch,
        *posts(2, 30, channel_id),
        refused,
        *posts(2, 40, channel_id),
        named,
        *posts(2, 50, channel_id),
        EditMessageRequest(request_id="edit", **edit),  # type: ignore[arg-type]
        AddReactionRequest(request_id="react", message_id="m1", user_id="u", emoji="👍", **here),
        PostReplyRequest(request_id="reply", parent_message_id="m1", sender_id="b", **here),
        *posts(3, 29, channel_id),
        RedactMessageRequest(request_id="erase", message_id="m1", requested_by="ops", **here),
        *posts(2, 60, channel_id),
        DeleteMessageRequest(request_id="delete", message_id="m1", **here),
        ArchiveChannelRequest(request_id="archive", **here),
        *posts(2, 70, channel_id),
    ]


@pytest.mark.parametrize("rounds", [1, 2, 7])
async def test_posts_between_commands_of_other_kinds_find_what_these_did(rounds: int) -> None:
    commands = [*_mixed("one"), *_mixed("two")]
    size = -(-len(commands) // rounds)
    frames = [[frame_of(*commands[at : at + size])] for at in range(0, len(commands), size)]

    compiled, plain = await written(*frames)

    assert compiled.in_runs > 10
    assert_same(compiled, plain)


async def test_a_request_id_that_comes_again_has_the_first_answer() -> None:
    again = [frame_of(*posts(5, 2), post("post-3", sender_id="bob"), *posts(70, 4))]

    compiled, plain = await written([frame_of(CREATE, *posts(5))], again, again)

    assert compiled.in_runs == 5 + 2 + 67
    assert_same(compiled, plain)


def _named(*message_ids: str, again: str = "") -> list[PostMessageRequest]:
    return [post(f"{again}{one}", message_id=one) for one in message_ids]


async def test_an_id_is_taken_once_whoever_has_it() -> None:
    first = [*_named("m1", "m2"), post("made"), *_named("m1", again="in the frame ")]
    reply = PostReplyRequest(
        request_id="reply", channel_id=GENERAL, parent_message_id="m1", sender_id="b",
        message_id="r1",
    )  # fmt: skip
    delete = DeleteMessageRequest(request_id="delete", channel_id=GENERAL, message_id="m2")
    taken = _named("m1", "m3", "r1", "m2", "m3", "m4", again="later ")

    compiled, plain = await written(
        [frame_of(CREATE, *first)], [frame_of(reply, delete)], [frame_of(*taken)]
    )

    assert compiled.in_runs == 3 + 2
    assert_same(compiled, plain)


async def test_a_run_with_ids_to_look_up_leaves_the_loop_a_chance_after_ten() -> None:
    log = Log(compiled=True)
    await log.run(frame_of(CREATE))
    mixed = [*posts(7), *_named(*(f"m{number}" for number in range(25)))]
    frame = log.taker.frame(frame_of(*mixed), "")
    assert frame.found is not None
    builder = log.builder()

    counts, start = [], 0
    while start < len(mixed):
        answers = builder.decide_run(frame.found, start, len(mixed), "", 1_000_000)
        assert answers is not None
        counts.append(answers.count)
        start += answers.count

    assert counts == [7 + 10, 10, 5]


async def test_an_id_is_taken_also_when_only_the_checkpoint_has_it() -> None:
    logs = Log(compiled=True), Log(compiled=False)
    for log in logs:
        store = DictStore()
        log.state.attach(store)
        await log.run(frame_of(CREATE, *_named("m1", "m2"), *posts(3)))
        for _ in range(2):  # what was written is kept in memory until more is
            store.write(log.state)
            log.state.thaw()
        await log.run(frame_of(*_named("m3", "m1", "m4", again="later ")))

    assert logs[0].in_runs == 5 + 2
    assert_same(*logs)


async def test_calls_of_one_post_are_as_they_would_be() -> None:
    logs = Log(compiled=True), Log(compiled=False)
    odd = [post("named", message_id="mine"), post("nobody", sender_id=""), post("lost", "nowhere")]
    for log in logs:
        await log.run(frame_of(CREATE, *posts(2)))
        await log.call(*posts(5), *odd, post("long", body=Body(data=bytes(65_537))), caller="")
        await log.call(*posts(3), caller="shop")

    assert_same(*logs)


async def test_channels_and_senders_take_turns() -> None:
    names = [f"channel {number}" for number in range(7)]
    creates = [CreateChannelRequest(request_id=name, channel_id=name) for name in names]
    mixed = [
        post(f"p{number}", names[number * number % 7], sender_id=f"sender {number % 3}")
        for number in range(200)
    ]

    compiled, plain = await written([frame_of(*creates)], [frame_of(*mixed)], [frame_of(*posts(3))])

    assert compiled.in_runs == 200
    assert_same(compiled, plain)


async def test_the_last_sequence_is_given_once() -> None:
    last = CreateChannelRequest(
        request_id="last", channel_id=GENERAL, first_sequence=SEQUENCE_MAX - 2
    )

    compiled, plain = await written([frame_of(last, *posts(6))])

    assert compiled.in_runs == 3
    assert_same(compiled, plain)


async def test_a_run_ends_where_the_round_is_full() -> None:
    limits = WriterLimits(round_bytes_max=2_000)

    compiled, plain = await written([frame_of(CREATE)], [frame_of(*posts(20))], limits=limits)

    # The plain way writes what it decided only now and then, and so notices later.
    assert 0 < compiled.in_runs < 20
    assert plain.head.position == 21
    assert compiled.head.position == 1 + compiled.in_runs


async def test_rows_are_listed_in_order_also_when_they_come_after_the_first_list() -> None:
    compiled = Log(compiled=True)
    await compiled.run(frame_of(CREATE, *posts(60)))
    channels, messages = compiled.state.of(ChannelTables), compiled.state.of(MessageTables)
    before = [message_id for _, message_id in channels.sequences.scan(GENERAL, 1, descending=False)]
    listed = [message_id for message_id, _ in messages.messages.scan(GENERAL)]

    await compiled.run(frame_of(*posts(60, 60)))

    after = [message_id for _, message_id in channels.sequences.scan(GENERAL, 1, descending=False)]
    rows = dict(messages.messages.scan(GENERAL))
    assert (len(before), len(listed), len(after)) == (60, 60, 120)
    assert list(rows) == sorted(after)
    assert [rows[one].sequence for one in after] == list(range(1, 121))


_TEXTS = st.sampled_from(["ann", "general", "r1", "r2", "r3", "", "änn", "x" * 128, "x" * 129])
_POSTS = st.builds(
    PostMessageRequest,
    request_id=st.integers(0, 30).map(str),
    channel_id=st.sampled_from([GENERAL, "nowhere", "second"]),
    sender_id=_TEXTS,
    body=st.none() | st.builds(Body, data=st.binary(max_size=300), content_type=_TEXTS),
    attributes=st.just({}) | st.just({"a": "b"}),
    message_id=st.sampled_from(["", "", "m1", "m2", "m3", "é", "x" * 128, "x" * 129]),
)


@st.composite
def _frames(draw: st.DrawFn) -> bytes:
    """A frame of posts, some bytes of which may be others."""
    frame = bytearray(frame_of(*draw(st.lists(_POSTS, min_size=1, max_size=12))))
    for _ in range(draw(st.integers(0, 3))):
        frame[draw(st.integers(0, len(frame) - 1))] = draw(st.integers(0, 255))
    return bytes(frame[: draw(st.sampled_from([len(frame), len(frame) - 1]))])


@given(frames=st.lists(_frames(), min_size=1, max_size=3))
@settings(max_examples=400, deadline=None)
def test_any_bytes_lead_to_the_same(frames: list[bytes]) -> None:
    second = CreateChannelRequest(request_id="second", channel_id="second", first_sequence=7)

    assert_same(*asyncio.run(written([frame_of(CREATE, second)], frames)))
