"""A made-up ICS whose third hospital delivers flat extracts, held against its truth, and against the one that does not."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path

import duckdb
import polars as pl
import pytest

import test_truth as truth
from linkage import Keyset, contract, pipeline
from linkage.cli import demo
from linkage.store.open import open_store
from made_up import MadeUp, Search

FLAT = {
    ("sus_apc_flat", "APC"): "episode",
    ("sus_op_flat", "OP"): "appointment",
    ("ecds_flat", "ECDS"): "attendance",
}
DOTTED = {where: ours for where, ours in truth.NAMES.items() if where[0] in ("sus_apc", "sus_op", "ecds")}


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """A small one after a run."""
    folder = tmp_path_factory.mktemp("flat") / "ics"
    demo.make(folder, 1_500, seed=11, flat=True)
    report = pipeline.run(folder / "linkage.toml")
    return MadeUp(
        folder,
        report,
        Keyset.open("age://keys/ics.age", base=folder).pseudonymiser("ics:demo"),
        pl.read_parquet(folder / "truth" / "people.parquet"),
        pl.read_parquet(folder / "truth" / "rows.parquet"),
        json.loads((folder / "private" / "runs" / f"{report.run_id}.json").read_text()),
    )


@pytest.fixture(scope="module")
def store(made: MadeUp) -> Iterator[duckdb.DuckDBPyConnection]:
    """What analysts open."""
    with open_store(made.folder / "store") as connection:
        yield connection


@pytest.mark.parametrize(("where", "ours"), [*FLAT.items(), *DOTTED.items()])
def test_every_row_is_where_the_truth_says(
    made: MadeUp, store: duckdb.DuckDBPyConnection, where: tuple[str, str], ours: str
) -> None:
    """Published under its own person, or out for the reason that the truth names, exactly."""
    feed, theirs = where
    rows = made.rows.filter((pl.col("feed") == feed) & (pl.col("table") == theirs))
    assert rows.height
    wanted = truth.expected(made.pseudonymiser, contract.load(feed).tables[ours], rows)
    columns = ", ".join(f'"{name}"' for name in wanted.columns)
    found = store.execute(f"SELECT {columns} FROM {feed}_{ours}").fetchall()
    assert sorted(map(truth.plain_row, found)) == sorted(map(truth.plain_row, wanted.rows()))
    balance = next(each for each in made.exact["balance"] if (each["feed"], each["table"]) == (feed, ours))
    assert balance["removed"] == dict(rows.drop_nulls("removed").group_by("removed").len().iter_rows())


@pytest.mark.parametrize("feed", ["sus_apc_flat", "sus_op_flat"])
def test_a_period_that_is_sent_again_replaces_itself(made: MadeUp, feed: str) -> None:
    """Some rows are corrected and some no longer there, so the rule of the contract has something to do."""
    reasons = dict(made.rows.filter(pl.col("feed") == feed).group_by("removed").len().iter_rows())
    assert min(reasons["duplicate"], reasons["superseded"]) > 0


def test_codes_come_out_as_they_do_from_tables(made: MadeUp, store: duckdb.DuckDBPyConnection) -> None:
    """The same meanings and systems, and for each episode as many codes on average."""
    query = (
        "SELECT feed, meaning, system, count(*), count(DISTINCT record) FROM event_code WHERE feed LIKE ? GROUP BY ALL"
    )
    for dotted in ("sus_apc", "sus_op", "ecds"):
        kinds = {}
        for feed in (dotted, f"{dotted}_flat"):
            found = store.execute(query, [feed]).fetchall()
            kinds[feed] = {(meaning, system): codes / records for _, meaning, system, codes, records in found}
        assert set(kinds[dotted]) == set(kinds[f"{dotted}_flat"])
        for kind, mean in kinds[dotted].items():
            assert kinds[f"{dotted}_flat"][kind] == pytest.approx(mean, rel=0.35), (dotted, kind)


def test_a_hospital_delivers_in_one_form(store: duckdb.DuckDBPyConnection) -> None:
    """No spell, appointment or attendance of it is in the tables of the others."""
    providers = "SELECT DISTINCT provider FROM event WHERE feed LIKE ? AND provider IS NOT NULL ORDER BY 1"
    for feed in ("sus_apc", "sus_op", "ecds"):
        assert store.execute(providers, [feed]).fetchall() == [("ZT1",), ("ZT2",)]
        assert store.execute(providers, [f"{feed}_flat"]).fetchall() == [("ZT3",)]


def test_nobody_is_recognised(made: MadeUp) -> None:
    """No NHS number, name or postcode of anybody is in what is published of the wide rows."""
    search = Search(made.people)
    files = [path for feed, _ in FLAT for path in (made.folder / "store").rglob(f"{feed}_*/**/*.parquet")]
    for path in files:
        search.frame(pl.read_parquet(path, hive_partitioning=False), path)
    assert len(files) > len(FLAT)


def test_without_asking_nothing_is_flat(tmp_path: Path) -> None:
    """Every hospital delivers tables."""
    demo.make(tmp_path / "ics", 150, seed=11)
    assert not [path for path in (tmp_path / "ics" / "extracts").iterdir() if path.name.endswith("_flat")]
    assert "flat" not in (tmp_path / "ics" / "linkage.toml").read_text()
