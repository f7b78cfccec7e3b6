"""Reads back what a replay left in the service, and holds it against the plan and the answers."""

from __future__ import annotations

import asyncio
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from gapless import AsyncClient
from gapless.v1.messages_pb2 import Message, PostMessageRequest
from gapless.v1.threads_pb2 import PostReplyRequest
from gapless_server.slack.plan import CLIENT_MSG_ID, Plan
from gapless_server.slack.replay import Acknowledged

_PAGE_ITEMS: Final = 1000
_CHANNELS_AT_ONCE_MAX: Final = 32


@dataclass(slots=True)
class Findings:
    """What is wrong, a sentence each, by the promise that it breaks; and what was looked at."""

    channels: int = 0
    messages: int = 0
    threads: int = 0
    thread_counts_equal: int = 0
    gaps: list[str] = field(default_factory=list)
    out_of_order: list[str] = field(default_factory=list)
    duplicates: list[str] = field(default_factory=list)
    lost: list[str] = field(default_factory=list)
    thread_counts_wrong: list[str] = field(default_factory=list)

    def breaches(self) -> list[str]:
        """Returns all of it."""
        return [
            *self.gaps,
            *self.out_of_order,
            *self.duplicates,
            *self.lost,
            *self.thread_counts_wrong,
        ]


@dataclass(slots=True)
class Contents:
    """What the service has of one channel."""

    first_sequence: int
    head_sequence: int
    messages: list[Message]
    replies: dict[str, list[Message]]  # by parent


async def check_replay(
    target: str, namespace: str, plan: Plan, acknowledged: Iterable[Acknowledged]
) -> Findings:
    """Reads every channel of the plan and returns what was found. Raises GaplessError."""
    at_once = asyncio.Semaphore(_CHANNELS_AT_ONCE_MAX)

    async def read(client: AsyncClient, channel: str) -> Contents:
        async with at_once:
            return await _read_channel(client, channel)

    async with AsyncClient(target, namespace=namespace) as client:
        contents = await asyncio.gather(*(read(client, channel) for channel in plan.commands))
    return compare(plan, dict(zip(plan.commands, contents, strict=True)), acknowledged)


async def _read_channel(client: AsyncClient, channel_id: str) -> Contents:
    channel = await client.channels.get(channel_id)
    messages = [
        message async for message in client.messages.list(channel_id, page_size=_PAGE_ITEMS)
    ]
    replies = {
        parent.message_id: [
            reply
            async for reply in client.threads.list(
                channel_id, parent.message_id, page_size=_PAGE_ITEMS
            )
        ]
        for parent in messages
        if parent.thread.head_sequence
    }
    return Contents(channel.first_sequence, channel.head_sequence, messages, replies)


def compare(
    plan: Plan, contents: dict[str, Contents], acknowledged: Iterable[Acknowledged]
) -> Findings:
    """Holds what the service has of each channel against the plan and the answers."""
    findings = Findings(channels=len(contents))
    sequences: dict[tuple[str, str], tuple[int, int]] = {}
    client_msg_ids: Counter[str] = Counter()
    for channel_id, channel in contents.items():
        _check_channel(findings, channel_id, channel)
        for message in _all_messages(channel):
            findings.messages += 1
            key = (channel_id, message.message_id)
            if key in sequences:
                findings.duplicates.append(
                    f"message {message.message_id} of channel {channel_id} is there twice"
                )
            sequences[key] = (message.sequence, message.thread_sequence)
            client_msg_ids[message.attributes.get(CLIENT_MSG_ID, "")] += 1
    del client_msg_ids[""]
    findings.duplicates += [
        f"client_msg_id {client_msg_id} is there {count} times"
        for client_msg_id, count in client_msg_ids.items()
        if count > 1
    ]
    findings.lost = [
        f"message {one.message_id} of channel {one.channel} was acknowledged with sequence"
        f" {one.sequence} and thread sequence {one.thread_sequence}, and is"
        f" {sequences.get((one.channel, one.message_id), 'not there')}"
        for one in acknowledged
        if sequences.get((one.channel, one.message_id)) != (one.sequence, one.thread_sequence)
    ]
    findings.out_of_order = _out_of_order(plan, sequences)
    _check_threads(findings, plan, contents)
    return findings


def _out_of_order(plan: Plan, sequences: Mapping[tuple[str, str], tuple[int, int]]) -> list[str]:
    """What comes later in the events of a channel or thread has a larger sequence there."""
    found = []
    heads: dict[tuple[str, str], int] = {}  # by channel, and parent or nothing
    for channel_id, commands in plan.commands.items():
        for command in commands:
            if not isinstance(command, (PostMessageRequest, PostReplyRequest)):
                continue
            sequence, thread_sequence = sequences.get((channel_id, command.message_id), (0, 0))
            parent_id = getattr(command, "parent_message_id", "")
            for place, number in (("", sequence), (parent_id, thread_sequence)):
                if number and number < heads.get((channel_id, place), 0):
                    found.append(
                        f"message {command.message_id} of channel {channel_id} has sequence"
                        f" {number}, and one before it in the events has a larger one"
                    )
                heads[channel_id, place] = max(number, heads.get((channel_id, place), 0))
    return found


def _check_channel(findings: Findings, channel_id: str, channel: Contents) -> None:
    expected = range(channel.first_sequence, channel.head_sequence + 1)
    found = [message.sequence for message in channel.messages]
    findings.gaps += _gaps(f"channel {channel_id}", expected, found)
    heads = {message.message_id: message.thread.head_sequence for message in channel.messages}
    for parent_id, replies in channel.replies.items():
        findings.threads += 1
        name = f"thread {parent_id} of channel {channel_id}"
        found = [reply.thread_sequence for reply in replies]
        findings.gaps += _gaps(name, range(1, heads[parent_id] + 1), found)


def _gaps(name: str, expected: range, found: Sequence[int]) -> list[str]:
    if list(expected) == list(found):
        return []
    missing = sorted(set(expected).difference(found))
    return [
        f"{name}: expected the sequences {expected.start} to {expected.stop - 1} in order,"
        f" found {len(found)}; missing are {missing[:10]}"
    ]


def _check_threads(findings: Findings, plan: Plan, contents: dict[str, Contents]) -> None:
    reply_counts = {
        (channel_id, message.message_id): message.thread.reply_count
        for channel_id, channel in contents.items()
        for message in channel.messages
    }
    for thread, expected in plan.reply_counts.items():
        found = reply_counts.get(thread)
        if found == expected:
            findings.thread_counts_equal += 1
        else:
            findings.thread_counts_wrong.append(
                f"thread {thread[1]} of channel {thread[0]}: Slack last reported {expected}"
                f" replies, the service counts {found}"
            )


def _all_messages(channel: Contents) -> Iterable[Message]:
    """Each once: a reply that is shown in the channel is in its thread as well."""
    yield from (message for message in channel.messages if not message.parent_message_id)
    for replies in channel.replies.values():
        yield from replies
