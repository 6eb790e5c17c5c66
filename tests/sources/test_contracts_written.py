"""Contracts and files that fit them, both made up at random: what is read is what a plain reading of the contract says.

The referee below knows nothing of columns or engines: it takes one cell at a time and says what it means.
"""

from __future__ import annotations

import csv
import io
import json
import re
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime, time
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import ipc

from linkage.contract import Feed, Role, parse
from linkage.errors import ConfigurationError
from linkage.sources import clean, read, text
from linkage.sources.inspect import Extract, inspect
from packing import packed

FEED_SENTINELS = ("1900-01-01", "9999-12-31")
FIRST, LAST = date(1850, 1, 1), date(2150, 1, 1)


@dataclass(frozen=True)
class Cell:
    """What a cell means: its value, or that it cannot be read."""

    value: object = None
    invalid: bool = False


NOTHING, BAD = Cell(), Cell(invalid=True)
Meaning = Callable[[str], Cell]


@dataclass(frozen=True)
class Kind:
    """A sort of column: its keys in the contract, the cells that it may get, and what each means."""

    keys: dict[str, Any]
    cells: tuple[str, ...] = field(repr=False)
    meaning: Meaning = field(repr=False)
    sentinels: tuple[str, ...] = ()
    can_fail: bool = True
    dropped: bool = False

    def read(self, cell: str) -> Cell:
        """What a cell means as it stands in the file."""
        stripped = cell.strip()
        return NOTHING if stripped in ("", *self.sentinels) else self.meaning(stripped)


# ---- what one cell means, by kind of column ----


def _as_it_is(cell: str) -> Cell:
    return Cell(cell)


def _one_of(*codes: str) -> Meaning:
    return lambda cell: Cell(cell) if cell in codes else BAD


def _worded(words: dict[str, str]) -> Meaning:
    def meaning(cell: str) -> Cell:
        plain = " ".join(cell.lower().split())
        known = {code.lower(): code for code in words.values()} | {word.lower(): code for word, code in words.items()}
        if plain not in known:
            return BAD
        return Cell(known[plain]) if known[plain] else NOTHING

    return meaning


def _holds_no_number(cell: str) -> Cell:
    """Ten digits in at most three groups, in pairs or alone, are what an NHS number looks like."""
    for digits in re.findall(r"\d(?:[ .-]{0,2}\d)*", cell):
        groups = re.findall(r"\d+", digits)
        if sum(map(len, groups)) == 10 and (len(groups) <= 3 or {*map(len, groups)} in ({1}, {2})):
            return BAD
    return Cell(cell)


def _number(cell: str) -> Cell:
    if not re.fullmatch(r"-?\d+(\.\d+)?", cell):
        return BAD
    value = float(cell)
    return BAD if value.is_integer() and 100_000_000 <= abs(value) <= 9_999_999_999 else Cell(value)


def _integer(cell: str) -> Cell:
    found = _number(cell)
    if found.value is None:
        return found
    value = float(cell)
    return Cell(int(value)) if value.is_integer() and abs(value) < 2**53 else BAD


def _dated(formats: Sequence[str], *, with_time: bool) -> Meaning:
    def meaning(cell: str) -> Cell:
        for layout in formats:
            try:
                moment = datetime.strptime(cell, layout)
            except ValueError:
                continue
            if FIRST <= moment.date() <= LAST:
                return Cell(moment if with_time else moment.date())
        return BAD

    return meaning


def _time(cell: str) -> Cell:
    for layout in ("%H:%M:%S", "%H:%M", "%H%M"):
        try:
            return Cell(datetime.strptime(cell, layout).time())
        except ValueError:
            continue
    return BAD


def _flag(cell: str) -> Cell:
    lowered = cell.lower()
    if lowered in ("true", "t", "yes", "y", "1"):
        return Cell(True)
    return Cell(False) if lowered in ("false", "f", "no", "n", "0") else BAD


# ---- columns and contracts at random ----

