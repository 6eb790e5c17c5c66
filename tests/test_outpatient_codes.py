"""Outpatient diagnoses and procedures find their person through the appointment, and cost nothing where none came."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import duckdb
import pytest
from small import ALLOWED, HEADER, NOW, SmallIcs, make_small_ics, row

from linkage import config, rostering, site
from linkage.optouts.type1_codes import Codes
from linkage.pipeline import RunReport
from linkage.sources.roster import Roster

CODES = {
    "appointment.clinical_coding.diagnosis.icd": ("ICD_ID", "I10X"),
    "appointment.clinical_coding.procedure.opcs": ("OPCS_ID", "X352"),
}


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """The small ICS: appointments 1, 2, 9 and 10 are of the person who may be used."""
    return make_small_ics(tmp_path)


def _deliver(ics: SmallIcs, file: str, *appointments: int) -> None:
    key, code = CODES[file]
    lines = [f"PRIMARYKEY_ID,{key},code", *(f"{appointment},1,{code}" for appointment in appointments)]
    (ics.folder / "extracts" / f"{file}_20261120.csv").write_text("\n".join(lines) + "\n")


def _query(report: RunReport, query: str) -> list[tuple[Any, ...]]:
    with duckdb.connect(str(report.database), read_only=True) as connection:
        return connection.execute(query).fetchall()


def _roster(ics: SmallIcs) -> Roster:
    delivered = tuple(site.deliveries(config.load(ics.configuration), NOW))
    return rostering.roster(Roster.empty(), delivered, Codes(frozenset(), frozenset(), (), {}))


def test_codes_find_the_person_of_their_appointment(ics: SmallIcs) -> None:
    """Those of people who may not be used go out for their reason; one of an unknown appointment is nobody's."""
    _deliver(ics, "appointment.clinical_coding.diagnosis.icd", 1, 3, 4, 99)
    _deliver(ics, "appointment.clinical_coding.procedure.opcs", 1, 2)
    report = ics.run()
    found = _query(
        report,
        "SELECT meaning, system, code, position, month IS NOT NULL, token IN (SELECT token FROM person)"
        " FROM event_code ORDER BY ALL",
    )
    assert found == [
        ("diagnosis", "icd10", "I10X", 1, True, True),
        ("procedure", "opcs4", "X352", 1, True, True),
        ("procedure", "opcs4", "X352", 1, True, True),
    ]
    assert report.tables["sus_op_appointment"] == 4
    assert (report.removed["person_unknown"], report.removed["national_opt_out"]) == (1, 2)
    assert report.removed["number_missing"] == 2


def test_a_mark_on_the_appointment_hides_its_codes(ics: SmallIcs) -> None:
    """Also when only an earlier version of the appointment was marked."""
    _deliver(ics, "appointment.clinical_coding.diagnosis.icd", 1, 2)
    earlier = ics.extract.with_name("appointment_20261101.csv")
    earlier.write_text(f"{HEADER}\n{row(1, ALLOWED)[:-1]}1,\n")
    report = ics.run()
    assert report.tables["sus_op_diagnosis"] == 1
    assert report.tables["sus_op_appointment"] == 3
    assert report.removed["sensitive"] == 3


LETTERS = """
name = "letters"
setting = "acute"
[tables.letter]
files = "letters.csv"
primary_key = "letter"
[tables.letter.columns]
letter = { source = "letter", role = "record", namespace = "letters.letter", required = true }
appointment = { source = "appointment", role = "person_key", namespace = "sus_op.appointment", required = true }
"""


def test_another_feed_may_ask_whose_appointment_it_was(ics: SmallIcs) -> None:
    """Its rows find their person as codes do."""
    (ics.folder / "letters.toml").write_text(LETTERS)
    (ics.folder / "letters").mkdir()
    path = ics.folder / "letters" / "letters.csv"
    path.write_text("letter,appointment\nl1,1\nl2,99\n")
    os.utime(path, (NOW.timestamp(), NOW.timestamp()))
    with ics.configuration.open("a") as file:
        file.write('[[flows]]\nfeed = "letters.toml"\npath = "letters"\n')
    report = ics.run()
    assert report.tables["letters_letter"] == 1
    assert report.removed["person_unknown"] == 1


def test_appointments_alone_need_no_roster(ics: SmallIcs) -> None:
    """The roster would hold every appointment ever; what is published is the same either way."""
    alone = ics.run()
    assert not _roster(ics).entries.height
    before = _query(
        alone, "SELECT * EXCLUDE (appointment, appointment_identifier) FROM sus_op_appointment ORDER BY ALL"
    )
    _deliver(ics, "appointment.clinical_coding.diagnosis.icd", 1)
    together = ics.run()
    assert _roster(ics).entries.height == 10
    after = _query(
        together, "SELECT * EXCLUDE (appointment, appointment_identifier) FROM sus_op_appointment ORDER BY ALL"
    )
    assert after == before
    assert together.removed == alone.removed
