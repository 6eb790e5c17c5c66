"""Type 1 opt-outs: code lists, dates and ties against a plain referee, flags with their own polarity, late codes."""

from __future__ import annotations

from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st
from small import NOW, SmallIcs, make_gp_ics

from linkage import config, pipeline
from linkage.errors import ConfigurationError, PolicyError
from linkage.optouts.type1 import opted_out
from linkage.optouts.type1_codes import codes, plain
from linkage.store.open import open_store
from pages import samples

TODAY = NOW.date()
DISSENT, WITHDRAWAL = "827241000000103", "827261000000102"

days = st.none() | st.integers(-3, 2).map(lambda days: TODAY + timedelta(days=days))
records = st.lists(st.tuples(st.integers(1, 3), st.booleans(), days), max_size=8)


def _referee(own: list[tuple[bool, date | None]]) -> bool:
    """Out or not, from the codes of one person as (withdrawal, date)."""
    dissents = [on for withdrawal, on in own if not withdrawal]
    withdrawals = [on for withdrawal, on in own if withdrawal and on is not None and on <= TODAY]
    if not dissents:
        return False
    if any(on is None or on > TODAY for on in dissents):
        return True
    return not withdrawals or max(on for on in dissents if on is not None) >= max(withdrawals)


@given(records)
def test_the_latest_counts_and_every_doubt_is_a_dissent(rows: list[tuple[int, bool, date | None]]) -> None:
    """Random people, codes and dates, some of them missing or in the future."""
    schema = {"number": pl.Int64, "withdrawal": pl.Boolean, "date": pl.Date}
    found = opted_out(pl.DataFrame(rows, schema=schema, orient="row"), TODAY)
    expected = [who for who in (1, 2, 3) if _referee([(w, on) for number, w, on in rows if number == who])]
    assert found.tolist() == expected


WRITTEN = [
    ("9Nu0.", "9Nu0"),
    ("9Nu0", "9Nu0"),
    (" 9Nu0.00 ", "9Nu0"),
    ("9Nu0.11", "9Nu0"),
    ("9Nu00", "9Nu00"),
    ("9Nu0000", "9Nu00"),
    ("XaZ89", "XaZ89"),
    ("xaz89", "xaz89"),
    ("827241000000103", "827241000000103"),
    ("1234567", "1234567"),
    (None, None),
]


@pytest.mark.parametrize(("written", "compared"), WRITTEN)
def test_read_codes_are_one_however_they_are_filled_up(written: str | None, compared: str | None) -> None:
    """Case matters, dots and term codes do not, and SNOMED stays as it is."""
    assert pl.select(plain(pl.lit(written, pl.String))).item() == compared


def _verhoeff(code: str) -> bool:
    """The check digit of SNOMED CT identifiers: arithmetic in the dihedral group of order 10."""

    def times(a: int, b: int) -> int:
        if a < 5:
            return (a + b) % 5 + (0 if b < 5 else 5) if b < 5 else 5 + (a + b) % 5
        return (a - b) % 5 + 5 if b < 5 else (a - b) % 5

    turn, total = (1, 5, 7, 6, 2, 8, 3, 0, 9, 4), 0
    for place, digit in enumerate(reversed(code)):
        value = int(digit)
        for _ in range(place % 8):
            value = turn[value]
        total = times(total, value)
    return total == 0


def test_the_national_codes_are_well_formed() -> None:
    """The withdrawals are marked as not verified; the SNOMED codes have a right check digit."""
    national = codes(None)
    assert national.dissent == {DISSENT, "9Nu0", "XaZ89"}
    assert national.withdrawal == {WITHDRAWAL, "9Nu1", "XaZ8A"}
    assert set(national.unverified) == {WITHDRAWAL, "9Nu1.", "XaZ8A"}
    assert all(_verhoeff(code) for code in national.all() if code.isdigit())
    assert not _verhoeff("827241000000104")


