"""Writes of configuration from what callers have at hand."""

from __future__ import annotations

from collections.abc import Mapping

from gapless._bodies import BodyLike, fill_body
from gapless.v1.config_pb2 import ConfigWrite


def config_writes(
    values: Mapping[str, BodyLike], expected_versions: Mapping[str, int]
) -> list[ConfigWrite]:
    """One write for each key, in the order of `values`.

    Raises:
        ValueError: a version is expected of a key that is not written.
    """
    unwritten = [key for key in expected_versions if key not in values]
    if unwritten:
        raise ValueError(
            f"expected_versions has {', '.join(map(repr, unwritten))}, found no such keys in"
            " values; a version can be expected only of what is written"
        )
    writes = []
    for key, body in values.items():
        write = ConfigWrite(key=key, expected_version=expected_versions.get(key))
        fill_body(write.body, body)
        writes.append(write)
    return writes
