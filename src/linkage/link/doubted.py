"""What of a touched person has to be found again in all their rows, since the rows that came and went do not tell it.

A row that comes and says what is believed anyhow changes nothing, and one that goes and said something else neither. So
of the many people of whom a night brings rows, few have to be looked for in years of others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

from linkage.link.attributes import ATTRIBUTES, Asked, Attribute, candidates, person_columns, tells
from linkage.link.engine import name, run, text
from linkage.link.increment import Source
from linkage.link.tables import FeedTable
from linkage.link.touched import Touched, side_of

__all__ = ["Doubted", "find_doubted"]


@dataclass(frozen=True)
class Doubted:
    """Known persons about whom all rows are asked again.

    Attributes:
        attributes: By attribute, the temporary table of their tokens; attributes that are beyond doubt are left out.
    """

    attributes: dict[str, str]

    def about(self, table: FeedTable) -> str | None:
        """A query for the tokens of everybody about whom a table is asked for some attribute; None where nobody is."""
        told = [
            self.attributes[each.name] for each in ATTRIBUTES if each.name in self.attributes and tells(table, each)
        ]
        return f"({' UNION '.join(f'SELECT token FROM {each}' for each in told)})" if told else None


def find_doubted(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], touched: Touched) -> Doubted:
    """Find the known persons and attributes whose value the rows that came and went do not tell.

    Args:
        connection: With the temporary tables of `touched` and of the rows that changed.
        tables: All settled tables.
        touched: From `find_touched`.
    """
    published = {column for column, _ in person_columns(tables)}
    found = {}
    for attribute in ATTRIBUTES:
        telling = [table for table in tables if tells(table, attribute)]
        if not telling:
            continue
        target = f"_doubted_{attribute.name}"
        columns = [column for column, _ in attribute.columns if column in published]
        step = f"finding persons whose {attribute.name} may have changed"
        run(
            connection,
            f"CREATE OR REPLACE TEMP TABLE {target} AS {_doubts(attribute, columns, telling, touched)}",
            step,
        )
        if run(connection, f"SELECT 1 FROM temp.{target} LIMIT 1", step):
            found[attribute.name] = f"temp.{target}"
    return Doubted(found)


def _doubts(attribute: Attribute, columns: Sequence[str], telling: Sequence[FeedTable], touched: Touched) -> str:
    """Tokens of whom a row came that says something else, or one went that the belief may have rested on.

    Such a row is of no account where one came that says the same and is believed as much. What is believed is the largest
    candidate, so it is enough that the largest of those that say the same is among those that came.
    """
    said = " UNION ALL ".join(
        f"SELECT token, candidate, {came} AS came FROM ({candidates(table, attribute, _only(side_of(side)))})"
        for table in telling
        for side, came in (("after", "TRUE"), ("before", "FALSE"))
    )
    same = " AND ".join(f"s.candidate.{name(each)} IS NOT DISTINCT FROM k.{name(each)}" for each in columns)
    names = ", ".join(text(table.name) for table in telling)
    return (
        f"SELECT s.token FROM ({said}) s JOIN {touched.known} k ON s.token = k.token GROUP BY s.token"
        f" HAVING bool_or(s.came AND NOT ({same})) OR max(s.candidate) FILTER ({same})"
        f" IS DISTINCT FROM max(s.candidate) FILTER (s.came AND {same})"
        f" UNION SELECT token FROM {touched.passed} SEMI JOIN {touched.known} USING (token) WHERE name IN ({names})"
    )


def _only(source: Source) -> Asked:
    return Asked(source, lambda table: source(table, None))
