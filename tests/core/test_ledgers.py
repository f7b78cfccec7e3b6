"""Ledgers: what creating accounts, moving amounts and reversing does, given what happened."""

from __future__ import annotations

import pytest
from google.protobuf.message import Message

from gapless.v1.ledgers_pb2 import (
    AccountCreated,
    CreateAccountRequest,
    TransferMade,
    TransferPart,
)
from gapless_server.core.times import from_timestamp
from tests.core.ledger_commands import (
    ANN,
    BALANCE_MAX,
    BOB,
    CENT,
    OUTSIDE,
    account,
    account_of,
    ann_has_100,
    balances,
    history_of,
    pay,
    reverse,
    transfer,
    transfer_of,
)
from tests.core.story import START_TIME_US, STEP_US, Story


@pytest.fixture
def story() -> Story:
    """Ann has 100, Bob nothing."""
    return ann_has_100()


class TestCreate:
    def test_a_new_account_is_empty(self) -> None:
        story = Story()

        answer = story.when(account(ANN, floor=-50))

        assert story.then_events() == [AccountCreated(account_id=ANN, unit=CENT, floor=-50)]
        assert (answer.account.balance, answer.account.head_sequence) == (0, 0)
        assert account_of(story, ANN) == answer.account

    def test_the_same_again_changes_nothing(self, story: Story) -> None:
        answer = story.when(account(ANN, floor=0))

        assert story.then_events() == []
        assert answer.account.balance == 100

    def test_other_settings_are_refused_naming_what_differs(self, story: Story) -> None:
        refusal = story.then_refused(account(ANN, unit="point"), "ACCOUNT_ALREADY_EXISTS")

        assert str(refusal) == (
            "account ann already exists with other settings; different: unit, floor"
        )

    @pytest.mark.parametrize(
        ("command", "field"),
        [
            (account(""), "account_id"),
            (account("x" * 129), "account_id"),
            (CreateAccountRequest(account_id=ANN), "unit"),
            (account(ANN, floor=1), "floor"),
            (account(ANN, floor=-(2**63)), "floor"),
        ],
    )
    def test_bad_input_is_refused_naming_the_field(self, command: Message, field: str) -> None:
        refusal = Story().then_refused(command, "INVALID_FIELD")

        assert refusal.metadata["field"] == field


class TestTransfer:
    def test_c1_the_answer_has_the_new_balances(self, story: Story) -> None:
        answer = story.when(pay(30, ANN, BOB, "rent"))

        assert story.then_events() == [
            TransferMade(
                transfer_id="rent",
                parts=[
                    TransferPart(account_id=ANN, amount=-30, balance=70, sequence=2),
                    TransferPart(account_id=BOB, amount=30, balance=30, sequence=1),
                ],
            )
        ]
        assert [(one.account_id, one.balance) for one in answer.balances] == [(ANN, 70), (BOB, 30)]
        assert balances(story) == {ANN: 70, BOB: 30, OUTSIDE: -100}

    def test_an_id_is_made_where_none_is_given(self, story: Story) -> None:
        answer = story.when(pay(1, ANN, BOB))

        assert answer.transfer_id
        assert transfer_of(story, answer.transfer_id).legs[0].amount == -1

    def test_several_legs_are_one_entry(self, story: Story) -> None:
        story.given(account("tax"))

        story.given(transfer((ANN, -100), (BOB, 81), ("tax", 19)))

        assert balances(story) == {ANN: 0, BOB: 81, OUTSIDE: -100, "tax": 19}

    def test_legs_of_one_account_are_added_up_and_only_their_sum_counts(self, story: Story) -> None:
        # Leg by leg Bob would fall below his floor.
        answer = story.when(transfer((BOB, -5), (ANN, -10), (BOB, 15)))

        assert [(one.account_id, one.balance) for one in answer.balances] == [(BOB, 10), (ANN, 90)]
        assert [one[:3] for one in history_of(story, BOB)] == [(1, 10, 10)]

    def test_an_account_whose_legs_cancel_out_stays_untouched(self, story: Story) -> None:
        answer = story.when(transfer((BOB, -5), (BOB, 5), (ANN, -1), (OUTSIDE, 1)))

        assert [one.account_id for one in answer.balances] == [ANN, OUTSIDE]
        assert account_of(story, BOB).head_sequence == 0

    def test_each_unit_is_balanced_by_itself(self, story: Story) -> None:
        story.given(account("mint", unit="point"), account("points", unit="point", floor=0))

        story.given(transfer((ANN, -10), (BOB, 10), ("mint", -3), ("points", 3)))

        assert balances(story)["points"] == 3

    def test_a_transfer_says_where_and_when_it_was_made(self, story: Story) -> None:
        story.given(transfer((ANN, -1), (BOB, 1), transfer_id="t", attributes={"invoice": "7"}))

        found = transfer_of(story, "t")

        assert found.position == 5
        assert from_timestamp(found.create_time) == START_TIME_US + 5 * STEP_US
        assert dict(found.attributes) == {"invoice": "7"}


