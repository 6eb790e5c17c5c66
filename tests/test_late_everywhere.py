"""Late changes of every kind over every feed: the held bundle gives what a run over the extracts would give."""

from __future__ import annotations

import csv
import io
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from linkage import Keyset, pipeline
from linkage.cli import demo
from linkage.errors import PolicyError
from linkage.late import tokens
from linkage.optouts.type1_codes import codes
from linkage.pipeline import RunReport
from linkage.relink import relink
from linkage.store.open import open_store
from made_up import Search

PEOPLE = 600
pytestmark = pytest.mark.slow
TABLES = "SELECT name FROM (SHOW TABLES) WHERE name NOT IN ('load', 'removed') ORDER BY ALL"


class Ics:
    """A made-up ICS that holds its bundle, and what becomes known later."""

    def __init__(self, folder: Path) -> None:
        demo.make(folder, PEOPLE, seed=11)
        self.folder = folder
        self.configuration = folder / "linkage.toml"
        self.people = pl.read_parquet(folder / "truth" / "people.parquet").filter(
            "national_asked",
            "practice_shares",
            ~pl.col("type1_opt_out"),
            ~pl.col("national_opt_out"),
            patient_row="normal",
        )

    def emis_patients(self) -> pl.DataFrame:
        files = self.folder.glob("extracts/emis/*Admin_Patient_*")
        return pl.concat(pl.read_csv(path, infer_schema=False) for path in files).with_columns(
            pl.col("NhsNumber").str.replace_all(" ", "")
        )

    def tables(self) -> dict[str, list[tuple[object, ...]]]:
        with open_store(self.folder / "store") as connection:
            names = [name for (name,) in connection.execute(TABLES).fetchall()]
            return {name: connection.execute(f'SELECT * FROM "{name}" ORDER BY ALL').fetchall() for name in names}

    def tokens(self, numbers: list[int]) -> set[bytes]:
        pseudonymiser = Keyset.open("age://keys/ics.age", base=self.folder).pseudonymiser("ics:demo")
        return set(pseudonymiser.person_tokens(pl.Series(numbers, dtype=pl.Int64)))

    def published(self) -> set[bytes]:
        parts = (self.folder / "store" / "snapshots" / self.current()).rglob("*.parquet")
        return set().union(*(_people(pl.read_parquet(part, hive_partitioning=False)) for part in parts))

    def held(self) -> set[bytes]:
        parts = (self.folder / "private" / "held").rglob("part-*.parquet")
        return set().union(*(_people(pl.read_parquet(part)) for part in parts))

    def current(self) -> str:
        return (self.folder / "store" / "current").read_text().strip()

    def opt_out_nationally(self, numbers: list[int]) -> None:
        (answer,) = self.folder.glob("optouts/national/answers/*.dat")
        left = [line for line in answer.read_text().splitlines() if int(line.strip(", ") or 0) not in set(numbers)]
        answer.write_text("\n".join(left) + "\n")

    def dissent(self, numbers: list[int]) -> None:
        """The GP enters a code: one more line in the newest extract of observations."""
        patients = self.emis_patients()
        dictionary = pl.concat(
            pl.read_csv(path, infer_schema=False) for path in self.folder.glob("extracts/emis/*ClinicalCode_*")
        )
        known = codes(None).dissent
        code = dictionary.filter(pl.col("SnomedCTConceptId").is_in(sorted(known)))["CodeId"][0]
        newest = max(self.folder.glob("extracts/emis/*Observation_*"))
        header = newest.read_text().splitlines()[0]
        names = next(csv.reader(io.StringIO(header)))
        wanted = {str(number) for number in numbers}
        found = patients.filter(pl.col("NhsNumber").is_in(sorted(wanted)))
        assert found["NhsNumber"].n_unique() == len(wanted)
        with newest.open("a") as file:
            for place, patient in enumerate(found.iter_rows(named=True)):
                line = dict.fromkeys(names, "") | {
                    "ObservationGuid": f"{{00000000-0000-4000-8000-{place:012d}}}",
                    "PatientGuid": patient["PatientGuid"],
                    "OrganisationGuid": patient["OrganisationGuid"],
                    "EffectiveDate": "2026-11-20",
                    "CodeId": code,
                    "Deleted": "false",
                    "IsConfidential": "false",
                    "ProcessingId": "4711",
                }
                file.write(",".join(f'"{value}"' for value in line.values()) + "\n")

    def merge(self, pairs: list[tuple[int, int]]) -> None:
        (merger,) = self.folder.glob("extracts/pds/PDS_Person_Merger_*.csv")
        header = merger.read_text().splitlines()[0].split(",")
        with merger.open("a") as file:
            for old, new in pairs:
                line = {"NHS Number": str(new), "Superseded NHS Number": str(old)}
                file.write(",".join(line.get(name.strip('"'), "") for name in header) + "\n")

    def leaves(self, practice: str) -> None:
        path = self.folder / "optouts" / "practices.csv"
        *lines, end = path.read_text().splitlines()
        lines.append(f"{practice},,,left")
        path.write_text("\n".join([*lines, f"end,{len(lines) - 1},{end.rpartition(',')[2]}", ""]))


