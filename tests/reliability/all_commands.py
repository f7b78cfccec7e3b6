"""What a busy client sends that uses every kind of thing there is."""

from __future__ import annotations

import random
from collections.abc import Awaitable, Callable
from typing import Final

from gapless import AsyncClient, Client, guards
from gapless.v1.notification_settings_pb2 import NotificationLevel
from tests.scenarios.busy_clients import CHANNELS, Answered, ChatCommands, both

LIST: Final = "deck"
LOCKS: Final = ("till", "press")
POOL: Final = "ports"
BANK: Final = "bank"
KEYS: Final = ("limit", "colour")
_TTL_SECONDS: Final = 3600
# Short enough to end between two kills now and then.
_SHORT_TTL_SECONDS: Final = 1


def prepare(client: Client, client_names: list[str]) -> int:
    """Makes what the clients work on; returns the number of commands that took."""
    for channel_id in CHANNELS:
        client.channels.create(channel_id)
    client.lists.create(LIST)
    client.pools.create(POOL, [range(1, 100_000)])
    client.ledgers.create_account(BANK, "cent")
    for name in client_names:
        client.ledgers.create_account(name, "cent", floor=0)
    return len(CHANNELS) + 3 + len(client_names)


class AllCommands(ChatCommands):
    """Commands of every kind, atomic batches, guards and erasures; some are refused."""

    def __init__(self, name: str, chance: random.Random) -> None:
        super().__init__(name, chance)
        self._tokens: dict[str, int] = {}
        self._items: list[str] = []
        self._reserved: list[str] = []

    async def send(self, client: AsyncClient, request_id: str) -> Answered:
        """Sends one command."""
        send = self.chance.choice(_SENDERS) if self.posted else AllCommands.post
        return await send(self, client, request_id)

    async def chat(self, client: AsyncClient, request_id: str) -> Answered:
        return await super().send(client, request_id)

    async def edit(self, client: AsyncClient, request_id: str) -> Answered:
        channel_id, message_id = self.chance.choice(self.posted)
        return both(
            await client.messages.edit(channel_id, message_id, "edited", request_id=request_id)
        )

    async def delete(self, client: AsyncClient, request_id: str) -> Answered:
        channel_id, message_id = self.posted.pop(self.chance.randrange(len(self.posted)))
        return both(await client.messages.delete(channel_id, message_id, request_id=request_id))

    async def erase(self, client: AsyncClient, request_id: str) -> Answered:
        channel_id, message_id = self.posted.pop(self.chance.randrange(len(self.posted)))
        return both(
            await client.erasures.redact_message(
                channel_id, message_id, self.name, reason="asked", request_id=request_id
            )
        )

    async def leave(self, client: AsyncClient, request_id: str) -> Answered:
        channel_id = self.chance.choice(CHANNELS)
        return both(await client.memberships.leave(channel_id, self.name, request_id=request_id))

    async def mark(self, client: AsyncClient, request_id: str) -> Answered:
        channel_id = self.chance.choice(CHANNELS)
        return both(
            await client.read_markers.mark(channel_id, self.name, 10**6, request_id=request_id)
        )

    async def notify(self, client: AsyncClient, request_id: str) -> Answered:
        level = self.chance.choice(
            (NotificationLevel.NOTIFICATION_LEVEL_ALL, NotificationLevel.NOTIFICATION_LEVEL_NONE)
        )
        channel_id = self.chance.choice(CHANNELS)
        return both(
            await client.notification_settings.set(
                channel_id, self.name, level, request_id=request_id
            )
        )

    async def subscribe(self, client: AsyncClient, request_id: str) -> Answered:
        endpoint = f"https://push.example/{self.chance.randrange(3)}"
        return both(
            await client.push_subscriptions.upsert(
                self.name,
                endpoint,
                p256dh_key=b"k" * 65,
                auth_key=self.chance.randbytes(16),
                request_id=request_id,
            )
        )

    async def configure(self, client: AsyncClient, request_id: str) -> Answered:
        key = self.chance.choice(KEYS)
        expected = self.chance.choice((None, 1))
        return both(
            await client.config.set(
                key, request_id, expected_version=expected, request_id=request_id
            )
        )

    async def insert(self, client: AsyncClient, request_id: str) -> Answered:
        inserted = await client.list_items.insert(
            LIST, {request_id: "item"}, at_start=self.chance.random() < 0.5, request_id=request_id
        )
        self._items.append(request_id)
        return both(inserted)

    async def move(self, client: AsyncClient, request_id: str) -> Answered:
        if not self._items:
            return await self.insert(client, request_id)
        item_id = self.chance.choice(self._items)
        return both(
            await client.list_items.move(LIST, item_id, at_start=True, request_id=request_id)
        )

    async def remove(self, client: AsyncClient, request_id: str) -> Answered:
        if not self._items:
            return await self.insert(client, request_id)
        item_id = self._items.pop(self.chance.randrange(len(self._items)))
        return both(await client.list_items.delete(LIST, item_id, request_id=request_id))

    async def reserve(self, client: AsyncClient, request_id: str) -> Answered:
        ttl_seconds = self.chance.choice((None, _SHORT_TTL_SECONDS))
        reserved = await client.reservations.reserve(
            POOL, self.name, request_id, ttl_seconds=ttl_seconds, request_id=request_id
        )
        self._reserved.append(request_id)
        return both(reserved)

    async def reserve_group(self, client: AsyncClient, request_id: str) -> Answered:
        reserved = await client.reservations.reserve_group(
            POOL, self.name, request_id, 3, contiguous=True, request_id=request_id
        )
        self._reserved.append(request_id)
        return both(reserved)

    async def release(self, client: AsyncClient, request_id: str) -> Answered:
        if not self._reserved:
            return await self.reserve(client, request_id)
        key = self._reserved.pop(self.chance.randrange(len(self._reserved)))
        return both(await client.reservations.release(POOL, self.name, key, request_id=request_id))

    async def lock(self, client: AsyncClient, request_id: str) -> Answered:
        lock_id = self.chance.choice(LOCKS)
        token = self._tokens.pop(lock_id, None)
        if token is not None:
            return both(await client.locks.release(lock_id, token, request_id=request_id))
        ttl = self.chance.choice((_SHORT_TTL_SECONDS, _TTL_SECONDS))
        acquired = await client.locks.acquire(lock_id, self.name, ttl=ttl, request_id=request_id)
        self._tokens[lock_id] = acquired.lock.fencing_token
        return both(acquired)

    async def guarded(self, client: AsyncClient, request_id: str) -> Answered:
        if not self._tokens:
            return await self.lock(client, request_id)
        lock_id = self.chance.choice(sorted(self._tokens))
        held = client.with_guards(guards.lock(lock_id, self._tokens[lock_id]))
        return await self.post(held, request_id)

    async def transfer(self, client: AsyncClient, request_id: str) -> Answered:
        amount = self.chance.randrange(-10, 20) or 1
        return both(
            await client.ledgers.transfer(
                {BANK: -amount, self.name: amount}, transfer_id=request_id, request_id=request_id
            )
        )

    async def batch(self, client: AsyncClient, request_id: str) -> Answered:
        amount = self.chance.randrange(-10, 20) or 1
        async with client.batch(request_id=request_id) as batch:
            await batch.messages.post(CHANNELS[0], self.name, "in a batch")
            await batch.config.set(KEYS[0], request_id)
            await batch.ledgers.transfer({BANK: -amount, self.name: amount}, transfer_id=request_id)
            await batch.reservations.reserve(POOL, self.name, request_id)
        assert batch.receipt is not None
        return batch.receipt, None


_Send = Callable[[AllCommands, AsyncClient, str], Awaitable[Answered]]
_SENDERS: Final[tuple[_Send, ...]] = (
    AllCommands.chat, AllCommands.chat, AllCommands.chat, AllCommands.edit, AllCommands.delete,
    AllCommands.erase, AllCommands.leave, AllCommands.mark, AllCommands.notify,
    AllCommands.subscribe, AllCommands.configure, AllCommands.insert, AllCommands.move,
    AllCommands.remove, AllCommands.reserve, AllCommands.reserve_group, AllCommands.release,
    AllCommands.lock, AllCommands.guarded, AllCommands.transfer, AllCommands.batch,
)  # fmt: skip