class TestTransferRefused:
    def test_a_missing_account_is_named(self, story: Story) -> None:
        refusal = story.then_refused(pay(1, ANN, "nobody"), "ACCOUNT_NOT_FOUND")

        assert str(refusal) == "account nobody does not exist; create it first"

    def test_legs_that_do_not_sum_to_zero_are_refused(self, story: Story) -> None:
        refusal = story.then_refused(transfer((ANN, -10), (BOB, 9)), "TRANSFER_UNBALANCED")

        assert str(refusal) == (
            "the legs in EUR-cent sum to -1, expected 0: what is taken from accounts must equal"
            " what is added to others of the same unit"
        )
        assert [fault.field for fault in refusal.faults] == ["legs"]

    def test_amounts_of_different_units_do_not_balance_each_other(self, story: Story) -> None:
        story.given(account("points", unit="point"))

        refusal = story.then_refused(transfer((ANN, -1), ("points", 1)), "TRANSFER_UNBALANCED")

        assert refusal.metadata == {"unit": CENT, "sum": "-1"}

    def test_an_account_does_not_fall_below_its_floor(self, story: Story) -> None:
        refusal = story.then_refused(pay(101, ANN, BOB), "BALANCE_BELOW_FLOOR")

        assert str(refusal) == (
            "account ann has 100 EUR-cent; adding -101 would take it below its floor of 0."
            " Move less, or add to it first"
        )

    def test_a_floor_below_zero_lends_that_much(self, story: Story) -> None:
        story.given(account("card", floor=-50), pay(50, "card", BOB))

        story.then_refused(pay(1, "card", BOB), "BALANCE_BELOW_FLOOR")
        assert balances(story)["card"] == -50

    def test_the_first_account_in_the_order_of_the_legs_is_named(self, story: Story) -> None:
        refusal = story.then_refused(
            transfer((OUTSIDE, 300), (BOB, -1), (ANN, -299)), "BALANCE_BELOW_FLOOR"
        )

        assert refusal.metadata["account_id"] == BOB

    @pytest.mark.parametrize(
        ("command", "field", "description"),
        [
            (transfer(), "legs", "must have at least one item"),
            (transfer((ANN, 1)), "legs", "must have at least 2 items, found 1"),
            (transfer((ANN, 0), (BOB, 0)), "legs[0].amount", "must not be 0"),
            (transfer(("", 1), (BOB, -1)), "legs[0].account_id", "is required"),
            (
                transfer((ANN, -(2**63)), (BOB, 1)),
                "legs[0].amount",
                f"must be at least {-BALANCE_MAX}, found {-(2**63)}",
            ),
            (
                transfer((ANN, 1), (ANN, -1)),
                "legs",
                "must move something: they add up to 0 for every account",
            ),
            (
                transfer(*[(ANN, 1), (BOB, -1)] * 501),
                "legs",
                "must have at most 1000 items, found 1002",
            ),
            (
                transfer((ANN, 1), (BOB, -1), transfer_id="x" * 129),
                "transfer_id",
                "must have at most 128 characters, found 129",
            ),
        ],
    )
    def test_bad_input_is_refused_naming_the_field(
        self, story: Story, command: Message, field: str, description: str
    ) -> None:
        refusal = story.then_refused(command, "INVALID_FIELD")

        assert refusal.metadata == {"field": field, "description": description}


