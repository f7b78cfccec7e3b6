"""Erasures against a model: of everything that is ever said, what is erased is nowhere.

And what is not erased is in the log: the state that is served is the one that the log gives (G10).
"""

from __future__ import annotations

import asyncio
from collections.abc import Sequence
from typing import NamedTuple

from hypothesis import example, given
from hypothesis import strategies as st

from gapless.v1.commands_pb2 import Command, ExecuteBatchRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.erasures_pb2 import RedactMessageRequest, RedactUserRequest
from gapless.v1.messages_pb2 import DeleteMessageRequest, EditMessageRequest
from gapless_server.core.refusals import Refused
from gapless_server.journal.memory import MemoryJournalStore
from tests.writer.harness import GENERAL, create, open_namespace, post, run

MESSAGES = ("m1", "m2")
ANN = "ann"  # who sends all of them


class Said(NamedTuple):
    """What is done to a message; `text` is what it says, if it says anything."""

    what: str
    message_id: str
    text: str


def command(said: Said) -> Command:
    message = {"channel_id": GENERAL, "message_id": said.message_id}
    body = Body(data=said.text.encode())
    match said.what:
        case "edit":
            return Command(edit_message=EditMessageRequest(**message, body=body))
        case "delete":
            return Command(delete_message=DeleteMessageRequest(**message))
        case "redact":
            return Command(redact_message=RedactMessageRequest(**message, requested_by="officer"))
    request = RedactUserRequest(channel_id=GENERAL, sender_id=ANN, requested_by="officer")
    return Command(redact_user=request)


def batched(members: Sequence[Said], request_id: str) -> Command:
    commands = [command(one) for one in members]
    return Command(execute_batch=ExecuteBatchRequest(request_id=request_id, commands=commands))


@st.composite
def stories(draw: st.DrawFn) -> list[list[list[Said]]]:
    """Frames of batches of what is done; every text is another one."""
    whats = st.sampled_from(["edit", "edit", "redact", "redact_user", "delete"])
    acts = st.tuples(whats, st.sampled_from(MESSAGES))
    frames = draw(
        st.lists(
            st.lists(st.lists(acts, min_size=1, max_size=5), min_size=1, max_size=3),
            min_size=1,
            max_size=4,
        )
    )
    texts = (f"<text {number}>" for number in range(1000))
    return [[[Said(*act, next(texts)) for act in batch] for batch in frame] for frame in frames]


class Model:
    """What each message has said since it was last erased, and what was erased."""

    def __init__(self) -> None:
        self.kept: dict[str, set[str]] = {one: {f"<posted {one}>"} for one in MESSAGES}
        self.erased: set[str] = set()

    def take(self, members: Sequence[Said]) -> None:
        for one in members:
            if one.what == "edit":
                self.kept[one.message_id].add(one.text)
            for message_id in MESSAGES if one.what == "redact_user" else (one.message_id,):
                if one.what in ("redact", "redact_user"):
                    self.erased |= self.kept[message_id]
                    self.kept[message_id] = set()


async def tell(story: list[list[list[Said]]]) -> None:
    store, model = MemoryJournalStore(), Model()
    namespace = await open_namespace(await store.open("test"))
    posts = [post(f"post-{one}", f"<posted {one}>") for one in MESSAGES]
    for one, message_id in zip(posts, MESSAGES, strict=True):
        one.post_message.message_id = message_id
    await run(namespace, create(), *posts)
    for number, frame in enumerate(story):
        batches = [batched(members, f"{number}-{n}") for n, members in enumerate(frame)]
        for outcome, members in zip(await run(namespace, *batches), frame, strict=True):
            # A deleted message takes no edit: nothing of such a batch is done.
            if not isinstance(outcome, Refused):
                model.take(members)
    served = await namespace.read(lambda state: state.digest())
    await namespace.close()

    journal = await store.open("test")
    log = b"".join([one.data async for one in journal.read(1)])
    replayed = await open_namespace(journal)
    assert await replayed.read(lambda state: state.digest()) == served
    await replayed.close()
    assert {text for text in model.erased if text.encode() in log} == set()
    kept = set().union(*model.kept.values())
    assert {text for text in kept if text.encode() not in log} == set()


def acts(*whats: str) -> list[Said]:
    return [Said(what, "m1", f"<{what} {number}>") for number, what in enumerate(whats)]


@given(stories())
@example([[acts("edit", "redact", "edit")]])
# The second batch erases with an event that is equal to one of the first.
@example([[acts("redact", "edit", "redact", "edit"), acts("redact")]])
def test_g10_what_is_erased_is_nowhere_and_all_else_is_in_the_log(
    story: list[list[list[Said]]],
) -> None:
    asyncio.run(tell(story))
