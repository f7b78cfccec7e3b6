"""A client from another language, made of the protos alone, gets what the contract promises.

``story.js`` does everything once against a real server and prints what it saw; the tests judge it.
"""

from __future__ import annotations

import json
import shutil
import subprocess
from pathlib import Path
from typing import Any

import pytest

from gapless.testing import SubprocessServer

HERE = Path(__file__).parent
NAMESPACE = "node"
# The story takes under a second; a machine under load may take longer, a hang must not.
STORY_SECONDS_MAX = 60


def _missing() -> str | None:
    """Says what keeps the story from being run, or None."""
    for program in ("node", "npm"):
        if shutil.which(program) is None:
            return f"{program} is not installed"
    if not (HERE / "node_modules" / "@grpc" / "grpc-js").is_dir():
        return "the packages are not installed: run `make tests/node/node_modules`"
    return None


pytestmark = pytest.mark.skipif(_missing() is not None, reason=_missing() or "")


@pytest.fixture(scope="module")
def seen() -> dict[str, Any]:
    """What the story saw; its first command is at position 1 of a fresh log."""
    with SubprocessServer() as server:
        done = subprocess.run(
            ["node", str(HERE / "story.js"), server.address, NAMESPACE],
            capture_output=True,
            text=True,
            timeout=STORY_SECONDS_MAX,
            check=False,
        )
    assert done.returncode == 0, done.stderr
    observed: dict[str, Any] = json.loads(done.stdout)
    return observed


def test_g1_a_unary_post_takes_the_first_sequence(seen: dict[str, Any]) -> None:
    first = seen["unary"]["first"]

    assert first["sequence"] == "1"
    assert first["receipt"]["position"] == "2"
    assert first["receipt"]["changed"] is True
    assert first["receipt"]["replayed"] is False


def test_g3_the_same_request_id_again_gets_the_same_answer_marked_as_replayed(
    seen: dict[str, Any],
) -> None:
    first, again = seen["unary"]["first"], seen["unary"]["again"]

    assert again == {**first, "receipt": {**first["receipt"], "replayed": True}}


def test_g1_a_refused_command_of_a_frame_takes_no_sequence_from_the_good_ones(
    seen: dict[str, Any],
) -> None:
    [[two, bad, three]] = seen["pipeline"]

    assert two["post_message"]["sequence"] == "2"
    assert bad["error"]["reason"] == "CHANNEL_NOT_FOUND"
    assert three["post_message"]["sequence"] == "3"


def test_page_tokens_lead_through_all_messages_in_order(seen: dict[str, Any]) -> None:
    assert seen["pages"] == [
        [{"sequence": "1", "text": "one"}, {"sequence": "2", "text": "two"}],
        [{"sequence": "3", "text": "three"}],
    ]


def test_g6_a_watch_gives_what_was_there_says_so_and_then_gives_what_comes(
    seen: dict[str, Any],
) -> None:
    assert seen["watch"] == [
        {"position": "2", "sequences": ["1"]},
        {"position": "3", "sequences": ["2"]},
        {"position": "4", "sequences": ["3"]},
        "caught up",
        {"position": "5", "sequences": ["4"]},
    ]


def test_a_refused_call_says_why_in_an_error_info(seen: dict[str, Any]) -> None:
    assert seen["unknown_channel"] == {
        "status": "NOT_FOUND",
        "message": "channel nowhere does not exist; create it first",
        "info": {
            "reason": "CHANNEL_NOT_FOUND",
            "domain": "gapless",
            "metadata": {"channel_id": "nowhere"},
        },
    }


def test_g3_a_request_id_with_other_content_is_refused_and_names_what_differs(
    seen: dict[str, Any],
) -> None:
    refusal = seen["reused_request_id"]

    assert refusal["status"] == "FAILED_PRECONDITION"
    assert refusal["info"] == {
        "reason": "REQUEST_ID_REUSED",
        "domain": "gapless",
        "metadata": {"request_id": "node-1", "position": "2", "fields": "body"},
    }
