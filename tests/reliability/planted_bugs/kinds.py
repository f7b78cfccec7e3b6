"""Bugs in counts and versions that clients see."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_REACTIONS = "service/gapless_server/core/kinds/reactions.py"
_READ_MARKERS = "service/gapless_server/core/kinds/read_markers.py"
_CONFIG = "service/gapless_server/core/kinds/config.py"

BUGS = (
    PlantedBug(
        "unread is one too many",
        "G4",
        (
            Edit(
                _READ_MARKERS,
                "        unread_count=head - sequence,\n",
                "        unread_count=head - sequence + 1,\n",
            ),
        ),
        (
            "tests/core/test_read_markers.py::TestUnread::test_a_user_who_never_marked_has_all_unread",
        ),
        quick=True,
    ),
    PlantedBug(
        "a read marker moves back",
        "G4",
        (Edit(_READ_MARKERS, "    if new <= old:\n", "    if new == old:\n"),),
        (
            "tests/core/test_read_markers.py::TestMark::test_a14_a_smaller_sequence_does_not_move_it_back",
        ),
    ),
    PlantedBug(
        "a reaction that is there counts again",
        "G4",
        (
            Edit(
                _REACTIONS,
                "    if not _present(state, command):\n",
                "    if _present(state, command) is not None:\n",
            ),
        ),
        ("tests/core/test_reactions.py::TestAdd::test_again_is_refused_if_so_asked",),
        quick=True,
    ),
    PlantedBug(
        "a deleted reply still counts",
        "G4",
        (
            Edit(
                "service/gapless_server/core/kinds/threads.py",
                "        reply_count=thread.reply_count - 1,\n",
                "        reply_count=thread.reply_count,\n",
            ),
        ),
        (
            "tests/core/test_threads.py"
            "::TestDeletedReplies::test_a_deleted_reply_no_longer_counts_and_keeps_its_number",
        ),
        quick=True,
    ),
    PlantedBug(
        "a second leave changes something",
        "G4",
        (
            Edit(
                "service/gapless_server/core/kinds/memberships.py",
                "by_channel.get(channel_id, user_id) is not None:\n        left =",
                "by_channel.get(channel_id, user_id) != -1:\n        left =",
            ),
        ),
        (
            "tests/core/test_memberships.py::TestLeave::test_a12_a_second_leave_succeeds_and_changes_nothing",
        ),
    ),
    PlantedBug(
        "compare-and-set takes a version of before",
        "G4",
        (
            Edit(
                _CONFIG,
                "    if version != expected_version:\n",
                "    if version < expected_version:\n",
            ),
        ),
        (
            "tests/core/test_config.py::TestCompareAndSet::test_d4_a_loser_learns_the_version_that_beat_it",
        ),
        quick=True,
    ),
    PlantedBug(
        "versions of a key begin anew after its deletion",
        "G4",
        (
            Edit(
                _CONFIG,
                "        version = _last_version(state, key) + 1\n",
                "        version = config_version(state, key) + 1\n",
            ),
        ),
        (
            "tests/core/test_config.py"
            "::TestCompareAndSet::test_version_0_takes_a_deleted_key_and_its_versions_go_on",
        ),
    ),
)
