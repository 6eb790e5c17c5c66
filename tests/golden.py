"""Golden extracts: a handful of made-up rows for every shipped feed, and what a run must make of them.

    data/golden/people.csv              who there is; every token of a person is written as this label
    data/golden/<feed>/extracts/        the files as delivered
    data/golden/<feed>/removed.csv      every row that must go out, with its reason and why
    data/golden/<feed>/expected/        every published table; a record token is written as `namespace=identifier`

`python tests/golden.py FEED…` writes `expected` anew and prints the rows that `removed.csv` lacks.
"""

from __future__ import annotations

import csv
import io
import json
import os
import shutil
import sys
import tempfile
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import polars as pl
import pytest

from linkage import contract, parts, pipeline, together
from linkage.contract import Role, Table
from linkage.pipeline import RunReport
from linkage.pseudonymise import Keyset, Pseudonymiser
from linkage.site import is_pseudonymised
from linkage.sources import read
from linkage.sources.inspect import Extract, inspect

FOLDER = Path(__file__).parent / "data" / "golden"
NOW = datetime(2026, 11, 24, 6, tzinfo=UTC)
OWN_TABLES = ("event", "event_code", "person", "registration")
CONFIGURATION = """
allow_test_numbers = true
[purpose]
name = "test"
legal_basis = "made-up data"
controllers = ["nobody"]
[keys]
keyset = "age://keys.age"
domain = "ics:golden"
[store]
path = "store"
[optouts.national]
requests = "optouts/*.dat"
answers = "optouts/answers/*.dat"
max_not_asked = 1.0
[optouts.type1]
max_untranslated = 0.1
applies_to = "primary_care"
[optouts.practices]
list = "practices.csv"
[quality]
max_invalid = 1.0
max_malformed = 1.0
"""
Row = tuple[str, int, str]


def people() -> dict[str, str]:
    """Labels and NHS numbers."""
    with (FOLDER / "people.csv").open(newline="") as file:
        return {row["label"]: row["number"] for row in csv.DictReader(file)}


def prepare(folder: Path, feeds: Iterable[str]) -> Path:
    """A folder with the golden extracts of some feeds, the opt-outs, a key and the configuration of a run."""
    text = CONFIGURATION
    for name in feeds:
        shutil.copytree(FOLDER / name / "extracts", folder / "extracts" / name)
        _modified_in_turn(folder / "extracts" / name)
        text += f'[[flows]]\nfeed = "{name}"\npath = "extracts/{name}"\n'
        if is_pseudonymised(contract.load(name)):
            text += 'optouts_applied_upstream = "made-up data"\n'
    asked = {label: number for label, number in people().items() if label != "ivy"}
    (folder / "optouts" / "answers").mkdir(parents=True)
    (folder / "optouts" / "r.dat").write_text("".join(f"{number},\n" for number in asked.values()))
    answer = folder / "optouts" / "answers" / "r.dat"
    answer.write_text("".join(f"{number},\n" for label, number in asked.items() if label != "eve"))
    answer.with_suffix(".ctl").write_text(
        "<DTSControl><StatusRecord><DateTime>20261123060000</DateTime></StatusRecord></DTSControl>"
    )
    (folder / "practices.csv").write_text(
        "not_sharing_ods_code,from,to,note\nZ99008,,,does not share\nend,1,2026-11-20\n"
    )
    Keyset.create(folder / "keys.age")
    path = folder / "linkage.toml"
    path.write_text(text)
    return path


def _modified_in_turn(folder: Path) -> None:
    """Files of a feed without stamps are delivered when they were modified: one a day, in the order of their names."""
    for day, path in enumerate(sorted(folder.iterdir()), start=1):
        moment = datetime(2026, 11, day, 6, tzinfo=UTC).timestamp()
        os.utime(path, (moment, moment))


@dataclass(frozen=True)
class Outcome:
    """What a run made of golden extracts.

    Attributes:
        published: Every table as CSV text with labels for tokens, by name.
        reasons: The rows that the site half removed: file, row and reason.
        balance: Rows removed, by table and reason, from the run's exact account.
        report: What the run reported.
        folder: Where it ran.
    """

    published: dict[str, str]
    reasons: list[Row]
    balance: dict[str, Counter[str]]
    report: RunReport
    folder: Path


