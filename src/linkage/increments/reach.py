"""What a change of people, registers or practices means for rows that an earlier run decided, told without those rows.

A row is decided by what it says itself and by whom it names: a number, or a key that the roster knows. The files have not
changed, so only those numbers and keys matter on which `parts.decide` says something else now than it did then. It is
asked itself: for each of them it decides about made-up rows, one for every kind of row that it would tell apart, as it
did and as it does.

A part holds tokens of *current* numbers, so rows of one token may have come from several numbers and keys. Only where all
of those change alike is the token spoken of as one; else the files that hold it are made again.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import polars as pl

from linkage.contract import Feed, Role, Table
from linkage.increments.asking import ASKED, DELETED, UNIT, Asked, decided
from linkage.increments.judged import Judged
from linkage.increments.recounting import Recounted
from linkage.optouts.policy import Policy, Standing
from linkage.optouts.registers import distinct
from linkage.site import is_pseudonymised
from linkage.sources.resolve import GIVEN, NUMBER

__all__ = ["MOVED", "OUT", "Between", "Changes", "Reach"]

OUT = pl.Schema({"number": pl.Int64(), "reason": pl.String()})
MOST = 1_000_000  # numbers and keys of one column that are asked about; rows are made up for each in memory
MOVED = pl.Schema({"number": pl.Int64(), "current": pl.Int64()})
_TEXT, _NUMBER, _FLAG = pl.String(), pl.Int64(), pl.Boolean()
GONE = pl.Schema(
    {
        "column": _TEXT,
        "number": _NUMBER,
        "key": _TEXT,
        "marked": _TEXT,
        "at_home": _FLAG,
        "by_practice": _FLAG,
        "reason": _TEXT,
        "rows": _NUMBER,
        "token_of": _NUMBER,
    }
)
JUDGED = pl.Schema(
    {
        "number": _NUMBER,
        "key": _TEXT,
        "marked": _TEXT,
        "by_practice": _FLAG,
        "before": _TEXT,
        "after": _TEXT,
        "person_before": _NUMBER,
        "person_after": _NUMBER,
        "told": _FLAG,
        "born": _FLAG,
        "unsure": _FLAG,
    }
)


# Of a column's name and some keys (`key`), those of which parts lack rows (String); None where that cannot be told.
Lacked = Callable[[str, pl.DataFrame], pl.Series | None]


@dataclass(frozen=True, slots=True, repr=False)
class Changes:
    """What happens to the people of one column of a table; people go by the number that their token was made from.

    Attributes:
        out: Whose tokens go, as `OUT`. The subject's rows go with them, under the reason; another person is no longer named.
        moved: Whose tokens become those of `current`, as `MOVED`.
        doubtful: Rows of their tokens may differ in what happens to them (Int64): files that hold one are made again.
        gone: By what numbers and keys the people of `out` were delivered, as `ABSENT` (`rows` null) with a `token_of` (Int64).
    """

    out: pl.DataFrame
    moved: pl.DataFrame
    doubtful: pl.Series
    gone: pl.DataFrame

    @property
    def nothing(self) -> bool:
        """Whether nobody is spoken of."""
        return not (self.out.height or self.moved.height or len(self.doubtful))


NOTHING = Changes(OUT.to_frame(), MOVED.to_frame(), pl.Series("number", dtype=pl.Int64), GONE.to_frame())


@dataclass(frozen=True, slots=True, repr=False)
class Reach:
    """What a change means for the parts of one table.

    Attributes:
        everything: Why all files must be made again; None where the rest says enough.
        columns: By the contract's column that names a person, what happens to the tokens.
        judged: What is decided now about numbers and keys that were decided about differently, by column.
    """

    everything: str | None = None
    columns: Mapping[str, Changes] = field(default_factory=dict)
    judged: Mapping[str, pl.DataFrame] = field(default_factory=dict)

    @property
    def nothing(self) -> bool:
        """Whether all parts stay as they are."""
        return self.everything is None and not any(each.height for each in self.judged.values())

    def absent(self, absent: pl.DataFrame) -> Recounted:
        """What becomes of the rows that a part does not have (`ABSENT`)."""
        return Recounted.of(absent, self.judged)


@dataclass(frozen=True)
class Between:
    """Two runs' decisions, and what differs between them.

    Attributes:
        before: What the last run decided by.
        after: What this one does.
    """

    before: Judged = field(repr=False)
    after: Judged = field(repr=False)

    def reach(self, feed: Feed, table: Table, lacked: Lacked = lambda _name, _keys: None) -> Reach:
        """What the difference means for the old parts of a table.

        Args:
            feed: The contract.
            table: The contract's table.
            lacked: Of which keys the parts lack rows. A key that the last run did not know at all is asked about where
                they do: a row of it that was not removed went on without a token, and is listed as well.
        """
        if table.kind != "records" or is_pseudonymised(feed):
            return Reach()
        why = self._everything(feed, table)
        if why is not None:
            return Reach(everything=why)
        found: dict[str, Changes] = {}
        judged: dict[str, pl.DataFrame] = {}
        for name in [*[*table.person_keys, *table.subjects][:1], *table.others]:
            asked = Asked.of(feed, table, name)
            units = _that_matter(self._units(asked), name, lacked)
            if units.height > MOST:
                return Reach(everything="so many people are judged otherwise that all is made again")
            # Nobody is asked about as a rule, and asking costs each table as much as many answers.
            judged[name] = JUDGED.to_frame() if units.is_empty() else self._judged(asked, units)
            found[name] = NOTHING if units.is_empty() else _changes(asked, judged[name])
        return Reach(None, found, judged)

    def _everything(self, feed: Feed, table: Table) -> str | None:
        was, now = self.before.policy, self.after.policy
        if feed.name not in was.standings or was.allow_test_numbers != now.allow_test_numbers:
            return "other people could be used when it was made"
        if self.before.restricted != self.after.restricted and table.with_role(Role.CODE):
            return "the restricted codes changed"
        old, new = was.standings[feed.name], now.standings[feed.name]
        if (old.otherwise, old.otherwise_abroad) != (new.otherwise, new.otherwise_abroad):
            return "what counts for people of whom no register speaks changed"
        if feed.setting == "primary_care" and _shares(was, feed) != _shares(now, feed):
            return "the practices that share changed"
        return None

    def _judged(self, asked: Asked, units: pl.DataFrame) -> pl.DataFrame:
        """Every number or key of a column on which something may be decided differently, with what was and is decided.

        Returns:
            `number`, `key`, `marked`, `by_practice` as in `ABSENT`; `before`, `after` (String, the reason or null);
            `person_before`, `person_after` (Int64); and Booleans: `told`, whether what is counted of rows differs; `born`,
            whether ages may; `unsure`, whether the practice that the roster knows may keep out what it did not, or not.
        """
        was, now = (decided(asked, units, judged) for judged in (self.before, self.after))
        both = was.join(now, on=ASKED, suffix="_after", nulls_equal=True, maintain_order="left")
        unsure = self._unsure(asked) if asked.by_practice(self.after.policy) else pl.lit(value=False)
        return both.select(
            *ASKED,
            pl.col("reason").alias("before"),
            pl.col("reason_after").alias("after"),
            pl.col("person").alias("person_before"),
            "person_after",
            (pl.col("told").ne_missing(pl.col("told_after")) | pl.col("range").ne_missing(pl.col("range_after"))).alias(
                "told"
            ),
            (pl.lit(asked.ages) & pl.col("born").ne_missing(pl.col("born_after"))).alias("born"),
            unsure.alias("unsure"),
        )

    def _unsure(self, asked: Asked) -> pl.Expr:
        was, now = self.before.policy.sharing, self.after.policy.sharing
        if was is None or now is None:
            return pl.lit(value=False)
        practices = {
            code for each in now.periods for practice in each.practices for code in (practice, practice.lower())
        }
        home, home_after = pl.col("home"), pl.col("home_after")
        then, today = was.not_sharing(home, asked.feed.name), now.not_sharing(home_after, asked.feed.name)
        dated = pl.any_horizontal(each.is_in(sorted(practices)).fill_null(value=False) for each in (home, home_after))
        left = pl.Series(np.concatenate([was.leavers["number"], now.leavers["number"]]), dtype=pl.Int64)
        leaving = pl.any_horizontal(
            pl.col(each).is_in(left.implode()).fill_null(value=False) for each in ("person", "person_after")
        )
        moved = pl.col("person").ne_missing(pl.col("person_after"))
        changed = pl.any_horizontal(
            pl.col(each).is_in(self._leavers.implode()).fill_null(value=False) for each in ("person", "person_after")
        )
        return (then != today) | (dated & home.ne_missing(home_after)) | (leaving & moved) | changed

    def _units(self, asked: Asked) -> pl.DataFrame:
        """Numbers or keys (`number` or `key`) on which something may differ, with all others whose tokens were theirs.

        `new` says of a key that the last run did not know it.
        """
        place = (asked.feed.name, asked.namespace)
        if place not in self._found:
            spoken = pl.concat([self._verdicts(asked.feed), self._leavers]).unique()
            named = self._numbers(spoken) if asked.namespace is None else self._keys(asked.namespace, spoken)
            nobody = pl.DataFrame(schema={"number": pl.Int64, "key": pl.String, "new": pl.Boolean})
            self._found[place] = pl.concat([nobody, named], how="diagonal")
        return self._found[place]

    def _numbers(self, spoken: pl.Series) -> pl.DataFrame:
        was, now = self.before.who.current, self.after.who.current
        numbers = pl.concat([spoken, _differing(was, now, ["superseded"])["superseded"]]).unique()
        # A number that was replaced stands for all that were replaced by the same one.
        ends = pl.DataFrame({"superseded": numbers}).join(was, on="superseded", how="left")
        tokens = ends.select(pl.coalesce("current", "superseded"))["current"].unique()
        like = was.filter(pl.col("current").is_in(tokens.implode()))["superseded"]
        found = pl.concat([numbers, tokens, like]).unique().sort().alias("number").to_frame()
        return found.with_columns(new=pl.lit(value=False))

    def _keys(self, namespace: str, spoken: pl.Series) -> pl.DataFrame:
        was, now = self.before.who, self.after.who
        speaks = pl.col(GIVEN).is_in(spoken.implode()) | pl.col(NUMBER).is_in(spoken.implode())
        changed = [self._changed_keys(namespace), *(each.where(namespace, speaks).select("key") for each in (was, now))]
        keys = pl.concat(changed).unique()
        known = was.of(namespace, keys)
        tokens = known[NUMBER].drop_nulls().unique()
        like = was.where(namespace, pl.col(NUMBER).is_in(tokens.implode())).select("key")
        new = keys.join(known, on="key", how="anti")
        found = pl.concat([keys, like]).unique().sort("key")
        return found.with_columns(new=pl.col("key").is_in(new["key"].implode()))

    def _changed_keys(self, namespace: str) -> pl.DataFrame:
        if namespace not in self._cached:
            self._cached[namespace] = _changed(*self.after.who.since(self.before.who, namespace))
        return self._cached[namespace]

    def _verdicts(self, feed: Feed) -> pl.Series:
        was, now = self.before.policy.standings[feed.name], self.after.policy.standings[feed.name]
        place = (id(was), id(now))
        if place not in self._spoken:
            self._spoken[place] = _differently(was, now)
        return self._spoken[place]

    @cached_property
    def _found(self) -> dict[tuple[str, str | None], pl.DataFrame]:
        return {}

    @cached_property
    def _cached(self) -> dict[str, pl.DataFrame]:
        return {}

    @cached_property
    def _spoken(self) -> dict[tuple[int, int], pl.Series]:
        return {}

    @cached_property
    def _leavers(self) -> pl.Series:
        """People whose last day with a practice that shares is another one now."""
        was, now = self.before.policy.sharing, self.after.policy.sharing
        if was is None or now is None:
            return pl.Series(dtype=pl.Int64)
        return _differing(was.leavers, now.leavers, ["number"])["number"]


def _that_matter(units: pl.DataFrame, name: str, lacked: Lacked) -> pl.DataFrame:
    """The units of a column without keys that are new and of which no part lacks a row: those are in new files alone."""
    new = units.filter("new").select("key")
    held = lacked(name, new) if new.height else None
    if held is None:
        return units.drop("new")
    return units.filter(~pl.col("new") | pl.col("key").is_in(held.implode())).drop("new")


def _changes(asked: Asked, judged: pl.DataFrame) -> Changes:
    """What happens to tokens: of all rows that may stand under one, the same, or nobody knows what."""
    marks = [None, DELETED] if asked.deletes else [None]
    may_stand = pl.col("marked").is_in(marks, nulls_equal=True) & ~pl.col("by_practice")
    kept = judged.filter(may_stand & pl.col("before").is_null() & pl.col("person_before").is_not_null())
    # Where the practice may count differently now, rows that it let in may be kept out.
    out = judged.filter("by_practice").select(*UNIT, "marked", pl.col("after").alias("_after"))
    turned = kept.filter("unsure").join(out, on=[*UNIT, "marked"], nulls_equal=True)
    possible = pl.concat([kept, turned.with_columns(pl.col("_after").alias("after")).select(kept.columns)])
    leaves = pl.col("person_after").is_null() if asked.other else pl.col("after").is_not_null()
    again = pl.col("told") | (~leaves & (pl.col("born") | pl.col("person_after").is_null()))
    became = pl.struct(pl.when(leaves).then(pl.lit(None, pl.Int64)).otherwise("person_after"), "after")
    tokens = (
        possible.with_columns(leaves.alias("leaves"), again.alias("again"), became.alias("became"))
        .group_by("person_before", maintain_order=True)
        .agg(
            (pl.col("leaves") | pl.col("again") | (pl.col("person_after") != pl.col("person_before")))
            .any()
            .alias("changed"),
            (pl.col("again").any() | (pl.col("became").n_unique() > 1)).alias("doubtful"),
            pl.col("leaves").first(),
            pl.col("after").first().alias("reason"),
            pl.col("person_after").first().alias("current"),
        )
        .filter("changed")
        .rename({"person_before": "number"})
        .sort("number")
    )
    alike = tokens.filter(~pl.col("doubtful"))
    gone = alike.filter("leaves").select("number", "reason")
    return Changes(
        gone.cast(OUT),
        alike.filter(~pl.col("leaves")).select("number", "current").cast(MOVED),
        tokens.filter("doubtful")["number"],
        _gone(asked, possible, gone),
    )


def _gone(asked: Asked, possible: pl.DataFrame, gone: pl.DataFrame) -> pl.DataFrame:
    """Under which numbers and keys people who go may have been delivered; how many rows each had is not known."""
    units = possible.select(*UNIT, "marked", pl.col("person_before").alias("token_of")).unique(maintain_order=True)
    named = units.join(gone, left_on="token_of", right_on="number", maintain_order="left")
    return named.select(
        pl.lit(asked.name).alias("column"),
        *UNIT,
        "marked",
        pl.lit(asked.practices).alias("at_home"),
        pl.lit(value=False).alias("by_practice"),
        "reason",
        pl.lit(None, pl.Int64).alias("rows"),
        "token_of",
    )


def _changed(was: pl.DataFrame, now: pl.DataFrame) -> pl.DataFrame:
    """Keys (`key`) of which something else is known now; one of which nothing is known is as one that is not there."""
    if was.is_empty() or now.is_empty():
        return pl.concat([was.select("key"), now.select("key")])
    both = was.lazy().join(now.lazy().select(was.columns), on="key", how="full", coalesce=True, suffix="_now")
    values = [name for name in was.columns if name != "key"]
    differs = pl.any_horizontal(pl.col(name).ne_missing(pl.col(f"{name}_now")) for name in values)
    return both.filter(differs).select("key").collect(engine="streaming")


def _differing(was: pl.DataFrame, now: pl.DataFrame, on: Sequence[str]) -> pl.DataFrame:
    """The keys of rows that only one of two frames has, or that differ."""
    if was.equals(now):
        return was.clear().select(on)
    columns = list(was.columns)
    only = [
        one.join(other, on=columns, how="anti", nulls_equal=True).select(on)
        for one, other in ((was, now.select(columns)), (now.select(columns), was))
    ]
    return pl.concat(only).unique()


def _differently(was: Standing, now: Standing) -> pl.Series:
    """Numbers with another verdict (Int64)."""
    if was is now:
        return pl.Series(dtype=pl.Int64)
    numbers = distinct(was.numbers, now.numbers)
    told = pl.Series(numbers)
    return told.filter(was.of(told) != now.of(told))


def _shares(policy: Policy, feed: Feed) -> tuple[object, ...] | None:
    """What of the practices a feed's rows are held against."""
    sharing = policy.sharing
    if sharing is None:
        return None
    return sharing.agreed.get(feed.name), sharing.listed, sharing.periods