DAYS = [date(1850, 1, 1), date(1849, 12, 31), date(1900, 1, 1), date(1987, 2, 28), date(2024, 2, 29), date(2150, 1, 2)]
MOMENTS = [datetime(2026, 5, 1, 0, 0), datetime(1999, 12, 31, 23, 59), datetime(1700, 1, 1, 1, 1)]
DATES = ("%Y-%m-%d", "%d/%m/%Y", "%m/%d/%Y", "%d %b %Y", "%Y%m%d", "%d-%b-%Y")
DATETIMES = ("%Y-%m-%d %H:%M", "%d/%m/%Y %H:%M", "%Y-%m-%dT%H:%M:%S", "%d %b %Y %H:%M:%S")
WORDS = {"Male": "1", "Female": "2", "Not stated": "Z", "unknown": ""}
LIKE_NUMBERS = ("943 476 5919", "9434765919", "9434-765-919", "94 34 76 59 19", "(9434 765919)", "9 4 3 4 7 6 5 9 1 9")
HARMLESS = ("A", "ward 12", "2024-05-01 10", "943 476 591", "01234 567890", "12.5", "RX1", "é£")


def _dates(draw: st.DrawFn, formats: tuple[str, ...], moments: Sequence[date], junk: Sequence[str]) -> tuple[str, ...]:
    return (*(moment.strftime(layout) for layout in formats for moment in moments), *junk)


@st.composite
def kinds(draw: st.DrawFn) -> Kind:
    """Any sort of column."""
    which = draw(st.sampled_from(MADE))
    return which(draw)


def _code(draw: st.DrawFn) -> Kind:
    some = draw(st.sampled_from([(), ("NULL", "-")]))
    keys = {"role": "code"} | ({"sentinels": list(some)} if some else {})
    odd = ("-", "NULL", "null", "a,b", 'say "x"', "it's", "x|y", "a;b", "two\nlines", "0012", "9434765919")
    return Kind(keys, (*HARMLESS, *odd), _as_it_is, some, can_fail=False)


def _coded(_draw: st.DrawFn) -> Kind:
    keys = {"role": "category", "codes": ["1", "2", "A b"], "sentinels": ["99"]}
    return Kind(keys, ("1", "2", "A b", "a b", "99", "3", "9434765919"), _one_of("1", "2", "A b"), ("99",))


def _mapped(_draw: st.DrawFn) -> Kind:
    cells = ("Male", "MALE", "female", " Not   stated ", "NOT STATED", "Unknown", "1", "z", "Z", "other", "")
    return Kind({"role": "category", "map": WORDS}, cells, _worded(WORDS))


def _category(draw: st.DrawFn) -> Kind:
    role = draw(st.sampled_from(["category", "organisation", "practice"]))
    return Kind({"role": role}, (*HARMLESS, *LIKE_NUMBERS), _holds_no_number)


def _numbers(draw: st.DrawFn) -> Kind:
    integer = draw(st.booleans())
    keys = {"role": "number", "sentinels": ["999"]} | ({"type": "integer"} if integer else {})
    cells = (
        "0",
        "-5",
        "12.5",
        "3.0",
        "999",
        "999.0",
        "99999999",
        "100000000",
        "9434765919",
        "-9434765919",
        "10000000000",
    )
    junk = ("x", "1,5", "--1", "1_000", "12a", "0x10", "nan", "inf", "-inf", "1 2")
    return Kind(keys, (*cells, *junk), _integer if integer else _number, ("999",))


def _date(draw: st.DrawFn) -> Kind:
    formats = tuple(draw(st.lists(st.sampled_from(DATES), min_size=1, max_size=3, unique=True)))
    role = draw(st.sampled_from(["date", "birth_date", "death_date"]))
    junk = ("x", "31/02/2026", "2026-13-01", "9999-12-31", "2026-05", "1 1", "0001-01-01", "12/13/2026")
    cells = _dates(draw, formats, DAYS, junk)
    own = draw(st.sampled_from([(), (cells[0],)]))
    keys = {"role": role, "formats": list(formats)} | ({"sentinels": list(own)} if own else {})
    return Kind(keys, cells, _dated(formats, with_time=False), (*FEED_SENTINELS, *own))


