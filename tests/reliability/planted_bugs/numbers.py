"""Bugs about numbers: sequences with gaps, pools and ledgers that do not add up."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_CHANNELS = "service/gapless_server/core/kinds/channels.py"
_ROUNDS = "service/gapless_server/writer/rounds.py"
_POOLS_RESERVE = "service/gapless_server/core/kinds/pools/reserve.py"
_POOLS_EVOLVE = "service/gapless_server/core/kinds/pools/evolve.py"

BUGS = (
    PlantedBug(
        "a sequence is used up before the command is validated",
        "G1",
        (
            Edit(
                _CHANNELS,
                "    return head + 1\n",
                "    state.of(ChannelTables).sequences._heads.put('', channel_id, head + 1)\n"
                "    return head + 1\n",
            ),
            Edit(
                "service/gapless_server/core/tables.py",
                "        if sequence != head + 1:\n",
                "        if sequence not in (head, head + 1):\n",
            ),
        ),
        ("tests/core/test_messages.py::TestPost::test_g1_a_refused_post_uses_up_no_number",),
        quick=True,
    ),
    PlantedBug(
        "a position is used up before the command is validated",
        "G1",
        (
            Edit(
                _ROUNDS,
                "        moment = self._next_moment()\n        return Context",
                "        moment = self._next_moment()\n"
                "        self._next_position += 1\n        return Context",
            ),
            Edit(
                _ROUNDS,
                "        self._drafts.append(draft)\n        self._next_position += 1\n",
                "        self._drafts.append(draft)\n"
                "        self._next_position = moment.position + 1\n",
            ),
        ),
        (
            "tests/writer/test_rounds.py"
            "::test_g1_a_refused_command_uses_up_no_position_and_no_sequence",
        ),
        quick=True,
    ),
    PlantedBug(
        "a tombstone gives its sequence free",
        "G1",
        (
            Edit(
                "service/gapless_server/core/kinds/messages.py",
                "        version=event.version,\n        delete_time_us=moment.time_us,\n    )\n",
                "        version=event.version,\n        delete_time_us=moment.time_us,\n    )\n"
                "    state.of(ChannelTables).sequences._heads.put(\n"
                "        '', event.channel_id, row.sequence - 1)\n",
            ),
        ),
        (
            "tests/core/test_messages.py"
            "::TestDelete::test_g1_the_number_of_a_deleted_message_is_not_used_again",
        ),
        quick=True,
    ),
    PlantedBug(
        "half of a group is reserved",
        "G5",
        (
            Edit(
                _POOLS_RESERVE,
                "        numbers=numbers_in(choice.runs),\n        shape=ask.shape,\n",
                "        numbers=numbers_in(choice.runs)[: (ask.count + 1) // 2],\n"
                "        shape=ask.shape,\n",
            ),
        ),
        ("tests/core/test_pools_groups.py::TestAgain::test_b9_the_same_again_is_the_same_group",),
        quick=True,
    ),
    PlantedBug(
        "the same key is given another number",
        "G3",
        (
            Edit(
                _POOLS_RESERVE,
                "    if row is not None and not row.expired(now.uptime_us):\n",
                "    if row is not None and row.expired(now.uptime_us):\n",
            ),
        ),
        ("tests/core/test_pools_groups.py::TestAgain::test_b9_the_same_again_is_the_same_group",),
    ),
    PlantedBug(
        "a pool of less than no numbers",
        "G1",
        (
            Edit(
                "service/gapless_server/core/kinds/pools/settings.py",
                "        if one.last < one.first\n",
                "        if one.last < 0\n",
            ),
        ),
        (
            "tests/core/test_pools.py"
            "::TestBadSettings::test_bad_settings_are_refused_naming_the_field",
        ),
    ),
    PlantedBug(
        "released numbers still count as held",
        "G1",
        (
            Edit(
                _POOLS_EVOLVE,
                "        held=counts.held - numbers,\n",
                "        held=counts.held,\n",
            ),
        ),
        ("tests/core/test_pools_endings.py::TestRelease::test_a_number_is_free_again",),
    ),
    PlantedBug(
        "a floor is not looked at for all legs",
        "G5",
        (
            Edit(
                "service/gapless_server/core/kinds/ledgers/decide.py",
                "    if row.floor is not None and balance < row.floor:\n",
                "    if row.floor is not None and amount > 0 and balance < row.floor:\n",
            ),
        ),
        (
            "tests/core/test_ledgers.py"
            "::TestTransferRefused::test_an_account_does_not_fall_below_its_floor",
            "tests/core/test_ledgers.py::TestReverse::test_it_does_not_break_a_floor",
        ),
        quick=True,
    ),
    PlantedBug(
        "legs need not sum to 0",
        "G5",
        (
            Edit(
                "service/gapless_server/core/kinds/ledgers/decide.py",
                "        if amount:\n            fault =",
                "        if amount > 0:\n            fault =",
            ),
        ),
        (
            "tests/core/test_ledgers.py"
            "::TestTransferRefused::test_legs_that_do_not_sum_to_zero_are_refused",
        ),
    ),
)
