"""Damaged files are found and refused, or the damage changes nothing that anybody can see (G8)."""

from __future__ import annotations

import asyncio
import os
import shutil
import tempfile
import traceback
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest

from gapless import errors
from gapless.testing import SubprocessServer
from gapless_server.cli.exits import WrongSettings
from gapless_server.cli.verify import recount_log
from gapless_server.core.refusals import Refused
from gapless_server.writer.namespace import Namespace
from tests.cli.commands import run_process
from tests.reliability.damages import DAMAGES, Damage, Files
from tests.reliability.harness import Run, harness
from tests.reliability.log_of_all_kinds import NAMESPACE, Moments, make
from tests.reliability.opened_data import (
    Seen,
    differing_rows,
    goes_on,
    opened,
    read_entries,
    read_rows,
    unknown_requests,
)

# Of so many trials one is done with the programs themselves as well.
PROGRAMS_EVERY: Final = 100

REFUSED: Final = "refused_at_start"
FOUND: Final = "found_when_read"
HARMLESS: Final = "harmless"
# Texts by which a person knows what to look at.
TELLING: Final = ("all.db", "all.head", "namespace all")

PROMISED = ["silent", "tracebacks", "unclear", "loops", "verify_missed", "programs_differ"]


class Outcome(NamedTuple):
    """What became of damaged data, and what was said of it."""

    name: str
    said: str
    wrong: tuple[str, ...] = ()


async def differences(namespace: Namespace, truth: Seen, found: list[str]) -> list[str]:
    """Returns all that is shown otherwise than it was; `found` gets what is refused."""
    seen = Seen()
    wrong: list[str] = []
    try:
        await read_entries(namespace, seen)
    except Refused as refusal:
        found.append(str(refusal))
        if seen.entries != truth.entries[: len(seen.entries)]:
            wrong.append("the log before the damage is another")
    else:
        if seen.entries != truth.entries:
            wrong.append(f"the log is another, of {len(seen.entries)} entries")
    wrong += await unknown_requests(namespace, truth, found)
    try:
        if await read_rows(namespace) != truth.rows:
            wrong.append("the rows of the state are others")
        if tables := await differing_rows(namespace, truth):
            wrong.append(f"rows of {tables} are not found")
        wrong += await goes_on(namespace, truth)
    except Refused as refusal:
        found.append(str(refusal))
    return wrong


async def outcome_of(data: Path, truth: Seen) -> Outcome:
    """Opens damaged data as the service does, and reads all of it."""
    found: list[str] = []
    try:
        async with opened(data) as namespace:
            wrong = await differences(namespace, truth, found)
    except Refused as refusal:
        return Outcome(REFUSED, str(refusal))
    return Outcome(FOUND if found else HARMLESS, "; ".join(found[:1]), tuple(wrong))


async def truth_of(data: Path, folder: Path) -> Seen:
    """Returns what undamaged data shows."""
    truth = Seen()
    async with opened(shutil.copytree(data, folder / "truth", dirs_exist_ok=True)) as namespace:
        await read_entries(namespace, truth)
        truth.rows = await read_rows(namespace)
    shutil.rmtree(folder / "truth")
    return truth


def verified(data: Path) -> list[str]:
    """Returns what `gapless verify` says of the log."""
    try:
        shown = recount_log(data / "namespaces" / f"{NAMESPACE}.db", quiet=True)
    except WrongSettings as error:
        return [str(error)]
    breaches: list[str] = shown["breaches"]
    return breaches


def programs(folder: Path) -> tuple[str, int]:
    """Serves and verifies with the programs; says what was read, and how verify ended."""
    verify = run_process("verify", folder / "data", "--namespace", NAMESPACE)
    with (
        SubprocessServer(directory=folder) as server,
        server.client(NAMESPACE, max_attempts=1) as client,
    ):
        try:
            for _ in client.events.read():
                pass
        except (errors.LogCorrupt, errors.LogUnavailable) as error:
            return type(error).__name__, verify.returncode
    return "read", verify.returncode


