"""`linkage feeds new`: a draft of a contract that keeps nothing by which anybody could be known, and repeats no value."""

from __future__ import annotations

import gzip
import json
import re
import tomllib
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from linkage import contract, synthetic
from linkage.cli import app
from linkage.contract import Role
from linkage.errors import ConfigurationError, InputError
from linkage.sources import draft as drafts
from linkage.sources import read, sample
from linkage.sources.draft import draft
from linkage.sources.inspect import inspect

NUMBERS = ("943 476 5919", "9876543210", "4000000632", "9990000018")
HEADER = (
    "NHS Number", "Surname", "First Name", "Address Line 1", "Postcode", "Date of Birth", "Visit ID", "Visit Date", "Seen",
    "Ward", "Notes",
)  # fmt: skip
HIDDEN = ("surname", "first_name", "address_line_1", "notes")


def _row(place: int) -> list[str]:
    return [
        NUMBERS[place % 4], ("Quarzoxley", "Vexlamoor")[place % 2], "Zelqabry", f"{place} Quenzhole Gardens", "QX1 1AA",
        f"{place % 28 + 1:02d}/07/1951", f"V{place:05d}", f"{place % 28 + 1:02d}/03/2026", "yes" if place % 3 else "no",
        ("A1", "B2", "C3")[place % 3], "rang, she will come again",
    ]  # fmt: skip


ROWS = [_row(place) for place in range(1, 61)]
VALUES = {value for row in ROWS for value in row if len(value) > 3}


def _written(rows: list[list[str]], delimiter: str = ",", quote: str = '"') -> str:
    return "".join(
        delimiter.join(f"{quote}{cell}{quote}" if delimiter in cell else cell for cell in row) + "\n" for row in rows
    )


def _columns(text: str) -> dict[str, contract.Column]:
    return contract.parse(text, "a draft").tables["row"].columns


@pytest.fixture(scope="module")
def extracts(tmp_path_factory: pytest.TempPathFactory) -> list[Path]:
    """Every table of a made-up ICS, as it was first delivered."""
    folder = tmp_path_factory.mktemp("ics")
    synthetic.make(folder, people=400, seed=2)
    first: dict[str, Path] = {}
    for path in sorted((folder / "extracts").rglob("*.csv")):
        first.setdefault(re.sub(r"_\d{8}.*", "", str(path)), path)
    return list(first.values())


def test_of_every_shipped_feed_a_draft_parses_and_keeps_no_name_address_or_text(extracts: list[Path]) -> None:
    """Whatever a shipped contract drops, its draft drops too; a number of a person is a person's number."""
    assert {path.parent.name for path in extracts} >= {"emis", "tpp", "cld", "pds", "deaths", "cad999"}
    for path in extracts:
        feed = contract.load(path.parent.name)
        table = next(each for each in feed.tables.values() if any(path.match(pattern) for pattern in each.files))
        extract = inspect(path, feed, table)
        kept = {column.source[0]: column for column in _columns(draft(path)).values()}
        for name, place in read.columns(extract, table).items():
            found, meant = kept.get(extract.header[place]), table.columns[name]
            assert found is None or meant.role not in contract.DROPPED, (path.name, name)
            assert meant.role is not Role.PERSON or found is None or found.role is Role.PERSON, (path.name, name)
            # What identifies anything leaves as a one-way token or not at all.
            assert meant.role not in (Role.RECORD, Role.PERSON_KEY) or found is None or found.role is Role.RECORD, name


def test_no_value_of_any_extract_is_in_its_draft(extracts: list[Path]) -> None:
    """Neither where the file names its columns, nor where it does not."""
    for path in extracts[::2]:
        found = sample.read(path)
        values = {value for _, column in found.columns for value in column.drop_nulls().head(200) if len(value) > 4}
        values = {value for value in values if not re.fullmatch(r"[\d.:-]{5}|true|false", value, re.IGNORECASE)}
        words = " ".join(_said(draft(path)))
        assert not [value for value in values if re.search(rf"\b{re.escape(value)}\b", words)], path.name


def _said(text: str) -> list[str]:
    """The comments and names of a draft, without the dates and words that every draft holds and the columns' own names."""
    return [
        re.sub(r'source = "[^"]*"', "", line) for line in text.splitlines() if not line.startswith(("sentinels", "# "))
    ]


def test_what_it_guesses(tmp_path: Path) -> None:
    """Roles, types, formats, the key, the flag and how the file is written."""
    path = tmp_path / "walk_in_20260401.csv"
    path.write_text(_written([list(HEADER), *ROWS]))
    text = draft(path)
    found = contract.parse(text, "a draft")
    table = found.tables["row"]
    roles = {name: column.role for name, column in table.columns.items()}
    assert found.name == "walk_in"
    assert re.search(found.delivered or "", path.name)[1] == "20260401"  # type: ignore[index]
    assert table.files == ("walk_in_*.csv",)
    assert table.primary_key == ("visit_id",)
    assert table.kind == "records"
    assert roles == {
        "nhs_number": Role.PERSON,
        "postcode": Role.POSTCODE,
        "date_of_birth": Role.BIRTH_DATE,
        "visit_id": Role.RECORD,
        "visit_date": Role.DATE,
        "seen": Role.FLAG,
        "ward": Role.CATEGORY,
    }
    assert table.columns["visit_date"].formats == ("%d/%m/%Y",)
    for name in HIDDEN:
        assert re.search(rf"^# {name} = ", text, re.MULTILINE)
    assert not [value for value in VALUES if value in text]


