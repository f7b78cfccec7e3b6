"""The commands that clients send: every kind of thing, drawn by chance, from what a client knows.

A command is drawn once and may be sent many times: its arguments do not change in between.
"""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Any, Final, NamedTuple

from gapless import AsyncClient, guards

CHANNELS: Final = ("red", "green")
LOCKS: Final = ("door", "gate")
ACCOUNTS: Final = ("cash", "bank", "debt")
KEYS: Final = ("rate", "limit")
EMOJIS: Final = ("up", "down")
USERS: Final = ("ann", "bob", "eve")
POOL: Final = "ports"
POOL_NUMBERS: Final = 8
LIST: Final = "slides"
NUMBERS_OF_POOL: Final = (range(1, POOL_NUMBERS + 1),)


class Known:
    """What a client has learned from its answers."""

    def __init__(self, name: str) -> None:
        self.name = name
        # Channels with the ids of messages in them.
        self.messages: list[tuple[str, str]] = []
        # The newest fencing token of each lock.
        self.tokens: dict[str, int] = {}
        self.versions: dict[str, int] = {}
        self.items: list[str] = []
        self.heads: dict[str, int] = {}


class Terms(NamedTuple):
    """On which terms a command is sent this time."""

    client: AsyncClient
    request_id: str
    timeout: float

    @property
    def options(self) -> dict[str, Any]:
        """The arguments that every command has."""
        return {"request_id": self.request_id, "timeout": self.timeout}


Sending = Callable[[Terms], Awaitable[Any]]


async def set_up(terms: Terms) -> Any:
    """Makes channels, a pool, accounts and a list, in one batch."""
    async with terms.client.batch(request_id=terms.request_id, timeout=terms.timeout) as batch:
        for channel_id in CHANNELS:
            await batch.channels.create(channel_id)
        await batch.pools.create(POOL, NUMBERS_OF_POOL)
        for account_id in ACCOUNTS:
            await batch.ledgers.create_account(account_id, "EUR", floor=-1000)
        await batch.lists.create(LIST)
    return batch


def _post(chance: random.Random, known: Known) -> Sending:
    channel_id = chance.choice(CHANNELS)
    attributes = {f"fact{n}": "yes" for n in range(chance.randrange(4))}
    archived = chance.random() < 0.1  # refused: there is no such channel

    async def send(terms: Terms) -> Any:
        posted = await terms.client.messages.post(
            "nowhere" if archived else channel_id,
            known.name,
            f"text of {terms.request_id}",
            attributes=attributes,
            **terms.options,
        )
        known.messages.append((channel_id, posted.message_id))
        known.heads[channel_id] = posted.sequence
        return posted

    return send


def _post_guarded(chance: random.Random, known: Known) -> Sending:
    channel_id = chance.choice(CHANNELS)
    lock_id = chance.choice(LOCKS)
    guard = guards.lock(lock_id, known.tokens.get(lock_id, 1))
    if chance.random() < 0.5:
        guard = guards.channel_head(channel_id, known.heads.get(channel_id, 0))

    async def send(terms: Terms) -> Any:
        client = terms.client.with_guards(guard)
        return await client.messages.post(channel_id, known.name, "guarded", **terms.options)

    return send


def _message(chance: random.Random, known: Known) -> tuple[str, str]:
    return chance.choice(known.messages) if known.messages else (CHANNELS[0], "none")


def _reply(chance: random.Random, known: Known) -> Sending:
    channel_id, message_id = _message(chance, known)
    shown = chance.random() < 0.3
    return lambda terms: terms.client.threads.reply(
        channel_id, message_id, known.name, "reply", show_in_channel=shown, **terms.options
    )


def _edit(chance: random.Random, known: Known) -> Sending:
    channel_id, message_id = _message(chance, known)
    if chance.random() < 0.4:
        return lambda terms: terms.client.messages.delete(channel_id, message_id, **terms.options)
    return lambda terms: terms.client.messages.edit(
        channel_id, message_id, "edited", **terms.options
    )


def _redact(chance: random.Random, known: Known) -> Sending:
    channel_id, message_id = _message(chance, known)
    return lambda terms: terms.client.erasures.redact_message(
        channel_id, message_id, known.name, **terms.options
    )


def _react(chance: random.Random, known: Known) -> Sending:
    channel_id, message_id = _message(chance, known)
    user_id, emoji, how = chance.choice(USERS), chance.choice(EMOJIS), chance.random()

    def send(terms: Terms) -> Awaitable[Any]:
        reactions = terms.client.reactions
        method = reactions.toggle if how < 0.6 else reactions.add if how < 0.8 else reactions.remove
        return method(channel_id, message_id, user_id, emoji, **terms.options)

    return send


def _join(chance: random.Random, known: Known) -> Sending:
    channel_id, user_id, strict = chance.choice(CHANNELS), chance.choice(USERS), chance.random()

    def send(terms: Terms) -> Awaitable[Any]:
        memberships = terms.client.memberships
        method = memberships.join if strict < 0.7 else memberships.leave
        return method(channel_id, user_id, fail_if_unchanged=strict > 0.5, **terms.options)

    return send


def _settings_of_user(chance: random.Random, known: Known) -> Sending:
    channel_id, user_id = chance.choice(CHANNELS), chance.choice(USERS)
    number, what = chance.randrange(1, 20), chance.randrange(3)

    def send(terms: Terms) -> Awaitable[Any]:
        client = terms.client
        if what == 0:
            return client.read_markers.mark(channel_id, user_id, number, **terms.options)
        if what == 1:
            return client.notification_settings.set(channel_id, user_id, 1, **terms.options)
        return client.push_subscriptions.upsert(
            user_id, f"https://push.example/{number}", p256dh_key=bytes([4] * 65),
            auth_key=bytes([number] * 16), **terms.options,
        )  # fmt: skip

    return send