class TestEdges:
    @pytest.fixture
    def full(self) -> Story:
        """One account as full, and one as empty, as an account can be."""
        return Story().given(
            account(OUTSIDE), account(ANN), account(BOB), pay(BALANCE_MAX, OUTSIDE, ANN)
        )

    def test_the_largest_balances_can_be_reached(self, full: Story) -> None:
        assert balances(full) == {ANN: BALANCE_MAX, BOB: 0, OUTSIDE: -BALANCE_MAX}
        full.assert_sound()

    def test_one_more_is_refused_naming_the_account(self, full: Story) -> None:
        refusal = full.then_refused(pay(1, BOB, ANN), "BALANCE_OVERFLOW")

        assert str(refusal) == (
            f"account ann has {BALANCE_MAX} EUR-cent; adding 1 goes beyond plus or minus"
            f" {BALANCE_MAX}, the limit of an amount and of a balance. Move less at a time, or use"
            " another account"
        )

    def test_one_less_is_refused_naming_the_account(self, full: Story) -> None:
        refusal = full.then_refused(pay(1, OUTSIDE, BOB), "BALANCE_OVERFLOW")

        assert refusal.metadata["account_id"] == OUTSIDE

    def test_a_sum_of_legs_beyond_an_amount_is_refused(self, full: Story) -> None:
        full.given(pay(BALANCE_MAX, ANN, OUTSIDE), pay(BALANCE_MAX, ANN, OUTSIDE))
        legs = [(ANN, BALANCE_MAX), (ANN, BALANCE_MAX), (OUTSIDE, -BALANCE_MAX)]

        refusal = full.then_refused(transfer(*legs, legs[2]), "BALANCE_OVERFLOW")

        assert refusal.metadata["amount"] == str(2 * BALANCE_MAX)

    def test_legs_that_cancel_out_may_be_as_large_as_can_be(self, full: Story) -> None:
        full.given(
            transfer(
                (ANN, BALANCE_MAX), (ANN, -BALANCE_MAX), (BOB, 1), (ANN, -1), (BOB, 1), (ANN, -1)
            )
        )

        assert balances(full)[BOB] == 2


class TestTransferAgain:
    def test_the_same_transfer_id_moves_nothing_twice(self, story: Story) -> None:
        story.given(pay(30, ANN, BOB, "rent"), pay(10, ANN, BOB))

        answer = story.when(pay(30, ANN, BOB, "rent"))

        assert story.then_events() == []
        assert [(one.account_id, one.balance) for one in answer.balances] == [(ANN, 60), (BOB, 40)]

    def test_the_order_of_the_legs_does_not_matter(self, story: Story) -> None:
        story.given(transfer((ANN, -5), (BOB, 5), transfer_id="t"))

        answer = story.when(transfer((BOB, 5), (ANN, -5), transfer_id="t"))

        assert story.then_events() == []
        # The legs of this command, not of the one that made the transfer.
        assert [(one.account_id, one.balance) for one in answer.balances] == [(BOB, 5), (ANN, 95)]

    def test_other_content_under_the_same_id_is_refused(self, story: Story) -> None:
        story.given(pay(30, ANN, BOB, "rent"))

        refusal = story.then_refused(
            transfer((ANN, -31), (BOB, 31), transfer_id="rent", attributes={"a": "b"}),
            "TRANSFER_ALREADY_EXISTS",
        )

        assert str(refusal) == (
            "transfer rent already exists with other content; different: legs, attributes."
            " Use a new transfer id for a new transfer"
        )

    def test_the_id_of_a_reversal_is_taken_too(self, story: Story) -> None:
        story.given(pay(30, ANN, BOB, "rent"), reverse("rent", "back"))

        refusal = story.then_refused(pay(30, BOB, ANN, "back"), "TRANSFER_ALREADY_EXISTS")

        assert refusal.metadata["fields"] == "reverses_transfer_id"


