"""GP records on a few made-up patients: people found through the roster, type 1 codes, practices, sensitive records."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import pytest
from small import ALLOWED, NOW, SmallIcs, make_gp_ics

from linkage import pipeline
from linkage.errors import PolicyError
from linkage.pipeline import RunReport

DISSENT, WITHDRAWAL, ASTHMA = "827241000000103", "827261000000102", "195967001"
OTHER = "9876543210"
THIRD = "4010232137"
BULK, DELTA = "20261101020000", "20261123020000"
GUID = "0A1B2C3D-0000-4000-8000-000000000000"


@dataclass
class GpExtract:
    """EMIS files with the few columns that are needed, by delivery."""

    patients: dict[str, list[str]] = field(default_factory=lambda: {BULK: [], DELTA: []})
    observations: dict[str, list[str]] = field(default_factory=lambda: {BULK: [], DELTA: []})

    def patient(
        self, guid: str, number: str, stamp: str = BULK, practice: str = "{P1}", flags: str = "false,false",
        registered: str = "2001-01-01,",
    ) -> None:  # fmt: skip
        """A patient row; flags are SpineSensitive and DummyType, and the registration's first and last day."""
        self.patients[stamp].append(f"{guid},{practice},{number},F,1950-02-03,{registered},QX11AA,{flags},false,false")

    def observation(
        self, key: str, guid: str, code: str, on: str = "2026-01-02", stamp: str = BULK, flags: str = "false,false",
        practice: str = "{P1}",
    ) -> None:  # fmt: skip
        """An observation row; flags are Deleted and IsConfidential."""
        self.observations[stamp].append(f"{key},{guid},{practice},{on},{code},1,{flags}")

    def write(self, folder: Path) -> None:
        folder.mkdir()
        write = lambda table, stamp, lines: (folder / f"291_{table}_{stamp}_{GUID}.csv").write_text(  # noqa: E731
            "\n".join(lines) + "\n"
        )
        write("Admin_Organisation", BULK, ["OrganisationGuid,ODSCode", "{P1},Z99001", "{P2},Z99002", "{P3},Z99003"])
        write(
            "Coding_ClinicalCode",
            BULK,
            ["CodeId,SnomedCTConceptId", *(f"{c},{c}" for c in (DISSENT, WITHDRAWAL, ASTHMA))],
        )
        write("Coding_DrugCode", BULK, ["CodeId,DmdProductCodeId", "1,1"])
        sharing = ["OrganisationGuid,IsActivated,Disabled,Deleted", "{P1},true,false,false", "{P2},true,true,false"]
        write("Agreements_SharingOrganisation", BULK, sharing)
        head = "PatientGuid,OrganisationGuid,NhsNumber,Sex,DateOfBirth,DateOfRegistration,DateOfDeactivation,Postcode"
        seen = "ObservationGuid,PatientGuid,OrganisationGuid,EffectiveDate,CodeId,Value,Deleted,IsConfidential"
        issue = "IssueRecordGuid,PatientGuid,OrganisationGuid,EffectiveDate,CodeId,Deleted,IsConfidential"
        write("Prescribing_IssueRecord", BULK, [issue, "{I1},{A},{P1},2026-01-02,1,false,false"])
        for stamp in (BULK, DELTA):
            if self.patients[stamp]:
                write(
                    "Admin_Patient",
                    stamp,
                    [f"{head},SpineSensitive,DummyType,IsConfidential,Deleted", *self.patients[stamp]],
                )
            if self.observations[stamp]:
                write("CareRecord_Observation", stamp, [seen, *self.observations[stamp]])


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """The small ICS with a flow of GP records; both numbers may be used."""
    ics = make_gp_ics(tmp_path)
    with ics.configuration.open("a") as file:
        file.write('\n[[flows]]\nfeed = "emis"\npath = "gp"\n')
    return ics


