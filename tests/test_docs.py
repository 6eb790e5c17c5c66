"""What the documentation says is true: its samples run, and no key, reason or error is left out."""

from __future__ import annotations

import os
import re
import typing
import uuid
from collections.abc import Iterator
from pathlib import Path

import polars as pl
import pytest
from pydantic import BaseModel

import linkage
from linkage import config, contract, disclosure, errors
from linkage.reasons import Reason
from linkage.sources import gate
from linkage.sources.quality import Fault
from linkage.store.manifest import ColumnCount, FileCount
from made_up import MadeUp
from pages import run, samples

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word, in a new folder."""
    monkeypatch.chdir(tmp_path)
    blocks = samples((ROOT / "README.md").read_text(), "python")
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 our own page


def test_the_python_that_opens_the_result_runs(made_up: MadeUp, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word, one sample after another, in the folder where the store is."""
    monkeypatch.chdir(made_up.folder)
    names: dict[str, object] = {}
    blocks = samples((DOCS / "how-to" / "open-the-result.md").read_text(), "python")
    assert len(blocks) == 3
    for block in blocks:
        exec(compile(block, "open-the-result.md", "exec"), names)  # noqa: S102 our own page
    deciles, one = names["deciles"], names["one"]
    assert isinstance(deciles, pl.DataFrame)
    assert deciles["feed"].n_unique() > 5
    with linkage.open_store(made_up.folder / "store") as connection:
        token = str(uuid.UUID(bytes=one))
        found = connection.execute("SELECT count(*) FROM person WHERE token = ?", [token]).fetchall()
        listed = connection.sql(
            "SELECT table_schema FROM information_schema.tables WHERE table_name = 'event'"
        ).fetchall()
    assert found == [(1,)]
    assert sorted(listed) == [("main",), ("text",)]