class TestReverse:
    def test_it_turns_the_amounts_around(self, story: Story) -> None:
        story.given(pay(30, ANN, BOB, "rent"))

        answer = story.when(reverse("rent", "back"))

        assert story.then_events() == [
            TransferMade(
                transfer_id="back",
                parts=[
                    TransferPart(account_id=ANN, amount=30, balance=100, sequence=3),
                    TransferPart(account_id=BOB, amount=-30, balance=0, sequence=2),
                ],
                reverses_transfer_id="rent",
            )
        ]
        assert answer.reversal_transfer_id == "back"
        assert transfer_of(story, "rent").reversed_by_transfer_id == "back"
        assert transfer_of(story, "back").reverses_transfer_id == "rent"
        story.assert_sound()

    def test_again_it_changes_nothing(self, story: Story) -> None:
        story.given(pay(30, ANN, BOB, "rent"), reverse("rent", "back"), pay(5, ANN, BOB))

        answer = story.when(reverse("rent"))

        assert story.then_events() == []
        assert answer.reversal_transfer_id == "back"
        assert [(one.account_id, one.balance) for one in answer.balances] == [(ANN, 95), (BOB, 5)]

    def test_again_it_is_refused_if_so_asked(self, story: Story) -> None:
        story.given(pay(30, ANN, BOB, "rent"), reverse("rent", "back"))

        refusal = story.then_refused(
            reverse("rent", fail_if_unchanged=True), "TRANSFER_ALREADY_REVERSED"
        )

        assert str(refusal) == "transfer rent was already reversed by transfer back"

    def test_a_reversal_cannot_be_reversed(self, story: Story) -> None:
        story.given(pay(30, ANN, BOB, "rent"), reverse("rent", "back"))

        refusal = story.then_refused(reverse("back"), "TRANSFER_IS_REVERSAL")

        assert str(refusal) == (
            "transfer back reverses transfer rent and cannot be reversed itself;"
            " make a new transfer"
        )

    def test_it_does_not_break_a_floor(self, story: Story) -> None:
        story.given(pay(30, ANN, BOB, "rent"), pay(30, BOB, OUTSIDE))

        refusal = story.then_refused(reverse("rent"), "BALANCE_BELOW_FLOOR")

        assert refusal.metadata["account_id"] == BOB

    def test_its_id_must_be_free(self, story: Story) -> None:
        story.given(pay(30, ANN, BOB, "rent"))

        story.then_refused(reverse("rent", "in"), "TRANSFER_ALREADY_EXISTS")
        story.then_refused(reverse("rent", "rent"), "TRANSFER_ALREADY_EXISTS")

    def test_a_missing_transfer_is_refused(self, story: Story) -> None:
        refusal = story.then_refused(reverse("nothing"), "TRANSFER_NOT_FOUND")

        assert str(refusal) == "transfer nothing does not exist"


class TestUndo:
    def test_a_failed_batch_moves_nothing(self, story: Story) -> None:
        story.undone(
            [
                account("new"),
                pay(30, ANN, "new", "t"),
                reverse("t"),
                pay(71, ANN, BOB),
                reverse("in"),
            ]
        )

        assert balances(story) == {ANN: 100, BOB: 0, OUTSIDE: -100}
        assert history_of(story, BOB) == []
