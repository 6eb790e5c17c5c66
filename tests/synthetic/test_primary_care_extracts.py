"""GP extracts of the made-up ICS: every row has its truth, and its record is what stands in the file."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import polars as pl
import pytest

from linkage.synthetic import observations, prescribing, primary_care
from linkage.synthetic.tables import ISSUE, OBSERVATION, PATIENT
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
            extracts.add(PATIENT, primary_care.patients(chunk))
            extracts.add(OBSERVATION, observations.observations(chunk))
            extracts.add(ISSUE, prescribing.issues(chunk))
        extracts.finish()
    return folder


def test_every_row_has_its_truth(folder: Path) -> None:
    """One truth row for each data row, in order, naming the record that stands there."""
    truth = pl.read_parquet(folder / "truth" / "rows.parquet")
    keys = {table.name: table.key[0] for table in (PATIENT, OBSERVATION, ISSUE)}
    assert set(truth["table"]) == set(keys)
    for (path, table), rows in truth.group_by("file", "table"):
        found = pl.read_csv(folder / str(path), infer_schema=False)[keys[str(table)]].to_list()
        assert rows.sort("row")["record"].to_list() == found


def test_reasons_of_every_kind_occur(folder: Path) -> None:
    """What real GP extracts suffer from is there."""
    reasons = set(pl.read_parquet(folder / "truth" / "rows.parquet")["removed"].drop_nulls())
    assert {"person_unknown", "person_ambiguous", "test_patient", "number_missing", "type1_opt_out"} <= reasons
    assert {"national_opt_out", "practice_not_sharing", "sensitive", "superseded", "deleted"} <= reasons
