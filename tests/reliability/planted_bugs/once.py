"""Bugs by which a command happens twice, or not whole, or takes others with it."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_ROUNDS = "service/gapless_server/writer/rounds.py"
_HISTORY = "service/gapless_server/writer/history.py"
_BATCHES = "service/gapless_server/core/batches.py"
_COMMANDS = "service/gapless_server/core/commands.py"
_REQUEST_IDS = "tests/writer/test_request_ids.py"

BUGS = (
    PlantedBug(
        "what a repeated command said is not compared",
        "G3",
        (Edit(_ROUNDS, "        if same != stored.fingerprint:\n", "        if not same:\n"),),
        (
            f"{_REQUEST_IDS}"
            "::test_g3_a_request_id_with_other_content_is_refused_naming_what_differs",
        ),
        quick=True,
    ),
    PlantedBug(
        "a replayed answer is not marked as one",
        "G3",
        (
            Edit(
                "service/gapless_server/writer/entries.py",
                "    return _answer_of(result_of(stored, replayed=True))\n",
                "    return _answer_of(result_of(stored, replayed=False))\n",
            ),
        ),
        (
            "tests/writer/test_entries.py"
            "::test_g3_a_replayed_answer_is_the_first_answer_marked_as_replayed",
        ),
        quick=True,
    ),
    PlantedBug(
        "twins in one round are both run",
        "G3",
        (Edit(_ROUNDS, "        self._requests.put(key, position)\n", ""),),
        (f"{_REQUEST_IDS}::test_g3_twins_in_one_frame_have_one_effect_and_one_answer",),
        quick=True,
    ),
    PlantedBug(
        "request ids are forgotten at a restart",
        "G3",
        (
            Edit(
                _HISTORY,
                "        if entry.request_id:\n",
                "        if entry.request_id and not uptime_us + 1:\n",
            ),
        ),
        (f"{_REQUEST_IDS}::test_g3_a_repeated_command_gets_the_first_answer_after_a_restart",),
        quick=True,
    ),
    PlantedBug(
        "request ids in the checkpoint are not read",
        "G3",
        (
            Edit(
                _HISTORY,
                "        await checkpoint.load_requests(self.requests)\n",
                "",
            ),
        ),
        (
            "tests/checkpoint/test_checkpoints.py"
            "::test_g3_request_ids_before_and_after_the_checkpoint_are_known",
        ),
    ),
    PlantedBug(
        "callers share their request ids",
        "G3",
        (
            Edit(
                "service/gapless_server/writer/requests.py",
                '    return f"{caller}\\0{request_id}" if caller else request_id\n',
                "    return request_id\n",
            ),
        ),
        (
            f"{_REQUEST_IDS}"
            "::test_g3_request_ids_of_different_callers_have_nothing_to_do_with_each_other",
        ),
    ),
    PlantedBug(
        "keys with the same hash are taken for the same",
        "G3",
        (
            Edit(
                "service/gapless_server/writer/requests.py",
                "            self._collided[key] = position\n",
                "",
            ),
        ),
        ("tests/writer/test_requests.py::test_keys_whose_hashes_collide_keep_their_own_positions",),
    ),
    PlantedBug(
        "a refused batch leaves what its members did",
        "G5",
        (
            Edit(
                _BATCHES,
                "            yield from state.undo.roll_back_in_steps()\n            raise\n",
                "            state.undo.steps = None\n            raise\n",
            ),
        ),
        ("tests/core/test_batches.py::test_c2_a_refused_command_takes_the_whole_batch_with_it",),
        quick=True,
    ),
    PlantedBug(
        "a refused member does not refuse its batch",
        "G5",
        (
            Edit(
                _BATCHES,
                "                raise MemberRefused(refusal, path, index, not_tried, faults)"
                " from refusal\n",
                "                continue\n",
            ),
        ),
        ("tests/core/test_batches.py::test_c2_a_refused_command_takes_the_whole_batch_with_it",),
    ),
    PlantedBug(
        "guards of members are looked at before the batch begins",
        "G5",
        (
            Edit(
                _BATCHES,
                "        require(state, self.guards)\n",
                "        require(state, self.guards)\n"
                "        for member in self.members:\n"
                "            require(state, member.guards)\n",
            ),
            Edit(
                _BATCHES,
                "member.decide(state, own_context)",
                "member.decider(state, member.message, own_context)",
            ),
        ),
        ("tests/core/test_batches.py::test_guards_of_a_member_are_checked_right_before_it",),
    ),
    PlantedBug(
        "guards are not looked at",
        "G5",
        (
            Edit(
                _COMMANDS,
                "            require(state, self.guards)\n",
                "            pass\n",
            ),
        ),
        ("tests/core/test_guards.py::test_a_command_is_refused_if_its_guard_does_not_hold",),
    ),
    PlantedBug(
        "a fault of one command stops all",
        "G5",
        (
            Edit(
                _ROUNDS,
                "        except (Refused, MustWait, Damaged):\n            raise\n"
                "        except Exception as error:\n",
                "        except (Refused, MustWait, Damaged, Exception):\n            raise\n"
                "        except BaseException as error:\n",
            ),
        ),
        ("tests/writer/test_rounds.py::test_g5_a_decider_that_fails_fails_its_own_command_alone",),
    ),
    PlantedBug(
        "what a round erases is whole for those who ask again in it",
        "G3",
        (
            Edit(
                _ROUNDS,
                "        if position in self._erased_positions:\n",
                "        if position in ():\n",
            ),
        ),
        (
            "tests/erasure/test_same_round.py"
            "::test_g3_a_command_sent_again_beside_its_erasure_is_answered_as_later",
        ),
    ),
)
