"""What became known after a bundle was made reaches its rows by token, and nobody comes back but through a new extract."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from small import ALLOWED, HEADER, NOW, SmallIcs, make_small_ics, row

from linkage import late
from linkage.pipeline import RunReport
from linkage.pseudonymise import Keyset
from linkage.relink import relink
from linkage.store.open import open_store

OTHER = "4010232137"
THIRD = "4000000632"
REPLACED = "9876543210"


def _token(ics: SmallIcs, number: str) -> bytes:
    keyset = Keyset.open("age://keys.age", base=ics.folder)
    return bytes(keyset.pseudonymiser("ics:test").tokenise(pl.Series([number]))[0][0])


def _answers(ics: SmallIcs, *allowed: str, asked: tuple[str, ...] = (ALLOWED, OTHER, THIRD, REPLACED)) -> None:
    (ics.folder / "optouts" / "r.dat").write_text("".join(f"{number},\n" for number in asked))
    ics.answer.write_text("".join(f"{number},\n" for number in allowed))


def _rows(ics: SmallIcs, table: str = "sus_op_appointment") -> list[tuple[object, ...]]:
    with open_store(ics.store) as connection:
        return connection.execute(f"SELECT * FROM {table} ORDER BY ALL").fetchall()


def _tokens(ics: SmallIcs) -> set[bytes]:
    """Every token that any table of the store names."""
    found: set[bytes] = set()
    with open_store(ics.store) as connection:
        for (table,) in connection.execute("SELECT table_name FROM duckdb_tables()").fetchall():
            for column, kind in connection.execute(
                f"SELECT column_name, data_type FROM duckdb_columns() WHERE table_name = '{table}'"
            ).fetchall():
                if kind == "UUID":
                    found |= {
                        value.bytes
                        for (value,) in connection.execute(f'SELECT DISTINCT "{column}" FROM {table}').fetchall()
                        if value
                    }
    return found


def _held_tokens(ics: SmallIcs) -> set[bytes]:
    parts = list((ics.folder / "private" / "held").rglob("*.parquet"))
    assert parts
    return {token for part in parts for token in pl.read_parquet(part)["token"].to_list()}


@pytest.fixture
def held(tmp_path: Path) -> tuple[SmallIcs, RunReport]:
    """An ICS of three people, with a bundle held."""
    ics = make_small_ics(tmp_path)
    ics.replace('path = "store"', 'path = "store"\nhold = true')
    lines = [row(1, ALLOWED), row(2, OTHER), row(3, OTHER), row(4, THIRD), row(5, REPLACED)]
    ics.extract.write_text("\n".join([HEADER, *lines]) + "\n")
    _answers(ics, ALLOWED, OTHER, THIRD, REPLACED)
    return ics, ics.run()


def _make(ics: SmallIcs) -> late.Made:
    return late.tokens(ics.configuration, NOW)


def _relink(ics: SmallIcs) -> RunReport:
    return relink(ics.configuration, now=NOW)


def test_a_late_opt_out_leaves_every_table_and_the_held_bundle(held: tuple[SmallIcs, RunReport]) -> None:
    """Without the extracts, and every row is accounted for."""
    ics, before = held
    assert before.tables["sus_op_appointment"] == 5
    _answers(ics, ALLOWED, THIRD, REPLACED)
    ics.extract.unlink()
    assert _make(ics).withdrawn == 1
    after = _relink(ics)
    assert (after.read, after.removed) == (5, {"late_opt_out": 2})
    assert ics.current() == after.run_id
    assert _token(ics, OTHER) not in _tokens(ics) | _held_tokens(ics)
    assert _token(ics, ALLOWED) in _tokens(ics) & _held_tokens(ics)
    assert sorted(path.name for path in (ics.folder / "private" / "held").iterdir()) == [after.run_id]
    assert not list((ics.folder / "private" / "late").iterdir())


def test_it_publishes_what_a_run_over_the_extracts_would(held: tuple[SmallIcs, RunReport]) -> None:
    """The same rows of every table."""
    ics, _ = held
    _answers(ics, ALLOWED, THIRD, REPLACED)
    _make(ics)
    _relink(ics)
    tables = ("sus_op_appointment", "person", "event", "event_code", "coverage")
    relinked = {table: _rows(ics, table) for table in tables}
    again = ics.run()
    assert {table: _rows(ics, table) for table in tables} == relinked
    assert again.removed == {"national_opt_out": 2}
