"""A watch gives each entry once, and the cursor of any item goes on right after it (G6)."""

from __future__ import annotations

from datetime import UTC, datetime

import pytest

from gapless import CaughtUp, Entry, WatchItem, errors
from gapless._watching import ReadPosition, WatchPosition, event_filter
from gapless.v1 import events_pb2


def entries(cursor: str, *positions: int) -> events_pb2.WatchResponse:
    return events_pb2.WatchResponse(
        cursor=cursor,
        entries=events_pb2.Entries(
            entries=[events_pb2.Entry(position=position) for position in positions],
            start_cursor=f"c{positions[0] - 1}",
        ),
    )


def caught_up(cursor: str, position: int) -> events_pb2.WatchResponse:
    return events_pb2.WatchResponse(cursor=cursor, caught_up=events_pb2.CaughtUp(position=position))


def heartbeat(cursor: str) -> events_pb2.WatchResponse:
    return events_pb2.WatchResponse(cursor=cursor, heartbeat=events_pb2.Heartbeat())


def watch_from(cursor: str | None = None, *, from_now: bool = False) -> WatchPosition:
    return WatchPosition(
        from_start=cursor is None and not from_now, from_now=from_now, cursor=cursor, filter=None
    )


def positions(items: list[WatchItem]) -> list[int]:
    return [item.position for item in items if isinstance(item, Entry)]


def test_entries_and_the_caught_up_mark_come_as_items() -> None:
    watch = watch_from()

    items = [*watch.take(entries("c2", 1, 2)), *watch.take(caught_up("c2", 2))]

    assert positions(items) == [1, 2]
    assert items[-1] == CaughtUp(2, "c2")


def test_the_caught_up_mark_comes_once_also_after_a_break() -> None:
    watch = watch_from()
    list(watch.take(caught_up("c0", 0)))

    assert list(watch.take(caught_up("c5", 5))) == []
    assert watch.request().cursor == "c5"


def test_heartbeats_give_nothing_and_move_the_cursor() -> None:
    watch = watch_from()

    assert list(watch.take(heartbeat("c9"))) == []
    assert watch.request().cursor == "c9"


def test_content_of_a_newer_service_moves_the_cursor() -> None:
    watch = watch_from()

    assert list(watch.take(events_pb2.WatchResponse(cursor="c3"))) == []
    assert watch.request().cursor == "c3"


@pytest.mark.parametrize(
    ("watch", "request_"),
    [
        (watch_from(), events_pb2.WatchRequest(from_start=True)),
        (watch_from(from_now=True), events_pb2.WatchRequest(from_now=True)),
        (watch_from("c7"), events_pb2.WatchRequest(cursor="c7")),
    ],
    ids=["start", "now", "cursor"],
)
def test_a_watch_begins_where_it_was_asked_to(
    watch: WatchPosition, request_: events_pb2.WatchRequest
) -> None:
    assert watch.request() == request_


def test_after_a_break_it_goes_on_after_the_last_message() -> None:
    watch = watch_from()
    list(watch.take(entries("c2", 1, 2)))

    assert watch.request() == events_pb2.WatchRequest(cursor="c2")


@pytest.mark.parametrize("handled", [1, 2, 3])
def test_the_cursor_of_any_entry_goes_on_right_after_it(handled: int) -> None:
    # Given a watch that stored the cursor of an entry in a message of three
    items = list(watch_from().take(entries("c3", 1, 2, 3)))
    stored = items[handled - 1].cursor

    # When another begins there, and the service sends what comes after its own cursor
    resumed = watch_from(stored)
    base = resumed.request().cursor
    sent = (1, 2, 3, 4) if base == "c0" else (4,)
    again = list(resumed.take(entries("c4", *sent)))

    # Then it goes on with the entry after the stored one
    assert positions(again) == list(range(handled + 1, 5))


def test_a_cursor_in_the_middle_survives_another_break() -> None:
    # Given a watch that handled the first of three entries after c5
    first = watch_from("c5")
    stored = next(first.take(entries("c8", 6, 7, 8))).cursor

    # When the one that goes on handles one more, and stores again
    second = watch_from(stored)
    assert second.request().cursor == "c5"
    stored_again = next(second.take(entries("c8", 6, 7, 8))).cursor

    # Then the third begins after both
    third = watch_from(stored_again)
    assert third.request().cursor == "c5"
    assert positions(list(third.take(entries("c8", 6, 7, 8)))) == [8]


def test_a_reset_is_raised() -> None:
    watch = watch_from("c7")
    reset = events_pb2.WatchResponse(cursor="d0", reset=events_pb2.Reset(incarnation="new"))

    with pytest.raises(errors.CursorReset, match="from_start") as raised:
        list(watch.take(reset))

    assert raised.value.metadata == {"incarnation": "new"}
    assert raised.value.reason == "CURSOR_RESET"


