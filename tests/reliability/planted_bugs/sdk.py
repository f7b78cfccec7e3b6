"""Bugs in the SDK: retries that are other commands, answers that are another's."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_PIPELINE = "client/gapless/_async/_pipeline.py"
_QUEUE = "client/gapless/_command_queue.py"
_WATCHING = "client/gapless/_watching.py"
_QUEUE_TESTS = "tests/sdk/test_command_queue.py"

BUGS = (
    PlantedBug(
        "a retry has a request id of its own",
        "G3",
        (
            Edit(
                _PIPELINE,
                "        await sleep(wait)\n        if command.waiter.done():\n",
                "        await sleep(wait)\n"
                "        own = command.request_id.encode()\n"
                "        command.data = command.data.replace(own, own[::-1])\n"
                "        if command.waiter.done():\n",
            ),
        ),
        ("tests/sdk/test_pipeline.py::test_a_refusal_that_passes_is_sent_again_after_its_delay",),
    ),
    PlantedBug(
        "what was under way is forgotten when a stream breaks",
        "G3",
        (
            Edit(
                _QUEUE,
                "        commands = attempted or waiting\n",
                "        commands = [] if attempted else waiting\n",
            ),
        ),
        (f"{_QUEUE_TESTS}::test_after_a_break_all_goes_again_in_order_and_in_the_same_bytes",),
        quick=True,
    ),
    PlantedBug(
        "answers are given to the newest frame",
        "G3",
        (
            Edit(
                _QUEUE,
                "        frame = self._in_flight.popleft()\n",
                "        frame = self._in_flight.pop()\n",
            ),
        ),
        (f"{_QUEUE_TESTS}::test_answers_belong_to_the_oldest_frame",),
        quick=True,
    ),
    PlantedBug(
        "a broken stream is called a definite failure",
        "G8",
        (
            Edit(
                "client/gapless/_retry.py",
                "    return error.code not in _STREAM_REFUSED\n",
                "    return error.code is StatusCode.INTERNAL\n",
            ),
        ),
        ("tests/sdk/test_retry.py::test_a_broken_stream_leaves_open_what_was_under_way",),
        quick=True,
    ),
    PlantedBug(
        "a final refusal is sent again",
        "G3",
        (
            Edit(
                "client/gapless/_retry.py",
                "    if not is_retryable(error):\n        return None\n",
                "",
            ),
        ),
        ("tests/sdk/test_retry.py::test_a_final_refusal_is_never_sent_again",),
    ),
    PlantedBug(
        "a watch that goes on gives its last entry again",
        "G6",
        (
            Edit(
                _WATCHING,
                "        if entry.position <= handled_position:\n",
                "        if entry.position < handled_position:\n",
            ),
        ),
        ("tests/sdk/test_watching.py::test_a_cursor_in_the_middle_survives_another_break",),
        quick=True,
    ),
    PlantedBug(
        "a reset of the log is passed over",
        "G6",
        (
            Edit(
                _WATCHING,
                "                raise CursorReset(\n",
                "                _ = CursorReset(\n",
            ),
        ),
        ("tests/sdk/test_watching.py::test_a_reset_is_raised",),
    ),
)
