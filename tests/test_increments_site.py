"""A run makes at the site what changed, and hands over what a run hands over that makes everything anew."""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path

import polars as pl
import pytest
from handed_over import both, known_at_once
from small import ALLOWED, HEADER, NOT_ASKED, NOW, OPTED_OUT, SmallIcs, make_small_ics, row

from linkage import pipeline
from linkage.errors import IntegrityError
from linkage.pipeline import RunReport
from linkage.sources.seen import SETTLED, Seen


def write(ics: SmallIcs, day: str, *lines: str) -> Path:
    """One delivery of appointments."""
    path = ics.folder / "extracts" / f"appointment_{day}.csv"
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """Three deliveries, one of which corrects another, taken by one run."""
    (tmp_path / "ics").mkdir()
    ics = make_small_ics(tmp_path / "ics")
    ics.replace("max_not_asked = 0.2", "max_not_asked = 1.0")
    ics.extract.unlink()
    write(ics, "20261118", row(1, ALLOWED), row(2, ALLOWED), row(3, OPTED_OUT))
    write(ics, "20261119", row(4, ALLOWED), row(2, OPTED_OUT))
    write(ics, "20261120", row(5, ALLOWED), row(1, ALLOWED, 2))
    with known_at_once():
        ics.run()
    return ics


@dataclass(frozen=True)
class Case:
    """What happens between two runs, and how many files the second makes.

    Attributes:
        new: Files that the last run did not take.
        again: Others that are made again, by why.
        kept: Files that stand.
        gone: Files that are gone.
    """

    name: str
    happens: Callable[[SmallIcs], object]
    new: int = 0
    again: dict[str, int] = field(default_factory=dict)
    kept: int = 3
    gone: tuple[str, ...] = ()


def _nothing(ics: SmallIcs) -> None:
    pass


def _copied(ics: SmallIcs) -> None:
    source = ics.folder / "extracts" / "appointment_20261118.csv"
    shutil.copy(source, source.with_name("appointment_20261121.csv"))


STAND_AGAIN = "rows that a later delivery had taken out may stand again"
CASES = (
    Case("nothing", _nothing),
    Case("a new file", lambda ics: write(ics, "20261121", row(6, ALLOWED)), new=1),
    Case("a later version", lambda ics: write(ics, "20261121", row(1, ALLOWED, 3)), new=1),
    Case("a version that may not be used", lambda ics: write(ics, "20261121", row(1, OPTED_OUT)), new=1),
    Case("a copy under another name", _copied, new=1),
    Case(
        "a file that is gone",
        lambda ics: (ics.folder / "extracts" / "appointment_20261119.csv").unlink(),
        again={STAND_AGAIN: 1}, kept=1, gone=("appointment_20261119.csv",),
    ),
    Case(
        "a file that changed",
        lambda ics: write(ics, "20261119", row(4, ALLOWED), row(2, ALLOWED, 4)),
        new=1, again={STAND_AGAIN: 1}, kept=1, gone=("appointment_20261119.csv",),
    ),
    Case(
        "a file of an earlier day",
        lambda ics: write(ics, "20261117", row(7, ALLOWED), row(4, ALLOWED)),
        new=1, again={"a file that was delivered before it came": 3}, kept=0,
    ),
    Case(
        "everything is new",
        lambda ics: [
            (ics.folder / "extracts" / f"appointment_2026111{day}.csv").unlink(missing_ok=True) for day in (8, 9)
        ]
        + [(ics.folder / "extracts" / "appointment_20261120.csv").unlink(), write(ics, "20261122", row(8, ALLOWED))],
        new=1, kept=0, gone=("appointment_20261118.csv", "appointment_20261119.csv", "appointment_20261120.csv"),
    ),
)  # fmt: skip


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_what_happens_to_files(ics: SmallIcs, case: Case) -> None:
    """It hands over what a full run does, and says what it made."""
    case.happens(ics)
    quick, _ = both(ics.configuration)
    assert _made(quick) == (case.new, case.again, case.kept, case.gone)
    assert [f"{name} " in " ".join(quick.warnings) for name in case.gone] == [True] * len(case.gone)
    again, _ = both(ics.configuration)
    assert _made(again)[:2] == (0, {})


def _made(report: RunReport) -> tuple[int, dict[str, int], int, tuple[str, ...]]:
    (table,) = [each for each in report.taken if each.table == "appointment"]
    return table.new, table.again, table.kept, table.gone


def test_what_says_which_rows_were_taken_out_is_not_done_without(ics: SmallIcs) -> None:
    """A run that cannot know any more which rows a part lacks stops; a full one needs none of it."""
    kept = list((ics.folder / "private" / "held").rglob("*.withdrawn"))
    assert kept
    for path in kept:
        path.unlink()
    before = ics.current()
    with known_at_once(), pytest.raises(IntegrityError, match="missing from what is held of the last run"):
        ics.run()
    assert ics.current() == before
    pipeline.run_all([ics.configuration], now=NOW, full=True)
    assert ics.current() != before


