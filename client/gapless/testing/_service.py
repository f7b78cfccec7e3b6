"""The way to the service, which may not be installed: imported late, missed with a clear word."""

from __future__ import annotations


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
