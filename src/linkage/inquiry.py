"""What an ICS does with its registers between runs: asks the national service about everyone, and takes in the answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from datetime import datetime
from pathlib import Path

import polars as pl

from linkage import binding, config, nhs_number, rostering, site
from linkage.acts import OPERATOR
from linkage.audit import Journal
from linkage.config import Configuration, National
from linkage.contract import Role
from linkage.errors import ConfigurationError
from linkage.optouts.ask import Asked, ask
from linkage.optouts.inbox import Received, forget, receive
from linkage.optouts.registers import NONE, Numbers, distinct
from linkage.pseudonymise import Keyset
from linkage.site import Delivery, cleaned, is_pseudonymised, narrow, reading
from linkage.sources import roster_files as rosters
from linkage.sources.roster import Roster
from linkage.store.layout import Store


def request(path: Path, now: datetime, passphrase: Callable[[], str] | None = None) -> list[Asked]:
    """Write requests about everyone in the flows and on the roster, replaced numbers too.

    Args:
        path: The `linkage.toml`.
        now: The moment, UTC.
        passphrase: Asks for the keyset's passphrase; the roster is encrypted.

    Raises:
        LinkageError: A flow cannot be read, no mailbox is configured, or the keyset does not open.
    """
    configuration = config.of_kind(path, "machine", "site")
    rules = _national(configuration)
    with Journal.of(configuration).act("optouts.request", OPERATOR, configuration=configuration.digest) as act:
        direct = [each for each in site.deliveries(configuration, now) if not is_pseudonymised(each.feed)]
        known, _ = roster_of(configuration, site.open_keyset(configuration, passphrase))
        known = rostering.roster(known, direct, binding.type1_codes(configuration))
        asked = ask(everyone(configuration, direct, known), rules, configuration.base, now)
        act.details |= {"requests": len(asked), "people": sum(each.numbers for each in asked)}
    return asked


def read(path: Path, inbox: Sequence[Path], now: datetime) -> Received:
    """Take in what came back from the service; see `optouts.inbox`.

    Raises:
        LinkageError: The configuration or the inbox cannot be used.
    """
    configuration = config.of_kind(path, "machine", "site")
    rules = _national(configuration)
    received = receive(inbox, rules, configuration.base, now)
    # Only once the new answers are in place: an old list is better than none until then.
    if received.outstanding:
        return received
    return replace(received, forgotten=forget(rules, configuration.base, now))


def everyone(configuration: Configuration, direct: Sequence[Delivery], known: Roster) -> Numbers:
    """Every valid NHS number of the flows and of the roster, sorted, each once; test numbers only where they are people."""
    roster = [known.entries["number"], known.superseded["superseded"], known.superseded["current"]]
    found = [_array(column) for column in roster]
    for delivery in direct:
        for name, table in delivery.feed.tables.items():
            people = table.with_role(Role.PERSON)
            if not people:
                continue
            part = narrow(table, list(people))
            for extract in delivery.extracts[name]:
                with reading(extract, delivery.feed):
                    rows = cleaned(delivery, part, extract).select(
                        nhs_number.parse_expr(each, integer=table.columns[each].kind == "integer")
                        .struct.field("number")
                        .alias(each)
                        for each in people
                    )
                    for each in people:
                        found.append(_array(rows.select(pl.col(each).unique()).collect(engine="streaming")[each]))
    numbers = distinct(*found)
    return numbers if configuration.allow_test_numbers else numbers[~nhs_number.is_test(numbers)]


def _array(column: pl.Series) -> Numbers:
    return column.drop_nulls().to_numpy().astype(NONE.dtype)


def _national(configuration: Configuration) -> National:
    if configuration.optouts.national is None:
        raise ConfigurationError(
            "no national opt-out list is configured", hint="add [optouts.national] with requests and answers"
        )
    return configuration.optouts.national


def roster_of(configuration: Configuration, keyset: Keyset) -> tuple[Roster, str | None]:
    """The roster of the current snapshot's run, and that run; an empty one and None before the first."""
    current = Store(configuration.at(configuration.store.path)).current()
    if current is None:
        return Roster.empty(), None
    return rosters.load(configuration.at(configuration.private) / "roster" / current, keyset.unseal), current
