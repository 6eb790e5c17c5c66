"""What the key holder's step leaves: each site's parts with tokens of the ICS, and what they came of.

<translated>/.lock                    held while somebody works in it
<translated>/<site>/translated.json   the packet that counts, and its bundle in the ICS's domain
<translated>/<site>/parts/<digest>.parquet   by the digest of the site's part, so that it is translated once

There is no token of a site in it. `translated.json` comes last, at once.
"""

from __future__ import annotations

import shutil
from collections.abc import Collection, Iterator
from contextlib import contextmanager
from datetime import datetime
from pathlib import Path
from typing import Literal

from filelock import FileLock, Timeout
from pydantic import BaseModel, ConfigDict

from linkage.bundle import BundleManifest, Part
from linkage.disk import sync
from linkage.errors import ConfigurationError, IntegrityError, TemporaryError, of_the_machine
from linkage.federate import Evidence

__all__ = ["Translated", "at", "clear", "forget_others", "free", "hold", "load", "name_of", "save"]

_NAME = "translated.json"


class Translated(BaseModel):
    """A site's newest packet, translated.

    Attributes:
        site: Whose it is.
        number: The site's number here, by which places of its files differ from those of others.
        sequence: The packet's number.
        packet: The packet's digest, hexadecimal.
        made: When the site made it, UTC.
        good_until: When the first opt-out register that was applied is too old, UTC.
        registers: What the site applied.
        exemptions: What it was lifted by.
        tool_version: The version of linkage that translated it.
        bundle: Its bundle in the ICS's domain; paths are those that the site gave its parts.
        files: The digest of the site's part by its path: the name of the translated one's file.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["linkage-translated/1"] = "linkage-translated/1"
    site: str
    number: int
    sequence: int
    packet: str
    made: datetime
    good_until: datetime | None
    registers: tuple[Evidence, ...]
    exemptions: tuple[str, ...]
    tool_version: str
    bundle: BundleManifest
    files: dict[str, str]

    @property
    def known(self) -> dict[str, str]:
        """The digest of each translated part by that of the site's."""
        return {self.files[part.path]: part.digest for table in self.bundle.tables for part in table.all_parts}

    def is_there(self, folder: Path) -> bool:
        """Whether every translated part has a file; what is in it is not looked at."""
        return all(self.file(folder, part).is_file() for table in self.bundle.tables for part in table.all_parts)

    def file(self, folder: Path, part: Part) -> Path:
        """Where a translated part is."""
        return at(folder, self.site) / name_of(self.files[part.path])


def at(folder: Path, site: str) -> Path:
    """A site's folder."""
    return folder / site


def name_of(digest: str) -> str:
    """The path of a translated part below its site's folder, by the digest of the site's part."""
    return f"parts/{digest}.parquet"


def load(folder: Path, site: str) -> Translated | None:
    """What was translated of a site; None before the first packet.

    Raises:
        IntegrityError: It is damaged.
    """
    path = at(folder, site) / _NAME
    try:
        found = Translated.model_validate_json(path.read_bytes())
    except FileNotFoundError:
        return None
    except (OSError, ValueError):
        found = None
    if found is None or found.site != site:
        raise IntegrityError(
            f"{path}: what was translated is damaged", hint=f"remove the folder {path.parent} and translate again"
        )
    return found


def save(folder: Path, made: Translated) -> None:
    """Name a packet the one that counts, once its parts are on the disk."""
    place = at(folder, made.site)
    aside = place / f".{_NAME}"
    aside.touch(mode=0o600)
    aside.write_text(made.model_dump_json(indent=1), encoding="utf-8")
    sync(aside)
    aside.replace(place / _NAME)
    sync(place)


@contextmanager
def hold(folder: Path) -> Iterator[None]:
    """Hold the folder for this process: nobody reads parts that somebody else clears away.

    Raises:
        TemporaryError: Somebody else works in it.
    """
    folder.mkdir(parents=True, exist_ok=True, mode=0o700)
    lock = FileLock(folder / ".lock", timeout=0, fallback_to_soft=False, mode=0o600)
    try:
        lock.acquire()
    except Timeout:
        raise TemporaryError(f"another command works in {folder}", hint="wait until it has ended") from None
    except (OSError, NotImplementedError) as error:
        raise of_the_machine(error) or ConfigurationError(
            f"{folder}: its volume cannot lock files", hint="put the folder on a local disk that this user may write to"
        ) from None
    try:
        yield
    finally:
        lock.release()


def free(folder: Path, site: str) -> int:
    """A number that no other site has here.

    Raises:
        IntegrityError: What was translated of another site is damaged.
    """
    others = {path.name for path in folder.iterdir() if path.is_dir() and path.name != site}
    taken = {found.number for each in others if (found := load(folder, each)) is not None}
    return next(number for number in range(len(taken) + 1) if number not in taken)


def clear(folder: Path, made: Translated) -> None:
    """Remove the parts that a site's packet does not have any more."""
    place = at(folder, made.site)
    wanted = {place / name_of(each) for each in made.files.values()}
    for path in (place / "parts").iterdir():
        if path not in wanted:
            path.unlink()


def forget_others(folder: Path, sites: Collection[str]) -> None:
    """Remove what was translated of sites that are not among these; what they sent is in the inbox still."""
    for path in folder.iterdir():
        if path.name not in sites and (path / _NAME).is_file():
            shutil.rmtree(path)
