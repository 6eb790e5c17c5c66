"""What is to be on the disk before anything relies on it, and what lies in a folder, without asking twice for each file."""

from __future__ import annotations

import ctypes
import os
import re
import secrets
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path

__all__ = ["about", "aside", "entries", "replace", "sync", "sync_all"]

# From here on Linux says what it could not write, as it does for a single file.
_TELLS = (5, 8)


def sync(path: Path) -> None:
    """Make sure that a file or a folder's names are on the disk."""
    if os.name == "nt" and path.is_dir():
        return
    # Windows writes a file through only from a handle that may write.
    handle = os.open(path, os.O_RDWR if os.name == "nt" else os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def replace(path: Path, content: bytes, mode: int = 0o666) -> None:
    """Write a file in place of another, if there is one: whole or not at all, and on the disk on return.

    Args:
        path: The file.
        content: What is to be in it.
        mode: Who may read and write it, less what the umask takes.

    Raises:
        OSError: The disk could not write it.
    """
    with aside(path, content, mode) as written:
        written.replace(path)
        sync(path.parent)


@contextmanager
def aside(path: Path, content: bytes, mode: int = 0o666) -> Iterator[Path]:
    """A file of a name of its own beside the one that it is to become, on the disk; removed where it did not become it."""
    beside = path.with_name(f".{path.name}.{secrets.token_hex(8)}")
    try:
        with os.fdopen(os.open(beside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, mode), "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        yield beside
    finally:
        beside.unlink(missing_ok=True)


def sync_all(folder: Path, new: Iterable[str | os.PathLike[str]]) -> None:
    """Make sure that a folder is on the disk with everything in it.

    A snapshot has thousands of folders. Linux is asked once for the whole volume, in a hundredth of the time that asking for
    each of them takes; elsewhere each is asked for.

    Args:
        folder: The folder.
        new: All files and folders in it that may not be on the disk yet, the folder itself among them.

    Raises:
        OSError: The disk could not write something.
    """
    if not _sync_volume(folder):
        for each in new:
            sync(Path(each))


def entries(folder: str | os.PathLike[str]) -> Iterator[os.DirEntry[str]]:
    """Everything below a folder, each folder after what is in it; links are not followed."""
    with os.scandir(folder) as found:
        for each in found:
            if each.is_dir(follow_symlinks=False):
                yield from entries(each.path)
            yield each


def about(entry: os.DirEntry[str]) -> os.stat_result:
    """What the file system says of an entry, links not followed; of a listing alone Windows does not know how many names it has."""
    return os.lstat(entry.path) if os.name == "nt" else entry.stat(follow_symlinks=False)


def _sync_volume(folder: Path) -> bool:
    """Have Linux write everything of a volume; False where it cannot be asked, or would not say what went wrong."""
    if sys.platform != "linux" or _kernel() < _TELLS:
        return False
    library = ctypes.CDLL(None, use_errno=True)
    if not hasattr(library, "syncfs"):
        return False
    handle = os.open(folder, os.O_RDONLY)
    try:
        if library.syncfs(handle):
            number = ctypes.get_errno()
            raise OSError(number, os.strerror(number), str(folder))
    finally:
        os.close(handle)
    return True


def _kernel() -> tuple[int, ...]:
    found = re.match(r"(\d+)\.(\d+)", os.uname().release)
    return tuple(map(int, found.groups())) if found else ()
