"""Manifests written out or made large, and a page taken apart again."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from xml.etree import ElementTree
from xml.etree.ElementTree import Element

from linkage.reasons import Reason
from linkage.store.manifest import (
    Change,
    ColumnCounts,
    DocumentUsed,
    FeedVersion,
    Limit,
    MonthCount,
    PairCount,
    PublishedTable,
    ShownBalance,
    SnapshotManifest,
    SourcesCount,
    TableCounts,
)

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)


def column(name: str, missing: int | None = 0, role: str = "code", **invalid: int | None) -> ColumnCounts:
    return ColumnCounts(column=name, role=role, missing=missing, invalid=invalid)


def counts(feed: str, table: str, rows: int | None, *columns: ColumnCounts, title: str = "A table") -> TableCounts:
    return TableCounts(
        feed=feed, table=table, title=title, rows=rows, malformed=0, late=rows, future=None,
        people={"number_missing": 20, "number_malformed": None}, ranges={"england": rows}, status={"01": rows},
        columns=columns,
    )  # fmt: skip


def manifest(**changed: object) -> SnapshotManifest:
    """A snapshot of two feeds with something in every section; counts as they are shown."""
    made = SnapshotManifest(
        run_id="20261124T060000Z-abc123",
        tool_version="0.1.0",
        started=NOW,
        purpose="planning",
        legal_basis="a made-up one",
        documents=(DocumentUsed(what="agreement", reference="DSA-1", starts=None, ends=NOW.date()),),
        configuration_digest="0" * 64,
        domain="ics:qxx",
        key_id="k1",
        feeds=(
            FeedVersion(feed="gp", version=2, contract_digest="0", title="General practice", setting="primary_care"),
            FeedVersion(feed="ae", version=1, contract_digest="0", title="Emergency care", setting="urgent_care"),
        ),
        tables=(PublishedTable(name="person", rows=1234, files=()),),
        balance=(
            ShownBalance(
                feed="gp", table="patient", read=1000, published=800,
                removed={Reason.NUMBER_MISSING.value: 20, Reason.NATIONAL_OPT_OUT.value: 180, Reason.SENSITIVE.value: None},
            ),
            ShownBalance(
                feed="ae", table="visit", read=None, published=500, removed={Reason.DUPLICATE.value: None}
            ),
        ),
        quality=(
            counts(
                "gp", "patient", 1000, column("number", 20, "person", number_malformed=None), column("sex", 150, unknown_code=85),
                column("practice", None), column("death_date", 1000, "death_date"), column("code", 505),
            ),
            counts("ae", "visit", None, column("arrival", None, "date", out_of_range=None)),
        ),
        limits=(
            Limit(name="max_missing", value=1.0),
            Limit(name="max_invalid", value=0.1),
            Limit(name="max_invalid", value=0.2, feed="gp", table="patient", column="sex"),
            Limit(name="min_rows", value=10),
        ),
        months=(
            MonthCount(feed="ae", month=None, rows=15),
            MonthCount(feed="ae", month="1911-01", rows=None),
            MonthCount(feed="ae", month="2026-09", rows=250),
            MonthCount(feed="ae", month="2026-10", rows=None),
            MonthCount(feed="gp", month="2026-08", rows=800),
        ),
        sources=(
            SourcesCount(feeds=("gp",), persons=900), SourcesCount(feeds=("ae", "gp"), persons=300),
            SourcesCount(feeds=(), persons=35),
        ),
        common=(
            PairCount(feed="ae", other="ae", persons=335), PairCount(feed="ae", other="gp", persons=300),
            PairCount(feed="gp", other="gp", persons=1200),
        ),
        last_run="20261123T060000Z-abc122",
        changes=(
            Change(feed="gp", table="patient", column=None, what="rows", before=500, now=1000),
            Change(feed="gp", table="patient", column="sex", what="missing", before=0.05, now=0.15),
        ),
    )  # fmt: skip
    return made.model_copy(update=changed)


def large(feeds: int, columns: int) -> SnapshotManifest:
    """A snapshot of many feeds of one table with many columns."""
    names = [f"feed_number_{number:02d}" for number in range(feeds)]
    reasons = {reason.value: 1000 + place for place, reason in enumerate(Reason)}
    months = [f"{year}-{month:02d}" for year in range(2017, 2027) for month in range(1, 13)]
    return manifest(
        feeds=tuple(FeedVersion(feed=name, version=1, contract_digest="0", title=name) for name in names),
        balance=tuple(
            ShownBalance(feed=name, table="table", read=10**6, published=900_000, removed=reasons) for name in names
        ),
        quality=tuple(
            counts(
                name, "table", 10**6,
                *(column(f"a_column_with_a_long_name_{place:03d}", place * 2500, unreadable=place * 5) for place in range(columns)),
            )
            for name in names
        ),
        months=tuple(MonthCount(feed=name, month=month, rows=5000) for name in names for month in months),
        sources=tuple(SourcesCount(feeds=tuple(names[: place + 1]), persons=1000 - 5 * place) for place in range(feeds)),
        common=tuple(
            PairCount(feed=one, other=other, persons=500) for place, one in enumerate(names) for other in names[place:]
        ),
    )  # fmt: skip


def parsed(page: str) -> Element:
    """The page as an XML parser reads it: it is well-formed or this raises."""
    return ElementTree.fromstring(page)  # noqa: S314 our own page


def words(element: Element) -> str:
    return " ".join("".join(element.itertext()).split())


def lines(root: Element) -> Iterator[str]:
    """Everything that a person reads, a line for each heading, paragraph, entry and row; a bar is its length."""
    for element in root.iter():
        if element.tag in ("h1", "h2", "h3", "p", "li", "summary", "caption", "figcaption"):
            yield f"{element.tag} {words(element)}"
        elif element.tag == "tr":
            yield f"   {row(element)}"
        elif element.tag == "div" and element.get("class") is None:
            yield f"   {words(element)}"


def row(element: Element) -> str:
    return " | ".join(_cell(cell) for cell in element)


def _cell(cell: Element) -> str:
    bars = [bar for bar in cell.iter("rect") if bar.get("class") != "track"]
    return (
        ", ".join(f"{bar.get('class')} {bar.get('width')}" for bar in bars)
        if cell.find("svg") is not None
        else words(cell)
    )
