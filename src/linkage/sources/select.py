"""What a flow takes of a feed: some tables, some columns, records from a date on, records with certain codes.

A table or column that is left out is not read, unless something is decided by it: opt-outs, persons and deletions do not
depend on what a flow asks for. Such a one is read and does not leave.
"""

from __future__ import annotations

import difflib
import hashlib
from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Mapping, Sized
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl

from linkage.config import Flow
from linkage.contract import DROPPED, Column, Feed, Role, Table
from linkage.errors import ConfigurationError
from linkage.reasons import Reason
from linkage.sources.clean import INVALID

PAGE = "see docs/reference/configuration.md"
# What persons, opt-outs and ages are decided by.
_DECIDES = (Role.PERSON, Role.PERSON_KEY, Role.PSEUDONYM, Role.PRACTICE, Role.BIRTH_DATE)


@dataclass(frozen=True, slots=True)
class CodeList:
    """A file of codes that decided what is in, for the account."""

    name: str
    file: str
    sha256: str
    as_of: datetime
    numbers: int


@dataclass(frozen=True, slots=True)
class Selection:
    """Which records a flow takes.

    Attributes:
        earliest: The first day; None takes all.
        codes: For each column that decides, named or as `table.column`: the codes that are taken.
        lists: The files that they came from.
    """

    earliest: date | None = None
    codes: Mapping[str, frozenset[str]] = field(default_factory=dict)
    lists: tuple[CodeList, ...] = ()

    @classmethod
    def of(cls, flow: Flow, base: Path) -> Selection:
        """What a flow says, with its code lists read.

        Raises:
            ConfigurationError: A code list is missing, empty, or has no column `code`.
        """
        codes: dict[str, frozenset[str]] = {}
        lists = []
        for name, kept in flow.keep.items():
            if isinstance(kept, Path):
                codes[name], found = _read(name, kept, base)
                lists.append(found)
            else:
                codes[name] = frozenset(kept)
        return cls(flow.earliest, codes, tuple(lists))

    def unwanted(self, name: str, table: Table) -> pl.Expr:
        """The reason (String) for which a cleaned row is not asked for, or null.

        A deletion is always asked for: it takes out what was delivered earlier.
        """
        reasons = [pl.lit(None, pl.String)]
        if columns := deciding(name, table, self.codes):
            listed = pl.any_horizontal(pl.col(each).is_in(sorted(self._listed(name, each))) for each in columns)
            reasons.insert(0, _unless(listed, Reason.CODE_NOT_KEPT))
        if self.earliest and (day := table.dated):
            late = pl.col(day).dt.date() if table.columns[day].kind == "datetime" else pl.col(day)
            reasons.insert(0, _unless(late >= self.earliest, Reason.BEFORE_EARLIEST))
        flags = [each for each in table.with_role(Role.FLAG) if table.columns[each].removes == "deleted"]
        deleted = pl.any_horizontal(
            [pl.col(each).fill_null(value=False) | pl.col(each + INVALID) for each in flags] or [pl.lit(value=False)]
        )
        return pl.when(~deleted).then(pl.coalesce(reasons))

    def _listed(self, name: str, column: str) -> frozenset[str]:
        return self.codes.get(f"{name}.{column}", self.codes.get(column, frozenset()))


def deciding(name: str, table: Table, codes: Iterable[str]) -> list[str]:
    """The columns of a table by whose codes its rows are taken; any one is enough."""
    return [each for each in table.columns if {each, f"{name}.{each}"} & set(codes)]


def narrowed(feed: Feed, flow: Flow, *, by_codes: bool = False) -> Feed:
    """The feed with what the flow takes of it and what is decided by.

    Args:
        feed: The contract.
        flow: What is asked for.
        by_codes: Whether some codes decide about a row in whatever column they stand.

    Raises:
        ConfigurationError: The flow names a table or column that the feed does not have, and the nearest is said; or a
            column that never leaves.
    """
    _check(feed, flow)
    if not flow.tables and not flow.columns:
        return feed
    tables = {
        name: found
        for name, table in feed.tables.items()
        if (found := _taken(feed, name, table, flow, by_codes=by_codes))
    }
    looked_up = {
        (column.lookup or "").partition(".")[0] for table in tables.values() for column in table.columns.values()
    }
    logs = {log for table in tables.values() if table.kind == "records" for log in feed.deletable(table)}
    of_use = {"lookup": looked_up, "deletions": logs}
    kept = {name: table for name, table in tables.items() if name in of_use.get(table.kind, tables)}
    return feed.model_copy(update={"tables": kept})


def asked_for(feed: Feed, delivered: Mapping[str, Sized] | None = None) -> set[str | None]:
    """Namespaces of keys that a roster is asked for: the people of rows, other people in them, and keys that two tables tell of.

    With `delivered` only those of tables that have files.
    """
    tables = [table for name, table in feed.tables.items() if delivered is None or delivered[name]]
    told = Counter(table.columns[key].namespace for table in tables if table.roster for key in table.person_keys)
    return {
        table.columns[key].namespace
        for table in tables
        for key in table.with_role(Role.PERSON_KEY)
        if not table.roster or table.columns[key].other or told[table.columns[key].namespace] > 1
    }