def test_nobody_who_opted_out_survives_by_reuse(ics: SmallIcs) -> None:
    """Whoever is out today is out of the parts of every earlier day."""
    ics.answer.write_text(f"{OPTED_OUT},\n")
    quick, _ = both(ics.configuration)
    assert quick.removed["national_opt_out"] == 5
    ics.answer.write_text(f"{OPTED_OUT},\n{ALLOWED},\n")
    quick, _ = both(ics.configuration)
    assert "national_opt_out" not in quick.removed


def test_whoever_is_asked_about_comes_in(ics: SmallIcs) -> None:
    """Also with rows of earlier days."""
    write(ics, "20261121", row(9, NOT_ASKED))
    both(ics.configuration)
    (ics.folder / "optouts" / "r.dat").write_text(f"{ALLOWED},\n{OPTED_OUT},\n{NOT_ASKED},\n")
    ics.answer.write_text(f"{ALLOWED},\n{NOT_ASKED},\n")
    quick, _ = both(ics.configuration)
    assert "national_not_asked" not in quick.removed


CODED = """
name = "coded"
setting = "acute"
delivered = '_(\\d{8})\\.csv$'
[tables.visit]
files = "visit_*.csv"
primary_key = "visit"
[tables.visit.columns]
visit = { source = "id", role = "record", namespace = "coded.visit", required = true }
nhs_number = { source = "nhs", role = "person" }
what = { source = "what", role = "code", lookup = "word.code" }
[tables.word]
files = "word_*.csv"
kind = "lookup"
key = "word"
[tables.word.columns]
word = { source = "word", role = "code", required = true }
code = { source = "code", role = "code" }
"""


def test_what_left_a_database_is_forgotten(ics: SmallIcs) -> None:
    """A table of a database is read whole each time: nothing tells what was there."""
    import duckdb

    folder = ics.add_feed("coded", CODED)
    with ics.configuration.open("a") as file:
        file.write(
            '[flows.database]\nduckdb = "w.duckdb"\ntables = { word = "word" }\n'
            "delivered = \"SELECT DATE '2026-11-20'\"\n[quality]\nmax_invalid = 1.0\n"
        )
    (folder / "visit_20261120.csv").write_text(f"id,nhs,what\n1,{ALLOWED},a\n2,{ALLOWED},b\n")

    def say(*words: str) -> None:
        with duckdb.connect(str(ics.folder / "w.duckdb")) as connection:
            connection.execute("CREATE OR REPLACE TABLE word (word VARCHAR, code VARCHAR)")
            connection.executemany("INSERT INTO word VALUES (?, ?)", [(each, each.upper()) for each in words])

    said = []
    for words in (("a", "z"), ("a", "b", "z"), ("a", "b", "z"), ("b",)):
        say(*words)
        quick, _ = both(ics.configuration)
        said.append({each.table: each.again for each in quick.taken if each.feed == "coded"}["visit"])
    assert said == [
        {},
        {"codes in it are translated now": 1},
        {},
        {"its table of codes changed": 1},
    ]


def test_a_file_is_not_believed_just_after_a_change(tmp_path: Path) -> None:
    """A second change may have the time of the first; what was looked at long enough after one may be believed."""
    path = tmp_path / "x.csv"
    path.write_text("a")
    young = Seen.of(path)
    assert not young.still(path)
    old = replace(young, at=young.at + SETTLED + 1)
    assert old.still(path)
    path.write_text("b")
    assert not old.still(path)
    path.unlink()
    assert not old.still(path)


@pytest.mark.parametrize(
    "what", ["taken.json.age", "judged/rules.json.age", "sus_op/appointment/part-00001.absent.age", "000.arrow.age"]
)
def test_what_is_damaged_is_not_relied_on(ics: SmallIcs, what: str) -> None:
    """Then more is made again, and the run publishes the same."""
    (held,) = (ics.folder / "private" / "held").iterdir()
    (held / "site" / what).write_bytes(b"x")
    ics.answer.write_text(f"{OPTED_OUT},\n")
    quick, _ = both(ics.configuration)
    assert quick.removed["national_opt_out"] == 5


def test_what_stays_at_the_site_is_encrypted(ics: SmallIcs) -> None:
    """But tokens of records that were removed; and all of it is its owner's alone."""
    (held,) = (ics.folder / "private" / "held").iterdir()
    files = [path for path in (held / "site").rglob("*") if path.is_file()]
    assert {path.suffix for path in files} == {".age", ".removed", ".withdrawn"}
    assert {path.stat().st_mode & 0o077 for path in files} == {0}
    for path in files:
        if path.suffix == ".age":
            assert path.read_bytes().startswith(b"age-encryption.org/v1")
        else:
            assert {*pl.read_parquet(path).columns} <= {"token", "appointment", "_version", "_order"}
