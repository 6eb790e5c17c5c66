"""People with every kind of opt-out are in nothing that a run writes, says, keeps or leaves behind: not by number, not by token."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pytest
from small import SmallIcs, row

from linkage import Keyset
from spec.optout_cases import SECTIONS
from spec.optout_world import DISSENT, DOES_NOT, IN, Person, make

PLANTED = {
    f"{section}: {name}": person
    for section, cases in SECTIONS.items()
    for name, (person, (hospital, _)) in cases.items()
    if hospital != IN
}
BYSTANDERS = 60
# Twelve more with a type 1 opt-out: a count of them may be shown, rounded.
MANY = [Person(codes=((DISSENT, "2020-01-01"),))] * 12
GP_ONLY = Person(registrations=((DOES_NOT, "2010-01-01", ""),))
RUN = """
import datetime, shutil, sys
import linkage.pipeline as pipeline
from linkage import hub
class Fixed(datetime.datetime):
    @classmethod
    def now(cls, zone=None):
        return datetime.datetime(2026, 11, 24, 6, tzinfo=datetime.UTC)
pipeline.datetime = Fixed
publish = hub.publish
def leave(*arguments):
    (folder,) = [each.folder for each in arguments if hasattr(each, "folder")]
    shutil.copytree(folder, left)
    return publish(*arguments)