def _moment(draw: st.DrawFn) -> Kind:
    formats = tuple(draw(st.lists(st.sampled_from(DATETIMES), min_size=1, max_size=2, unique=True)))
    junk = ("x", "2026-05-01", "1900-01-01", "2026-05-01 25:00", "2026-02-30T00:00:00")
    keys = {"role": "date", "type": "datetime", "formats": list(formats)}
    return Kind(keys, _dates(draw, formats, MOMENTS, junk), _dated(formats, with_time=True), FEED_SENTINELS)


def _of_day(_draw: st.DrawFn) -> Kind:
    keys = {"role": "number", "type": "time"}
    return Kind(keys, ("10:00:59", "23:59", "0000", "2359", "24:00", "10:61", "x", "00:00"), _time)


def _flagged(draw: st.DrawFn) -> Kind:
    if draw(st.booleans()):
        return Kind({"role": "flag", "type": "text"}, ("A", "0", "no"), lambda _: Cell(True))
    return Kind({"role": "flag"}, ("Y", "n", "TRUE", "False", "1", "0", "yes", "2", "maybe", "T"), _flag)


def _identifier(draw: st.DrawFn) -> Kind:
    keys = draw(
        st.sampled_from(
            [
                {"role": "record", "namespace": "a.b"},
                {"role": "person", "other": True},
                {"role": "postcode"},
            ]
        )
    )
    return Kind(keys, ("0012", "9434765919", "943 476 5919", "QX1 1AA", "x" * 40, "é"), _as_it_is, can_fail=False)


def _dropped(draw: st.DrawFn) -> Kind:
    role = draw(st.sampled_from(["name", "contact", "free_text"]))
    return Kind({"role": role}, ("Ann", "01234 567890", "9434765919"), _as_it_is, can_fail=False, dropped=True)


MADE = (_code, _coded, _mapped, _category, _numbers, _date, _moment, _of_day, _flagged, _identifier, _dropped)
NAMES = ("NHS Number", "Start_Date", "ward (code)", "spell.sex", "a:b", "Postcode", "UPPER", "lower", "Größe", "x y z")


def _toml(value: object) -> str:
    if isinstance(value, dict):
        return "{ " + ", ".join(f"{json.dumps(key)} = {_toml(each)}" for key, each in value.items()) + " }"
    return json.dumps(value, ensure_ascii=False)


@dataclass(frozen=True)
class Made:
    """A contract, a file's form and its rows."""

    kinds: tuple[Kind, ...]
    required: tuple[bool, ...]
    sources: tuple[str, ...]
    delivered: tuple[str, ...]
    order: tuple[int, ...]
    rows: tuple[tuple[str, ...], ...]
    ragged: frozenset[int] = frozenset()
    form: str = "text"
    encoding: str = "utf-8"
    delimiter: str = ","
    quote: str = '"'
    end: str = "\n"
    packed: str = ""
    quoting: int = csv.QUOTE_MINIMAL
    names: list[str] = field(default_factory=list)

    @property
    def contract(self) -> Feed:
        """As a TOML file."""
        columns = 'k = { source = "Key", role = "record", namespace = "test.key", required = true }\n'
        for place, (kind, source) in enumerate(zip(self.kinds, self.sources, strict=True)):
            keys = {"source": source, "required": self.required[place], **kind.keys}
            columns += f"c{place} = {_toml(keys)}\n"
        return parse(
            f"""
            name = "made"
            setting = "acute"
            encoding = "{self.encoding}"
            delimiter = {json.dumps(self.delimiter)}
            quote = {json.dumps(self.quote)}
            sentinels = {json.dumps(FEED_SENTINELS)}
            [tables.t]
            files = "t_*.csv"
            primary_key = "k"
            [tables.t.columns]
            {columns}
            """,
            "made.toml",
        )

    def write(self, folder: Path) -> Path:
        """The file, in its form."""
        lines = [
            [line[place] for place in self.order]
            for line in [("Key", *self.delivered, "nobody's"), *self._whole_rows()]
        ]
        if self.form != "text":
            return _typed(folder / "t_1", lines, self.form)
        out = io.StringIO(newline="")
        if self.quote:
            writer = csv.writer(
                out, delimiter=self.delimiter, quotechar=self.quote, lineterminator=self.end, quoting=self.quoting
            )
        else:
            writer = csv.writer(
                out, delimiter=self.delimiter, quotechar=None, quoting=csv.QUOTE_NONE, lineterminator=self.end
            )
        for number, line in enumerate(lines):
            writer.writerow([*line, "one more"] if number in self.ragged else line)
        return packed(folder / "t_1.csv", out.getvalue().encode(self.encoding), self.packed)

    def _whole_rows(self) -> list[tuple[str, ...]]:
        return [(f"k{number}", *row, "x") for number, row in enumerate(self.rows, start=1)]


