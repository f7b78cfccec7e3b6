"""Servers for tests: a real service in a thread of this process, or in a process of its own.

Needs ``gapless[server]``, which is imported only when a server is started. The pytest fixtures
made of it are in the module ``pytest_gapless``, which pytest loads by itself.
"""

from gapless.testing._base import RunningServer, ServerError
from gapless.testing._clock import manual_clock
from gapless.testing._in_process import InProcessServer, KillNotPossible
from gapless.testing._service import ServiceMissing
from gapless.testing._subprocess import SubprocessServer

__all__ = [
    "InProcessServer",
    "KillNotPossible",
    "RunningServer",
    "ServerError",
    "ServiceMissing",
    "SubprocessServer",
    "manual_clock",
]
