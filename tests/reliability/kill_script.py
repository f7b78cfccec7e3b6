"""The fixed script: a service, a backup, a restore, an export, an import, and the service again.

Each of them is a process with a name, a part of the script. One of them may be killed at a point
of its work. Whoever was talking to it then starts it again and goes on where it had no answer, as
any client would, until the script has come to its end.
"""

from __future__ import annotations

import random
import secrets
import signal
import threading
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any, Final

from gapless import Client
from gapless.errors import UnavailableError
from gapless_server.cli.verify import recount_log
from tests.reliability.every_kind import ERASURE, FIRST, LAST, LATER, OTHER, Command, said, state_of
from tests.reliability.forked_service import SECONDS_MAX, ForkedCommand, ForkedService
from tests.reliability.stories import Story
from tests.reliability.tracing import Tracer
from tests.reliability.watching import LogWatch

SERVICE: Final = "service"
ERASING: Final = "service that erases"
BACKUP: Final = "backup"
RESTORE: Final = "restore"
EXPORT: Final = "export"
IMPORT: Final = "import"
RESTORED: Final = "service of what was restored"
LAST_SERVICE: Final = "last service"
PARTS: Final = (SERVICE, ERASING, BACKUP, RESTORE, EXPORT, IMPORT, RESTORED, LAST_SERVICE)

# Often, so that there are many moments in the middle of one.
_CHECKPOINT_ENTRIES: Final = 10
_KILLED: Final = -signal.SIGKILL
# What a restore ends with if the namespace is there already.
_TAKEN: Final = 2


def _fix_names(part: str) -> None:
    """Lets the names that a part gives to its files be the same in every run of the script."""
    chance = random.Random(part)
    secrets.token_hex = lambda size_bytes=None: chance.randbytes(size_bytes or 32).hex()


class Script:
    """One run of the script. `tracers` are attached to the parts of their names, once."""

    def __init__(self, directory: Path, tracers: dict[str, Tracer]) -> None:
        self.directory = directory
        self.data = directory / "data"
        self.story = Story()
        self._tracers = dict(tracers)
        self._part = ""
        self._service = ForkedService(
            directory=directory, checkpoint_entries=_CHECKPOINT_ENTRIES, attach=self._attach
        )
        self._watch = LogWatch(self._service)

    def run(self) -> Story:
        """Plays the script to its end."""
        with ExitStack() as cleanup:
            cleanup.callback(self._service.kill)
            self._serve(SERVICE)
            self._send("story", FIRST)
            self._watch.start()
            cleanup.callback(self._watch.close)
            self._send("other", OTHER)
            self._stop()
            self._serve(ERASING)
            self._send("story", ERASURE)
            self._until_erased("story")
            backup = self.directory / "backup"
            self._command(BACKUP, "-n", "story", "-a", self._service.address, str(backup))
            self._stop()
            export = self.directory / "export.jsonl"
            self._command(RESTORE, str(backup), "--data", str(self.data), "-n", "restored")
            self._command(EXPORT, str(self.data), "-n", "story", "-o", str(export), "-q")
            self._command(IMPORT, str(export), "--data", str(self.data), "-n", "imported")
            self._serve(RESTORED)
            self._send("restored", LATER)
            self._until_erased("restored")
            self._stop()
            self._serve(LAST_SERVICE)
            for namespace in ("story", "imported"):
                self._send(namespace, LAST)
            self._stop()
            self._look_back()
        return self.story

    def _serve(self, part: str) -> None:
        self._part = part
        self._service.prepare = partial(_fix_names, part)
        self._persist(self._service.start)

    def _attach(self, pid: int) -> None:
        tracer = self._tracers.pop(self._part, None)
        if tracer is not None:
            tracer.attach(pid)

    def _persist(self, start: Callable[[], None]) -> None:
        """Starts the service; once more if it was killed on the way, never for another reason."""
        try:
            start()
        except Exception as error:
            if f"exit code {_KILLED} " not in str(error):
                raise
            self._take_note_of_a_kill()
            start()

    def _take_note_of_a_kill(self) -> None:
        self.story.kills += 1
        self._service.prepare = None
        self._verify()

    def _verify(self) -> None:
        for log in sorted((self.data / "namespaces").glob("*.db")):
            self.story.breaches += recount_log(log, quiet=True)["breaches"]

    def _ask(self, namespace: str, question: Callable[[Client], Any]) -> Any:
        """Asks until there is an answer; the service is started again if it was killed."""
        while True:
            with self._service.client(namespace, max_attempts=1, timeout=SECONDS_MAX) as client:
                try:
                    return question(client)
                except UnavailableError:
                    # Whoever asks can only wait until the service is back.
                    self._revive()
                    self.story.repeated += 1

    def _revive(self) -> None:
        code = self._service.wait()
        if code != _KILLED:
            raise AssertionError(f"the service ended with {code}: {self._service.log_tail()}")
        self._take_note_of_a_kill()
        self._service.start()

    def _send(self, namespace: str, commands: Sequence[Command]) -> None:
        answers = self.story.answers.setdefault(namespace, {})
        for command in commands:
            answer = self._ask(
                namespace, lambda c, command=command: command.send(c, command.request_id)
            )
            answers[command.request_id] = said(getattr(answer, "message", answer))

    def _until_erased(self, namespace: str) -> None:
        give_up = threading.Event()
        timer = threading.Timer(SECONDS_MAX, give_up.set)
        timer.start()
        try:
            while self._ask(namespace, lambda c: c.operations.get_namespace().erasure_pending):
                assert not give_up.is_set(), f"erasures of {namespace} do not come to an end"
        finally:
            timer.cancel()

    def _command(self, part: str, *arguments: str) -> None:
        """Runs a command of the command line; again, if it or the service was killed."""
        self._part = part
        name = "import-log" if part == IMPORT else part
        prepare: partial[None] | None = partial(_fix_names, part)
        while True:
            command = ForkedCommand([name, *arguments], self._service.log_path, prepare=prepare)
            prepare = None
            self._attach(command.pid)
            command.go()
            code = command.wait()
            if code == 0:
                return
            self.story.repeated += 1
            if code == _TAKEN and self.story.kills and part in (RESTORE, IMPORT):
                return  # it had come to its end before it was killed
            if code == _KILLED:
                # The service may still run: its logs are looked at when it has ended.
                self.story.kills += 1
            elif part == BACKUP and not self._service.is_running:
                self._revive()
            else:
                raise AssertionError(f"{part} ended with {code}: {self._service.log_tail()}")

    def _stop(self) -> None:
        """Stops the service in order; if it is killed meanwhile, it is started for that."""
        self._service.command.signal(signal.SIGTERM)
        code = self._service.wait()
        if code == _KILLED:
            self._take_note_of_a_kill()
            self._service.start()
            self._service.stop()
        elif code != 0:
            raise AssertionError(f"the service ended with {code}: {self._service.log_tail()}")

    def _look_back(self) -> None:
        """Asks a new service for all that there is, and lets the watch come to its end."""
        self._service.start()
        for namespace in ("story", "other", "restored", "imported"):
            with self._service.client(namespace) as client:
                self.story.logs[namespace] = [
                    (entry.position, entry.request_id) for entry in client.events.read()
                ]
                if namespace != "other":
                    self.story.states[namespace] = state_of(client)
        # One entry more wakes the watch, which may have seen all others.
        self._watch.last_position = len(self.story.logs["story"])
        with self._service.client("story") as client:
            client.config.set("end", "", request_id="end")
        self.story.watched = self._watch.ended()[: self._watch.last_position]
        self._service.stop()
        self._verify()
