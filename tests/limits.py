"""Limits of this process, set for a while."""

from __future__ import annotations

import os
import resource
from collections.abc import Iterator
from contextlib import contextmanager


@contextmanager
def file_size_limited_to(size_bytes: int) -> Iterator[None]:
    """Lets every write beyond a size fail, as a disk that fails would."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size_bytes, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


@contextmanager
def umask(bits: int) -> Iterator[None]:
    """Takes these bits from the mode of every new file."""
    before = os.umask(bits)
    try:
        yield
    finally:
        os.umask(before)
