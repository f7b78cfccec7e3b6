"""The groups of what commands there are, for a client and for a batch alike."""

from __future__ import annotations

from gapless._async._calls import Calls
from gapless._async.channels import Channels
from gapless._async.config import Config
from gapless._async.erasures import Erasures
from gapless._async.ledgers import Ledgers
from gapless._async.list_items import ListItems
from gapless._async.lists import Lists
from gapless._async.locks import Locks
from gapless._async.memberships import Memberships
from gapless._async.messages import Messages
from gapless._async.notification_settings import NotificationSettings
from gapless._async.pools import Pools
from gapless._async.push_subscriptions import PushSubscriptions
from gapless._async.reactions import Reactions
from gapless._async.read_markers import ReadMarkers
from gapless._async.reservations import Reservations
from gapless._async.threads import Threads


class Groups:
    """Everything that can be changed, by kind, and the reads that belong to it."""

    def __init__(self, calls: Calls) -> None:
        self.channels = Channels(calls)
        """Create, read, change and archive channels."""
        self.messages = Messages(calls)
        """Post, edit, delete and read messages."""
        self.threads = Threads(calls)
        """Reply to messages and read the replies."""
        self.reactions = Reactions(calls)
        """Add, remove, toggle and read reactions."""
        self.memberships = Memberships(calls)
        """Join and leave channels, and read who is in them."""
        self.read_markers = ReadMarkers(calls)
        """Mark channels as read and read what is unread."""
        self.notification_settings = NotificationSettings(calls)
        """Write and read what users want to be told."""
        self.push_subscriptions = PushSubscriptions(calls)
        """Write, remove and read endpoints of users."""
        self.config = Config(calls)
        """Write, delete and read configuration."""
        self.lists = Lists(calls)
        """Create, reorder, delete and read ordered lists."""
        self.list_items = ListItems(calls)
        """Insert, edit, move, delete and read the items of lists."""
        self.pools = Pools(calls)
        """Create, change, check and clean up pools of numbers."""
        self.reservations = Reservations(calls)
        """Reserve, keep, release and read the numbers of pools."""
        self.ledgers = Ledgers(calls)
        """Create accounts, move amounts between them, and read both."""
        self.locks = Locks(calls)
        """Acquire, hold, release and read locks."""
        self.erasures = Erasures(calls)
        """Erase the content of messages, from the log as well."""
