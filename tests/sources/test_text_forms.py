"""However a text extract is written and packed, what is read is what was written; what is broken is refused."""

from __future__ import annotations

import base64
import csv
import gzip
import hashlib
import io
import json
import tempfile
import zipfile
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.contract import Feed, parse
from linkage.errors import ConfigurationError, InputError
from linkage.sources import read, text
from linkage.sources.inspect import Extract, inspect
from packing import packed

NAMES = ("Visit Key", "NHS.Number", "Start_Date", "Ward (code)")


@dataclass(frozen=True)
class Form:
    """One way to write a table of four columns."""

    encoding: str = "utf-8"
    mark: bool = False
    delimiter: str = ","
    quote: str = '"'
    header: str = "names"
    packed: str = ""
    end: str = "\n"
    last_end: bool = True
    blank_lines: int = 0
    order: tuple[int, ...] = (0, 1, 2, 3)

    @property
    def contract(self) -> Feed:
        """The contract of files in this form."""
        names = [NAMES[place] for place in self.order]
        header = {"names": "true", "none": "false", "given": str(names)}[self.header]
        columns = ""
        for place, name in enumerate(NAMES):
            at = f"position = {self.order.index(place) + 1}" if self.header == "none" else f'source = "{name}"'
            role = 'role = "record", namespace = "test.key"' if place == 0 else 'role = "code"'
            columns += f"c{place} = {{ {at}, {role} }}\n"
        return parse(
            f"""
            name = "test"
            setting = "acute"
            encoding = "{self.encoding}"
            delimiter = {json.dumps(self.delimiter)}
            quote = {json.dumps(self.quote)}
            [tables.visit]
            files = "visit_*.csv"
            primary_key = "c0"
            header = {header}
            [tables.visit.columns]
            {columns}
            """,
            "test.toml",
        )

    def write(self, folder: Path, rows: list[tuple[str, ...]]) -> Path:
        """A file with the rows, by the standard library."""
        out = io.StringIO(newline="")
        if self.quote:
            writer = csv.writer(out, delimiter=self.delimiter, quotechar=self.quote, lineterminator=self.end)
        else:
            writer = csv.writer(
                out, delimiter=self.delimiter, quotechar=None, quoting=csv.QUOTE_NONE, lineterminator=self.end
            )
        written = [NAMES] if self.header == "names" else []
        writer.writerows([row[place] for place in self.order] for row in [*written, *rows])
        content = out.getvalue() if self.last_end else out.getvalue().removesuffix(self.end)
        content += self.end * self.blank_lines
        # Python's utf-16 writes a mark of its own.
        mark = "\ufeff" if self.mark and self.encoding == "utf-8" else ""
        return packed(folder / "visit_1.csv", (mark + content).encode(self.encoding), self.packed)


def rows_read(extract: Extract, feed: Feed) -> list[tuple[str, ...]]:
    """The four columns of each row, nothing being an empty text; rows are numbered from 1."""
    frame = read.scan(extract, feed.tables["visit"]).collect(engine="streaming")
    assert frame["_row"].to_list() == list(range(1, extract.rows + 1))
    assert not frame["_malformed"].any()
    return [tuple(cell or "" for cell in row) for row in frame.select("c0", "c1", "c2", "c3").rows()]


FORMS = st.builds(
    Form,
    encoding=st.sampled_from(["utf-8", "windows-1252", "utf-16"]),
    mark=st.booleans(),
    delimiter=st.sampled_from([",", "|", ";", "\t", "~"]),
    quote=st.sampled_from(['"', "'", ""]),
    header=st.sampled_from(["names", "none", "given"]),
    packed=st.sampled_from(["", ".gz", ".zip", ".zst"]),
    end=st.sampled_from(["\n", "\r\n"]),
    last_end=st.booleans(),
    blank_lines=st.integers(0, 3),
    order=st.permutations([0, 1, 2, 3]).map(tuple),
)


@st.composite
def forms_and_rows(draw: st.DrawFn) -> tuple[Form, list[tuple[str, ...]]]:
    """A form, and rows that can be written in it; the first cell of a row is never empty, so no line is blank."""
    form = draw(FORMS)
    letters = "aB0é£€ -.'" + '"' + form.delimiter + "\n"
    if not form.quote:
        letters = letters.replace(form.delimiter, "").replace("\n", "")
    if form.encoding == "utf-8":
        letters += "Ω文😀"
    cell = st.text(letters, max_size=5)
    row = st.tuples(st.from_regex(r"[a-z][0-9]{1,3}", fullmatch=True), cell, cell, cell)
    return form, draw(st.lists(row, min_size=1, max_size=8))


@settings(deadline=None)
@given(forms_and_rows(), st.integers(1, 40))
def test_what_was_written_is_read(made: tuple[Form, list[tuple[str, ...]]], chunk: int) -> None:
    """In every form, wherever the chunks are cut; the digest and the size are the delivered file's."""
    form, rows = made
    with tempfile.TemporaryDirectory() as folder, pytest.MonkeyPatch.context() as patch:
        patch.setattr(text, "CHUNK", chunk)
        path = form.write(Path(folder), rows)
        extract = inspect(path, form.contract, form.contract.tables["visit"])
        assert (extract.rows, extract.malformed) == (len(rows), ())
        assert extract.size == path.stat().st_size
        assert extract.digest == hashlib.sha256(path.read_bytes()).hexdigest()
        assert rows_read(extract, form.contract) == rows


