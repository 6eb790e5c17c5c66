"""A record whose latest delivery may not be used is withdrawn: its earlier deliveries do not go on either.

Without this, a record that was first delivered under the wrong person, and then corrected to somebody who opted out,
would stay published under the wrong person. Decided at the site, so that nothing about a removed row leaves it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.bundle import LEVEL, Part, check_part, digest
from linkage.contract import Table
from linkage.handover import SAYS_NOTHING
from linkage.pseudonymise.minimise import Output
from linkage.reasons import Reason

_ORDER, _VERSION = "_order", "_version"
_FEW = 4  # where other parts have so many times the rows, it pays to find out first which of them are spoken of


@dataclass(frozen=True, slots=True)
class Withdrawals:
    """Where the keys of the removed rows of one table are kept until every file of it is read.

    Attributes:
        folder: The bundle.
        site: What stays at the site, beside it.
        keys: The outputs that identify a record, as they are in the parts; none for a log of deletions, whose lines
            are no records and withdraw nothing.
        latest: The output that says which version is the latest; the order of delivery alone where it is None.
        marks: Further outputs by whose keys records may be marked sensitive later: kept with the others.
    """

    folder: Path
    site: Path
    keys: tuple[Output, ...]
    latest: Output | None
    marks: tuple[Output, ...] = ()

    @classmethod
    def of(
        cls, table: Table, outputs: list[Output], folder: Path, site: Path, marks: Collection[str] = ()
    ) -> Withdrawals:
        """For one table; `outputs` are all that it hands on, `marks` columns that records may be marked sensitive by."""
        named = {each.field.name: each for each in outputs}
        latest = named.get(table.submission.latest or "") if table.submission else None
        keys = tuple(named[each.field.name] for each in outputs if each.field.name in table.primary_key)
        others = {each for each in marks if each in named} - {*table.primary_key}
        return cls(folder, site, keys, latest, tuple(named[each] for each in sorted(others)))

    @staticmethod
    def beside(site: Path, part: str) -> Path:
        """Where the keys of the removed rows of the file of one part are."""
        return (site / part).with_suffix(".removed")

    @staticmethod
    def taken_out(site: Path, part: str) -> Path:
        """Where the tokens and keys of rows are that were taken out of a part."""
        return (site / part).with_suffix(".withdrawn")

    def of_rows(self, decided: pl.LazyFrame, removed: str, place: int) -> pl.LazyFrame:
        """The keys of the rows of one file that were removed; `removed` is the column of reasons."""
        rows = decided.filter(pl.col(removed).is_not_null() & ~pl.col(removed).is_in(SAYS_NOTHING))
        keys = rows.select(
            *(each.value.alias(each.field.name) for each in (*self.keys, *self.marks)),
            (self.latest.value if self.latest else pl.lit(None, pl.Date)).alias(_VERSION),
            (pl.lit(place, pl.Int64) * 2**32 + pl.col("_row").cast(pl.Int64)).alias(_ORDER),
        )
        return keys.filter(self._named())

    def _named(self) -> pl.Expr:
        return pl.all_horizontal(
            [pl.lit(bool(self.keys)), *(pl.col(each.field.name).is_not_null() for each in self.keys)]
        )

    def of_a_part(self) -> list[pl.Expr]:
        """The same keys, of rows of a part."""
        return [
            *(pl.col(each.field.name) for each in (*self.keys, *self.marks)),
            (pl.col(self.latest.field.name) if self.latest else pl.lit(None, pl.Date)).alias(_VERSION),
            (pl.col("_file").cast(pl.Int64) * 2**32 + pl.col("_row")).alias(_ORDER),
        ]

    def add(self, before: Path, part: str, went: pl.DataFrame) -> None:
        """Write the keys that a file had removed `before`, and those of rows that went since."""
        more = went.lazy().filter(self._named())
        pl.concat([pl.scan_parquet(before), more], how="vertical").sink_parquet(self.beside(self.site, part))

    def count(self, site: Path, part: str) -> int:
        """How many keys the file of a part had removed; one where that is not known."""
        path = self.beside(site, part)
        if not self.keys:
            return 0
        return int(pl.scan_parquet(path).select(pl.len()).collect().item()) if path.is_file() else 1

    def removed(self, site: Path, part: str) -> pl.DataFrame | None:
        """The keys of records of which the file of a part had rows removed; None where that is not known."""
        path = self.beside(site, part)
        return pl.scan_parquet(path).select(self._names).unique().collect() if path.is_file() else None

    def lost(self, before: Path, part: str) -> pl.DataFrame | None:
        """The same of those rows that the file has not removed now; `before` is the last run's folder."""
        names = [*self._names, _VERSION, _ORDER]
        was, now = (self.beside(site, part) for site in (before, self.site))
        if not was.is_file():
            return None
        left = pl.scan_parquet(was).join(pl.scan_parquet(now), on=names, how="anti", nulls_equal=True)
        return left.select(self._names).unique().collect(engine="streaming")

    @property
    def _names(self) -> list[str]:
        return [each.field.name for each in self.keys]

    def apply(self, parts: list[Part], fresh: Collection[int]) -> list[Part]:
        """Take out of the parts every row whose record was removed in a later row, and account for it.

        Args:
            parts: All parts of the table.
            fresh: Places of those that are new, or of whose files more rows are removed than when they were taken; of the
                others each has had taken out what the others take out.
        """
        new, old = ([part for part in parts if (part.place in fresh) is among] for among in (True, False))
        if not self.keys or not new:
            return parts
        removed = self._removed(new)
        # Most keys of a night are in no other part, and their columns are read faster than all that is asked of rows.
        holding = (
            self._holding(old, removed)
            if sum(each.kept for each in new) * _FEW < sum(each.kept for each in old)
            else old
        )
        asked = [self._earlier([*holding, *new], removed)]
        # A row that was removed before may be later than one that is new: by its version, or where an old file was read again.
        if old and (self.latest or old[-1].place > new[0].place):
            came = pl.scan_parquet([self.folder / part.path for part in new]).select(self._names).unique()
            asked.append(self._earlier(new, self._removed(old).join(came, on=self._names, how="semi")))
        found = pl.concat(pl.collect_all(asked, engine="streaming")).unique(["_file", "_row"])
        rows = {place: group for (place,), group in found.group_by("_file")}
        return [self._without(part, rows[part.place]) if part.place in rows else part for part in parts]

    def _removed(self, parts: list[Part]) -> pl.LazyFrame:
        """The keys of rows that the files of some parts have removed."""
        return pl.scan_parquet([self.beside(self.site, part.path) for part in parts])

    def _holding(self, parts: list[Part], removed: pl.LazyFrame) -> list[Part]:
        """Those of some parts that hold a record of which a row was removed."""
        rows = pl.scan_parquet([self.folder / part.path for part in parts]).select("_file", *self._names)
        found = rows.join(removed.select(self._names).unique(), on=self._names, how="semi").select("_file").unique()
        places = {*found.collect(engine="streaming")["_file"]}
        return [part for part in parts if part.place in places]

    def _earlier(self, parts: list[Part], removed: pl.LazyFrame) -> pl.LazyFrame:
        """Rows of some parts that are earlier than a row of their record which was `removed`."""
        names = self._names
        latest = _latest(removed, names)
        version = pl.col(self.latest.field.name) if self.latest else pl.lit(None, pl.Date)
        kept = pl.scan_parquet([self.folder / part.path for part in parts]).select(
            *self._told(),
            "_file",
            "_row",
            version.alias("_own_version"),
            (pl.col("_file").cast(pl.Int64) * 2**32 + pl.col("_row")).alias("_own"),
        )
        earlier = kept.join(latest, on=names, how="inner").filter(_EARLIER)
        return earlier.select("_file", "_row", *self._told())

    def _without(self, part: Part, rows: pl.DataFrame) -> Part:
        path, gone = self.folder / part.path, Reason.WITHDRAWN.value
        check_part(path, part)
        replacement = path.with_suffix(".replacement")
        taken = rows.lazy().select("_row")
        pl.scan_parquet(path).join(taken, on="_row", how="anti", maintain_order="left").sink_parquet(
            replacement, compression="zstd", compression_level=LEVEL
        )
        replacement.replace(path)
        self._tell(part, rows.select(self._told()).unique())
        return part.model_copy(
            update={
                "kept": part.kept - len(rows),
                "removed": {**part.removed, gone: part.removed.get(gone, 0) + len(rows)},
                "digest": digest(path),
            }
        )

    def _told(self) -> list[str]:
        return list(dict.fromkeys(["token", *(each.field.name for each in (*self.keys, *self.marks))]))

    def _tell(self, part: Part, rows: pl.DataFrame) -> None:
        """Keep which rows were taken out: the reason that they count under may change with what is said of them."""
        path = self.taken_out(self.site, part.path)
        before = pl.read_parquet(path) if path.is_file() else rows.clear()
        aside = path.with_suffix(".replacement")
        pl.concat([before, rows]).unique().write_parquet(aside)
        aside.replace(path)


# A version that is not told is earlier than any that is, as it is when rows are settled.
_EARLIER = (
    (pl.col("_own_version") < pl.col(_VERSION))
    | (pl.col("_own_version").is_null() & pl.col(_VERSION).is_not_null())
    | (pl.col("_own_version").eq_missing(pl.col(_VERSION)) & (pl.col("_own") < pl.col(_ORDER)))
)


def _latest(removed: pl.LazyFrame, names: list[str]) -> pl.LazyFrame:
    """The latest removed row of each record: its version, then its place."""
    highest = removed.group_by(names).agg(pl.col(_VERSION).max().alias("_highest"))
    return (
        removed.join(highest, on=names, how="inner")
        .filter(pl.col(_VERSION).eq_missing(pl.col("_highest")))
        .group_by(names)
        .agg(pl.col(_VERSION).first(), pl.col(_ORDER).max())
    )
