"""Keys as bytes and the cuts of chunks: the compiled form gives what the plain one does."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from gapless_server.checkpoint import chunks
from gapless_server.core import keys

numbers = st.integers(-(2**64), 2**64)
texts = st.one_of(
    st.text(max_size=6), st.text(st.sampled_from("a\0é\U0001f600"), max_size=4), st.just("a" * 300)
)
any_key = st.recursive(
    st.one_of(texts, numbers, st.booleans()),
    lambda inner: st.lists(inner, max_size=3).map(tuple),
    max_leaves=6,
)


def test_the_compiled_forms_are_used() -> None:
    assert keys.encode_key is not keys._encode_key
    assert keys.encode_keys is not keys._encode_keys
    assert chunks.filled_ends is not chunks._filled_ends


@given(any_key)
def test_a_key_has_the_same_bytes(key: keys.Key) -> None:
    assert keys.encode_key(key) == keys._encode_key(key)


@given(st.binary(max_size=6), st.lists(any_key, max_size=8))
def test_keys_behind_a_prefix_have_the_same_bytes(prefix: bytes, many: list[keys.Key]) -> None:
    assert keys.encode_keys(prefix, many) == keys._encode_keys(prefix, many)


@pytest.mark.parametrize("key", [2**72, -(2**64) - 1, "\ud800", ("a", "\ud800"), 1.5, None])
def test_what_is_no_key_is_refused_in_the_same_way(key: object) -> None:
    outcomes: list[object] = []
    for encode in (keys.encode_key, keys._encode_key):
        try:
            outcomes.append(encode(key))
        except Exception as error:
            outcomes.append(type(error))

    assert outcomes[0] == outcomes[1]


@given(
    st.lists(st.tuples(st.binary(max_size=5), st.binary(max_size=12)), max_size=12),
    st.integers(0, 25),
)
def test_rows_are_cut_at_the_same_places(pairs: list[tuple[bytes, bytes]], bytes_max: int) -> None:
    row_keys, data = [key for key, _ in pairs], [row for _, row in pairs]

    ends = chunks.filled_ends(row_keys, data, bytes_max)

    assert ends == chunks._filled_ends(row_keys, data, bytes_max)


def test_rows_that_are_not_bytes_are_refused() -> None:
    with pytest.raises(TypeError):
        chunks.filled_ends([b"key"], [None], 10)
    with pytest.raises(ValueError, match="1 keys, and 2 rows"):
        chunks.filled_ends([b"key"], [b"", b""], 10)
