"""A purpose covers whom it says, in every feed, and a run that would cover more publishes nothing."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path

import pytest
from small import ALLOWED, NOW, OPTED_OUT, SmallIcs, make_small_ics

from linkage import pipeline
from linkage.errors import ConfigurationError, PolicyError
from linkage.late import tokens
from linkage.relink import relink
from made_up import MadeUp


def _population(ics: SmallIcs, said: str) -> None:
    ics.replace("[keys]", f"[purpose.population]\n{said}\n[keys]")


def test_people_outside_are_removed_and_counted(small_ics: SmallIcs) -> None:
    """Everybody in the small ICS was born in 1950, and is registered with one practice."""
    _population(small_ics, 'practices = ["Z99001"]\nmin_age = 76\nmax_age = 76')
    assert small_ics.run().tables["sus_op_appointment"] == 4


def test_rows_under_a_number_that_was_replaced_are_the_same_persons(small_ics: SmallIcs) -> None:
    """Who is covered is so with all rows, and who is not with none."""
    with small_ics.configuration.open("a") as file:
        file.write('[[flows]]\nfeed = "pds"\npath = "extracts"\n')
    merger = small_ics.folder / "extracts" / "PDS_Person_Merger_20261120.csv"
    merger.write_text(f"NHS Number,Superseded NHS Number\n{ALLOWED},{OPTED_OUT}\n")
    small_ics.answer.write_text(f"{ALLOWED},\n{OPTED_OUT},\n")
    _population(small_ics, "min_age = 76")
    report = small_ics.run()
    assert (report.tables["sus_op_appointment"], report.tables["person"]) == (5, 1)
    small_ics.replace("min_age = 76", "min_age = 77")
    assert small_ics.run().tables["sus_op_appointment"] == 0


@pytest.mark.parametrize("said", ['practices = ["Z99002"]', "min_age = 77", "max_age = 75"])
def test_a_purpose_that_covers_nobody_publishes_nobody(small_ics: SmallIcs, said: str) -> None:
    """An opt-out is the reason where there is one, so that coverage is counted as ever."""
    _population(small_ics, said)
    report = small_ics.run()
    assert (report.tables["person"], report.removed["outside_population"]) == (0, 4)
    assert report.removed["national_opt_out"] == report.removed["national_not_asked"] == 1


def test_too_many_people_publish_nothing(small_ics: SmallIcs) -> None:
    """The limit is the snapshot's."""
    _population(small_ics, "max_people = 1")
    before = small_ics.run()
    small_ics.replace("max_people = 1", "max_people = 1\nreference = 'POP-1'")
    small_ics.replace("[[flows]]", '[[optouts.exemptions]]\noptout = "national"\nreference = "EX-1"\n[[flows]]')
    with pytest.raises(PolicyError, match="may cover 1 people, and the snapshot would hold more"):
        small_ics.run()
    assert small_ics.current() == before.run_id


def test_a_held_bundle_is_held_against_the_population_too(tmp_path: Path) -> None:
    """A person who grew out of it leaves."""
    ics = make_small_ics(tmp_path)
    _population(ics, "max_age = 76")
    ics.run()
    ics.replace("max_age = 76", "max_age = 75")
    assert tokens(ics.configuration, NOW).withdrawn == 1
    assert relink(ics.configuration, now=NOW).tables["person"] == 0


def test_people_who_arrive_as_pseudonyms_cannot_be_told(small_ics: SmallIcs) -> None:
    """So the configuration is refused."""
    _population(small_ics, "min_age = 18")
    small_ics.replace('path = "extracts"', 'path = "extracts"\noptouts_applied_upstream = "DOC-1"')
    with pytest.raises(ConfigurationError, match="the population cannot be told"):
        small_ics.run()


@pytest.mark.slow
def test_every_feed_keeps_to_it(made_up: MadeUp, tmp_path: Path) -> None:
    """The truth knows where everybody is registered."""
    import shutil

    import polars as pl

    folder = tmp_path / "ics"
    shutil.copytree(made_up.folder, folder, ignore=shutil.ignore_patterns("store", "private"))
    practice = made_up.people["practice"].mode()[0]
    path = folder / "linkage.toml"
    limits = f'[purpose.population]\npractices = ["{practice}"]\nmin_age = 18\n\n[keys]'
    path.write_text(path.read_text().replace("[keys]", limits, 1))
    report = pipeline.run(path)
    assert report.snapshot is not None
    published = {
        token
        for file in report.snapshot.rglob("*.parquet")
        for frame in [pl.read_parquet(file, hive_partitioning=False)]
        for column in frame.columns
        if column == "token" or column.endswith("_token")
        for token in frame[column].drop_nulls().to_list()
    }
    people = made_up.people.with_columns(token=made_up.pseudonymiser.person_expr("nhs_number"))
    found = people.filter(pl.col("token").is_in(list(published)))
    assert found.height == len(published) > 20
    youngest = pl.lit(datetime.now(UTC).date()).dt.offset_by("-18y")
    assert found.filter(pl.col("birth_date") > youngest).height == 0
    elsewhere = found.filter(pl.col("practice") != practice)
    assert elsewhere.height <= 0.02 * found.height