hub.publish = leave
from linkage.cli import main
sys.argv, left = ["linkage", *sys.argv[1:3]], sys.argv[3]
main()
"""


@dataclass(frozen=True)
class Done:
    """A run with planted people: what it said and left, and who they are."""

    ics: SmallIcs
    left: Path
    said: str
    planted: set[str]
    bystanders: set[str]

    def tokens(self, numbers: set[str]) -> set[str]:
        """As text without hyphens."""
        pseudonymiser = Keyset.open("age://keys.age", base=self.ics.folder).pseudonymiser("ics:test")
        return {token.hex() for token in pseudonymiser.tokenise(pl.Series(sorted(numbers)))[0].to_list()}


@pytest.fixture(scope="module")
def done(tmp_path_factory: pytest.TempPathFactory) -> Done:
    """By the command, in a process of its own, with every library's log on."""
    folder = tmp_path_factory.mktemp("planted")
    (folder / "ics").mkdir()
    people = [*PLANTED.values(), *MANY, *[Person()] * BYSTANDERS, GP_ONLY]
    ics, numbers = make(folder / "ics", people)
    planted, bystanders = numbers[: len(PLANTED) + len(MANY)], numbers[len(PLANTED) + len(MANY) :]
    # A planted person as the mother in nobody's row, and in free places: more rows, of every spelling of the number.
    with ics.extract.open("a") as file:
        for place, number in enumerate(planted):
            file.write(row(1000 + place, f"{number[:3]} {number[3:6]} {number[6:]}", day=3) + "\n")
    (folder / "tmp").mkdir()
    loud = {"POLARS_VERBOSE": "1", "RUST_BACKTRACE": "full", "PYTHONWARNINGS": "default", "RUST_LOG": "trace"}
    ran = subprocess.run(
        [sys.executable, "-c", RUN, "run", str(ics.configuration), str(folder / "left")],
        env={**os.environ, **loud, "TMPDIR": str(folder / "tmp"), "POLARS_TEMP_DIR": str(folder / "tmp")},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert ran.returncode == 0, ran.stderr[-3000:]
    merged = (ics.folder / "pds" / "merged_20261120.csv").read_text()
    older = {old for old, new in re.findall(r"^(\d{10}),(\d{10})$", merged, re.MULTILINE) if new in planted}
    assert older
    said = (
        ran.stdout
        + ran.stderr
        + "".join(path.read_bytes().decode("latin-1") for path in (folder / "tmp").rglob("*") if path.is_file())
    )
    return Done(ics, folder / "left", said, {*planted, *older}, set(bystanders))


def _texts(folder: Path) -> dict[Path, str]:
    """Every file below a folder as text, raw and, where it is a table, every cell of it."""
    found = {}
    for path in sorted(path for path in folder.rglob("*") if path.is_file()):
        text = f"{path.name}\n{path.read_bytes().hex()}\n{path.read_bytes().decode('latin-1')}"
        if path.suffix == ".parquet":
            text += _cells(duckdb.connect(), f"read_parquet('{path}', hive_partitioning = false)")
        elif path.suffix == ".duckdb":
            with duckdb.connect(str(path), read_only=True) as connection:
                for (table,) in connection.execute("SELECT name FROM (SHOW TABLES)").fetchall():
                    text += _cells(connection, f'"{table}"')
        found[path] = text
    return found


def _cells(connection: duckdb.DuckDBPyConnection, source: str) -> str:
    columns = connection.execute(f"DESCRIBE SELECT * FROM {source}").fetchall()
    words = [f'hex("{name}")' if kind == "BLOB" else f'CAST("{name}" AS VARCHAR)' for name, kind, *_ in columns]
    rows = connection.execute(f"SELECT {', '.join(words)} FROM {source}").fetchall()
    return "\n".join(" ".join(str(cell) for cell in cells) for cells in rows)


def _found(text: str, numbers: set[str], tokens: set[str]) -> bool:
    digits = set(re.findall(r"(?=(\d{10}))", re.sub(r"(?<=\d)[ -](?=\d)", "", text)))
    plain = text.replace("-", "").lower()
    return bool(digits & numbers) or any(token in plain for token in tokens)


def test_they_are_in_nothing_that_is_published_kept_or_left(done: Done) -> None:
    """The store, the bundle and the linking database as they were before the switch, and the private account."""
    tokens = done.tokens(done.planted)
    for folder in (done.ics.store, done.ics.folder / "private", done.left):
        texts = _texts(folder)
        assert len(texts) > 2
        for path, text in texts.items():
            assert not _found(text, done.planted, tokens), path
    assert not _found(done.said, done.planted, tokens)


def test_the_search_would_find_them(done: Done) -> None:
    """Bystanders are in the store and the bundle by their tokens, and nowhere by their numbers."""
    tokens = done.tokens(done.bystanders)
    for folder in (done.ics.store, done.left):
        texts = _texts(folder).items()
        kinds = {path.suffix for path, text in texts if any(token in text.replace("-", "").lower() for token in tokens)}
        assert kinds >= {".parquet"}
        assert not any(_found(text, done.bystanders, set()) for _, text in texts)
    assert ".duckdb" in {path.suffix for path in done.ics.store.rglob("*")}
    request = (done.ics.folder / "optouts" / "r.dat").read_text()
    assert _found(request, done.planted, set())
    assert _found("\n".join(_texts(done.ics.store).values()), set(), tokens)


def test_their_counts_are_exact_in_the_private_account_alone(done: Done) -> None:
    """What analysts read withholds one to seven and rounds the others."""
    (account,) = (done.ics.folder / "private" / "runs").glob("*.json")
    exact = {(each["feed"], each["table"]): each["removed"] for each in json.loads(account.read_text())["balance"]}
    (manifest,) = done.ics.store.glob("snapshots/*/manifest.json")
    shown = {(each["feed"], each["table"]): each["removed"] for each in json.loads(manifest.read_text())["balance"]}
    assert exact.keys() == shown.keys()
    seen = set()
    for table, removed in exact.items():
        assert removed.keys() == shown[table].keys()
        for reason, rows in removed.items():
            seen.add(reason)
            told = shown[table][reason]
            assert told is None if rows < 8 else (told % 5 == 0 and abs(told - rows) <= 2)
    reasons = {
        "sensitive",
        "practice_not_sharing",
        "local_objection",
        "type1_opt_out",
        "national_opt_out",
        "national_not_asked",
    }
    assert reasons <= seen


def test_no_column_and_no_word_tells_of_an_opt_out_of_a_person(done: Done) -> None:
    """Reasons are in the tables of counts and in the dictionary's words, never beside a token."""
    (path,) = done.ics.store.glob("snapshots/*/linked.duckdb")
    with duckdb.connect(str(path), read_only=True) as connection:
        columns = connection.execute("SELECT table_name, column_name FROM duckdb_columns()").fetchall()
        with_token = {table for table, column in columns if column == "token"}
        assert with_token
        told = re.compile(r"opt|consent|dissent|objection|refus|allowed|sensitive|sharing")
        assert not [(table, column) for table, column in columns if table in with_token and told.search(column)]
        for table in with_token:
            assert not told.search(_cells(connection, f'"{table}"'))
