"""What the hub needs beside the rows, to settle them: which submissions came, and which of their records a log deletes.

Nothing in it is about somebody who said no. A submission is named with its provider and its period, never with a record;
and of a log of deletions only those lines go on that name a record which goes on as well.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.bundle import LEVEL, Part, TableParts, check_part, digest
from linkage.contract import Feed, Role, Table
from linkage.increments.taken import link
from linkage.pseudonymise.minimise import Output
from linkage.reasons import Reason
from linkage.sources.inspect import Extract

# A row with the wrong number of fields, or of a submission that does not count, says nothing that can be relied on.
SAYS_NOTHING = (Reason.ROW_MALFORMED.value, Reason.INACTIVE_SUBMISSION.value)


@dataclass(frozen=True, slots=True)
class Submissions:
    """Lists the submissions of one table, also those of which every row was removed: they replace all the same.

    Attributes:
        table: The contract.
        outputs: What leaves of the columns that tell a submission.
    """

    table: Table
    outputs: tuple[Output, ...]

    @classmethod
    def of(cls, table: Table, outputs: Sequence[Output]) -> Submissions | None:
        """For one table; None where no submission replaces another."""
        rule = table.submission
        if rule is None or not rule.replaces:
            return None
        return cls(table, tuple(each for each in outputs if each.field.name in rule.columns))

    def listed(self, decided: pl.LazyFrame, removed: str, extract: Extract, place: int) -> pl.LazyFrame:
        """The submissions in the rows of one file; `removed` is the column of reasons.

        Returns:
            What leaves of the rule's columns, `_row` (Int64, the first) and `_rows` (Int64, how many), `_delivered` and
            `_file`.
        """
        rule = self.table.submission
        latest = rule.latest if rule else None
        told = [each.field.name for each in self.outputs if each.field.name != latest]
        within = [self.table.columns[name].within for name in told]
        highest = [pl.col(latest).max()] if latest else []
        return (
            decided.filter(pl.col(removed).is_null() | ~pl.col(removed).is_in(SAYS_NOTHING))
            .group_by(list(dict.fromkeys([*told, *filter(None, within)])))
            .agg(*highest, pl.col("_row").min().cast(pl.Int64), pl.len().cast(pl.Int64).alias("_rows"))
            .select(*(each.value.alias(each.field.name) for each in self.outputs), "_row", "_rows")
            .with_columns(
                pl.lit(extract.delivered.replace(tzinfo=None), pl.Datetime("us")).alias("_delivered"),
                pl.lit(place, pl.Int32).alias("_file"),
            )
        )

    def together(self, found: Sequence[pl.DataFrame]) -> pl.DataFrame:
        """What was listed of some rows of a file after the others, as one list."""
        if len(found) == 1:
            return found[0]
        rule = self.table.submission
        latest = [rule.latest] if rule and rule.latest else []
        by = [each.field.name for each in self.outputs if each.field.name not in latest]
        made = pl.concat(found).group_by(by, maintain_order=True)
        firsts = (pl.col("_row").min(), pl.col("_rows").sum(), pl.col("_delivered", "_file").first())
        return made.agg(*(pl.col(name).max() for name in latest), *firsts).select(found[0].columns)

    def of_part(self, bundle: Path, part: Part) -> pl.DataFrame:
        """What was listed of the file of one part, when the bundle was made.

        Raises:
            FileNotFoundError: The bundle has no list.
        """
        return pl.read_parquet(self._path(bundle, part.path)).filter(pl.col("_file") == part.place)

    @staticmethod
    def _path(bundle: Path, part: str) -> Path:
        return bundle / Path(part).parent / "submissions.parquet"

    def write(self, folder: Path, of: TableParts, found: Sequence[pl.DataFrame]) -> TableParts:
        """Write what was listed of each extract, and give the table's parts with it."""
        if not found:
            return of
        frame = pl.concat(found)
        path = Path(of.feed) / of.table / "submissions.parquet"
        frame.write_parquet(folder / path, compression="zstd", compression_level=LEVEL)
        part = Part(
            path=path.as_posix(),
            place=0,
            source=f"submissions of {of.table}",
            source_digest="",
            delivered=of.parts[-1].delivered,
            read=frame.height,
            kept=frame.height,
            removed={},
            digest=digest(folder / path),
        )
        listing = TableParts(
            feed=of.feed,
            table=f"{of.table} submissions",
            contract_digest=of.contract_digest,
            fields=tuple(each.field for each in self.outputs),
            parts=(part,),
        )
        return of.model_copy(update={"submissions": listing})


def lines(site: Path, part: str) -> Path:
    """Where all lines of a log of deletions are that a part has some of."""
    return (site / part).with_suffix(".lines")


def about_kept(
    folder: Path,
    feed: Feed,
    log: TableParts,
    tables: Mapping[str, TableParts],
    last: Mapping[str, tuple[Path, Part]] | None = None,
) -> TableParts:
    """Of a log of deletions, what names records that go on; the rest would tell of people whose records do not.

    Args:
        folder: The bundle.
        feed: The contract.
        log: The log, all its lines.
        tables: The records.
        last: What an earlier bundle had of the same lines, by part: where it is the same still, it is taken over.
    """
    key = feed.tables[log.table].with_role(Role.RECORD)[0]
    named = pl.scan_parquet([folder / part.path for part in log.parts]).select(key).unique()
    known = [
        pl.scan_parquet([folder / part.path for part in parts.parts])
        .select(pl.col(column).alias(key))
        .join(named, on=key, how="semi")
        .unique()
        for name, parts in tables.items()
        if parts.parts and (column := feed.deletable(feed.tables[name]).get(log.table))
    ]
    kept = pl.concat(known).unique().collect(engine="streaming") if known else pl.DataFrame(schema={key: pl.Binary})
    left = []
    for part in log.parts:
        before = (last or {}).get(part.path)
        same = before is not None and _same(folder / part.path, *before, kept, key)
        left.append(_as_before(folder, *before) if same and before else _only(folder, part, kept, key))
    return log.model_copy(update={"parts": tuple(left)})


def _same(lines: Path, filtered: Path, part: Part, kept: pl.DataFrame, key: str) -> bool:
    """Whether those lines are left that were: none of them has to go, and there are as many."""
    gone = pl.scan_parquet(filtered).join(kept.lazy(), on=key, how="anti").select(pl.len())
    left = pl.scan_parquet(lines).join(kept.lazy(), on=key, how="semi").select(pl.len())
    none, as_many = (each.item() for each in pl.collect_all([gone, left], engine="streaming"))
    return bool(none == 0 and as_many == part.kept)


def _as_before(folder: Path, filtered: Path, part: Part) -> Part:
    check_part(filtered, part)
    (folder / part.path).unlink()
    link(filtered, folder / part.path)
    return part


def _only(folder: Path, part: Part, kept: pl.DataFrame, key: str) -> Part:
    path = folder / part.path
    replacement = path.with_suffix(".replacement")
    rows = pl.scan_parquet(path).join(kept.lazy(), on=key, how="semi", maintain_order="left")
    rows.sink_parquet(replacement, compression="zstd", compression_level=LEVEL)
    replacement.replace(path)
    left = pl.scan_parquet(path).select(pl.len()).collect().item()
    notices = part.removed.get(Reason.NOTICE.value, 0) + part.kept - left
    removed = {**part.removed, Reason.NOTICE.value: notices} if notices else part.removed
    return part.model_copy(update={"kept": left, "removed": removed, "digest": digest(path)})