LOCAL = """
off = ["827261000000102", "9Nu1.", "XaZ8A"]
[[code]]
system = "read2"
code = "93C1."
means = "dissent"
"""


def test_a_local_file_adds_and_switches_off(tmp_path: Path) -> None:
    """Without withdrawals a dissent is never taken back."""
    (tmp_path / "local.toml").write_text(LOCAL)
    found = codes(tmp_path / "local.toml")
    assert found.dissent == {DISSENT, "9Nu0", "XaZ89", "93C1"}
    assert found.withdrawal == set()
    assert found.unverified == ()


def test_the_pages_sample_switches_off_what_could_not_be_checked(tmp_path: Path) -> None:
    """Word for word: afterwards nothing unverified counts."""
    page = (Path(__file__).parents[2] / "docs/reference/opt-outs.md").read_text()
    (sample,) = samples(page, "toml")
    (tmp_path / "local.toml").write_text(sample)
    found = codes(tmp_path / "local.toml")
    assert (found.withdrawal, found.unverified) == (frozenset(), ())
    assert found.dissent > codes(None).dissent


BAD = [
    ('off = ["12345"]', "not one of the national codes"),
    ('[[code]]\nsystem = "read2"\ncode = "9Nu0.00"\nmeans = "withdrawal"', "both dissent and withdrawal"),
    ('[[code]]\nsystem = "read2"\ncode = "9Nu0."', r"code\.0\.means"),
    ('[[code]]\nsystem = "icd10"\ncode = "9Nu0."\nmeans = "dissent"', r"code\.0\.system"),
    ('dissent = ["9Nu0."]', "dissent"),
    ("off = 3 3", "not a TOML file"),
]


@pytest.mark.parametrize(("text", "said"), BAD)
def test_a_local_file_that_is_wrong_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A misspelt rule is not a rule that is silently not applied."""
    (tmp_path / "local.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        codes(tmp_path / "local.toml")
    with pytest.raises(ConfigurationError, match="cannot be read"):
        codes(tmp_path / "elsewhere.toml")


# A small GP feed of its own: people in the rows, one code column for each system, and the flags of two GP systems.
GP = """
name = "gp"
setting = "primary_care"
delivered = '_(\\d{8})\\.csv$'

[tables.patient]
files = "patient_*.csv"
primary_key = "patient"
roster = true
[tables.patient.columns]
patient = { source = "id", role = "person_key", namespace = "gp.patient", required = true }
nhs_number = { source = "nhs", role = "person" }
secondary_use = { source = "is_consent_93c1", role = "flag", optout = "type1", out_when = false }
research = { source = "is_national_data_opted_in", role = "flag", optout = "national", out_when = false }
refuses = { source = "refuses", role = "flag", optout = "objection", out_when = true }