def _typed(path: Path, lines: list[list[str]], form: str) -> Path:
    frame = pl.DataFrame(
        [[line[place] for line in lines[1:]] for place in range(len(lines[0]))],
        schema=dict.fromkeys(lines[0], pl.String), orient="col",
    )  # fmt: skip
    if form == "parquet":
        frame.write_parquet(path.with_suffix(".parquet"))
        return path.with_suffix(".parquet")
    table = frame.to_arrow()
    path = path.with_suffix(".arrow")
    with (ipc.new_stream if form == "stream" else ipc.new_file)(str(path), table.schema) as writer:
        writer.write_table(table, max_chunksize=3)
    return path


def _varied(name: str, how: str) -> str:
    """A name as another supplier writes it."""
    match how:
        case "case":
            return name.swapcase() if name.isascii() else name
        case "spaces":
            return f" {name} "
        case "marks":
            return name.replace(" ", "_").replace(".", " ").replace(":", "")
        case _:
            return name


@st.composite
def made(draw: st.DrawFn) -> Made:
    """A contract with up to six columns besides the key, and a file of up to eight rows."""
    columns = tuple(draw(st.lists(kinds(), min_size=1, max_size=6)))
    sources = tuple(draw(st.permutations(NAMES))[: len(columns)])
    hows = [draw(st.sampled_from(["as it is", "case", "spaces", "marks"])) for _ in columns]
    quote = draw(st.sampled_from(['"', "'", ""]))
    delimiter = draw(st.sampled_from([",", "|", ";", "\t", "~"]))
    encoding = draw(st.sampled_from(["utf-8", "windows-1252", "utf-16"]))
    form = draw(st.sampled_from(["text", "text", "text", "parquet", "arrow", "stream"]))

    def fits(cell: str) -> bool:
        return bool(quote) or form != "text" or not {delimiter, "\n"} & set(cell)

    def cell(kind: Kind) -> str:
        written = draw(st.sampled_from(["", *filter(fits, (*kind.cells, *kind.sentinels))]))
        return f" {written} " if draw(st.integers(0, 5)) == 0 else written

    rows = tuple(tuple(cell(kind) for kind in columns) for _ in range(draw(st.integers(1, 8))))
    ragged = draw(st.frozensets(st.integers(1, len(rows)), max_size=2)) if form == "text" else frozenset()
    return Made(
        kinds=columns,
        required=tuple(not kind.dropped and draw(st.booleans()) for kind in columns),
        sources=sources,
        delivered=tuple(_varied(name, how) for name, how in zip(sources, hows, strict=True)),
        order=tuple(draw(st.permutations(range(len(columns) + 2)))),
        rows=rows,
        ragged=ragged,
        form=form,
        encoding=encoding,
        delimiter=delimiter,
        quote=quote,
        end=draw(st.sampled_from(["\n", "\r\n"])),
        packed=draw(st.sampled_from(["", ".gz", ".zip", ".zst"])),
        quoting=draw(st.sampled_from([csv.QUOTE_MINIMAL, csv.QUOTE_ALL])),
    )


