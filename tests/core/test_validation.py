"""Field rules: what each of them takes, and how a request that breaks one is told."""

from __future__ import annotations

from typing import Any

import pytest
from google.protobuf.message import Message

from gapless.v1.channels_pb2 import CreateChannelRequest, ListChannelsRequest, UpdateChannelRequest
from gapless.v1.commands_pb2 import Command, ExecuteRequest
from gapless.v1.common_pb2 import Body
from gapless.v1.config_pb2 import ConfigWrite, SetConfigRequest
from gapless.v1.events_pb2 import EventFilter, WatchRequest
from gapless.v1.messages_pb2 import (
    EditMessageRequest,
    GetMessageRequest,
    ListMessagesRequest,
    PostMessageRequest,
)
from gapless.v1.notification_settings_pb2 import SetNotificationSettingRequest
from gapless.v1.push_subscriptions_pb2 import UpsertPushSubscriptionRequest
from gapless.v1.read_markers_pb2 import MarkReadRequest
from gapless_server.core.refusals import FieldFault, Refused
from gapless_server.core.validation import Validator, field_rules, identifier_fault
from tests.core.story import KERNEL

VALIDATOR = Validator()

WOMAN_ZWJ_GIRL = "\U0001f469\u200d\U0001f467"
LONE_ACUTE = "e\u0301"


def faults_of(message: Message) -> list[FieldFault]:
    """Returns the faults that a message is refused for; none if it is not."""
    try:
        VALIDATOR.check(message)
    except Refused as refusal:
        return list(refusal.faults)
    return []


def fields_of(message: Message) -> list[str]:
    return [fault.field for fault in faults_of(message)]


def post(**fields: object) -> PostMessageRequest:
    """A post that keeps all rules but those that `fields` break."""
    valid = {"request_id": "r", "channel_id": "c", "sender_id": "u"}
    return PostMessageRequest(**(valid | fields))  # type: ignore[arg-type]


class TestIdentifiers:
    @pytest.mark.parametrize(
        "value",
        [
            "a",
            "a b/c:d",
            "x" * 128,
            "\U0001f600" * 128,
            "Zürich",
            "日本",
            WOMAN_ZWJ_GIRL,
            "\u00a0",
        ],
    )
    def test_these_are_identifiers(self, value: str) -> None:
        assert identifier_fault(value) is None
        assert faults_of(post(channel_id=value)) == []

    @pytest.mark.parametrize(
        ("value", "fault"),
        [
            ("x" * 129, "must have at most 128 characters, found 129"),
            ("ü" * 129, "must have at most 128 characters, found 129"),
            ("a\0b", "must not hold control characters, found U+0000 at 1"),
            ("a\n", "must not hold control characters, found U+000A at 1"),
            ("\x7f", "must not hold control characters, found U+007F at 0"),
            ("ab\x85", "must not hold control characters, found U+0085 at 2"),
            ("\x9f", "must not hold control characters, found U+009F at 0"),
            (LONE_ACUTE, "must be in Unicode normalization form NFC"),
            ("\u212b", "must be in Unicode normalization form NFC"),
        ],
    )
    def test_these_are_not(self, value: str, fault: str) -> None:
        assert identifier_fault(value) == fault
        assert faults_of(post(channel_id=value)) == [FieldFault("channel_id", fault)]

    def test_a_lone_surrogate_is_none(self) -> None:
        """Protobuf keeps them out of its strings; the rule holds where a text comes another way."""
        assert identifier_fault("a\ud800") == (
            "must not hold control characters, found U+D800 at 1"
        )

    def test_an_empty_text_is_none(self) -> None:
        assert identifier_fault("") == "must not be empty"

    def test_a_required_one_must_be_there(self) -> None:
        assert faults_of(post(sender_id="")) == [FieldFault("sender_id", "is required")]

    def test_an_optional_one_may_be_left_out_but_not_wrong(self) -> None:
        assert faults_of(post(message_id="")) == []
        assert fields_of(post(message_id="\0")) == ["message_id"]


class TestTexts:
    def test_a_text_may_be_as_long_as_its_limit_in_characters(self) -> None:
        request = CreateChannelRequest(request_id="r", title="ü" * 1024)

        assert faults_of(request) == []

    def test_a_longer_one_is_refused(self) -> None:
        request = CreateChannelRequest(request_id="r", title="ü" * 1025)

        assert faults_of(request) == [
            FieldFault("title", "must have at most 1024 characters, found 1025")
        ]

    def test_a_required_text_must_not_be_empty(self) -> None:
        request = UpsertPushSubscriptionRequest(request_id="r", user_id="u")

        assert faults_of(request) == [FieldFault("endpoint", "is required")]


