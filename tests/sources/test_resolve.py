"""Keys that are unique only inside an organisation: whoever does not say which organisation names nobody."""

from __future__ import annotations

import polars as pl
import pytest

from linkage.contract import parse
from linkage.sources import resolve
from linkage.sources.resolve import GIVEN, NUMBER, People, key_of

CONTRACT = """
name = "ward"
setting = "community"
[tables.stay]
files = "stay.csv"
primary_key = "stay"
[tables.stay.columns]
stay = { source = "Stay", role = "record", namespace = "ward.stay" }
hospital = { source = "Hospital", role = "organisation" }
patient = { source = "Patient", role = "person_key", namespace = "ward.patient", within = "hospital" }
"""


def test_a_key_without_its_organisation_is_none() -> None:
    """Patient 1 of a hospital that is not named may be any hospital's patient 1."""
    table = parse(CONTRACT, "a test").tables["stay"]
    rows = pl.DataFrame({"hospital": ["R1A", None, "R1B", "R1A"], "patient": ["1", "1", "1", None]})
    keys = rows.select(key_of(table, "patient")).to_series().to_list()
    assert keys == ["R1A\x1f1", None, "R1B\x1f1", None]


@pytest.mark.parametrize("many", [0, 100], ids=["only the keys of the rows", "all keys"])
def test_rows_find_their_people_however_many_there_are(monkeypatch: pytest.MonkeyPatch, many: int) -> None:
    """Each row once and in its place, whether its key is known, unknown, named twice or missing."""
    monkeypatch.setattr(resolve, "_MANY", many)
    words = {"_person_reason": None, "_birth_date": None, "_practice": None, "_key_removes": None}
    known = pl.DataFrame({"key": ["1", "2", "3"], GIVEN: [11, 22, 33], NUMBER: [11, 23, 33], **words})
    who = People({"ward.patient": known.cast(resolve._ENTRY)}, pl.DataFrame())
    rows = pl.LazyFrame({"row": range(6), "patient": ["3", None, "1", "9", "3", "2"]})
    found = who.joined(rows, "patient", "ward.patient").collect(engine="streaming")
    assert found.select("row", GIVEN, NUMBER).rows() == [
        (0, 33, 33),
        (1, None, None),
        (2, 11, 11),
        (3, None, None),
        (4, 33, 33),
        (5, 22, 23),
    ]
