"""Shipped contracts against the layouts that are delivered, and how a bad contract is refused."""

from __future__ import annotations

import re
from datetime import datetime
from pathlib import Path, PurePath
from typing import NamedTuple

import pytest

from linkage.contract import DATED, Column, Feed, Role, Table, load, parse, shipped
from linkage.errors import ConfigurationError
from linkage.sources.inspect import inspect


class Layout(NamedTuple):
    """A file of one table as delivered: an example of its name, and its header."""

    file: str
    header: str

    @property
    def columns(self) -> list[str]:
        """The names in the header, in order."""
        return " ".join(self.header.split()).split(", ")


CODED = ("diagnosis", "snomed_diagnosis", "read_diagnosis", "procedure", "snomed_procedure")
GOLDEN = Path(__file__).parent.parent / "data" / "golden"


def _golden_layouts(name: str) -> dict[str, Layout]:
    """The layouts of a feed whose golden extract shows them."""
    feed, found = load(name), {}
    for table_name, table in feed.tables.items():
        path = sorted(path for pattern in table.files for path in (GOLDEN / name / "extracts").glob(pattern))[0]
        found[table_name] = Layout(path.name, ", ".join(inspect(path, feed, table).header))
    return found


LAYOUTS = {folder.name: _golden_layouts(folder.name) for folder in sorted(GOLDEN.iterdir()) if folder.is_dir()}
PSEUDONYMISED = [name for name in shipped() if any(table.pseudonyms for table in load(name).tables.values())]
DIAGNOSES = ("provisional_diagnosis", "primary_diagnosis", "secondary_diagnosis")
# Tables that say more of an event of another table: a problem of an observation, a team of a referral.
SAY_MORE = {("emis", "problem"), ("csds", "service_type"), ("mhsds", "service_type"), ("mhsds_v5", "service_type")}
SENTINELS = {"1800-01-01", "1900-01-01", "9999-12-31"}
TABLES = [(feed, table) for feed, tables in LAYOUTS.items() for table in tables]


def columns_of(feed: str) -> dict[tuple[str, str], Column]:
    """Every column of a shipped contract by table and name."""
    return {(t, c): column for t, table in load(feed).tables.items() for c, column in table.columns.items()}


def holders(namespace: str) -> set[tuple[str, str, str]]:
    """Feed, table and column of every shipped column with the namespace."""
    return {
        (feed, table, name)
        for feed in shipped()
        for (table, name), column in columns_of(feed).items()
        if column.namespace == namespace
    }


def test_every_shipped_contract_has_a_layout() -> None:
    assert set(shipped()) == set(LAYOUTS)


@pytest.mark.parametrize("name", shipped())
def test_shipped_contract_loads(name: str) -> None:
    feed = load(name)
    assert feed.name == name
    assert feed.title
    assert feed.description
    assert feed.source
    assert set(feed.sentinels) >= SENTINELS
    assert set(feed.tables) == set(LAYOUTS[name])


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_every_column_is_delivered(name: str, table: str) -> None:
    header = LAYOUTS[name][table].columns
    assert len(header) == len(set(header))
    known = {each.strip().casefold() for each in header}
    columns = load(name).tables[table].columns.values()
    assert not [c.source[0] for c in columns if not known & {source.casefold() for source in c.source}]


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_no_two_columns_read_the_same_one(name: str, table: str) -> None:
    # Names are also found without regard to case, so they may not differ by case alone.
    sources = [s.casefold() for c in load(name).tables[table].columns.values() for s in c.source]
    assert len(sources) == len(set(sources))


@pytest.mark.parametrize(("name", "table"), TABLES)
def test_a_file_belongs_to_one_table_and_carries_its_stamp(name: str, table: str) -> None:
    feed = load(name)
    file = LAYOUTS[name][table].file
    owners = [t for t, spec in feed.tables.items() if any(PurePath(file).match(p) for p in spec.files)]
    # A table that only informs may read the files of a table of records.
    assert table in owners
    assert len([owner for owner in owners if feed.tables[owner].kind != "informs"]) <= 1
    if feed.delivered is None:
        assert name.startswith("hes_")  # what is published once has no stamp
        return
    stamp = re.search(feed.delivered, file)
    assert stamp
    assert datetime.strptime(stamp[1], feed.delivered_format).year in (2025, 2026)


@pytest.mark.parametrize("name", shipped())
def test_no_pseudonym_is_read_as_a_number(name: str) -> None:
    columns = [column for column in columns_of(name).values() if column.role is not Role.PSEUDONYM]
    assert not [source for column in columns for source in column.source if "pseudo" in source.casefold()]


