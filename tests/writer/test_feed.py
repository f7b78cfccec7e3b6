"""The newest rounds, and the news that there are more, on which watches wait (G6)."""

from __future__ import annotations

import asyncio

from gapless_server.journal.port import EMPTY_HEAD
from gapless_server.writer.feed import ROUND_BYTES, Feed
from tests.journal.rounds import chain_of, next_round
from tests.writer.harness import settle


async def test_g6_news_counts_from_the_moment_it_is_asked_for() -> None:
    """What is published before whoever asked gets a turn would otherwise be missed."""
    feed = Feed(bytes_max=1000)

    news = asyncio.ensure_future(feed.news())
    feed.publish(next_round(EMPTY_HEAD))
    await settle()

    assert news.done()


async def test_one_reader_that_goes_away_neither_wakes_nor_stops_the_others() -> None:
    feed = Feed(bytes_max=1000)
    gone, waiting = asyncio.ensure_future(feed.news()), asyncio.ensure_future(feed.news())
    await settle()

    gone.cancel()
    await settle()
    woken_by_the_other = waiting.done()
    feed.publish(next_round(EMPTY_HEAD))
    await settle()

    assert not woken_by_the_other
    assert waiting.done()


async def test_g7_the_oldest_rounds_are_dropped_past_the_limit_but_never_the_newest() -> None:
    rounds = chain_of([2, 2, 2])
    feed = Feed(bytes_max=0)

    for record in rounds:
        feed.publish(record)

    assert feed.rounds_from(4) is None
    kept = feed.rounds_from(5)
    assert kept is not None
    assert [committed.record for committed in kept] == [rounds[2]]


async def test_g7_what_a_small_round_takes_beside_its_data_counts_as_well() -> None:
    """Of rounds of one small command the data is the lesser part of what they take."""
    rounds = chain_of([1] * 10)
    size_bytes = len(rounds[0].data)
    feed = Feed(bytes_max=3 * (size_bytes + ROUND_BYTES))

    for record in rounds:
        feed.publish(record)

    kept = feed.rounds_from(8)
    assert kept is not None
    assert [committed.record.first_position for committed in kept] == [8, 9, 10]
    assert feed.rounds_from(7) is None


async def test_rounds_begin_with_the_one_that_holds_the_position() -> None:
    rounds = chain_of([1, 3, 2])  # positions 1, 2 to 4, 5 and 6
    feed = Feed(bytes_max=1_000_000)
    for record in rounds:
        feed.publish(record)

    found = {position: feed.rounds_from(position) for position in range(1, 8)}

    assert {
        position: [committed.record.first_position for committed in committed_rounds or []]
        for position, committed_rounds in found.items()
    } == {1: [1, 2, 5], 2: [2, 5], 3: [2, 5], 4: [2, 5], 5: [5], 6: [5], 7: []}


async def test_an_entry_is_found_by_its_position_while_it_is_kept() -> None:
    feed = Feed(bytes_max=0)
    for record in chain_of([2, 2]):
        feed.publish(record)

    assert feed.entry(2) is None
    found = feed.entry(4)
    assert found is not None
    assert found.entry.position == 4
    assert feed.entry(5) is None
