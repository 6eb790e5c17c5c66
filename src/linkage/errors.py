"""Every error that `linkage` raises on purpose, and the exit code it ends a command with.

    LinkageError                1   never raised itself
    ├── ConfigurationError      2   linkage.toml, a contract or a command line is wrong
    ├── InputError              3   an extract fails its contract or the quality gate
    ├── PolicyError             4   refused: a register is stale, missing or does not cover the flow
    ├── KeyUnavailableError     5   a keyset or its identity cannot be opened
    ├── IntegrityError          6   a check on our own output failed: nothing is published
    └── TemporaryError         75   try again: another run holds the store, the disk is full

A message says what is wrong and where (file, row, column) and never repeats a value from the data;
the hint says what to do next.
"""

from __future__ import annotations

__all__ = [
    "ConfigurationError",
    "InputError",
    "IntegrityError",
    "KeyUnavailableError",
    "LinkageError",
    "PolicyError",
    "TemporaryError",
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
