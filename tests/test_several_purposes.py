"""Several purposes over the same extracts: read once, and each publishes what it would have published alone."""

from __future__ import annotations

import gzip
import json
import shutil
from collections import Counter
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from small import ALLOWED, HEADER, NOT_ASKED, NOW, NUMBERS, OPTED_OUT, SmallIcs, make_small_ics, row

from linkage import parts, pipeline, site_steps, together
from linkage.cli import demo
from linkage.contract import Feed, Table
from linkage.errors import ConfigurationError, InputError, LinkageError, PolicyError, TemporaryError
from linkage.parts import Work
from linkage.pipeline import Outcome
from linkage.progress import Progress
from linkage.sources import inspect, read
from linkage.store.layout import Store
from linkage.store.lock import hold


@pytest.fixture(scope="module")
def pristine(tmp_path_factory: pytest.TempPathFactory) -> SmallIcs:
    """The small ICS that each test has a copy of: of one keyset, so that all of them publish the same bytes."""
    return make_small_ics(tmp_path_factory.mktemp("pristine"))


@pytest.fixture
def small_ics(pristine: SmallIcs, tmp_path: Path) -> SmallIcs:
    """A copy of it, before its first run."""
    return SmallIcs(Path(shutil.copytree(pristine.folder, tmp_path / "ics")))


@pytest.fixture(scope="module")
def alone(pristine: SmallIcs, tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, object], dict[str, bytes]]:
    """What its own purpose publishes alone, and the account of it."""
    ics = SmallIcs(Path(shutil.copytree(pristine.folder, tmp_path_factory.mktemp("alone") / "ics")))
    return _account(ics.configuration, _run(ics.configuration)[0]), _published(ics.configuration)


def _write(ics: SmallIcs, name: str, *changes: tuple[str, str]) -> Path:
    """One more purpose beside the small ICS's own: its domain, store and private folder, and what else differs."""
    text = ics.configuration.read_text()
    own = (
        ("ics:test", f"ics:{name}"),
        ('path = "store"', f'path = "store-{name}"'),
        ('name = "test"', f'name = "{name}"'),
    )
    for old, new in (*own, *changes):
        assert old in text
        text = text.replace(old, new, 1)
    path = ics.folder / f"{name}.toml"
    path.write_text(f'private = "private-{name}"\n{text}')
    return path


def _published(path: Path) -> dict[str, bytes]:
    """Every published Parquet file of the current snapshot, by its place."""
    store = path.parent / ("store" if path.stem == "linkage" else f"store-{path.stem}")
    snapshot = store / "snapshots" / (store / "current").read_text().strip()
    return {file.relative_to(snapshot).as_posix(): file.read_bytes() for file in snapshot.rglob("*.parquet")}


def _account(path: Path, outcome: Outcome) -> dict[str, object]:
    """What the exact account says of rows, cells, files and registers."""
    private = path.parent / ("private" if path.stem == "linkage" else f"private-{path.stem}")
    assert outcome.report is not None
    account = json.loads((private / "runs" / f"{outcome.report.run_id}.json").read_text())
    return {name: account[name] for name in ("inputs", "balance", "registers", "exemptions", "quality", "files")}


def _clear(folder: Path) -> None:
    for made in [*folder.glob("store*"), *folder.glob("private*")]:
        shutil.rmtree(made)


def _run(*paths: Path) -> tuple[Outcome, ...]:
    return pipeline.run_all(paths, now=NOW)


@dataclass(frozen=True)
class Other:
    """In what a second purpose differs from the first."""

    name: str
    changes: tuple[tuple[str, str], ...]


