"""Configuration: what a write, a deletion and a read do, given what was written before."""

from __future__ import annotations

import pytest

from gapless.v1.common_pb2 import Body
from gapless.v1.config_pb2 import (
    ConfigDeleted,
    ConfigSet,
    ConfigWrite,
    DeleteConfigRequest,
    GetConfigRequest,
    ListConfigHistoryRequest,
    ListConfigRequest,
    SetConfigRequest,
)
from gapless_server.core.kinds.config import HISTORY_CHANGES_MAX, config_version
from tests.core.story import START_TIME_US, STEP_US, Story, forged

RATE = "billing/eu/rate"


def text(value: str) -> Body:
    return Body(data=value.encode(), content_type="text/plain")


def write(key: str, value: str, expected_version: int | None = None) -> ConfigWrite:
    return ConfigWrite(key=key, body=text(value), expected_version=expected_version)


def set_to(key: str, value: str, expected_version: int | None = None) -> SetConfigRequest:
    return SetConfigRequest(writes=[write(key, value, expected_version)])


def delete(key: str, expected_version: int | None = None) -> DeleteConfigRequest:
    return DeleteConfigRequest(key=key, expected_version=expected_version)


@pytest.fixture
def story() -> Story:
    return Story()


class TestWrites:
    def test_a_first_write_makes_version_1(self, story: Story) -> None:
        answer = story.when(set_to(RATE, "19"))

        assert story.then_events() == [ConfigSet(key=RATE, body=text("19"), version=1)]
        assert [(one.key, one.version, one.changed) for one in answer.results] == [(RATE, 1, True)]

    def test_each_change_adds_1_to_the_version(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), set_to(RATE, "20"))

        answer = story.when(set_to(RATE, "21"))

        assert answer.results[0].version == 3
        assert story.read(GetConfigRequest(key=RATE)).value.body == text("21")

    def test_the_same_value_again_is_no_change_and_keeps_the_version(self, story: Story) -> None:
        story.given(set_to(RATE, "19"))

        answer = story.when(set_to(RATE, "19"))

        assert story.then_events() == []
        assert (answer.results[0].version, answer.results[0].changed) == (1, False)

    def test_the_same_bytes_of_another_content_type_are_a_change(self, story: Story) -> None:
        story.given(set_to(RATE, "19"))
        number = ConfigWrite(key=RATE, body=Body(data=b"19", content_type="application/json"))

        answer = story.when(SetConfigRequest(writes=[number]))

        assert (answer.results[0].version, answer.results[0].changed) == (2, True)

    def test_a_value_may_be_empty(self, story: Story) -> None:
        story.given(SetConfigRequest(writes=[ConfigWrite(key=RATE, body=Body())]))

        assert story.read(GetConfigRequest(key=RATE)).value.body == Body()

    def test_many_keys_change_in_one_entry_and_only_those_that_differ(self, story: Story) -> None:
        story.given(set_to("a", "1"))

        answer = story.when(
            SetConfigRequest(writes=[write("b", "1"), write("a", "1"), write("c", "1")])
        )

        assert story.then_events() == [
            ConfigSet(key="b", body=text("1"), version=1),
            ConfigSet(key="c", body=text("1"), version=1),
        ]
        assert [(one.key, one.changed) for one in answer.results] == [
            ("b", True),
            ("a", False),
            ("c", True),
        ]

    def test_a_thousand_keys_in_one_command(self, story: Story) -> None:
        keys = [f"key-{number:04}" for number in range(1000)]

        story.given(SetConfigRequest(writes=[write(key, "on") for key in keys]))

        story.limits = type(story.limits)(page_items_max=1000)
        page = story.read(ListConfigRequest(page_size=1000))
        assert [value.key for value in page.values] == keys


class TestCompareAndSet:
    def test_d4_the_expected_version_wins(self, story: Story) -> None:
        story.given(set_to(RATE, "19"))

        assert story.when(set_to(RATE, "20", expected_version=1)).results[0].version == 2

    def test_d4_a_loser_learns_the_version_that_beat_it(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), set_to(RATE, "20", expected_version=1))

        refusal = story.then_refused(set_to(RATE, "21", 1), "CONFIG_VERSION_MISMATCH")

        assert refusal.metadata == {
            "key": RATE,
            "version": "2",
            "expected_version": "1",
            "last_version": "2",
        }

    def test_a_mismatch_is_refused_even_if_the_value_is_the_same(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), set_to(RATE, "20"))

        story.then_refused(set_to(RATE, "20", expected_version=1), "CONFIG_VERSION_MISMATCH")

    def test_version_0_means_that_the_key_must_not_exist(self, story: Story) -> None:
        story.given(set_to(RATE, "19", expected_version=0))

        refusal = story.then_refused(set_to(RATE, "20", 0), "CONFIG_VERSION_MISMATCH")

        assert refusal.metadata["version"] == "1"

    def test_version_0_takes_a_deleted_key_and_its_versions_go_on(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), delete(RATE))

        assert story.when(set_to(RATE, "20", expected_version=0)).results[0].version == 3

    def test_a_deletion_that_won_is_named_as_what_beat_the_write(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), delete(RATE))

        refusal = story.then_refused(set_to(RATE, "20", 1), "CONFIG_VERSION_MISMATCH")

        assert (refusal.metadata["version"], refusal.metadata["last_version"]) == ("0", "2")

    def test_no_version_of_before_a_deletion_matches_after_it(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), delete(RATE), set_to(RATE, "19"))

        story.then_refused(set_to(RATE, "20", expected_version=1), "CONFIG_VERSION_MISMATCH")

    def test_the_largest_version_is_only_a_mismatch(self, story: Story) -> None:
        story.given(set_to(RATE, "19"))

        story.then_refused(set_to(RATE, "20", 2**63 - 1), "CONFIG_VERSION_MISMATCH")

    def test_of_many_keys_the_first_mismatch_is_named_and_nothing_is_written(
        self, story: Story
    ) -> None:
        story.given(set_to("b", "1"), set_to("c", "1"))
        command = SetConfigRequest(
            writes=[write("a", "2", 0), write("c", "2", 7), write("b", "2", 8)]
        )

        refusal = story.then_refused(command, "CONFIG_VERSION_MISMATCH")

        assert refusal.metadata["key"] == "c"
        story.then_read_refused(GetConfigRequest(key="a"), "CONFIG_NOT_FOUND")