def _people(frame: pl.DataFrame) -> set[bytes]:
    names = [name for name in frame.columns if name == "token" or name.endswith("_token")]
    return {value for name in names for value in frame[name].drop_nulls().to_list()}


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> tuple[Ics, RunReport]:
    """After its first run."""
    ics = Ics(tmp_path_factory.mktemp("late") / "ics")
    return ics, pipeline.run(ics.configuration)


@pytest.fixture(scope="module")
def after(before: tuple[Ics, RunReport]) -> tuple[Ics, dict[str, list[int]], RunReport]:
    """After everything became known and the held bundle was linked again; with whom it was about."""
    ics, _ = before
    numbers = ics.people["nhs_number"].to_list()
    known = set(ics.emis_patients()["NhsNumber"])
    type1 = [number for number in numbers[62:] if str(number) in known][:10]
    changed = {"national": numbers[:20], "type1": type1, "merged": numbers[40:50], "into": numbers[50:60]}
    # One who said no and whose number was replaced since, and one whose number was replaced by that of one who said no.
    pairs = [
        *zip(changed["merged"], changed["into"], strict=True),
        (numbers[0], numbers[60]),
        (numbers[61], numbers[1]),
    ]
    ics.opt_out_nationally(changed["national"])
    ics.dissent(changed["type1"])
    ics.merge(pairs)
    changed["out"] = [*changed["national"], *changed["type1"], numbers[61]]
    tokens(ics.configuration, datetime.now(UTC))
    lists = ics.folder / "private" / "late" / ics.current()
    Search(pl.read_parquet(ics.folder / "truth" / "people.parquet")).folder(lists)
    return ics, changed, relink(ics.configuration)


def test_nobody_who_left_is_anywhere(after: tuple[Ics, dict[str, list[int]], RunReport]) -> None:
    """Not in a table, nor in what is held for the next time."""
    ics, changed, report = after
    gone = ics.tokens(changed["out"] + changed["merged"])
    assert report.removed["late_opt_out"] > 0
    assert not gone & ics.published()
    assert not gone & ics.held()
    assert ics.tokens(changed["into"]) & ics.published()


def test_the_held_bundle_gives_what_the_extracts_give(after: tuple[Ics, dict[str, list[int]], RunReport]) -> None:
    """Every row of every table, also of those in which a record moved or a mother is no longer named."""
    ics, _, _ = after
    relinked = ics.tables()
    pipeline.run(ics.configuration)
    whole = ics.tables()
    assert relinked.keys() == whole.keys()
    for name, rows in whole.items():
        assert rows == relinked[name], name


def test_a_practice_that_left_needs_the_extracts_where_rows_do_not_say_theirs(
    after: tuple[Ics, dict[str, list[int]], RunReport],
) -> None:
    """TPP tells a row's practice by a column that does not leave the site: no lists are made."""
    ics, _, _ = after
    before = ics.current()
    ics.leaves(ics.people["practice"][100])
    with pytest.raises(PolicyError, match="leaves out the rows' practice"):
        tokens(ics.configuration, datetime.now(UTC))
    assert ics.current() == before