EXEMPT = '[[optouts.exemptions]]\noptout = "national"\nreference = "EX-1"\n[[flows]]'
OTHERS = (
    Other("same", ()),
    Other("month", (("[[flows]]", '[minimise]\nbirth = "month"\n[[flows]]'),)),
    Other("exempt", (("[[flows]]", EXEMPT),)),
    Other("columns", (('path = "extracts"', 'path = "extracts"\ncolumns = { appointment = ["sex"] }'),)),
    Other("recent", (('path = "extracts"', 'path = "extracts"\nearliest = 2026-05-02'),)),
    Other(
        "no_test_people",
        (("allow_test_numbers = true", "allow_test_numbers = false"), ("max_not_asked = 0.2", "max_not_asked = 1.0")),
    ),
    Other("lenient", (("[[flows]]", "[quality]\nmax_invalid = 1.0\nlate_after_days = 30\n[[flows]]"),)),
)


@pytest.mark.parametrize("other", OTHERS, ids=lambda each: each.name)
def test_each_purpose_publishes_what_it_publishes_alone(small_ics: SmallIcs, other: Other, alone: Any) -> None:
    """Byte for byte, and with the same account of every row, cell and register."""
    paths = [small_ics.configuration, _write(small_ics, other.name, *other.changes)]
    others = (_account(paths[1], _run(paths[1])[0]), _published(paths[1]))
    _clear(small_ics.folder)
    outcomes = _run(*paths)
    assert [outcome.path for outcome in outcomes] == paths
    for path, outcome, expected in zip(paths, outcomes, (alone, others), strict=True):
        assert (_account(path, outcome), _published(path)) == expected
    tokens = [set(_published(path)) for path in paths]
    assert all(tokens)


class Readings:
    """Counts how often each packed file is unpacked, for there is no other way to read it, and looked at."""

    def __init__(self, patch: pytest.MonkeyPatch) -> None:
        self.of: Counter[str] = Counter()
        self.looked: Counter[str] = Counter()
        content, inspect_text = inspect.content, inspect._inspect_text

        def counted(extract):  # type: ignore[no-untyped-def]
            self.of[extract.path.name] += 1
            return content(extract)

        def looking(path, *rest):  # type: ignore[no-untyped-def]
            self.looked[path.name] += 1
            return inspect_text(path, *rest)

        patch.setattr(read, "content", counted)
        patch.setattr(inspect, "_inspect_text", looking)


def _pack(ics: SmallIcs) -> None:
    packed = ics.extract.with_name(ics.extract.name + ".gz")
    packed.write_bytes(gzip.compress(ics.extract.read_bytes()))
    ics.extract.unlink()


@pytest.fixture(scope="module")
def read_alone(pristine: SmallIcs, tmp_path_factory: pytest.TempPathFactory) -> Readings:
    """How often one purpose alone reads and looks."""
    ics = SmallIcs(Path(shutil.copytree(pristine.folder, tmp_path_factory.mktemp("packed") / "ics")))
    _pack(ics)
    with pytest.MonkeyPatch.context() as patch:
        readings = Readings(patch)
        _run(ics.configuration)
    assert readings.of
    assert readings.looked
    return readings


@pytest.mark.parametrize("other", OTHERS, ids=lambda each: each.name)
def test_three_purposes_read_as_often_as_one(
    small_ics: SmallIcs, other: Other, monkeypatch: pytest.MonkeyPatch, read_alone: Readings
) -> None:
    """Also where one takes other columns, other years or other people."""
    _pack(small_ics)
    paths = [
        small_ics.configuration,
        _write(small_ics, other.name, *other.changes),
        _write(small_ics, "third", ("[[flows]]", '[minimise]\nbirth = "month"\n[[flows]]')),
    ]
    readings = Readings(monkeypatch)
    assert all(outcome.report for outcome in _run(*paths))
    assert (readings.of, readings.looked) == (read_alone.of, read_alone.looked)


