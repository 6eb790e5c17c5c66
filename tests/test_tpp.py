"""GP records of TPP practices: type 1 codes in two terminologies, and deletions that say no more than which row."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import pytest
from small import ALLOWED, NOW, SmallIcs, make_gp_ics

from linkage import pipeline
from linkage.pipeline import RunReport

OTHER = "9876543210"
BULK, DELTA = "20261101", "20261123"
CTV3 = {"dissent": "XaZ89", "withdrawal": "XaZ8A", "asthma": "H33.."}
SNOMED = {"dissent": "827241000000103", "withdrawal": "827261000000102", "asthma": "195967001"}
PATIENT = "RowIdentifier,IDOrganisationVisibleTo,NHSNumber,DateBirth,Gender,TestPatient,RemovedData"
REGISTRATION = (
    "RowIdentifier,IDOrganisationVisibleTo,IDPatient,IDOrganisation,DateRegistration,DateDeRegistration,RemovedData"
)
CODE = "RowIdentifier,IDOrganisationVisibleTo,IDPatient,IDOrganisation,DateEvent,CTV3Code,SNOMEDCode,RemovedData"
MEDICATION = "RowIdentifier,IDOrganisationVisibleTo,IDPatient,IDOrganisation,DateMedicationStart,RemovedData"


class TppExtract:
    """TPP files with the few columns that are needed."""

    def __init__(self, stamp: str = BULK) -> None:
        self.stamp = stamp
        self.patients = [f"2,Z99001,{OTHER},02 May 1950,F,FALSE,0"]
        self.codes = ["900,Z99001,2,Z99001,04 Mar 2026,H33..,195967001,0"]

    def patient(self, key: str, number: str = ALLOWED, removed: str = "0") -> TppExtract:
        """A patient's row."""
        self.patients.append(f"{key},Z99001,{number},02 May 1950,F,FALSE,{removed}")
        return self

    def code(self, row: str, means: str, on: str = "04 Mar 2026", *, ctv3: bool = True, key: str = "1") -> TppExtract:
        """A coded entry, under one of the two terminologies."""
        code = f"{CTV3[means]}," if ctv3 else f",{SNOMED[means]}"
        self.codes.append(f"{row},Z99001,{key},Z99001,{on},{code},0")
        return self

    def deleted(self, row: str) -> TppExtract:
        """The deletion of a coded entry, which holds nothing else."""
        self.codes.append(f"{row},Z99001,,,,,,1")
        return self

    def write(self, folder: Path) -> None:
        """Every file, with a registration and a prescription of the other person."""
        folder.mkdir()
        registration = ["800,Z99001,2,Z99001,01 Jan 2001,,0"]
        medication = ["700,Z99001,2,Z99001,04 Mar 2026,0"]
        for name, head, lines in (
            ("SRPatient", PATIENT, self.patients),
            ("SRPatientRegistration", REGISTRATION, registration),
            ("SRCode", CODE, self.codes),
            ("SRPrimaryCareMedication", MEDICATION, medication),
        ):
            out = io.StringIO()
            csv.writer(out, quoting=csv.QUOTE_ALL).writerows(line.split(",") for line in [head, *lines])
            (folder / f"{name}_{self.stamp}.csv").write_text(out.getvalue(), encoding="cp1252")


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """The small ICS with a flow of TPP records; both numbers may be used."""
    ics = make_gp_ics(tmp_path)
    with ics.configuration.open("a") as file:
        file.write('\n[[flows]]\nfeed = "tpp"\npath = "gp"\n')
    return ics


def _run(ics: SmallIcs, extract: TppExtract) -> RunReport:
    """A run on this extract alone: earlier ones are taken away, so that only the roster remembers them."""
    folder = ics.folder / "gp"
    if folder.exists():
        folder.rename(ics.folder / f"gp before {extract.stamp}")
    extract.write(folder)
    return pipeline.run(ics.configuration, now=NOW)


def _is_out(report: RunReport) -> bool:
    """Whether the hospital rows of the person whose codes they are, went out; the other person has one that stays."""
    kept = report.tables["sus_op_appointment"]
    assert kept in (1, 5)
    return kept == 1


