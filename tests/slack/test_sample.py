"""The bundled sample is what its generator makes, and has what a workspace has."""

from __future__ import annotations

import json
import subprocess
import sys
from collections import Counter
from pathlib import Path

ROOT = Path(__file__).resolve().parent.parent.parent
GENERATOR = ROOT / "tools" / "make_sample_events.py"
SAMPLE = ROOT / "service" / "gapless_server" / "data" / "sample-events.jsonl"


def test_the_sample_is_what_the_generator_makes() -> None:
    check = subprocess.run([sys.executable, GENERATOR, "--check"], capture_output=True, text=True)

    assert (check.returncode, check.stderr) == (0, "")


def test_the_sample_has_a_few_thousand_events_of_every_kind() -> None:
    events = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]

    kinds = Counter(event.get("subtype", event["type"]) for event in events)
    assert len(events) == 4_001
    assert set(kinds) == {
        "message",
        "message_replied",
        "message_changed",
        "message_deleted",
        "reaction_added",
        "channel_join",
        "channel_leave",
        "bot_message",
    }


def test_g3_no_client_msg_id_is_there_twice() -> None:
    events = [json.loads(line) for line in SAMPLE.read_text(encoding="utf-8").splitlines()]

    ids = [event["client_msg_id"] for event in events if "client_msg_id" in event]
    assert len(ids) == len(set(ids))