def test_a_long_file_is_read_some_rows_at_a_time(
    small_ics: SmallIcs, alone: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With the same result, and its rows are read once for all: only memory and time differ."""
    paths = [small_ics.configuration, _write(small_ics, "other")]
    others = (_account(paths[1], _run(paths[1])[0]), _published(paths[1]))
    for rows in (20, 10, 7, 2):
        _clear(small_ics.folder)
        monkeypatch.setattr(together, "AT_ONCE", rows)
        progress = Progress()
        outcomes = pipeline.run_all(paths, now=NOW, progress=progress)
        for path, outcome, expected in zip(paths, outcomes, (alone, others), strict=True):
            assert (_account(path, outcome), _published(path)) == expected
        assert [stage.rows for stage in progress.times if stage.name == "preparing"] == [10]
        assert not list(small_ics.folder.rglob("*.piece"))


def test_rows_count_once_where_they_are_read_once(small_ics: SmallIcs) -> None:
    """In the bar that somebody watches, and in the seconds of the stage."""
    progress = Progress()
    pipeline.run_all([small_ics.configuration, _write(small_ics, "other")], now=NOW, progress=progress)
    (preparing,) = [stage for stage in progress.times if stage.name == "preparing"]
    assert preparing.rows == 10


def test_each_account_has_the_common_stages_and_its_own(small_ics: SmallIcs) -> None:
    """And none of another purpose's."""
    outcomes = _run(small_ics.configuration, _write(small_ics, "other"))
    for outcome in outcomes:
        assert outcome.report is not None
        names = [stage.name for stage in outcome.report.stages]
        assert names.count("preparing") == names.count("linking") == 1


@dataclass(frozen=True)
class Refused:
    """What one purpose is refused for."""

    name: str
    changes: tuple[tuple[str, str], ...]
    error: type[LinkageError]
    said: str


REFUSED = (
    Refused("unreadable", (("[keys]", "[keys"),), ConfigurationError, "not a TOML file"),
    Refused("ended", (("[keys]", "ends = 2026-11-23\n[keys]"),), PolicyError, "the purpose .ended. ended"),
    Refused("stale", (("max_age_days = 7", "max_age_days = 0"),), PolicyError, "1 days old"),
    Refused(
        "no_list", (('answers = "optouts/answers/*.dat"', 'answers = "nowhere/*.dat"'),), PolicyError, "answer file"
    ),
    Refused("uncovered", (("max_not_asked = 0.2", "max_not_asked = 0.0"),), PolicyError, "does not cover"),
    Refused("gate", (("[[flows]]", "[quality]\nmin_rows = 11\n[[flows]]"),), InputError, "min_rows"),
    Refused("cells", (("[[flows]]", "[quality]\nmax_missing = 0.0\n[[flows]]"),), InputError, "max_missing"),
    Refused("extract", (('path = "extracts"', 'path = "nowhere"'),), InputError, "no file like"),
    Refused("key", (("age://keys.age", "age://other.age"),), LinkageError, "other.age"),
)


@pytest.mark.parametrize("first", [True, False], ids=["first", "last"])
@pytest.mark.parametrize("refused", REFUSED, ids=lambda each: each.name)
def test_a_purpose_that_is_refused_publishes_nothing_and_harms_no_other(
    small_ics: SmallIcs, refused: Refused, first: bool, alone: Any
) -> None:
    """Whichever comes first; the other publishes what it publishes alone."""
    good, bad = small_ics.configuration, _write(small_ics, refused.name, *refused.changes)
    outcomes = {outcome.path: outcome for outcome in _run(*([bad, good] if first else [good, bad]))}
    error = outcomes[bad].error
    assert isinstance(error, refused.error)
    assert outcomes[bad].report is None
    with pytest.raises(refused.error, match=refused.said):
        raise error
    assert not list(small_ics.folder.glob(f"store-{refused.name}/snapshots/*"))
    assert (_account(good, outcomes[good]), _published(good)) == alone
    assert not list(small_ics.folder.glob("store*/.staging-*"))


def test_the_other_publishes_as_before_when_one_fails_in_the_pass_itself(
    small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch
) -> None:
    """What fails in the middle of the common reading is read again, each alone, to find out for whom it fails."""
    bad = _write(small_ics, "bad")
    decide = parts.decide

    def failing(frame: pl.LazyFrame, feed: Feed, table: Table, work: Work) -> pl.LazyFrame:
        decided = decide(frame, feed, table, work)
        if work.pseudonymiser.domain != "ics:bad":
            return decided

        def fail(rows: pl.Series) -> pl.Series:
            raise ValueError("in the middle of a file")

        return decided.with_columns(pl.col("_removed").map_batches(fail, return_dtype=pl.String))

    monkeypatch.setattr(parts, "decide", failing)
    good, failed = _run(small_ics.configuration, bad)
    assert good.report is not None
    assert good.report.tables["sus_op_appointment"] == 4
    assert isinstance(failed.error, InputError)
    assert not list(small_ics.folder.glob("store-bad/snapshots/*"))


def test_a_file_that_nobody_can_read_stops_all_who_need_it(small_ics: SmallIcs) -> None:
    """And each is told."""
    small_ics.extract.write_bytes(small_ics.extract.read_bytes()[:40])
    outcomes = _run(small_ics.configuration, _write(small_ics, "other"))
    assert all(isinstance(outcome.error, InputError) for outcome in outcomes)


@pytest.mark.parametrize("mark", ["0", "1"], ids=["plain", "confidential"])
def test_a_file_that_arrives_after_the_first_has_looked(
    small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch, mark: str
) -> None:
    """The second has it, with what it hides, as if it ran alone; it is never taken for a file of the first."""
    other = _write(small_ics, "other")
    arriving = small_ics.extract.with_name("appointment_20261101.csv")
    look = site_steps.look

    def look_and_receive(*given: Any) -> Any:
        found = look(*given)
        if not arriving.exists():
            arriving.write_text("\n".join([HEADER, *(row(1, ALLOWED, 7) + mark for _ in NUMBERS)]) + "\n")
        return found

    monkeypatch.setattr(site_steps, "look", look_and_receive)
    outcomes = _run(small_ics.configuration, other)
    together, account = _published(other), _account(other, outcomes[1])
    _clear(small_ics.folder)
    monkeypatch.undo()
    alone = _run(other)
    assert (together, account) == (_published(other), _account(other, alone[0]))


@pytest.mark.parametrize("shared", ["store", "private"])
def test_two_purposes_do_not_write_into_one_folder(small_ics: SmallIcs, shared: str) -> None:
    """The second is refused, in one run and in two."""
    other = _write(small_ics, "other")
    text = other.read_text()
    other.write_text(
        text.replace("private-other", "private") if shared == "private" else text.replace("store-other", "store")
    )
    first, second = _run(small_ics.configuration, other)
    assert first.report is not None
    assert isinstance(second.error, ConfigurationError)
    if shared == "private":
        (again,) = _run(other)
        assert isinstance(again.error, ConfigurationError)
        assert "belongs to another store" in again.error.message
        assert list((small_ics.folder / "private" / "roster").iterdir())


def test_one_purpose_named_twice_is_refused(small_ics: SmallIcs) -> None:
    """However it is written."""
    with pytest.raises(ConfigurationError, match="named twice"):
        _run(small_ics.configuration, small_ics.folder / "." / "linkage.toml")


def test_a_store_in_use_stops_its_own_purpose_alone(small_ics: SmallIcs) -> None:
    """The lock is each store's."""
    other = _write(small_ics, "other")
    with hold(_made(Store(small_ics.folder / "store-other"))):
        good, busy = _run(small_ics.configuration, other)
    assert good.report is not None
    assert isinstance(busy.error, TemporaryError)


def _made(store: Store) -> Store:
    store.make()
    return store


def test_nobody_is_in_another_purposes_output(small_ics: SmallIcs) -> None:
    """One lifts the national opt-out, the other does not; neither's rows pass to the other."""
    lifted = _write(small_ics, "lifted", ("[[flows]]", EXEMPT))
    strict, lenient = _run(small_ics.configuration, lifted)
    assert strict.report is not None
    assert lenient.report is not None
    assert (strict.report.tables["person"], lenient.report.tables["person"]) == (1, 3)
    for number in (ALLOWED, OPTED_OUT, NOT_ASKED):
        assert not any(number.encode() in content for content in _published(lifted).values())


def test_the_command_line_tells_of_each_and_ends_with_the_first_error(small_ics: SmallIcs) -> None:
    """What was published is said, and what was not."""
    from typer.testing import CliRunner

    from linkage.cli import app

    now = f"{datetime.now(UTC) - timedelta(hours=1):%Y%m%d%H%M%S}"
    small_ics.answer.with_suffix(".ctl").write_text(
        f"<DTSControl><StatusRecord><DateTime>{now}</DateTime></StatusRecord></DTSControl>"
    )
    bad = _write(small_ics, "ended", ("[keys]", "ends = 2026-11-23\n[keys]"))
    done = CliRunner().invoke(app, ["run", str(small_ics.configuration), str(bad)])
    assert done.exit_code == 4
    assert "published " in done.stdout
    assert "nothing was published for this purpose" in done.stdout
    assert "error: " in done.stderr
    assert "ended on 2026-11-23" in done.stderr
    checked = CliRunner().invoke(app, ["check", str(small_ics.configuration), str(_write(small_ics, "other"))])
    assert checked.exit_code == 0
    assert checked.stdout.count("nothing was published") == 2


@pytest.mark.slow
def test_every_feed_and_very_different_purposes(tmp_path: Path) -> None:
    """A made-up ICS: all feeds, some of them, some of their tables, other opt-outs, other limits."""
    folder = tmp_path / "ics"
    demo.make(folder, 500, seed=5)
    first = folder / "linkage.toml"
    whole = first.read_text()
    paths = [first]
    for name, changes in {
        "gp": (('applies_to = "everything"', 'applies_to = "primary_care"'), ('birth = "year"', 'birth = "month"')),
        "few": (
            ('[[flows]]\nfeed = "sus_apc"', '[[flows]]\ntables = ["spell"]\nearliest = 2026-01-01\nfeed = "sus_apc"'),
            ('[[flows]]\nfeed = "emis"', '[[flows]]\ntables = ["patient"]\nfeed = "emis"'),
            ('[[flows]]\nfeed = "cld"\npath = "extracts/cld"\nagreement = "DEMO-DSA-1"\n', ""),
        ),
    }.items():
        text = whole.replace('private = "private"', f'private = "private-{name}"').replace(
            'path = "store"', f'path = "store-{name}"'
        )
        for old, new in (*changes, ("ics:demo", f"ics:{name}")):
            assert old in text
            text = text.replace(old, new)
        paths.append(folder / f"{name}.toml")
        paths[-1].write_text(text)
    alone = {path: (_account(path, pipeline.run_all([path])[0]), _published(path)) for path in paths}
    _clear(folder)
    progress = Progress()
    outcomes = pipeline.run_all(paths, progress=progress)
    for path, outcome in zip(paths, outcomes, strict=True):
        assert (_account(path, outcome), _published(path)) == alone[path]
    assert outcomes[0].report is not None
    (preparing,) = [stage for stage in progress.times if stage.name == "preparing"]
    assert preparing.rows == outcomes[0].report.read


def test_a_purpose_with_the_domain_of_another_is_refused(small_ics: SmallIcs) -> None:
    """Else both stores would hold the same tokens, and people could be matched across them."""
    second = _write(small_ics, "second", ("ics:second", "ics:test"))
    first, refused = pipeline.run_all([small_ics.configuration, second], now=NOW)
    assert first.report is not None
    assert isinstance(refused.error, ConfigurationError)
    assert "same token domain" in str(refused.error)
    assert not (small_ics.folder / "store-second").exists()
