"""A flow that takes a part of its feed: what is published, what is counted, and what is decided all the same."""

from __future__ import annotations

import hashlib
import json
import shutil
from pathlib import Path
from typing import Any

import duckdb
import pytest
from small import ALLOWED, HEADER, SmallIcs, make_small_ics, row

import golden
from linkage import pipeline
from linkage.cli import demo
from linkage.errors import ConfigurationError
from linkage.pipeline import RunReport


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """Six appointments of one person who may be used, on the first to the sixth of May."""
    ics = make_small_ics(tmp_path)
    rows = [row(day, ALLOWED, day) for day in range(1, 6)] + [row(6, ALLOWED).replace("2026-05-01", "")]
    ics.extract.write_text("\n".join([HEADER, *rows]) + "\n")
    return ics


def _take(ics: SmallIcs, **part: object) -> RunReport:
    lines = "\n".join(f"{key} = {value}" for key, value in part.items())
    ics.replace('path = "extracts"', f'path = "extracts"\n{lines}')
    return ics.run()


def _published(report: RunReport, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(report.database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def _columns(report: RunReport, table: str) -> set[str]:
    return {name for (name,) in _published(report, f"SELECT column_name FROM (DESCRIBE {table})")}


def test_rows_before_the_earliest_day_are_counted(ics: SmallIcs) -> None:
    """And those without a date; the balance holds."""
    report = _take(ics, earliest="2026-05-03")
    days = _published(report, "SELECT appointment_date FROM sus_op_appointment ORDER BY 1")
    assert [str(day) for (day,) in days] == ["2026-05-03", "2026-05-04", "2026-05-05"]
    assert report.removed == {"before_earliest": 3}
    assert report.read == 6


def test_codes_are_kept_and_their_list_is_accounted_for(ics: SmallIcs) -> None:
    """From a file, whose digest stands in the account."""
    text = ics.extract.read_text().splitlines()
    text[1:4] = [line.replace(",1,5,1,", ",1,5,2,") for line in text[1:4]]
    ics.extract.write_text("\n".join(text) + "\n")
    (ics.folder / "codes.csv").write_text("code,term\n2,x\n")
    report = _take(ics, keep='{ outcome = "codes.csv" }')
    assert report.tables["sus_op_appointment"] == 3
    assert report.removed == {"code_not_kept": 3}
    account = json.loads((ics.folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    (listed,) = [each for each in account["registers"] if each["name"] == "codes of outcome"]
    assert listed["sha256"] == hashlib.sha256(b"code,term\n2,x\n").hexdigest()


def test_only_the_columns_asked_for_leave(ics: SmallIcs) -> None:
    """Besides those that name and date a record, and the age at it."""
    table = "sus_op_appointment"
    whole = _columns(ics.run(), table)
    report = _take(ics, columns='{ appointment = ["outcome"] }')
    assert {"token", "outcome", "appointment_date", "age"} < _columns(report, table)
    gone = whole - _columns(report, table)
    assert {"sex", "provider", "commissioner", "practice", "postcode_district", "birth_year"} <= gone
    assert report.tables[table] == 6
    assert _published(report, "SELECT sex, birth_year, practice FROM person") == [(None, None, None)]
    assert _published(report, "SELECT DISTINCT age FROM event WHERE start IS NOT NULL") in (
        [(75,)],
        [(76,)],
        [(75,), (76,)],
    )


def test_a_range_names_numbered_columns(tmp_path: Path) -> None:
    """Of a wide extract: those that leave, and those whose codes decide; any of them is enough."""
    path = golden.prepare(tmp_path, ["sus_apc_flat"])
    lines = 'columns = { episode = ["diagnosis_{1..2}"] }\nkeep = { "diagnosis_{1..20}" = ["I10X", "S720"] }\n'
    path.write_text(path.read_text().replace("[[flows]]\n", f"[[flows]]\n{lines}"))
    report = pipeline.run(path, now=golden.NOW)
    codes = _published(report, "SELECT diagnosis_1, diagnosis_2 FROM sus_apc_flat_episode ORDER BY ALL")
    assert codes == [("J189", "I10X"), ("S720", None)]
    assert "diagnosis_3" not in _columns(report, "sus_apc_flat_episode")
    path.write_text(path.read_text().replace("{1..2}", "{2..1}"))
    with pytest.raises(ConfigurationError, match="not a range that counts up"):
        pipeline.run(path, now=golden.NOW)


def test_a_correction_that_is_not_asked_for_withdraws_what_it_corrects(ics: SmallIcs) -> None:
    """The first delivery's day was wrong: the record does not belong, in neither version."""
    second = ics.extract.with_name("appointment_20261121.csv")
    second.write_text(f"{HEADER}\n{row(5, ALLOWED, 1)}\n")
    report = _take(ics, earliest="2026-05-03")
    assert report.removed == {"before_earliest": 4, "withdrawn": 1}
    assert report.tables["sus_op_appointment"] == 2


def test_an_unknown_name_stops_the_run(ics: SmallIcs) -> None:
    """Before anything is read."""
    with pytest.raises(ConfigurationError, match="no table is called 'appointments'"):
        _take(ics, tables='["appointments"]')


def test_opt_outs_and_persons_do_not_depend_on_what_is_taken(tmp_path: Path) -> None:
    """GP records of one table less: type 1 codes are still found in it, and patients in theirs."""
    demo.make(tmp_path / "whole", 600, seed=3)
    shutil.copytree(tmp_path / "whole", tmp_path / "part", ignore=shutil.ignore_patterns("store", "private"))
    path = tmp_path / "part" / "linkage.toml"
    text = path.read_text()
    assert 'feed = "emis"\n' in text
    path.write_text(
        text.replace('feed = "emis"\n', 'feed = "emis"\ntables = ["issue"]\ncolumns = { issue = ["dmd"] }\n')
    )
    whole, part = (pipeline.run(tmp_path / name / "linkage.toml") for name in ("whole", "part"))
    assert part.tables["emis_issue"] == whole.tables["emis_issue"] > 0
    assert "emis_patient" not in part.tables
    assert "emis_observation" not in part.tables
    others = [name for name in part.tables if name.startswith(("sus_", "ecds", "csds", "mhsds", "cld", "cad", "iuc"))]
    assert len(others) > 10
    assert {name: part.tables[name] for name in others} == {name: whole.tables[name] for name in others}
    accounts = [
        json.loads((tmp_path / name / "private" / "runs" / f"{report.run_id}.json").read_text())["balance"]
        for name, report in (("whole", whole), ("part", part))
    ]
    whole_by_table = {(each["feed"], each["table"]): each for each in accounts[0]}
    assert all(whole_by_table[each["feed"], each["table"]] == each for each in accounts[1])
    assert sum(each["removed"].get("type1_opt_out", 0) for each in accounts[1]) > 0
    taken = _columns(part, "emis_issue")
    assert "dmd" in taken
    assert "practice" not in taken
