"""Stores with chosen people in them, written as runs publish them, and nodes that answer from them."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

import duckdb
import polars as pl

from linkage.answering import Answering
from linkage.questions.answers import approve
from linkage.questions.question import Asked, put
from linkage.questions.registers import Node, load_node
from linkage.signed import Envelope, Signer
from linkage.store.export import export
from linkage.store.layout import Store, run_id
from linkage.store.manifest import DocumentUsed, FeedVersion, File, PublishedTable, SnapshotManifest
from linkage.store.views import make_tables

NOW = datetime(2026, 11, 24, 12, tzinfo=UTC)
DAY = date(2026, 10, 1)
COLUMNS = {
    "person": (
        ("token", "UUID"), ("sources", "VARCHAR[]"), ("birth_year", "SMALLINT"), ("death_month", "DATE"), ("sex", "VARCHAR"),
        ("ethnicity", "VARCHAR"), ("practice", "VARCHAR"), ("imd_decile", "TINYINT"),
    ),
    "registration": (("token", "UUID"), ("practice", "VARCHAR"), ("from", "DATE"), ("to", "DATE")),
    "event": (("token", "UUID"), ("feed", "VARCHAR"), ("kind", "VARCHAR"), ("start", "TIMESTAMP"), ("record", "UUID")),
    "event_code": (
        ("token", "UUID"), ("feed", "VARCHAR"), ("month", "DATE"), ("record", "UUID"), ("system", "VARCHAR"),
        ("code", "VARCHAR"),
    ),
}  # fmt: skip
FEEDS = ("ecds", "emis")


@dataclass(frozen=True)
class One:
    """Somebody in a store."""

    number: int
    sex: str | None = "female"
    born: int | None = 1970
    decile: int | None = 1
    ethnicity: str | None = "A"
    died: date | None = None
    practice: str | None = "A10001"
    since: date | None = date(2020, 1, 1)
    until: date | None = None
    attendances: Sequence[date] = ()
    codes: Sequence[tuple[str, date]] = ()
    sources: Sequence[str] = ("ecds", "emis")
    before: Sequence[tuple[str, date | None, date | None]] = field(default=())


def uuid(number: int) -> str:
    text = f"{number:032x}"
    return "-".join([text[:8], text[8:12], text[12:16], text[16:20], text[20:]])


def rows_of(people: Sequence[One]) -> dict[str, list[tuple[object, ...]]]:
    rows: dict[str, list[tuple[object, ...]]] = {name: [] for name in COLUMNS}
    record = 10**6
    for each in people:
        token = uuid(each.number)
        rows["person"].append(
            (token, list(each.sources), each.born, each.died, each.sex, each.ethnicity, each.practice, each.decile)
        )
        here = [(each.practice, each.since, each.until)] if each.practice else []
        rows["registration"] += [(token, *one) for one in (*here, *each.before)]
        for day in each.attendances:
            record += 1
            rows["event"].append((token, "ecds", "attendance", datetime(day.year, day.month, day.day), uuid(record)))
        for code, day in each.codes:
            record += 1
            rows["event_code"].append((token, "emis", day.replace(day=1), uuid(record), "snomed", code))
    return rows


def publish(path: Path, people: Sequence[One], day: datetime = NOW) -> str:
    """Publish a snapshot with these people in it; its run id."""
    return publish_tables(path, rows_of(people), day)


def publish_tables(
    path: Path, rows: dict[str, list[tuple[object, ...]]], day: datetime = NOW, documents: tuple[DocumentUsed, ...] = ()
) -> str:
    store = Store(path)
    store.make()
    name = run_id(day, store.newest())
    folder = store.snapshots / name
    folder.mkdir()
    tables = []
    with duckdb.connect() as connection:
        for table, columns in COLUMNS.items():
            files = _files(connection, folder, table, columns, rows[table]) if rows[table] else ()
            tables.append(PublishedTable(name=table, rows=len(rows[table]), files=files))
    with duckdb.connect(str(folder / "linked.duckdb")) as connection:
        make_tables(connection, folder, tables, COLUMNS)
    manifest = SnapshotManifest(
        run_id=name, tool_version="0", started=day, purpose="test", legal_basis="made-up data", documents=documents,
        configuration_digest="0" * 64, domain="ics:test", key_id="0" * 16,
        feeds=tuple(FeedVersion(feed=each, version=1, contract_digest="0" * 64) for each in FEEDS),
        tables=tuple(tables), balance=(),
    )  # fmt: skip
    (folder / "manifest.json").write_text(manifest.model_dump_json())
    store.current_file.write_text(name + "\n")
    return name


MONTHS = {"event": "start", "event_code": "month"}


def _files(
    connection: duckdb.DuckDBPyConnection, folder: Path, table: str, columns: Sequence[tuple[str, str]],
    rows: Sequence[tuple[object, ...]],
) -> tuple[File, ...]:  # fmt: skip
    frame = pl.DataFrame(rows, schema=[name for name, _ in columns], orient="row", infer_schema_length=None)
    connection.register("frame", frame)
    casts = ", ".join(f'CAST("{name}" AS {type}) AS "{name}"' for name, type in columns)
    connection.execute(f"CREATE TABLE {table} AS SELECT {casts} FROM frame")
    export(connection, folder, table, MONTHS.get(table), {})
    return tuple(
        File(path=path.relative_to(folder).as_posix(), rows=0, bytes=path.stat().st_size, sha256="0" * 64)
        for path in sorted((folder / table).rglob("*.parquet"))
    )


def signer(name: str) -> Signer:
    """Somebody's key, the same each time."""
    return Signer(name, hashlib.sha256(name.encode()).digest())


