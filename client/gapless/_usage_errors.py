"""What a client raises when it is used in a way that can not work."""

from __future__ import annotations

import grpc

from gapless._error_base import GaplessError, RetryAdvice


class ClientClosedError(GaplessError):
    """The client was closed. `outcome_unknown` tells if a command was under way."""

    code = grpc.StatusCode.CANCELLED
    retry_advice = RetryAdvice.NEVER


class ClientForkedError(GaplessError):
    """The client was made in the parent of this process; connections do not survive a fork."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    retry_advice = RetryAdvice.NEVER


class ClientElsewhereError(GaplessError):
    """The client belongs to another event loop than the one that runs now."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    retry_advice = RetryAdvice.NEVER


class ReadInBatchError(GaplessError):
    """A read was asked of a batch, which holds commands only and has not run yet."""

    code = grpc.StatusCode.FAILED_PRECONDITION
    retry_advice = RetryAdvice.NEVER


def read_in_batch_error() -> ReadInBatchError:
    """For reads through a batch."""
    return ReadInBatchError(
        "a batch holds commands only; read through the client, before the batch or after it"
    )


def batch_ended_error() -> RuntimeError:
    """For commands of a batch whose block has ended."""
    return RuntimeError("the block of this batch has ended; make another one with client.batch()")


def hold_in_batch_error() -> RuntimeError:
    """For locks to be held by a batch."""
    return RuntimeError(
        "a batch can not hold a lock, as it is sent when its block has ended; hold it around the"
        " batch, as `lock`, and begin that with client.batch(guards=[lock])"
    )


def closed_error() -> ClientClosedError:
    """For calls on a client that was closed."""
    return ClientClosedError("the client is closed; create a new one")


def forked_error() -> ClientForkedError:
    """For calls in the child of the process that made the client."""
    return ClientForkedError(
        "this client was created before the process forked and does not work in the child; create"
        " a new client in the child, after the fork"
    )


def asyncio_lost_error() -> ClientForkedError:
    """For new clients for asyncio in the child of a process that uses one."""
    return ClientForkedError(
        "this process was forked while its parent used a client for asyncio, which gRPC does not"
        " support; start it with the start method 'spawn', or before the parent uses its client"
    )


def elsewhere_error() -> ClientElsewhereError:
    """For calls from another event loop than the one of the first call."""
    return ClientElsewhereError(
        "this client was first used on another event loop; create one client for each event loop,"
        " or use the blocking gapless.Client, which works from any thread"
    )
