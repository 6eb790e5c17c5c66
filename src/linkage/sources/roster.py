"""Whose record is this? What earlier and present deliveries say about the keys that stand for a person.

Many tables hold no NHS number but a key (an EMIS patient GUID, a SUS spell, a CSDS person id) that another table, in
this delivery or an earlier one, gives a number to. The roster remembers these between deliveries, with the type 1
codes and the replaced numbers, so that a delta of observations finds its patient. It holds NHS numbers: it is written
only encrypted, readable by its owner, and never leaves the site.
"""

from __future__ import annotations

import io
import os
import shutil
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import polars as pl

from linkage.errors import IntegrityError
from linkage.reasons import Reason

_Result = TypeVar("_Result")
STAMP: pl.DataType = pl.Datetime("us")
_TEXT: pl.DataType = pl.String()
_NUMBER: pl.DataType = pl.Int64()
_DATE: pl.DataType = pl.Date()
_FLAG: pl.DataType = pl.Boolean()
ENTRIES = pl.Schema(
    {
        "namespace": _TEXT,
        "key": _TEXT,
        "number": _NUMBER,
        "reason": _TEXT,
        "birth_date": _DATE,
        "practice": _TEXT,
        "removes": _TEXT,
        "whole_person": _FLAG,
        "delivered": STAMP,
    }
)
TYPE1 = pl.Schema(
    {
        "namespace": _TEXT,
        "key": _TEXT,
        "record": _TEXT,
        "code": _TEXT,
        "date": _DATE,
        "deleted": _FLAG,
        "delivered": STAMP,
    }
)
SUPERSEDED = pl.Schema({"superseded": _NUMBER, "current": _NUMBER, "delivered": STAMP})
FLAGS = pl.Schema({"namespace": _TEXT, "key": _TEXT, "optout": _TEXT, "out": _FLAG, "delivered": STAMP})
SEARCHED = pl.Schema({"table": _TEXT, "code": _TEXT, "oldest": STAMP})
CLAIMS = pl.Schema({"namespace": _TEXT, "key": _TEXT, "number": _NUMBER, "delivered": STAMP})
REGISTRATIONS = pl.Schema(
    {
        "feed": _TEXT,
        "namespace": _TEXT,
        "key": _TEXT,
        "practice": _TEXT,
        "start": _DATE,
        "end": _DATE,
        "deleted": _FLAG,
        "delivered": STAMP,
    }
)
_PARTS = {
    "entries": ENTRIES,
    "type1": TYPE1,
    "superseded": SUPERSEDED,
    "flags": FLAGS,
    "searched": SEARCHED,
    "claims": CLAIMS,
    "registrations": REGISTRATIONS,
}
# Columns whose few words are in many rows; of the other parts of the roster there are few rows.
_FEW = ("namespace", "feed", "reason", "practice", "removes")
_LARGE = ("entries", "claims", "registrations")
_REGISTRATIONS = "registrations"
_ROWS = 2_000_000  # of a part, that are sealed at once
_AT_ONCE = 2  # pieces, which are in memory while they are packed
_STRETCH = 200_000  # rows that are copied where one of them changes
BY_NUMBER = ""  # the namespace of people who are known by their number
_HOPS = 32


@dataclass(frozen=True, slots=True, repr=False)
class Told:
    """What an earlier roster knew of the keys that something was said of since: what it knew of others is as it was.

    Attributes:
        keys: By namespace, each with the column `key`.
        entries: By namespace, what it knew of them.
        superseded: Its replaced numbers.
    """

    keys: Mapping[str, pl.DataFrame]
    entries: Mapping[str, pl.DataFrame]
    superseded: pl.DataFrame


