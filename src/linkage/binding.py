"""Which opt-outs bind on which feed of this purpose: every register read within its age, and made one policy.

An opt-out binds on every feed unless an exemption with its document's reference lifts it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from datetime import date, datetime, timedelta

import polars as pl

from linkage import recorded
from linkage.bundle import TableParts
from linkage.config import Configuration
from linkage.contract import Feed, Table
from linkage.errors import PolicyError
from linkage.optouts import ages, lists, practices, restricted
from linkage.optouts.national import NationalAnswers
from linkage.optouts.own import Own
from linkage.optouts.policy import VERDICTS, Policy, Standing, combine
from linkage.optouts.population import Covered
from linkage.optouts.registers import Evidence, Register, followed
from linkage.optouts.restricted import Restricted
from linkage.optouts.type1_codes import Codes
from linkage.optouts.type1_codes import codes as read_codes
from linkage.reasons import Reason
from linkage.site import Delivery, gathered, is_pseudonymised
from linkage.sources.resolve import People
from linkage.sources.roster import Roster


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
    shares, listed = (None, ()) if configuration.optouts.exempt("practices") else sharing(configuration, direct, now)
    shares, bound = bindings(configuration, direct, known, who, shares)
    feeds = {delivery.feed.name: delivery.feed for delivery in direct}
    groups = {name: tuple(each.name for each in bound if each.on(feed)) for name, feed in feeds.items()}
    binding = [each for each in bound if any(each.on(feed) for feed in feeds.values())]
    # Where nobody can say which number counts now, a no is a no of everyone whose it may be.
    replaced = pl.concat([who.current.drop_nulls(), known.doubted_numbers()])
    pairs = replaced["superseded"].to_numpy(), replaced["current"].to_numpy()
    said = {each.name: followed(each.register.read(now), *pairs) for each in binding}
    made: dict[tuple[str, ...], Standing] = {
        names: combine([said[name] for name in names]) for names in set(groups.values())
    }
    restricted, codes = restricted_codes(configuration, now)
    return Policy(
        standings={name: made[names] for name, names in groups.items()},
        sharing=shares,
        restricted=restricted,
        allow_test_numbers=configuration.allow_test_numbers,
        evidence=(*(evidence for each in said.values() for evidence in each.evidence), *listed, *codes),
    )


def bindings(
    configuration: Configuration,
    direct: Sequence[Delivery],
    known: Roster,
    who: People,
    shares: practices.Sharing | None,
) -> tuple[practices.Sharing | None, tuple[Binding, ...]]:
    """Every register of people that binds on some feed; and which practices share, with those who left one."""
    rules = configuration.optouts
    found = [
        Binding("sensitive", recorded.sensitive(known, who), _everywhere),
        Binding("objections", recorded.flagged(Reason.LOCAL_OBJECTION, "objection", known, who), _everywhere),
        *_kept_here(configuration),
    ]
    if shares is not None:
        left = recorded.leavers(shares, known, who)
        if rules.exempt("practices_moved"):
            shares = replace(shares, leavers=left)
        else:
            found.append(Binding("practices", practices.MovedAway(practices.numbers_of(left)), _gp))
    if not rules.exempt("type1"):
        told = newest(direct, _tells_type1)
        register = recorded.type1(rules.type1, type1_codes(configuration), told, known, who)
        found.append(Binding("type1", register, _everywhere if rules.type1.applies_to == "everything" else _gp))
    if direct and not rules.exempt("national"):
        found += _national(configuration, recorded.flagged(Reason.NATIONAL_OPT_OUT, "national", known, who))
    population = configuration.purpose.population
    if population is not None and population.limits_people:
        described = recorded.described(_gp_namespaces(direct), known, who)
        found.append(Binding("population", Covered(population, configuration.base, described), _everywhere))
    return shares, tuple(found)


def _national(configuration: Configuration, flags: Register) -> Iterator[Binding]:
    rules = configuration.optouts
    if rules.national is None:
        raise PolicyError(
            "no national opt-out list is configured",
            hint="add [optouts.national], or an exemption with its document's reference",
        )
    answers = NationalAnswers(rules.national, configuration.base, rules.exempt("national_other_nations"))
    yield Binding("national", answers, _everywhere)
    # A flag of the GP system can only add to those whom the service's list leaves out.
    yield Binding("national_flags", flags, _everywhere)


def _kept_here(configuration: Configuration) -> Iterator[Binding]:
    """Registers that the ICS keeps itself: lists, and classes of its own."""
    rules = configuration.optouts
    for name, listed, header, reason in (
        ("listed_sensitive", rules.sensitive, lists.SENSITIVE, Reason.SENSITIVE),
        ("listed_objections", rules.objections, lists.OBJECTING, Reason.LOCAL_OBJECTION),
    ):
        if listed:
            register = lists.ListedPeople(configuration.at(listed.list), header, reason, listed.max_age_days)
            yield Binding(name, register, _everywhere)
    for place, each in enumerate(rules.registers):
        where = _everywhere if each.applies_to == "everything" else _gp
        yield Binding(f"own_{place}", Own(each, configuration.base), where)


def _gp_namespaces(direct: Sequence[Delivery]) -> frozenset[str]:
    """Namespaces of the keys that primary care knows people by."""
    return frozenset(
        table.columns[key].namespace or ""
        for delivery in direct
        if _gp(delivery.feed)
        for table in delivery.feed.tables.values()
        for key in table.person_keys
    )


def _everywhere(feed: Feed) -> bool:
    return True


def _gp(feed: Feed) -> bool:
    return feed.setting == "primary_care"


def type1_codes(configuration: Configuration) -> Codes:
    """The codes of type 1 opt-outs that count for this purpose."""
    rules = configuration.optouts.type1
    found = read_codes(configuration.at(rules.codes) if rules.codes else None)
    lifted = configuration.optouts.exempt("type1")
    return replace(found, max_untranslated=1.0 if lifted else rules.max_untranslated)


def restricted_codes(configuration: Configuration, now: datetime) -> tuple[Restricted, tuple[Evidence, ...]]:
    """Codes whose rows do not go on, and the list that says so."""
    rules = configuration.optouts.restricted
    if rules is None:
        return Restricted(), ()
    kept = lists.read(configuration.at(rules.list), restricted.HEADER, rules.max_age_days, now)
    return Restricted.of(kept), (kept.evidence,)


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


def sharing(
    configuration: Configuration, direct: Sequence[Delivery], now: datetime
) -> tuple[practices.Sharing, tuple[Evidence, ...]]:
    """Which practices share, by the agreements in the extracts and the ICS's own list; and that list, for the account."""
    rules = configuration.optouts.practices
    ages.check(newest(direct, _tells_sharing), "sharing agreements", rules.max_age_days, now)
    agreed = {}
    for delivery in direct:
        for name, table in delivery.feed.tables.items():
            if table.sharing:
                flags = table.sharing.flags.items()
                said = pl.all_horizontal(pl.col(flag).eq_missing(pl.lit(value)) for flag, value in flags)
                shares, latest = said & ~pl.col("_malformed"), practices.latest(table.sharing.practice, "_delivered")
                rows = gathered(delivery, name, f"agreements {name}", table, latest)
                agreed[delivery.feed.name] = practices.agreements(
                    rows.select(practice=table.sharing.practice, shares=shares, delivered="_delivered")
                )
    if rules.list is None:
        return practices.Sharing(agreed, frozenset()), ()
    kept = lists.read(configuration.at(rules.list), practices.HEADER, rules.max_age_days, now)
    return practices.Sharing(agreed, *practices.listed(kept, now.date())), (kept.evidence,)


