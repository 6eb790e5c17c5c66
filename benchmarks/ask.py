"""How long a node takes to answer a question, from the question's file to the signed answer.

    python benchmarks/ask.py --people 2000000 --events 50000000

makes a store of made-up rows in the published layout (feeds by month, sorted by token, half as many codes as events), then
asks three questions, the last one again of a snapshot that has 1 % fewer people. Every answer is held against
the ledger of those before, so the time of each includes looking back. Making the store is not timed.
"""

from __future__ import annotations

import argparse
import hashlib
import shutil
import tempfile
import time
from collections.abc import Iterator
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import duckdb

from linkage.answering import Answering
from linkage.errors import PolicyError
from linkage.questions.answers import approve
from linkage.questions.question import Asked, put
from linkage.questions.registers import Known, Node, NodePurpose
from linkage.signed import Signer
from linkage.store.layout import Store
from linkage.store.manifest import FeedVersion, File, PublishedTable, SnapshotManifest
from linkage.store.views import columns_of, make_tables

FEEDS = {"ecds": "attendance", "emis": "observation", "sus_apc": "spell", "sus_op": "appointment"}
MONTHS = 24
FIRST = "20261120T000000Z-000000"
PERSON = """
CREATE TABLE person AS SELECT row_number() OVER (ORDER BY token) AS i, * FROM (
    SELECT CAST(md5(CAST(i AS VARCHAR)) AS UUID) AS token, ['ecds', 'emis'] AS sources,
        CAST(1925 + hash(i) % 100 AS SMALLINT) AS birth_year, CAST(NULL AS DATE) AS death_month,
        CASE hash(i + 1) % 2 WHEN 0 THEN 'male' ELSE 'female' END AS sex,
        substr('AAAAAABCDEFGHJKLMNPRSZ', CAST(1 + hash(i + 2) % 22 AS INTEGER), 1) AS ethnicity,
        'P' || lpad(CAST(hash(i + 3) % 300 AS VARCHAR), 5, '0') AS practice, CAST(1 + hash(i + 4) % 10 AS TINYINT) AS imd_decile
    FROM range({people}) t(i)
)
"""
VISITS = {"feeds": ["ecds"], "kinds": ["attendance"], "first_month": "2025-10", "last_month": "2026-09"}
CODES = {
    "feeds": ["emis"], "codes": {"system": "snomed", "codes": ["1000007", "1000008"], "starting_with": ["10001"]},
    "first_month": "2024-10", "last_month": "2026-09", "at_least": 2,
}  # fmt: skip
AGES = {"kind": "age", "from_ages": [0, 18, 40, 65, 80]}
QUESTIONS: dict[str, dict[str, Any]] = {
    "people by sex, age and deprivation": {
        "template": "people", "dimensions": [{"kind": "sex"}, AGES, {"kind": "deprivation"}],
    },
    "share with visits, by three, of adults with codes": {
        "template": "share", "measure": VISITS, "dimensions": [{"kind": "sex"}, AGES, {"kind": "deprivation"}],
        "cohort": {"registered_on": "2026-10-01", "min_age": 18, "having": [CODES]},
    },
    "share with codes, by four with visits in bands": {
        "template": "share", "measure": CODES,
        "dimensions": [
            {"kind": "sex"}, AGES, {"kind": "deprivation"},
            {"kind": "number", "name": "visits", "criterion": VISITS, "from_numbers": [0, 1, 3]},
        ],
    },
}  # fmt: skip


