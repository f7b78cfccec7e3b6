"""Bugs between deciding and answering: what is shown before it is durable, what fails how."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_NAMESPACE = "service/gapless_server/writer/namespace.py"
_SQLITE = "service/gapless_server/journal/sqlite.py"
_VISIBILITY = "tests/writer/test_visibility.py"
_SQLITE_FILES = "tests/journal/test_sqlite_files.py"

BUGS = (
    PlantedBug(
        "answers before the commit",
        "G2",
        (
            Edit(
                _NAMESPACE,
                "            await self._commit(builder, time)\n",
                "            for frame, outcomes in decided:\n"
                "                builder.write()\n"
                "                if not frame.outcomes.done():\n"
                "                    frame.outcomes.set_result(outcomes)\n"
                "            await self._commit(builder, time)\n",
            ),
        ),
        (f"{_VISIBILITY}::test_g2_no_answer_comes_before_the_round_is_durable",),
        quick=True,
    ),
    PlantedBug(
        "publishes before the commit",
        "G2",
        (
            Edit(
                _NAMESPACE,
                "            await self._journal.append(record)\n",
                "            self._history.advance(record, time)\n"
                "            self.feed.publish(record)\n"
                "            await self._journal.append(record)\n"
                "            return\n",
            ),
        ),
        (f"{_VISIBILITY}::test_g2_readers_of_the_log_see_nothing_of_a_round_that_is_not_durable",),
        quick=True,
    ),
    PlantedBug(
        "reads see what is not durable",
        "G2",
        (Edit(_NAMESPACE, "        return not self._committing\n", "        return True\n"),),
        (f"{_VISIBILITY}::test_g2_a_read_waits_for_the_round_and_then_sees_it",),
        quick=True,
    ),
    PlantedBug(
        "synchronous=NORMAL",
        "G2",
        (
            Edit(
                _SQLITE,
                '_set_and_check("synchronous", "FULL", 2)',
                '_set_and_check("synchronous", "NORMAL", 1)',
            ),
        ),
        (
            f"{_SQLITE_FILES}::test_a_commit_is_synced_in_full",
            f"{_SQLITE_FILES}::test_a_log_that_is_opened_again_is_synced_in_full_too",
        ),
        quick=True,
    ),
    PlantedBug(
        "a PRAGMA is not read back",
        "G2",
        (Edit(_SQLITE, "        if found != expected:\n", "        if found is None:\n"),),
        (f"{_SQLITE_FILES}::test_g2_a_pragma_that_does_not_apply_is_refused",),
    ),
    PlantedBug(
        "every failed commit is called a full disk",
        "G8",
        (
            Edit(
                "service/gapless_server/journal/sqlite_faults.py",
                '    return getattr(error, "sqlite_errorcode", None) == sqlite3.SQLITE_FULL\n',
                "    return isinstance(error, sqlite3.Error)\n",
            ),
        ),
        (
            "tests/journal/test_sqlite_failures.py"
            "::test_j5_after_a_commit_that_failed_no_further_round_is_taken",
        ),
    ),
    PlantedBug(
        "an unknown outcome is answered as a definite failure",
        "G8",
        (
            Edit(
                _NAMESPACE,
                "        except (NotKept, Corrupt) as error:\n",
                "        except Exception as error:\n            error = NoRoom(str(error))\n",
            ),
        ),
        (
            "tests/writer/test_failures.py"
            "::test_g8_everything_pending_is_told_that_its_outcome_is_unknown",
            "tests/writer/test_failures.py"
            "::test_g8_nothing_is_taken_and_nothing_is_read_after_a_failure",
        ),
        quick=True,
    ),
    PlantedBug(
        "the journal goes on after a commit that failed",
        "G8",
        (
            Edit(
                _SQLITE,
                "        self._failed = True\n        return OutcomeUnknown",
                "        return OutcomeUnknown",
            ),
        ),
        (
            "tests/journal/test_sqlite_failures.py"
            "::test_j5_after_a_commit_that_failed_no_further_round_is_taken",
        ),
    ),
    PlantedBug(
        "a round without room stays in the state",
        "G8",
        (Edit(_NAMESPACE, "        self._history = history\n", ""),),
        ("tests/writer/test_disk_full.py::test_g7_a_full_disk_is_a_clean_refusal_that_room_ends",),
    ),
    PlantedBug(
        "a backup without fsync",
        "G2",
        (
            Edit(
                "service/gapless_server/backup/folders.py",
                "        file.flush()\n        os.fsync(file.fileno())\n    require_same",
                "        file.flush()\n    require_same",
            ),
        ),
        ("tests/backup/test_folders.py::test_all_of_a_backup_is_synced_before_it_has_its_name",),
    ),
    PlantedBug(
        "a restored log without fsync",
        "G2",
        (
            Edit(
                "service/gapless_server/journal/drafts.py",
                "            os.fsync(descriptor)\n",
                "            pass\n",
            ),
        ),
        ("tests/journal/test_drafts.py::test_a_finished_draft_is_synced",),
    ),
)
