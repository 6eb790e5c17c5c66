"""The pages of the shipped contracts are what their contracts say now."""

from __future__ import annotations

from pathlib import Path

import pytest
from typer.testing import CliRunner

from linkage import contract, feed_pages
from linkage.cli import app

PAGES = Path(__file__).parent.parent / "docs" / "reference" / "feeds"


def test_making_the_pages_again_changes_nothing(tmp_path: Path) -> None:
    """`linkage feeds pages docs/reference/feeds` after every change of a contract."""
    done = CliRunner().invoke(app, ["feeds", "pages", str(tmp_path)])
    assert done.exit_code == 0, done.output
    made = {path.name: path.read_text() for path in tmp_path.iterdir()}
    assert made == {path.name: path.read_text() for path in PAGES.iterdir()}
    assert set(made) == {"README.md", *(f"{name}.md" for name in contract.shipped())}


@pytest.mark.parametrize("name", contract.shipped())
def test_every_column_is_on_the_page(name: str) -> None:
    """With its source, its codes and what it means."""
    feed = contract.load(name)
    sections = dict(part.split("`", 1) for part in feed_pages.page(feed).split("\n## `")[1:])
    assert set(sections) == set(feed.tables)
    for table_name, table in feed.tables.items():
        lines = [line for line in sections[table_name].splitlines() if line.startswith("| `")]
        assert len(lines) == len(table.columns)
        for line, (column_name, column) in zip(lines, table.columns.items(), strict=True):
            assert line.startswith(f"| `{column_name}` | `{column.source[0]}`")
            assert column.description in line
            assert not [code for code in column.codes if f"`{code}`" not in line]
            assert not [word for word in column.map if word not in line]


def test_every_feed_is_in_the_index() -> None:
    """With its setting, whether it is verified, and its tables."""
    feeds = [contract.load(name) for name in contract.shipped()]
    page = feed_pages.index(feeds)
    for feed in feeds:
        (line,) = [line for line in page.splitlines() if f"[`{feed.name}`]" in line]
        assert f"| {'yes' if feed.verified else 'no'} |" in line
        assert not [table for table in feed.tables if f"`{table}`" not in line]


def test_a_bar_in_a_name_does_not_end_a_cell() -> None:
    """Markdown would put the rest into the next column."""
    text = contract.parse(
        'name = "a"\nsetting = "acute"\n[tables.t]\nfiles = "t"\nprimary_key = "k"\n[tables.t.columns]\n'
        'k = { source = "K|1", role = "record", namespace = "a.k" }\n',
        "a.toml",
    )
    assert "| `k` | `K\\|1` | one-way token of `a.k` |" in feed_pages.page(text)


def test_a_local_contract_gets_a_page(tmp_path: Path) -> None:
    """By its path, as everywhere."""
    path = tmp_path / "own.toml"
    path.write_text((Path(contract.__file__).parents[1] / "sources" / "feeds" / "pds.toml").read_text())
    done = CliRunner().invoke(app, ["feeds", "pages", str(tmp_path / "out"), str(path)])
    assert done.exit_code == 0, done.output
    assert sorted(each.name for each in (tmp_path / "out").iterdir()) == ["README.md", "pds.md"]