def _reserve(chance: random.Random, known: Known) -> Sending:
    key, released = f"key{chance.randrange(4)}", chance.random() < 0.35
    ttl_seconds = chance.choice((None, None, 3))

    def send(terms: Terms) -> Awaitable[Any]:
        reservations = terms.client.reservations
        if released:
            return reservations.release(POOL, known.name, key, **terms.options)
        return reservations.reserve(POOL, known.name, key, ttl_seconds=ttl_seconds, **terms.options)

    return send


def _acquire(chance: random.Random, known: Known) -> Sending:
    lock_id, ttl = chance.choice(LOCKS), chance.randrange(1, 12)
    wait = chance.choice((0, 0, 5, 20))

    async def send(terms: Terms) -> Any:
        acquired = await terms.client.locks.acquire(
            lock_id, known.name, ttl=ttl, wait=wait, **terms.options
        )
        known.tokens[lock_id] = acquired.lock.fencing_token
        return acquired

    return send


def _keep_lock(chance: random.Random, known: Known) -> Sending:
    lock_id, renewed = chance.choice(LOCKS), chance.random() < 0.4
    token = known.tokens.get(lock_id, 1)

    def send(terms: Terms) -> Awaitable[Any]:
        method = terms.client.locks.renew if renewed else terms.client.locks.release
        return method(lock_id, token, **terms.options)

    return send


def _set_config(chance: random.Random, known: Known) -> Sending:
    key, version = chance.choice(KEYS), None
    if chance.random() < 0.6:
        version = known.versions.get(key, 0)

    async def send(terms: Terms) -> Any:
        answer = await terms.client.config.set(
            key, terms.request_id, expected_version=version, **terms.options
        )
        known.versions[key] = answer.results[0].version
        return answer

    return send


def _transfer(chance: random.Random, known: Known) -> Sending:
    source, target = chance.sample(ACCOUNTS, 2)
    amount = chance.randrange(1, 900)
    return lambda terms: terms.client.ledgers.transfer(
        {source: -amount, target: amount}, **terms.options
    )


def _change_list(chance: random.Random, known: Known) -> Sending:
    item, other = chance.sample(known.items, 2) if len(known.items) > 1 else ("none", "nothing")
    what = chance.random()

    async def send(terms: Terms) -> Any:
        items = terms.client.list_items
        if what < 0.5:
            item_id = f"item-{terms.request_id}"
            if item_id not in known.items:
                known.items.append(item_id)
            return await items.insert(LIST, {item_id: "text"}, at_end=True, **terms.options)
        if what < 0.75:
            return await items.move(LIST, item, after=other, **terms.options)
        if what < 0.9:
            return await items.edit(LIST, item, "new text", **terms.options)
        return await items.delete(LIST, item, **terms.options)

    return send


def _batch(chance: random.Random, known: Known) -> Sending:
    channel_id, key = chance.choice(CHANNELS), chance.choice(KEYS)
    source, target = chance.sample(ACCOUNTS, 2)
    amount = chance.randrange(1, 1500)  # often more than there is: then none of it happens

    async def send(terms: Terms) -> Any:
        async with terms.client.batch(request_id=terms.request_id, timeout=terms.timeout) as batch:
            await batch.messages.post(
                channel_id, known.name, "of a batch", message_id=f"m-{terms.request_id}"
            )
            await batch.config.set(key, terms.request_id)
            await batch.ledgers.transfer({source: -amount, target: amount})
        return batch

    return send


def _redact_and_go_on(chance: random.Random, known: Known) -> Sending:
    channel_id, message_id = _message(chance, known)
    goes_on = chance.random() < 0.7

    async def send(terms: Terms) -> Any:
        async with terms.client.batch(request_id=terms.request_id, timeout=terms.timeout) as batch:
            await batch.messages.edit(channel_id, message_id, f"before {terms.request_id}")
            await batch.erasures.redact_message(channel_id, message_id, known.name)
            if goes_on:
                await batch.messages.edit(channel_id, message_id, f"after {terms.request_id}")
        return batch

    return send


BATCH: Final = "batch"

# How often each kind is drawn, and what draws one.
_KINDS: Final[dict[str, tuple[int, Callable[[random.Random, Known], Sending]]]] = {
    "post": (20, _post),
    "guarded post": (6, _post_guarded),
    "reply": (8, _reply),
    "edit": (6, _edit),
    "redact": (2, _redact),
    "redact and go on": (2, _redact_and_go_on),
    "react": (8, _react),
    "join": (6, _join),
    "user settings": (5, _settings_of_user),
    "reserve": (9, _reserve),
    "acquire": (9, _acquire),
    "keep lock": (7, _keep_lock),
    "set config": (7, _set_config),
    "transfer": (6, _transfer),
    "change list": (8, _change_list),
    BATCH: (7, _batch),
}
_NAMES: Final = tuple(_KINDS)
_WEIGHTS: Final = tuple(weight for weight, _draw in _KINDS.values())


def draw(chance: random.Random, known: Known) -> tuple[str, Sending]:
    """Returns a command by chance: its kind, and what sends it."""
    [name] = chance.choices(_NAMES, _WEIGHTS)
    return name, _KINDS[name][1](chance, known)