@pytest.mark.parametrize("name", shipped())
def test_every_records_table_is_an_event_its_codes_or_tells_of_persons(name: str) -> None:
    for table_name, table in load(name).records().items():
        tells = table.roster or table.registration or any(column.attribute for column in table.columns.values())
        assert table.event or table.codes or tells or (name, table_name) in SAY_MORE, table_name


@pytest.mark.parametrize("name", shipped())
def test_every_row_finds_its_person(name: str) -> None:
    records = load(name).records()
    if name in PSEUDONYMISED:
        assert not [table for table in records.values() if table.subjects or table.others or table.person_keys]
        assert any(table.pseudonyms for table in records.values())
        return
    keys = {t.columns[key].namespace for t in records.values() if t.roster for key in t.person_keys}
    for table_name, table in records.items():
        assert bool(table.subjects or table.pseudonyms) or len(table.person_keys) == 1, table_name
        assert bool(table.subjects and table.person_keys) == table.roster, table_name
        assert {table.columns[key].namespace for key in table.person_keys} <= keys, table_name


@pytest.mark.parametrize("name", shipped())
def test_events_name_columns_of_the_right_role(name: str) -> None:
    for table_name, table in load(name).records().items():
        if table.month:
            assert table.columns[table.month].role in DATED, table_name
        if table.event:
            assert table.month == table.event.start, table_name
            record = table.columns[table.event.record]
            assert record.role in (Role.RECORD, Role.PERSON_KEY), table_name
            assert record.required, table_name
            codes = [c for group in table.event.codes for c in group.column]
            assert {table.columns[c].role for c in codes} <= {Role.CODE}, table_name
        assert all(table.columns[key].required for key in table.primary_key), table_name


@pytest.mark.parametrize("name", shipped())
def test_attributes_are_read_from_the_role_that_fits(name: str) -> None:
    roles = {
        "sex": Role.CATEGORY,
        "ethnicity": Role.CATEGORY,
        "practice": Role.PRACTICE,
        "birth": Role.BIRTH_DATE,
        "death": Role.DEATH_DATE,
        "home": Role.POSTCODE,
    }
    for where, column in columns_of(name).items():
        if column.attribute:
            assert column.role is roles[column.attribute], where
        if column.role in (Role.BIRTH_DATE, Role.DEATH_DATE, Role.POSTCODE):
            # A death is registered within days, so that day is coarsened as the day of death is.
            assert column.attribute or (name, *where) == ("deaths", "death", "registration_date"), where


def test_ambulance_incidents_share_a_namespace() -> None:
    assert holders("ambulance.cad_number") == {
        ("ecds", "attendance", "ambulance_incident"),
        ("ecds_flat", "attendance", "ambulance_incident"),
        ("sus_apc", "spell", "ambulance_incident"),
        ("iuc111", "call", "ambulance_incident"),
        ("cad999", "incident", "incident"),
        ("cad999", "patient_contact", "incident"),
    }
    assert holders("ambulance.care_contact") == {
        ("ecds", "attendance", "care_contact"),
        ("cad999", "patient_contact", "patient_contact"),
    }


def test_social_care_persons_share_a_namespace_within_the_council() -> None:
    assert holders("cld.la_person_id") == {
        ("cld", "event", "local_authority_person"),
        ("cld", "event", "linked_adult_1"),
        ("cld", "event", "linked_adult_2"),
        ("cld", "event", "linked_adult_3"),
        ("cld", "person", "person"),
    }
    table = load("cld").tables["event"]
    assert table.primary_key == ("local_authority", "event_reference")
    assert table.others == ("linked_adult_1", "linked_adult_2", "linked_adult_3")
    for name in ("event_reference", "local_authority_person", *table.others):
        assert table.columns[name].within == "local_authority"
        assert table.columns[name].role is (Role.PERSON_KEY if name in table.others else Role.RECORD)


