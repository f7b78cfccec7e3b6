"""The power goes while clients write and read: nothing that anybody was shown is gone.

In each cycle a service of default settings works in a fresh namespace of one data directory, on a
disk whose power is cut at a random moment. In every third one the service is killed first, between
a write and its sync, and started again, so that it finds what is not durable yet; what it shows
then must not be gone either. Afterwards the file system is mounted again and the log recounted.

That the harness would notice is a test too: with synchronous=NORMAL it must find losses.
"""

from __future__ import annotations

import os
import shutil
import threading
from collections import Counter
from collections.abc import Iterator
from contextlib import ExitStack, suppress
from pathlib import Path
from typing import Any

import pytest

from gapless import Client
from gapless.errors import ChannelNotFound
from gapless_server.cli.verify import recount_log
from gapless_server.journal.sqlite import SqliteJournal
from tests.reliability.forked_service import ForkedService
from tests.reliability.harness import Run, harness
from tests.reliability.power import PowerDisk, power_disk
from tests.reliability.tracing import Point, injecting
from tests.reliability.witnesses import CHANNEL, Seen, Witnesses

PROMISED = ("lost", "watched_lost", "twice", "gaps", "not_verified", "did_not_start")

# The power is cut within so many seconds after the first answer.
MOMENT_SECONDS_MAX = 0.4
KILLED_BEFORE_SYNC_MAX = 20
CYCLES_THAT_BITE = 5

pytestmark = [
    pytest.mark.skipif(os.geteuid() != 0, reason="mounting a disk and cutting it needs root"),
    pytest.mark.timeout(0),
]


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[PowerDisk]:
    with ExitStack() as stack:
        try:
            disk = stack.enter_context(power_disk(tmp_path / "power"))
        except OSError as error:
            pytest.skip(str(error))
        yield disk


class Cycles:
    """Cuts on one disk, each followed by a look at what is left."""

    def __init__(self, run: Run, directory: Path, disk: PowerDisk) -> None:
        self._run = run
        self._directory = directory
        self._disk = disk
        # Not on the disk: a program that watches the service would have that elsewhere.
        self.service = ForkedService(directory=directory, data=disk.path / "data")

    def cycle(self, number: int) -> None:
        """Works, cuts, and looks."""
        namespace = f"cycle{number}"
        try:
            if number % 3 == 2 and shutil.which("strace"):
                seen = self._seen_after_a_kill(namespace)
            else:
                seen = self._seen_before_the_cut(namespace)
        finally:
            self.service.kill()
        self._disk.power_up()
        self._look(namespace, seen)
        self._run.count("cuts")
        self._run.count("acknowledged", len(seen.acknowledged))
        self._run.count("watched", len(seen.watched))

    def _seen_before_the_cut(self, namespace: str) -> Seen:
        self.service.start()
        self._create(namespace)
        witnesses = Witnesses(self.service, namespace)
        witnesses.start()
        witnesses.until_acknowledged()
        # Not to wait for something: to come at any moment, in a commit or between two.
        threading.Event().wait(self._run.chance.uniform(0, MOMENT_SECONDS_MAX))
        self._disk.cut()
        return self._after(witnesses)

    def _seen_after_a_kill(self, namespace: str) -> Seen:
        log = self._disk.path / "data" / "namespaces" / f"{namespace}.db-wal"
        number = self._run.chance.randint(3, KILLED_BEFORE_SYNC_MAX)
        point = Point("fdatasync", str(log), number)
        with injecting(self._directory / "trace", point, "signal=KILL") as tracer:
            self.service.attach = tracer.attach
            self.service.start()
            self._create(namespace)
            witnesses = Witnesses(self.service, namespace)
            witnesses.start()
            seen = witnesses.gone()
            self.service.wait()
        self._run.count("kills_before_a_sync")
        self.service.attach = None
        self.service.start()
        with self.service.client(namespace) as client:
            seen.watched |= {entry.position: entry.request_id for entry in client.events.read()}
            self._disk.cut()
        return seen

    def _after(self, witnesses: Witnesses) -> Seen:
        """Lets the service end, by itself or not, so that its clients do."""
        self.service.kill()
        return witnesses.gone()

    def _create(self, namespace: str) -> None:
        with self.service.client(namespace) as client:
            client.channels.create(CHANNEL, request_id="create")

    def _look(self, namespace: str, seen: Seen) -> None:
        try:
            self.service.start()
            with self.service.client(namespace) as client:
                log = {entry.position: entry.request_id for entry in client.events.read()}
                sequences = _sequences(client)
            self.service.stop()
        except Exception as error:
            self._run.violation("did_not_start", f"{namespace}: {error}")
            self.service.kill()
            return
        self._compare(namespace, seen, log, sequences)
        for breach in recount_log(self._log(namespace), quiet=True)["breaches"]:
            self._run.violation("not_verified", f"{namespace}: {breach}")

    def _log(self, namespace: str) -> Path:
        return self._disk.path / "data" / "namespaces" / f"{namespace}.db"

    def _compare(
        self, namespace: str, seen: Seen, log: dict[int, str], sequences: list[int]
    ) -> None:
        for what, shown in (("lost", seen.acknowledged), ("watched_lost", seen.watched)):
            gone = {at: name for at, name in shown.items() if log.get(at) != name}
            if gone:
                self._run.violation(
                    what, f"{namespace}: {gone} of a log that ends at {len(log)}", len(gone)
                )
        if seen.head_sequence > len(sequences):
            self._run.violation("watched_lost", f"{namespace}: sequence {seen.head_sequence}")
        twice = [name for name, count in Counter(log.values()).items() if count > 1]
        if twice:
            self._run.violation("twice", f"{namespace}: {twice}", len(twice))
        if list(log) != list(range(1, len(log) + 1)) or sequences != list(
            range(1, len(sequences) + 1)
        ):
            self._run.violation("gaps", f"{namespace}: {list(log)}, {sequences}")


def _sequences(client: Client) -> list[int]:
    with suppress(ChannelNotFound):
        return [message.sequence for message in client.messages.list(CHANNEL, page_size=1000)]
    return []


def test_g2_no_loss_of_power_takes_back_what_anybody_was_shown(
    tmp_path: Path, disk: PowerDisk
) -> None:
    with harness("power_loss", small=5, full=200, promised=PROMISED) as run:
        cycles = Cycles(run, tmp_path / "service", disk)
        for number in range(run.times):
            cycles.cycle(number)


def synced_less() -> None:
    """Plants the mistake in a service: it calls durable what only the system has."""
    original = SqliteJournal._set_and_check

    async def planted(self: SqliteJournal, pragma: str, value: str, expected: object) -> None:
        if pragma == "synchronous":
            value, expected = "NORMAL", 1
        await original(self, pragma, value, expected)

    setattr(SqliteJournal, "_set_and_check", planted)  # noqa: B010 - a method, replaced on purpose


def test_with_synchronous_normal_the_same_cuts_lose_what_was_acknowledged(
    tmp_path: Path, disk: PowerDisk
) -> None:
    run: Any = Run("power_loss_planted", "small", CYCLES_THAT_BITE, 1, PROMISED)
    cycles = Cycles(run, tmp_path / "service", disk)
    cycles.service.prepare = synced_less

    for number in range(0, 3 * CYCLES_THAT_BITE, 3):
        cycles.cycle(number)

    assert run.counts["cuts"] == CYCLES_THAT_BITE
    assert run.violations["lost"] > 0
