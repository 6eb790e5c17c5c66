"""What the roster knows of people who said no, as registers: flags, type 1 codes, and practices that they moved to."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Mapping
from datetime import date, datetime

import numpy as np
import polars as pl

from linkage.config import Type1
from linkage.optouts import practices
from linkage.optouts.practices import Sharing
from linkage.optouts.registers import Flagged, Numbers, distinct
from linkage.optouts.type1 import Type1Dissents
from linkage.optouts.type1_codes import Codes
from linkage.reasons import Reason
from linkage.sources.resolve import NUMBER, People, follow
from linkage.sources.roster import Roster
from linkage.sources.roster_tables import BY_NUMBER

_AS_TEXT = pl.col("practice").cast(pl.String)

# With which practice people are registered.
REGISTERED = pl.Schema({"number": pl.Int64(), "practice": pl.String(), "unclear": pl.Boolean()})


def owners(rows: pl.DataFrame, who: People) -> pl.DataFrame:
    """Rows with a `namespace` and a `key`, those whose key has a current number with it: `number` (Int64)."""
    known = [
        who.numbers(part, str(name)).drop("_given").rename({"_number": "number"})
        for (name,), part in rows.group_by("namespace", maintain_order=True)
    ]
    nobody = rows.clear().with_columns(number=pl.lit(None, pl.Int64))
    return pl.concat([nobody, *known]).filter(pl.col("number").is_not_null())


def speakers(rows: pl.DataFrame, known: Roster, who: People) -> pl.DataFrame:
    """The same, and a key without a number for each that it had last: whoever of those people said no, none is used.

    A number that was replaced by nobody knows which stays as it is, and is followed with what a register says.
    """
    keys = ["namespace", "key"]
    names = pl.col("namespace").cast(pl.String)
    asked = rows.select(keys).unique()
    said = known.claims.select(names, "key", "number").join(asked, on=keys, how="semi")
    had = [
        who.numbers(part, str(name)).filter(pl.col("_number").is_null()).select(*keys, number="_given")
        for (name,), part in asked.group_by("namespace", maintain_order=True)
    ]
    claims = follow(pl.concat([said, *had]).lazy(), who.current, "number").select(
        *keys, pl.coalesce("_followed", "number").alias("number")
    )
    doubted = rows.join(claims.collect(), on=keys, how="inner").filter(pl.col("number").is_not_null())
    return pl.concat([owners(rows, who), doubted])


def sensitive(known: Roster, who: People) -> Flagged:
    """People whose source marks their whole record sensitive."""
    marked = known.entries.filter("whole_person").select(pl.col("namespace").cast(pl.String), "key")
    numbers = known.entries.filter("whole_person")["number"]
    return Flagged(Reason.SENSITIVE, distinct(_array(numbers), _numbers(marked, known, who)))


def flagged(reason: Reason, optout: str, known: Roster, who: People) -> Flagged:
    """People whom a flag of this kind says to be out."""
    rows = known.flags.filter((pl.col("optout") == optout) & pl.col("out")).select("namespace", "key")
    return Flagged(reason, _numbers(rows, known, who))


def type1(rules: Type1, codes: Codes, newest: Mapping[str, datetime], known: Roster, who: People) -> Type1Dissents:
    """Type 1 opt-outs, by code and by flag; `newest` says when each table that tells of them was last delivered."""
    records = known.type1.filter(~pl.col("deleted") & pl.col("code").is_in(codes.all()))
    joined = speakers(records, known, who)
    return Type1Dissents(
        records=joined.select("number", pl.col("code").is_in(sorted(codes.withdrawal)).alias("withdrawal"), "date"),
        flagged=flagged(Reason.TYPE1_OPT_OUT, "type1", known, who).numbers,
        newest=newest,
        max_age_days=rules.max_age_days,
        missed=tuple(each for each in _missed(known, codes) if each[0] in newest),
    )


def leavers(sharing: Sharing, known: Roster, who: People) -> pl.DataFrame:
    """People who moved to a practice that does not share (`practices.LEAVERS`)."""
    # Whoever was never with such a practice has not moved to one, and those are nearly all.
    away = [part["number"] for _, part in _registrations(_not_shared(sharing, known), who)]
    people = pl.concat([pl.Series(dtype=pl.Int64), *away]).unique()
    found = []
    for feed, rows in _registrations(_of(people, known, who), who):
        found.append(rows.select("number", "start", "end", shares=~sharing.not_sharing(pl.col("practice"), feed)))
    return practices.moved(pl.concat(found)) if found else practices.LEAVERS.to_frame()


def registered(known: Roster, who: People, today: date) -> pl.DataFrame:
    """With which practice each person is registered on a day: the registration that began last decides, whoever tells of it.

    Returns:
        `REGISTERED`, one row for each person with a registration that has not ended: `practice` is null, and `unclear` true,
        where several that began on one day, or on no day that is known, name different practices.
    """
    rows = [part for _, part in _registrations(known.registrations, who)]
    if not rows:
        return REGISTERED.to_frame()
    # One without a beginning may be the last: it counts beside the one that is.
    latest = (
        pl.concat(rows)
        .filter((pl.col("start") <= today).fill_null(value=True))
        .filter((pl.col("start") == pl.col("start").max().over("number")).fill_null(value=True))
        .filter(pl.col("practice").is_not_null())
    )
    # A source that says that it has ended knows more than one that does not; on its last day somebody has left.
    ended = (pl.col("end") <= today).fill_null(value=False).any()
    by_practice = latest.group_by("number", "practice").agg(ended.alias("ended")).filter(~pl.col("ended"))
    unclear = pl.len() > 1
    found = by_practice.group_by("number").agg(
        pl.when(~unclear).then(pl.col("practice").first()).alias("practice"), unclear.alias("unclear")
    )
    return found.cast(REGISTERED)


def not_sharing(sharing: Sharing, known: Roster) -> frozenset[str]:
    """Practices with which anybody was ever registered, and which some feed's agreements or the list say not to share."""
    found: set[str] = set()
    for feed, named in _practices(known):
        found |= {*named.filter(sharing.not_sharing(_AS_TEXT, feed))["practice"].cast(pl.String).drop_nulls()}
    return frozenset(found)