@pytest.mark.parametrize(
    ("namespace", "feed", "tables"),
    [
        (
            "emis.patient_guid",
            "emis",
            {"patient", "consultation", "observation", "problem", "drug_record", "issue", "appointment"},
        ),
        ("emis.slot_guid", "emis", {"consultation", "appointment"}),
        ("emis.consultation_guid", "emis", {"consultation", "observation", "issue"}),
        ("emis.observation_guid", "emis", {"observation", "problem", "drug_record", "issue"}),
        ("emis.drug_record_guid", "emis", {"drug_record", "issue"}),
        ("sus_apc.spell", "sus_apc", {"spell", "episode", *CODED, "deletion"}),
        ("sus_apc.episode", "sus_apc", {"episode", *CODED}),
        ("sus_op.appointment", "sus_op", {"appointment", *CODED, "deletion"}),
        (
            "ecds.attendance",
            "ecds",
            {"attendance", "diagnosis", "investigation", "treatment", "comorbidity", "deletion"},
        ),
        ("csds.person_id", "csds", set(load("csds").tables) - {"active_submission"}),
        ("mhsds.person_id", "mhsds", set(load("mhsds").tables) - {"active_submission"}),
        ("mhsds.person_id", "mhsds_v5", set(load("mhsds_v5").tables) - {"active_submission"}),
        ("csds.service_request", "csds", {"referral", "service_type", "care_contact", *DIAGNOSES}),
        ("csds.care_contact", "csds", {"care_contact", "care_activity"}),
        ("csds.team", "csds", {"service_type", "care_contact"}),
        ("mhsds.team", "mhsds", {"service_type", "care_contact"}),
        ("mhsds.care_contact", "mhsds", {"care_contact", "care_activity"}),
        (
            "mhsds.service_request",
            "mhsds",
            {"referral", "service_type", "care_contact", "hospital_spell", "ward_stay", *DIAGNOSES[1:]},
        ),
        ("mhsds.hospital_provider_spell", "mhsds", {"hospital_spell", "ward_stay", "ready_for_discharge"}),
        ("mhsds.hospital_provider_spell", "mhsds_v5", {"hospital_spell", "ward_stay", "delayed_discharge"}),
    ],
)
def test_children_share_their_parents_namespace(namespace: str, feed: str, tables: set[str]) -> None:
    assert {t for f, t, _ in holders(namespace) if f == feed} == tables
    assert {f.removesuffix("_v5") for f, _, _ in holders(namespace)} == {feed.removesuffix("_v5")}


@pytest.mark.parametrize("name", shipped())
def test_only_ambulance_incidents_are_kept_without_a_person(name: str) -> None:
    assert load(name).unlinked == ("keep" if name == "cad999" else "drop")


def test_numbers_that_lost_their_zeros_are_integers() -> None:
    integers = {
        (name, *where)
        for name in shipped()
        for where, column in columns_of(name).items()
        if column.role is Role.PERSON and column.type == "integer"
    }
    assert integers == {("mhsds", "patient", "nhs_number"), ("mhsds_v5", "patient", "nhs_number")}


def test_mothers_are_the_other_person() -> None:
    assert load("csds").tables["patient"].others == ("mother",)
    assert load("sus_apc").tables["spell"].others == ("mother",)


def test_superseded_numbers_only_inform() -> None:
    feed = load("pds")
    assert "person_merger" not in feed.records()
    merger = feed.tables["person_merger"]
    assert merger.kind == "superseded"
    assert merger.superseded
    assert merger.columns[merger.superseded.current].source == ("NHS Number",)
    assert merger.columns[merger.superseded.superseded].source == ("Superseded NHS Number",)
    assert (merger.subjects, merger.others) == (("current",), ("superseded",))


@pytest.mark.parametrize(
    ("name", "table", "source", "role"),
    [
        ("cld", "event", "Event Description", Role.FREE_TEXT),
        ("iuc111", "call", "Final Dx Description", Role.FREE_TEXT),
        ("cad999", "incident", "PostCode_From", Role.CONTACT),
        ("cad999", "incident", "ChiefComplaint", Role.CATEGORY),
    ],
)
def test_text_and_places_have_their_roles(name: str, table: str, source: str, role: Role) -> None:
    found = [column for column in load(name).tables[table].columns.values() if source in column.source]
    assert [column.role for column in found] == [role]


@pytest.mark.parametrize("name", ["iuc111", "cad999"])
def test_ambulance_extracts_have_bars_and_points_in_time(name: str) -> None:
    feed = load(name)
    assert feed.delimiter == "|"
    for table in feed.tables.values():
        assert table.month in ("call_time", "at_patient_time")
        moments = [column for column in table.columns.values() if column.role is Role.DATE]
        assert {column.kind for column in moments} == {"datetime"}
        assert {column.formats for column in moments} == {("%Y-%m-%d %H:%M:%S",)}


GOOD = """
name = "clinic"
setting = "community"

[tables.place]
files = "place_*.csv"
kind = "lookup"
key = "place"
[tables.place.columns]
place = { source = "Place", role = "code", required = true }
ods_code = { source = "ODS", role = "organisation" }

[tables.visit]
files = "visit_*.csv"
primary_key = ["visit"]
month = "start"
[tables.visit.columns]
visit = { source = "Visit", role = "record", namespace = "clinic.visit", required = true }
nhs_number = { source = "NHS Number", role = "person" }
mother = { source = "Mother", role = "person", other = true }
start = { source = "Start", role = "date" }
place = { source = "Place", role = "organisation", lookup = "place.ods_code" }
"""


