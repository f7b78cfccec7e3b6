"""The harness with small numbers: complete, and honest about promises. Never about speed."""

from __future__ import annotations

from array import array
from pathlib import Path

import pytest

from bench.peers import postgres
from bench.recount import recount, together
from bench.report import Report, cell_table, machine, target_table
from bench.run import Measured, Servers, run_cells
from bench.servers import NotInstalled, program
from bench.systems import (
    BARE,
    BARE_ON_LOOP,
    BARE_STREAMS,
    FDATASYNC,
    FRAMES,
    REDIS,
    SDK,
    SQLITE,
    UNARY,
    Cell,
    Shape,
    System,
    full_cells,
)
from bench.targets import Target, throughput_targets
from gapless_server.load.plan import Load
from gapless_server.load.tally import LoadResult, Tally, total

SECONDS = 0.5


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[list[Measured], dict[str, object]]:
    """A round of us, of a peer that is always there and of a floor; the recount of our logs."""
    cells = [
        Cell(SDK, Shape(2, 4, 3)),
        Cell(UNARY, Shape(1, 4, 1)),
        Cell(FRAMES, Shape(1, 2, 1, 10)),
        Cell(SQLITE, Shape(2, 1, 2)),
        Cell(FDATASYNC, Shape(1, 1, 1)),
        *(Cell(bare, Shape(1, 128, 1)) for bare in BARE_STREAMS),
        Cell(BARE, Shape(1, 2, 1, 10)),
    ]
    with Servers(tmp_path_factory.mktemp("bench")) as servers:
        results = run_cells(servers, cells, rounds=1, seconds=SECONDS, on_news=lambda _what: None)
        return results, recount(servers.own_data())


def test_every_system_answers_and_keeps_its_promises(
    measured: tuple[list[Measured], dict[str, object]],
) -> None:
    results, _ = measured

    assert [one.cell.system for one in results] == [
        *(SDK, UNARY, FRAMES, SQLITE, FDATASYNC),
        *(*BARE_STREAMS, BARE),
    ]
    assert [one for one in results if not one.results[0].posts] == []
    assert [one.breaches for one in results] == [[]] * len(results)
    assert [one.cell.system for one in results if not one.results[0].repeats] == []


def test_a_bare_stream_gives_every_sequence_once_while_it_runs(
    measured: tuple[list[Measured], dict[str, object]],
) -> None:
    results, _ = measured

    bare = [one for one in results if one.cell.system in BARE_STREAMS]

    # What is no system's promise is no breach of it, so the answers are looked at themselves.
    assert [one.results[0].breaches for one in bare] == [[], [], []]


def test_a_row_says_what_the_quicker_bare_stream_reaches_in_our_place() -> None:
    def one(system: System, rate: float, p50_ms: float) -> Measured:
        result = LoadResult(Load(prefix="c"), 1, rate, p50_ms, 9.0, 0, [])
        return Measured(Cell(system, Shape(1, 128, 1)), [result])

    rows = throughput_targets(
        [one(SDK, 20, 5), one(REDIS, 10, 9), one(BARE, 30, 3), one(BARE_ON_LOOP, 50, 4)]
    )

    by_name = {row.what: row for row in rows if row.number == "P1"}
    assert (by_name["Redis, 128 callers"].reached, by_name["Redis, 128 callers"].bare) == (2, 5)
    assert (by_name["p50"].reached, by_name["p50"].bare) == (5, 3)
    assert by_name["UmaDB"].bare is None
    assert "| 2.00 x | **no** | 5.00 x |" in target_table(rows)


def test_g1_our_logs_are_recounted_after_every_load(
    measured: tuple[list[Measured], dict[str, object]],
) -> None:
    results, recounted = measured

    ours = [one for one in results if one.cell.system.peer == "ourselves"]
    assert recounted["logs"] == len(ours)
    assert recounted["breaches"] == []


def test_what_is_recounted_in_several_places_is_added_up() -> None:
    places = [
        {"logs": 1, "entries": 3, "breaches": []},
        {"logs": 2, "entries": 4, "breaches": ["a gap"]},
    ]

    assert together(places) == {"logs": 3, "entries": 7, "breaches": ["a gap"]}


def test_a_report_has_a_row_for_every_target_measured_or_not(
    measured: tuple[list[Measured], dict[str, object]], tmp_path: Path
) -> None:
    results, recounted = measured
    targets = throughput_targets(results)

    Report({}, machine(tmp_path), {}, {"etcd": "why"}, results, targets, recounted).write(
        tmp_path, "run"
    )

    text = (tmp_path / "run.md").read_text(encoding="utf-8")
    assert {target.number for target in targets} == {"P1", "P2", "P3", "P4", "P5", "P6"}
    assert text.count("not measured") == len(targets)
    assert "Left out: etcd: why" in text
    assert cell_table(results) in text


def test_g1_a_gap_and_a_number_given_twice_are_noticed() -> None:
    load = Load(prefix="c")

    result = total(load, [Tally(channels=array("q", [0, 0, 0]), sequences=array("q", [1, 3, 3]))])

    assert result.breaches == [
        "c-0: 1 given twice",
        "c-0: 2 sequences from 1 to 3, expected 1 to 2",
    ]


def test_g1_a_number_given_to_two_processes_is_noticed() -> None:
    tallies = [Tally(channels=array("q", [0]), sequences=array("q", [1])) for _ in range(2)]

    assert total(Load(prefix="c"), tallies).breaches == ["c-0: 1 given twice"]


@pytest.mark.parametrize(
    ("bound", "reached", "holds"),
    [
        ("at least", 2.0, True),
        ("at least", 1.9, False),
        ("at most", 2.0, True),
        ("at most", 2.1, False),
    ],
)
def test_a_target_holds_at_its_bound(bound: str, reached: float, holds: bool) -> None:
    assert Target("P1", "", bound, 2.0, reached).holds is holds


def test_a_peer_that_is_not_installed_is_left_out_by_its_package(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("bench.servers.MORE_PLACES", ())
    monkeypatch.setenv("PATH", "")

    with pytest.raises(NotInstalled, match="apt-get install postgresql"):
        program("postgres", postgres.PACKAGE)


def test_the_full_run_has_every_load_that_was_asked_for() -> None:
    shapes = {cell.shape for cell in full_cells() if cell.system is SDK}

    assert {(1, 1), (1, 16), (1, 128), (1, 1024), (4, 32), (4, 256)} == {
        (shape.processes, shape.in_flight) for shape in shapes
    }
    assert {shape.channels for shape in shapes} == {1, 1000}
    assert {cell.shape.frame_posts for cell in full_cells()} == {0, 100, 1000}


@pytest.mark.parametrize(("busy_share", "busy"), [(0.1, False), (0.5, True)])
def test_a_busy_machine_is_told(
    measured: tuple[list[Measured], dict[str, object]], busy_share: float, busy: bool
) -> None:
    results, recounted = measured
    found = {"cores": 2, "busy_share_before": busy_share}

    text = Report({}, found, {}, {}, results, [], recounted).as_markdown()

    assert ("The machine was busy" in text) is busy
