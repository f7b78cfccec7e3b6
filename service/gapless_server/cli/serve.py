"""`gapless serve`: runs the service until it is told to stop, or has to."""

from __future__ import annotations

import asyncio
import errno
import gc
import os
import resource
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, Final, NoReturn

import click
import structlog

from gapless_server.cli.configuration import Configuration, unknown_variables
from gapless_server.cli.exits import EXIT_CODES_HELP, FAILED, OK, CommandError, InUse, WrongSettings
from gapless_server.cli.logs import configure_logs
from gapless_server.cli.paths import GivenPath
from gapless_server.cli.port_owner import describe_listener
from gapless_server.cli.settings_options import settings_options
from gapless_server.journal.port import JournalError, OwnedElsewhere
from gapless_server.listening import AddressInUse, AddressUnusable, listen_address
from gapless_server.rpc import wake_ups
from gapless_server.server import Server
from gapless_server.settings import Settings

_log = structlog.get_logger()

# How many objects pile up before the garbage collector looks for cycles. Commands make many
# objects and no cycles: at Python's 700 the pauses cost a third of the throughput.
GC_THRESHOLDS: Final = (50_000, 50, 100)

# How long a thread holds the interpreter lock when another asks for it. Commits are made on
# threads that need it a few times each, and at Python's 5 ms a writer that is busy would hold up
# the commits of every other namespace; at 1 ms, a checkpoint still held up every turn of the loop.
_SWITCH_SECONDS: Final = 0.0001

# Beyond the grace, for closing files; whatever still hangs then ends with the process.
_CLOSING_SECONDS_MAX: Final = 5.0


@click.command("serve", epilog=EXIT_CODES_HELP)
@settings_options
@click.option(
    "--address-file",
    type=GivenPath(),
    metavar="FILE",
    help="Write HOST:PORT to this file once the service serves; removed when it stops.",
)
def command(configuration: Configuration, address_file: Path | None) -> None:
    """Run the service.

    It listens on 127.0.0.1:4275 and keeps its logs in ./data unless told otherwise. Every
    setting can be given as a flag, as an environment variable, or in a TOML file; the flag is
    the strongest, the file the weakest. `gapless config` shows what is in force and why.

    SIGTERM, Ctrl-C or the end of its terminal stops it: it refuses new commands, answers the ones
    it has, and ends.
    """
    settings = configuration.settings()
    if address_file is not None:
        _require_place(address_file)
    configure_logs(settings)
    if unknown := unknown_variables(os.environ):
        # The name of each, and that of the setting that may be meant.
        _log.warning("environment_variables_unknown", unknown=unknown)
    _raise_file_limit()
    try:
        with asyncio.Runner(loop_factory=_loop_factory()) as runner:
            code = runner.run(_serve(settings, address_file))
    except AddressUnusable as error:
        raise WrongSettings(str(error)) from error
    except AddressInUse as error:
        address = listen_address(settings.host, settings.port)
        owner = describe_listener(settings.port)
        raise InUse(
            f"cannot listen on {address}: {owner}; stop it, or choose another port with --port"
        ) from error
    except OwnedElsewhere as error:
        raise InUse(str(error)) from error
    except JournalError as error:
        raise CommandError(str(error)) from error
    except OSError as error:
        raise CommandError(f"cannot start: {_described(error, settings)}") from error
    raise SystemExit(code)


def _described(error: OSError, settings: Settings) -> str:
    if error.filename is None:
        return str(error)
    return (
        f"{error.filename}: {error.strerror}; the data directory is {settings.data}, choose another"
        " with --data"
    )


def _loop_factory() -> Callable[[], asyncio.AbstractEventLoop] | None:
    try:
        import uvloop
    except ImportError:  # not to be had on every platform
        return None
    return uvloop.new_event_loop


async def _serve(settings: Settings, address_file: Path | None) -> int:
    stop = _stop_signal()
    with wake_ups.all_at_once():
        server = Server(settings)
    await server.start()
    _tune_garbage_collector()
    sys.setswitchinterval(_SWITCH_SECONDS)
    with _announced(server.address, address_file):
        ends: list[asyncio.Future[Any]] = [stop, server.failed]
        await asyncio.wait(ends, return_when=asyncio.FIRST_COMPLETED)
        if server.failed.done():
            _log.critical("service_failed", reason=server.failed.result())
        stopped = await _stop(server)
    if not stopped:
        _end_at_once()
    return OK if stopped and not server.failed.done() else FAILED


def _require_place(address_file: Path) -> None:
    """Refuses an address file that could not be written once the service serves."""
    try:
        if address_file.is_dir():
            raise IsADirectoryError(errno.EISDIR, os.strerror(errno.EISDIR))
        draft = _draft_of(address_file)
        draft.touch()
        draft.unlink()
    except OSError as error:
        raise WrongSettings(
            f"cannot write the address file {address_file} (--address-file): {error.strerror};"
            " expected a file in a directory that is there and can be written"
        ) from error


def _draft_of(address_file: Path) -> Path:
    return address_file.with_name(f"{address_file.name}.{os.getpid()}")


@contextmanager
def _announced(address: str, address_file: Path | None) -> Iterator[None]:
    """Keeps the address in a file, which nobody can see half of."""
    if address_file is None:
        yield
        return
    draft = _draft_of(address_file)
    draft.write_text(f"{address}\n", encoding="utf-8")
    draft.replace(address_file)
    try:
        yield
    finally:
        address_file.unlink(missing_ok=True)


def _stop_signal() -> asyncio.Future[None]:
    """Returns a future that the first SIGTERM, SIGINT or SIGHUP resolves."""
    loop = asyncio.get_running_loop()
    stop: asyncio.Future[None] = loop.create_future()

    def on_signal() -> None:
        if not stop.done():
            stop.set_result(None)

    signals = [signal.SIGTERM, signal.SIGINT]
    if signal.getsignal(signal.SIGHUP) is not signal.SIG_IGN:  # as nohup sets it
        signals.append(signal.SIGHUP)
    for number in signals:
        loop.add_signal_handler(number, on_signal)
    return stop


async def _stop(server: Server) -> bool:
    """Stops the service; says whether it did so in order and in time."""
    seconds_max = server.settings.grace_seconds + _CLOSING_SECONDS_MAX
    try:
        await asyncio.wait_for(server.stop(), seconds_max)
    except TimeoutError:
        _log.error("not_stopped_in_time", seconds_max=seconds_max)
        return False
    except Exception:
        _log.exception("stop_failed")
        return False
    return True


def _end_at_once() -> NoReturn:
    """Ends the process as SIGKILL would: whatever was answered is on the disk.

    The end of the program would wait for the threads of what is still open, for ever.
    """
    for stream in (sys.stdout, sys.stderr):
        with suppress(OSError):
            stream.flush()
    os._exit(FAILED)


def _raise_file_limit() -> None:
    """Takes as many file handles as there may be: a namespace that is open needs up to nine."""
    _soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))


def _tune_garbage_collector() -> None:
    """What lives now lives until the end: leave it out of every later collection."""
    gc.collect()
    gc.freeze()
    gc.set_threshold(*GC_THRESHOLDS)
