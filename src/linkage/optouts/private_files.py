"""Files that hold NHS numbers: only their owner can read them, and they appear whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

from linkage.errors import ConfigurationError, TemporaryError


def folder(patterns: tuple[str, ...], base: Path, key: str) -> Path:
    """The folder of a pattern of files, made where it is missing, readable by its owner only.

    Args:
        patterns: The first one decides, for example `optouts/requests/*.dat`.
        base: The folder that it starts from.
        key: The configuration's key, for the error.

    Raises:
        ConfigurationError: The pattern's folder is itself a pattern, or leads elsewhere.
    """
    relative = Path(patterns[0]).parent
    if relative.is_absolute() or any(mark in str(relative) for mark in "*?[") or ".." in relative.parts:
        raise ConfigurationError(
            f"{key}: files cannot be put where the pattern says",
            hint="let it name one folder below the configuration's, for example optouts/requests/*.dat",
        )
    place = base / relative
    place.mkdir(parents=True, exist_ok=True, mode=0o700)
    return place


def write(path: Path, content: bytes) -> None:
    """Write a file, readable by its owner only, aside and then into place.

    Raises:
        TemporaryError: The disk is full, or the folder cannot be written to.
    """
    aside = path.with_name(f".{path.name}.new")
    try:
        aside.unlink(missing_ok=True)
        handle = os.open(aside, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        with os.fdopen(handle, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(handle)
        aside.replace(path)
    except OSError as error:
        aside.unlink(missing_ok=True)
        raise TemporaryError(
            f"{path.name}: cannot be written ({error.strerror})",
            hint="free some space or mend its folder's permissions",
        ) from None
