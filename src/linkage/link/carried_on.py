"""The sources of touched persons, and when they were first and last seen, from their last row and the rows that came and went."""

from __future__ import annotations

from collections.abc import Sequence

import duckdb

from linkage.link.engine import name, run, text
from linkage.link.events import by_feed, moment
from linkage.link.tables import FeedTable
from linkage.link.touched import Touched, newest_of, side_of

__all__ = ["carry_on_seen", "carry_on_sources"]


def carry_on_sources(connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], touched: Touched) -> None:
    """Make `temp._sources` (token, sources) of the touched persons; one whom no feed knows any more is not in it.

    Only where all rows of a person in a feed may have gone is the feed asked whether it has others.
    """
    step = "finding the sources of persons that changed"
    run(connection, f"CREATE OR REPLACE TEMP TABLE _came AS {_pairs(tables, 'after')}", step)
    run(connection, f"CREATE OR REPLACE TEMP TABLE _left AS {_pairs(tables, 'before')} EXCEPT FROM temp._came", step)
    for feed, members in by_feed(tables):
        _keep_known(connection, feed, members, step)
    run(
        connection,
        "CREATE OR REPLACE TEMP TABLE _altered AS SELECT token FROM temp._left UNION"
        f" SELECT c.token FROM temp._came c LEFT JOIN {touched.known} k ON c.token = k.token"
        " WHERE k.token IS NULL OR NOT list_contains(k.sources, c.feed)",
        step,
    )
    known = f"SELECT token, unnest(sources) AS feed FROM {touched.known} SEMI JOIN temp._altered USING (token)"
    came = "SELECT token, feed FROM temp._came SEMI JOIN temp._altered USING (token)"
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE _sources AS SELECT token, sources FROM {touched.known}"
        " ANTI JOIN temp._altered USING (token) UNION ALL SELECT token, list_sort(list(feed)) AS sources FROM"
        f" (({known} EXCEPT FROM temp._left) UNION {came}) GROUP BY token",
        step,
    )
    run(connection, "DROP TABLE temp._came; DROP TABLE temp._left; DROP TABLE temp._altered", step)


def _keep_known(connection: duckdb.DuckDBPyConnection, feed: str, members: Sequence[FeedTable], step: str) -> None:
    """Take out of `temp._left` whom some table of the feed still knows: small tables first, which know nearly everybody."""
    own = f"feed = {text(feed)}"
    for table in sorted(members, key=lambda each: sum(part.kept for part in each.parts.parts)):
        if not run(connection, f"SELECT 1 FROM temp._left WHERE {own} LIMIT 1", step):
            return
        asked = f"(SELECT token FROM temp._left WHERE {own})"
        still = f"SELECT token FROM {name(table.name)} SEMI JOIN {asked} USING (token)"
        run(connection, f"DELETE FROM temp._left WHERE {own} AND token IN ({still})", step)


def _pairs(tables: Sequence[FeedTable], side: str) -> str:
    found = " UNION ".join(
        f"SELECT token, {text(table.feed.name)} AS feed FROM {side_of(side)(table, None)} WHERE token IS NOT NULL"
        for table in tables
    )
    return f"({found or 'SELECT CAST(NULL AS UUID) AS token, CAST(NULL AS VARCHAR) AS feed WHERE FALSE'})"


def carry_on_seen(
    connection: duckdb.DuckDBPyConnection, tables: Sequence[FeedTable], touched: Touched, all_events: str
) -> None:
    """Make `temp._seen` (token, first_seen, last_seen) of the touched persons.

    Args:
        connection: With the temporary tables of `touched`, of the rows that changed, and `event`.
        tables: All settled tables.
        touched: From `find_touched`.
        all_events: A query for the same from all events of the tokens of `temp._unsure`.
    """
    step = "finding when persons that changed were seen"
    run(
        connection,
        "CREATE OR REPLACE TEMP TABLE _spans AS SELECT token, CAST(min(start) FILTER (how = 'came') AS DATE) AS came_first,"
        " CAST(max(start) FILTER (how = 'came') AS DATE) AS came_last, CAST(min(start) FILTER (how = 'went') AS DATE) AS"
        " went_first, CAST(max(start) FILTER (how = 'went') AS DATE) AS went_last"
        f" FROM ({_starts(tables, touched.before)}) WHERE token IS NOT NULL GROUP BY token",
        step,
    )
    # The first or the last may be one that went, where none came that is as early or as late.
    lost = " OR ".join(
        f"(coalesce(s.went_{which} {beyond} k.{which}_seen, s.went_{which} IS NOT NULL)"
        f" AND NOT coalesce(s.came_{which} {beyond} k.{which}_seen, FALSE))"
        for which, beyond in (("first", "<="), ("last", ">="))
    )
    run(
        connection,
        f"CREATE OR REPLACE TEMP TABLE _unsure AS SELECT s.token FROM temp._spans s JOIN {touched.known} k"
        f" ON s.token = k.token WHERE {lost}",
        step,
    )
    unsure = bool(run(connection, "SELECT 1 FROM temp._unsure LIMIT 1", step))
    again = f" UNION ALL ({all_events})" if unsure else ""
    run(
        connection,
        "CREATE OR REPLACE TEMP TABLE _seen AS SELECT coalesce(k.token, s.token) AS token,"
        " least(k.first_seen, s.came_first) AS first_seen, greatest(k.last_seen, s.came_last) AS last_seen"
        f" FROM {touched.known} k FULL JOIN temp._spans s ON k.token = s.token"
        f" WHERE coalesce(k.token, s.token) NOT IN (FROM temp._unsure){again}",
        step,
    )
    run(connection, "DROP TABLE temp._spans; DROP TABLE temp._unsure", step)


def _starts(tables: Sequence[FeedTable], before: Sequence[FeedTable]) -> str:
    """Starts that count now and did not, and such as counted and do not: of rows that changed, or whose day has come."""
    then, now = ({feed: newest_of(members) for feed, members in by_feed(each)} for each in (before, tables))
    found = ["SELECT CAST(NULL AS UUID) AS token, CAST(NULL AS TIMESTAMP) AS start, '' AS how WHERE FALSE"]
    for table in tables:
        event = table.table.event
        for side, how, newest in (("after", "came", now), ("before", "went", then)):
            if event and newest[table.feed.name]:
                start = moment(table, event.start, event.start_time)
                rows = side_of(side)(table, None)
                found.append(
                    f"SELECT token, {start} AS start, '{how}' AS how FROM {rows} WHERE {start} <= {newest[table.feed.name]}"
                )
    for feed in now:
        earlier, later = then[feed], now[feed]
        if earlier != later:
            how = "came" if earlier is None or (later is not None and later > earlier) else "went"
            bounds = sorted(filter(None, (earlier, later)))
            after = f" AND start > {bounds[0]}" if len(bounds) > 1 else ""
            found.append(
                f"SELECT token, start, '{how}' AS how FROM event WHERE feed = {text(feed)} AND start <= {bounds[-1]}{after}"
            )
    return " UNION ALL ".join(found)
