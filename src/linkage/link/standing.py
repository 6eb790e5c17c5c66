"""Rows that no longer stand: a log says that their record was deleted, or a later submission replaced theirs.

Both are told by small tables, so that they are joined to the rows of a table in the pass that settles it. A table that
neither a log nor a rule reaches is not joined to anything.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path

import duckdb

from linkage.bundle import PLACES, Field
from linkage.contract import Role
from linkage.errors import IntegrityError
from linkage.link import tables
from linkage.link.engine import name, run
from linkage.link.tables import FeedTable
from linkage.reasons import Reason
from linkage.submission import Submission

__all__ = ["Fall", "find_falls"]

_SENDER = f"_file // {PLACES}"  # of a row or a submission, by the place of its file


@dataclass(frozen=True)
class Fall:
    """A reason for which rows of one table fall, in SQL over its rows `r`.

    Attributes:
        name: The same for the same reason in another run.
        table: The temporary table that tells what falls.
        on: By which columns: the row's, and that table's.
        join: A left join that finds at most one row for each row of the table.
        condition: True, after the join, for a row that falls.
        reason: What such a row is counted under.
    """

    name: str
    table: str
    on: tuple[tuple[str, str], ...]
    join: str
    condition: str
    reason: Reason


def find_falls(
    connection: duckdb.DuckDBPyConnection, folder: Path, feed_tables: Sequence[FeedTable], prefix: str = ""
) -> dict[str, tuple[Fall, ...]]:
    """Find for every table, by its published name, for what its rows fall; tables that nothing reaches are left out.

    Args:
        connection: From `engine.connect`; the falls name temporary tables that are made on it.
        folder: The bundle.
        feed_tables: All tables of the bundle, with those that only name deleted records.
        prefix: Begins the names of the temporary tables, where there are those of two bundles.

    Raises:
        IntegrityError: A column that settles is not in the bundle.
        TemporaryError: Memory or disk ran out.
    """
    found: dict[str, tuple[Fall, ...]] = {}
    reached = [
        *_deletions(connection, folder, feed_tables, prefix),
        *_submissions(connection, folder, feed_tables, prefix),
    ]
    for table, fall in reached:
        found[table.name] = (*found.get(table.name, ()), fall)
    return found


def _deletions(
    connection: duckdb.DuckDBPyConnection, folder: Path, feed_tables: Sequence[FeedTable], prefix: str
) -> Iterator[tuple[FeedTable, Fall]]:
    for log in feed_tables:
        if log.table.kind != "deletions" or not log.parts.parts:
            continue
        deleted = f"temp.{name(_last_deletions(connection, folder, log, prefix))}"
        for table in feed_tables:
            column = table.feed.deletable(table.table).get(log.parts.table) if table.feed == log.feed else None
            if column and table.parts.parts:
                alias = name(f"deleted by {log.parts.table}")
                own = _kept(table, column).name
                join = f"LEFT JOIN {deleted} {alias} ON r.{name(own)} = {alias}.key"
                condition = f"r._delivered <= {alias}.until"
                yield table, Fall(log.name, deleted, ((own, "key"),), join, condition, Reason.DELETED)


def _last_deletions(connection: duckdb.DuckDBPyConnection, folder: Path, log: FeedTable, prefix: str) -> str:
    """The last delivery in which each key was deleted; within one delivery the log's last word counts."""
    made, key = f"{prefix}_deletions_{log.name}", name(_kept(log, log.table.with_role(Role.RECORD)[0]).name)
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE {name(made)} AS SELECT key, max(_delivered) AS until FROM"
        f" (SELECT {key} AS key, _delivered, _deleted FROM {tables.rows(folder, log.parts)} WHERE {key} IS NOT NULL"
        f" QUALIFY row_number() OVER (PARTITION BY {key}, _delivered ORDER BY _file DESC, _row DESC) = 1)"
        " WHERE _deleted GROUP BY key",
        f"reading {log.name}",
    )
    return made


def _submissions(
    connection: duckdb.DuckDBPyConnection, folder: Path, feed_tables: Sequence[FeedTable], prefix: str
) -> Iterator[tuple[FeedTable, Fall]]:
    """Tables of one feed with one rule have their submissions in common: a submission replaces all tables' rows."""
    ruled = [(_rule(table), table) for table in feed_tables if _rule(table) is not None]
    ruled.sort(key=lambda pair: (pair[1].feed.name, repr(pair[0])))
    for (_, rule), pairs in groupby(ruled, key=lambda pair: (pair[1].feed.name, pair[0])):
        members = [table for _, table in pairs]
        if rule is not None and any(table.parts.submissions for table in members):
            said = f"replaced_{members[0].feed.name}_{_place(members[0], rule)}"
            _replaced(connection, folder, rule, members, f"{prefix}_{said}")
            yield from ((table, _fall(table, rule, f"{prefix}_{said}", said)) for table in members if table.parts.parts)


def _place(table: FeedTable, rule: Submission) -> int:
    """The rule's place among those of its feed, which the contract alone decides."""
    rules = {repr(each.submission) for each in table.feed.tables.values() if each.submission}
    return sorted(rules).index(repr(rule))


def _rule(table: FeedTable) -> Submission | None:
    rule = table.table.submission
    return rule if rule is not None and rule.replaces else None


