"""Bugs about time, and about what is held for a time."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_CLOCK = "service/gapless_server/writer/clock.py"
_LOCK_COMMANDS = "service/gapless_server/core/kinds/locks/commands.py"
_LOCK_EVENTS = "service/gapless_server/core/kinds/locks/events.py"
_LOCK_TIME = "tests/writer/test_lock_time.py"
_ROUNDS = "tests/writer/test_rounds.py"

BUGS = (
    PlantedBug(
        "locks end by the wall clock",
        "G11",
        (
            Edit(
                _CLOCK,
                "            self._time_offset_us += ahead_us\n",
                "            self._time_offset_us += ahead_us\n"
                "            self._uptime_offset_us += ahead_us\n",
            ),
        ),
        (
            f"{_LOCK_TIME}::test_g11_no_jump_of_the_clock_ends_a_lock_or_takes_commit_times_back",
            f"{_LOCK_TIME}::test_g11_a_clock_that_runs_a_hundred_times_too_fast_ends_no_lock",
        ),
        quick=True,
    ),
    PlantedBug(
        "commit times go back with the clock",
        "G11",
        (
            Edit(
                _CLOCK,
                "        if ahead_us >= AHEAD_US:\n",
                "        if abs(ahead_us) >= AHEAD_US:\n",
            ),
        ),
        (f"{_ROUNDS}::test_g11_commit_times_do_not_go_back_with_the_clock",),
        quick=True,
    ),
    PlantedBug(
        "commit times go back at a restart",
        "G11",
        (
            Edit(
                _CLOCK,
                "        self._time_offset_us = max("
                "self._time_offset_us, newest.time_us - monotonic_us)\n",
                "",
            ),
        ),
        (f"{_ROUNDS}::test_g11_commit_times_do_not_go_back_across_a_restart",),
        quick=True,
    ),
    PlantedBug(
        "the uptime begins anew at a restart",
        "G11",
        (
            Edit(
                _CLOCK,
                "        self._uptime_offset_us = max("
                "self._uptime_offset_us, newest.uptime_us - monotonic_us)\n",
                "",
            ),
        ),
        (
            f"{_LOCK_TIME}"
            "::test_g11_after_a_restart_a_lock_has_what_it_had_left_whatever_the_clock_shows",
        ),
    ),
    PlantedBug(
        "fencing tokens begin anew at a restart from a checkpoint",
        "G11",
        (
            Edit(_LOCK_EVENTS, '    tables.tokens.put("", event.fencing_token)\n', ""),
            Edit(
                _LOCK_COMMANDS,
                "    return max(newest + 1, moment.time_us)\n",
                "    return newest + 1\n",
            ),
        ),
        (
            "tests/core/test_locks.py"
            "::TestAcquire::test_e1_a_released_lock_is_given_again_under_a_larger_token",
        ),
    ),
    PlantedBug(
        "fencing tokens of before a restore come again",
        "G11",
        (
            Edit(
                _LOCK_COMMANDS,
                "    return max(newest + 1, moment.time_us)\n",
                "    return newest + 1\n",
            ),
        ),
        ("tests/core/test_locks.py::TestAcquire::test_a_token_is_not_below_its_commit_time",),
    ),
    PlantedBug(
        "locks outlive a restore",
        "G11",
        (
            Edit(
                _LOCK_EVENTS,
                "        tables.locks.delete(ALL, lock_id)\n"
                "        tables.by_holder.delete(row.holder_id, lock_id)\n",
                "        del row\n",
            ),
        ),
        (
            "tests/backup/test_backup.py"
            "::test_g11_a_lock_of_before_the_restore_is_free_and_its_token_neither_works_nor_comes_again",
        ),
    ),
    PlantedBug(
        "a stale token still renews",
        "G11",
        (
            Edit(
                "service/gapless_server/core/kinds/locks/tables.py",
                "    if row is None or row.fencing_token != fencing_token:\n",
                "    if row is None:\n",
            ),
        ),
        ("tests/core/test_locks.py::TestRenew::test_e3_a_stale_token_renews_nothing",),
        quick=True,
    ),
    PlantedBug(
        "the last in line for a lock gets it",
        "G4",
        (
            Edit(
                "service/gapless_server/writer/lines.py",
                "list(next(iter(places.values())))",
                "list(next(reversed(places.values())))",
            ),
        ),
        (
            "tests/writer/test_lock_lines.py"
            "::test_a_lock_goes_to_those_who_wait_in_the_order_in_which_they_came",
        ),
    ),
)
