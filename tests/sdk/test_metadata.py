"""Names in the metadata of a call are checked before anything is sent."""

from __future__ import annotations

import pytest

from gapless.metadata import call_metadata


def test_absent_means_left_out() -> None:
    assert call_metadata() == ()


def test_every_name_has_its_key() -> None:
    assert call_metadata(namespace="team-a", caller="importer 7", min_position=12) == (
        ("gapless-namespace", "team-a"),
        ("gapless-caller", "importer 7"),
        ("gapless-min-position", "12"),
    )


@pytest.mark.parametrize("namespace", ["", "A", "-a", ".a", "a b", "a" * 64, "ä", "a\n"])
def test_a_bad_namespace_is_named(namespace: str) -> None:
    with pytest.raises(ValueError, match="namespace"):
        call_metadata(namespace=namespace)


@pytest.mark.parametrize("namespace", ["a", "0", "a" * 63, "team.b_c-d"])
def test_a_good_namespace_passes(namespace: str) -> None:
    assert call_metadata(namespace=namespace) == (("gapless-namespace", namespace),)


@pytest.mark.parametrize("caller", ["", " a", "a ", "ä", "a\n", "x" * 129])
def test_a_bad_caller_is_named(caller: str) -> None:
    with pytest.raises(ValueError, match="caller"):
        call_metadata(caller=caller)


@pytest.mark.parametrize("min_position", [0, -1])
def test_a_bad_position_is_named(min_position: int) -> None:
    with pytest.raises(ValueError, match="min_position"):
        call_metadata(min_position=min_position)