@pytest.mark.parametrize(
    "beginning",
    [
        {"from_start": False, "from_now": False, "cursor": None},
        {"from_start": True, "from_now": True, "cursor": None},
        {"from_start": True, "from_now": False, "cursor": "c1"},
    ],
)
def test_a_watch_begins_in_exactly_one_way(beginning: dict[str, bool | str | None]) -> None:
    with pytest.raises(ValueError, match="exactly one"):
        WatchPosition(**beginning, filter=None)  # type: ignore[arg-type]


def test_a_filter_that_is_one_string_is_a_mistake() -> None:
    with pytest.raises(TypeError, match="channel_ids"):
        event_filter("general", None, None)


@pytest.mark.parametrize("name", ["channel_ids", "event_types", "config_key_prefixes"])
def test_an_empty_list_to_filter_by_is_a_mistake_and_not_everything(name: str) -> None:
    lists = {"channel_ids": None, "event_types": None, "config_key_prefixes": None, name: []}

    with pytest.raises(ValueError, match=rf"{name} is empty.* or None for no condition"):
        event_filter(**lists)


def test_without_a_condition_there_is_no_filter() -> None:
    assert event_filter(None, None, None) is None
    assert event_filter(["a"], None, None) == events_pb2.EventFilter(channel_ids=["a"])


def test_a_reader_by_page_moves_with_each_entry() -> None:
    reader = ReadPosition(cursor=None, filter=None, page_size=None)
    page = events_pb2.ReadEventsResponse(
        start_cursor="c0",
        cursor="c3",
        entries=[events_pb2.Entry(position=position) for position in (1, 2, 3)],
    )

    taken = reader.take(page)
    assert next(taken).position == 1
    resumed = ReadPosition(cursor=reader.cursor, filter=None, page_size=None)

    assert resumed.request() == events_pb2.ReadEventsRequest(cursor="c0")
    assert [entry.position for entry in resumed.take(page)] == [2, 3]
    assert resumed.request().cursor == "c3"


def page(after: int, last: int) -> events_pb2.ReadEventsResponse:
    """The entries after a position, up to the last one of the page."""
    return events_pb2.ReadEventsResponse(
        start_cursor=f"c{after}",
        cursor=f"c{last}",
        entries=[events_pb2.Entry(position=position) for position in range(after + 1, last + 1)],
    )


def test_g6_a_reader_goes_on_after_its_cursor_however_small_its_pages_are() -> None:
    # Given the cursor of an entry in the middle of a message or page of many
    reader = ReadPosition(cursor="c0+5", filter=None, page_size=2)

    # When its entries come in pages that are smaller
    pages = [(0, 2), (2, 4), (4, 6), (6, 8)]
    read = [[entry.position for entry in reader.take(page(*one))] for one in pages]

    # Then each that was not handled comes once
    assert read == [[], [], [6], [7, 8]]
    assert reader.cursor == "c8"


def test_g6_the_cursor_of_a_reader_never_steps_back() -> None:
    # Given a reader that looks again through pages that were handled
    reader = ReadPosition(cursor="c0+5", filter=None, page_size=2)
    stored = [reader.cursor]
    for one in ((0, 2), (2, 2), (2, 4)):
        list(reader.take(page(*one)))
        stored.append(reader.cursor)

    # When another goes on from what was stored after any of them
    def goes_on(cursor: str) -> list[int]:
        again = ReadPosition(cursor=cursor, filter=None, page_size=100)
        after = int(again.request().cursor.removeprefix("c"))
        return [entry.position for entry in again.take(page(after, 7))]

    # Then nothing that was handled comes again
    assert [goes_on(cursor) for cursor in stored] == [[6, 7]] * 4
    # And at the end of the log the cursor is a plain one, which stays as it is
    list(reader.take(page(4, 7)))
    list(reader.take(page(7, 7)))
    assert reader.cursor == "c7"


def test_a_page_without_entries_moves_the_reader() -> None:
    reader = ReadPosition(cursor="c3", filter=None, page_size=10)

    assert list(reader.take(events_pb2.ReadEventsResponse(cursor="c9"))) == []
    assert reader.cursor == "c9"
    assert reader.request() == events_pb2.ReadEventsRequest(cursor="c9", page_size=10)


def test_an_entry_gives_what_its_message_has() -> None:
    message = events_pb2.Entry(position=7, request_id="r", events=[events_pb2.Event()])
    message.commit_time.seconds = 1_700_000_000
    message.commit_time.nanos = 123_456_789

    entry = Entry(message, "c7")

    assert entry.commit_time == datetime(2023, 11, 14, 22, 13, 20, 123456, tzinfo=UTC)
    assert (entry.request_id, len(entry.events)) == ("r", 1)
