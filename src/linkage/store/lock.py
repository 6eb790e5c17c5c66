"""One run at a time. The lock is the operating system's, so that a crash frees it."""

from __future__ import annotations

import getpass
import json
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from datetime import UTC, datetime

from filelock import FileLock, Timeout

from linkage.errors import ConfigurationError, TemporaryError, of_the_machine
from linkage.store.layout import Store


@contextmanager
def hold(store: Store) -> Iterator[None]:
    """Hold the store for this process.

    Raises:
        TemporaryError: Another run holds it; says which.
        ConfigurationError: The volume has no locks that end with their process.
    """
    # Never a lock by the mere existence of a file: a crash would leave it behind.
    lock = FileLock(store.path / "lock", timeout=0, fallback_to_soft=False)
    holder = store.path / "lock.holder"
    try:
        lock.acquire()
    except Timeout:
        raise TemporaryError(
            f"another run holds the store ({_holder(store)})", hint="wait until it has ended"
        ) from None
    except (OSError, NotImplementedError) as error:
        raise of_the_machine(error) or ConfigurationError(
            f"{store.path}: its volume cannot lock files, or the lock may not be written",
            hint="put the store on a local disk that this user may write to",
        ) from None
    try:
        holder.write_text(json.dumps(_me()), encoding="utf-8")
        yield
    finally:
        # The lock says that the store is free; who held it last must not hide how the run ended.
        with suppress(OSError):
            holder.unlink(missing_ok=True)
        lock.release()


def _me() -> dict[str, str | int]:
    try:
        user = getpass.getuser()
    except (KeyError, OSError):
        user = "unknown"
    return {
        "process": os.getpid(),
        "host": socket.gethostname(),
        "user": user,
        "since": f"{datetime.now(UTC):%Y-%m-%dT%H:%M:%SZ}",
    }


def _holder(store: Store) -> str:
    try:
        held = json.loads((store.path / "lock.holder").read_text(encoding="utf-8"))
        return f"process {held['process']} of {held['user']} on {held['host']} since {held['since']}"
    except (OSError, ValueError, KeyError):
        return "unknown"
