"""What several nodes say together: sums with bounds, shares with bounds, and who answered."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from linkage.errors import InputError
from linkage.questions.answers import Answer
from linkage.questions.question import MEASURE, Question

__all__ = ["ALL", "WITHHELD", "Combined", "Refused"]

ALL, WITHHELD = "(all)", "*"


@dataclass(frozen=True, slots=True)
class Refused:
    """A file that is not part of the sums, and why."""

    file: str
    reason: str


@dataclass(frozen=True, slots=True, eq=False)
class Combined:
    """What the nodes that answered say together.

    Attributes:
        question: What was asked.
        answers: The answers in the sums, by node.
        missing: Nodes that were asked and of which there is no answer that can be used.
        refused: Files that were not used.
        table: The dimensions (String, `(all)` in totals), `count` (String: the sum of rounded counts, `*` where a node
            withheld one), `at_least` and `at_most` (Int64). All are of the nodes that answered.
    """

    question: Question
    answers: Mapping[str, Answer]
    missing: tuple[str, ...]
    refused: tuple[Refused, ...]
    table: pl.DataFrame

    def shares(self) -> pl.DataFrame:
        """Of a question for a share: of how many in a hundred the measure is true, in every group.

        Returns:
            The dimensions, `share` (String with one decimal, `*` where a count that it needs is withheld), `share_at_least`
            and `share_at_most` (Float64, null where there is surely nobody).

        Raises:
            InputError: The question was for no share.
        """
        if self.question.measure is None:
            raise InputError("the question was for counts, not for a share", hint="read the table of counts")
        keys = [name for name in self.question.groups if name != MEASURE]
        yes, no, both = (
            self.table.filter(pl.col(MEASURE) == value).select(
                *keys, pl.exclude(*keys, MEASURE).name.suffix(f"_{word}")
            )
            for value, word in (("yes", "yes"), ("no", "no"), (ALL, "all"))
        )
        joined = pl.concat([both, yes.select(pl.exclude(keys)), no.select(pl.exclude(keys))], how="horizontal")
        shown = (pl.col("count_yes") != WITHHELD) & (pl.col("count_all") != WITHHELD) & (pl.col("at_least_all") > 0)
        counted = pl.col("count_yes").cast(pl.Int64, strict=False) / pl.col("count_all").cast(pl.Int64, strict=False)
        return joined.select(
            *keys,
            pl.when(shown)
            .then((100 * counted).clip(0, 100).round(1).cast(pl.String))
            .otherwise(pl.lit(WITHHELD))
            .alias("share"),
            _share("at_least_yes", "at_most_no", "at_most_all").alias("share_at_least"),
            _share("at_most_yes", "at_least_no", "at_least_all").alias("share_at_most"),
        )

    def lines(self) -> list[str]:
        """Who answered and who did not, for people."""
        asked, answered = self.question.nodes, sorted(self.answers)
        said = [f"{len(answered)} of {len(asked)} nodes answered; every count is of these alone"]
        said += [f"  {name}: snapshot of {self.answers[name].snapshot_day}" for name in answered]
        said += [f"  {name}: no answer" for name in self.missing]
        return said + [f"not used: {each.file}: {each.reason}" for each in self.refused]


def _share(yes: str, no: str, everybody: str) -> pl.Expr:
    """A bound of a share: by who is in it and who is not, and by all; whichever says more.

    The share grows with who is in it and shrinks with who is not, so each of the two is a bound.
    """
    upper = yes.startswith("at_most")
    by_parts = (100 * pl.col(yes) / (pl.col(yes) + pl.col(no))).fill_nan(None)
    by_all = (100 * pl.col(yes) / pl.col(everybody)).fill_nan(None)
    best = pl.min_horizontal(by_parts, by_all) if upper else pl.max_horizontal(by_parts, by_all)
    return pl.when(pl.col("at_most_all") > 0).then(best.clip(0, 100))
