"""Bugs by which a watch misses something, or sees what it must not."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_EVENTS = "service/gapless_server/rpc/events.py"
_FEED = "service/gapless_server/writer/feed.py"
_FILTERS = "service/gapless_server/rpc/filters.py"
_WATCH = "tests/rpc/test_watch.py"

BUGS = (
    PlantedBug(
        "what comes at the seam of past and present is dropped",
        "G6",
        (
            Edit(
                _EVENTS,
                "                caught_up = True\n",
                "                caught_up = True\n"
                "                position = namespace.head.position\n",
            ),
        ),
        ("tests/rpc/test_seam.py::test_g6_what_is_committed_while_a_watch_catches_up_is_given",),
    ),
    PlantedBug(
        "of what comes at once only the newest is given",
        "G6",
        (
            Edit(
                _EVENTS,
                "                await self._fanout.news(namespace.feed, pulse.seconds_left)\n",
                "                await self._fanout.news(namespace.feed, pulse.seconds_left)\n"
                "                position = max(position, namespace.head.position - 1)\n",
            ),
        ),
        (
            "tests/rpc/test_seam.py"
            "::test_g6_all_that_is_committed_at_once_is_given_to_a_watch_that_waits",
        ),
    ),
    PlantedBug(
        "a watch that fell behind skips what the feed has dropped",
        "G6",
        (
            Edit(
                _FEED,
                "        if not self._rounds"
                " or position < self._rounds[0].record.first_position:\n",
                "        if not self._rounds:\n",
            ),
        ),
        (
            "tests/writer/test_limits.py"
            "::test_g7_the_newest_rounds_are_kept_up_to_a_limit_and_older_ones_read_from_disk",
            "tests/rpc/test_watch.py::test_a_reader_that_is_slow_is_given_everything_from_disk",
        ),
    ),
    PlantedBug(
        "a filter lets other channels through",
        "G6",
        (
            Edit(
                _FILTERS,
                "            lambda name, message: name in _WITH_CHANNEL"
                " and message.channel_id in channels\n",
                "            lambda name, message: name in _WITH_CHANNEL"
                " and bool(message.channel_id)\n",
            ),
        ),
        (f"{_WATCH}::test_what_a_filter_of_channels_leaves_out_is_not_given",),
    ),
    PlantedBug(
        "secrets are shown in the stream",
        "G6",
        (
            Edit(
                _FILTERS,
                "    if name is None or not secrets:\n        return event\n",
                "    if name is None or secrets is None or len(secrets):\n        return event\n",
            ),
        ),
        (f"{_WATCH}::test_secrets_are_blank_wherever_events_are_shown",),
    ),
    PlantedBug(
        "a cursor of another incarnation goes on as if nothing had happened",
        "G6",
        (
            Edit(
                _EVENTS,
                "                    if start.incarnation != namespace.incarnation:\n",
                "                    if not start.incarnation:\n",
            ),
        ),
        (
            "tests/rpc/test_cursors.py"
            "::test_g6_a_watch_with_a_cursor_of_another_incarnation_is_reset_and_ends",
        ),
    ),
    PlantedBug(
        "a restore keeps the incarnation",
        "G6",
        (
            Edit(
                "service/gapless_server/backup/places.py",
                "        incarnation = secrets.token_hex(8)\n",
                "        incarnation = previous_incarnation\n",
            ),
        ),
        (
            "tests/backup/test_backup.py"
            "::test_g6_a_cursor_of_before_the_restore_is_told_that_the_log_is_another",
        ),
    ),
    PlantedBug(
        "a cursor from before the first entries holds in every incarnation",
        "G6",
        (
            Edit(
                _EVENTS,
                "    if cursor.position == 0 and not cursor.in_part:\n",
                "    if cursor.position == 0:\n",
            ),
        ),
        (
            "tests/backup/test_backup.py"
            "::test_g6_a_cursor_of_before_the_restore_is_told_that_the_log_is_another",
            "tests/rpc/test_cursors.py"
            "::test_g6_a_cursor_from_before_the_first_entries_is_of_the_incarnation_they_were_read_in",
        ),
    ),
)
