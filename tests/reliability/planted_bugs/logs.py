"""Bugs about what is stored: damage that is not noticed, checkpoints of another log."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_HISTORY = "service/gapless_server/writer/history.py"
_SQLITE = "service/gapless_server/journal/sqlite.py"
_CHECKPOINT = "service/gapless_server/checkpoint/sqlite.py"
_PAGE_SUM = "service/gapless_server/checkpoint/page_sum.py"
_CHECKPOINTS = "tests/checkpoint/test_checkpoints.py"
_CHECKPOINT_FILES = "tests/checkpoint/test_checkpoint_files.py"

BUGS = (
    PlantedBug(
        "the hash chain is not checked at a start",
        "G8",
        (
            Edit(
                _HISTORY,
                "        if not record.follows(self.head):\n",
                "        if record.first_position != self.head.position + 1:\n",
            ),
            Edit(
                "service/gapless_server/journal/reading.py",
                "        if not record.follows(before):\n",
                "        if record.first_position != before.position + 1:\n",
            ),
        ),
        (
            "tests/journal/test_sqlite_files.py"
            "::test_g8_a_log_whose_chain_is_broken_is_refused_at_its_start",
        ),
    ),
    PlantedBug(
        "the recount does not check the chain",
        "G8",
        (
            Edit(
                "service/gapless_server/verify/recount.py",
                "        if not record.follows(self._head):\n",
                "        if record.first_position <= before:\n",
            ),
        ),
        ("tests/verify/test_recount.py::test_g8_one_flipped_bit_anywhere_breaks_the_chain_there",),
        quick=True,
    ),
    PlantedBug(
        "the witness is not checked",
        "G8",
        (Edit(_SQLITE, "            self._witness.check(self._head)\n", ""),),
        (
            "tests/journal/test_witness.py::test_g8_a_log_that_lost_its_newest_entry_is_refused",
            "tests/journal/test_witness.py"
            "::test_g8_a_log_whose_newest_entry_was_exchanged_is_refused",
        ),
        quick=True,
    ),
    PlantedBug(
        "the witness is not written",
        "G8",
        (
            Edit(
                "service/gapless_server/journal/witness.py",
                "        os.pwrite(self._descriptor, record + _CRC.pack(zlib.crc32(record)), 0)\n",
                "        zlib.crc32(record)\n",
            ),
        ),
        ("tests/journal/test_witness.py::test_g8_a_log_that_lost_its_newest_entry_is_refused",),
    ),
    PlantedBug(
        "a rewritten round is taken as it is",
        "G8",
        (
            Edit(
                "service/gapless_server/writer/erasure.py",
                "            and self._attested.get(position) != self._found.get(position)\n",
                "            and self._found.get(position) == b''\n",
            ),
        ),
        (
            "tests/erasure/test_erasure.py"
            "::test_g8_a_rewritten_round_that_is_changed_once_more_is_found_and_not_served",
            "tests/erasure/test_erasure.py"
            "::test_g8_a_changed_round_with_the_digest_of_the_old_one_is_found_and_not_served",
        ),
    ),
    PlantedBug(
        "an erasure takes what its batch says after it",
        "G10",
        (
            Edit(
                "service/gapless_server/writer/erasure.py",
                "            if index < stop:\n",
                "            if index < len(stored.entry.events):\n",
            ),
        ),
        ("tests/erasure/test_erasure.py::test_g10_what_a_batch_says_after_its_last_erasure_stays",),
    ),
    PlantedBug(
        "an erasure spares what stands after its own place in other entries",
        "erasure",
        (
            Edit(
                "service/gapless_server/writer/erasure.py",
                "        stop = one.place if one.position == stored.entry.position"
                " else len(stored.entry.events)\n",
                "        stop = one.place\n",
            ),
        ),
        (
            "tests/erasure/test_erasures_model.py"
            "::test_g10_what_is_erased_is_nowhere_and_all_else_is_in_the_log",
        ),
    ),
    PlantedBug(
        "two write one checkpoint at once, the slower one over what came after it",
        "G10",
        (
            Edit(
                "service/gapless_server/writer/checkpointer.py",
                "        if self._is_writing():\n"
                "            assert self._task is not None\n"
                "            return self._task\n",
                "",
            ),
        ),
        (
            "tests/checkpoint/test_writes_at_once.py"
            "::test_g10_a_round_that_waits_writes_no_checkpoint_that_is_being_written",
        ),
    ),
    PlantedBug(
        "a log that ends before its checkpoint is served",
        "G8",
        (
            Edit(
                _HISTORY,
                "        if self.head.position > journal.head.position:\n",
                "        if journal.head.position < 0:\n",
            ),
        ),
        (f"{_CHECKPOINTS}::test_g8_a_log_that_ends_before_its_checkpoint_is_refused",),
    ),
    PlantedBug(
        "a checkpoint of another incarnation is used",
        "G10",
        (
            Edit(
                _CHECKPOINT,
                "        if found is None or found.incarnation != self._incarnation:\n",
                "        if found is None:\n",
            ),
        ),
        (f"{_CHECKPOINT_FILES}::test_c3_a_checkpoint_of_another_incarnation_is_not_used",),
    ),
    PlantedBug(
        "checksums of the checkpoint are not checked",
        "G8",
        (
            Edit(
                "service/gapless_server/checkpoint/seals.py",
                "            if self._seal(key, data) == stored[:SEAL_BYTES]:\n",
                "            if len(stored) >= SEAL_BYTES:\n",
            ),
        ),
        (
            f"{_CHECKPOINT_FILES}::test_c2_a_row_that_is_damaged_after_the_opening_is_found_when_it_is_read",
        ),
    ),
    PlantedBug(
        "the pages of the checkpoint are not compared",
        "G8",
        (
            Edit(
                _PAGE_SUM,
                "        if self._total != noted.total:\n",
                "        if self._total < 0:\n",
            ),
        ),
        (
            f"{_CHECKPOINT_FILES}::test_c2_a_row_of_an_older_moment_is_found_though_it_was_written_like_that",
        ),
    ),
    PlantedBug(
        "what a checkpoint wrote before its sum is left in the write-ahead log",
        "G10",
        (
            Edit(
                _PAGE_SUM,
                "            os.truncate(path, bytes_of(frames))\n",
                "            pass\n",
            ),
        ),
        (
            f"{_CHECKPOINT_FILES}::test_c1_a_crash_before_the_sum_is_written_leaves_the_checkpoint_before",
        ),
    ),
    PlantedBug(
        "erased content is left in the checkpoint",
        "erasure",
        (
            Edit(
                _CHECKPOINT,
                "        if self._writer is None:\n            return True\n",
                "        if self._writer is not None:\n            return True\n",
            ),
        ),
        ("tests/erasure/test_erasure.py::test_erased_content_is_in_no_byte_of_any_file",),
    ),
    PlantedBug(
        "erased content is left in the log",
        "erasure",
        (
            Edit(
                "service/gapless_server/core/kinds/erasures.py",
                '    old.ClearField("body")\n',
                "",
            ),
        ),
        ("tests/erasure/test_erasure.py::test_erased_content_is_in_no_byte_of_any_file",),
    ),
    PlantedBug(
        "a newer format is read as if it were this one",
        "upgrade",
        (
            Edit(
                _SQLITE,
                "        if version != FORMAT_VERSION:\n",
                "        if version < FORMAT_VERSION:\n",
            ),
        ),
        (
            "tests/journal/test_sqlite_files.py"
            "::test_a_newer_format_is_refused_and_both_versions_are_named",
        ),
    ),
    PlantedBug(
        "a backup is restored without a recount",
        "G8",
        (
            Edit(
                "service/gapless_server/backup/places.py",
                "        if checked.breaches:\n",
                "        if checked.breaches and not checked.head:\n",
            ),
        ),
        (
            "tests/backup/test_backup.py"
            "::test_g8_a_backup_whose_log_was_changed_and_manifest_made_to_fit_is_refused",
        ),
    ),
    PlantedBug(
        "a map's order gets into the state",
        "G10",
        (
            Edit(
                "service/gapless_server/core/kinds/channels.py",
                "    return tuple(sorted(attributes.items())) if attributes else ()",
                "    return tuple(attributes.items()) if attributes else ()",
            ),
        ),
        (
            "tests/core/test_channels.py"
            "::TestDeterminism::test_g10_attributes_lie_in_the_state_in_the_order_of_their_keys",
        ),
    ),
)