@pytest.mark.parametrize("delimiter", [",", "|", "\t", ";"])
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "cp1252", "utf-16"])
def test_every_way_of_writing_text(tmp_path: Path, delimiter: str, encoding: str) -> None:
    """The delimiter and the encoding are found, and the draft says them."""
    path = tmp_path / "visits.csv"
    rows = [[cell.replace("she", "Zo\u00eb") for cell in row] for row in ROWS]
    path.write_bytes(_written([list(HEADER), *rows], delimiter).encode(encoding))
    found = contract.parse(draft(path), "a draft")
    assert found.delimiter == delimiter
    assert found.encoding == {"cp1252": "windows-1252", "utf-8-sig": "utf-8"}.get(encoding, encoding)
    assert set(found.tables["row"].columns) & {"nhs_number", "visit_id"} == {"nhs_number", "visit_id"}


def test_packed_and_typed_files(tmp_path: Path) -> None:
    """The same columns are found in them."""
    text = _written([list(HEADER), *ROWS])
    packed, parquet, arrow = (tmp_path / name for name in ("visits.csv.gz", "visits.parquet", "visits.arrow"))
    packed.write_bytes(gzip.compress(text.encode()))
    frame = pl.DataFrame(ROWS, schema=list(HEADER), orient="row")
    frame.write_parquet(parquet)
    frame.write_ipc(arrow)
    (tmp_path / "visits.csv").write_text(text)
    expected = set(_columns(draft(tmp_path / "visits.csv")))
    for path in (packed, parquet, arrow):
        assert set(_columns(draft(path))) == expected, path.name


def test_a_file_that_names_no_columns(tmp_path: Path) -> None:
    """Its first line is data: it is not repeated, and columns go by their place."""
    path = tmp_path / "visits.csv"
    path.write_text(_written(ROWS))
    text = draft(path)
    found = contract.parse(text, "a draft")
    assert not found.header
    assert found.tables["row"].columns["column_1"].role is Role.PERSON
    assert not [value for value in VALUES if value in text]


def test_a_header_can_be_insisted_on(tmp_path: Path) -> None:
    """Where its names are like no words that are known."""
    path = tmp_path / "visits.csv"
    path.write_text(_written([[f"qqq{place}" for place in range(len(HEADER))], *ROWS]))
    assert not contract.parse(draft(path), "a draft").header
    assert contract.parse(draft(path, header=True), "a draft").tables["row"].columns["qqq0"].role is Role.PERSON


def test_without_numbers_nothing_goes_on(tmp_path: Path) -> None:
    """A draft in which nobody says whose rows they are is only read."""
    path = tmp_path / "visits.csv"
    path.write_text(_written([list(HEADER[1:]), *(row[1:] for row in ROWS)]))
    text = draft(path)
    assert contract.parse(text, "a draft").records() == {}
    assert "# - whose rows these are" in text


@pytest.mark.parametrize(
    ("content", "said"),
    [
        (b"", "empty"),
        (b"nhs number\n1\n", "one column only"),
        (b"nhs number,visit id\n", "no rows"),
        (b"a\0b,c\0d\n", "no text"),
        (b"surname,first name\nx,y\n", "could keep"),
    ],
)
def test_files_that_give_no_draft(tmp_path: Path, content: bytes, said: str) -> None:
    """One error, with what to do."""
    path = tmp_path / "visits.csv"
    path.write_bytes(content)
    with pytest.raises(InputError, match=said) as caught:
        draft(path)
    assert caught.value.hint


def test_a_file_that_is_not_there(tmp_path: Path) -> None:
    """Said as every other error."""
    with pytest.raises(InputError, match="cannot be read"):
        draft(tmp_path / "none.csv")


CELLS = st.text(st.characters(codec="utf-8", exclude_characters="\0\r\n"), max_size=12)


@settings(max_examples=40, deadline=None)
@given(rows=st.lists(st.lists(CELLS, min_size=3, max_size=3), min_size=1, max_size=12), named=st.booleans())
def test_any_text_gives_a_draft_that_parses_or_an_error(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], named: bool
) -> None:
    """Whatever stands in the file, and whatever its columns are called."""
    path = tmp_path_factory.mktemp("any") / "any.csv"
    quoted = [[json.dumps(cell.replace('"', "")) if "\\" not in cell else '""' for cell in row] for row in rows]
    path.write_text("\n".join(",".join(row) for row in quoted) + "\n", encoding="utf-8")
    try:
        text = draft(path, header=named)
    except InputError:
        return
    tomllib.loads(text)
    contract.parse(text, "a draft")


def test_the_command_writes_a_file_once(tmp_path: Path) -> None:
    """And prints where none is named; a contract that is there is not overwritten."""
    path, out = tmp_path / "visits.csv", tmp_path / "visits.toml"
    path.write_text(_written([list(HEADER), *ROWS]))
    printed = CliRunner().invoke(app, ["feeds", "new", str(path), "--name", "walk_in"])
    assert printed.exit_code == 0
    assert contract.parse(printed.output, "a draft").name == "walk_in"
    assert CliRunner().invoke(app, ["feeds", "new", str(path), "--output", str(out)]).exit_code == 0
    assert out.read_text() == drafts.draft(path)
    again = CliRunner().invoke(app, ["feeds", "new", str(path), "--output", str(out)])
    assert "is there already" in str(again.exception)
    assert out.read_text() == drafts.draft(path)


@pytest.mark.parametrize(
    ("options", "said"),
    [(["--name", "Walk In"], "is no name of a feed"), (["--output", "none/such.toml"], "none/such.toml: ")],
)
def test_the_command_refuses(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: list[str], said: str) -> None:
    """A name that no contract can have, and a file that cannot be written."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "visits.csv").write_text(_written([list(HEADER), *ROWS]))
    done = CliRunner().invoke(app, ["feeds", "new", "visits.csv", *options])
    assert isinstance(done.exception, ConfigurationError)
    assert said in done.exception.message