@dataclass(frozen=True, slots=True)
class Roster:
    """What is known of person keys.

    Attributes:
        entries: One row for each key: its number as delivered (Int64) or the reason it has none. In these, in `claims`
            and in `registrations`, columns with few different words are categorical (`kept`).
        type1: One row for each type 1 code recorded, latest version; one that holds no such code any more counts as deleted.
        superseded: One row for each replaced number.
        flags: One row for each person and kind of opt-out that a flag column told of, latest delivery; where the namespace
            is `BY_NUMBER` the key is an NHS number.
        searched: For each table with type 1 codes and each code: the oldest delivery that was searched for it.
        claims: Of each key without a number, because it has two or was last delivered without one: those that it had
            last. What such a key says of an opt-out is said of all of them.
        registrations: One row for each registration with a practice, latest version; a key as in `flags`.
        told: Which entries may differ from those of the roster that this one was made from; not kept.
        registered_in: The folder of a kept roster whose registrations are the same; not kept.
    """

    entries: pl.DataFrame
    type1: pl.DataFrame
    superseded: pl.DataFrame
    flags: pl.DataFrame
    searched: pl.DataFrame
    claims: pl.DataFrame
    registrations: pl.DataFrame
    told: Told | None = field(default=None, compare=False)
    registered_in: Path | None = field(default=None, compare=False)

    def __repr__(self) -> str:
        return f"Roster({self.entries.height} keys, {self.superseded.height} replaced numbers)"

    @staticmethod
    def empty() -> Roster:
        """A roster that knows nobody."""
        parts: dict[str, Any] = {name: _held(name, schema.to_frame()) for name, schema in _PARTS.items()}
        return Roster(**parts)

    def with_entries(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take what roster tables say; for each key the latest delivery counts, whole.

        A key that one delivery gives two numbers is ambiguous and has none; nor has one that comes without, though an
        opt-out found under it still binds on whoever it stood for (`claims`). A deletion may come without the number: then
        the key keeps the one it had, since an opt-out found under it still binds on the person's other records.
        """
        said: dict[str, list[pl.DataFrame]] = {}
        for delivery in deliveries:
            for name, rows in by_namespace(kept(delivery, ENTRIES)):
                said.setdefault(name, []).append(rows)
        known = dict(by_namespace(self.entries))
        claims = dict(by_namespace(self.claims))
        told, were = {}, {}
        for name in list(said):
            # What is said of one namespace is let go once it is taken: together they are as large as the roster.
            rows = pl.concat(said.pop(name))
            told[name] = rows.select("key").unique()
            before = known.get(name, self.entries.clear())
            were[name], known[name], claims[name] = _taken(before, claims.get(name, self.claims.clear()), rows)
        return replace(
            self,
            entries=pl.concat([self.entries.clear(), *known.values()]),
            claims=pl.concat([self.claims.clear(), *claims.values()]),
            told=Told(told, were, self.superseded),
        )

    def with_type1(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take type 1 codes; for each record the latest delivered version counts, and every row without a record."""
        keys = ["namespace", "key", "record"]
        rows = pl.concat([self.type1, *deliveries])
        named = _latest(rows.filter(pl.col("record").is_not_null()), keys)
        return replace(
            self, type1=pl.concat([named, rows.filter(pl.col("record").is_null())]).unique(maintain_order=True)
        )

    def with_registrations(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take registrations; of one that began with one practice on one day the latest delivered version counts."""
        keys = ["feed", "namespace", "key", "practice", "start"]
        said = pl.concat([self.registrations.clear(), *(kept(each, REGISTRATIONS) for each in deliveries)])
        if said.is_empty():
            return self
        told = said.select("key")
        spoken, untold = _apart(self.registrations, told)
        rows = pl.concat([spoken, said])
        once = ~pl.col("key").is_duplicated()
        latest = _latest(rows.filter(~once), keys).unique(maintain_order=True)
        made = pl.concat([untold, rows.filter(once), latest])
        return replace(self, registrations=made, registered_in=None)

    def with_superseded(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take replaced numbers; for each the latest delivery counts."""
        rows = _latest(pl.concat([self.superseded, *deliveries]), ["superseded"])
        return replace(self, superseded=rows.unique(maintain_order=True))

    def with_flags(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take opt-out flags; of each person's latest delivery, one row that says so is enough."""
        keys = ["namespace", "key", "optout"]
        latest = _latest(pl.concat([self.flags, *deliveries]), keys)
        merged = latest.group_by(keys, maintain_order=True).agg(pl.col("out").any(), pl.col("delivered").first())
        return replace(self, flags=merged.select(FLAGS.names()))

    def with_searched(self, deliveries: Iterable[pl.DataFrame]) -> Roster:
        """Take what tables were searched for; for each code the oldest delivery counts."""
        rows = pl.concat([self.searched, *deliveries])
        merged = rows.group_by("table", "code").agg(pl.col("oldest").min()).sort("table", "code")
        return replace(self, searched=merged.select(SEARCHED.names()))

    def current_numbers(self) -> pl.DataFrame:
        """Every replaced number and the one that counts now (`current_numbers`)."""
        return current_numbers(self.superseded)

    def doubted_numbers(self) -> pl.DataFrame:
        """Every replaced number without one that counts now, with each that may be its person's.

        Returns:
            `superseded` and `current` (Int64); several rows for a number where the replacements disagree or go round.
        """
        step = self.superseded.select("superseded", "current").unique()
        lost = self.current_numbers().filter(pl.col("current").is_null()).select("superseded")
        found = step.join(lost, on="superseded", how="semi")
        for _ in range(_HOPS):
            onward = found.join(step, left_on="current", right_on="superseded", suffix="_next")
            onward = onward.select("superseded", pl.col("current_next").alias("current"))
            following = pl.concat([found, onward]).unique()
            if following.height == found.height:
                break
            found = following
        return found.sort("superseded", "current")


def current_numbers(superseded: pl.DataFrame) -> pl.DataFrame:
    """Every replaced number and the one that counts.

    Args:
        superseded: As a roster has them.

    Returns:
        `superseded` (Int64) and `current` (Int64, null where the replacements run in a circle or disagree).
    """
    step = superseded.group_by("superseded").agg(
        pl.when(pl.col("current").n_unique() == 1).then(pl.col("current").first()).alias("current")
    )
    found = step
    for _ in range(_HOPS):
        onward = found.join(step, left_on="current", right_on="superseded", how="left", suffix="_next")
        known = pl.col("current").is_in(step["superseded"].implode())
        following = onward.select(
            "superseded", pl.when(known).then("current_next").otherwise("current").alias("current")
        )
        if following.equals(found):
            return found
        found = following
    # Whatever still moves after that many steps goes round in a circle.
    ends = ~pl.col("current").is_in(step["superseded"].implode())
    return found.select("superseded", pl.when(ends).then("current").alias("current"))


def kept(frame: pl.DataFrame, schema: pl.Schema) -> pl.DataFrame:
    """Rows of this schema as they are held in memory: of the few words that are in many rows each one once."""
    few = {name: pl.Categorical() for name in _FEW if name in schema}
    return frame.cast(pl.Schema({**schema, **few}))


def by_namespace(frame: pl.DataFrame) -> Iterator[tuple[str, pl.DataFrame]]:
    """The rows of each namespace; without a copy where the rows of each stand together."""
    if frame.is_empty():
        return
    runs = frame["namespace"].rle().struct.unnest()
    names = runs["value"].cast(pl.String).to_list()
    if len(set(names)) < len(names):
        for (name,), rows in frame.group_by("namespace", maintain_order=True):
            yield str(name), rows
        return
    at = 0
    for name, rows in zip(names, runs["len"], strict=True):
        yield name, frame.slice(at, rows)
        at += rows


def _taken(
    before: pl.DataFrame, claims: pl.DataFrame, said: pl.DataFrame
) -> tuple[pl.DataFrame, pl.DataFrame, pl.DataFrame]:
    """Of one namespace the entries of keys that something was said of, as they were, and all entries and claims as they are.

    Those of keys that nothing was said of stay as they are, and where they are.
    """
    told = said.select("key")
    at = before.select("key").with_row_index("_at").join(told, on="key", how="semi", maintain_order="left")
    spoken = before[at["_at"]]
    delivered = pl.concat([spoken, said])
    once = ~pl.col("key").is_duplicated()
    alone = delivered.filter(once).with_columns(
        pl.when(pl.col("number").is_null()).then("reason").alias("reason"),
        pl.col("whole_person").fill_null(value=False),
    )
    merged = pl.concat([alone, _merged(delivered.filter(~once))])
    nobody = merged.filter(pl.col("number").is_null()).select("key")
    numbered = delivered.select(CLAIMS.names()).filter(pl.col("number").is_not_null())
    lost = pl.concat([claims, numbered]).join(nobody, on="key", how="semi", maintain_order="left")
    held = claims.join(told, on="key", how="anti", maintain_order="left")
    lost = _latest(lost, ["key"]).unique(maintain_order=True)
    now = at.join(merged, on="key", how="left", maintain_order="left").select(before.columns)
    new = merged.join(at, on="key", how="anti", maintain_order="left")
    return spoken, pl.concat([with_rows(before, at["_at"], now), new]), pl.concat([held, lost])


def with_rows(frame: pl.DataFrame, at: pl.Series, rows: pl.DataFrame) -> pl.DataFrame:
    """The frame with other rows in some places; columns that they do not change are not copied.

    Args:
        frame: What is held.
        at: The places (UInt32), ascending.
        rows: What stands there from now on.
    """
    was, first, made = frame[at], 0, [frame.clear()]
    differing = [name for name in frame.columns if not was[name].equals(rows[name], null_equal=True)]
    if not differing:
        return frame
    for length in frame.to_series(0).chunk_lengths():
        piece = frame.slice(first, length)
        low, high = (int(at.search_sorted(place)) for place in (first, first + length))
        if low < high:
            order = np.arange(length, dtype=np.uint32)
            order[at[low:high].to_numpy() - first] = np.arange(length, length + high - low, dtype=np.uint32)
            both = pl.concat([piece.select(differing), rows[low:high].select(differing)])
            piece = piece.with_columns(both[pl.Series(order)])
        made.append(piece)
        first += length
    return pl.concat(made)


def _apart(frame: pl.DataFrame, told: pl.DataFrame) -> tuple[pl.DataFrame, pl.DataFrame]:
    """The rows of keys that something was said of, and the others; a stretch that holds only others is not copied."""
    spoken, untold = [frame.clear()], [frame.clear()]
    for rows in frame.iter_slices(_STRETCH):
        found = rows.join(told, on="key", how="semi", maintain_order="left")
        spoken.append(found)
        untold.append(rows.join(told, on="key", how="anti", maintain_order="left") if found.height else rows)
    return pl.concat(spoken), pl.concat(untold)


def _merged(delivered: pl.DataFrame) -> pl.DataFrame:
    """One entry for each key of one namespace, of its latest delivery."""
    if delivered.is_empty():
        return delivered
    numbers = pl.col("number").drop_nulls().n_unique()
    ambiguous = pl.lit(Reason.PERSON_AMBIGUOUS.value, delivered.schema["reason"])
    merged = (
        _latest(delivered, ["key"])
        .group_by("key", maintain_order=True)
        .agg(
            pl.col("namespace").first(),
            pl.when(numbers == 1).then(pl.col("number").drop_nulls().first()).alias("number"),
            pl.when(numbers > 1)
            .then(ambiguous)
            .when(numbers == 0)
            .then(pl.col("reason").drop_nulls().last())
            .alias("reason"),
            pl.col("birth_date").drop_nulls().last(),
            pl.col("practice").drop_nulls().last(),
            pl.col("removes").drop_nulls().last(),
            pl.col("whole_person").any(),
            pl.col("delivered").last(),
        )
    )
    return _known_by(delivered, merged.select(delivered.columns).cast(delivered.schema))


def _known_by(delivered: pl.DataFrame, merged: pl.DataFrame) -> pl.DataFrame:
    """The entries, those that were deleted without a number with the one that they had, and whether they were sensitive."""
    keys = ["key"]
    bare = merged.filter((pl.col("removes") == Reason.DELETED.value) & pl.col("number").is_null())
    before = delivered.join(bare, on=keys, how="semi").filter(pl.col("number").is_not_null())
    if before.is_empty():
        return merged
    known = (
        _latest(before, keys)
        .group_by(keys)
        .agg(
            pl.when(pl.col("number").n_unique() == 1).then(pl.col("number").first()).alias("_had"),
            pl.col("whole_person").any().alias("_was_sensitive"),
        )
    )
    joined = merged.join(known, on=keys, how="left", maintain_order="left")
    return joined.with_columns(
        pl.coalesce("number", "_had").alias("number"),
        pl.when(pl.col("_had").is_null()).then("reason").alias("reason"),
        pl.col("whole_person") | pl.col("_was_sensitive").fill_null(value=False),
    ).select(merged.columns)


def _latest(rows: pl.DataFrame, keys: list[str]) -> pl.DataFrame:
    return rows.filter(pl.col("delivered") == pl.col("delivered").max().over(keys))


def save(roster: Roster, folder: Path, seal: Callable[[bytes], bytes]) -> None:
    """Write a roster, encrypted, owner-only; in the clear it exists in memory alone.

    Args:
        roster: What to keep.
        folder: A new folder for this generation.
        seal: Encrypts bytes, for example `Keyset.seal`.
    """
    folder.parent.mkdir(exist_ok=True, mode=0o700)
    folder.mkdir(mode=0o700)
    same = [*roster.registered_in.glob(f"{_REGISTRATIONS}.*")] if roster.registered_in else []
    for path in same:
        _link(path, folder / path.name)

    def write(name: str, place: int, pieces: int) -> None:
        buffer = io.BytesIO()
        getattr(roster, name).slice(place * _ROWS, _ROWS).write_ipc(buffer, compression="zstd")
        path = _piece(folder, name, place, pieces)
        path.touch(mode=0o600)
        path.write_bytes(seal(buffer.getvalue()))

    found = {
        name: -(-getattr(roster, name).height // _ROWS) or 1 for name in _PARTS if not (same and name == _REGISTRATIONS)
    }
    _each(write, [(name, place, pieces) for name, pieces in found.items() for place in range(pieces)])


def _link(source: Path, target: Path) -> None:
    """Give a sealed file, which nobody writes into, a second name; or copy it where the volume cannot."""
    try:
        os.link(source, target)
    except OSError:
        shutil.copy(source, target)


def _each(step: Callable[..., _Result], arguments: Sequence[tuple[object, ...]]) -> list[_Result]:
    """Some steps, two at a time: packing, and sealing less so, take one processor."""
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return [*pool.map(lambda each: step(*each), arguments)]


def is_whole(folder: Path) -> bool:
    """Whether every file of a kept roster is there, without opening any."""
    return all(
        _piece(folder, name, place, found).is_file() for name, found in _pieces(folder) for place in range(found)
    )


def load(folder: Path, unseal: Callable[[bytes], bytes]) -> Roster:
    """Read a roster back.

    Raises:
        IntegrityError: A part is missing, does not open under the key, or is not what was written.
    """
    parts: dict[str, Any] = {}
    for name, found in _pieces(folder):
        read = [(_piece(folder, name, place, found), name, unseal) for place in range(found)]
        parts[name] = pl.concat(_each(_read, read))
    return Roster(**parts, registered_in=folder)


def _pieces(folder: Path) -> list[tuple[str, int]]:
    """Each part and in how many files it is kept."""
    return [(name, len(list(folder.glob(f"{name}.*.arrow.age"))) or 1) for name in _PARTS]


def _read(path: Path, name: str, unseal: Callable[[bytes], bytes]) -> pl.DataFrame:
    try:
        frame = pl.read_ipc(io.BytesIO(unseal(path.read_bytes())))
    except (OSError, pl.exceptions.PolarsError):
        frame = None
    # What an earlier version kept has all its words as text.
    if frame is not None and frame.schema == _PARTS[name]:
        frame = _held(name, frame)
    if frame is None or frame.schema != _held(name, _PARTS[name].to_frame()).schema:
        raise IntegrityError(
            f"{path}: the roster is missing a part or is damaged",
            hint="restore the private folder from its backup; without it deltas lose their patients",
        )
    return frame


def _piece(folder: Path, name: str, place: int, pieces: int) -> Path:
    """The file of a part, or of one of several pieces of it: each says how many there are, so none can be missing."""
    return folder / (f"{name}.arrow.age" if pieces == 1 else f"{name}.{place + 1}-of-{pieces}.arrow.age")


def _held(name: str, frame: pl.DataFrame) -> pl.DataFrame:
    return kept(frame, frame.schema) if name in _LARGE else frame