ROWS = [(f"k{place}", "9434765919", "2026-05-01", "é£'x") for place in range(2000)]


def _edited(change: Callable[[bytes], bytes]) -> Callable[[Path], object]:
    return lambda path: path.write_bytes(change(path.read_bytes()))


# Two rows packed by `zstd`, which adds a checksum; Arrow's writer leaves it out, and then a changed byte can go unseen.
CHECKED_ZSTD = base64.b64decode(
    "KLUv/SRkvQIA9ARWaXNpdCBLZXksTkhTLk51bWJlcixTdGFydF9EYXRlLFdhcmQgKGNvZGUpCmsxLDk0MzQ3NjU5MTksMjAyNi0wNS0wMSxXMQpr"
    "MjIsVzIKAQDKfzMK60rDlA=="
)


def _flipped(content: bytes) -> bytes:
    middle = len(content) // 2
    return content[:middle] + bytes([content[middle] ^ 0x55]) + content[middle + 1 :]


def _two_members(path: Path) -> None:
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("second.csv", "a,b")


def _locked(content: bytes) -> bytes:
    """The flag that says a member is encrypted, in the member's header and in the directory."""
    content = content.replace(b"PK\x03\x04\x14\x00\x00", b"PK\x03\x04\x14\x00\x01")
    return content.replace(b"PK\x01\x02\x14\x03\x14\x00\x00", b"PK\x01\x02\x14\x03\x14\x00\x01")


@dataclass(frozen=True)
class Broken:
    """A form, how a file in it is spoiled, and what is said."""

    name: str
    form: Form
    spoil: Callable[[Path], object]
    said: str


