"""Fan-out: streams take turns, so that many of them never hold up the writers (G7)."""

from __future__ import annotations

import asyncio

from gapless_server.journal.port import EMPTY_HEAD
from gapless_server.rpc.fanout import SAVED_TURNS_MAX, Fanout
from gapless_server.writer.feed import Feed
from tests.journal.rounds import next_round
from tests.writer.harness import settle

# No test lasts so long.
LONG_SECONDS = 600.0
ONE_A_SECOND, WITHOUT_END = 1, 10**9


async def test_g7_beyond_those_that_were_saved_up_a_turn_comes_at_the_rate() -> None:
    fanout = Fanout(ONE_A_SECOND)

    asking = [asyncio.ensure_future(fanout.turn()) for _ in range(SAVED_TURNS_MAX + 1)]
    await settle()

    assert [turn.done() for turn in asking] == [True] * SAVED_TURNS_MAX + [False]
    fanout.stop()
    await asyncio.gather(*asking)


async def test_g7_while_a_round_is_under_way_turns_are_further_apart() -> None:
    under_way = True
    fanout = Fanout(WITHOUT_END, lambda: under_way, beside_rounds_seconds=LONG_SECONDS)

    asking = [asyncio.ensure_future(fanout.turn()) for _ in range(3)]
    await settle()
    went_on_beside_it = [turn.done() for turn in asking]
    under_way = False

    assert went_on_beside_it == [True, False, False]
    await asyncio.gather(*asking)


async def test_a_round_that_never_ends_lets_every_stream_go_on() -> None:
    fanout = Fanout(WITHOUT_END, lambda: True)

    await asyncio.gather(*(fanout.turn() for _ in range(3)))


async def test_turns_come_in_the_order_in_which_they_were_asked_for() -> None:
    fanout = Fanout(WITHOUT_END)
    went_on: list[str] = []

    async def stream(name: str) -> None:
        await fanout.turn()
        went_on.append(name)

    await asyncio.gather(*(stream(name) for name in "abcabc"))

    assert went_on == list("abcabc")


async def test_g6_news_lets_all_go_on_who_waited_for_it_and_nobody_else() -> None:
    fanout, feed, other_feed = Fanout(WITHOUT_END), Feed(1000), Feed(1000)
    waiting = [asyncio.ensure_future(fanout.news(feed, LONG_SECONDS)) for _ in range(3)]
    elsewhere = asyncio.ensure_future(fanout.news(other_feed, LONG_SECONDS))
    await settle()
    went_on_before = [one.done() for one in waiting]

    feed.publish(next_round(EMPTY_HEAD))
    await settle()

    assert went_on_before == [False] * 3
    assert [one.done() for one in waiting] == [True] * 3
    assert not elsewhere.done()
    fanout.stop()
    await elsewhere


async def test_a_stream_that_is_given_up_takes_no_turn_from_the_others() -> None:
    fanout, feed = Fanout(ONE_A_SECOND), Feed(1000)
    gone = [asyncio.ensure_future(fanout.news(feed, LONG_SECONDS)) for _ in range(SAVED_TURNS_MAX)]
    staying = asyncio.ensure_future(fanout.news(feed, LONG_SECONDS))
    await settle()

    for one in gone:
        one.cancel()
    feed.publish(next_round(EMPTY_HEAD))
    await settle()

    assert staying.done()


async def test_without_news_a_stream_goes_on_after_its_time() -> None:
    await Fanout(ONE_A_SECOND).news(Feed(1000), seconds_max=0.0)


async def test_when_the_service_stops_nobody_waits_any_more() -> None:
    fanout, feed = Fanout(ONE_A_SECOND), Feed(1000)
    asking = [asyncio.ensure_future(fanout.turn()) for _ in range(2 * SAVED_TURNS_MAX)]
    waiting = asyncio.ensure_future(fanout.news(feed, LONG_SECONDS))
    await settle()

    fanout.stop()

    await asyncio.gather(*asking, waiting, fanout.turn(), fanout.news(feed, LONG_SECONDS))
