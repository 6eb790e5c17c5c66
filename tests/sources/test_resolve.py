"""Keys that are unique only inside an organisation: whoever does not say which organisation names nobody."""

from __future__ import annotations

import polars as pl

from linkage.contract import parse
from linkage.sources.resolve import key_of

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
