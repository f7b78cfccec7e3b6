"""Batches against the same commands one by one: equal if all succeed, nothing if one is refused."""

from __future__ import annotations

from typing import NamedTuple

from google.protobuf.message import Message
from hypothesis import given, settings
from hypothesis import strategies as st

from gapless.v1.common_pb2 import Body
from gapless.v1.config_pb2 import ConfigWrite, DeleteConfigRequest, SetConfigRequest
from gapless.v1.ledgers_pb2 import CreateAccountRequest, TransferLeg, TransferRequest
from gapless.v1.pool_reservations_pb2 import ReleaseReservationRequest, ReserveNumberRequest
from gapless.v1.pools_pb2 import CreatePoolRequest, NumberRange
from gapless.v1.read_markers_pb2 import MarkReadRequest
from gapless_server.core.kernel import Context
from gapless_server.core.plain import to_message
from gapless_server.core.refusals import Refused
from gapless_server.core.state import State
from tests.core import chat_commands as chat
from tests.core import list_commands as lists
from tests.core import lock_commands as locks
from tests.core.batch_commands import batch
from tests.core.story import KERNEL, Story

# Few names, so that commands meet each other, succeed and fail alike.
CHANNELS = st.sampled_from(["general", "random"])
MESSAGES = st.sampled_from(["", "root", "m"])
USERS = st.sampled_from(["ann", "bob"])
ITEMS = st.sampled_from(["a", "b", "c"])
ACCOUNTS = st.sampled_from(["bank", "purse"])


def transfer(source: str, target: str, amount: int) -> TransferRequest:
    legs = [
        TransferLeg(account_id=source, amount=-amount),
        TransferLeg(account_id=target, amount=amount),
    ]
    return TransferRequest(legs=legs)


CHAT = st.one_of(
    st.builds(chat.channel, CHANNELS),
    st.builds(chat.archive, CHANNELS),
    st.builds(chat.post, MESSAGES, USERS, CHANNELS),
    st.builds(chat.reply, MESSAGES, USERS, show_in_channel=st.booleans()),
    st.builds(chat.delete, st.just("root")),
    st.builds(chat.join, USERS),
    st.builds(chat.leave, USERS),
    st.builds(chat.toggle, st.just("root"), USERS),
    st.builds(MarkReadRequest, channel_id=CHANNELS, user_id=USERS, sequence=st.integers(1, 3)),
)
LISTS = st.one_of(
    st.just(lists.create()),
    st.builds(lists.insert, ITEMS),
    st.builds(lists.edit, ITEMS, st.sampled_from(["x", "y"])),
    st.builds(lists.move, ITEMS, st.sampled_from([lists.AT_START, lists.AT_END])),
    st.builds(lists.delete_item, ITEMS),
    st.just(lists.delete_list()),
)
OTHERS = st.one_of(
    st.builds(
        SetConfigRequest,
        writes=st.lists(
            st.builds(
                ConfigWrite,
                key=ITEMS,
                body=st.builds(Body, data=st.sampled_from([b"1", b"2"])),
                expected_version=st.one_of(st.none(), st.integers(0, 2)),
            ),
            min_size=1,
            max_size=2,
        ),
    ),
    st.builds(DeleteConfigRequest, key=ITEMS),
    st.builds(
        CreateAccountRequest,
        account_id=ACCOUNTS,
        unit=st.just("point"),
        floor=st.sampled_from([None, 0]),
    ),
    st.builds(transfer, ACCOUNTS, ACCOUNTS, st.integers(-2, 2)),
    st.just(CreatePoolRequest(pool_id="ports", ranges=[NumberRange(first=1, last=2)])),
    st.builds(ReserveNumberRequest, pool_id=st.just("ports"), owner_id=USERS, key=ITEMS),
    st.builds(ReleaseReservationRequest, pool_id=st.just("ports"), owner_id=USERS, key=ITEMS),
)
LOCKS = st.builds(locks.acquire, ITEMS, USERS, st.integers(2, 20))
COMMANDS = st.one_of(CHAT, LISTS, OTHERS, LOCKS)
BATCHES = st.lists(COMMANDS, min_size=1, max_size=8)


class Apart(NamedTuple):
    """What commands that run one by one, at the same moment, lead to."""

    events: list[Message]
    responses: list[Message]
    changed: list[bool]
    refusal: Refused | None


def run_apart(story: Story, state: State, commands: list[Message]) -> Apart:
    """Runs commands until one is refused."""
    apart = Apart([], [], [], None)
    for index, command in enumerate(commands):
        # The ids that the service makes are those that it makes for a member of a batch.
        context = Context(story.moment, "", f"made-{story.moment.position}-{index:x}-")
        try:
            decision = story.typed(command).decide(state, context)
        except Refused as refusal:
            return apart._replace(refusal=refusal)
        KERNEL.evolve(state, decision.events, story.moment)
        apart.events.extend(map(to_message, decision.events))
        apart.responses.append(to_message(decision.response))
        apart.changed.append(bool(decision.events))
    return apart


def copy_of(story: Story) -> State:
    """Returns the state of a story, made anew from its log."""
    state = KERNEL.new_state()
    story.replay(state)
    return state


@settings(max_examples=400, deadline=None)
@given(earlier=st.lists(COMMANDS, max_size=12), batches=st.lists(BATCHES, max_size=3))
def test_g5_a_batch_is_its_commands_one_by_one_or_nothing(
    earlier: list[Message], batches: list[list[Message]]
) -> None:
    story = Story()
    story.try_each(earlier)
    for commands in batches:
        state = copy_of(story.idle(1))
        apart = run_apart(story, state, commands)

        if apart.refusal is None:
            answer = story.when(batch(*commands))

            assert story.then_events() == apart.events
            responses = [getattr(r, str(r.WhichOneof("result"))) for r in answer.results]
            assert responses == apart.responses
            assert list(answer.changed) == apart.changed
            assert story.state.digest() == state.digest()
        else:
            # Holds also that the digest of the state stays the same.
            refusal = story.then_refused(batch(*commands), apart.refusal.row.reason)

            assert refusal.metadata["batch_index"] == str(len(apart.responses))
            not_tried = len(commands) - len(apart.responses) - 1
            assert refusal.metadata["batch_not_tried"] == str(not_tried)
            assert str(refusal).endswith(str(apart.refusal))
    story.assert_sound()