def _replaced(
    connection: duckdb.DuckDBPyConnection, folder: Path, rule: Submission, members: Sequence[FeedTable], made: str
) -> None:
    """Make a table of the submissions that a later one replaces: `by_1`…, `id` and, where it matters, `later`."""
    by = [f"by_{place}" for place in range(len(rule.replaces))]
    said = " UNION ALL ".join(_said(folder, rule, table) for table in members if table.parts.submissions)
    listed = ", ".join(by)
    whole = " AND ".join(f"{each} IS NOT NULL" for each in (*by, "id"))
    # A submission replaces those of its own sender alone: another's word for the same provider takes nothing away.
    same = " AND ".join(["e.sender = l.sender", *(f"e.{each} = l.{each}" for each in by)])
    # What most rows of a submission say is its period: one mistyped date must not replace a decade.
    submissions = (
        f"SELECT {listed}, id, sender, max(latest) AS latest, min(delivered) AS delivered, min(place) AS place,"
        ' max({\'rows\': rows, \'from\': "from", \'to\': "to"}) FILTER ("from" <= "to") AS period FROM'
        f' (SELECT {listed}, id, sender, "from", "to", max(latest) AS latest, min(delivered) AS delivered, min(place) AS place,'
        f" sum(rows) AS rows FROM ({said}) WHERE {whole} GROUP BY ALL) GROUP BY {listed}, id, sender"
    )
    ranked = (
        f"SELECT *, row_number() OVER (PARTITION BY {listed}, sender"
        f" ORDER BY latest DESC NULLS LAST, delivered DESC, place DESC, id DESC) AS age FROM ({submissions})"
    )
    replaced = f"SELECT {listed}, id, sender FROM ranked WHERE age > 1"
    if rule.covers:
        replaced = (
            f"SELECT {', '.join(f'e.{each}' for each in by)}, e.id, e.sender,"
            " list({'from': l.period.\"from\", 'to': l.period.\"to\"} ORDER BY l.age) AS later"
            f" FROM ranked e JOIN ranked l ON {same} AND l.age < e.age WHERE l.period IS NOT NULL GROUP BY ALL"
        )
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE {name(made)} AS WITH ranked AS ({ranked}) {replaced}",
        f"ordering the submissions of {members[0].feed.name}",
    )


def _said(folder: Path, rule: Submission, table: FeedTable) -> str:
    """What the rows of one table say of their submissions, also the rows that did not go on."""
    listing = table.parts.submissions
    if listing is None:
        return ""
    by = [f"{_typed(_kept(table, column))} AS by_{place}" for place, column in enumerate(rule.replaces)]
    latest = _typed(_kept(table, rule.latest)) if rule.latest else "CAST(NULL AS TIMESTAMP)"
    period = (
        [_day(_kept(table, column)) for column in (rule.covers.start, rule.covers.end)] if rule.covers else ["NULL"] * 2
    )
    return (
        f"SELECT {', '.join(by)}, {_typed(_kept(table, rule.id)) if rule.id else '_delivered'} AS id,"
        f' {latest} AS latest, CAST({period[0]} AS DATE) AS "from", CAST({period[1]} AS DATE) AS "to",'
        f" {_SENDER} AS sender, _delivered AS delivered, CAST(_file AS BIGINT) * 4294967296 + _row AS place, _rows AS rows"
        f" FROM {tables.scan(folder, listing)}"
    )


def _fall(table: FeedTable, rule: Submission, made: str, said: str) -> Fall:
    on = [(_kept(table, column).name, f"by_{place}") for place, column in enumerate(rule.replaces)]
    on.append((_kept(table, rule.id).name if rule.id else "_delivered", "id"))
    # Two senders may name one provider and one delivery: without their sender a row would meet both.
    matched = " AND ".join(
        [*(f"r.{name(own)} = replaced.{column}" for own, column in on), f"r.{_SENDER} = replaced.sender"]
    )
    join, reason = f"LEFT JOIN temp.{name(made)} replaced ON {matched}", Reason.SUPERSEDED
    if rule.covers is None:
        return Fall(said, f"temp.{name(made)}", tuple(on), join, "replaced.id IS NOT NULL", reason)
    begins, ends = _event_days(table, rule.covers.start)
    covering = f'list_filter(replaced.later, lambda p: p."from" <= {ends} AND p."to" >= {begins})'
    return Fall(said, f"temp.{name(made)}", tuple(on), join, f"len({covering}) > 0", reason)


def _event_days(table: FeedTable, reporting_start: str) -> tuple[str, str]:
    """The first and the last day of the row's event; without an end where there could be one, it goes on."""
    event = table.table.event
    start = _day(_kept(table, event.start), "r.") if event else "NULL"
    begins = f"coalesce({start}, {_day(_kept(table, reporting_start), 'r.')})"
    if event is None or event.end is None:
        return begins, begins
    return begins, f"coalesce({_day(_kept(table, event.end), 'r.')}, DATE 'infinity')"


def _kept(table: FeedTable, column: str) -> Field:
    field = table.field(column)
    if field is None:
        raise IntegrityError(
            f"{table.feed.name} {table.parts.table}: the column {column!r} settles rows and is not in the bundle",
            hint="make the bundle again",
        )
    return field


def _typed(field: Field) -> str:
    return f"CAST({name(field.name)} AS {field.type})"


def _day(field: Field, of: str = "") -> str:
    return f"CAST({of}{name(field.name)} AS DATE)"
