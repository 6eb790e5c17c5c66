"""Which opt-outs bind on which feed of this purpose: every register read within its age, and made one policy.

An opt-out binds on every feed unless an exemption with its document's reference lifts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from linkage.bundle import TableParts
from linkage.config import Configuration
from linkage.contract import Feed, Table
from linkage.errors import PolicyError
from linkage.optouts import ages, practices
from linkage.optouts.national import NationalAnswers
from linkage.optouts.policy import VERDICTS, Policy, Standing, combine
from linkage.optouts.registers import Flagged, Numbers, Register, distinct
from linkage.optouts.type1 import Type1Dissents
from linkage.optouts.type1_codes import Codes
from linkage.optouts.type1_codes import codes as read_codes
from linkage.reasons import Reason
from linkage.site import Delivery, is_pseudonymised, small
from linkage.sources.resolve import People, follow
from linkage.sources.roster import BY_NUMBER, Roster


@dataclass(frozen=True, slots=True)
class Binding:
    """A register and the feeds that it binds on."""

    name: str
    register: Register
    on: Callable[[Feed], bool]


def policy(
    configuration: Configuration, delivered: Sequence[Delivery], known: Roster, who: People, now: datetime
) -> Policy:
    """Everything that binds, each register within its age.

    Raises:
        PolicyError: A register that binds is missing, too old, or not believable.
    """
    direct = [delivery for delivery in delivered if not is_pseudonymised(delivery.feed)]
    bound = bindings(configuration, direct, known, who)
    feeds = {delivery.feed.name: delivery.feed for delivery in direct}
    groups = {name: tuple(each.name for each in bound if each.on(feed)) for name, feed in feeds.items()}
    said = {each.name: each.register.read(now) for each in bound if any(each.on(feed) for feed in feeds.values())}
    made: dict[tuple[str, ...], Standing] = {
        names: combine([said[name] for name in names]) for names in set(groups.values())
    }
    exempt = configuration.optouts.exempt("practices")
    return Policy(
        standings={name: made[names] for name, names in groups.items()},
        sharing=None if exempt else sharing(configuration, direct, now),
        allow_test_numbers=configuration.allow_test_numbers,
        evidence=tuple(evidence for each in said.values() for evidence in each.evidence),
    )


def bindings(
    configuration: Configuration, direct: Sequence[Delivery], known: Roster, who: People
) -> tuple[Binding, ...]:
    """Every register of people that binds on some feed."""
    rules = configuration.optouts
    found = [
        Binding("sensitive", Flagged(Reason.SENSITIVE, _sensitive(known, who)), _everywhere),
        Binding("objections", Flagged(Reason.LOCAL_OBJECTION, _flagged(known, who, "objection")), _everywhere),
    ]
    if not rules.exempt("type1"):
        everything = rules.type1.applies_to == "everything"
        found.append(Binding("type1", _type1(configuration, direct, known, who), _everywhere if everything else _gp))
    if direct and not rules.exempt("national"):
        if rules.national is None:
            raise PolicyError(
                "no national opt-out list is configured",
                hint="add [optouts.national], or an exemption with its document's reference",
            )
        answers = NationalAnswers(rules.national, configuration.base, rules.exempt("national_other_nations"))
        found.append(Binding("national", answers, _everywhere))
        # A flag of the GP system can only add to those whom the service's list leaves out.
        flags = Flagged(Reason.NATIONAL_OPT_OUT, _flagged(known, who, "national"))
        found.append(Binding("national_flags", flags, _everywhere))
    return tuple(found)


def _everywhere(feed: Feed) -> bool:
    return True


def _gp(feed: Feed) -> bool:
    return feed.setting == "primary_care"


def _sensitive(known: Roster, who: People) -> Numbers:
    flagged = known.entries.lazy().filter("whole_person")
    return _array(follow(flagged, who.current, "number").select("_followed").collect()["_followed"])


def _flagged(known: Roster, who: People, optout: str) -> Numbers:
    """Current numbers of the people whom a flag of this kind says to be out."""
    rows = known.flags.filter((pl.col("optout") == optout) & pl.col("out")).select("namespace", "key")
    by_number = (
        rows.filter(pl.col("namespace") == BY_NUMBER).select(pl.col("key").cast(pl.Int64).alias("number")).lazy()
    )
    direct = follow(by_number, who.current, "number").collect()
    # A replaced number stays out beside the current one: rows may still carry it.
    return distinct(
        _array(direct["_followed"]),
        _array(direct["number"]),
        _array(rows.join(_keys(who), on=["namespace", "key"])["_number"]),
    )


def type1_codes(configuration: Configuration) -> Codes:
    """The codes of type 1 opt-outs that count for this purpose."""
    local = configuration.optouts.type1.codes
    return read_codes(configuration.at(local) if local else None)


def _type1(configuration: Configuration, direct: Sequence[Delivery], known: Roster, who: People) -> Type1Dissents:
    codes = type1_codes(configuration)
    records = known.type1.filter(~pl.col("deleted") & pl.col("code").is_in(codes.all()))
    joined = records.join(_keys(who), on=["namespace", "key"], how="inner")
    newest_ = newest(direct, _tells_type1)
    return Type1Dissents(
        records=joined.select(
            pl.col("_number").alias("number"),
            pl.col("code").is_in(sorted(codes.withdrawal)).alias("withdrawal"),
            "date",
        ),
        flagged=_flagged(known, who, "type1"),
        newest=newest_,
        max_age_days=configuration.optouts.type1.max_age_days,
        missed=tuple(each for each in _missed(known, codes) if each[0] in newest_),
    )


def _keys(who: People) -> pl.DataFrame:
    """Every key with its current number: `namespace`, `key` (String) and `_number` (Int64)."""
    parts = [part.select(pl.lit(name).alias("namespace"), "key", "_number") for name, part in who.by_namespace.items()]
    return (
        pl.concat(parts)
        if parts
        else pl.DataFrame(schema={"namespace": pl.String, "key": pl.String, "_number": pl.Int64})
    )


def _missed(known: Roster, codes: Codes) -> Iterator[tuple[str, str]]:
    """Tables and codes for which some earlier delivery, now only on the roster, was not searched."""
    for (table,), rows in known.searched.group_by("table", maintain_order=True):
        oldest = rows["oldest"].min()
        searched = dict(rows.select("code", "oldest").iter_rows())
        for code in codes.all():
            if code not in codes.redelivered and searched.get(code) != oldest:
                yield str(table), code


def _array(column: pl.Series) -> Numbers:
    return distinct(column.drop_nulls().to_numpy().astype(np.int64))


def _tells_type1(table: Table) -> bool:
    return table.type1 is not None or any(table.columns[name].optout == "type1" for name in table.optout_flags)


def _tells_sharing(table: Table) -> bool:
    return table.sharing is not None


def newest(direct: Sequence[Delivery], tells: Callable[[Table], bool]) -> dict[str, datetime]:
    """When each table that a register is read from was last delivered, by `feed table`."""
    return {
        f"{delivery.feed.name} {name}": max(extract.delivered for extract in delivery.extracts[name])
        for delivery in direct
        for name, table in delivery.feed.tables.items()
        if tells(table)
    }


def newest_type1(direct: Sequence[Delivery]) -> Sequence[datetime]:
    """When each table that type 1 opt-outs are read from was last delivered."""
    return list(newest(direct, _tells_type1).values())


def newest_sharing(direct: Sequence[Delivery]) -> Sequence[datetime]:
    """When each table of sharing agreements was last delivered."""
    return list(newest(direct, _tells_sharing).values())


def sharing(configuration: Configuration, direct: Sequence[Delivery], now: datetime) -> practices.Sharing:
    """Which practices share, by the agreements in the extracts and the ICS's own list."""
    rules = configuration.optouts.practices
    ages.check(newest(direct, _tells_sharing), "sharing agreements", rules.max_age_days, now)
    agreed = {}
    for delivery in direct:
        for name, table in delivery.feed.tables.items():
            if table.sharing:
                flags = table.sharing.flags.items()
                shares = pl.all_horizontal(pl.col(flag).eq_missing(pl.lit(value)) for flag, value in flags)
                rows = pl.concat([small(delivery, table, extract) for extract in delivery.extracts[name]])
                agreed[delivery.feed.name] = practices.agreements(
                    rows.select(practice=table.sharing.practice, shares=shares, delivered="_delivered")
                )
    listed = practices.read_list(configuration.at(rules.list), now.date()) if rules.list else frozenset()
    return practices.Sharing(agreed, listed)


def check_coverage(configuration: Configuration, made: Sequence[TableParts]) -> None:
    """Refuse when the national list does not cover a table: too many of its people were never asked about.

    Raises:
        PolicyError: Names the feed, the table and the share.
    """
    rules = configuration.optouts.national
    if rules is None:
        return
    not_taken = (Reason.PRACTICE_NOT_SHARING, Reason.BEFORE_EARLIEST, Reason.CODE_NOT_KEPT)
    decided = [reason.value for reason in (*VERDICTS, *not_taken)]
    for table in made:
        unasked = sum(part.removed.get(Reason.NATIONAL_NOT_ASKED.value, 0) for part in table.parts)
        # Every row of a person with a usable number counts, whatever else removed it.
        people = sum(part.kept + sum(part.removed.get(reason, 0) for reason in decided) for part in table.parts)
        if unasked > rules.max_not_asked * people:
            raise PolicyError(
                f"the national opt-out list does not cover {table.feed} {table.table}: {unasked} of {people} rows are "
                "of people who were never asked about",
                hint="ask the service about everyone in the flow, then run again: `linkage optouts request`",
            )