[tables.code]
files = "code_*.csv"
primary_key = "code_id"
month = "day"
event = { kind = "code", record = "code_id", start = "day" }
type1 = { record = "code_id", code = ["snomed", "read"], date = "day" }
[tables.code.columns]
code_id = { source = "id", role = "record", namespace = "gp.code", required = true }
patient = { source = "patient", role = "person_key", namespace = "gp.patient", required = true }
day = { source = "day", role = "date" }
snomed = { source = "snomed", role = "code" }
read = { source = "read", role = "code" }
"""


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """The small ICS with that feed; both people may be used by the national list."""
    ics = make_gp_ics(tmp_path)
    ics.add_feed("gp", GP)
    _patients(ics, ["p1,9434765919,,,", "p2,9876543210,,,"])
    _codes(ics, ["c1,p1,2026-05-01,195967001,", "c2,p2,2026-05-01,195967001,"])
    return ics


def _patients(ics: SmallIcs, rows: list[str], stamp: str = "20261120") -> None:
    head = "id,nhs,is_consent_93c1,is_national_data_opted_in,refuses"
    (ics.folder / "gp" / f"patient_{stamp}.csv").write_text("\n".join([head, *rows]) + "\n")


def _codes(ics: SmallIcs, rows: list[str], stamp: str = "20261120") -> None:
    (ics.folder / "gp" / f"code_{stamp}.csv").write_text("\n".join(["id,patient,day,snomed,read", *rows]) + "\n")


# Flags of the first person as is_consent_93c1, is_national_data_opted_in, refuses; and the reason for which they are out.
FLAGS = [
    ("", "", "", None),
    ("true", "true", "false", None),
    ("false", "true", "false", "type1_opt_out"),
    ("true", "false", "false", "national_opt_out"),
    ("true", "true", "true", "local_objection"),
    ("0", "", "", "type1_opt_out"),
    ("", "n", "", "national_opt_out"),
    ("", "", "Y", "local_objection"),
    ("perhaps", "", "", "type1_opt_out"),
    ("", "perhaps", "", "national_opt_out"),
    ("", "", "perhaps", "local_objection"),
    ("false", "false", "true", "local_objection"),
]


@pytest.mark.parametrize(("type1", "national", "refuses", "reason"), FLAGS)
def test_flags_say_no_by_their_own_polarity(
    ics: SmallIcs, type1: str, national: str, refuses: str, reason: str | None
) -> None:
    """An empty cell never says no, a cell that cannot be read always does; it binds on every feed."""
    with ics.configuration.open("a") as file:
        file.write("[quality]\nmax_invalid = 1.0\n")
    _patients(ics, [f"p1,9434765919,{type1},{national},{refuses}", "p2,9876543210,,,"])
    report = ics.run()
    assert report.tables["sus_op_appointment"] == (5 if reason is None else 1)
    assert report.tables["gp_code"] == (2 if reason is None else 1)
    assert report.removed.get(reason or "", 0) == (0 if reason is None else 6)


def test_no_opt_out_flag_is_published(ics: SmallIcs) -> None:
    """Nor is any column named for one, in any table."""
    ics.run()
    with open_store(ics.store) as connection:
        names = {name for (name,) in connection.execute("SELECT column_name FROM duckdb_columns()").fetchall()}
        described = connection.execute('SELECT "column" FROM dictionary').fetchall()
    assert "token" in names
    assert not names & {"secondary_use", "research", "refuses"}
    assert not {name for (name,) in described} & {"secondary_use", "research", "refuses"}


def test_a_flag_is_remembered_until_a_later_delivery_takes_it_back(ics: SmallIcs) -> None:
    """Deltas bring only what changed."""
    _patients(ics, ["p1,9434765919,false,,", "p2,9876543210,,,"])
    assert ics.run().tables["gp_code"] == 1
    (ics.folder / "gp" / "patient_20261120.csv").unlink()
    _patients(ics, ["p2,9876543210,,,"], "20261121")
    assert ics.run().tables["gp_code"] == 1
    _patients(ics, ["p1,9434765919,true,,"], "20261122")
    assert ics.run().tables["gp_code"] == 2


def test_a_code_counts_in_any_of_the_columns(ics: SmallIcs) -> None:
    """Read and SNOMED side by side, as GP systems deliver them."""
    _codes(ics, ["c1,p1,2026-05-01,195967001,9Nu0.00", "c2,p2,2026-05-01,195967001,H33.."])
    report = ics.run()
    assert report.tables["sus_op_appointment"] == 1
    assert report.removed["type1_opt_out"] == 6


def test_where_no_flow_says_who_opted_out_nothing_is_released(ics: SmallIcs) -> None:
    """Hospital records alone cannot say; the configuration has to."""
    text = ics.configuration.read_text()
    ics.configuration.write_text(text[: text.rindex("[[flows]]")])
    with pytest.raises(PolicyError, match="no flow says who has a type 1 opt-out"):
        ics.run()
    assert ics.current() is None
    ics.replace('applies_to = "everything"', 'applies_to = "primary_care"')
    assert ics.run().tables["sus_op_appointment"] == 5


def test_old_gp_records_are_refused(ics: SmallIcs) -> None:
    """Somebody may have said no since."""
    for name in ("patient", "code"):
        (ics.folder / "gp" / f"{name}_20261120.csv").rename(ics.folder / "gp" / f"{name}_20261001.csv")
    with pytest.raises(PolicyError, match="gp patient: the newest delivery is 54 days old, so its type 1 opt-outs"):
        ics.run()


def _add(ics: SmallIcs, text: str) -> None:
    if "codes =" not in ics.configuration.read_text():
        ics.replace('applies_to = "everything"', 'applies_to = "everything"\ncodes = "codes.toml"')
    (ics.folder / "codes.toml").write_text(text)


OWN = '[[code]]\nsystem = "read2"\ncode = "93C1."\nmeans = "dissent"\n'


def test_a_code_added_later_is_looked_for_in_what_is_still_there(ics: SmallIcs) -> None:
    """The extracts are read again, so nothing was missed."""
    _codes(ics, ["c1,p1,2026-05-01,,93C1.", "c2,p2,2026-05-01,,H33.."])
    assert ics.run().tables["gp_code"] == 2
    _add(ics, OWN)
    assert ics.run().tables["gp_code"] == 1


def test_a_code_added_later_refuses_the_run_where_earlier_extracts_are_gone(ics: SmallIcs) -> None:
    """Nobody can say who had it; a full extract since, stated for the code, settles it."""
    ics.run()
    (ics.folder / "gp" / "code_20261120.csv").unlink()
    _codes(ics, ["c3,p1,2026-05-01,,93C1."], "20261123")
    ics.run()
    _add(ics, OWN)
    with pytest.raises(PolicyError, match="gp code: earlier deliveries were not searched for the type 1 code 93C1"):
        ics.run()
    _add(ics, OWN + "redelivered = 2026-11-23\n")
    assert ics.run().tables["sus_op_appointment"] == 1


def test_a_code_switched_off_later_no_longer_takes_a_dissent_back(ics: SmallIcs) -> None:
    """Also where it was recorded in a delivery that is gone."""
    _codes(ics, [f"c1,p1,2026-05-01,{DISSENT},", f"c2,p1,2026-06-01,{WITHDRAWAL},", "c3,p2,2026-05-01,1,"])
    assert ics.run().tables["sus_op_appointment"] == 5
    (ics.folder / "gp" / "code_20261120.csv").unlink()
    _codes(ics, ["c4,p2,2026-05-01,1,"], "20261123")
    assert ics.run().tables["sus_op_appointment"] == 5
    _add(ics, f'off = ["{WITHDRAWAL}"]')
    assert ics.run().tables["sus_op_appointment"] == 1


@pytest.mark.parametrize(
    ("flag", "said"),
    [
        ('role = "flag", optout = "type1"', "out_when"),
        ('role = "flag", out_when = true', "out_when"),
        ('role = "category", optout = "type1", out_when = true', "only a column of role flag"),
        ('role = "flag", removes = "sensitive", optout = "type1", out_when = true', "only a column of role flag"),
        ('role = "flag", type = "text", optout = "type1", out_when = true', "only a column of role flag"),
    ],
)
def test_a_contract_states_the_polarity(ics: SmallIcs, flag: str, said: str) -> None:
    """A flag whose meaning is guessed is a missed opt-out."""
    text = GP.replace('role = "flag", optout = "objection", out_when = true', flag)
    (ics.folder / "gp.toml").write_text(text)
    with pytest.raises(ConfigurationError, match=said):
        pipeline.run(ics.configuration, now=NOW)


def test_the_configuration_names_the_local_file(ics: SmallIcs) -> None:
    """Relative to itself."""
    _add(ics, LOCAL)
    assert config.load(ics.configuration).optouts.type1.codes == Path("codes.toml")
    assert ics.run().tables["gp_code"] == 2
