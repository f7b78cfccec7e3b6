"""Runs of posts: what their compiled form has to know of the contract and of the state."""

from __future__ import annotations

from collections.abc import Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from gapless.v1.commands_pb2 import Command, CommandResult, PipelineRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.events_pb2 import Event
from gapless.v1.messages_pb2 import MessagePosted, PostMessageRequest, PostMessageResponse
from gapless_server.core.kinds.channels import ALL, ChannelTables
from gapless_server.core.kinds.messages_tables import MessageTables
from gapless_server.core.runs import RequestPlaces
from gapless_server.core.state import Moment, State
from gapless_server.core.validation import IDENTIFIER_CHARACTERS_MAX, field_rules

if TYPE_CHECKING:  # they may not have been built
    from gapless_server.compiled.frames import FrameReader
    from gapless_server.compiled.post_fields import PostFields
    from gapless_server.compiled.posts import OpenChannel, Opened, PostDecider

_BYTES_FIELD, _NUMBER_FIELD = 2, 0


def _number(message_type: Any, name: str) -> int:
    number: int = message_type.DESCRIPTOR.fields_by_name[name].number
    return number


def _bytes_tag(message_type: Any, name: str) -> int:
    return _number(message_type, name) << 3 | _BYTES_FIELD


def _number_tag(message_type: Any, name: str) -> int:
    return _number(message_type, name) << 3 | _NUMBER_FIELD


def _length_max(name: str) -> int:
    return field_rules(Body.DESCRIPTOR.fields_by_name[name]).length_max


class PostRuns:
    """Has runs of posts decided."""

    command_type = PostMessageRequest
    number = CommandResult.POST_MESSAGE_FIELD_NUMBER
    event_type = MessagePosted

    def reader(self) -> FrameReader:
        """Returns what finds posts in frames."""
        from gapless_server.compiled.frames import FrameReader, PostRules

        return FrameReader(
            PostRules(
                commands=PipelineRequest.COMMANDS_FIELD_NUMBER,
                post_message=Command.POST_MESSAGE_FIELD_NUMBER,
                request_id=PostMessageRequest.REQUEST_ID_FIELD_NUMBER,
                channel_id=PostMessageRequest.CHANNEL_ID_FIELD_NUMBER,
                sender_id=PostMessageRequest.SENDER_ID_FIELD_NUMBER,
                body=PostMessageRequest.BODY_FIELD_NUMBER,
                data=Body.DATA_FIELD_NUMBER,
                content_type=Body.CONTENT_TYPE_FIELD_NUMBER,
                message_id=PostMessageRequest.MESSAGE_ID_FIELD_NUMBER,
                identifier_characters_max=IDENTIFIER_CHARACTERS_MAX,
                data_bytes_max=_length_max("data"),
                content_type_characters_max=_length_max("content_type"),
            )
        )

    def fields(self, tags: Mapping[str, int]) -> PostFields:
        """Returns where all stands that is written of a post."""
        from gapless_server.compiled.post_fields import PostFields

        return PostFields(
            **tags,
            event_posted=_bytes_tag(Event, "message_posted"),
            posted_channel_id=_bytes_tag(MessagePosted, "channel_id"),
            posted_message_id=_bytes_tag(MessagePosted, "message_id"),
            posted_sequence=_number_tag(MessagePosted, "sequence"),
            posted_sender_id=_bytes_tag(MessagePosted, "sender_id"),
            posted_body=_bytes_tag(MessagePosted, "body"),
            answer_posted=_bytes_tag(CommandResult, "post_message"),
            response_message_id=_bytes_tag(PostMessageResponse, "message_id"),
            response_sequence=_number_tag(PostMessageResponse, "sequence"),
            response_receipt=_bytes_tag(PostMessageResponse, "receipt"),
            command_number=_number(Command, "post_message"),
            channel_id_number=_number(PostMessageRequest, "channel_id"),
            sender_id_number=_number(PostMessageRequest, "sender_id"),
            body_number=_number(PostMessageRequest, "body"),
            message_id_number=_number(PostMessageRequest, "message_id"),
        )

    def decider(
        self,
        fields: PostFields,
        state: State,
        requests: RequestPlaces,
        time: bytes,
        moment: Moment,
        id_seed: str,
    ) -> PostDecider:
        """Returns what decides the posts of one round."""
        from gapless_server.compiled.posts import PostDecider

        shards, pairs = requests
        return PostDecider(fields, _opener(state), shards, pairs, time, moment.time_us, id_seed)


def _opener(state: State) -> OpenChannel:
    channels, messages = state.of(ChannelTables), state.of(MessageTables).messages

    def open_channel(channel_id: str) -> Opened | None:
        row = channels.channels.get(ALL, channel_id)
        head = channels.sequences.head(channel_id)
        if row is None or row.archive_time_us or head is None:
            return None
        sequences, heads = channels.sequences.newest_parts(channel_id)
        find_message = partial(messages.get, channel_id)
        return head, find_message, messages.packed_part(channel_id), sequences, heads.rows

    return open_channel


POST_RUNS = PostRuns()
