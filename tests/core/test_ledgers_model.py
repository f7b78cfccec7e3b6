"""Ledgers against a model of Python integers: whatever is tried, in whatever order."""

from __future__ import annotations

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from tests.core.ledger_commands import (
    BALANCE_MAX,
    account,
    balances,
    history_of,
    reverse,
    transfer,
    transfer_of,
)
from tests.core.story import Story
from tests.core.test_layers import DictStore

# Few names, so that commands meet each other. Each account with its unit and its floor.
ACCOUNTS: dict[str, tuple[str, int | None]] = {
    "outside": ("cent", None),
    "ann": ("cent", 0),
    "bob": ("cent", -10),
    "mint": ("point", None),
    "points": ("point", 0),
}
ACCOUNT_IDS = st.sampled_from([*ACCOUNTS, "nobody"])
TRANSFER_IDS = st.sampled_from(["t", "u", "v"])
AMOUNTS = st.one_of(
    st.integers(-20, 20), st.sampled_from([BALANCE_MAX, -BALANCE_MAX, BALANCE_MAX // 2])
)
LEGS = st.lists(st.tuples(ACCOUNT_IDS, AMOUNTS), min_size=2, max_size=4)

Legs = list[tuple[str, int]]


class LedgerMachine(RuleBasedStateMachine):
    """Runs commands on the kernel and on the model, and compares answers and reads."""

    def __init__(self) -> None:
        super().__init__()
        self.story = Story()
        self.store = DictStore()
        self.story.state.attach(self.store)
        self.balances = dict.fromkeys(ACCOUNTS, 0)
        self.history: dict[str, Legs] = {account_id: [] for account_id in ACCOUNTS}
        self.transfers: dict[str, dict[str, int]] = {}
        self.reversed_by: dict[str, str] = {}

    @initialize()
    def create(self) -> None:
        for account_id, (unit, floor) in ACCOUNTS.items():
            self.story.given(account(account_id, unit=unit, floor=floor))

    @rule(legs=LEGS, transfer_id=TRANSFER_IDS)
    def transfer(self, legs: Legs, transfer_id: str) -> None:
        self._transfer(legs, transfer_id)

    @rule(pairs=st.lists(st.tuples(ACCOUNT_IDS, ACCOUNT_IDS, AMOUNTS), min_size=1, max_size=3))
    def pay(self, pairs: list[tuple[str, str, int]]) -> None:
        """Moves amounts that are balanced unless the units differ, under an id of its own."""
        legs = [
            leg for source, target, amount in pairs for leg in ((source, -amount), (target, amount))
        ]
        self._transfer(legs, f"pay-{len(self.story.entries)}")

    def _transfer(self, legs: Legs, transfer_id: str) -> None:
        command = transfer(*legs, transfer_id=transfer_id)
        sums: dict[str, int] = {}
        for account_id, amount in legs:
            sums[account_id] = sums.get(account_id, 0) + amount
        moved = {account_id: amount for account_id, amount in sums.items() if amount}
        reason = self._reason(legs, sums, moved, transfer_id)
        if reason:
            self.story.then_refused(command, reason)
            return
        answer = self.story.when(command)
        if transfer_id in self.transfers:
            assert self.story.then_events() == []
            moved = self.transfers[transfer_id]
        else:
            self._apply(moved, transfer_id)
        found = [(one.account_id, one.balance) for one in answer.balances]
        assert found == [(account_id, self.balances[account_id]) for account_id in moved]

    def _reason(
        self, legs: Legs, sums: dict[str, int], moved: dict[str, int], transfer_id: str
    ) -> str:
        """Returns why a transfer must be refused; empty if it must not."""
        if not all(amount for _, amount in legs):
            return "INVALID_FIELD"
        if transfer_id in self.transfers:
            same = self.transfers[transfer_id] == moved
            return "" if same else "TRANSFER_ALREADY_EXISTS"
        if any(account_id not in ACCOUNTS for account_id in sums):
            return "ACCOUNT_NOT_FOUND"
        for unit in ("cent", "point"):
            if sum(amount for one, amount in sums.items() if ACCOUNTS[one][0] == unit):
                return "TRANSFER_UNBALANCED"
        return self._limit(moved) if moved else "INVALID_FIELD"

    def _limit(self, moved: dict[str, int]) -> str:
        for account_id, amount in moved.items():
            balance, floor = self.balances[account_id] + amount, ACCOUNTS[account_id][1]
            if max(abs(amount), abs(balance)) > BALANCE_MAX:
                return "BALANCE_OVERFLOW"
            if floor is not None and balance < floor:
                return "BALANCE_BELOW_FLOOR"
        return ""

    def _apply(self, moved: dict[str, int], transfer_id: str) -> None:
        self.transfers[transfer_id] = moved
        for account_id, amount in moved.items():
            self.balances[account_id] += amount
            self.history[account_id].append((transfer_id, amount))

    @rule(data=st.data())
    def reverse(self, data: st.DataObject) -> None:
        transfer_id = data.draw(st.sampled_from([*self.transfers, "nothing"]))
        reversal_id = f"reversal-{len(self.story.entries)}"
        command = reverse(transfer_id, reversal_id)
        if transfer_id not in self.transfers:
            self.story.then_refused(command, "TRANSFER_NOT_FOUND")
            return
        if transfer_id in self.reversed_by.values():
            self.story.then_refused(command, "TRANSFER_IS_REVERSAL")
            return
        if transfer_id in self.reversed_by:
            answer = self.story.when(command)
            assert self.story.then_events() == []
            assert answer.reversal_transfer_id == self.reversed_by[transfer_id]
            return
        moved = {one: -amount for one, amount in self.transfers[transfer_id].items()}
        reason = self._limit(moved)
        if reason:
            self.story.then_refused(command, reason)
            return
        self.story.given(command)
        self._apply(moved, reversal_id)
        self.reversed_by[transfer_id] = reversal_id

    @rule(legs=LEGS)
    def fail_a_batch(self, legs: Legs) -> None:
        self.story.undone(
            [
                transfer(("outside", -50), ("ann", 50), transfer_id="x"),
                transfer(*legs),
                reverse("x"),
                account("late"),
            ]
        )

    @rule()
    def write_a_checkpoint(self) -> None:
        self.store.write(self.story.state)
        self.story.state.thaw()

    @invariant()
    def reads_agree(self) -> None:
        if not self.story.entries:
            return
        assert balances(self.story) == self.balances
        for account_id, changes in self.history.items():
            found = history_of(self.story, account_id)
            assert [(transfer_id, amount) for _, amount, _, transfer_id in found] == changes
            assert [one[0] for one in found] == list(range(1, len(changes) + 1))
        for transfer_id, moved in self.transfers.items():
            record = transfer_of(self.story, transfer_id)
            assert {leg.account_id: leg.amount for leg in record.legs} == moved
            assert record.reversed_by_transfer_id == self.reversed_by.get(transfer_id, "")

    @invariant()
    def every_unit_sums_to_zero_and_the_audit_finds_nothing(self) -> None:
        for unit in ("cent", "point"):
            assert not sum(
                balance for one, balance in self.balances.items() if ACCOUNTS[one][0] == unit
            )
        assert self.story.breaches() == []

    def teardown(self) -> None:
        self.story.assert_sound()


TestLedgerModel = LedgerMachine.TestCase
TestLedgerModel.settings = settings(max_examples=60, stateful_step_count=30, deadline=None)