class TestDeletions:
    def test_a_deletion_adds_1_to_the_version(self, story: Story) -> None:
        story.given(set_to(RATE, "19"))

        answer = story.when(delete(RATE, expected_version=1))

        assert story.then_events() == [ConfigDeleted(key=RATE, version=2)]
        assert answer.version == 2
        story.then_read_refused(GetConfigRequest(key=RATE), "CONFIG_NOT_FOUND")

    def test_a_key_that_does_not_exist_is_no_change(self, story: Story) -> None:
        answer = story.when(delete(RATE))

        assert (story.then_events(), answer.version) == ([], 0)

    def test_a_second_deletion_tells_the_version_of_the_first(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), delete(RATE))

        answer = story.when(delete(RATE))

        assert (story.then_events(), answer.version) == ([], 2)

    def test_a_caller_may_ask_for_failure_if_there_is_nothing_to_delete(self, story: Story) -> None:
        command = DeleteConfigRequest(key=RATE, fail_if_unchanged=True)

        assert story.then_refused(command, "CONFIG_NOT_FOUND").metadata == {"key": RATE}

    def test_an_expected_version_of_a_key_that_is_gone_is_a_mismatch(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), delete(RATE))

        story.then_refused(delete(RATE, expected_version=2), "CONFIG_VERSION_MISMATCH")


class TestReads:
    def test_a_value_says_when_and_where_it_was_written(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), set_to("other", "1"), set_to(RATE, "20"))

        value = story.read(GetConfigRequest(key=RATE)).value

        assert (value.position, value.version) == (3, 2)
        assert value.create_time.ToMicroseconds() == START_TIME_US + STEP_US
        assert value.update_time.ToMicroseconds() == START_TIME_US + 3 * STEP_US

    def test_a_prefix_gives_its_keys_in_order_and_no_others(self, story: Story) -> None:
        keys = ["a", "a/", "a/b", "a/c", "a0", "a\u00e9", "b", "A/b"]
        story.given(*(set_to(key, "1") for key in keys), delete("a/c"))

        def listed(prefix: str) -> list[str]:
            page = story.read(ListConfigRequest(key_prefix=prefix))
            return [value.key for value in page.values]

        assert listed("a/") == ["a/", "a/b"]
        assert listed("a") == ["a", "a/", "a/b", "a0", "a\u00e9"]
        assert listed("") == ["A/b", "a", "a/", "a/b", "a0", "a\u00e9", "b"]
        assert listed("c") == []

    @pytest.mark.parametrize("prefix", ["", "key"])
    def test_pages_lead_through_a_prefix_without_a_hole(self, story: Story, prefix: str) -> None:
        keys = ["key", *(f"key-{number}" for number in range(9))]
        story.given(*(set_to(key, "1") for key in keys))
        found: list[str] = []
        request = ListConfigRequest(key_prefix=prefix, page_size=4)

        for expected_size in (4, 4, 2):
            page = story.read(request)
            assert len(page.values) == expected_size
            found += [value.key for value in page.values]
            request.page_token = page.next_page_token

        assert (found, request.page_token) == (keys, "")

    def test_a_token_of_another_prefix_is_refused(self, story: Story) -> None:
        story.given(set_to("a/1", "1"), set_to("a/2", "1"))
        token = story.read(ListConfigRequest(key_prefix="a/", page_size=1)).next_page_token

        request = ListConfigRequest(key_prefix="a", page_token=token)
        assert story.then_read_refused(request, "INVALID_FIELD").faults[0].field == "page_token"

    def test_guards_see_the_version_of_a_key_and_0_for_none(self, story: Story) -> None:
        story.given(set_to("a", "1"), set_to("a", "2"), set_to("b", "1"), delete("b"))

        versions = [config_version(story.state, key) for key in ("a", "b", "c")]
        assert versions == [2, 0, 0]


