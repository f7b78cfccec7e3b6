"""Reactions: at most one of each emoji by each user on each message that is not deleted."""

from __future__ import annotations

from collections.abc import Generator

from gapless.v1 import errors_pb2, messages_pb2, reactions_pb2
from gapless_server.core.kernel import Context, Decision, Kind
from gapless_server.core.kinds.messages import require_live_message
from gapless_server.core.kinds.reactions_audit import ReactionAuditor
from gapless_server.core.paging import PageLimits, read_token, written_page
from gapless_server.core.refusals import Refused
from gapless_server.core.state import Moment, PartitionedTable, State, UndoLog
from gapless_server.core.steps import InSteps
from gapless_server.core.times import timestamp_bytes
from gapless_server.core.writing import Written, writer

_write_reaction = writer(reactions_pb2.Reaction)

# Keeps the counts of a message to one small answer; people stay far below it.
EMOJI_PER_MESSAGE_MAX = 64

MessageKey = tuple[str, str]

# How many have each emoji on a message, in the order of the emoji; none has 0.
Counts = tuple[tuple[str, int], ...]

# What adds, removes and toggles have in common: whose reaction it is, and to what.
ReactionCommand = (
    reactions_pb2.AddReactionRequest
    | reactions_pb2.RemoveReactionRequest
    | reactions_pb2.ToggleReactionRequest
)


class ReactionTables:
    """When each (emoji, user) was added, by channel and message; and the counts of each message.

    The counts are one row, so that the limit and a count are had with one look.
    """

    def __init__(self, undo: UndoLog) -> None:
        self.times_us: PartitionedTable[MessageKey, tuple[str, str], int] = PartitionedTable(
            undo, int
        )
        self.counts: PartitionedTable[str, str, Counts] = PartitionedTable(undo, Counts)


def _present(state: State, command: ReactionCommand) -> bool:
    """Says whether the reaction is there. Raises Refused if its message is not or no longer."""
    require_live_message(state, command.channel_id, command.message_id)
    message = (command.channel_id, command.message_id)
    reaction = (command.emoji, command.user_id)
    return state.of(ReactionTables).times_us.get(message, reaction) is not None


def _counts(state: State, channel_id: str, message_id: str) -> dict[str, int]:
    return dict(state.of(ReactionTables).counts.get(channel_id, message_id) or ())


def _count(state: State, command: ReactionCommand) -> int:
    return _counts(state, command.channel_id, command.message_id).get(command.emoji, 0)


def _added(state: State, command: ReactionCommand) -> reactions_pb2.ReactionAdded:
    """The event that adds the reaction. Raises Refused, reason TOO_MANY_EMOJI."""
    counts = _counts(state, command.channel_id, command.message_id)
    if command.emoji not in counts and len(counts) >= EMOJI_PER_MESSAGE_MAX:
        raise Refused(
            errors_pb2.ERROR_REASON_TOO_MANY_EMOJI,
            channel_id=command.channel_id,
            message_id=command.message_id,
            emoji_max=EMOJI_PER_MESSAGE_MAX,
        )
    return reactions_pb2.ReactionAdded(
        channel_id=command.channel_id,
        message_id=command.message_id,
        user_id=command.user_id,
        emoji=command.emoji,
    )


def _removed(command: ReactionCommand) -> reactions_pb2.ReactionRemoved:
    return reactions_pb2.ReactionRemoved(
        channel_id=command.channel_id,
        message_id=command.message_id,
        user_id=command.user_id,
        emoji=command.emoji,
    )


def _refused(reason: errors_pb2.ErrorReason.ValueType, command: ReactionCommand) -> Refused:
    return Refused(
        reason,
        channel_id=command.channel_id,
        message_id=command.message_id,
        user_id=command.user_id,
        emoji=command.emoji,
    )


def _add(state: State, command: reactions_pb2.AddReactionRequest, _context: Context) -> Decision:
    count = _count(state, command)
    if not _present(state, command):
        response = reactions_pb2.AddReactionResponse(count=count + 1)
        return Decision([_added(state, command)], response)
    if command.fail_if_unchanged:
        raise _refused(errors_pb2.ERROR_REASON_REACTION_ALREADY_EXISTS, command)
    return Decision([], reactions_pb2.AddReactionResponse(count=count))


