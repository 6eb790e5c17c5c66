"""What SUS marks confidential or withheld, and what its delete log deletes: the spell goes with all that hangs on it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import duckdb
import pytest
from small import ALLOWED, SmallIcs, make_small_ics

from linkage import contract
from linkage.errors import ConfigurationError
from linkage.pipeline import RunReport

SPELL = {
    "PRIMARYKEY_ID": "{0}",
    "spell.patient.identity.nhs_number.value": ALLOWED,
    "spell.patient.identity.withheld_identity_reason": "",
    "spell.patient.mother.withheld_identity_reason": "",
    "system.record.confidentiality_category": "0",
    "spell.admission.date": "2026-05-01",
}
EPISODE = {
    "PRIMARYKEY_ID": "{0}",
    "EPISODES_ID": "1",
    "start_date": "2026-05-01",
    "patient.identity.withheld_identity_reason": "",
    "patient.mother.withheld_identity_reason": "",
    "system.record.confidentiality_category": "0",
}
DIAGNOSIS = {"PRIMARYKEY_ID": "{0}", "EPISODES_ID": "1", "ICD_ID": "1", "code": "I10X"}
FILES = {"spell": SPELL, "spell.episodes": EPISODE, "spell.episodes.clinical_coding.diagnosis.icd": DIAGNOSIS}
TABLES = ("spell", "episode", "diagnosis")


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """A small ICS whose only feed is SUS admitted patient care, with spells 1 and 2 delivered."""
    ics = make_small_ics(tmp_path)
    ics.replace('feed = "sus_op"', 'feed = "sus_apc"')
    ics.extract.unlink()
    for name, row in FILES.items():
        _write(ics, name, "20261118", row, "1", "2")
    return ics


def _write(ics: SmallIcs, file: str, day: str, row: Mapping[str, str], *spells: str) -> None:
    lines = [",".join(row), *(",".join(row.values()).format(spell) for spell in spells)]
    (ics.folder / "extracts" / f"{file}_{day}.csv").write_text("\n".join(lines) + "\n")


def _left(report: RunReport) -> list[int]:
    return [report.tables[f"sus_apc_{table}"] for table in TABLES]


@pytest.mark.parametrize(
    ("file", "column"),
    [(name, column) for name, row in FILES.items() for column in row if "withheld" in column or "confid" in column],
)
def test_a_mark_anywhere_hides_the_whole_spell(ics: SmallIcs, file: str, column: str) -> None:
    """Also in an earlier version: the one delivered last says nothing."""
    _write(ics, file, "20261110", {**FILES[file], column: "1"}, "1")
    report = ics.run()
    assert _left(report) == [1, 1, 1]
    assert report.removed["sensitive"] >= 3


@pytest.mark.parametrize("table", TABLES)
@pytest.mark.parametrize("file", ["spell", "spell.episodes"])
def test_a_mark_hides_where_the_flow_takes_another_table(ics: SmallIcs, file: str, table: str) -> None:
    """What is decided by a table does not depend on whether it is asked for."""
    ics.replace('path = "extracts"', f'path = "extracts"\ntables = ["{table}"]')
    _write(ics, file, "20261110", {**FILES[file], "system.record.confidentiality_category": "1"}, "1")
    report = ics.run()
    assert report.tables[f"sus_apc_{table}"] == 1
    assert set(report.removed) == {"sensitive"}


def test_a_category_that_nobody_knows_hides_too(ics: SmallIcs) -> None:
    """Only blank and 0 are known to mean nothing."""
    with ics.configuration.open("a") as file:
        file.write("[quality]\nmax_invalid = 1.0\n")
    for value in ("2", "X"):
        _write(ics, "spell.episodes", "20261119", {**EPISODE, "system.record.confidentiality_category": value}, "1")
        assert _left(ics.run()) == [1, 1, 1]


def test_a_mark_of_one_spell_leaves_the_others(ics: SmallIcs) -> None:
    """Blank is no mark."""
    _write(ics, "spell.episodes", "20261119", {**EPISODE, "system.record.confidentiality_category": ""}, "1")
    assert _left(ics.run()) == [2, 2, 2]


LOG = {"PRIMARYKEY_ID": "{0}", "dmicImportLogId": "1", "dmicIsDeleted": "1", "dmicDeletedImportLogId": "2"}


def test_the_log_deletes_a_spell_with_its_episodes_and_diagnoses(ics: SmallIcs) -> None:
    """Each row is counted as deleted where it was; the log's lines are notices."""
    _write(ics, "InsertDeleteLog", "20261119", LOG, "1", "99")
    report = ics.run()
    assert _left(report) == [1, 1, 1]
    assert report.removed == {"deleted": 3, "notice": 2}
    assert "sus_apc_deletion" not in report.tables
    assert report.database is not None
    with duckdb.connect(str(report.database), read_only=True) as connection:
        assert connection.execute("SELECT count(*) FROM event_code").fetchall() == [(1,)]


def test_a_spell_that_comes_again_after_its_deletion_lives(ics: SmallIcs) -> None:
    """With the children that come with it."""
    _write(ics, "InsertDeleteLog", "20261119", LOG, "1")
    _write(ics, "spell", "20261120", SPELL, "1")
    assert _left(ics.run()) == [2, 1, 1]
    _write(ics, "spell.episodes", "20261120", EPISODE, "1")
    assert _left(ics.run()) == [2, 2, 1]


def test_a_log_that_only_inserts_deletes_nothing(ics: SmallIcs) -> None:
    """Its other lines say what came."""
    _write(ics, "InsertDeleteLog", "20261119", {**LOG, "dmicIsDeleted": "0"}, "1", "2")
    report = ics.run()
    assert _left(report) == [2, 2, 2]
    assert report.removed == {"notice": 2}


def test_a_flag_hides_only_by_a_key_that_the_table_has() -> None:
    """A contract that says otherwise is refused."""
    text = """
name = "f"
setting = "acute"
[tables.t]
files = "*"
primary_key = "a"
[tables.t.columns]
a = { source = "A", role = "record", namespace = "f.a" }
b = { source = "B", role = "record", namespace = "f.b", within = "a" }
c = { source = "C", role = "category" }
d = { source = "D", role = "flag", removes = "sensitive", hides = "a" }
"""
    assert contract.parse(text, "a test").tables["t"].columns["d"].hides == "a"
    for wrong in ("b", "c", "x"):
        with pytest.raises(ConfigurationError, match="is not a column with a key of its own"):
            contract.parse(text.replace('hides = "a"', f'hides = "{wrong}"'), "a test")
    with pytest.raises(ConfigurationError, match="hides another record"):
        contract.parse(text.replace('removes = "sensitive"', 'removes = "deleted"'), "a test")