class TestHistory:
    def test_the_newest_change_comes_first_and_deletions_have_no_body(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), delete(RATE), set_to(RATE, "20"))

        changes = story.read(ListConfigHistoryRequest(key=RATE)).changes

        assert [(change.version, change.position) for change in changes] == [(3, 3), (2, 2), (1, 1)]
        assert [change.HasField("body") for change in changes] == [True, False, True]
        assert [change.body.data for change in changes] == [b"20", b"", b"19"]
        assert changes[0].change_time.ToMicroseconds() == START_TIME_US + 3 * STEP_US

    def test_the_history_of_a_deleted_key_stays(self, story: Story) -> None:
        story.given(set_to(RATE, "19"), delete(RATE))

        changes = story.read(ListConfigHistoryRequest(key=RATE)).changes
        assert [change.version for change in changes] == [2, 1]

    def test_a_key_that_was_never_written_has_none(self, story: Story) -> None:
        story.then_read_refused(ListConfigHistoryRequest(key=RATE), "CONFIG_NOT_FOUND")

    def test_g7_only_the_last_changes_are_kept(self, story: Story) -> None:
        written = HISTORY_CHANGES_MAX + 5
        story.given(*(set_to(RATE, str(number)) for number in range(written)))

        page = story.read(ListConfigHistoryRequest(key=RATE, page_size=1000))

        assert [change.version for change in page.changes] == list(range(written, 5, -1))
        assert page.next_page_token == ""

    def test_pages_lead_from_the_newest_to_the_oldest(self, story: Story) -> None:
        story.given(*(set_to(RATE, str(number)) for number in range(5)))
        request = ListConfigHistoryRequest(key=RATE, page_size=2)
        found = []

        for _page in range(3):
            page = story.read(request)
            found.append([change.version for change in page.changes])
            request.page_token = page.next_page_token

        assert found == [[5, 4], [3, 2], [1]]
        assert request.page_token == ""


BAD_COMMANDS = [
    ("no writes", SetConfigRequest(), "writes"),
    ("an empty key", set_to("", "1"), "writes[0].key"),
    ("a long key", set_to("k" * 129, "1"), "writes[0].key"),
    ("a control character", set_to("a\nb", "1"), "writes[0].key"),
    ("not NFC", set_to("e\u0301", "1"), "writes[0].key"),
    ("no body", SetConfigRequest(writes=[ConfigWrite(key="a")]), "writes[0].body"),
    (
        "a long body",
        SetConfigRequest(writes=[ConfigWrite(key="a", body=Body(data=bytes(65_537)))]),
        "writes[0].body.data",
    ),
    ("a negative version", set_to("a", "1", -1), "writes[0].expected_version"),
    ("too many writes", SetConfigRequest(writes=[write("a", "1")] * 1001), "writes"),
    (
        "a key twice",
        SetConfigRequest(writes=[write("a", "1"), write("b", "1"), write("a", "2")]),
        "writes[2].key",
    ),
    ("a deletion without a key", DeleteConfigRequest(), "key"),
    ("a deletion at version 0", delete("a", 0), "expected_version"),
]


@pytest.mark.parametrize(
    ("command", "field"),
    [pytest.param(command, field, id=name) for name, command, field in BAD_COMMANDS],
)
def test_bad_input_names_its_field_and_changes_nothing(
    story: Story, command: SetConfigRequest | DeleteConfigRequest, field: str
) -> None:
    assert story.then_refused(command, "INVALID_FIELD").faults[0].field == field


def test_the_largest_body_is_kept_byte_for_byte(story: Story) -> None:
    body = Body(data=bytes(range(256)) * 256, content_type="x" * 255)
    story.given(SetConfigRequest(writes=[ConfigWrite(key="a", body=body)]))

    assert story.read(GetConfigRequest(key="a")).value.body == body


def test_g5_a_failed_batch_leaves_no_trace(story: Story) -> None:
    story.given(*(set_to("a", str(number)) for number in range(HISTORY_CHANGES_MAX)))

    story.undone([set_to("a", "x"), delete("a"), set_to("b", "1"), set_to("a", "y"), delete("b")])

    assert story.when(set_to("b", "1")).results[0].version == 1


def test_g10_a_replay_gives_the_same_state(story: Story) -> None:
    story.given(set_to("a", "1"), delete("a"), set_to("a", "2"), set_to("b", "1"))

    story.assert_sound()


AUDITED = [
    ("a gap", [ConfigSet(key="a", version=2)], "version 2, expected 1"),
    (
        "a version twice",
        [ConfigSet(key="a", version=1), ConfigSet(key="a", version=1)],
        "version 1, expected 2",
    ),
    ("a deletion of nothing", [ConfigDeleted(key="a", version=1)], "does not exist"),
]


@pytest.mark.parametrize(
    ("events", "text_part"),
    [pytest.param(events, part, id=name) for name, events, part in AUDITED],
)
def test_verify_finds(events: list[ConfigSet | ConfigDeleted], text_part: str) -> None:
    [breach] = forged(*events)

    assert text_part in breach
