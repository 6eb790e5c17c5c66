"""GP extracts of the made-up ICS: every row has its truth, and its record is what stands in the file."""

from __future__ import annotations

import datetime as dt
import io
from pathlib import Path

import polars as pl
import pytest

from linkage.synthetic import entries, observations, prescribing, primary_care, tpp
from linkage.synthetic.tables import (
    ISSUE,
    OBSERVATION,
    PATIENT,
    TPP_ADDRESS,
    TPP_CODE,
    TPP_MEDICATION,
    TPP_PATIENT,
    TPP_REGISTRATION,
)
from linkage.synthetic.world import make_world
from linkage.synthetic.write import Extracts


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The GP extracts of two thousand people."""
    folder = tmp_path_factory.mktemp("gp")
    world = make_world(2_000, seed=5, as_of=dt.date(2026, 11, 24))
    with Extracts(folder, world) as extracts:
        primary_care.write_practices(world, extracts)
        for chunk in world.chunks():
            written, prescribed = entries.make_entries(chunk), prescribing.make_prescriptions(chunk)
            extracts.add(PATIENT, primary_care.patients(chunk))
            extracts.add(OBSERVATION, observations.observations(chunk, written))
            extracts.add(ISSUE, prescribing.issues(chunk, prescribed))
            extracts.add(TPP_PATIENT, tpp.patients(chunk))
            extracts.add(TPP_REGISTRATION, tpp.registrations(chunk))
            extracts.add(TPP_ADDRESS, tpp.addresses(chunk))
            extracts.add(TPP_CODE, tpp.coded_entries(chunk, written))
            extracts.add(TPP_MEDICATION, tpp.medication(chunk, prescribed))
        extracts.finish()
    return folder


def test_every_row_has_its_truth(folder: Path) -> None:
    """One truth row for each data row, in order, naming the record that stands there."""
    truth = pl.read_parquet(folder / "truth" / "rows.parquet")
    every = (PATIENT, OBSERVATION, ISSUE, TPP_PATIENT, TPP_REGISTRATION, TPP_ADDRESS, TPP_CODE, TPP_MEDICATION)
    keys = {table.name: table.key[0] for table in every}
    assert set(truth["table"]) == set(keys)
    for (path, table), rows in truth.group_by("file", "table"):
        text = (folder / str(path)).read_bytes().decode("cp1252" if "/tpp/" in str(path) else "utf-8")
        found = pl.read_csv(io.StringIO(text), infer_schema=False)[keys[str(table)]].to_list()
        assert rows.sort("row")["record"].to_list() == found


def test_reasons_of_every_kind_occur(folder: Path) -> None:
    """What real GP extracts suffer from is there."""
    reasons = set(pl.read_parquet(folder / "truth" / "rows.parquet")["removed"].drop_nulls())
    assert {"person_unknown", "person_ambiguous", "test_patient", "number_missing", "type1_opt_out"} <= reasons
    assert {"national_opt_out", "practice_not_sharing", "sensitive", "superseded", "deleted"} <= reasons


def test_every_practice_uses_one_system_and_both_are_used(folder: Path) -> None:
    """A patient's rows are where the practice keeps them."""
    names = {"emis": ("Admin_Organisation", "ODSCode"), "tpp": ("SRPatient", "IDOrganisationVisibleTo")}
    found = {
        feed: {
            practice
            for path in (folder / "extracts" / feed).glob(f"*{table}*.csv")
            for practice in pl.read_csv(path, columns=[column], infer_schema=False)[column]
        }
        for feed, (table, column) in names.items()
    }
    assert not found["emis"] & found["tpp"]
    assert min(len(practices) for practices in found.values()) >= 3
