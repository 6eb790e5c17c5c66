"""The person spine: who is in it, and whom it believes."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import date
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bundles import Row, feed, feed_table, token

from linkage.contract import Feed
from linkage.link import (
    FeedTable,
    connect,
    count_sources,
    make_coverage,
    make_dictionary,
    make_event_codes,
    make_events,
    make_load,
    make_persons,
    make_registrations,
    settle,
    suppress,
)
from linkage.link.quality import Coverage, Load, LoadRow, RemovedRow

REGISTER = """
name = "{name}"
setting = "{setting}"
[tables.patient]
files = "*"
primary_key = ["patient"]
{registration}
[tables.patient.columns]
patient = {{ source = "a", role = "record", namespace = "{name}.patient" }}
dob_date = {{ source = "b", role = "birth_date", attribute = "birth" }}
died = {{ source = "c", role = "death_date", attribute = "death" }}
sex = {{ source = "d", role = "category", attribute = "sex" }}
ethnicity = {{ source = "e", role = "category", attribute = "ethnicity" }}
practice = {{ source = "f", role = "practice", attribute = "practice" }}
home_postcode = {{ source = "g", role = "postcode", attribute = "home" }}
joined = {{ source = "h", role = "date" }}
gone = {{ source = "i", role = "date" }}
"""
OF_GP = 'registration = { practice = "practice", start = "joined", end = "gone" }'
GP = feed(REGISTER.format(name="gp", setting="primary_care", registration=OF_GP))
PDS = feed(REGISTER.format(name="pds", setting="registry", registration=""))
SOCIAL = feed(REGISTER.format(name="social", setting="social_care", registration=""))
VISITS = feed(
    """