def run(folder: Path, feeds: Iterable[str]) -> Outcome:
    """Run golden extracts in an empty folder."""
    names = list(feeds)
    path = prepare(folder, names)
    with decisions() as reasons:
        report = pipeline.run(path, now=NOW)
    account = json.loads((folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    balance = {f"{each['feed']}_{each['table']}": Counter(each["removed"]) for each in account["balance"]}
    pseudonymiser = Keyset.open("age://keys.age", base=folder).pseudonymiser("ics:golden")
    labels = _labels(folder, names, pseudonymiser)
    return Outcome(_published(report, labels), reasons, balance, report, folder)


@contextmanager
def decisions() -> Iterable[list[Row]]:  # type: ignore[misc]
    """Listen to what the site half decides about each row."""
    found: list[Row] = []
    files: list[str] = []
    with pytest.MonkeyPatch.context() as patch:

        def windows(delivery: object, table: object, extract: Extract, *rest: object) -> Iterator[pl.LazyFrame]:
            files.append(extract.path.name)
            return original_windows(delivery, table, extract, *rest)  # type: ignore[arg-type]

        def decide(*arguments: object) -> pl.LazyFrame:
            frame = original_decide(*arguments)  # type: ignore[arg-type]
            rows = frame.filter(pl.col(parts.REMOVED).is_not_null()).select("_row", parts.REMOVED).collect()
            found.extend((files[-1], row, reason) for row, reason in rows.iter_rows())
            return frame

        original_windows, original_decide = together.windows, parts.decide
        patch.setattr(together, "windows", windows)
        patch.setattr(parts, "decide", decide)
        yield found


def _published(report: RunReport, labels: Mapping[bytes, str]) -> dict[str, str]:
    assert report.database is not None
    with duckdb.connect(str(report.database), read_only=True) as connection:
        names = [*OWN_TABLES, *(name for name in report.tables if name.startswith(tuple(_feeds_of(report))))]
        return {name: _table(connection, name, labels) for name in names}


def _feeds_of(report: RunReport) -> list[str]:
    own = {*OWN_TABLES, "load", "removed", "coverage", "dictionary"}
    return [name for name in report.tables if name not in own]


def _table(connection: duckdb.DuckDBPyConnection, name: str, labels: Mapping[bytes, str]) -> str:
    found = connection.execute(f'FROM "{name}"')
    columns = [each[0] for each in found.description or ()]
    rows = [[_cell(value, labels) for value in row] for row in found.fetchall()]
    out = io.StringIO()
    # Tokens sort differently under every key, so the rows are put in the order of what is written.
    csv.writer(out, lineterminator="\n").writerows([columns, *sorted(rows)])
    return out.getvalue()


def _cell(value: object, labels: Mapping[bytes, str]) -> str:
    if value is None:
        return ""
    if hasattr(value, "bytes"):
        return labels[value.bytes]
    if isinstance(value, list):
        return " ".join(value)
    return str(value).removesuffix(" 00:00:00")


def _labels(folder: Path, feeds: Iterable[str], pseudonymiser: Pseudonymiser) -> dict[bytes, str]:
    """What each token stands for, worked out from the extracts and not from what was published."""
    known = people()
    tokens, _ = pseudonymiser.tokenise(pl.Series(list(known.values())))
    labels = dict(zip(tokens.to_list(), known, strict=True))
    for name in feeds:
        feed = contract.load(name)
        for table in feed.tables.values():
            for path in read.find(folder / "extracts" / name, table, name):
                labels |= _record_labels(inspect(path, feed, table), table, pseudonymiser)
    return labels


def _record_labels(extract: Extract, table: Table, pseudonymiser: Pseudonymiser) -> dict[bytes, str]:
    frame = read.scan(extract, table).with_columns(pl.col(pl.String).str.strip_chars()).collect()
    labels = {}
    for name in table.with_role(Role.RECORD, Role.PERSON_KEY, Role.PSEUDONYM):
        column = table.columns[name]
        inside = [pl.col(column.within).fill_null("")] if column.within else []
        texts = frame.select(text=pl.concat_str(*inside, name, separator="\x1f"))["text"].drop_nulls()
        namespace = column.scheme if column.role is Role.PSEUDONYM else column.namespace
        made = pseudonymiser.record_tokens(texts, namespace or "")
        plain = texts.str.replace("\x1f", "/", literal=True)
        labels |= {token: f"{namespace}={text}" for token, text in zip(made, plain, strict=True)}
    return labels


def write(feed: str) -> None:
    """Write the expected tables anew, and print what `removed.csv` lacks."""
    with tempfile.TemporaryDirectory() as folder:
        outcome = run(Path(folder), [feed])
    target = FOLDER / feed / "expected"
    shutil.rmtree(target, ignore_errors=True)
    target.mkdir()
    for name, text in outcome.published.items():
        (target / f"{name}.csv").write_text(text)
    listed = {(file, row, reason) for file, row, reason, _ in removed(feed)}
    for row in outcome.reasons:
        if row not in listed:
            sys.stdout.write(f"{row[0]},{row[1]},{row[2]},\n")
    for table, counted in outcome.balance.items():
        sys.stdout.write(f"# {table}: {dict(counted)}\n")


def removed(feed: str) -> list[tuple[str, int, str, str]]:
    """Rows that must go out: file, row, reason, and why in words."""
    path = FOLDER / feed / "removed.csv"
    if not path.exists():
        return []
    with path.open(newline="") as file:
        return [(row["file"], int(row["row"]), row["reason"], row["why"]) for row in csv.DictReader(file)]


if __name__ == "__main__":
    for each in sys.argv[1:]:
        write(each)
