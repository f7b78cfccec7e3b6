"""Request ids are unique, in time order, and shaped as UUIDs of version 7."""

from __future__ import annotations

import itertools
import multiprocessing
import os
import threading
import time
import uuid

import pytest

from gapless import new_request_id
from gapless._request_ids import RequestIds


def test_a_million_ids_of_a_thread_grow_so_none_is_twice() -> None:
    ids = (new_request_id() for _ in range(1_000_000))

    assert all(earlier < later for earlier, later in itertools.pairwise(ids))


def test_ids_grow_while_the_clock_stands_still_or_goes_back(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    # Given a clock that stands still, goes back by an hour, and stands still again
    now = time.time()
    readings = [now] * 5_000 + [now - 3600] * 5_000
    monkeypatch.setattr(time, "time", iter(readings).__next__)
    maker = RequestIds()

    ids = [maker.next() for _ in readings]

    assert ids == sorted(ids)
    assert len(set(ids)) == len(ids)


def test_an_id_is_a_uuid_of_version_7_that_tells_its_time() -> None:
    before = time.time_ns() // 1_000_000
    made = uuid.UUID(RequestIds().next())
    after = time.time_ns() // 1_000_000

    assert made.version == 7
    assert made.variant == uuid.RFC_4122
    assert before <= made.int >> 80 <= after


def test_ids_of_many_threads_are_unique() -> None:
    made: list[list[str]] = []

    def make() -> None:
        made.append([new_request_id() for _ in range(5_000)])

    threads = [threading.Thread(target=make) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert len({one for ids in made for one in ids}) == 40_000


@pytest.mark.skipif(not hasattr(os, "fork"), reason="this system does not fork")
@pytest.mark.filterwarnings("ignore:This process .* is multi-threaded:DeprecationWarning")
def test_a_forked_child_has_ids_of_its_own() -> None:
    # Given a parent that has made ids already
    parent_tag = new_request_id()[19:]

    # When a child, which has the parent's memory, makes one
    context = multiprocessing.get_context("fork")
    with context.Pool(1) as pool:
        child_tag = pool.apply(new_request_id)[19:]

    assert child_tag != parent_tag