name = "visits"
setting = "acute"
[tables.visit]
files = "*"
primary_key = ["visit"]
month = "day"
event = { kind = "visit", record = "visit", start = "day" }
[tables.visit.columns]
visit = { source = "a", role = "record", namespace = "visits.visit" }
mother = { source = "m", role = "person", other = true }
day = { source = "b", role = "date" }
sex = { source = "c", role = "category", attribute = "sex" }
ethnicity = { source = "e", role = "category", attribute = "ethnicity" }
postcode = { source = "d", role = "postcode", attribute = "home" }
"""
)
PATIENT = {
    "token": "UUID",
    "patient": "UUID",
    "dob_year": "SMALLINT",
    "dob_month": "TINYINT",
    "died_month": "DATE",
    "sex": "VARCHAR",
    "ethnicity": "VARCHAR",
    "practice": "VARCHAR",
    "home_lsoa_2021": "VARCHAR",
    "home_imd_decile": "TINYINT",
    "joined": "DATE",
    "gone": "DATE",
}
VISIT = {
    "token": "UUID",
    "visit": "UUID",
    "mother_token": "UUID",
    "day": "DATE",
    "sex": "VARCHAR",
    "ethnicity": "VARCHAR",
    "lsoa_2021": "VARCHAR",
    "imd_decile": "TINYINT",
    "age": "SMALLINT",
}
Files = Sequence[Sequence[Row]]


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    opened = connect(tmp_path / "linked.duckdb", tmp_path / "spill")
    yield opened
    opened.close()


def linked(connection: duckdb.DuckDBPyConnection, folder: Path, given: dict[str, Files]) -> list[FeedTable]:
    """Settle registers (`gp`, `pds`, `social`) and `visits`, and make events, persons and registrations."""
    registers: dict[str, Feed] = {"gp": GP, "pds": PDS, "social": SOCIAL}
    tables = [
        feed_table(folder, registers[name], "patient", PATIENT, files)
        if name in registers
        else feed_table(folder, VISITS, "visit", VISIT, files)
        for name, files in given.items()
    ]
    for table in tables:
        settle(connection, folder, table.parts, table.table)
    make_events(connection, tables)
    make_event_codes(connection, tables)
    make_persons(connection, tables)
    make_registrations(connection, tables)
    return tables


def persons(connection: duckdb.DuckDBPyConnection, columns: str) -> list[tuple[Any, ...]]:
    return connection.execute(f"SELECT {columns} FROM person").fetchall()


def test_a_person_is_a_token_that_some_table_knows(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    gp = [{"token": 2, "patient": 1}, {"token": None, "patient": 2}]
    visits = [{"token": 2, "visit": 1, "mother_token": 8}, {"token": 1, "visit": 2}]
    linked(connection, tmp_path, {"visits": [visits], "gp": [gp]})
    assert persons(connection, "token, sources") == [(token(1), ["visits"]), (token(2), ["gp", "visits"])]


def test_pds_then_gp_then_the_latest_is_believed(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    visits = [
        {"token": 1, "visit": 1, "day": date(2026, 1, 1), "sex": "9"},
        {"token": 2, "visit": 2, "day": date(2026, 1, 1), "sex": "9"},
        {"token": 3, "visit": 3, "day": date(2026, 1, 2), "sex": "2"},
        {"token": 3, "visit": 4, "day": date(2026, 1, 1), "sex": "1"},
    ]
    gp = [{"token": 1, "patient": 1, "sex": "M"}, {"token": 2, "patient": 2, "sex": "M"}]
    linked(connection, tmp_path, {"visits": [visits], "gp": [gp], "pds": [[{"token": 1, "patient": 1, "sex": "F"}]]})
    assert persons(connection, "sex") == [("female",), ("male",), ("female",)]


def test_what_is_blank_is_asked_of_the_next_source(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    visits = [{"token": 1, "visit": 1, "day": date(2026, 1, 1), "sex": "1", "ethnicity": "A"}]
    gp = [{"token": 1, "patient": 1, "sex": "U", "ethnicity": "Z"}, {"token": 2, "patient": 2, "ethnicity": "99"}]
    linked(connection, tmp_path, {"visits": [visits], "gp": [gp]})
    assert persons(connection, "sex, ethnicity") == [("male", "A"), (None, "99")]


def test_an_address_is_never_put_together_from_two(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    visits = [{"token": 1, "visit": 1, "day": date(2026, 1, 1), "lsoa_2021": "E2", "imd_decile": 2}]
    gp = [{"token": 1, "patient": 1, "home_lsoa_2021": "E1", "dob_year": 1950, "dob_month": 3}]
    linked(connection, tmp_path, {"visits": [visits], "gp": [gp]})
    assert persons(connection, "lsoa_2021, imd_decile, birth_year, birth_month") == [("E1", None, 1950, 3)]


def test_in_a_register_the_last_delivery_is_believed(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    first = [{"token": 1, "patient": 9, "ethnicity": "A", "died_month": date(2026, 3, 1)}]
    linked(connection, tmp_path, {"social": [first, [{"token": 1, "patient": 1, "ethnicity": "B"}]]})
    assert persons(connection, "ethnicity, death_month") == [("B", date(2026, 3, 1))]


def test_the_last_registration_is_believed(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    gp = [
        {"token": 1, "patient": 1, "practice": "B", "joined": date(2020, 1, 1)},
        {"token": 1, "patient": 2, "practice": "A", "joined": date(2010, 1, 1), "gone": date(2020, 1, 1)},
        {"token": 1, "patient": 3, "practice": "C", "joined": date(2090, 1, 1)},
        {"token": None, "patient": 4, "practice": "A", "joined": date(2010, 1, 1)},
        {"token": 1, "patient": 5, "joined": date(2010, 1, 1)},
    ]
    linked(connection, tmp_path, {"gp": [gp]})
    assert persons(connection, "practice") == [("B",)]
    found = connection.execute('SELECT practice, "from", "to" FROM registration').fetchall()
    assert [row[0] for row in found] == ["A", "B", "C"]
    assert found[0] == ("A", date(2010, 1, 1), date(2020, 1, 1))


def test_first_and_last_seen_stop_at_the_delivery(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    days = [date(2026, 11, 1), date(2020, 2, 3), date(2026, 12, 24), None]
    visits = [{"token": 1, "visit": number, "day": day} for number, day in enumerate(days)]
    linked(connection, tmp_path, {"visits": [visits]})
    assert persons(connection, "first_seen, last_seen") == [(date(2020, 2, 3), date(2026, 11, 1))]


def test_columns_are_the_same_whatever_was_delivered(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    linked(connection, tmp_path, {})
    described = connection.execute("SELECT * FROM person").description or []
    always = "token sources birth_year death_month sex ethnicity practice lsoa_2021 imd_decile first_seen last_seen"
    assert [column[0] for column in described] == always.split()


@pytest.mark.parametrize(
    ("count", "shown"),
    [(0, (0, False)), (1, (None, True)), (7, (None, True)), (8, (10, False)), (12, (10, False)), (13, (15, False))],
)
def test_small_counts_are_not_shown(count: int, shown: tuple[int | None, bool]) -> None:
    assert suppress(count) == shown


def test_load_and_removed(connection: duckdb.DuckDBPyConnection) -> None:
    came, went = make_load(connection, [Load("f", "b", 23, 12, {"duplicate": 8, "deleted": 3, "sensitive": 0})])
    assert came == (LoadRow("f", "b", 25, 10, False),)
    assert went == (RemovedRow("f", "b", "deleted", None, True), RemovedRow("f", "b", "duplicate", 10, False))
    assert connection.execute("SELECT * FROM load").fetchall() == [("f", "b", 25, 10, False)]
    assert connection.execute("SELECT rows FROM removed").fetchall() == [(None,), (10,)]


def test_coverage_counts_common_persons(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    gp = [{"token": number, "patient": number} for number in range(20)]
    visits = [{"token": number, "visit": number} for number in range(17, 40)]
    linked(connection, tmp_path, {"gp": [gp], "visits": [visits]})
    expected = (
        Coverage("gp", "gp", 20, False),
        Coverage("gp", "visits", None, True),
        Coverage("visits", "visits", 25, False),
    )
    assert make_coverage(connection, count_sources(connection)) == expected


def test_every_column_is_described(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    tables = linked(connection, tmp_path, {"gp": [[{"token": 1, "patient": 1}]]})
    make_load(connection, [])
    make_coverage(connection, count_sources(connection))
    make_dictionary(connection, tables)
    columns = connection.execute(
        "SELECT table_name, column_name FROM duckdb_columns() WHERE schema_name = 'main' AND NOT internal"
    ).fetchall()
    described = connection.execute('SELECT "table", "column" FROM dictionary').fetchall()
    assert sorted(columns) == sorted(described)
    without = connection.execute("SELECT * FROM dictionary WHERE role = '' OR description IS NULL").fetchall()
    assert without == []
    temporary = connection.execute("SELECT count(*) FROM duckdb_tables() WHERE database_name <> 'temp'").fetchone()
    assert temporary == (len({table for table, _ in columns}),)
