"""Whom a purpose may cover, by what is known of people: where they are registered and how old they are.

Held against people and not against rows, so that a person is in or out with all that is known of them. Who is not known
to be covered is not covered.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection
from dataclasses import dataclass
from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import polars as pl

from linkage.errors import ConfigurationError
from linkage.optouts.registers import Evidence, Numbers, Said, distinct
from linkage.purpose import Population
from linkage.reasons import Reason

KNOWN = pl.Schema(
    {
        "number": pl.Int64(),
        "practice": pl.String(),
        "birth_date": pl.Date(),
        "primary_care": pl.Boolean(),
        "delivered": pl.Datetime("us"),
    }
)


@dataclass(frozen=True, slots=True, repr=False)
class Covered:
    """The people whom a purpose may cover.

    Attributes:
        rules: The limits.
        base: The folder that a relative path starts from.
        known: What is known of people, as `KNOWN`; numbers are current ones.
    """

    rules: Population
    base: Path
    known: pl.DataFrame

    def read(self, now: datetime) -> Said:
        """Who is covered.

        Raises:
            ConfigurationError: The list of practices cannot be read, or is empty.
        """
        practices, evidence = self._practices()
        return Said(
            may=covered(self.known, practices, self.rules, now.date()),
            otherwise=Reason.OUTSIDE_POPULATION,
            evidence=evidence,
        )

    def _practices(self) -> tuple[Collection[str], tuple[Evidence, ...]]:
        listed = self.rules.practices
        if not isinstance(listed, Path):
            return frozenset(code.strip().upper() for code in listed), ()
        hint = "a list of practices is a CSV file with a column called ods_code"
        try:
            content = (self.base / listed).read_bytes()
            as_of = datetime.fromtimestamp((self.base / listed).stat().st_mtime, UTC).replace(microsecond=0)
            column = pl.read_csv(content, columns=["ods_code"], infer_schema=False)["ods_code"]
        except (OSError, pl.exceptions.PolarsError):
            raise ConfigurationError(f"{listed}: cannot be read as a list of practices", hint=hint) from None
        found = frozenset(column.drop_nulls().str.strip_chars().str.to_uppercase()) - {""}
        if not found:
            raise ConfigurationError(f"{listed}: an empty list of practices covers nobody", hint=hint)
        digest = hashlib.sha256(content).hexdigest()
        return found, (Evidence("population_practices", listed.name, digest, as_of, len(found)),)


def covered(known: pl.DataFrame, practices: Collection[str], rules: Population, today: date) -> Numbers:
    """The people within the limits.

    Args:
        known: As `KNOWN`. Of a person's practices, and of their birth dates, those count that primary care tells, where it
            tells any; of them the latest delivered. Where those disagree, every one must be within the limits.
        practices: ODS codes in upper case; none where practices are not limited.
        rules: The ages.
        today: The day that ages are counted on.

    Returns:
        Sorted distinct numbers.
    """
    birth = pl.col("birth_date")
    # A month is an 8-bit number, which a hundred times a month is not.
    day = birth.dt.month().cast(pl.Int32) * 100 + birth.dt.day()
    before_birthday = day > today.month * 100 + today.day
    age = today.year - birth.dt.year() - before_birthday.cast(pl.Int32)
    within = [known.lazy().select("number").unique()]
    if practices:
        within.append(_all_within(known, "practice", pl.col("practice").str.to_uppercase().is_in(sorted(practices))))
    if rules.min_age is not None or rules.max_age is not None:
        low, high = rules.min_age or 0, 200 if rules.max_age is None else rules.max_age
        within.append(_all_within(known, "birth_date", age.is_between(low, high)))
    people = within[0]
    for each in within[1:]:
        people = people.join(each, on="number", how="semi")
    numbers = people.filter(pl.col("number").is_not_null()).collect()["number"]
    return distinct(numbers.to_numpy().astype(np.int64))


def _all_within(known: pl.DataFrame, column: str, test: pl.Expr) -> pl.LazyFrame:
    """Numbers whose values that count all pass."""
    told = known.lazy().filter(pl.col(column).is_not_null())
    for better in ("primary_care", "delivered"):
        told = told.filter(pl.col(better) == pl.col(better).max().over("number"))
    return told.group_by("number").agg(test.fill_null(value=False).all().alias("within")).filter("within")
