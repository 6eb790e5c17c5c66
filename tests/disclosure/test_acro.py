"""Agreement with the package `acro` where its rules are those of the policy `sacro`: which groups are withheld.

It needs pandas below 3 and some thirty packages, so it has an environment of its own, whose Python LINKAGE_ACRO_PYTHON names;
without that this is skipped. Totals are not compared: acro leaves the records of withheld groups out of them, and
here a total is of everybody or withheld.
"""

from __future__ import annotations

import json
import os
import random
import subprocess
from pathlib import Path

import polars as pl
import pytest

from linkage import disclosure

PYTHON = os.environ.get("LINKAGE_ACRO_PYTHON", "")
PROGRAM = """
import json, sys
import pandas as pd
from acro import ACRO
acro = ACRO(suppress=True)
made = []
for counts in json.load(sys.stdin):
    rows = [(one, other) for one, other, count in counts for _ in range(count)]
    frame = pd.DataFrame(rows, columns=["sex", "age"])
    table = acro.crosstab(frame["sex"], frame["age"])
    made.append([[one, other, None if pd.isna(value) else int(value)]
                 for one, line in table.iterrows() for other, value in line.items()])
json.dump(made, open(sys.argv[1], "w"))
"""


@pytest.mark.slow
@pytest.mark.skipif(not PYTHON, reason="LINKAGE_ACRO_PYTHON names no Python with acro")
def test_the_same_groups_are_withheld(tmp_path: Path) -> None:
    """And what is shown is shown exactly."""
    chance = random.Random(3)
    counts = [9, 10, 11, 1, 25, 300]
    tables = [
        [(sex, age, chance.choice(counts) if chance.random() < 0.8 else 0) for sex in "fim" for age in ("old", "young")]
        for _ in range(12)
    ]
    told = tmp_path / "made.json"
    subprocess.run(
        [PYTHON, "-c", PROGRAM, str(told)],
        input=json.dumps(tables),
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=True,
    )
    compared = 0
    for table, theirs in zip(tables, json.loads(told.read_text()), strict=True):
        cells = pl.DataFrame(table, schema=["sex", "age", "count"], orient="row")
        made = disclosure.release(cells, ["sex", "age"], disclosure.policy("sacro"))
        ours = {(sex, age): count for sex, age, count, _, _ in made.iter_rows()}
        exact = {(sex, age): count for sex, age, count in table}
        for sex, age, value in theirs:
            compared += 1
            assert ours[sex, age] == ("*" if value is None else str(value)), (exact[sex, age], value)
    assert compared > 60