def _run(ics: SmallIcs, extract: GpExtract) -> RunReport:
    extract.write(ics.folder / "gp")
    return pipeline.run(ics.configuration, now=NOW)


def _kept(report: RunReport) -> int:
    return report.tables["emis_observation"]


def test_a_delta_finds_its_patient_in_an_earlier_run(ics: SmallIcs) -> None:
    """The roster is kept, encrypted, from run to run; a key that was never delivered is nobody."""
    first = GpExtract()
    first.patient("{A}", ALLOWED)
    first.observation("{1}", "{A}", ASTHMA)
    assert _kept(_run(ics, first)) == 1
    (ics.folder / "gp").rename(ics.folder / "old")
    second = GpExtract()
    second.patient("{B}", OTHER, DELTA)
    second.observation("{2}", "{A}", ASTHMA, stamp=DELTA)
    second.observation("{3}", "{X}", ASTHMA, stamp=DELTA)
    report = _run(ics, second)
    assert _kept(report) == 1
    assert report.removed["person_unknown"] == 1


# Each case: observations as (code, date, delivery, Deleted), and whether the person is out.
TYPE1 = {
    "dissent": ([(DISSENT, "2020-01-01", BULK, "false")], True),
    "withdrawn later": ([(DISSENT, "2020-01-01", BULK, "false"), (WITHDRAWAL, "2021-01-01", BULK, "false")], False),
    "renewed": ([(WITHDRAWAL, "2020-01-01", BULK, "false"), (DISSENT, "2021-01-01", BULK, "false")], True),
    "same day": ([(DISSENT, "2020-01-01", BULK, "false"), (WITHDRAWAL, "2020-01-01", BULK, "false")], True),
    "undated": ([(DISSENT, "", BULK, "false"), (WITHDRAWAL, "2021-01-01", BULK, "false")], True),
    "undated withdrawal": ([(DISSENT, "2020-01-01", BULK, "false"), (WITHDRAWAL, "", BULK, "false")], True),
    "in the delta": ([(DISSENT, "2026-11-01", DELTA, "false")], True),
    "deleted": ([(DISSENT, "2020-01-01", BULK, "true")], False),
    "withdrawal only": ([(WITHDRAWAL, "2020-01-01", BULK, "false")], False),
}


@pytest.mark.parametrize("case", TYPE1.values(), ids=TYPE1.keys())
def test_type_1(ics: SmallIcs, case: tuple[list[tuple[str, str, str, str]], bool]) -> None:
    """The latest of dissent and withdrawal wins, and every doubt is a dissent; it binds hospital rows too."""
    codes, out = case
    extract = GpExtract()
    extract.patient("{A}", ALLOWED)
    extract.observation("{1}", "{A}", ASTHMA)
    for place, (code, on, stamp, deleted) in enumerate(codes):
        extract.observation(f"{{D{place}}}", "{A}", code, on, stamp, f"{deleted},false")
    report = _run(ics, extract)
    assert (report.tables["sus_op_appointment"] == 1) is out
    assert (_kept(report) == 0) is out


@pytest.mark.parametrize("number", ["", "1234567890", "9434765918"])
@pytest.mark.parametrize("twice", [False, True])
def test_a_patient_who_loses_the_number_keeps_the_opt_out(ics: SmallIcs, number: str, twice: bool) -> None:
    """Also in a later run, and after a run in which it was ambiguous: hospital rows of that person stay out."""
    first = GpExtract()
    first.patient("{A}", ALLOWED)
    first.patient("{B}", OTHER)
    if twice:
        first.patient("{A}", OTHER)
    first.observation("{1}", "{A}", DISSENT)
    rows = 0 if twice else 1
    assert _run(ics, first).tables["sus_op_appointment"] == rows
    (ics.folder / "gp").rename(ics.folder / "old")
    for record in ("{2}", "{3}"):
        again = GpExtract()
        again.patient("{A}", number, DELTA)
        again.observation(record, "{B}", ASTHMA, stamp=DELTA)
        assert _run(ics, again).tables["sus_op_appointment"] == rows
        (ics.folder / "gp").rename(ics.folder / f"old{record}")


