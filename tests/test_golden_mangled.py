"""Every shipped feed's golden extract, spoilt in every way in which extracts arrive spoilt: one clear error, no value in it."""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path

import pytest

import golden
from linkage import config, contract, pipeline, site
from linkage.contract import Feed, Table
from linkage.errors import InputError
from linkage.sources import read
from linkage.sources.inspect import inspect

FEEDS = [name for name in contract.shipped() if (golden.FOLDER / name).is_dir()]


@dataclass(frozen=True)
class Victim:
    """One delivered file of a feed, as its contract reads it."""

    feed: Feed
    table: Table
    path: Path

    @property
    def text(self) -> str:
        """The file's characters."""
        return self.path.read_bytes().decode(self.encoding)

    @property
    def encoding(self) -> str:
        """Of the file."""
        return self.feed.layout(self.table).encoding

    @property
    def delimiter(self) -> str:
        """Between its fields."""
        return self.feed.layout(self.table).delimiter

    @property
    def needed(self) -> str:
        """The header of a column without which the file is refused, as the file writes it."""
        header = inspect(self.path, self.feed, self.table).header
        places = read.columns(inspect(self.path, self.feed, self.table), self.table)
        return header[places[next(name for name in self.table.columns if name in self.table.required)]]

    def write(self, text: str) -> None:
        """Other characters in its place."""
        self.path.write_bytes(text.encode(self.encoding))

    def lines(self, change: Callable[[list[str]], list[str]]) -> None:
        """Other lines in its place."""
        self.write("\n".join(change(self.text.replace("\r\n", "\n").rstrip("\n").split("\n"))) + "\n")


@dataclass(frozen=True)
class Way:
    """How to spoil a file, and what must be said about it."""

    name: str
    spoil: Callable[[Victim], object]
    said: str
    whole_run: bool = False
    applies: Callable[[Feed, Table], bool] = lambda feed, table: True


def _rename_column(victim: Victim, new: str) -> None:
    victim.lines(lambda lines: [lines[0].replace(victim.needed, new), *lines[1:]])


def _column_twice(victim: Victim) -> None:
    extra = f"{victim.delimiter}{victim.needed}"
    victim.lines(lambda lines: [lines[0] + extra, *(line + victim.delimiter for line in lines[1:])])


def _stamped(victim: Victim, stamp: str) -> None:
    found = re.search(victim.feed.delivered or "", victim.path.name)
    assert found
    victim.path.rename(victim.path.with_name(victim.path.name.replace(found[1], stamp)))


def _in_the_future(victim: Victim) -> None:
    _stamped(victim, f"{golden.NOW + timedelta(days=9):{victim.feed.delivered_format}}")


def _short_rows(victim: Victim) -> None:
    victim.lines(lambda lines: [lines[0], *(line.rpartition(victim.delimiter)[0] for line in lines[1:])])


def _must_be_there(_: Feed, table: Table) -> bool:
    return not table.optional


WAYS = (
    Way("missing", lambda victim: victim.path.unlink(), "no file like", applies=_must_be_there),
    Way("empty", lambda victim: victim.path.write_bytes(b""), "the file is empty"),
    Way("a header and no rows", lambda victim: victim.lines(lambda lines: lines[:1]), "a header and no rows",
        applies=_must_be_there),
    Way(
        "another delimiter",
        lambda victim: victim.write(victim.text.replace(victim.delimiter, ";")),
        "the header has one column only",
    ),
    Way("utf-16", lambda victim: victim.path.write_bytes(victim.text.encode("utf-16")), "text"),
    # In windows-1252 every byte is a character.
    Way("bytes of no encoding", lambda victim: victim.path.write_bytes(victim.path.read_bytes() + b"\x81\n"),
        "not UTF-8", applies=lambda feed, _: feed.encoding == "utf-8"),
    Way("a column without its name", lambda victim: _rename_column(victim, "x"), "is missing"),
    Way("a column under two names", _column_twice, "occurs 2 times"),
    Way("a quote that never ends", lambda victim: victim.write(victim.text + '"'), "a quoted field never ends"),
    Way("carriage returns alone", lambda victim: victim.write(victim.text.replace("\r\n", "\n").replace("\n", "\r")),
        "carriage returns alone"),
    Way("no stamp", lambda victim: _stamped(victim, "x"), "no delivery stamp", applies=lambda feed, _: bool(feed.delivered)),
    Way("stamped in the future", _in_the_future, "lies in the future", applies=lambda feed, _: bool(feed.delivered)),
    Way("cut to a packed form that it is not", lambda victim: victim.path.rename(f"{victim.path}.gz"), "gz"),
    Way("short rows", _short_rows, "too few or too many fields", whole_run=True),
)  # fmt: skip


@pytest.fixture
def victim(feed: str, tmp_path: Path) -> Victim:
    """The largest file of the feed's first table, ready for a run; the table's other files are removed."""
    golden.prepare(tmp_path, [feed])
    configuration = tmp_path / "linkage.toml"
    configuration.write_text(configuration.read_text().replace("max_malformed = 1.0", "max_malformed = 0.1"))
    loaded = contract.load(feed)
    name, table = _first(loaded)
    files = sorted(read.find(tmp_path / "extracts" / feed, table, name), key=lambda path: path.stat().st_size)
    for path in files[:-1]:
        path.unlink()
    return Victim(loaded, table, files[-1])


def _first(feed: Feed) -> tuple[str, Table]:
    """The feed's first table of records, before others one that must be there."""
    return min(feed.records().items(), key=lambda each: each[1].optional)


CASES = [(name, way) for name in FEEDS for way in WAYS if way.applies(feed := contract.load(name), _first(feed)[1])]


@pytest.mark.parametrize(("feed", "way"), CASES, ids=[f"{feed}-{way.name}" for feed, way in CASES])
def test_one_clear_error_and_no_value_in_it(victim: Victim, tmp_path: Path, way: Way) -> None:
    """It names the file, says what to do, and repeats nothing of what stands in it."""
    name = victim.path.name
    values = _values(victim)
    way.spoil(victim)
    if victim.path.exists():  # where a feed has no stamps, it was delivered when it was modified
        os.utime(victim.path, (golden.NOW.timestamp(), golden.NOW.timestamp()))
    with pytest.raises(InputError) as caught:
        _look(tmp_path / "linkage.toml", way)
    assert way.said in caught.value.message
    assert name.split("_")[0] in caught.value.message or victim.feed.name in caught.value.message
    assert caught.value.hint
    assert not [value for value in values if value in caught.value.message + caught.value.hint]


def _look(configuration: Path, way: Way) -> None:
    """As far as the run that finds it has to go: most is found before a row is read."""
    if way.whole_run:
        pipeline.check(configuration, now=golden.NOW)
    else:
        list(site.deliveries(config.load(configuration), golden.NOW))


def _values(victim: Victim) -> set[str]:
    """The fields of the file that could tell somebody, and no word that an error may use."""
    header, *rows = victim.text.replace('"', "").splitlines()
    fields = {field for row in rows for field in row.split(victim.delimiter) if len(field) > 4}
    return {field for field in fields if field not in header and field not in victim.path.name}