def main() -> None:
    """Make two snapshots and ask."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--events", type=int, default=5_000_000)
    parser.add_argument("--folder", type=Path, help="where the store is made; a temporary folder when not given")
    options = parser.parse_args()
    folder = Path(tempfile.mkdtemp(dir=options.folder))
    try:
        start = time.perf_counter()
        made = [_snapshot(folder, place, options.people, options.events) for place in range(2)]
        print(f"made {options.people:,} people and {options.events:,} events in {time.perf_counter() - start:.0f} s")
        node = _node(folder)
        _point(folder, made[0])
        for name, said in QUESTIONS.items():
            _ask(node, name, said)
        _point(folder, made[1])
        _ask(node, f"{name}, of the next snapshot", said)
    finally:
        shutil.rmtree(folder)


def _ask(node: Answering, name: str, said: dict[str, Any]) -> None:
    asker, approver = Signer("asker", bytes(32)), Signer("approver", bytes([1]) * 32)
    now = datetime.now(UTC)
    question = {"purpose": "speed", "nodes": ["node"], "policy": "hes", "snapshots_from": "2020-01-01"}
    asked = Asked.model_validate({**question, "cohort": {"registered_on": "2026-10-01"}, **said})
    envelope = put(asked, asker, now, 1)
    approval = approve(envelope.digest, "node", approver, now)
    content, agreed = envelope.model_dump_json().encode(), approval.model_dump_json().encode()
    start, busy = time.perf_counter(), time.process_time()
    try:
        node.answer(content, agreed, now + timedelta(seconds=1))
        came = "answered"
    except PolicyError as error:
        came = f"refused: {error.message[:40]}…"
    took, busy = time.perf_counter() - start, time.process_time() - busy
    print(f"{took:6.2f} s, {busy:5.2f} s of processors  {name}: {came}")


def _node(folder: Path) -> Answering:
    asker, approver, signer = (
        Signer(name, bytes([place]) * 32) for place, name in enumerate(["asker", "approver", "node"])
    )
    practices = tuple(f"P{place:05d}" for place in range(300))
    purpose = NodePurpose(
        name="speed", askers=("asker",), templates=("people", "share"), policy="hes", budget=100, ends=date(2999, 1, 1)
    )
    node = Node(
        name="node", store=folder / "store", private=folder / "private", key="age://none", practices=practices,
        askers=(Known(name="asker", key=asker.verifier.text),),
        approvers=(Known(name="approver", key=approver.verifier.text),), purposes=(purpose,),
    )  # fmt: skip
    return Answering(node, signer)


def _point(folder: Path, run_id: str) -> None:
    (folder / "store" / "current").write_text(run_id + "\n")


def _snapshot(folder: Path, place: int, people: int, events: int) -> str:
    store = Store(folder / "store")
    store.make()
    run_id = f"2026112{place}T000000Z-000000"
    target = store.snapshots / run_id
    target.mkdir()
    with duckdb.connect(config={"memory_limit": "4GiB", "temp_directory": str(folder / "spill")}) as connection:
        connection.execute("SET enable_progress_bar = false")
        connection.execute(PERSON.format(people=people))
        if place:
            connection.execute("DELETE FROM person WHERE hash(i + 5) % 100 = 0")
        for path, query in _files(people, events):
            (target / path).parent.mkdir(parents=True, exist_ok=True)
            if place and path.startswith("event"):
                (target / path).hardlink_to(store.snapshots / FIRST / path)
                continue
            connection.execute(f"COPY ({query}) TO '{target / path}' (FORMAT parquet, COMPRESSION zstd)")
        tables = [_table(target, name) for name in ("person", "registration", "event", "event_code")]
        for name in ("event", "event_code"):
            files = f"'{target}/{name}/**/*.parquet'"
            connection.execute(f"CREATE VIEW {name} AS SELECT * FROM read_parquet({files}, hive_partitioning = true)")
        connection.execute(f"CREATE VIEW registration AS SELECT * FROM '{target}/registration/*.parquet'")
        columns = columns_of(connection)
    columns["person"] = [each for each in columns["person"] if each[0] != "i"]
    columns["event_code"] = [(name, "DATE" if name == "month" else kind) for name, kind in columns["event_code"]]
    columns["event"] = [each for each in columns["event"] if each[0] != "month"]
    with duckdb.connect(str(target / "linked.duckdb")) as connection:
        make_tables(connection, target, tables, columns)
    manifest = SnapshotManifest(
        run_id=run_id, tool_version="0", started=datetime(2026, 11, 20 + place, tzinfo=UTC), purpose="speed",
        legal_basis="made-up data", documents=(), configuration_digest="0" * 64, domain="ics:speed", key_id="0" * 16,
        feeds=tuple(FeedVersion(feed=each, version=1, contract_digest="0" * 64) for each in FEEDS),
        tables=tuple(tables), balance=(),
    )  # fmt: skip
    (target / "manifest.json").write_text(manifest.model_dump_json())
    return run_id


def _files(people: int, events: int) -> Iterator[tuple[str, str]]:
    """Every file's path and query; rows come in the order of their tokens, since `person` is in it."""
    yield "person/part-00000.parquet", "SELECT * EXCLUDE (i) FROM person ORDER BY i"
    since = "DATE '2000-01-01' + CAST(hash(i + 9) % 9000 AS INTEGER) AS \"from\""
    yield (
        "registration/part-00000.parquet",
        f'SELECT token, practice, {since}, CAST(NULL AS DATE) AS "to" FROM person ORDER BY i',
    )
    chance = int(10**6 * events / (people * MONTHS * len(FEEDS)))
    for number, (feed, kind) in enumerate(FEEDS.items()):
        for back in range(MONTHS):
            month = date(2024 + (9 + back) // 12, (9 + back) % 12 + 1, 1)
            place = f"feed={feed}/month={month:%Y-%m}/part-00000.parquet"
            seed = number * MONTHS + back
            chosen = f"FROM person WHERE hash(i * 1000 + {seed}) % 1000000 < {chance} ORDER BY i"
            start = f"TIMESTAMP '{month} 10:00:00' + to_days(CAST(hash(i + {seed}) % 28 AS INTEGER))"
            record = f"CAST(md5(CAST(i AS VARCHAR) || '-{seed}') AS UUID) AS record"
            yield f"event/{place}", f"SELECT token, '{kind}' AS kind, {start} AS start, {record} {chosen}"
            if number % 2:
                code = f"CAST(1000000 + hash(i + {seed} * 7) % 1000 AS VARCHAR) AS code"
                yield f"event_code/{place}", f"SELECT token, {record}, 'snomed' AS system, {code} {chosen}"


def _table(target: Path, name: str) -> PublishedTable:
    files = tuple(
        File(
            path=path.relative_to(target).as_posix(),
            rows=0,
            bytes=path.stat().st_size,
            sha256=hashlib.sha256().hexdigest(),
        )
        for path in sorted((target / name).rglob("*.parquet"))
    )
    return PublishedTable(name=name, rows=len(files), files=files)


if __name__ == "__main__":
    main()
