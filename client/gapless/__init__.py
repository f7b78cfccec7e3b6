"""The SDK of gapless, a service for numbers without gaps and commands that apply once.

``AsyncClient`` is for asyncio, ``Client`` for threads; they have the same methods. What a call can
raise is in ``gapless.errors``; the generated messages and stubs are in ``gapless.v1``.
"""

from gapless import errors, guards, metadata
from gapless._async._batch import AsyncBatch
from gapless._async._client import AsyncClient
from gapless._async._holding import AsyncHeldLock
from gapless._async._paging import AsyncPager
from gapless._async._watch import AsyncWatch
from gapless._async.events import AsyncEventReader
from gapless._bodies import BodyLike
from gapless._error_base import FieldViolation, GaplessError, RetryAdvice
from gapless._guarding import GuardLike
from gapless._holds import LockLostError
from gapless._number_ranges import Numbers
from gapless._request_ids import new_request_id
from gapless._sync._batch import Batch
from gapless._sync._client import Client
from gapless._sync._holding import HeldLock
from gapless._sync._paging import Pager
from gapless._sync._watch import Watch
from gapless._sync.events import EventReader
from gapless._usage_errors import (
    ClientClosedError,
    ClientElsewhereError,
    ClientForkedError,
    ReadInBatchError,
)
from gapless._version import __version__
from gapless._watching import CaughtUp, Entry, WatchItem
from gapless.metadata import DEFAULT_TARGET
from gapless.v1.common_pb2 import Body, Receipt
from gapless.v1.guards_pb2 import Guard
from gapless.v1.locks_pb2 import Lock
from gapless.v1.notification_settings_pb2 import NotificationLevel
from gapless.v1.pool_reservations_pb2 import NumberStatus, ReleaseCause, ReservationShape
from gapless.v1.pools_pb2 import NumberRange
from gapless.v1.reactions_pb2 import ToggleOutcome

__all__ = [
    "DEFAULT_TARGET",
    "AsyncBatch",
    "AsyncClient",
    "AsyncEventReader",
    "AsyncHeldLock",
    "AsyncPager",
    "AsyncWatch",
    "Batch",
    "Body",
    "BodyLike",
    "CaughtUp",
    "Client",
    "ClientClosedError",
    "ClientElsewhereError",
    "ClientForkedError",
    "Entry",
    "EventReader",
    "FieldViolation",
    "GaplessError",
    "Guard",
    "GuardLike",
    "HeldLock",
    "Lock",
    "LockLostError",
    "NotificationLevel",
    "NumberRange",
    "NumberStatus",
    "Numbers",
    "Pager",
    "ReadInBatchError",
    "Receipt",
    "ReleaseCause",
    "ReservationShape",
    "RetryAdvice",
    "ToggleOutcome",
    "Watch",
    "WatchItem",
    "__version__",
    "errors",
    "guards",
    "metadata",
    "new_request_id",
]
