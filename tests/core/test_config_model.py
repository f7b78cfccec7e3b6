"""Configuration against a model of dictionaries: whatever is tried, in whatever order."""

from __future__ import annotations

from dataclasses import dataclass, field

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from gapless.v1.common_pb2 import Body
from gapless.v1.config_pb2 import (
    ConfigWrite,
    DeleteConfigRequest,
    ListConfigHistoryRequest,
    ListConfigRequest,
    SetConfigRequest,
)
from tests.core.story import Story

# A key, a value, and the version expected.
Write = tuple[str, bytes, int | None]

# Few keys and values, so that commands meet each other; some keys begin with others.
KEYS = st.sampled_from(["a", "a/", "a/b", "b"])
VALUES = st.sampled_from([b"", b"1", b"2"])
VERSIONS = st.one_of(st.none(), st.integers(0, 6))
WRITES = st.lists(st.tuples(KEYS, VALUES, VERSIONS), min_size=1, max_size=4)


@dataclass
class ModelKey:
    """A key: each change that was ever made to it, None standing for a deletion."""

    changes: list[bytes | None] = field(default_factory=list)

    @property
    def value(self) -> bytes | None:
        return self.changes[-1] if self.changes else None

    @property
    def version(self) -> int:
        return 0 if self.value is None else len(self.changes)

    def expects(self, expected_version: int | None) -> bool:
        return expected_version is None or expected_version == self.version


class ConfigMachine(RuleBasedStateMachine):
    """Runs commands on the kernel and on the model, and compares answers and reads."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.model = {key: ModelKey() for key in ("a", "a/", "a/b", "b")}

    @rule(writes=WRITES)
    def set_many(self, writes: list[Write]) -> None:
        command = _set_command(writes)
        keys = [key for key, _value, _expected in writes]
        if len(set(keys)) < len(keys):
            self.story.then_refused(command, "INVALID_FIELD")
            return
        losers = [key for key, _value, expected in writes if not self.model[key].expects(expected)]
        if losers:
            refusal = self.story.then_refused(command, "CONFIG_VERSION_MISMATCH")
            loser = self.model[losers[0]]
            assert refusal.metadata["key"] == losers[0]
            assert refusal.metadata["version"] == str(loser.version)
            assert refusal.metadata["last_version"] == str(len(loser.changes))
            return
        expected_results = []
        for key, value, _expected in writes:
            known = self.model[key]
            changed = known.value != value
            if changed:
                known.changes.append(value)
            expected_results.append((key, known.version, changed))
        answer = self.story.when(command)
        found = [(result.key, result.version, result.changed) for result in answer.results]
        assert found == expected_results
        assert len(self.story.then_events()) == sum(changed for *_rest, changed in found)

    @rule(key=KEYS, expected=VERSIONS, fail=st.booleans())
    def delete(self, key: str, expected: int | None, fail: bool) -> None:
        # A deletion may not expect version 0: it would expect that there is nothing to delete.
        expected = expected or None
        command = DeleteConfigRequest(key=key, expected_version=expected, fail_if_unchanged=fail)
        known = self.model[key]
        if not known.expects(expected):
            self.story.then_refused(command, "CONFIG_VERSION_MISMATCH")
        elif known.value is None and fail:
            self.story.then_refused(command, "CONFIG_NOT_FOUND")
        else:
            if known.value is not None:
                known.changes.append(None)
            assert self.story.when(command).version == len(known.changes)

    @rule(batch=st.lists(WRITES, min_size=1, max_size=3))
    def fail_a_batch(self, batch: list[list[Write]]) -> None:
        self.story.undone([_set_command(writes) for writes in batch])

    @rule(prefix=st.sampled_from(["", "a", "a/", "b", "c"]), page_size=st.integers(1, 3))
    def list_by_page(self, prefix: str, page_size: int) -> None:
        request = ListConfigRequest(key_prefix=prefix, page_size=page_size)
        found = []
        while True:
            page = self.story.read(request)
            found += [(value.key, value.body.data, value.version) for value in page.values]
            if not page.next_page_token:
                break
            request.page_token = page.next_page_token
        assert found == [
            (key, known.value, known.version)
            for key, known in sorted(self.model.items())
            if key.startswith(prefix) and known.value is not None
        ]

    @rule(key=KEYS)
    def read_history(self, key: str) -> None:
        changes = self.model[key].changes
        request = ListConfigHistoryRequest(key=key, page_size=1000)
        if not changes:
            self.story.then_read_refused(request, "CONFIG_NOT_FOUND")
            return
        found = [
            (change.version, change.body.data if change.HasField("body") else None)
            for change in self.story.read(request).changes
        ]
        assert found == list(reversed(list(enumerate(changes, start=1))))[:100]

    @invariant()
    def the_audit_finds_nothing(self) -> None:
        assert self.story.breaches() == []

    def teardown(self) -> None:
        self.story.assert_sound()


def _set_command(writes: list[Write]) -> SetConfigRequest:
    return SetConfigRequest(
        writes=[
            ConfigWrite(key=key, body=Body(data=value), expected_version=expected)
            for key, value, expected in writes
        ]
    )


TestConfigModel = ConfigMachine.TestCase
TestConfigModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