def test_the_python_that_lets_counts_leave_runs(
    made_up: MadeUp, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Word for word; a table of the made-up ICS has small groups, and its rates lie within their bounds."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "store").symlink_to(made_up.folder / "store", target_is_directory=True)
    names: dict[str, object] = {}
    page = (DOCS / "how-to" / "release-counts.md").read_text()
    for block in samples(page, "python"):
        exec(compile(block, "release-counts.md", "exec"), names)  # noqa: S102 our own page
    written = pl.read_csv(tmp_path / "people-by-sex-and-decade.csv", infer_schema=False)
    assert {"*", "(all)"} <= {*written["count"], *written["sex"]}
    shares = names["shares"]
    assert isinstance(shares, pl.DataFrame)
    shown = shares.filter(pl.col("rate") != "*").with_columns(pl.col("rate").cast(pl.Float64))
    assert shown.height
    assert shown.filter(
        ~pl.col("rate").is_between(pl.col("rate_at_least") - 0.1, pl.col("rate_at_most") + 0.1)
    ).is_empty()
    for name, policy in disclosure.POLICIES.items():
        assert f"| `{name}` | {'1' if policy.shows_zero else '0'} to {policy.smallest_shown - 1} |" in page


def _models(model: type[BaseModel]) -> set[type[BaseModel]]:
    """A model and all that its fields are made of."""
    found, open_ = {model}, [model]
    while open_:
        hints = typing.get_type_hints(open_.pop())
        inside = {part for hint in hints.values() for part in _parts(hint)} - found
        found |= inside
        open_ += inside
    return found


def _parts(hint: object) -> Iterator[type[BaseModel]]:
    if isinstance(hint, type) and not typing.get_args(hint) and issubclass(hint, BaseModel):
        yield hint
    for inner in typing.get_args(hint):
        yield from _parts(inner)


@pytest.mark.parametrize(
    ("root", "page"), [(config.Configuration, "configuration.md"), (contract.Feed, "contracts.md")]
)
def test_every_key_is_described(root: type[BaseModel], page: str) -> None:
    """A key that nobody can read about is a key that nobody uses."""
    text = (DOCS / "reference" / page).read_text()
    models = _models(root)
    assert len(models) > 6
    for model in models:
        for name, field in model.model_fields.items():
            assert field.exclude or f"`{name}`" in text, (model.__name__, name)


def test_the_example_configuration_can_be_read(tmp_path: Path) -> None:
    """It holds what is required and nothing that is unknown."""
    blocks = samples((DOCS / "reference" / "configuration.md").read_text(), "toml")
    assert len(blocks) == 2
    (tmp_path / "linkage.toml").write_text("".join(blocks))
    found = config.load(tmp_path / "linkage.toml")
    gate.check_names(found.quality, [contract.load(flow.feed) for flow in found.flows])


def test_every_role_is_described() -> None:
    """And every value that a column's other keys can have."""
    text = (DOCS / "reference" / "contracts.md").read_text()
    choices = [
        str(value)
        for name in ("type", "attribute", "removes", "optout")
        for part in typing.get_args(contract.Column.model_fields[name].annotation)
        for value in typing.get_args(part)
    ]
    assert len(choices) > 10
    for word in [*contract.Role, *choices, *contract.RESERVED]:
        assert f"`{word}`" in text, word


@pytest.mark.skipif(os.name != "posix", reason="the tutorial is written for a POSIX shell")
def test_the_tutorial_runs(tmp_path: Path) -> None:
    """Every command of it, in a new folder, with the counts that it promises."""
    done = run(samples((DOCS / "tutorial" / "first-run.md").read_text(), "sh"), tmp_path)
    assert "3 rows read, 1 kept, 2 removed" in done.stdout
    assert "1 national_opt_out" in done.stdout
    assert "1 number_check_digit" in done.stdout
    assert re.search(r" visit 2026-04-01 00:00:00 75$", done.stdout, re.MULTILINE)
    assert done.stdout.endswith("1 person\n")


def test_every_reason_is_described() -> None:
    """With the words that the code has for it."""
    page = (DOCS / "reference" / "reasons.md").read_text()
    for reason in Reason:
        assert f"`{reason.value}` | {reason.meaning}" in page


def test_every_count_of_quality_is_described() -> None:
    """Each name that the exact account has."""
    page = (DOCS / "reference" / "data-quality.md").read_text()
    keys = {"feed", "table", "file", "column"}
    names = {*FileCount.model_fields, *ColumnCount.model_fields} - keys | set(Fault)
    assert len(names) > 12
    for name in names:
        assert f"`{name}`" in page, name


def test_every_exit_code_is_described() -> None:
    """Orchestrators act on them."""
    page = (DOCS / "reference" / "exit-codes.md").read_text()
    kinds = errors.LinkageError.__subclasses__()
    named = {name for name in errors.__all__ if isinstance(getattr(errors, name), type)}
    assert {kind.__name__ for kind in kinds} >= named - {"LinkageError"}
    for kind in filter(lambda kind: kind.__module__ == errors.__name__, kinds):
        assert f"| {kind.exit_code} | `{kind.__name__}` |" in page, kind


def test_every_relative_link_leads_somewhere() -> None:
    """In the README and all pages."""
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (page, target)


@pytest.mark.skipif(os.name != "posix", reason="the page is written for a POSIX shell")
def test_the_page_about_sites_runs(tmp_path: Path) -> None:
    """Every command of it, in a new folder: keys, two sites, a hub, a second night, a lost packet, a revocation."""
    done = run(samples((DOCS / "how-to" / "sites.md").read_text(), "sh"), tmp_path)
    assert "took RXX-000002: packet 2 of RXX, 1 new parts" in done.stdout
    assert "took RXX-000003: packet 3 of RXX, 2 new parts" in done.stdout
    assert "nothing of RR8 is in it: revoked since 2026-01-01" in done.stderr
    for words in ("by site", r"\b2 +1 +1 RR8, packet 1\n", r"\b2 +2 +1 RXX, packet 2\n"):
        assert re.search(words, done.stdout)
    with linkage.open_store(tmp_path / "hub" / "store") as connection:
        assert connection.execute("SELECT count(*), count(DISTINCT token) FROM event").fetchall() == [(2, 1)]