MERGER = "NHS Number,Superseded NHS Number"


@pytest.mark.parametrize(
    ("lines", "kept"),
    [
        ([f"{ALLOWED},{THIRD}", f"{OTHER},{THIRD}"], 0),
        ([f"{THIRD},4010232145", f"4010232145,{THIRD}", f"{ALLOWED},4010232145"], 1),
        ([f"{OTHER},{THIRD}"], 4),
        ([f"{OTHER},{THIRD}", f"{ALLOWED},{THIRD},"], 4),
    ],
    ids=["two answers", "a circle with a way out", "one answer", "another in a broken row"],
)
def test_a_dissent_under_a_number_that_may_have_been_replaced(ics: SmallIcs, lines: list[str], kept: int) -> None:
    """It binds whoever it may be of."""
    with ics.configuration.open("a") as file:
        file.write('\n[[flows]]\nfeed = "pds"\npath = "pds"\n[quality]\nmax_malformed = 1.0\n')
    (ics.folder / "pds").mkdir()
    (ics.folder / "pds" / "PDS_Person_Merger_20261120.csv").write_text("\n".join([MERGER, *lines]) + "\n")
    extract = GpExtract()
    extract.patient("{A}", THIRD)
    extract.observation("{1}", "{A}", DISSENT)
    assert _run(ics, extract).tables["sus_op_appointment"] == kept


def test_practices_that_do_not_share(ics: SmallIcs) -> None:
    """Disabled agreements, no agreement, and the ICS's own list; hospital rows stay."""
    (ics.folder / "list.csv").write_text(
        "not_sharing_ods_code,from,to,note\nZ99001,,2025-12-31,over\nZ99009,,,\nend,2,2026-11-20\n"
    )
    ics.replace('[[flows]]\nfeed = "sus_op"', '[optouts.practices]\nlist = "list.csv"\n[[flows]]\nfeed = "sus_op"')
    extract = GpExtract()
    for practice in ("{P1}", "{P2}", "{P3}"):
        registered = "2010-01-01," if practice == "{P1}" else "2001-01-01,2009-12-31"
        extract.patient(f"{{A{practice[2]}}}", ALLOWED, practice=practice, registered=registered)
        extract.observation(f"{{O{practice[2]}}}", f"{{A{practice[2]}}}", ASTHMA, practice=practice)
    report = _run(ics, extract)
    assert _kept(report) == 1
    assert report.tables["sus_op_appointment"] == 5


def test_a_sensitive_person_is_nowhere(ics: SmallIcs) -> None:
    """The GP's flag removes the person's rows in every feed."""
    extract = GpExtract()
    extract.patient("{A}", ALLOWED, flags="true,false")
    extract.patient("{B}", OTHER)
    extract.observation("{1}", "{A}", ASTHMA)
    extract.observation("{2}", "{B}", ASTHMA)
    report = _run(ics, extract)
    assert (_kept(report), report.tables["sus_op_appointment"], report.tables["person"]) == (1, 1, 1)


def test_a_record_marked_confidential_later_takes_its_earlier_copy_along(ics: SmallIcs) -> None:
    """No version of a record goes on when one of them is confidential."""
    extract = GpExtract()
    extract.patient("{A}", ALLOWED)
    extract.observation("{1}", "{A}", ASTHMA)
    extract.observation("{2}", "{A}", ASTHMA)
    extract.observation("{1}", "{A}", ASTHMA, stamp=DELTA, flags="false,true")
    report = _run(ics, extract)
    assert _kept(report) == 1
    assert report.removed["sensitive"] == 2


