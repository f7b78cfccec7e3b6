"""The kinds of thing, a module each; a module knows its own rules and no other room."""

from gapless_server.core.kernel import Kind
from gapless_server.core.kinds import (
    channels,
    config,
    erasures,
    ledgers,
    lists,
    locks,
    memberships,
    messages,
    notification_settings,
    pools,
    push_subscriptions,
    reactions,
    read_markers,
    threads,
)

# The order matters only to kinds that listen to each other's events: a listener stands after.
KINDS: tuple[Kind, ...] = (
    channels.KIND,
    messages.KIND,
    threads.KIND,
    erasures.KIND,
    reactions.KIND,
    memberships.KIND,
    read_markers.KIND,
    notification_settings.KIND,
    push_subscriptions.KIND,
    pools.KIND,
    ledgers.KIND,
    config.KIND,
    lists.KIND,
    locks.KIND,
)