def fewer_from(configuration: Configuration, since: date, now: datetime) -> date | None:
    """The first day after another on which fewer may be used, though nothing new is said of anybody; None where there is none.

    A line of the list of practices may speak of a day to come, and people grow older than a purpose covers on any day.

    Raises:
        PolicyError: The list is missing, too old or not believable.
    """
    rules, population = configuration.optouts.practices, configuration.purpose.population
    days: set[date] = set()
    if rules.list is not None and not configuration.optouts.exempt("practices"):
        kept = lists.read(configuration.at(rules.list), practices.HEADER, rules.max_age_days, now)
        days |= practices.beginnings(kept)
    if population is not None and population.max_age is not None:
        days.add(since + timedelta(days=1))
    return min((day for day in days if day > since), default=None)


def check_coverage(configuration: Configuration, made: Sequence[TableParts]) -> None:
    """Refuse when the registers cannot be those of the people in the flows.

    Raises:
        PolicyError: Too many of a table's people were never asked about, or a list that the ICS keeps names too many of
            all; says the share.
    """
    rules = configuration.optouts
    for table in made if rules.national else ():
        unasked, people = _rows(Reason.NATIONAL_NOT_ASKED, [table])
        if rules.national and unasked > rules.national.max_not_asked * people:
            raise PolicyError(
                f"the national opt-out list does not cover {table.feed} {table.table}: more than "
                f"{rules.national.max_not_asked:.0%} of its rows are of people who were never asked about",
                hint="ask the service about everyone in the flow, then run again: `linkage optouts request`",
            )
    for listed, reason in ((rules.objections, Reason.LOCAL_OBJECTION), (rules.sensitive, Reason.SENSITIVE)):
        rows, people = _rows(reason, made)
        # Over all tables: of a small one a single person may be a large part.
        if listed and rows > listed.max_share * people:
            raise PolicyError(
                f"more than {listed.max_share:.0%} of all rows are removed as {reason.value}, too many for {listed.list} to be "
                "believed",
                hint="it may be a list of those who may be used, or the sources' flags or restricted codes remove as many; correct "
                "what is wrong, or raise max_share with a reason",
            )


def _rows(reason: Reason, tables: Sequence[TableParts]) -> tuple[int, int]:
    """Rows removed for a reason, and all rows of people with a usable number, whatever else removed them."""
    not_taken = (Reason.BEFORE_EARLIEST, Reason.CODE_NOT_KEPT)
    decided = [each.value for each in (*VERDICTS, *not_taken)]
    parts = [part for table in tables for part in table.parts]
    everyone = sum(part.kept + sum(part.removed.get(each, 0) for each in decided) for part in parts)
    return sum(part.removed.get(reason.value, 0) for part in parts), everyone