@pytest.mark.parametrize("ctv3", [True, False])
def test_a_dissent_counts_in_either_terminology(ics: SmallIcs, ctv3: bool) -> None:
    """And a withdrawal in the other takes it back."""
    extract = TppExtract().patient("1").code("1", "dissent", "01 Jan 2020", ctv3=ctv3)
    assert _is_out(_run(ics, extract))
    assert not _is_out(_run(ics, TppExtract(DELTA).patient("1").code("2", "withdrawal", "01 Jan 2021", ctv3=not ctv3)))


def _withdrawn() -> TppExtract:
    extract = TppExtract().patient("1").code("1", "dissent", "01 Jan 2020")
    return extract.code("2", "withdrawal", "01 Jan 2021")


def test_a_withdrawal_that_is_deleted_no_longer_counts(ics: SmallIcs) -> None:
    """The row that deletes it holds neither code nor patient, and comes when the withdrawal is only on the roster."""
    assert not _is_out(_run(ics, _withdrawn()))
    assert _is_out(_run(ics, TppExtract(DELTA).deleted("2")))


def test_a_withdrawal_that_becomes_another_code_no_longer_counts(ics: SmallIcs) -> None:
    """The latest version of a record is what it says."""
    assert not _is_out(_run(ics, _withdrawn()))
    assert _is_out(_run(ics, TppExtract(DELTA).code("2", "asthma")))


def test_a_dissent_stays_when_something_else_is_deleted(ics: SmallIcs) -> None:
    """A deletion is about its own record."""
    assert _is_out(_run(ics, TppExtract().patient("1").code("1", "dissent")))
    assert _is_out(_run(ics, TppExtract(DELTA).deleted("3")))


def test_deleted_and_recorded_again(ics: SmallIcs) -> None:
    """Each delivery is about the records that it names."""
    assert _is_out(_run(ics, TppExtract().patient("1").code("1", "dissent")))
    assert not _is_out(_run(ics, TppExtract("20261115").deleted("1")))
    assert _is_out(_run(ics, TppExtract(DELTA).code("1", "dissent")))


def test_a_deleted_patient_keeps_the_opt_out(ics: SmallIcs) -> None:
    """The deletion holds no number, and the person's rows in other feeds still carry theirs."""
    assert _is_out(_run(ics, TppExtract().patient("1").code("1", "dissent")))
    assert _is_out(_run(ics, TppExtract(DELTA).patient("1", number="", removed="1")))


def test_rows_of_a_deleted_patient_are_nobodys(ics: SmallIcs) -> None:
    """Though the roster still knows the number."""
    assert _run(ics, TppExtract().patient("1").code("1", "asthma")).tables["tpp_code"] == 2
    later = TppExtract(DELTA).patient("1", number="", removed="1").code("3", "asthma")
    report = _run(ics, later)
    assert report.tables["tpp_code"] == 1
    assert report.removed["person_unknown"] == 1


def test_a_patient_who_was_never_delivered_stays_unknown_when_deleted(ics: SmallIcs) -> None:
    """There is no number to keep."""
    report = _run(ics, TppExtract().patient("5", number="", removed="1").code("3", "asthma", key="5"))
    assert report.removed["person_unknown"] == 1
    assert report.removed["number_missing"] == 2


def test_practices_on_the_list_do_not_share(ics: SmallIcs) -> None:
    """The practice whose extract a row is in decides, not where the entry was made."""
    (ics.folder / "list.csv").write_text("not_sharing_ods_code,from,to,note\nZ99007,,,\nend,1,2026-11-23\n")
    ics.replace('[[flows]]\nfeed = "sus_op"', '[optouts.practices]\nlist = "list.csv"\n[[flows]]\nfeed = "sus_op"')
    extract = TppExtract().patient("1").code("1", "asthma")
    extract.codes.append("2,Z99007,1,Z99001,04 Mar 2026,H33..,,0")
    extract.codes.append("3,Z99001,1,Z99007,04 Mar 2026,H33..,,0")
    report = _run(ics, extract)
    assert report.removed["practice_not_sharing"] == 1
    assert report.tables["tpp_code"] == 3