def test_the_good_contract_is_good() -> None:
    feed = parse(GOOD, "clinic.toml")
    table = feed.records()["visit"]
    assert isinstance(feed, Feed)
    assert isinstance(table, Table)
    assert (table.subjects, table.others) == (("nhs_number",), ("mother",))


@pytest.mark.parametrize(
    ("old", "new", "named"),
    [
        ('setting = "community"', 'setting = "community"\ncolour = "red"', ["colour"]),
        ('month = "start"', 'month = "start"\nmonht = "start"', ["tables.visit.monht"]),
        ('role = "date"', 'role = "date", sauce = "Start"', ["tables.visit.columns.start.sauce"]),
        ('role = "date"', 'role = "day"', ["tables.visit.columns.start.role"]),
        ('setting = "community"', 'setting = "seaside"', ["setting"]),
        (', namespace = "clinic.visit"', "", ["tables.visit.columns.visit", "namespace"]),
        ('"clinic.visit"', '"Clinic Visit"', ["tables.visit.columns.visit", "namespace"]),
        ('month = "start"', 'month = "began"', ["tables.visit", "began"]),
        ('primary_key = ["visit"]', 'primary_key = ["call"]', ["tables.visit", "call"]),
        ('primary_key = ["visit"]', "", ["tables.visit", "primary_key"]),
        (", other = true", "", ["tables.visit", "other = true"]),
        ("place.ods_code", "place.nothing", ["place.nothing"]),
        ("place.ods_code", "nowhere.ods_code", ["nowhere.ods_code"]),
        ("place.ods_code", "visit.start", ["visit.start"]),
        ('key = "place"', "", ["tables.place", "key"]),
        ('role = "date"', 'role = "date", within = "clinic"', ["start", "clinic"]),
        ('role = "date"', 'role = "date", removes = "deleted"', ["tables.visit.columns.start", "remove"]),
        ('start = { source = "Start"', 'token = { source = "Start"', ["tables.visit.columns", "token"]),
        (
            "start = { source",
            'vip = { source = "VIP", role = "flag", removes = "sensitive", whole_person = true }\nstart = { source',
            ["tables.visit", "vip", "roster"],
        ),
        (
            "start = { source",
            'vip = { source = "VIP", role = "flag", whole_person = true }\nstart = { source',
            ["tables.visit.columns.vip", "removes"],
        ),
        (
            'month = "start"',
            'month = "start"\ntype1 = { record = "visit", code = "place", date = "start" }',
            ["type1", "person_key"],
        ),
        ('name = "clinic"', 'name = "The Clinic"', ["name"]),
        ('name = "clinic"', "name = clinic", ["TOML"]),
    ],
)
def test_a_bad_contract_is_refused_by_the_key_it_gets_wrong(old: str, new: str, named: list[str]) -> None:
    bad = GOOD.replace(old, new, 1)
    assert bad != GOOD
    with pytest.raises(ConfigurationError) as refused:
        parse(bad, "clinic.toml")
    assert refused.value.message.startswith("clinic.toml: ")
    assert refused.value.hint
    for word in named:
        assert word in refused.value.message


def test_two_tables_cannot_tell_of_type_1_by_one_key() -> None:
    """Their records may have the same names: what one says no more would be taken for the other's."""
    table = """
[tables.{0}]
files = "{0}.csv"
primary_key = "code"
type1 = {{ record = "code", code = "snomed", date = "seen" }}
[tables.{0}.columns]
code = {{ source = "Code", role = "record", namespace = "gp.{0}" }}
patient = {{ source = "Patient", role = "person_key", namespace = "gp.{1}" }}
snomed = {{ source = "Snomed", role = "code" }}
seen = {{ source = "Seen", role = "date" }}
"""
    head = 'name = "gp"\nsetting = "primary_care"\n'
    parse(head + table.format("problem", "patient") + table.format("visit", "other"), "gp.toml")
    with pytest.raises(ConfigurationError, match="one table with type1"):
        parse(head + table.format("problem", "patient") + table.format("visit", "patient"), "gp.toml")


def test_an_unknown_feed_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ConfigurationError, match="sus_ab") as refused:
        load("sus_ab")
    assert "sus_apc" in refused.value.hint


@pytest.mark.parametrize("name", PSEUDONYMISED)
def test_records_of_a_pseudonymised_feed_have_tokens_of_their_own(name: str) -> None:
    """Else a record that also comes with an NHS number would lead from a pseudonym to a person."""
    shared = {c.namespace for other in shipped() if other not in PSEUDONYMISED for c in columns_of(other).values()}
    assert not {column.namespace for column in columns_of(name).values()} & (shared - {None})
