"""Rows that a part does not have, counted under the reasons of today; and whether somebody is among them who may be used now."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from linkage.bundle import Part
from linkage.increments.absent import ABSENT
from linkage.increments.asking import ASKED
from linkage.reasons import Reason

__all__ = ["Recounted"]

_NOT_ASKED_FOR = (Reason.BEFORE_EARLIEST.value, Reason.CODE_NOT_KEPT.value)
_BROKEN = (
    Reason.ROW_MALFORMED.value,
    Reason.INACTIVE_SUBMISSION.value,
    Reason.REQUIRED_MISSING.value,
    Reason.REQUIRED_INVALID.value,
)


@dataclass(frozen=True, slots=True, repr=False)
class Recounted:
    """What becomes of the rows that a part does not have.

    Attributes:
        again: Whether the file must be made again: somebody may be used now who could not, or what was counted changed.
        reasons: Rows whose reason is another one now: `was`, `reason` (String) and `rows` (Int64).
        absent: Whose rows the part lacks, under the reasons of today (`ABSENT`).
    """

    again: bool
    reasons: pl.DataFrame
    absent: pl.DataFrame

    @classmethod
    def of(cls, absent: pl.DataFrame, judged: Mapping[str, pl.DataFrame]) -> Recounted:
        """For the rows that a part does not have (`ABSENT`), by what is decided now (`Reach.judged`)."""
        again, left, changed = False, [ABSENT.to_frame()], []
        for (column,), rows in absent.group_by("column", maintain_order=True):
            said = judged.get(str(column))
            if said is None or not said.height:
                left.append(rows)
                continue
            found = _recounted(rows, said)
            again |= bool(found["again"].any())
            left.append(found.select(ABSENT.names()))
            moved = found.filter(pl.col("was").ne_missing(pl.col("reason")) & ~pl.col("again"))
            changed.append(moved.select("was", "reason", "rows"))
        schema = {"was": pl.String, "reason": pl.String, "rows": pl.Int64}
        counts = pl.concat([pl.DataFrame(schema=schema), *changed]).group_by("was", "reason", maintain_order=True)
        return cls(again, counts.agg(pl.col("rows").sum()), pl.concat(left))

    def recounted(self, part: Part) -> Part:
        """A part that lacks the same rows, some for another reason."""
        removed = dict(part.removed)
        for was, reason, rows in self.reasons.iter_rows():
            removed[was] = removed.get(was, 0) - rows
            removed[reason] = removed.get(reason, 0) + rows
        return part.model_copy(update={"removed": {reason: rows for reason, rows in sorted(removed.items()) if rows}})


def _recounted(rows: pl.DataFrame, judged: pl.DataFrame) -> pl.DataFrame:
    """Rows that a part lacks, each with the reason of today, `was` and `again`."""
    found = rows.join(judged, on=ASKED, how="left", nulls_equal=True, maintain_order="left")
    known, went_on = pl.col("told").is_not_null(), pl.col("reason").is_null()
    broken = pl.col("reason").is_in(_BROKEN).fill_null(value=False)
    as_decided = pl.col("reason") == pl.col("before")
    not_asked_for = pl.col("reason").is_in(_NOT_ASKED_FOR) & pl.col("before").is_null()
    differs = pl.col("before").ne_missing(pl.col("after")) & ~broken
    clear = pl.col("after").is_not_null() & pl.col("rows").is_not_null() & (as_decided | not_asked_for)
    # A row that went on without a token, or named nobody, stands in the part: it cannot be counted elsewhere.
    stands = went_on & (pl.col("after").is_not_null() | pl.col("person_after").is_not_null() | pl.col("born"))
    removed = ~went_on & differs & ~clear.fill_null(value=False)
    # Who left a practice that shares is judged by the day of a row, whatever practice the row says.
    again = known & (pl.col("told") | stands | removed | pl.col("unsure"))
    return found.with_columns(
        pl.col("reason").alias("was"),
        again.fill_null(value=False).alias("again"),
        pl.when(known & ~went_on & differs).then("after").otherwise("reason").alias("reason"),
    )
