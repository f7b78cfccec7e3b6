"""The script of commands of all kinds against a service whose disk is at fault.

The client takes every answer for what it says. After one that leaves open what happened it sends
again with the same request id; after one that says that nothing happened it first asks whether
that is so. A service that ends is started again, without the fault.
"""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_health.v1 import health_pb2, health_pb2_grpc

from gapless import Client, GaplessError
from gapless.testing import ServerError
from gapless_server.cli.verify import recount_log
from tests.reliability.disk_faults import Fault
from tests.reliability.every_kind import (
    ERASURE,
    FIRST,
    LAST,
    LATER,
    OTHER,
    Command,
    said,
    state_of,
)
from tests.reliability.forked_service import SECONDS_MAX, ForkedService
from tests.reliability.stories import Story
from tests.reliability.watching import LogWatch

NAMESPACES: Final = ("story", "other", "third")
_CHECKPOINT_ENTRIES: Final = 10
# What a service ends with that has failed.
_FAILED: Final = 1
# An answer takes milliseconds, and a slow disk may take seconds.
_ANSWER_SECONDS: Final = 8.0
# So often something is tried before the fault is lifted.
_TRIES: Final = 3
_SERVING: Final = health_pb2.HealthCheckResponse.SERVING

Told = Callable[[str, str], None]


