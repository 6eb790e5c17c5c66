"""Practices that do not share: by the agreements in the GP extracts, and by the ICS's own list, bounded in time.

Where a feed delivers agreements, a practice that is on none of them does not share. What counts is the day of disclosure:
a practice that does not share today has nothing in the output, whenever it was recorded. What is dated within a period
in which a practice did not share stays out afterwards too, for the list says that it may not be used. A person whose
latest registration is with a practice that does not share has none of their GP records in the output, at whichever practice
they were made; an exemption lets in what was made before they left a practice that shares.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from datetime import date, datetime

import numpy as np
import polars as pl

from linkage.optouts.lists import KeptList
from linkage.optouts.registers import Numbers, Said, distinct
from linkage.reasons import Reason

HEADER = ("not_sharing_ods_code", "from", "to", "note")
LEAVERS = pl.Schema({"number": pl.Int64(), "until": pl.Date()})
_NEVER, _ALWAYS = date.min, date.max


@dataclass(frozen=True, slots=True)
class Period:
    """Days on which some practices do not share, first and last included."""

    starts: date
    ends: date
    practices: frozenset[str]


@dataclass(frozen=True, slots=True, repr=False)
class Sharing:
    """Which practices share.

    Attributes:
        agreed: By feed, the ODS codes of practices with an agreement in force; a feed that delivers no agreements is
            not a key.
        listed: ODS codes on the ICS's own list of practices that do not share today.
        periods: Earlier periods of that list.
        leavers: People who moved to a practice that does not share, and the last day whose records may be used all the
            same (`LEAVERS`); empty where no exemption says so.
    """

    agreed: Mapping[str, frozenset[str]]
    listed: frozenset[str]
    periods: tuple[Period, ...] = ()
    leavers: pl.DataFrame = field(default_factory=LEAVERS.to_frame)

    def not_sharing(self, practice: pl.Expr, feed: str) -> pl.Expr:
        """Whether the practice (String) of each row keeps its records out today; Boolean, never null."""
        # Codes are written in capitals; a practice that is not to share does not share in small letters either.
        listed = practice.is_in(sorted({*self.listed, *map(str.lower, self.listed)})).fill_null(value=False)
        if feed not in self.agreed:
            return listed
        return listed | ~practice.is_in(sorted(self.agreed[feed])).fill_null(value=False)

    def was_not_sharing(self, practice: pl.Expr, day: pl.Expr) -> pl.Expr:
        """Whether each row is dated (Date) within a period in which its practice did not share; Boolean, never null.

        A row without a date may be of any day.
        """
        within = [
            practice.is_in(sorted({*each.practices, *map(str.lower, each.practices)}))
            & day.is_between(pl.lit(each.starts), pl.lit(each.ends)).fill_null(value=True)
            for each in self.periods
        ]
        return pl.any_horizontal(pl.lit(value=False), *within).fill_null(value=False)

    def after_leaving(self, number: str, day: pl.Expr) -> pl.Expr:
        """Whether each row (person's number, Int64; Date) is later than its person's last day with a practice that shares.

        A row without a date may be of any day. Boolean, never null.
        """
        numbers = self.leavers["number"].to_numpy()
        order = np.argsort(numbers)
        days = self.leavers["until"].cast(pl.Int32).fill_null(-(2**31)).to_numpy()[order]
        sorted_numbers = numbers[order]

        def judge(rows: pl.Series) -> pl.Series:
            values = rows.struct.field("number").fill_null(-1).to_numpy()
            on = rows.struct.field("day").cast(pl.Int32).fill_null(2**31 - 1).to_numpy()
            places = np.minimum(np.searchsorted(sorted_numbers, values), len(sorted_numbers) - 1)
            return pl.Series((sorted_numbers[places] == values) & (on > days[places]))

        pairs = pl.struct(pl.col(number).alias("number"), day.alias("day"))
        return pairs.map_batches(judge, return_dtype=pl.Boolean, is_elementwise=True)


@dataclass(frozen=True, slots=True, repr=False)
class MovedAway:
    """People whose latest registration is with a practice that does not share, a register for GP records."""

    numbers: Numbers

    def read(self, now: datetime) -> Said:
        """They may not be used."""
        return Said(out={Reason.PRACTICE_NOT_SHARING: self.numbers})


def latest(practice: str, delivered: str) -> Callable[[pl.DataFrame], pl.DataFrame]:
    """From rows to those of each practice's latest delivery; the two columns' names."""
    return lambda rows: rows.filter(pl.col(delivered) == pl.col(delivered).max().over(practice))


def agreements(rows: pl.DataFrame) -> frozenset[str]:
    """Practices that share.

    Args:
        rows: `practice` (String), `shares` (Boolean) and `delivered` (Datetime): for each practice its latest
            delivery counts, and every row of that must share.
    """
    shares = (
        latest("practice", "delivered")(rows).group_by("practice").agg(pl.col("shares").fill_null(value=False).all())
    )
    return frozenset(shares.filter("shares")["practice"].drop_nulls().to_list())


def listed(kept: KeptList, today: date) -> tuple[frozenset[str], tuple[Period, ...]]:
    """Practices that do not share today, and earlier periods in which some did not.

    Args:
        kept: A list `not_sharing_ods_code,from,to,note`; dates are yyyy-mm-dd, a blank `from` is always, a blank `to` is still.
        today: The day of disclosure.

    Raises:
        PolicyError: A line is not a practice with dates; says which.
    """
    now: set[str] = set()
    earlier: dict[tuple[date, date], set[str]] = {}
    for code, starts, ends in _lines(kept):
        if starts <= today <= ends:
            now.add(code)
        elif ends < today:
            earlier.setdefault((starts, ends), set()).add(code)
    periods = [Period(starts, ends, frozenset(codes)) for (starts, ends), codes in sorted(earlier.items())]
    return frozenset(now), tuple(periods)


def beginnings(kept: KeptList) -> frozenset[date]:
    """The days on which practices of such a list begin not to share.

    Raises:
        PolicyError: As `listed`.
    """
    return frozenset(starts for _, starts, _ in _lines(kept))


def _lines(kept: KeptList) -> Iterator[tuple[str, date, date]]:
    """Each line's practice, with the first and the last day on which it does not share."""
    for line, row in kept.rows():
        try:
            code = row[0].upper()
            starts, ends = (_date(text, default) for text, default in zip(row[1:3], (_NEVER, _ALWAYS), strict=True))
            if not code or starts > ends:
                raise ValueError
        except ValueError:
            raise kept.wrong(line, "not a practice with dates as yyyy-mm-dd") from None
        yield code, starts, ends


def moved(registrations: pl.DataFrame) -> pl.DataFrame:
    """People who moved from a practice that shares to one that does not, or were never with one that shares.

    The registration that began last decides; of two that began on one day the one that does not share. One without a
    beginning counts as the last where its practice does not share, unless it ended before; as the first where it does.

    Args:
        registrations: `number` (Int64), `start` and `end` (Date) and `shares` (Boolean, not null): one row each.

    Returns:
        `LEAVERS`: `until` is the last day on which they were with a practice that shares and not yet with another;
        null where that is not known.
    """
    began = (
        pl.when("shares")
        .then(pl.col("start").fill_null(_NEVER))
        .otherwise(pl.coalesce("start", "end", pl.lit(_ALWAYS)))
    )
    rows = registrations.filter(pl.col("number").is_not_null()).with_columns(began.alias("began"))
    sharing = rows.filter("shares")
    latest = sharing.filter(pl.col("began") == pl.col("began").max().over("number"))
    last = latest.group_by("number").agg(pl.col("began").first().alias("joined"), pl.col("end").min())
    away = rows.filter(~pl.col("shares")).join(last, on="number", how="left", suffix="_sharing")
    later = away.filter(pl.col("joined").is_null() | (pl.col("began") >= pl.col("joined")))
    found = later.group_by("number").agg(pl.col("began").min(), pl.col("end_sharing").first(), pl.col("joined").first())
    before = pl.when(pl.col("began") < _ALWAYS).then(pl.col("began").dt.offset_by("-1d"))
    until = pl.when(pl.col("joined").is_not_null()).then(pl.min_horizontal("end_sharing", before))
    return found.select("number", until.alias("until")).cast(LEAVERS)


def numbers_of(leavers: pl.DataFrame) -> Numbers:
    """The people of `LEAVERS`, sorted."""
    return distinct(leavers["number"].to_numpy().astype(np.int64))


def _date(text: str, default: date) -> date:
    return date.fromisoformat(text) if text else default
