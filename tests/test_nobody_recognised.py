"""No NHS number, name or postcode that was made up is in anything that a run writes, says or leaves behind."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from linkage import hub, pipeline
from linkage.cli import demo
from linkage.errors import LinkageError
from made_up import MadeUp, Search

COMMAND = "import sys; from linkage.cli import main; sys.argv = ['linkage', *sys.argv[1:]]; main()"


@pytest.fixture(scope="session")
def search(made_up: MadeUp) -> Search:
    """For the people of the made-up ICS."""
    return Search(made_up.people)


@pytest.fixture
def copy(made_up: MadeUp, tmp_path: Path) -> Path:
    """The made-up ICS before its run, to be mangled."""
    folder = tmp_path / "copy"
    shutil.copytree(made_up.folder, folder, ignore=shutil.ignore_patterns("store", "private", "truth"))
    return folder


def test_nothing_published_or_kept(made_up: MadeUp, search: Search) -> None:
    """The snapshot, its database, the manifests and the exact account; the roster is encrypted."""
    assert search.folder(made_up.folder / "store") >= {".parquet", ".duckdb", ".json"}
    assert search.folder(made_up.folder / "private") >= {".json", ".age"}


def test_the_search_would_find_them(made_up: MadeUp, search: Search) -> None:
    """The extracts hold what must not come out: the search is not blind, in text or in tables."""
    path = next((made_up.folder / "extracts" / "emis").glob("*Admin_Patient*.csv"))
    with pytest.raises(AssertionError):
        search.text(path.read_text(), path)
    for column in ("nhs_number", "surname", "given_name", "postcode"):
        with pytest.raises(AssertionError):
            search.frame(made_up.people.select(column), column)
        with pytest.raises(AssertionError):
            search.text(f"x{made_up.people[column][0]}", column) if column == "nhs_number" else search.text(
                f"- {made_up.people[column][0]} -", column
            )


@pytest.mark.parametrize("word", ["run", "check"])
def test_nothing_said_or_left_in_temporary_files(copy: Path, search: Search, word: str) -> None:
    """Standard output, standard error, and the folders for temporary files, also with every library's log on."""
    temporary = copy.parent / "temporary"
    temporary.mkdir()
    loud = {"POLARS_VERBOSE": "1", "RUST_BACKTRACE": "full", "PYTHONWARNINGS": "default", "RUST_LOG": "trace"}
    done = subprocess.run(
        [sys.executable, "-c", COMMAND, word, str(copy / "linkage.toml")],
        env={**os.environ, **loud, "TMPDIR": str(temporary), "POLARS_TEMP_DIR": str(temporary)},
        capture_output=True, text=True, check=True,
    )  # fmt: skip
    assert "rows read" in done.stdout
    search.text(done.stdout, "standard output")
    search.text(done.stderr, "standard error")
    search.folder(temporary)


@pytest.mark.parametrize("step", ["link", "account", "publish"])
def test_nothing_in_what_a_killed_run_leaves(
    copy: Path, search: Search, monkeypatch: pytest.MonkeyPatch, step: str
) -> None:
    """The working folder as it is when the bundle is made, when everything is linked, and just before the switch."""
    left = copy.parent / "left"

    def killed(*_: object, **__: object) -> None:
        (folder,) = (path for path in (copy / "store").rglob("bundle") if path.is_dir())
        shutil.copytree(folder.parent, left)
        raise KeyboardInterrupt

    monkeypatch.setattr(hub, step, killed)
    with pytest.raises(KeyboardInterrupt):
        pipeline.run(copy / "linkage.toml")
    kinds = search.folder(left)
    assert ".parquet" in kinds
    assert (".duckdb" in kinds) == (step != "link")
    assert not list((copy / "store" / "snapshots").iterdir())


FEW = ("emis", "sus_apc", "iuc111", "pds")


@pytest.fixture(scope="module")
def little(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A smaller ICS of some feeds, before its run: an error quotes a line or it does not, however many there are."""
    folder = tmp_path_factory.mktemp("little") / "ics"
    demo.make(folder, 300, seed=7)
    whole = (folder / "linkage.toml").read_text()
    flows = demo.text(FEW).removeprefix(demo.CONFIGURATION)
    (folder / "linkage.toml").write_text(whole[: whole.index("\n[[flows]]")] + flows)
    for path in (folder / "extracts").iterdir():
        if path.name not in FEW:
            shutil.rmtree(path)
    pipeline.check(folder / "linkage.toml")  # it is good until a file of it is mangled
    return folder


@pytest.fixture(scope="module")
def little_search(little: Path) -> Search:
    """For the people in it."""
    return Search(pl.read_parquet(little / "truth" / "people.parquet"))


def _no_header(path: Path) -> None:
    path.write_bytes(path.read_bytes().split(b"\n", 1)[1])


def _cut(path: Path) -> None:
    content = path.read_bytes()
    path.write_bytes(content[: len(content) * 2 // 3])


def _shifted(path: Path) -> None:
    header, *lines = path.read_bytes().split(b"\n")
    path.write_bytes(b"\n".join([header, *(line.split(b",", 1)[-1] + b"," for line in lines)]))


def _other_delimiter(path: Path) -> None:
    path.write_bytes(path.read_bytes().replace(b",", b";").replace(b"|", b";"))


def _quotes(path: Path) -> None:
    lines = path.read_bytes().split(b"\n")
    lines[len(lines) // 2] = b'"' + lines[len(lines) // 2]
    path.write_bytes(b"\n".join(lines))


def _sixteen_bits(path: Path) -> None:
    path.write_bytes(path.read_text().encode("utf-16"))


@pytest.mark.parametrize("mangle", [_no_header, _cut, _shifted, _other_delimiter, _quotes, _sixteen_bits])
@pytest.mark.parametrize("feed", ["emis", "sus_apc", "iuc111"])
def test_nothing_in_an_error(  # type: ignore[no-untyped-def]
    little: Path, little_search: Search, tmp_path: Path, mangle, feed: str
) -> None:
    """Every extract of a feed mangled: the run ends in an error that quotes nothing, or leaves the rows out."""
    copy, search = tmp_path / "copy", little_search
    shutil.copytree(little, copy, ignore=shutil.ignore_patterns("store", "private", "truth"))
    for path in (copy / "extracts" / feed).iterdir():
        mangle(path)
    try:
        report = pipeline.run(copy / "linkage.toml")
    except LinkageError as error:
        search.text(f"{error.message}\n{error.hint}\n{error}", "an error")
    else:
        assert sum(report.removed.values()) > 0
        search.folder(copy / "store")
