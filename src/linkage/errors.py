"""Every error that `linkage` raises on purpose, and the exit code it ends a command with.

    LinkageError                1   never raised itself
    ├── ConfigurationError      2   linkage.toml, a contract or a command line is wrong
    ├── InputError              3   an extract fails its contract or the quality gate
    ├── PolicyError             4   refused: a register is stale, missing or does not cover the flow
    ├── KeyUnavailableError     5   a keyset or its identity cannot be opened
    ├── IntegrityError          6   a check on our own output failed: nothing is published
    └── TemporaryError         75   try again: another run holds the store, the disk is full or fails, memory ran out

A message says what is wrong and where (file, row, column) and never repeats a value from the data;
the hint says what to do next.
"""

from __future__ import annotations

import errno
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager

__all__ = [
    "ConfigurationError",
    "InputError",
    "IntegrityError",
    "KeyUnavailableError",
    "LinkageError",
    "PolicyError",
    "TemporaryError",
    "of_the_machine",
    "told_of_the_machine",
]


class LinkageError(Exception):
    """The base of all errors raised on purpose.

    Args:
        message: What is wrong and where, without a value from the data.
        hint: What the reader can do about it.
    """

    exit_code: int = 1

    def __init__(self, message: str, *, hint: str = "report this line; it holds nothing from the data") -> None:
        super().__init__(message)
        self.message = message
        self.hint = hint

    def __reduce__(self) -> tuple[object, ...]:
        # Keyword-only arguments do not survive the default pickling that process pools use.
        return (_rebuild, (type(self), self.message, self.hint))


class ConfigurationError(LinkageError):
    """The configuration, a feed's contract or a command line cannot be used."""

    exit_code = 2


class InputError(LinkageError):
    """An extract is missing, unreadable, or does not keep to its contract."""

    exit_code = 3


class PolicyError(LinkageError):
    """An opt-out register is missing, stale, or does not cover what is to be released."""

    exit_code = 4


class KeyUnavailableError(LinkageError):
    """A keyset, or the identity that opens it, is not there or does not fit."""

    exit_code = 5


class IntegrityError(LinkageError):
    """What was about to be published failed one of our own checks."""

    exit_code = 6


class TemporaryError(LinkageError):
    """The same command may succeed later: the store is in use, or the disk is full."""

    exit_code = 75


def _rebuild(kind: type[LinkageError], message: str, hint: str) -> LinkageError:
    return kind(message, hint=hint)


_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
_DISK = (errno.EIO, getattr(errno, "ESTALE", errno.EIO))
_REFUSED = (errno.EACCES, errno.EPERM, errno.EROFS)
_HANDLES = (errno.EMFILE, errno.ENFILE)
_MEMORY = (errno.ENOMEM,)
_WORDS = {os.strerror(number).lower(): number for number in (*_FULL, *_DISK, *_REFUSED, *_HANDLES, *_MEMORY)}


def of_the_machine(error: BaseException) -> LinkageError | None:
    """What to say where the disk, a permission, memory or a limit failed; None where the error is of another kind.

    Native libraries tell of these in words, which can quote a path or a statement: only the kind is taken from them.
    """
    number = _number(error)
    if number in _FULL:
        return TemporaryError("the disk is full", hint="the last snapshot is untouched: free some space and run again")
    if number in _DISK:
        return TemporaryError(
            "the disk could not be read or written",
            hint="the last snapshot is untouched: look at the disk, for example in the system's log, and run again",
        )
    if number in _REFUSED:
        where = f"{error.filename}: " if isinstance(error, OSError) and isinstance(error.filename, str) else ""
        return ConfigurationError(
            f"{where}the system refused a file or a folder ({os.strerror(number or 0)})",
            hint="the last snapshot is untouched: the store and the private folder must belong to the user that runs this",
        )
    if number in _HANDLES:
        return TemporaryError("too many files are open", hint="raise the limit (`ulimit -n`) and run again")
    if number in _MEMORY:
        return TemporaryError("out of memory", hint="end other programs or take a larger machine, and run again")
    return None


@contextmanager
def told_of_the_machine() -> Iterator[None]:
    """Raise what `of_the_machine` says instead of what a library raised.

    Raises:
        TemporaryError: The disk is full or failed, memory or handles ran out.
        ConfigurationError: A file or a folder may not be written or read.
    """
    try:
        yield
    except LinkageError:
        raise
    except Exception as error:
        said = of_the_machine(error)
        if said is None:
            raise
        raise said from None


def _number(error: BaseException) -> int | None:
    if isinstance(error, MemoryError):
        return errno.ENOMEM
    if isinstance(error, OSError) and error.errno is not None:
        return error.errno
    message = str(error).lower()
    if found := re.search(r"\(os error (\d+)\)", message):
        return int(found.group(1))
    return next((number for words, number in _WORDS.items() if words in message), None)
