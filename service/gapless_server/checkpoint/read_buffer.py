"""The memory that files are read into: made once for many reads, and quick to be copied into."""

from __future__ import annotations

import mmap


def read_buffer(size_bytes: int) -> memoryview:
    """Returns what files are read into again and again, so that nothing is allocated for a page.

    It begins with a page of memory. Behind the first 16 bytes of one, where an allocated buffer of
    more than 128 KiB begins, AMD's Zen 3 copies four times slower.
    """
    return memoryview(mmap.mmap(-1, size_bytes))