def test_a_record_deleted_later_is_gone(ics: SmallIcs) -> None:
    """Deletions are settled among the deliveries of the record."""
    extract = GpExtract()
    extract.patient("{A}", ALLOWED)
    extract.observation("{1}", "{A}", ASTHMA)
    extract.observation("{2}", "{A}", ASTHMA)
    extract.observation("{1}", "{A}", ASTHMA, stamp=DELTA, flags="true,false")
    report = _run(ics, extract)
    assert _kept(report) == 1
    assert report.removed["deleted"] == 2


def test_a_key_with_two_numbers_is_nobody(ics: SmallIcs) -> None:
    """One delivery gives a patient key two numbers: nothing of it is linked to either."""
    extract = GpExtract()
    extract.patient("{A}", ALLOWED)
    extract.patient("{A}", OTHER)
    extract.observation("{1}", "{A}", ASTHMA)
    report = _run(ics, extract)
    assert _kept(report) == 0
    assert report.removed["person_ambiguous"] == 4


def test_test_patients_go_out(ics: SmallIcs) -> None:
    """With all rows of their key."""
    extract = GpExtract()
    extract.patient("{A}", ALLOWED, flags="false,true")
    extract.observation("{1}", "{A}", ASTHMA)
    assert _run(ics, extract).removed["test_patient"] == 3


def test_a_practices_guid_may_look_like_a_number(ics: SmallIcs) -> None:
    """Ten digits in a row, grouped as NHS numbers are: the key still finds its practice."""
    extract = GpExtract()
    extract.patient("{A}", ALLOWED)
    extract.observation("{O1}", "{A}", ASTHMA)
    extract.write(ics.folder / "gp")
    for path in (ics.folder / "gp").iterdir():
        path.write_text(path.read_text().replace("{P1}", "{0A1B2C3D-0000-4000-A123-4567890ABCDE}"))
    report = pipeline.run(ics.configuration, now=NOW)
    assert report.tables["emis_observation"] == 1
    assert report.tables["emis_patient"] == 1


@pytest.mark.parametrize("word", ["maybe", "2", "tru"])
def test_a_flag_that_cannot_be_read_removes(ics: SmallIcs, word: str) -> None:
    """Confidential or not is not guessed: of one record, or of the whole person in every feed."""
    with ics.configuration.open("a") as file:
        file.write("[quality]\nmax_invalid = 1.0\n")
    extract = GpExtract()
    extract.patient("{A}", ALLOWED)
    extract.patient("{B}", OTHER, flags=f"{word},false")
    extract.observation("{1}", "{A}", ASTHMA)
    extract.observation("{2}", "{A}", ASTHMA, flags=f"false,{word}")
    extract.observation("{3}", "{B}", ASTHMA)
    report = _run(ics, extract)
    assert _kept(report) == 1
    assert report.removed["sensitive"] == 4  # the record, the patient, their observation and their appointment
    assert report.tables["emis_patient"] == 1


def test_a_code_that_no_table_of_codes_lists_may_be_an_opt_out(ics: SmallIcs) -> None:
    """Such a run is refused, unless the purpose allows it; a code that is listed with no meaning is none."""
    extract = GpExtract()
    extract.patient("{A}", ALLOWED)
    extract.observation("{1}", "{A}", ASTHMA)
    extract.observation("{2}", "{A}", "4711")
    with pytest.raises(PolicyError, match=r"column 'CodeId': 1 of 2 codes are in no table of codes; the limit is 0.0%"):
        _run(ics, extract)
    assert not (ics.store / "current").exists()
    (coding,) = (ics.folder / "gp").glob("*_Coding_ClinicalCode_*")
    whole = coding.read_text()
    coding.write_text(f"{whole}4711,\n")
    assert pipeline.run(ics.configuration, now=NOW).tables["emis_observation"] == 2
    coding.write_text(whole)
    ics.replace('applies_to = "everything"', 'applies_to = "everything"\nmax_untranslated = 0.5')
    ics.configuration.write_text(ics.configuration.read_text() + "[quality]\nmax_invalid = 1.0\n")
    assert pipeline.run(ics.configuration, now=NOW).tables["emis_observation"] == 2