class FaultScript:
    """One run of the script. `told` is called with what must not happen, and how it did."""

    def __init__(self, directory: Path, data: Path, fault: Fault, told: Told) -> None:
        self.story = Story()
        self.counts: Counter[str] = Counter()
        # What the service logged last, each time that it ended by itself.
        self.ends: list[str] = []
        self._fault = fault
        self._told = told
        self._service = ForkedService(
            directory=directory,
            data=data,
            checkpoint_entries=_CHECKPOINT_ENTRIES,
            attach=fault.attach,
        )
        self._health = _Health(self._service.address)
        self._watch = LogWatch(self._service)

    def run(self) -> Story:
        """Plays the script to its end; the fault is lifted before that, at the latest."""
        with ExitStack() as cleanup:
            cleanup.callback(self._service.kill)
            cleanup.callback(self._fault.lift)
            cleanup.callback(self._watch.close)
            self._start()
            self._send("story", FIRST)
            self._watch.start()
            self._fault.begin(self._service.command.pid)
            self._send("other", OTHER)
            self._send("story", ERASURE)
            self._until_erased()
            self._send("story", LATER)
            self._send("third", OTHER)
            self._until_erased()
            self._fault.lift()
            self._send("story", LAST)
            self._stop()
            self._look_back()
        return self.story

    def _start(self) -> None:
        try:
            self._service.start()
        except ServerError as error:
            if f"exit code {_FAILED} " not in str(error):
                raise
            self.counts["did_not_start"] += 1
            self._start_without_fault()
        self._health.follow()

    def _start_without_fault(self) -> None:
        self._fault.lift()
        self._service.attach = None
        self._service.start()

    def _send(self, namespace: str, commands: Sequence[Command]) -> None:
        answers = self.story.answers.setdefault(namespace, {})
        for command in commands:

            def send(client: Client, command: Command = command) -> Any:
                return command.send(client, command.request_id)

            answer = self._ask(namespace, send, command.request_id)
            answers[command.request_id] = said(getattr(answer, "message", answer))

    def _ask(self, namespace: str, question: Callable[[Client], Any], request_id: str = "") -> Any:
        """Asks until there is an answer."""
        tries = 0
        while True:
            if tries == _TRIES:
                self._fault.lift()
            assert tries < 20 * _TRIES, f"{namespace} {request_id} finds no answer"
            tries += 1
            with self._client(namespace) as client:
                try:
                    return question(client)
                except GaplessError as error:
                    self._take(error, client, request_id)
                    self.story.repeated += 1

    def _client(self, namespace: str) -> Client:
        return self._service.client(namespace, max_attempts=1, timeout=_ANSWER_SECONDS)

    def _take(self, error: GaplessError, client: Client, request_id: str) -> None:
        """Takes a failure for what it says, and comes back when it may be tried again."""
        self.counts[error.reason or error.code.name] += 1
        if error.reason == "OUTCOME_UNKNOWN" or not self._service.is_running:
            self._revive()
        elif error.code is grpc.StatusCode.DEADLINE_EXCEEDED:
            self._fault.lift()
        elif error.code is grpc.StatusCode.RESOURCE_EXHAUSTED:
            self._require_not_done(error, client, request_id)
        elif error.code is grpc.StatusCode.UNAVAILABLE:
            # It may be about to end, and refuse what comes meanwhile.
            threading.Event().wait(0.05)
        else:
            self._told("definite_failure", f"{request_id}: {error}")

    def _require_not_done(self, error: GaplessError, client: Client, request_id: str) -> None:
        """What was refused must not be there; reads go on meanwhile."""
        try:
            found = bool(request_id) and client.events.get_request(request_id).found
        except GaplessError as reading:
            self._told("reads_refused", f"after {error.reason}: {reading}")
            return
        if found:
            self._told("definite_failure", f"{request_id} was refused with {error} and is there")

    def _revive(self) -> None:
        code = self._service.wait()
        self.counts["ended"] += 1
        self.ends += [
            line for line in self._service.log_tail().splitlines() if "service_failed" in line
        ][-1:]
        if code != _FAILED:
            raise AssertionError(f"the service ended with {code}: {self._service.log_tail()}")
        if self._health.last() == _SERVING:
            self._told("ended_serving", "health said SERVING until the end")
        self._verify()
        try:
            self._service.attach = None
            self._service.start()
        except ServerError:
            self.counts["did_not_start"] += 1
            self._start_without_fault()
        self._health.follow()

    def _until_erased(self) -> None:
        give_up_time = time.monotonic() + SECONDS_MAX
        lift_time = time.monotonic() + 1.0
        while self._ask("story", lambda c: c.operations.get_namespace().erasure_pending):
            if time.monotonic() > lift_time:
                self._fault.lift()
            assert time.monotonic() < give_up_time, "an erasure does not come to its end"

    def _stop(self) -> None:
        try:
            self._service.stop()
        except ServerError:
            self.counts["stopped_with_a_failure"] += 1

    def _verify(self) -> None:
        for log in sorted((self._service.settings.data / "namespaces").glob("*.db")):
            self.story.breaches += recount_log(log, quiet=True)["breaches"]

    def _look_back(self) -> None:
        """Asks a new service for all that there is, and lets the watch come to its end."""
        self._verify()
        self._service.attach = None
        self._service.start()
        for namespace in NAMESPACES:
            with self._service.client(namespace) as client:
                self.story.logs[namespace] = [
                    (entry.position, entry.request_id) for entry in client.events.read()
                ]
        with self._service.client("story") as client:
            self.story.states["story"] = state_of(client)
            # One entry more wakes the watch, which may have seen all others.
            self._watch.last_position = len(self.story.logs["story"])
            client.config.set("end", "", request_id="end")
        self.story.watched = self._watch.ended()[: self._watch.last_position]
        self._service.stop()


class _Health:
    """What the service says of its health, until it ends."""

    def __init__(self, address: str) -> None:
        self._address = address
        self._said: list[int] = []
        self._thread: threading.Thread | None = None

    def follow(self) -> None:
        """Begins to listen; returns once the service has said that it serves."""
        self.last()
        begun = threading.Event()
        self._said = []
        self._thread = threading.Thread(target=self._listen, args=(begun,), daemon=True)
        self._thread.start()
        begun.wait(SECONDS_MAX)

    def last(self) -> int | None:
        """Returns the last word of a service that has ended."""
        if self._thread is not None:
            self._thread.join(SECONDS_MAX)
        return self._said[-1] if self._said else None

    def _listen(self, begun: threading.Event) -> None:
        try:
            with grpc.insecure_channel(self._address) as channel:
                stub = health_pb2_grpc.HealthStub(channel)
                for response in stub.Watch(health_pb2.HealthCheckRequest(), wait_for_ready=True):
                    self._said.append(response.status)
                    begun.set()
        except grpc.RpcError:
            begun.set()
