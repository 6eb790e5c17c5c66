"""What a run took: which extracts, what became of each, and what that rested on, so that the next run takes only what is new.

    <private>/held/<run id>/site/taken.json.age       this account, encrypted
    <private>/held/<run id>/site/<name>.arrow.age     what was read of small tables, and keys as delivered, encrypted
    <private>/held/<run id>/site/<feed>/<table>/      beside each part what it does not hold: tokens of the records of removed
                                                      rows, and all lines of logs of deletions

It belongs to the bundle beside it and to the roster of the same run, and is used with both or not at all.
"""

from __future__ import annotations

import base64
import io
import os
import shutil
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from datetime import datetime
from importlib.metadata import version
from pathlib import Path
from typing import Literal

import polars as pl
import pyarrow as pa
from pydantic import BaseModel, ConfigDict

from linkage.bundle import Part
from linkage.contract import Feed
from linkage.errors import IntegrityError
from linkage.layout import Layout
from linkage.sources.batches import ArrowFile
from linkage.sources.inspect import Extract
from linkage.sources.quality import FileQuality
from linkage.sources.seen import Seen
from linkage.sources.text import Packing

__all__ = ["FIRST", "Memory", "Taken", "TakenFile", "TakenTable", "link", "load", "save", "versions"]

ACCOUNT = "taken.json.age"
FIRST = "there is no earlier snapshot"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class TakenFile(_Model):
    """One extract that was taken.

    Attributes:
        path: Its place in the flow's folder, with forward slashes.
        seen: What the file system said of it.
        arrow: Of a file in Arrow's formats: whether it is a stream, and its schema.
        part: What was made of it; None for a table that is not handed over.
        quality: What was counted in it.
    """

    path: str
    seen: Seen
    header: tuple[str, ...]
    delivered: datetime
    rows: int
    malformed: tuple[int, ...]
    size: int
    digest: str
    layout: Layout
    packed: Packing | None
    ragged: bool
    arrow: tuple[bool, str] | None
    part: Part | None = None
    quality: FileQuality | None = None

    @classmethod
    def of(cls, extract: Extract, folder: Path, part: Part | None, quality: FileQuality | None) -> TakenFile:
        """For one file of a flow's folder; a table of a database has nothing to know it again by."""
        if extract.seen is None:
            raise ValueError("a table of a database is not a file")
        file = extract.batches if isinstance(extract.batches, ArrowFile) else None
        return cls(
            path=extract.path.relative_to(folder).as_posix(),
            seen=extract.seen,
            header=extract.header,
            delivered=extract.delivered,
            rows=extract.rows,
            malformed=extract.malformed,
            size=extract.size,
            digest=extract.digest,
            layout=extract.layout,
            packed=extract.packed,
            ragged=extract.ragged,
            arrow=(file.is_stream, base64.b64encode(file.schema.serialize()).decode()) if file else None,
            part=part,
            quality=quality,
        )

    def extract(self, path: Path) -> Extract:
        """What was found when the file was looked at."""
        batches = None
        if self.arrow is not None:
            schema = pa.ipc.read_schema(pa.py_buffer(base64.b64decode(self.arrow[1])))
            batches = ArrowFile(path, schema, is_stream=self.arrow[0])
        return Extract(
            path, self.header, self.delivered, self.rows, self.malformed, self.size, self.digest, self.layout,
            self.packed, self.ragged, batches, self.seen,
        )  # fmt: skip


class TakenTable(_Model):
    """What was taken of one table.

    Attributes:
        contract: The digest of what the contract and the flow say of it.
        rests_on: By what it is: the digest of what else its parts were made by.
        files: Its extracts in the order of delivery.
    """

    contract: str
    rests_on: dict[str, str] = {}
    files: tuple[TakenFile, ...] = ()