def _practices(known: Roster) -> Iterator[tuple[str, pl.DataFrame]]:
    """The practices of each feed's registrations, one of which may be unknown."""
    for (feed,), named in known.registrations.select("feed", "practice").unique().group_by("feed"):
        yield str(feed), named


def _not_shared(sharing: Sharing, known: Roster) -> pl.DataFrame:
    """Registrations with practices that do not share."""
    out = [pl.lit(value=False)]
    for feed, named in _practices(known):
        where = named.filter(sharing.not_sharing(_AS_TEXT, feed))["practice"]
        out.append((pl.col("feed") == feed) & pl.col("practice").is_in(where.implode(), nulls_equal=True))
    return known.registrations.filter(pl.any_horizontal(out))


def _of(people: pl.Series, known: Roster, who: People) -> pl.DataFrame:
    """All registrations of some people, by their current numbers."""
    numbers = pl.concat([people, who.current.filter(pl.col("current").is_in(people.implode()))["superseded"]])
    names = known.registrations["namespace"].unique().cast(pl.String)
    keys = {name: who.where(name, pl.col(NUMBER).is_in(people.implode())).select("key") for name in names}
    keys[BY_NUMBER] = numbers.cast(pl.String).alias("key").to_frame()
    theirs = pl.concat(each.with_columns(namespace=pl.lit(name)) for name, each in keys.items())
    # First by the key alone, which two namespaces may have: it takes no copy of all registrations.
    some = known.registrations.join(theirs.select("key").unique(), on="key", how="semi", maintain_order="left")
    some = some.with_columns(_name=pl.col("namespace").cast(pl.String))
    theirs = theirs.rename({"namespace": "_name"})
    return some.join(theirs, on=["_name", "key"], how="semi", maintain_order="left").drop("_name")


def _registrations(told: pl.DataFrame, who: People) -> Iterator[tuple[str, pl.DataFrame]]:
    """Each feed's registrations with the person's current number: `number`, `practice` (String), `start` and `end`.

    Args:
        told: Registrations as a roster has them; those that were deleted are left out.
        who: Whose number is whose.
    """
    columns = ("number", _AS_TEXT, "start", "end")
    for (feed,), rows in told.filter(~pl.col("deleted")).group_by("feed", maintain_order=True):
        by_key = owners(rows.filter(pl.col("namespace") != BY_NUMBER), who)
        by_number = rows.filter(pl.col("namespace") == BY_NUMBER).with_columns(number=pl.col("key").cast(pl.Int64))
        followed = follow(by_number.lazy(), who.current, "number").with_columns(number="_followed")
        found = pl.concat([by_key.select(columns), followed.select(columns).collect()])
        yield str(feed), found.filter(pl.col("number").is_not_null())


def _numbers(keys: pl.DataFrame, known: Roster, who: People) -> Numbers:
    """The numbers of some `namespace` and `key`."""
    by_number = keys.filter(pl.col("namespace") == BY_NUMBER)["key"].cast(pl.Int64)
    by_key = speakers(keys, known, who)["number"]
    return distinct(_array(by_number), _array(by_key))


def _missed(known: Roster, codes: Codes) -> Iterator[tuple[str, str]]:
    """Tables and codes for which some earlier delivery, now only on the roster, was not searched."""
    for (table,), rows in known.searched.group_by("table", maintain_order=True):
        oldest = rows["oldest"].min()
        searched = dict(rows.select("code", "oldest").iter_rows())
        for code in codes.all():
            if code not in codes.redelivered and searched.get(code) != oldest:
                yield str(table), code


def _array(column: pl.Series) -> Numbers:
    return column.drop_nulls().to_numpy().astype(np.int64)


def described(primary_care: Collection[str], known: Roster, who: People) -> pl.DataFrame:
    """Where people are registered and when they were born, in the form of `optouts.population.KNOWN`.

    Args:
        primary_care: Namespaces of the keys that primary care knows people by.
        known: The roster.
        who: The same, ready for joining.
    """
    entries = follow(known.entries.lazy().filter(pl.col("number").is_not_null()), who.current, "number")
    people = entries.select(
        pl.col("_followed").alias("number"),
        pl.col("practice").cast(pl.String),
        "birth_date",
        pl.col("namespace").cast(pl.String).is_in(sorted(primary_care)).alias("primary_care"),
        "delivered",
    ).collect()
    # Rows are judged by the number that they came with too, and that is the same person's.
    replaced = who.current.drop_nulls().rename({"current": "number"})
    before = people.join(replaced, on="number").with_columns(pl.col("superseded").alias("number"))
    return pl.concat([people, before.select(people.columns)])
