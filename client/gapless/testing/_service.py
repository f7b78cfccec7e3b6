"""The way to the service, which may not be installed: imported late, missed with a clear word."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any


class ServiceMissing(ImportError):
    """The service is not installed beside the SDK."""


def require_service() -> None:
    """Makes sure that the service can be imported.

    Raises:
        ServiceMissing: it can not.
    """
    try:
        import gapless_server.server  # noqa: F401
    except ImportError as error:
        raise ServiceMissing(
            f"gapless.testing starts real servers and lacks {error.name!r};"
            " install the service beside the SDK: pip install 'gapless[server]'"
        ) from error


def check_settings(given: Mapping[str, Any]) -> None:
    """Makes sure that settings are what `gapless serve` would take, by their names.

    Raises:
        ValueError: one is not.
    """
    from gapless_server.settings import allowed, is_of_type, keeps_rule

    for name, value in given.items():
        if not (is_of_type(name, value) and keeps_rule(name, value)):
            raise ValueError(f"{name} is {value!r}; expected {allowed(name)}")
