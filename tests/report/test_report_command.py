"""`linkage report`, as analysts and operators use it, and what its page may tell them."""

from __future__ import annotations

import os
import re
import stat
from pathlib import Path

import pytest
from report_pages import parsed, row, words
from small import ALLOWED, SmallIcs
from typer.testing import CliRunner

from linkage import report
from linkage.cli import app
from linkage.errors import ConfigurationError, InputError, IntegrityError
from linkage.pipeline import RunReport
from linkage.report import facts
from linkage.report.page import page
from linkage.store.manifest import RunManifest
from made_up import MadeUp, Search

posix = pytest.mark.skipif(os.name != "posix", reason="Windows has other permissions")
Published = tuple[SmallIcs, RunReport]


def said(*words_: object) -> str:
    done = CliRunner().invoke(app, ["report", *map(str, words_)], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


@pytest.mark.parametrize("named", ["store", "linkage.toml"])
def test_an_analyst_makes_a_page(
    published: Published, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, named: str
) -> None:
    """From the store alone, or by the configuration, in the folder where they are."""
    ics, run = published
    monkeypatch.chdir(tmp_path)
    assert said(ics.folder / named) == f"report-{run.run_id}.html: open it in a browser\n"
    text = (tmp_path / f"report-{run.run_id}.html").read_text(encoding="utf-8")
    assert words(next(parsed(text).iter("h1"))) == "Data quality: test"
    assert text == report.for_analysts(ics.store)[1]


def test_a_page_of_another_run_in_another_file(published: Published, tmp_path: Path) -> None:
    ics, first = published
    second = ics.run()
    target = tmp_path / "page.html"
    assert said(ics.store, "--run", first.run_id, "--to", target) == f"{target}: open it in a browser\n"
    assert first.run_id in target.read_text(encoding="utf-8")
    assert second.run_id not in target.read_text(encoding="utf-8")


def test_analysts_see_no_small_number(published: Published) -> None:
    """Ten rows, most reasons with one row each: none of it is told."""
    ics, _ = published
    text = report.for_analysts(ics.store)[1]
    rows = [row(each) for each in parsed(text).iter("tr")]
    assert "number_missing | no NHS number | withheld | " in rows
    for each in rows:
        assert not re.search(r"\| [1-7] (\||$)", each) or each.endswith("| 1"), each  # a contract's version
    assert ALLOWED not in text


@posix
def test_operators_have_exact_counts_that_stay_where_the_account_is(published: Published, tmp_path: Path) -> None:
    """Owner-only, in the private folder, under a notice; made again in place."""
    ics, run = published
    for _ in range(2):
        output = said(ics.configuration, "--exact")
    path = ics.folder / "private" / "reports" / f"{run.run_id}.html"
    assert output == f"exact counts, for operators only: {path}\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert stat.S_IMODE(path.parent.stat().st_mode) == 0o700
    assert [each.name for each in path.parent.iterdir()] == [path.name]
    text = path.read_text(encoding="utf-8")
    rows = [row(each) for each in parsed(text).iter("tr")]
    assert any(each.startswith("number_missing | no NHS number | 1 | s2 ") for each in rows)
    assert "for the operators of the pipeline only" in text
    assert ALLOWED not in text


def test_exact_counts_go_nowhere_else(published: Published, tmp_path: Path) -> None:
    ics, _ = published
    target = tmp_path / "page.html"
    with pytest.raises(ConfigurationError, match="stay beside the private account"):
        CliRunner().invoke(
            app, ["report", str(ics.configuration), "--exact", "--to", str(target)], catch_exceptions=False
        )
    with pytest.raises(ConfigurationError):
        CliRunner().invoke(app, ["report", str(ics.store), "--exact"], catch_exceptions=False)
    assert not target.exists()
    assert not (ics.folder / "private" / "reports").exists()


def test_the_next_run_clears_away_pages_of_runs_that_are_gone(published: Published) -> None:
    """An exact page is kept no longer than its account."""
    ics, first = published
    path = report.for_operators(ics.configuration)
    stray = path.with_name("20200101T000000Z-000000.html")
    stray.write_text("x")
    ics.run()
    assert path.exists()
    assert not stray.exists()
    assert first.run_id in path.name


@pytest.mark.parametrize("run", ["../../x", "", "a/b", "no-such-run"])
def test_a_run_that_is_not_there(published: Published, run: str) -> None:
    ics, _ = published
    with pytest.raises(InputError):
        report.for_analysts(ics.store, run)
    with pytest.raises(InputError):
        report.for_operators(ics.configuration, run)


def test_nothing_is_published(small_ics: SmallIcs) -> None:
    with pytest.raises(InputError, match="nothing has been published"):
        report.for_operators(small_ics.configuration)
    small_ics.store.mkdir()
    with pytest.raises(InputError, match="nothing has been published"):
        report.for_analysts(small_ics.store)


@pytest.mark.parametrize("content", ["", "{}", '{"format": "linkage-snapshot/9"}', "\x00"])
def test_a_damaged_manifest_is_no_page(published: Published, content: str) -> None:
    """And nothing of it is repeated."""
    ics, run = published
    assert run.snapshot is not None
    (run.snapshot / "manifest.json").write_text(content)
    with pytest.raises(IntegrityError, match="cannot be read"):
        report.for_analysts(ics.store)


def test_a_manifest_of_the_first_version_has_a_page(published: Published) -> None:
    """What it does not tell is said not to be told."""
    import json

    ics, run = published
    assert run.snapshot is not None
    path = run.snapshot / "manifest.json"
    told = json.loads(path.read_text())
    for name in ("quality", "limits", "months", "sources", "common", "last_run", "changes"):
        del told[name]
    for feed in told["feeds"]:
        del feed["title"], feed["setting"]
    path.write_text(json.dumps(told))
    text = report.for_analysts(ics.store)[1]
    assert "does not tell" in text
    parsed(text)


@pytest.mark.parametrize("exact", [False, True])
def test_nobody_made_up_is_on_a_page(made_up: MadeUp, exact: bool) -> None:
    """Of every feed, with names, postcodes and numbers in its extracts, on neither page."""
    if exact:
        account = made_up.folder / "private" / "runs" / f"{made_up.report.run_id}.json"
        text = page(facts.exact(RunManifest.model_validate_json(account.read_bytes())))
    else:
        text = report.for_analysts(made_up.folder / "store")[1]
    Search(made_up.people).text(" ".join(parsed(text).itertext()), "the page")
    told = {words(cell) for cell in parsed(text).iter("th")}
    assert {"emis", "sus_apc", "national_opt_out"} <= told
