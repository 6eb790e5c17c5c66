"""The page about cohorts says what is true: its commands run, and its table names every reason."""

from __future__ import annotations

import csv
import os
import re
from pathlib import Path

import polars as pl
import pytest

from linkage.reidentify.judged import Withheld
from made_up import MadeUp, Search, copied
from pages import run, samples

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "cohort-to-care.md").read_text()


@pytest.mark.skipif(os.name != "posix", reason="the page is written for a POSIX shell")
def test_the_commands_of_the_page_run(made_up: MadeUp, tmp_path: Path) -> None:
    """Every one, where an ICS was made up; what it leaves names nobody but where the practice opened its package."""
    first, *blocks = samples(PAGE, "sh")
    assert first == "linkage demo demo --people 800\ncd demo\n"
    assert len(blocks) == 8
    demo = copied(made_up, tmp_path / "demo")
    done = run(blocks, demo)
    assert re.search(r"released \d+ of 20 people to 2 practices", done.stdout)
    named = list(csv.DictReader((demo / "opened" / "cohort.csv").read_text().splitlines()))
    truth = {row["nhs_number"]: row for row in pl.read_parquet(demo / "truth" / "people.parquet").iter_rows(named=True)}
    assert named
    for row in named:
        person = truth[int(row["nhs_number"])]
        assert (person["practice"], person["practice_shares"]) == ("Z99001", True)
        assert not any(person[name] for name in ("national_opt_out", "type1_opt_out", "sensitive"))
    search = Search(pl.read_parquet(demo / "truth" / "people.parquet"))
    search.text(done.stdout + done.stderr, "what was printed")
    for folder in ("released", "audit", "request"):
        search.folder(demo / folder)


def test_every_reason_is_on_the_page() -> None:
    """With the words that the code has for it."""
    for reason in Withheld:
        assert f"| `{reason.value}` | {reason.meaning} |" in PAGE
