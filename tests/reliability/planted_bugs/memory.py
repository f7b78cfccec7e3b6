"""Bugs about what a service keeps in memory for others."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_GATE = "service/gapless_server/rpc/call_gate.py"
_GATE_TESTS = "tests/rpc/test_call_gate.py"
_UNSENT_TESTS = "tests/rpc/test_unsent.py"

BUGS = (
    PlantedBug(
        "pages are made whether their client takes them or not",
        "G7",
        (
            Edit(
                _GATE,
                "                    charge = await self._unsent.charge(context)"
                " if has_pages else None\n",
                "                    charge = None\n",
            ),
        ),
        (
            "tests/rpc/test_standing_still.py"
            "::test_g7_pages_for_a_client_that_stands_still_are_not_made",
        ),
    ),
    PlantedBug(
        "the pages of one connection take the room of all",
        "G7",
        (
            Edit(
                "service/gapless_server/rpc/unsent.py",
                "            and of_connection + self._page_bytes_max"
                " <= self._connection_bytes_max\n",
                "",
            ),
        ),
        (
            f"{_UNSENT_TESTS}::test_g7_a_connection_has_as_many_pages_as_there_is_room_for",
            f"{_UNSENT_TESTS}::test_a_connection_that_stands_still_holds_up_no_other",
        ),
    ),
    PlantedBug(
        "a connection is never asked whether it still stands",
        "G7",
        (
            Edit(
                "service/gapless_server/server.py",
                '            ("grpc.keepalive_time_ms", int(self.settings.ping_seconds * 1000)),\n',
                "",
            ),
        ),
        (
            "tests/rpc/test_standing_still.py"
            "::test_g7_a_client_that_stands_still_gives_the_room_for_pages_back",
        ),
    ),
    PlantedBug(
        "what the network does not take is kept for good",
        "G7",
        (
            Edit(
                "service/gapless_server/server.py",
                '            ("grpc.keepalive_timeout_ms", ping_timeout_ms),\n',
                "",
            ),
        ),
        (
            "tests/rpc/test_standing_still.py"
            "::test_g7_a_client_that_stands_still_gives_the_room_for_pages_back",
        ),
    ),
    PlantedBug(
        "unary calls under way have no end",
        "G7",
        (
            Edit(
                _GATE,
                "            if self._under_way >= self._calls_max:\n",
                "            if self._under_way >= 2**63:\n",
            ),
        ),
        (
            f"{_GATE_TESTS}::test_g7_as_many_calls_as_may_be_under_way_are_let_in_and_no_more",
            f"{_GATE_TESTS}::test_g7_reads_that_wait_are_refused_past_the_limit_and_nothing_else_is",
        ),
    ),
    PlantedBug(
        "the gate keeps the request of a call that is refused",
        "G7",
        (
            Edit(
                _GATE,
                "                answering = answer(data, context)\n"
                "                del data  # see abort\n",
                "                answering = answer(data, context)\n",
            ),
        ),
        (
            "tests/rpc/test_refused_memory.py"
            "::test_g7_a_call_that_is_refused_leaves_its_request_nowhere",
        ),
    ),
    PlantedBug(
        "a start keeps a whole log in memory of which it can write no checkpoint",
        "G7",
        (
            Edit(
                "service/gapless_server/writer/checkpointer.py",
                "        if self._is_behind(START_PATIENCE):\n",
                "        if self._is_behind(10 * START_PATIENCE):\n",
            ),
        ),
        (
            "tests/checkpoint/test_unwritable.py"
            "::test_g7_a_start_does_not_take_a_whole_log_into_memory_that_cannot_be_checkpointed",
        ),
    ),
    PlantedBug(
        "a start that was refused keeps what it had loaded",
        "G7",
        (
            Edit(
                "service/gapless_server/writer/refused_starts.py",
                "(now_us + (now_us - began_us), refusal.again())\n",
                "(now_us + (now_us - began_us), refusal)\n",
            ),
        ),
        (
            "tests/writer/test_namespaces.py"
            "::test_nothing_of_what_a_refused_start_had_loaded_is_kept",
        ),
    ),
    PlantedBug(
        "a damaged log is gone through anew for whoever asks",
        "G7",
        (
            Edit(
                "service/gapless_server/writer/namespaces.py",
                "        self._refused_starts.require_none(name)\n",
                "        pass\n",
            ),
        ),
        (
            "tests/writer/test_namespaces.py"
            "::test_a_damaged_log_is_gone_through_again_only_after_as_long_as_that_took",
        ),
    ),
)
