"""A small ICS of one feed, written out, that a test can then mangle."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from linkage import pipeline
from linkage.pipeline import RunReport
from linkage.pseudonymise import Keyset

NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
HEADER = (
    "PRIMARYKEY_ID,appointment.identifier,appointment.patient.identity.nhs_number.value,"
    "appointment.patient.identity.birth_date,appointment.patient.identity.gender,"
    "appointment.patient.registration.general_practice,appointment.patient.residence.postcode,appointment.date,"
    "appointment.time,appointment.first_attendance,appointment.attended_or_dna,appointment.outcome,"
    "appointment.commissioning.service_agreement.provider,appointment.commissioning.service_agreement.commissioner,"
    "appointment.commissioning.tariff_calculation.final_price,appointment.patient.identity.withheld_identity_reason,"
    "system.record.confidentiality_category"
)
ALLOWED = "9434765919"
OPTED_OUT = "9876543210"
NOT_ASKED = "4000000632"
NUMBERS = (
    ALLOWED,
    "943 476 5919",
    "",
    OPTED_OUT,
    NOT_ASKED,
    "1234567890",
    "4444444444",
    "943476591",
    ALLOWED,
    ALLOWED,
)


@dataclass(frozen=True)
class SmallIcs:
    """Where everything of the small ICS is."""

    folder: Path

    @property
    def configuration(self) -> Path:
        return self.folder / "linkage.toml"

    @property
    def extract(self) -> Path:
        return self.folder / "extracts" / "appointment_20261120.csv"

    @property
    def answer(self) -> Path:
        return self.folder / "optouts" / "answers" / "r.dat"

    @property
    def store(self) -> Path:
        return self.folder / "store"

    def run(self) -> RunReport:
        return pipeline.run(self.configuration, now=NOW)

    def replace(self, old: str, new: str) -> None:
        """Change the configuration."""
        text = self.configuration.read_text()
        assert old in text
        self.configuration.write_text(text.replace(old, new))

    def add_feed(self, name: str, contract: str = "") -> Path:
        """A flow more, of a feed that comes with the package or of the contract given; its folder, which is empty."""
        feed = f"{name}.toml" if contract else name
        if contract:
            (self.folder / feed).write_text(contract)
        with self.configuration.open("a") as file:
            file.write(f'[[flows]]\nfeed = "{feed}"\npath = "{name}"\n')
        (self.folder / name).mkdir()
        return self.folder / name

    def answered(self, days_ago: int = 0) -> None:
        """The national service answered so long ago by the clock, for command lines, which go by it."""
        at = datetime.now(UTC) - timedelta(days=days_ago)
        self.answer.with_suffix(".ctl").write_text(
            f"<DTSControl><StatusRecord><DateTime>{at:%Y%m%d}000000</DateTime></StatusRecord></DTSControl>"
        )

    def current(self) -> str | None:
        path = self.store / "current"
        return path.read_text().strip() if path.exists() else None


def row(key: int, number: str, day: int = 1) -> str:
    return f"{key},a{key},{number},1950-05-02,1,Z99001,QX1 1AA,2026-05-{day:02d},10:00,1,5,1,ZZ1,QXX,12.5,,"


def make_small_ics(folder: Path) -> SmallIcs:
    """Ten appointments: four of a person who may be used, and one of each reason for which a row is removed."""
    ics = SmallIcs(folder)
    ics.extract.parent.mkdir()
    ics.extract.write_text("\n".join([HEADER, *(row(i, n) for i, n in enumerate(NUMBERS, start=1))]) + "\n")
    (folder / "optouts" / "answers").mkdir(parents=True)
    (folder / "optouts" / "r.dat").write_text(f"{ALLOWED},\n{OPTED_OUT},\n")
    ics.answer.write_text(f"{ALLOWED},\n")
    ics.answer.with_suffix(".ctl").write_text(
        "<DTSControl><StatusRecord><DateTime>20261123060000</DateTime></StatusRecord></DTSControl>"
    )
    Keyset.create(folder / "keys.age")
    ics.configuration.write_text(
        """
allow_test_numbers = true
[purpose]
name = "test"
legal_basis = "made-up data"
controllers = ["nobody"]
[keys]
keyset = "age://keys.age"
domain = "ics:test"
[store]
path = "store"
[optouts.national]
requests = "optouts/*.dat"
answers = "optouts/answers/*.dat"
max_age_days = 7
min_allowed = 0.5
max_not_asked = 0.2
[optouts.type1]
applies_to = "primary_care"
[[flows]]
feed = "sus_op"
path = "extracts"
"""
    )
    return ics


def make_gp_ics(folder: Path) -> SmallIcs:
    """The same for a feed of GP records: both people may be used, and a type 1 opt-out applies to everything."""
    ics = make_small_ics(folder)
    ics.answer.write_text(f"{ALLOWED},\n{OPTED_OUT},\n")
    ics.replace('applies_to = "primary_care"', 'applies_to = "everything"')
    return ics


MERGED_NUMBERS = """
name = "pds"
setting = "registry"
delivered = '_(\\d{8})\\.csv$'
[tables.merged]
files = "merged_*.csv"
kind = "superseded"
superseded = { superseded = "old", current = "new" }
[tables.merged.columns]
old = { source = "old", role = "person" }
new = { source = "new", role = "person", other = true }
"""
GP_PRACTICES = """
name = "gp"
setting = "primary_care"
delivered = '_(\\d{8})\\.csv$'
[tables.agreement]
files = "agreement_*.csv"
kind = "sharing"
sharing = { practice = "practice", flags = { active = true } }
[tables.agreement.columns]
practice = { source = "practice", role = "practice", required = true }
active = { source = "active", role = "flag" }
[tables.patient]
files = "patient_*.csv"
primary_key = "patient"
roster = true
registration = { practice = "practice", start = "start", end = "end" }
[tables.patient.columns]
patient = { source = "id", role = "person_key", namespace = "gp.patient", required = true }
nhs_number = { source = "nhs", role = "person" }
practice = { source = "practice", role = "practice" }
start = { source = "start", role = "date" }
end = { source = "end", role = "date" }
"""
