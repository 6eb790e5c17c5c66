"""Which opt-outs bind on which feed of this purpose: every register read within its age, and made one policy.

An opt-out binds on every feed unless an exemption with its document's reference lifts it.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime

import numpy as np
import polars as pl

from linkage.bundle import TableParts
from linkage.config import Configuration
from linkage.contract import Feed
from linkage.errors import PolicyError
from linkage.optouts import ages, practices
from linkage.optouts.national import NationalAnswers
from linkage.optouts.policy import VERDICTS, Policy, Standing, combine
from linkage.optouts.registers import Numbers, Register, Said, distinct
from linkage.optouts.type1 import Type1Codes
from linkage.reasons import Reason
from linkage.site import Delivery, is_pseudonymised, small
from linkage.sources.resolve import People, follow
from linkage.sources.roster import Roster


@dataclass(frozen=True, slots=True)
class Binding:
    """A register and the feeds that it binds on."""

    name: str
    register: Register
    on: Callable[[Feed], bool]


@dataclass(frozen=True, slots=True, repr=False)
class SensitivePeople:
    """People whose source marks their whole record sensitive."""

    numbers: Numbers

    def read(self, now: datetime) -> Said:
        """They may not be used, ever."""
        return Said(out={Reason.SENSITIVE: self.numbers})


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
    found = [Binding("sensitive", SensitivePeople(_sensitive(known, who)), lambda feed: True)]
    if not rules.exempt("type1"):
        everywhere = rules.type1.applies_to == "everything"
        register = Type1Codes(_type1_records(known, who), newest(direct, "type1"), rules.type1.max_age_days)
        found.append(Binding("type1", register, lambda feed: everywhere or feed.setting == "primary_care"))
    if direct and not rules.exempt("national"):
        if rules.national is None:
            raise PolicyError(
                "no national opt-out list is configured",
                hint="add [optouts.national], or an exemption with its document's reference",
            )
        register_ = NationalAnswers(rules.national, configuration.base, rules.exempt("national_other_nations"))
        found.append(Binding("national", register_, lambda feed: True))
    return tuple(found)


def _sensitive(known: Roster, who: People) -> Numbers:
    flagged = known.entries.lazy().filter("whole_person")
    numbers = follow(flagged, who.current, "number").select("_followed").collect()["_followed"]
    return distinct(numbers.drop_nulls().to_numpy().astype(np.int64))


def _type1_records(known: Roster, who: People) -> pl.DataFrame:
    numbers = [
        part.select(pl.lit(name).alias("namespace"), "key", "_number") for name, part in who.by_namespace.items()
    ]
    if not numbers:
        return pl.DataFrame(schema={"number": pl.Int64, "withdrawal": pl.Boolean, "date": pl.Date})
    joined = known.type1.filter(~pl.col("deleted")).join(pl.concat(numbers), on=["namespace", "key"], how="inner")
    return joined.select(pl.col("_number").alias("number"), "withdrawal", "date")


def newest(direct: Sequence[Delivery], what: str) -> dict[str, datetime]:
    """When each table that a register is read from was last delivered, by `feed table`; `what` is its contract key."""
    return {
        f"{delivery.feed.name} {name}": max(extract.delivered for extract in delivery.extracts[name])
        for delivery in direct
        for name, table in delivery.feed.tables.items()
        if getattr(table, what)
    }


def sharing(configuration: Configuration, direct: Sequence[Delivery], now: datetime) -> practices.Sharing:
    """Which practices share, by the agreements in the extracts and the ICS's own list."""
    rules = configuration.optouts.practices
    ages.check(newest(direct, "sharing"), "sharing agreements", rules.max_age_days, now)
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
