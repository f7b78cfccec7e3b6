"""Shows that each system syncs before it acknowledges: `python -m bench.sync_check`. Needs strace.

strace makes every sync of the system take 20 ms longer. Posts are sent one after another; if the
quickest answer took less than that, it was given before the post was on the disk.
"""

from __future__ import annotations

import asyncio
import os
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from bench.run import Servers, driver_of
from bench.servers import NotInstalled, program, work_directory
from bench.systems import ETCD, EVENTSOURCING, REDIS, SDK, SQLITE, UMADB, System, postgres
from gapless import new_request_id
from gapless_server.load.driver import Post
from gapless_server.load.worker import is_async

DELAY_MS = 20
POSTS = 20
SYNCS = "fsync,fdatasync,msync,sync_file_range"
ATTACH_SECONDS_MAX = 10.0
SYSTEMS = (SDK, REDIS, postgres(1), UMADB, ETCD, SQLITE, EVENTSOURCING)


def main() -> None:
    print("| system | posts | syncs | quickest answer, ms | syncs before it answers |")
    print("| --- | --- | --- | --- | --- |")
    with work_directory() as directory, Servers(directory) as servers:
        for system in SYSTEMS:
            try:
                syncs, quickest_ms = check(servers, system, directory)
            except NotInstalled as error:
                print(f"| {system.name} | left out: {error} | | | |")
                continue
            verdict = "yes" if quickest_ms >= DELAY_MS else "**no**"
            print(f"| {system.name} | {POSTS} | {syncs} | {quickest_ms:.1f} | {verdict} |")


def check(servers: Servers, system: System, directory: Path) -> tuple[int, float]:
    """Returns how often the system synced, and its quickest answer in milliseconds."""
    facts = servers.facts(system)
    driver: Any = driver_of(system, facts, "synced").make()
    log = directory / f"{system.peer}.strace"
    pid = int(str(facts.get("pid", os.getpid())))
    channel_id = "synced"
    posts = [Post(channel_id, new_request_id(), b"x" * 100) for _ in range(POSTS)]
    if is_async(driver):
        return asyncio.run(_check_async(driver, posts, pid, log))
    driver.prepare([channel_id])
    with slow_syncs(pid, log):
        driver.open()
        taken = []
        for post in posts:
            began = time.perf_counter()
            driver.post(post)
            taken.append(time.perf_counter() - began)
        driver.close()
    return _syncs(log), min(taken) * 1000


async def _check_async(driver: Any, posts: list[Post], pid: int, log: Path) -> tuple[int, float]:
    await driver.prepare([posts[0].channel_id])
    # PostgreSQL makes a process a connection: those made from here on are traced as well.
    with slow_syncs(pid, log):
        await driver.open()
        taken = []
        for post in posts:
            began = time.perf_counter()
            await driver.post(post)
            taken.append(time.perf_counter() - began)
        await driver.close()
    return _syncs(log), min(taken) * 1000


@contextmanager
def slow_syncs(pid: int, log: Path) -> Iterator[None]:
    """Slows and records every sync of a process and its children, until the end of the block."""
    command = [program("strace", "strace"), "-f", "-qq", "-o", str(log), "-p", str(pid)]
    command += ["-e", f"trace={SYNCS}", "-e", f"inject={SYNCS}:delay_enter={DELAY_MS * 1000}"]
    tracer = subprocess.Popen(command)
    try:
        give_up_time = time.monotonic() + ATTACH_SECONDS_MAX
        while not _is_traced(pid):
            if tracer.poll() is not None or time.monotonic() > give_up_time:
                raise RuntimeError(f"strace does not attach to process {pid}")
            time.sleep(0.01)
        yield
    finally:
        tracer.terminate()
        tracer.wait()


def _is_traced(pid: int) -> bool:
    """Whether every thread of a process is traced."""
    threads = list(Path(f"/proc/{pid}/task").iterdir())
    return all("TracerPid:\t0\n" not in (one / "status").read_text() for one in threads)


def _syncs(log: Path) -> int:
    return sum(
        1 for line in log.read_text().splitlines() if "resumed" not in line and "sync" in line
    )


if __name__ == "__main__":
    main()