class TestBodies:
    def test_a_body_may_have_64_kib(self) -> None:
        assert faults_of(post(body=Body(data=bytes(64 * 1024)))) == []

    def test_one_byte_more_is_refused(self) -> None:
        assert faults_of(post(body=Body(data=bytes(64 * 1024 + 1)))) == [
            FieldFault("body.data", "must have at most 65536 bytes, found 65537")
        ]

    def test_10_mb_are_refused(self) -> None:
        assert fields_of(post(body=Body(data=bytes(10_000_000)))) == ["body.data"]

    def test_a_content_type_has_a_limit_too(self) -> None:
        assert faults_of(post(body=Body(content_type="x" * 255))) == []
        assert fields_of(post(body=Body(content_type="x" * 256))) == ["body.content_type"]

    def test_an_empty_body_is_a_body(self) -> None:
        assert faults_of(post(body=Body())) == []


class TestNumbers:
    @pytest.mark.parametrize("sequence", [1, 2**63 - 1])
    def test_a_sequence_runs_from_1_to_the_largest_int64(self, sequence: int) -> None:
        assert (
            faults_of(
                MarkReadRequest(request_id="r", channel_id="c", user_id="u", sequence=sequence)
            )
            == []
        )

    @pytest.mark.parametrize("sequence", [0, -1, -(2**63)])
    def test_a_smaller_one_is_refused(self, sequence: int) -> None:
        request = MarkReadRequest(request_id="r", channel_id="c", user_id="u", sequence=sequence)

        assert faults_of(request) == [
            FieldFault("sequence", f"must be at least 1, found {sequence}")
        ]

    def test_an_optional_number_is_checked_only_if_it_is_there(self) -> None:
        absent = EditMessageRequest(request_id="r", channel_id="c", message_id="m")
        zero = EditMessageRequest(
            request_id="r", channel_id="c", message_id="m", expected_version=0
        )

        assert faults_of(absent) == []
        assert faults_of(zero) == [FieldFault("expected_version", "must be at least 1, found 0")]

    def test_a_negative_page_size_is_refused(self) -> None:
        assert faults_of(ListChannelsRequest(page_size=-1)) == [
            FieldFault("page_size", "must be at least 0, found -1")
        ]
        assert faults_of(ListChannelsRequest(page_size=0)) == []

    def test_a_start_sequence_of_0_is_refused(self) -> None:
        request = ListMessagesRequest(channel_id="c", start_sequence=0)

        assert fields_of(request) == ["start_sequence"]


class TestEnums:
    def test_a_number_that_the_enum_does_not_name_is_refused(self) -> None:
        request = SetNotificationSettingRequest(request_id="r", channel_id="c", user_id="u")
        request.level = 9  # type: ignore[assignment]  # what a newer client might send

        assert faults_of(request) == [
            FieldFault(
                "level",
                "unknown value 9, expected one of NOTIFICATION_LEVEL_ALL,"
                " NOTIFICATION_LEVEL_MENTIONS, NOTIFICATION_LEVEL_NONE",
            )
        ]

    def test_it_is_refused_also_where_the_enum_is_optional(self) -> None:
        request = ListMessagesRequest(channel_id="c")
        request.order = -1  # type: ignore[assignment]

        assert fields_of(request) == ["order"]

    def test_a_required_enum_must_not_be_unspecified(self) -> None:
        request = SetNotificationSettingRequest(request_id="r", channel_id="c", user_id="u")

        assert faults_of(request) == [FieldFault("level", "is required")]


class TestMaps:
    def test_64_attributes_with_the_longest_values_are_fine(self) -> None:
        assert faults_of(post(attributes={f"k{n}": "v" * 1024 for n in range(64)})) == []

    def test_a_65th_is_refused(self) -> None:
        assert faults_of(post(attributes={f"k{n}": "" for n in range(65)})) == [
            FieldFault("attributes", "must have at most 64 items, found 65")
        ]

    def test_a_longer_value_is_refused_and_named_by_its_key(self) -> None:
        assert faults_of(post(attributes={"k": "v" * 1025})) == [
            FieldFault("attributes['k']", "must have at most 1024 characters, found 1025")
        ]

    @pytest.mark.parametrize(
        ("key", "fault"),
        [
            ("", "key must not be empty"),
            ("\0", "key must not hold control characters, found U+0000 at 0"),
            (LONE_ACUTE, "key must be in Unicode normalization form NFC"),
        ],
    )
    def test_a_key_must_be_an_identifier(self, key: str, fault: str) -> None:
        assert faults_of(post(attributes={key: "v"})) == [FieldFault(f"attributes[{key!r}]", fault)]

    def test_an_overlong_key_is_told_in_short(self) -> None:
        [fault] = faults_of(post(attributes={"x" * 100_000: "v"}))

        assert fault.description == "key must have at most 128 characters, found 100000"
        assert len(fault.field) < 200