BROKEN = (
    *(
        Broken(f"{what} {suffix}", Form(packed=suffix), _edited(change), said)
        for suffix, said in (
            (".gz", "a broken gzip file"),
            (".zst", "a broken zstd file"),
            (".zip", "a broken zip file"),
        )
        for what, change in {
            "half of": lambda content: content[: len(content) // 2],
            "all but the end of": lambda content: content[:-3],
            "a changed byte in": _flipped,
        }.items()
        if not (suffix == ".zst" and change is _flipped)
    ),
    Broken(
        "a changed byte in what the zstd tool writes",
        Form(packed=".zst"),
        _edited(lambda _: CHECKED_ZSTD.replace(b"W1", b"W3")),
        "a broken zstd file",
    ),
    *(
        Broken(f"junk after {suffix}", Form(packed=suffix), _edited(lambda content: content + b"junk"), "a broken")
        for suffix in (".gz", ".zst")
    ),
    *(
        Broken(
            f"text called {suffix}", Form(packed=suffix), lambda path: path.write_text("a,b\n1,2\n"), "as its name says"
        )
        for suffix in (".gz", ".zst", ".zip")
    ),
    Broken("two files in a zip", Form(packed=".zip"), _two_members, "holds 2 files"),
    Broken("a locked zip", Form(packed=".zip"), _edited(_locked), "locked"),
    Broken("nothing", Form(), _edited(lambda _: b""), "the file is empty"),
    Broken("nothing but a mark", Form(), _edited(lambda _: b"\xef\xbb\xbf"), "the file is empty"),
    Broken("nothing, packed", Form(packed=".gz"), _edited(lambda _: gzip.compress(b"")), "the file is empty"),
    Broken("nothing called .gz", Form(packed=".gz"), _edited(lambda _: b""), "the file is empty"),
    Broken("utf-16, cut inside a character", Form("utf-16"), _edited(lambda content: content[:-1]), "not utf-16 text"),
    Broken(
        "utf-16 without one of two halves", Form("utf-16"), _edited(lambda content: content + b"\x00\xd8"), "not utf-16"
    ),
    Broken(
        "utf-16 where utf-8 was promised", replace(Form(), mark=True), lambda path: _as(path, "utf-16"), "zero bytes"
    ),
    Broken(
        "utf-8 where windows-1252 was promised",
        Form("windows-1252"),
        lambda path: _as(path, "utf-8-sig"),
        "not windows",
    ),
    Broken("windows-1252 where utf-8 was promised", Form(), lambda path: _as(path, "cp1252"), "row 1: not UTF-8"),
    Broken("utf-8, cut inside a character", Form(), _edited(lambda content: content[:-4]), "last character never ends"),
    Broken(
        "windows-1252, packed, where utf-8 was promised",
        Form(packed=".gz"),
        lambda path: _as(path, "cp1252"),
        "row 1: not",
    ),
    Broken(
        "a header where none was promised", Form(header="names"), lambda _: None, "its first line names the columns"
    ),
)


def _as(path: Path, encoding: str) -> None:
    form = Form(encoding="utf-8" if encoding == "utf-8-sig" else encoding, packed=path.suffix.replace(".csv", ""))
    written = form.write(path.parent, [("a", "b", "c", "é£'x")] * 3)
    if encoding == "utf-8-sig":
        written.write_bytes(b"\xef\xbb\xbf" + written.read_bytes())


@pytest.mark.parametrize("case", BROKEN, ids=lambda case: case.name)
def test_a_broken_file_is_refused_and_nothing_of_it_repeated(case: Broken, tmp_path: Path) -> None:
    """An input error that names the file."""
    form = case.form
    path = form.write(tmp_path, ROWS[:40] if "cut inside" in case.name else ROWS)
    case.spoil(path)
    feed = (replace(form, header="given") if "a header where" in case.name else form).contract
    with pytest.raises(InputError) as refused:
        inspect(path, feed, feed.tables["visit"])
    assert refused.value.message.startswith(path.name)
    assert case.said in refused.value.message
    assert refused.value.hint
    assert not {"9434765919", "é£"} & {refused.value.message, refused.value.hint}
    assert "9434765919" not in refused.value.message + refused.value.hint


def test_bytes_that_windows_leaves_undefined_stay_different(tmp_path: Path) -> None:
    """Two identifiers never become one because of how they were written."""
    form = Form("windows-1252")
    path = tmp_path / "visit_1.csv"
    undefined = b"\x81\x8d\x8f\x90\x9d"
    header = ",".join(NAMES).encode() + b"\n"
    path.write_bytes(header + b"".join(b"k%c,,,\n" % byte for byte in undefined))
    extract = inspect(path, form.contract, form.contract.tables["visit"])
    assert [row[0] for row in rows_read(extract, form.contract)] == [f"k{chr(byte)}" for byte in undefined]


def test_memory_does_not_grow_with_a_packed_file(tmp_path: Path) -> None:
    """Sixteen times the chunk goes through, and never more than a few chunks are held."""
    path = packed(tmp_path / "visit_1.csv", b"0123456789abcde\n" * (1 << 22), ".zip")
    held = [len(chunk) for chunk in text.records(text.unpacked(path, "zip"), '"', path.name)]
    assert sum(held) == 1 << 26
    assert max(held) <= 2 * text.CHUNK


FILES = {
    "visit_*.csv": ["visit_1.csv", "visit_2.csv.gz"],
    "{visit,stay}_*.csv": ["stay_1.csv", "visit_1.csv", "visit_2.csv.gz"],
    "{visit,stay}_{1,3}.csv": ["stay_1.csv", "visit_1.csv"],
    "*/visit*": ["deep/visit_9.csv"],
}


@pytest.mark.parametrize("pattern", FILES)
def test_patterns_find_files_packed_or_not(pattern: str, tmp_path: Path) -> None:
    """Braces are choices, and a file's packing is no part of its name."""
    for name in ("visit_1.csv", "visit_2.csv.gz", "stay_1.csv", "other.csv", "deep/visit_9.csv"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).touch()
    table = Form().contract.tables["visit"].model_copy(update={"files": (pattern,)})
    assert [path.relative_to(tmp_path).as_posix() for path in read.find(tmp_path, table, "test")] == FILES[pattern]


def test_a_file_in_two_packings_is_refused(tmp_path: Path) -> None:
    """Nobody can say which of the two counts."""
    Form().write(tmp_path, ROWS)
    Form(packed=".gz").write(tmp_path, ROWS)
    with pytest.raises(InputError, match=r"visit_1.csv was delivered in two forms"):
        read.find(tmp_path, Form().contract.tables["visit"], "test")


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"delimiter": "||"}, "delimiter"),
        ({"delimiter": "¬"}, "delimiter"),
        ({"delimiter": "a"}, "delimiter"),
        ({"quote": "''"}, "quote"),
        ({"delimiter": "'", "quote": "'"}, "the delimiter and the quote are the same"),
        ({"encoding": "latin-9"}, "encoding"),
    ],
)
def test_a_form_that_cannot_be_is_refused(change: dict[str, Any], said: str) -> None:
    """By the contract, before any file is looked at."""
    with pytest.raises(ConfigurationError, match=said):
        _ = Form(**change).contract


@pytest.mark.parametrize(
    ("header", "columns", "said"),
    [
        ("true", 'source = "A"', None),
        ("false", "position = 1", None),
        ('["A", "B"]', 'source = "A"', None),
        ("true", "position = 1", "has a position"),
        ('["A", "B"]', "position = 1", "has a position"),
        ("false", 'source = "A"', "needs a position"),
        ("false", "position = 0", "position"),
    ],
)
def test_a_column_is_named_or_placed(header: str, columns: str, said: str | None) -> None:
    """Which of the two goes with which header."""
    contract = f"""
    name = "test"
    setting = "acute"
    [tables.visit]
    files = "v.csv"
    header = {header}
    primary_key = "c0"
    [tables.visit.columns]
    c0 = {{ {columns}, role = "code" }}
    """
    if said is None:
        assert parse(contract, "test.toml").tables["visit"].columns["c0"].source
    else:
        with pytest.raises(ConfigurationError, match=said):
            parse(contract, "test.toml")
