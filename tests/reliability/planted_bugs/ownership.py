"""Bugs about who may write a log, and how much of a thing may be there."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_OWNERSHIP = "tests/journal/test_sqlite_ownership.py"
_QUEUE = "service/gapless_server/writer/queue.py"
_LIMITS = "tests/writer/test_limits.py"

BUGS = (
    PlantedBug(
        "the lock of the files is not taken",
        "G9",
        (
            Edit(
                "service/gapless_server/journal/ownership.py",
                "            fcntl.flock(self._descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)\n",
                "            fcntl.flock(self._descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)\n",
            ),
        ),
        (
            f"{_OWNERSHIP}::test_g9_a_second_process_is_told_who_has_the_directory",
            f"{_OWNERSHIP}::test_g9_a_log_is_owned_through_a_link_in_another_directory_too",
        ),
    ),
    PlantedBug(
        "only the directory is owned, not the log",
        "G9",
        (
            Edit(
                "service/gapless_server/journal/sqlite.py",
                "            self._lock = FileLock(self._path, self._owner_path)\n",
                "",
            ),
        ),
        (f"{_OWNERSHIP}::test_g9_a_log_is_owned_through_a_link_in_another_directory_too",),
    ),
    PlantedBug(
        "the queue has no end",
        "G7",
        (
            Edit(
                _QUEUE,
                "        if self._commands + len(frame.commands) > limits.queue_commands_max:\n",
                "        if len(frame.commands) > limits.queue_commands_max:\n",
            ),
        ),
        (f"{_LIMITS}::test_g7_a_queue_full_of_commands_refuses_and_says_when_to_come_again",),
        quick=True,
    ),
    PlantedBug(
        "the bytes of the queue are not given back",
        "G7",
        (
            Edit(
                _QUEUE,
                "        self._bytes -= sum(frame.size_bytes for frame in removed)\n",
                "",
            ),
        ),
        (f"{_LIMITS}::test_g7_a_queue_gives_the_bytes_back_of_what_was_committed",),
    ),
    PlantedBug(
        "frames of callers who have gone are run before those of others",
        "G7",
        (
            Edit(
                _QUEUE,
                "            if frame.outcomes.cancelled():\n",
                "            if False:\n",
            ),
        ),
        (
            f"{_LIMITS}"
            "::test_g7_frames_whose_callers_have_gone_are_dropped_and_give_their_room_back",
            "tests/rpc/test_callers_gone.py"
            "::test_g7_frames_of_a_stream_whose_client_has_gone_are_dropped_before_their_round",
        ),
    ),
    PlantedBug(
        "what is refused for a full queue stays in memory",
        "G7",
        (
            Edit(
                "service/gapless_server/rpc/commands.py",
                "[refusal.with_traceback(None)]",
                "[refusal]",
            ),
        ),
        (
            "tests/rpc/test_refused_memory.py"
            "::test_g7_frames_refused_for_a_full_queue_hold_nothing_while_their_answers_wait",
        ),
    ),
    PlantedBug(
        "draining drops what is queued",
        "G3",
        (
            Edit(
                "service/gapless_server/writer/namespace.py",
                "                if self._queue or self._reads or (not self._closing and"
                " self._something_is_due()):\n",
                "                if not self._closing and (self._queue or self._reads or"
                " self._something_is_due()):\n",
            ),
        ),
        (f"{_LIMITS}::test_draining_commits_what_is_queued_and_refuses_what_comes",),
    ),
    PlantedBug(
        "calls are taken in one after the other",
        "G7",
        (
            Edit(
                "service/gapless_server/rpc/accepting.py",
                "            for _ in range(ACCEPTS):\n",
                "            for _ in range(0):\n",
            ),
        ),
        (
            "tests/rpc/test_accepting.py"
            "::test_g7_a_burst_of_calls_takes_fewer_turns_of_the_loop_than_it_has_calls",
        ),
    ),
    PlantedBug(
        "every stream takes in a frame in every turn of the loop",
        "G7",
        (
            Edit(
                "service/gapless_server/rpc/turns.py",
                "        return now < self._due_time\n",
                "        return True\n",
            ),
        ),
        ("tests/rpc/test_turns.py::test_g7_work_that_fills_a_turn_leaves_the_rest_to_later_turns",),
    ),
)
