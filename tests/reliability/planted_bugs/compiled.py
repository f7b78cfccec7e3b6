"""Bugs of what is compiled, the way of posts above all; each is compiled, so none is quick."""

from __future__ import annotations

from tests.reliability.planted_bugs.planting import Edit, PlantedBug

_POSTS = "service/gapless_server/compiled/posts.pyx"
_FRAMES = "service/gapless_server/compiled/frames.pyx"
_ROWS = "service/gapless_server/compiled/rows.pyx"
_SAME = "tests/compiled/test_same.py"
_SAME_ROWS = "tests/compiled/test_rows.py"


def _bug(name: str, promise: str, file: str, old: str, new: str, test: str) -> PlantedBug:
    return PlantedBug(name, promise, (Edit(file, old, new),), (f"{_SAME}::{test}",), compiled=True)


BUGS = (
    _bug(
        "a run gives a sequence twice",
        "G1",
        _POSTS,
        "        channel.head = sequence\n",
        "",
        "test_posts_of_a_frame_are_one_run",
    ),
    _bug(
        "the last sequence of a channel is gone beyond in a run",
        "G1",
        _POSTS,
        "channel is None or channel.head == INT64_MAX:",
        "channel is None:",
        "test_the_last_sequence_is_given_once",
    ),
    _bug(
        "a run does not remember request ids",
        "G3",
        _POSTS,
        "        shard.fill(slot, value, position)\n",
        "",
        "test_a_request_id_that_comes_again_has_the_first_answer",
    ),
    _bug(
        "request ids of a run are not saved",
        "G3",
        _POSTS,
        "        self.pairs.data.as_ulonglongs[places] = value\n",
        "",
        "test_posts_of_a_frame_are_one_run",
    ),
    _bug(
        "a run takes the request ids of one caller for those of another",
        "G3",
        _POSTS,
        "xxh3_64_intdigest(scope + _bytes(",
        "xxh3_64_intdigest(_bytes(",
        "test_callers_have_request_ids_of_their_own",
    ),
    _bug(
        "what the sender said before is what the next one said",
        "G3",
        _POSTS,
        "            self.sender_digest = xxh3_64_digest(self.sender_data)\n",
        "            self.sender_digest = self.sender_digest or xxh3_64_digest(self.sender_data)\n",
        "test_channels_and_senders_take_turns",
    ),
    _bug(
        "a guard is not looked at in a run",
        "G5",
        _FRAMES,
        "            and offset == end\n",
        "",
        "test_bytes_are_taken_as_protobuf_takes_them",
    ),
    _bug(
        "a field that is not known is left out",
        "G10",
        _FRAMES,
        "            else:\n                return False\n",
        "            else:\n                field = &member.data\n",
        "test_bytes_are_taken_as_protobuf_takes_them",
    ),
    _bug(
        "a body that protobuf would write in another way is kept as it came",
        "G10",
        _FRAMES,
        "            if not 0 < member.data.size <=",
        "            if not 0 <= member.data.size <=",
        "test_bytes_are_taken_as_protobuf_takes_them",
    ),
    _bug(
        "a control character is taken in an identifier",
        "G3",
        _FRAMES,
        "character > 0x7E:",
        "character > 0x7F:",
        "test_a_post_is_as_it_would_be",
    ),
    _bug(
        "rows of a run are missing from lists that were begun before",
        "G4",
        _POSTS,
        "            channel.sequences.order.add(number)\n",
        "            pass\n",
        "test_rows_are_listed_in_order_also_when_they_come_after_the_first_list",
    ),
    PlantedBug(
        "a run goes on with a channel that was archived meanwhile",
        "G4",
        (
            Edit(
                "service/gapless_server/writer/rounds.py",
                "        self._run_decider = None\n\n",
                "        self._run_decider = self._run_decider\n\n",
            ),
        ),
        (f"{_SAME}::test_posts_between_commands_of_other_kinds_find_what_these_did",),
        compiled=True,
    ),
    _bug(
        "a run gives a message the id of another",
        "G1",
        _POSTS,
        "    return channel.find_message(text) is None\n",
        "    return True\n",
        "test_an_id_is_taken_also_when_only_the_checkpoint_has_it",
    ),
    PlantedBug(
        "a run takes an id for free where the checkpoint is damaged",
        "G8",
        (
            Edit(
                _POSTS,
                "    return channel.find_message(text) is None\n",
                "    try:\n        return channel.find_message(text) is None\n"
                "    except Exception:\n        return True\n",
            ),
        ),
        (
            "tests/checkpoint/test_checkpoints.py"
            "::test_c2_a_damaged_row_that_a_run_of_posts_looks_at_stops_the_service",
        ),
        compiled=True,
    ),
    _bug(
        "a run looks up ids for as long as it likes",
        "G7",
        _POSTS,
        "            if lookups > LOOKUPS_MAX:\n                break\n",
        "",
        "test_a_run_with_ids_to_look_up_leaves_the_loop_a_chance_after_ten",
    ),
    _bug(
        "what a run remembers of a post lacks its id",
        "G3",
        _POSTS,
        "        cdef int said = 2 + has_body + (post.message_id.size >= 0)\n",
        "        cdef int said = 2 + has_body\n",
        "test_a_post_is_as_it_would_be",
    ),
    _bug(
        "a run remembers posts under the request ids of their neighbours",
        "G3",
        _POSTS,
        "            hashes[index - start] = value\n",
        "            hashes[stop - 1 - index] = value\n",
        "test_channels_and_senders_take_turns",
    ),
    PlantedBug(
        "a NUL in a key is taken for its end",
        "G10",
        (Edit(_ROWS, "                put_byte(buffer, ESCAPE)\n", "                pass\n"),),
        (f"{_SAME_ROWS}::test_a_key_has_the_same_bytes",),
        compiled=True,
    ),
    PlantedBug(
        "negative numbers in keys come after the others",
        "G10",
        (Edit(_ROWS, "        if overflow or number < 0:\n", "        if overflow:\n"),),
        (
            f"{_SAME_ROWS}::test_a_key_has_the_same_bytes",
            "tests/core/test_layers.py::test_a_key_is_read_back_from_its_bytes",
        ),
        compiled=True,
    ),
    PlantedBug(
        "the last rows are cut off",
        "G10",
        (Edit(_ROWS, "        ends.append(count)\n", "        pass\n"),),
        (f"{_SAME_ROWS}::test_rows_are_cut_at_the_same_places",),
        compiled=True,
    ),
)