ASKER, APPROVER = signer("QYY.analysts"), signer("QXX.governance")


@dataclass(frozen=True)
class TestNode:
    """A node in a folder of its own."""

    __test__ = False

    folder: Path
    name: str = "qxx"

    @property
    def file(self) -> Path:
        return self.folder / "node.toml"

    @property
    def node(self) -> Node:
        return load_node(self.file)

    @property
    def signer(self) -> Signer:
        return signer(self.name)

    def publish(self, people: Sequence[One], day: datetime = NOW) -> str:
        return publish(self.folder / "store", people, day)

    def answer(self, question: Envelope, now: datetime = NOW, approval: Envelope | None = None) -> Envelope:
        approval = approval or approve(question.digest, self.name, APPROVER, now)
        return Answering(self.node, self.signer).answer(
            question.model_dump_json().encode(), approval.model_dump_json().encode(), now
        )

    def refusals(self) -> list[dict[str, str]]:
        return [json.loads(path.read_text()) for path in sorted((self.folder / "private/refused").glob("*.json"))]


def make_node(
    folder: Path, name: str = "qxx", practices: Sequence[str] = ("A10001", "A10002"), **changes: str
) -> TestNode:
    folder.mkdir(parents=True, exist_ok=True)
    values = {"policy": "hes", "budget": "20", "ends": "2027-03-31", "seconds": "60", "more": ""} | changes
    (folder / "node.toml").write_text(f"""
name = "{name}"
store = "store"
private = "private"
key = "age://node.age"
practices = {json.dumps(list(practices))}
seconds = {values["seconds"]}
{values["more"]}
[[askers]]
name = "{ASKER.name}"
key = "{ASKER.verifier.text}"
[[askers]]
name = "QZZ.analysts"
key = "{signer("QZZ.analysts").verifier.text}"
[[approvers]]
name = "{APPROVER.name}"
key = "{APPROVER.verifier.text}"
[[purposes]]
name = "winter planning"
askers = ["{ASKER.name}"]
templates = ["people", "share"]
policy = "{values["policy"]}"
budget = {values["budget"]}
ends = {values["ends"]}
[[purposes]]
name = "counts only"
askers = ["{ASKER.name}"]
templates = ["people"]
policy = "hes"
budget = 2
ends = 2027-03-31
""")
    return TestNode(folder, name)


VISITS = {"feeds": ["ecds"], "kinds": ["attendance"], "first_month": "2025-10", "last_month": "2026-09"}
DIABETES = {
    "feeds": ["emis"], "codes": {"system": "snomed", "codes": ["44054006"], "starting_with": ["7321"]},
    "first_month": "2010-01", "last_month": "2026-09",
}  # fmt: skip


def asked(**changes: object) -> Asked:
    """What is asked: everybody by sex, where nothing else is said."""
    said: dict[str, object] = {
        "purpose": "winter planning", "nodes": ["qxx", "qyy", "qzz"], "template": "people", "policy": "hes",
        "cohort": {"registered_on": DAY}, "dimensions": [{"kind": "sex"}], "snapshots_from": "2026-11-01",
    }  # fmt: skip
    return Asked.model_validate(said | changes)


def question(now: datetime = NOW, by: Signer = ASKER, days: int = 14, **changes: object) -> Envelope:
    """A signed question."""
    return put(asked(**changes), by, now, days)