class Trial:
    """One damage to one copy of the data."""

    def __init__(self, run: Run, number: int, folder: Path, moments: Moments) -> None:
        self._run = run
        self._folder = folder / str(number)
        self.moment = run.chance.choice(("killed", "stopped"))
        self._source: Path = getattr(moments, self.moment)
        self._older = moments.older
        self._number = number
        self._damage = ""

    def prepare(self) -> str:
        """Makes the damaged data; returns what is wrong with it."""
        chance = self._run.chance
        said = None
        while said is None:
            shutil.rmtree(self._folder, ignore_errors=True)
            data = shutil.copytree(self._source, self._folder / "data")
            files = Files(data / "namespaces", self._older / "namespaces")
            damage: Damage = chance.choices(list(DAMAGES), list(DAMAGES.values()))[0]
            said = damage(files, chance)
        self._damage = damage.__name__
        return f"trial {self._number}, {self.moment}, {self._damage}: {said}"

    def do(self, truth: Seen) -> None:
        """Damages, looks, counts."""
        said = self.prepare()
        verify_says = self._verify()
        with_programs = self._number % PROGRAMS_EVERY == PROGRAMS_EVERY - 1
        shown = programs(self._copy("programs")) if with_programs else None
        try:
            outcome = asyncio.run(outcome_of(self._folder / "data", truth))
            again = outcome
            if outcome.name != HARMLESS:
                again = asyncio.run(outcome_of(self._folder / "data", truth))
        except Exception:
            self._run.violation("tracebacks", f"{said}\n{traceback.format_exc()}")
            return
        finally:
            shutil.rmtree(self._folder)
        self._judge(said, outcome, again, verify_says)
        if shown is not None:
            self._compare(said, outcome, *shown)

    def _copy(self, name: str) -> Path:
        folder = self._folder / name
        shutil.copytree(self._folder / "data", folder / "data")
        return folder

    def _verify(self) -> list[str]:
        # In a copy: the look of one must not change what the other sees.
        return verified(self._copy("verify") / "data")

    def _judge(self, said: str, outcome: Outcome, again: Outcome, verify_says: list[str]) -> None:
        run = self._run
        run.count(outcome.name)
        run.count(f"{self._damage}: {outcome.name}")
        for wrong in outcome.wrong:
            run.violation("silent", f"{said}: {wrong}")
        if outcome.name != HARMLESS:
            if not any(telling in outcome.said for telling in TELLING):
                run.violation("unclear", f"{said}: {outcome.said}")
            if not verify_says:
                run.violation("verify_missed", f"{said}: {outcome.said}")
        elif verify_says:
            run.count("harmless_but_verify_tells")
        if outcome.name == REFUSED and again.name != REFUSED:
            run.violation("loops", f"{said}: refused, and then {again}")
        if outcome.name == FOUND and "is stopping" in again.said:
            run.violation("loops", f"{said}: the writer stops at each start: {again}")

    def _compare(self, said: str, outcome: Outcome, read: str, verify_code: int) -> None:
        run = self._run
        run.count("with_programs")
        if (read == "read") != (outcome.name == HARMLESS) or (
            outcome.name != HARMLESS and verify_code == 0
        ):
            run.violation("programs_differ", f"{said}: {outcome}: {read}, verify {verify_code}")


@pytest.fixture
def folder(tmp_path: Path) -> Iterator[Path]:
    """A place for thousands of copies: in memory where there is one, as nothing need last."""
    memory = Path("/dev/shm")
    place = memory if os.access(memory, os.W_OK) else tmp_path
    with tempfile.TemporaryDirectory(dir=place) as name:
        yield Path(name)


@pytest.mark.timeout(0)
def test_g8_damaged_files_are_refused_or_show_what_they_always_did(folder: Path) -> None:
    moments = make(folder)
    truths: dict[str, Any] = {
        name: asyncio.run(truth_of(getattr(moments, name), folder))
        for name in ("killed", "stopped")
    }
    with harness("corruption", small=50, full=1000, promised=PROMISED) as run:
        for number in range(run.times):
            trial = Trial(run, number, folder, moments)
            trial.do(truths[trial.moment])
