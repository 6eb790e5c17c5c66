"""What is decided about a number or a key, whatever row it stands in: asked of `parts.decide`, by made-up rows.

One row for every kind that it would tell apart: by what the row's own flags say, and by whether its practice keeps it out.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import polars as pl

from linkage import nhs_number
from linkage.contract import Column, Feed, Role, Table
from linkage.increments.judged import Judged
from linkage.optouts.policy import Policy
from linkage.optouts.practices import Sharing
from linkage.parts import REMOVED, decide
from linkage.reasons import Reason
from linkage.site import HIDDEN, INACTIVE
from linkage.sources.clean import INVALID
from linkage.sources.resolve import BIRTH, GIVEN, HOME_PRACTICE, NUMBER, PERSON_REASON, People

__all__ = ["ASKED", "DELETED", "UNIT", "Asked", "decided"]

UNIT = ["number", "key"]
ASKED = [*UNIT, "marked", "by_practice"]
DELETED = Reason.DELETED.value
_APART = (*UNIT, "marked")
_TEST, _SENSITIVE = Reason.TEST_PATIENT.value, Reason.SENSITIVE.value


def _apart(name: str) -> str:
    return f"_asked_{name}"


@dataclass(frozen=True, slots=True)
class Asked:
    """One column of a table that names a person, as a table of its own that rows are made up for.

    Attributes:
        feed: The contract.
        table: The contract's table with this column alone, and a flag for each reason that a row's own flags may give.
        name: The column.
        namespace: Of the keys in it; None where it holds numbers.
        other: Whether it names another person than the row's.
        ages: Whether rows have an age, which the roster's birth date may decide.
        deletes: Whether rows of the table may be deletions, which go on whatever the roster says of their key.
        practices: Whether practices may keep rows out.
    """

    feed: Feed
    table: Table
    name: str
    namespace: str | None
    other: bool
    ages: bool
    deletes: bool
    practices: bool

    @classmethod
    def of(cls, feed: Feed, table: Table, name: str) -> Asked:
        """For a column of a feed's table."""
        column = table.columns[name]
        by_key = column.role is Role.PERSON_KEY
        columns = {name: column.model_copy(update={"within": None, "required": False, "type": None})}
        for reason in (_TEST, DELETED):
            columns[f"_{reason}"] = Column(source=("-",), role=Role.FLAG, removes=reason)  # type: ignore[arg-type]
        bare = table.model_copy(update={"columns": columns, "event": None, "month": None, "submission": None})
        other = column.other
        return cls(
            feed,
            bare,
            name,
            (column.namespace or "") if by_key else None,
            other,
            ages=table.event is not None and not other,
            deletes=any(each.removes == DELETED for each in table.columns.values()),
            practices=feed.setting == "primary_care" and not other,
        )

    def by_practice(self, policy: Policy) -> bool:
        """Whether practices keep rows out."""
        return self.practices and policy.sharing is not None

    def rows(self, units: pl.DataFrame) -> pl.LazyFrame:
        """A clean row for each number or key and each reason that a row's own flags may give."""
        marks = [None] if self.other else [None, _TEST, _SENSITIVE, DELETED]
        # A contract may call its columns as the units are called.
        number, key, marked = (pl.col(_apart(name)) for name in _APART)
        named = key if self.namespace is not None else number.cast(pl.String).str.zfill(10)
        flags = [(marked == reason).fill_null(value=False).alias(f"_{reason}") for reason in (_TEST, DELETED)]
        return (
            units.lazy()
            .join(pl.LazyFrame({"marked": marks}, schema={"marked": pl.String}), how="cross")
            .select(pl.col(name).alias(_apart(name)) for name in _APART)
            .with_columns(
                named.alias(self.name),
                *flags,
                *(pl.lit(value=False).alias(f"_{reason}{INVALID}") for reason in (_TEST, DELETED)),
                (marked == _SENSITIVE).fill_null(value=False).alias(HIDDEN),
                pl.lit(value=False).alias(INACTIVE),
                pl.lit(value=False).alias("_malformed"),
            )
        )


def decided(asked: Asked, units: pl.DataFrame, judged: Judged) -> pl.DataFrame:
    """What is decided about made-up rows of some numbers or keys, whether their practice keeps them out or not."""
    who = judged.who
    if asked.namespace is not None:
        who = People({asked.namespace: who.of(asked.namespace, units)}, who.current)
    answers: list[tuple[bool, Sharing | None]] = [(False, None)]
    if asked.by_practice(judged.policy):
        answers.append((True, Sharing({asked.feed.name: frozenset({""})}, frozenset())))
    person = pl.col(asked.name) if asked.other else pl.col(NUMBER)
    found = []
    for out, sharing in answers:
        by = Judged(who, replace(judged.policy, sharing=sharing))
        rows = decide(asked.rows(units), asked.feed, asked.table, by)
        found.append(
            rows.select(
                *(pl.col(_apart(name)).alias(name) for name in _APART),
                pl.lit(out).alias("by_practice"),
                pl.col(REMOVED).alias("reason"),
                person.alias("person"),
                pl.col(PERSON_REASON).alias("told"),
                nhs_number.range_expr(GIVEN).cast(pl.String).alias("range"),
                pl.col(BIRTH).alias("born"),
                pl.col(HOME_PRACTICE).alias("home"),
            )
        )
    return pl.concat(pl.collect_all(found))
