"""Finding type 1 codes in one file of GP records, and which earlier ones it takes back.

What is in doubt keeps a person out: a withdrawal in a broken row, or with an unreadable mark of deletion, is none.
"""

from __future__ import annotations

from dataclasses import dataclass

import polars as pl

from linkage.contract import Table, Type1
from linkage.errors import PolicyError
from linkage.optouts.type1_codes import Codes, plain
from linkage.site import Delivery, cleaned, narrow, raised, reading, stamp
from linkage.sources.clean import INVALID
from linkage.sources.inspect import Extract
from linkage.sources.resolve import key_of
from linkage.sources.roster_tables import TYPE1


@dataclass(frozen=True, slots=True)
class Type1Search:
    """What is searched, where its columns are, and for which codes."""

    delivery: Delivery
    table: Table
    places: Type1
    extract: Extract
    codes: Codes

    def find(self, before: pl.DataFrame) -> pl.DataFrame:
        """Rows with a type 1 code, one for each of the row's code columns that holds one; and records that hold none any more.

        Args:
            before: What earlier deliveries held, in the roster's form.

        Returns:
            Rows in the roster's form; a record that held a code and does not any more is deleted.

        Raises:
            PolicyError: Too many codes are in no table of codes; names the file, the column and how many.
        """
        places = self.places
        names = [places.record, self.table.person_keys[0], *places.code, places.date, *filter(None, [places.deleted])]
        with reading(self.extract, self.delivery.feed):
            rows = cleaned(self.delivery, narrow(self.table, names), self.extract)
            self._check_translated(rows)
            found = [self._with_a_code(rows, plain(pl.col(name))) for name in places.code]
            earlier = self._earlier(before)
            if earlier.height:
                found.append(self._taken_back(rows, earlier))
        return pl.concat(found)

    def _check_translated(self, rows: pl.LazyFrame) -> None:
        names = [name for name in self.places.code if self.table.columns[name].lookup]
        if not names or self.codes.max_untranslated >= 1:
            return
        unknown = [pl.col(name + INVALID).sum().alias(name) for name in names]
        written = [(pl.col(name).is_not_null() | pl.col(name + INVALID)).sum().alias(f"{name}?") for name in names]
        # A row with too many or too few fields has its codes in other columns.
        counts = (
            rows.filter(~pl.col("_malformed")).select(*unknown, *written).collect(engine="streaming").row(0, named=True)
        )
        for name in names:
            if counts[name] > self.codes.max_untranslated * counts[f"{name}?"]:
                raise PolicyError(
                    f"{self.extract.path.name}: column {self.table.columns[name].source[0]!r}: {counts[name]} of "
                    f"{counts[f'{name}?']} codes are in no table of codes; the limit is {self.codes.max_untranslated:.1%} "
                    "(max_untranslated)",
                    hint="a type 1 opt-out may be among them: have the whole table of codes delivered, or raise "
                    "max_untranslated under [optouts.type1] with a reason",
                )

    def _with_a_code(self, rows: pl.LazyFrame, code: pl.Expr) -> pl.DataFrame:
        withdrawal = code.is_in(sorted(self.codes.withdrawal))
        deleted = pl.lit(value=False)
        if self.places.deleted:
            readable = pl.col(self.places.deleted).fill_null(value=False)
            deleted = pl.when(withdrawal).then(raised(self.places.deleted)).otherwise(readable)
        counts = code.is_in(sorted(self.codes.dissent)) | (withdrawal & ~pl.col("_malformed"))
        key = self.table.person_keys[0]
        return (
            rows.filter(counts)
            .select(
                namespace=pl.lit(self.table.columns[key].namespace),
                key=key_of(self.table, key),
                record=pl.col(self.places.record),
                code=code,
                date=pl.col(self.places.date),
                deleted=deleted,
                delivered=stamp(self.extract),
            )
            .cast(TYPE1)
            .collect(engine="streaming")
        )

    def _earlier(self, before: pl.DataFrame) -> pl.DataFrame:
        """Records of the table that held a type 1 code in an earlier delivery, in the roster's form."""
        delivered = pl.col("delivered") < pl.select(stamp(self.extract)).item()
        mine = pl.col("namespace") == self.table.columns[self.table.person_keys[0]].namespace
        held = pl.col("code").is_in(self.codes.all()) & pl.col("record").is_not_null()
        return before.filter(delivered & mine & held).unique(
            ["key", "record", "code"], keep="last", maintain_order=True
        )

    def _taken_back(self, rows: pl.LazyFrame, earlier: pl.DataFrame) -> pl.DataFrame:
        """Those records where a row holds none any more: it was changed, or deleted by a row that says no more.

        Such a row may even lack the person, so a record is known by its own name. A row that merely lost its code does not
        take a dissent back.
        """
        told = [plain(pl.col(name)) for name in self.places.code]
        holds = pl.any_horizontal(code.is_in(self.codes.all()).fill_null(value=False) for code in told)
        another = pl.any_horizontal(code.is_not_null() for code in told) & ~pl.col("_malformed")
        deleted = pl.col(self.places.deleted).fill_null(value=False) if self.places.deleted else pl.lit(value=False)
        said = rows.filter(~holds).select(record=pl.col(self.places.record), says=another | deleted)
        withdrawal = pl.col("code").is_in(sorted(self.codes.withdrawal))
        gone = said.join(earlier.lazy(), on="record").filter(pl.col("says") | withdrawal)
        found = gone.with_columns(deleted=pl.lit(value=True), delivered=stamp(self.extract)).select(TYPE1.names())
        return found.unique().collect(engine="streaming")
