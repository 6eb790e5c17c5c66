"""How the registers stand between runs: how fresh each is, on how many flows it binds, and what the next run will do.

It says no number of people: how many said no is not for a terminal.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from linkage import authority, binding, config, rostering, site
from linkage.binding import Binding
from linkage.config import Configuration
from linkage.errors import PolicyError
from linkage.inquiry import roster_of
from linkage.optouts.policy import VERDICTS, Standing, combine
from linkage.optouts.practices import Sharing
from linkage.optouts.registers import Said
from linkage.reasons import Reason
from linkage.site import Delivery, cleaned, is_pseudonymised, narrow, reading
from linkage.sources.resolve import GIVEN, NUMBER, People, people, resolve
from linkage.sources.roster import Roster

_NOT_ASKED = VERDICTS.index(Reason.NATIONAL_NOT_ASKED)


@dataclass(frozen=True, slots=True)
class RegisterLine:
    """How one register stands.

    Attributes:
        name: The register.
        as_of: The day that its age counts from; None where it has none.
        max_age_days: How old it may be; None where it has no age.
        flows: On how many flows it binds.
        exempt: Whether a document lifts it.
        refused: Why the next run will be refused; empty where it will not.
    """

    name: str
    as_of: datetime | None = None
    max_age_days: int | None = None
    flows: int = 0
    exempt: bool = False
    refused: str = ""

    @property
    def good_until(self) -> datetime | None:
        """When it will be too old."""
        if self.as_of is None or self.max_age_days is None:
            return None
        return self.as_of + timedelta(days=self.max_age_days)


@dataclass(frozen=True, slots=True)
class RegisterStatus:
    """How all of them stand.

    Attributes:
        registers: One line each.
        flows: How many flows bring NHS numbers.
        covered: On how many of them enough people were asked about.
        published: The current snapshot, which a refused run leaves as it is; None before the first.
        refused: Every reason for which the next run will be refused, the first one first.
    """

    registers: tuple[RegisterLine, ...]
    flows: int
    covered: int
    published: str | None
    refused: tuple[str, ...]

    @property
    def good_until(self) -> datetime | None:
        """When the first register will be too old."""
        return min((each.good_until for each in self.registers if each.good_until), default=None)


def status(path: Path, now: datetime, passphrase: Callable[[], str] | None = None) -> RegisterStatus:
    """Read every register as the next run will, and hold the flows against it.

    Args:
        path: The `linkage.toml`.
        now: The moment that ages are judged by, UTC.
        passphrase: Asks for the keyset's passphrase; the roster is encrypted.

    Raises:
        LinkageError: A flow cannot be read, or the keyset does not open. A register that is not good is not an error here.
    """
    configuration = config.of_kind(path, "machine", "site")
    delivered = [each for each in site.deliveries(configuration, now) if not is_pseudonymised(each.feed)]
    known, published = roster_of(configuration, site.open_keyset(configuration, passphrase))
    known = rostering.roster(known, delivered, binding.type1_codes(configuration))
    who = people(known, allow_test=configuration.allow_test_numbers)
    lines, said = _lines(configuration, delivered, known, who, now)
    national = said.get("national")
    uncovered = list(_uncovered(configuration, delivered, who, national)) if national else []
    refused = [*_documents(configuration, now), *(each.refused for each in lines if each.refused), *uncovered]
    covered = len(delivered) - len({text.split()[0] for text in uncovered})
    return RegisterStatus(tuple(lines), len(delivered), covered if national else 0, published, tuple(refused))


def _documents(configuration: Configuration, now: datetime) -> Iterator[str]:
    try:
        authority.check(configuration, now.date())
    except PolicyError as error:
        yield error.message


def _lines(
    configuration: Configuration, delivered: Sequence[Delivery], known: Roster, who: People, now: datetime
) -> tuple[list[RegisterLine], dict[str, Said]]:
    rules = configuration.optouts
    practices, shares = _practices(configuration, delivered, now)
    lines = [practices]
    said: dict[str, Said] = {}
    found: Sequence[Binding] = ()
    try:
        _, found = binding.bindings(configuration, delivered, known, who, shares)
    except PolicyError as error:
        lines.append(RegisterLine("national", refused=error.message))
    for each in found:
        flows = sum(each.on(delivery.feed) for delivery in delivered)
        if each.name != "practices" and flows:
            line, answer = _line(configuration, each, flows, delivered, now)
            lines.append(line)
            said |= {each.name: answer} if answer else {}
    lines += [RegisterLine(name, exempt=True) for name in ("national", "type1") if rules.exempt(name)]
    try:
        _, evidence = binding.restricted_codes(configuration, now)
        days = rules.restricted.max_age_days if rules.restricted else None
        lines += [RegisterLine("restricted", each.as_of, days, len(delivered)) for each in evidence]
    except PolicyError as error:
        lines.append(RegisterLine("restricted", refused=error.message))
    return lines, said


def _practices(
    configuration: Configuration, delivered: Sequence[Delivery], now: datetime
) -> tuple[RegisterLine, Sharing | None]:
    rules = configuration.optouts
    if rules.exempt("practices"):
        return RegisterLine("practices", exempt=True), None
    flows = sum(each.feed.setting == "primary_care" for each in delivered)
    try:
        shares, listed = binding.sharing(configuration, delivered, now)
    except PolicyError as error:
        return RegisterLine("practices", flows=flows, refused=error.message), None
    days = [*binding.newest_sharing(delivered), *(each.as_of for each in listed)]
    return RegisterLine("practices", min(days, default=None), rules.practices.max_age_days, flows), shares


def _line(
    configuration: Configuration, each: Binding, flows: int, delivered: Sequence[Delivery], now: datetime
) -> tuple[RegisterLine, Said | None]:
    try:
        said = each.register.read(now)
    except PolicyError as error:
        return RegisterLine(each.name, flows=flows, refused=error.message), None
    rules = configuration.optouts
    days = [one.as_of for one in said.evidence if one.numbers]
    limits = {
        "national": rules.national.max_age_days if rules.national else None,
        "type1": rules.type1.max_age_days,
        "listed_objections": rules.objections.max_age_days if rules.objections else None,
        "listed_sensitive": rules.sensitive.max_age_days if rules.sensitive else None,
    }
    if each.name == "type1":
        days = [min(binding.newest_type1(delivered))]
    if each.name.startswith("listed"):
        days = [one.as_of for one in said.evidence]
    # Of several answers the newest is the last to be too old.
    return RegisterLine(each.name, max(days, default=None), limits.get(each.name), flows), said


def _uncovered(
    configuration: Configuration, delivered: Sequence[Delivery], who: People, national: Said
) -> Iterator[str]:
    """Tables of which too many rows are of people who were never asked about."""
    rules = configuration.optouts.national
    limit = rules.max_not_asked if rules else 1.0
    standing = combine([national])
    for delivery in delivered:
        for name, table in delivery.feed.records().items():
            if table.subjects or table.person_keys:
                unasked, everyone = _asked(configuration, delivery, name, who, standing)
                if unasked > limit * everyone:
                    yield (
                        f"{delivery.feed.name} {name}: the national opt-out list does not cover it, more than {limit:.0%} "
                        "of its rows are of people who were never asked about"
                    )


def _asked(
    configuration: Configuration, delivery: Delivery, name: str, who: People, standing: Standing
) -> tuple[int, int]:
    """Rows of people who were never asked about, and rows of people with a usable number."""
    table = delivery.feed.tables[name]
    part = narrow(table, [*table.subjects, *table.person_keys])
    unasked = everyone = 0
    for extract in delivery.extracts[name]:
        with reading(extract, delivery.feed):
            rows = resolve(
                cleaned(delivery, part, extract).filter(~pl.col("_malformed")),
                part,
                who,
                allow_test=configuration.allow_test_numbers,
            )
            found = rows.select(NUMBER, GIVEN).filter(pl.col(NUMBER).is_not_null()).collect(engine="streaming")
        out = pl.select(pl.min_horizontal(standing.of(found[NUMBER]), standing.of(found[GIVEN]))).to_series()
        unasked += int((out == _NOT_ASKED).sum())
        everyone += found.height
    return unasked, everyone