# ---- the reading and the referee ----


def _cleaned(path: Path, feed: Feed) -> tuple[Extract, pl.DataFrame]:
    table = feed.tables["t"]
    extract = inspect(path, feed, table)
    frame = clean.clean(read.scan(extract, table), feed, table, {})
    return extract, frame.with_columns(reason=clean.required_reason(table)).collect(engine="streaming")


def _reason(case: Made, number: int, row: Sequence[str]) -> str | None:
    """Why a row lacks what its contract requires, or None."""
    if number in case.ragged:
        return "row_malformed"
    found = [
        (kind, kind.read(cell))
        for kind, cell, needed in zip(case.kinds, row, case.required, strict=True)
        # Blank is the no of a flag of type text, so that it lacks nothing.
        if needed and kind.keys.get("type") != "text"
    ]
    if any(cell == NOTHING for _, cell in found):
        return "required_missing"
    return "required_invalid" if any(cell.invalid for kind, cell in found if kind.can_fail) else None


@settings(max_examples=150, deadline=None)
@given(made(), st.integers(1, 60))
def test_what_is_read_is_what_the_contract_says(case: Made, chunk: int) -> None:
    """Every cell, every fault and every row's reason, in every form, wherever chunks are cut."""
    feed = case.contract
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "CHUNK", chunk)
        extract, frame = _cleaned(case.write(Path(folder)), feed)
    assert extract.rows == frame.height == len(case.rows)
    assert set(extract.malformed) == case.ragged
    assert frame["reason"].to_list() == [_reason(case, number, row) for number, row in enumerate(case.rows, start=1)]
    for place, kind in enumerate(case.kinds):
        name = f"c{place}"
        if kind.dropped:
            assert not [column for column in frame.columns if column.startswith(name)]
            continue
        expected = [kind.read(row[place]) for row in case.rows]
        whole = [number not in case.ragged for number in range(1, len(case.rows) + 1)]
        assert _kept(frame[name], whole) == _kept([_value(kind, cell) for cell in expected], whole), kind.keys
        if kind.can_fail:
            assert _kept(frame[name + clean.INVALID], whole) == _kept([cell.invalid for cell in expected], whole)
    assert not [column for column in frame.columns if "nobody" in column]


def _value(kind: Kind, cell: Cell) -> object:
    """A flag of type text is false where nothing is written; persons and keys keep an empty text, which is no person."""
    if kind.keys.get("type") == "text":
        return bool(cell.value)
    return cell.value


def _kept(values: Sequence[object] | pl.Series, whole: Sequence[bool]) -> list[object]:
    """The values of rows that are whole; where fields are missing or too many, nothing is promised."""
    return [None if value == "" else value for value, is_whole in zip(values, whole, strict=True) if is_whole]


@pytest.mark.parametrize("role", ["name", "contact", "free_text"])
def test_what_is_not_read_cannot_be_required(role: str) -> None:
    """The contract says so, not the reader in the middle of a run."""
    kind = Kind({"role": role}, ("",), _as_it_is, dropped=True)
    case = Made((kind,), (True,), ("A",), ("A",), (0, 1, 2), ())
    with pytest.raises(ConfigurationError, match=f"role {role} is not read"):
        _ = case.contract


def test_every_kind_of_column_is_made() -> None:
    """The roles of a contract, all of them; keys of persons and pseudonyms are read as records are."""
    roles = {
        "code",
        "category",
        "organisation",
        "practice",
        "number",
        "date",
        "birth_date",
        "death_date",
        "flag",
        "record",
    }
    roles |= {"person", "postcode", "name", "contact", "free_text"}
    assert set(Role) - roles == {"pseudonym", "person_key"}
    assert time(0, 0) == _time("0000").value