def _remove(
    state: State, command: reactions_pb2.RemoveReactionRequest, _context: Context
) -> Decision:
    count = _count(state, command)
    if _present(state, command):
        response = reactions_pb2.RemoveReactionResponse(count=count - 1)
        return Decision([_removed(command)], response)
    if command.fail_if_unchanged:
        raise _refused(errors_pb2.ERROR_REASON_REACTION_NOT_FOUND, command)
    return Decision([], reactions_pb2.RemoveReactionResponse(count=count))


def _toggle(
    state: State, command: reactions_pb2.ToggleReactionRequest, _context: Context
) -> Decision:
    count = _count(state, command)
    if _present(state, command):
        removed = reactions_pb2.ToggleReactionResponse(
            outcome=reactions_pb2.TOGGLE_OUTCOME_REMOVED, count=count - 1
        )
        return Decision([_removed(command)], removed)
    added = reactions_pb2.ToggleReactionResponse(
        outcome=reactions_pb2.TOGGLE_OUTCOME_ADDED, count=count + 1
    )
    return Decision([_added(state, command)], added)


def _evolve_added(state: State, event: reactions_pb2.ReactionAdded, moment: Moment) -> None:
    message = (event.channel_id, event.message_id)
    state.of(ReactionTables).times_us.put(message, (event.emoji, event.user_id), moment.time_us)
    _add_to_count(state, message, event.emoji, 1)


def _evolve_removed(state: State, event: reactions_pb2.ReactionRemoved, _moment: Moment) -> None:
    message = (event.channel_id, event.message_id)
    state.of(ReactionTables).times_us.delete(message, (event.emoji, event.user_id))
    _add_to_count(state, message, event.emoji, -1)


def _add_to_count(state: State, message: MessageKey, emoji: str, change: int) -> None:
    table = state.of(ReactionTables).counts
    counts = _counts(state, *message)
    counts[emoji] = counts.get(emoji, 0) + change
    row = tuple(sorted((each, count) for each, count in counts.items() if count))
    if row:
        table.put(*message, row)
    else:
        table.delete(*message)


@InSteps
def _message_deleted(
    state: State, event: messages_pb2.MessageDeleted, _moment: Moment
) -> Generator[None, None, None]:
    """A message's reactions, of which there may be any number, go with it."""
    tables = state.of(ReactionTables)
    yield from tables.times_us.drop_in_steps((event.channel_id, event.message_id))
    tables.counts.delete(event.channel_id, event.message_id)


def _list(state: State, request: reactions_pb2.ListReactionsRequest, limits: PageLimits) -> Written:
    require_live_message(state, request.channel_id, request.message_id)
    after = read_token(request, tuple[str, str])
    message = (request.channel_id, request.message_id)
    rows = state.of(ReactionTables).times_us.scan(message, after=after)

    def write(reaction: tuple[str, str], time_us: int) -> bytes:
        emoji, user_id = reaction
        return _write_reaction(emoji=emoji, user_id=user_id, create_time=timestamp_bytes(time_us))

    return written_page(
        request, limits, rows, write, reactions_pb2.ListReactionsResponse, "reactions"
    )


def _get_counts(
    state: State, request: reactions_pb2.GetReactionCountsRequest, _limits: PageLimits
) -> reactions_pb2.GetReactionCountsResponse:
    require_live_message(state, request.channel_id, request.message_id)
    counts = state.of(ReactionTables).counts.get(request.channel_id, request.message_id) or ()
    return reactions_pb2.GetReactionCountsResponse(
        counts=[reactions_pb2.ReactionCount(emoji=emoji, count=count) for emoji, count in counts]
    )


KIND = Kind(
    name="reactions",
    tables=(ReactionTables,),
    commands={
        reactions_pb2.AddReactionRequest: _add,
        reactions_pb2.RemoveReactionRequest: _remove,
        reactions_pb2.ToggleReactionRequest: _toggle,
    },
    events={
        reactions_pb2.ReactionAdded: _evolve_added,
        reactions_pb2.ReactionRemoved: _evolve_removed,
        messages_pb2.MessageDeleted: _message_deleted,
    },
    queries={
        reactions_pb2.ListReactionsRequest: _list,
        reactions_pb2.GetReactionCountsRequest: _get_counts,
    },
    auditors=(ReactionAuditor,),
)
