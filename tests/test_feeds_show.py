"""`linkage feeds show`: a contract as tables that fit the terminal and leave nothing out."""

from __future__ import annotations

import re

import pytest
from typer.testing import CliRunner

from linkage import contract, feed_table
from linkage.cli import app

WIDTHS = (feed_table.NARROWEST, 100, 132, 220)


@pytest.mark.parametrize("name", contract.shipped())
@pytest.mark.parametrize("width", WIDTHS)
def test_every_line_fits(name: str, width: int) -> None:
    """Also in a narrow window."""
    shown = feed_table.show(contract.load(name), width)
    assert not [line for line in shown.splitlines() if len(line) > width]


@pytest.mark.parametrize("name", contract.shipped())
def test_nothing_is_left_out(name: str) -> None:
    """Each table with its files and what settles it, each column with its name, role and source."""
    feed = contract.load(name)
    shown = feed_table.show(feed, 400)
    blocks = re.split(r"\n\n(?=[a-z][a-z0-9_]*(?::|\n))", shown)
    for table_name, table in feed.tables.items():
        (block,) = [each for each in blocks if re.match(rf"{table_name}(:|\n)", each)]
        assert table.files[0] in block
        assert not table.primary_key or "A record is named by" in block
        for column_name, column in table.columns.items():
            (line,) = [
                each for each in block.splitlines() if re.match(rf"{column_name}\s{{2,}}{column.role.value}\b", each)
            ]
            assert all(source in line for source in column.source)
            assert (" yes " in f"{line} ") >= column.required


def test_columns_stand_under_their_heads() -> None:
    """Aligned, with a rule below the heads."""
    lines = feed_table.show(contract.load("pds"), 120).splitlines()
    head = next(place for place, line in enumerate(lines) if line.startswith("column "))
    starts = [found.start() for found in re.finditer(r"\S+(?: \S+)*", lines[head + 1])]
    assert [lines[head][start:].split("  ")[0].strip() for start in starts] == list(feed_table._HEAD)
    for line in lines[head + 2 : head + 4]:
        assert all(start == 0 or line[start - 2 : start].strip() == "" for start in starts)


def test_the_command_takes_the_terminals_width(monkeypatch: pytest.MonkeyPatch) -> None:
    """And a contract by its name."""
    for width in (90, 140):
        monkeypatch.setenv("COLUMNS", str(width))
        done = CliRunner().invoke(app, ["feeds", "show", "emis"])
        assert done.exit_code == 0
        assert width - 20 < max(map(len, done.output.splitlines())) <= width


def test_the_list_names_every_feed() -> None:
    """Aligned, with its setting and its title."""
    lines = CliRunner().invoke(app, ["feeds", "list"]).output.splitlines()
    assert [line.split()[0] for line in lines] == list(contract.shipped())
    starts = {line.index(contract.load(line.split()[0]).title) for line in lines}
    assert len(starts) == 1
