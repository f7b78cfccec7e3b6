"""What is done for every post and every row, compiled to C; the same comes of it without, slower.

The modules are built where a C compiler and Python's headers are found when gapless is installed.
Nothing here waits, reads a clock or rolls dice, and nothing of ours is imported.
"""

from __future__ import annotations

from importlib.util import find_spec
from typing import Final

_MODULES = ("shards", "frames", "post_fields", "posts", "rows")

# Whether the modules were built.
AVAILABLE: Final = all(find_spec(f"{__name__}.{name}") is not None for name in _MODULES)
