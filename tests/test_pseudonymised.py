"""The how-to about pseudonymised feeds, done: what is refused, and what links with what."""

from __future__ import annotations

import csv
import re
from pathlib import Path

import duckdb
import pytest

import golden
from linkage import pipeline
from linkage.errors import ConfigurationError

PAGE = Path(__file__).parent.parent / "docs" / "how-to" / "pseudonymised.md"
FEEDS = ["sus_apc_pseudonymised", "sus_op_pseudonymised"]


def _blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", PAGE.read_text(), re.DOTALL | re.MULTILINE)


def _pseudonym(path: Path) -> str:
    """The one in a file's first row."""
    with path.open(newline="") as file:
        row = next(csv.DictReader(file))
    return next(value for name, value in row.items() if name.endswith("Pseudo"))


def _prepared(folder: Path) -> Path:
    """The golden extracts of the page's feeds with its flows; somebody in the first was in the second too."""
    path = golden.prepare(folder, FEEDS)
    for feed, short in zip(FEEDS, ("sus_apc", "sus_op"), strict=True):
        (folder / "extracts" / feed).rename(folder / "extracts" / short)
    spells = min((folder / "extracts" / "sus_apc").glob("spell_*.csv"))
    appointments = min((folder / "extracts" / "sus_op").glob("appointment_*.csv"))
    appointments.write_text(appointments.read_text().replace(_pseudonym(appointments), _pseudonym(spells)))
    text = path.read_text()
    path.write_text(text[: text.index("[[flows]]")] + _blocks("toml")[0])
    return path


@pytest.fixture(scope="module")
def database(tmp_path_factory: pytest.TempPathFactory) -> duckdb.DuckDBPyConnection:
    """What the page's flows give."""
    path = _prepared(tmp_path_factory.mktemp("pseudonymised"))
    report = pipeline.run(path, now=golden.NOW)
    return duckdb.connect(str(report.database), read_only=True)


def test_the_queries_of_the_page_find_something(database: duckdb.DuckDBPyConnection) -> None:
    """Feeds of one scheme link by the pseudonym, and children by their spell."""
    people, codes = (database.execute(query).fetchall() for query in _blocks("sql"))
    assert people[0][0] == 1
    assert len(codes) >= 3
    assert None not in {pseudonym for pseudonym, _ in codes}


def test_nobody_in_them_is_a_person(database: duckdb.DuckDBPyConnection) -> None:
    """No token of a person anywhere."""
    assert database.execute("SELECT count(*) FROM person").fetchone() == (0,)
    for (table,) in database.execute(
        "SELECT DISTINCT table_name FROM duckdb_columns() WHERE column_name = 'token'"
    ).fetchall():
        assert database.execute(f'SELECT count(token) FROM "{table}"').fetchone() == (0,), table


def test_the_same_pseudonym_has_one_token_in_the_scheme_and_others_elsewhere(tmp_path: Path) -> None:
    """Two feeds of one scheme agree; another scheme's token of the same text is another."""
    path = _prepared(tmp_path)
    (tmp_path / "north").mkdir()
    for file in (tmp_path / "extracts" / "sus_apc").glob("*.csv"):
        (tmp_path / "north" / file.name).write_text(file.read_text())
    for file in (tmp_path / "north").glob("spell_*.csv"):
        file.write_text(file.read_text().replace("spell.patient.identity.nhs_number.value Pseudo", "north_person_key"))
    (tmp_path / "north.toml").write_text(_blocks("toml")[1])
    with path.open("a") as file:
        file.write('[[flows]]\nfeed = "north.toml"\npath = "north"\noptouts_applied_upstream = "made-up data"\n')
    report = pipeline.run(path, now=golden.NOW)
    with duckdb.connect(str(report.database), read_only=True) as connection:
        ours, theirs, north = (
            {each for (each,) in connection.execute(f"SELECT DISTINCT pseudonym FROM {table}").fetchall()}
            for table in ("sus_apc_pseudonymised_spell", "sus_op_pseudonymised_appointment", "sus_apc_north_spell")
        )
    assert ours & theirs
    assert len(north) == len(ours)
    assert not north & ours


def test_a_flow_that_names_no_document_is_refused(tmp_path: Path) -> None:
    """For each of the feeds."""
    path = _prepared(tmp_path)
    text = path.read_text()
    path.write_text(re.sub(r"optouts_applied_upstream = [^\n]*\n$", "", text))
    with pytest.raises(ConfigurationError, match="people arrive as pseudonyms"):
        pipeline.check(path, now=golden.NOW)