class Taken(_Model):
    """Everything that a run took.

    Attributes:
        versions: Of what made it: another one may make something else of the same file.
        bundle_digest: SHA-256 of the manifest of the bundle that it belongs to.
        contracts: The digest of each feed's contract.
        type1: The digest of the type 1 codes that were searched for.
        tables: By feed and table, `feed table`.
        frames: The file of each frame, by its name.
    """

    format: Literal["linkage-taken/1"] = "linkage-taken/1"
    versions: str
    bundle_digest: str = ""
    contracts: dict[str, str] = {}
    type1: str = ""
    tables: dict[str, TakenTable] = {}
    frames: dict[str, str] = {}


@dataclass(slots=True)
class Memory:
    """What the last run took, as far as this one may rely on it, and what this one will hand to the next.

    Attributes:
        taken: The last run's account; empty where nothing can be relied on.
        folder: Its held folder.
        unseal: Decrypts what it sealed.
        why: Why nothing can be relied on; None where something can.
        frames: What this run keeps for the next, by name.
    """

    taken: Taken
    folder: Path | None = None
    unseal: Callable[[bytes], bytes] | None = field(default=None, repr=False)
    why: str | None = None
    frames: dict[str, pl.DataFrame] = field(default_factory=dict, repr=False)

    @classmethod
    def nothing(cls, why: str) -> Memory:
        """Of no run."""
        return cls(Taken(versions=versions()), why=why)

    def table(self, feed: str, name: str) -> TakenTable:
        """What was taken of one table."""
        return self.taken.tables.get(f"{feed} {name}", TakenTable(contract=""))

    def extracts(self, feed: Feed, name: str) -> dict[str, TakenFile]:
        """Files of a table by their path, where the contract that they were looked at by is the same."""
        if self.taken.contracts.get(feed.name) != feed.digest:
            return {}
        return {each.path: each for each in self.table(feed.name, name).files}

    def frame(self, name: str) -> pl.DataFrame | None:
        """What the last run kept under a name; None where it kept nothing, or it is missing or damaged."""
        if name not in self.taken.frames or self.folder is None or self.unseal is None:
            return None
        path = self.folder / "site" / self.taken.frames[name]
        try:
            return pl.read_ipc(io.BytesIO(self.unseal(path.read_bytes())))
        except (OSError, IntegrityError, pl.exceptions.PolarsError):
            return None


def versions() -> str:
    """What makes parts of files."""
    return f"linkage {version('linkage')}, polars {pl.__version__}"


def save(taken: Taken, frames: Mapping[str, pl.DataFrame], folder: Path, seal: Callable[[bytes], bytes]) -> None:
    """Write an account and its frames, encrypted; the account comes last."""
    named = {}
    for place, (name, frame) in enumerate(sorted(frames.items())):
        buffer = io.BytesIO()
        frame.write_ipc(buffer, compression="zstd")
        named[name] = f"{place:03d}.arrow.age"
        _write(folder / named[name], seal(buffer.getvalue()))
    account = taken.model_copy(update={"frames": named})
    _write(folder / ACCOUNT, seal(account.model_dump_json().encode()))


def load(folder: Path, bundle_digest: str, unseal: Callable[[bytes], bytes]) -> Memory:
    """What the run took whose held folder this is.

    Args:
        folder: The held folder.
        bundle_digest: The digest of its bundle's manifest.
        unseal: Decrypts, for example `Keyset.unseal`.
    """
    path = folder / "site" / ACCOUNT
    if not path.is_file():
        return Memory.nothing("the last snapshot was not made from extracts")
    try:
        taken = Taken.model_validate_json(unseal(path.read_bytes()))
    except (OSError, ValueError, IntegrityError):
        return Memory.nothing("the account of what the last run took cannot be read")
    if taken.bundle_digest != bundle_digest:
        return Memory.nothing("the account of what the last run took is of another bundle")
    if taken.versions != versions():
        return Memory.nothing("the last run was made by another version of linkage")
    return Memory(taken, folder, unseal)


def link(source: Path, target: Path) -> None:
    """Give a finished file a second name, or copy it where the volume cannot."""
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source, target)
    except OSError:
        shutil.copyfile(source, target)


def _write(path: Path, content: bytes) -> None:
    path.touch(mode=0o600)
    path.write_bytes(content)
