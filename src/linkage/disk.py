"""What is to be on the disk before anything relies on it."""

from __future__ import annotations

import os
from pathlib import Path

__all__ = ["sync"]


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