def without_idle_rosters(feed: Feed, delivered: Mapping[str, Sized], elsewhere: Collection[str | None] = ()) -> Feed:
    """The feed, in which a roster table whose keys no other delivered table asks for reads its people from its own rows.

    Args:
        feed: The contract.
        delivered: The files of each table, by its name.
        elsewhere: Namespaces of keys that tables of other feeds ask for.

    Rosters grow with the rows that they are made of: outpatient appointments with no diagnoses beside them need none.
    A table that says more than whose key it is keeps its own: registrations, opt-outs, or a flag about the person.
    """
    asked = asked_for(feed, delivered).union(elsewhere)
    idle = {
        name: _own_people(table)
        for name, table in feed.tables.items()
        if table.roster and not _informs(table) and table.columns[table.person_keys[0]].namespace not in asked
    }
    return feed.model_copy(update={"tables": {**feed.tables, **idle}}) if idle else feed


def _informs(table: Table) -> bool:
    whole_person = any(column.whole_person for column in table.columns.values())
    return bool(table.registration or table.type1 or table.optout_flags or whole_person)


def _own_people(table: Table) -> Table:
    """The table, its key an identifier like any other."""
    keys = {name: table.columns[name].model_copy(update={"role": Role.RECORD}) for name in table.person_keys}
    return table.model_copy(update={"roster": False, "columns": {**table.columns, **keys}})


def _taken(feed: Feed, name: str, table: Table, flow: Flow, *, by_codes: bool) -> Table | None:
    """One table of the feed as the flow takes it; None where it is neither asked for nor informs."""
    if table.kind != "records":
        return table
    codes = deciding(name, table, flow.keep) + list(table.with_role(Role.CODE) if by_codes else ())
    decides = (*codes, *_hiding(feed, table))
    if flow.tables and name not in flow.tables:
        hides = any(column.hides for column in table.columns.values())
        informs = table.roster or table.type1 or table.optout_flags or table.registration or hides
        return table.model_copy(update={"kind": "informs", "columns": _with(table, (), decides)}) if informs else None
    if name not in flow.columns:
        return table
    # A deletion finds its record in the hub by a column of the log's namespace, which need not be the key.
    listed = (*flow.columns[name], *feed.deletable(table).values())
    return table.model_copy(update={"columns": _with(table, listed, decides)})


def _hiding(feed: Feed, table: Table) -> Iterator[str]:
    """The columns of a table with keys by which a flag, of this table or another, hides rows."""
    hidden = {
        each.columns[column.hides].namespace
        for each in feed.tables.values()
        for column in each.columns.values()
        if column.hides
    }
    yield from (
        name for name in table.with_role(Role.RECORD, Role.PERSON_KEY) if table.columns[name].namespace in hidden
    )


def _with(table: Table, listed: Iterable[str], decides: Iterable[str]) -> dict[str, Column]:
    """The columns listed, those that the hub needs, and, unpublished, those that something is decided by."""
    leave = {*listed, *table.structure}
    read = {*leave, *table.named, *table.with_role(*_DECIDES), *table.required, *decides}
    read |= {each for each, column in table.columns.items() if column.removes or column.optout}
    read |= {column.within for each, column in table.columns.items() if each in read and column.within}
    return {
        each: column if each in leave else column.model_copy(update={"published": False})
        for each, column in table.columns.items()
        if each in read
    }


def _check(feed: Feed, flow: Flow) -> None:
    records = feed.records()
    for name in (*flow.tables, *flow.columns):
        if name not in records:
            raise _unknown(feed, "table", name, records)
    for name, columns in flow.columns.items():
        for column in columns:
            if column not in records[name].columns:
                raise _unknown(feed, f"column of {name}", column, records[name].columns)
            rule = records[name].columns[column]
            if not rule.published or rule.role in DROPPED:
                raise ConfigurationError(
                    f"flow {feed.name}: column {column!r} of {name} does not leave the site half",
                    hint="take it out of the flow's columns; what is decided by it is decided all the same",
                )
    known = {
        each for name, table in records.items() for column in table.columns for each in (column, f"{name}.{column}")
    }
    for name in flow.keep:
        if name not in known:
            raise _unknown(feed, "column", name, known)


def _unknown(feed: Feed, what: str, name: str, known: Iterable[str]) -> ConfigurationError:
    near = difflib.get_close_matches(name, list(known), n=1)
    hint = f"the nearest is {near[0]!r}" if near else PAGE
    return ConfigurationError(f"flow {feed.name}: no {what} is called {name!r}", hint=hint)


def _read(name: str, codes: Path, base: Path) -> tuple[frozenset[str], CodeList]:
    hint = "a code list is a CSV file with a column called code"
    path = base / codes
    try:
        content = path.read_bytes()
        as_of = datetime.fromtimestamp(path.stat().st_mtime, UTC).replace(microsecond=0)
        column = pl.read_csv(content, columns=["code"], infer_schema=False)["code"]
    except (OSError, pl.exceptions.PolarsError):
        raise ConfigurationError(f"{codes}: cannot be read as a code list", hint=hint) from None
    found = frozenset(column.str.strip_chars().drop_nulls()) - {""}
    if not found:
        raise ConfigurationError(f"{codes}: an empty code list takes nothing", hint=hint)
    return found, CodeList(f"codes of {name}", codes.name, hashlib.sha256(content).hexdigest(), as_of, len(found))


def _unless(condition: pl.Expr, reason: Reason) -> pl.Expr:
    return pl.when(~condition.fill_null(value=False)).then(pl.lit(reason.value))