class TestRepeated:
    def test_each_item_is_checked_and_named_by_its_index(self) -> None:
        assert faults_of(EventFilter(channel_ids=["a", "", "b", "\0"])) == [
            FieldFault("channel_ids[1]", "must not be empty"),
            FieldFault("channel_ids[3]", "must not hold control characters, found U+0000 at 0"),
        ]

    def test_too_many_items_are_refused_without_looking_at_each(self) -> None:
        assert faults_of(EventFilter(channel_ids=["\0"] * 1001)) == [
            FieldFault("channel_ids", "must have at most 1000 items, found 1001")
        ]

    def test_messages_in_a_list_are_checked_like_any(self) -> None:
        request = SetConfigRequest(
            request_id="r", writes=[ConfigWrite(key="k", body=Body()), ConfigWrite(body=Body())]
        )

        assert faults_of(request) == [FieldFault("writes[1].key", "is required")]

    def test_a_required_list_must_not_be_empty(self) -> None:
        assert faults_of(SetConfigRequest(request_id="r")) == [
            FieldFault("writes", "must have at least one item")
        ]


class TestMessages:
    def test_a_required_message_must_be_there(self) -> None:
        assert faults_of(ExecuteRequest()) == [FieldFault("command", "is required")]

    def test_a_required_message_without_rules_of_its_own_too(self) -> None:
        assert faults_of(UpdateChannelRequest(request_id="r", channel_id="c")) == [
            FieldFault("update_mask", "is required")
        ]

    def test_an_absent_message_lacks_nothing(self) -> None:
        assert faults_of(WatchRequest(from_now=True)) == []
        assert faults_of(ExecuteRequest(command=Command())) == []

    def test_paths_lead_through_messages(self) -> None:
        command = Command(post_message=post(body=Body(content_type="x" * 256)))

        assert fields_of(ExecuteRequest(command=command)) == [
            "command.post_message.body.content_type"
        ]

    def test_every_fault_is_told_and_the_text_is_about_the_first(self) -> None:
        request = post(sender_id="", channel_id="\0", message_id="\0")

        with pytest.raises(Refused, match=r"^channel_id: must not hold") as caught:
            VALIDATOR.check(request)

        assert caught.value.row.reason == "INVALID_FIELD"
        assert caught.value.metadata == caught.value.faults[0]._asdict()
        assert [fault.field for fault in caught.value.faults] == [
            "channel_id",
            "sender_id",
            "message_id",
        ]


class TestEveryRequest:
    """The rules of all requests there are, read from the protos a second time, in another way."""

    @pytest.mark.parametrize(
        "request_type",
        [*KERNEL.command_fields, *KERNEL.queries],
        ids=lambda request_type: request_type.DESCRIPTOR.name,
    )
    def test_an_empty_request_lacks_exactly_what_is_required(
        self, request_type: type[Message]
    ) -> None:
        fields: Any = request_type.DESCRIPTOR.fields
        required = {
            field.name
            for field in fields
            if field_rules(field).required
            or (field_rules(field).minimum > 0 and not field.has_presence)
        }

        assert set(fields_of(request_type())) == required

    @pytest.mark.parametrize(
        "command_type", KERNEL.command_fields, ids=lambda command_type: command_type.DESCRIPTOR.name
    )
    def test_g3_every_command_requires_a_request_id(self, command_type: type[Message]) -> None:
        assert "request_id" in fields_of(command_type())

    def test_a_request_that_keeps_its_rules_may_be_checked_many_times(self) -> None:
        request = GetMessageRequest(channel_id="c", message_id="m")

        for _ in range(3):
            assert faults_of(request) == []


class TestCommands:
    def test_a_command_that_is_none_is_refused(self) -> None:
        with pytest.raises(Refused) as caught:
            KERNEL.typed(Command())

        assert caught.value.faults == (
            FieldFault("command", "must have exactly one command that this version knows"),
        )

    def test_a_command_of_a_newer_client_is_refused(self) -> None:
        unknown_field = Command.FromString(b"\xfa\x3f\x00")  # field 1023, empty

        with pytest.raises(Refused) as caught:
            KERNEL.typed(unknown_field)

        assert caught.value.metadata["field"] == "command"

    def test_a_command_that_breaks_a_rule_is_refused_before_it_is_decided(self) -> None:
        with pytest.raises(Refused) as caught:
            KERNEL.typed(Command(post_message=post(channel_id="")))

        assert caught.value.metadata == {"field": "channel_id", "description": "is required"}
