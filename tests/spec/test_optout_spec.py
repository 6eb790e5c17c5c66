"""Opt-outs as the specification says, through a whole run; a plain referee agrees with both."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from spec import optout_page
from spec.optout_cases import COMBINATIONS, SECTIONS, SETTINGS, Cases
from spec.optout_referee import outcome
from spec.optout_world import (
    CTV3_DISSENT,
    DISSENT,
    DOES_NOT,
    READ_DISSENT,
    SHARES,
    WITHDRAWAL,
    Person,
    Settings,
    outcomes,
)

ROOT = Path(__file__).parents[2]


def test_every_person_is_where_the_tables_say(tmp_path: Path) -> None:
    """All of them in one run, so that nobody's opt-out falls on another."""
    cases = {f"{section}: {name}": case for section, own in SECTIONS.items() for name, case in own.items()}
    found = outcomes(tmp_path, [person for person, _ in cases.values()])
    assert dict(zip(cases, found, strict=True)) == {name: expected for name, (_, expected) in cases.items()}


@pytest.mark.parametrize("place", range(len(SETTINGS)), ids=SETTINGS.keys())
def test_every_exemption_lifts_what_it_names_and_nothing_else(tmp_path: Path, place: int) -> None:
    """Each kind of person under each setting."""
    chosen = list(SETTINGS.values())[place]
    found = outcomes(tmp_path, [person for person, _ in COMBINATIONS.values()], chosen)
    assert dict(zip(COMBINATIONS, found, strict=True)) == {
        name: expected[place] for name, (_, expected) in COMBINATIONS.items()
    }


@pytest.mark.parametrize("cases", SECTIONS.values(), ids=SECTIONS.keys())
def test_the_referee_agrees_with_the_tables(cases: Cases) -> None:
    """It is what random people are compared with."""
    assert {name: outcome(person, Settings()) for name, (person, _) in cases.items()} == {
        name: expected for name, (_, expected) in cases.items()
    }


@pytest.mark.parametrize("name", COMBINATIONS)
def test_the_referee_agrees_with_the_combinations(name: str) -> None:
    """Under every setting."""
    person, expected = COMBINATIONS[name]
    assert tuple(outcome(person, each) for each in SETTINGS.values()) == expected


days = st.sampled_from(["", "2020-01-01", "2020-01-02", "2020-01-03", "2026-11-24", "2026-11-25"])
cells = st.sampled_from(["", "", "", "true", "false", "y", "0", "perhaps"])
codes = st.lists(
    st.tuples(st.sampled_from([DISSENT, WITHDRAWAL, WITHDRAWAL, READ_DISSENT, CTV3_DISSENT, "195967001"]), days),
    max_size=4,
)
dates = st.sampled_from(["", "2025-12-31", "2026-01-31", "2026-02-01", "2026-02-02"])
registrations = st.lists(
    st.tuples(st.sampled_from([SHARES, SHARES, DOES_NOT]), dates, dates), min_size=1, max_size=3
)  # fmt: skip
people = st.builds(
    Person,
    national=st.sampled_from(["returned", "returned", "returned", "not returned", "not asked"]),
    scottish=st.booleans(),
    codes=codes.map(tuple),
    flags=st.tuples(cells, cells, cells),
    spine_sensitive=st.sampled_from(["", "", "", "false", "true", "perhaps"]),
    registrations=registrations.map(tuple),
    listed=st.sampled_from(["", "", "", "", "objections", "sensitive"]),
    old=st.sampled_from(["", "", "nothing", "not returned", "objections"]),
)
lifted = st.sets(
    st.sampled_from(["national", "national_other_nations", "type1", "practices", "practices_moved"]), max_size=3
).map(frozenset)
chosen = st.builds(Settings, lifted=lifted, type1_on=st.sampled_from(["everything", "primary_care"]))


@settings(max_examples=8, phases=[Phase.explicit, Phase.generate], suppress_health_check=list(HealthCheck))
@given(st.lists(people, min_size=30, max_size=60), chosen)
def test_random_people_end_where_the_referee_says(held: list[Person], under: Settings) -> None:
    """Random codes, dates, flags, practices, lists and older numbers, dozens of people in each run."""
    with tempfile.TemporaryDirectory() as folder:
        assert outcomes(Path(folder), held, under) == [outcome(person, under) for person in held]


def test_the_page_is_made_of_the_tables() -> None:
    """`python tests/spec/optout_page.py` makes it again."""
    assert (ROOT / "docs" / "reference" / "opt-outs.md").read_text() == optout_page.page()
