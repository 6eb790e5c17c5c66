"""Delta tables follow the published snapshot: the same rows, only what changed is written, and who left does not stay."""

from __future__ import annotations

import json
import os
import sys
from datetime import timedelta
from pathlib import Path
from typing import Any

import duckdb
import polars as pl
import pytest
from small import ALLOWED, HEADER, NOW, OPTED_OUT, SmallIcs, row
from typer.testing import CliRunner

from linkage import hub, pipeline
from linkage.cli import app
from linkage.errors import ConfigurationError, IntegrityError, LinkageError
from linkage.nights.rollback import rollback
from linkage.pipeline import RunReport
from linkage.pseudonymise import Keyset
from linkage.store import delta
from pages import samples

deltalake = pytest.importorskip("deltalake", reason="an extra")

PAGE = Path(__file__).parents[2] / "docs" / "how-to" / "delta.md"
TABLE = "sus_op_appointment"


@pytest.fixture
def ics(small_ics: SmallIcs) -> SmallIcs:
    """Two people with appointments in two months, and Delta tables beside the store."""
    small_ics.replace('path = "store"', 'path = "store"\ndelta = "delta"')
    small_ics.answer.write_text(f"{ALLOWED},\n{OPTED_OUT},\n")
    _deliver(small_ics, "20261120", row(1, ALLOWED), row(2, OPTED_OUT), row(3, ALLOWED).replace("2026-05", "2026-06"))
    return small_ics


def _deliver(ics: SmallIcs, day: str, *lines: str) -> None:
    (ics.folder / "extracts" / f"appointment_{day}.csv").write_text("\n".join([HEADER, *lines]) + "\n")


def _run_on(ics: SmallIcs, day: int) -> RunReport:
    return pipeline.run(ics.configuration, now=NOW + timedelta(days=day))


def _open(ics: SmallIcs, table: str = TABLE) -> Any:
    return deltalake.DeltaTable(str(ics.folder / "delta" / table))


def _files(ics: SmallIcs, table: str = TABLE) -> set[str]:
    return {Path(each).relative_to(ics.folder / "delta" / table).as_posix() for each in _open(ics, table).file_uris()}


def _token(ics: SmallIcs, number: str) -> bytes:
    keyset = Keyset.open("age://keys.age", base=ics.folder)
    return bytes(keyset.pseudonymiser("ics:test").tokenise(pl.Series([number]))[0][0])


def _published(report: RunReport, table: str) -> list[tuple[object, ...]]:
    """Rows as they should be read back: tokens as bytes, times as text."""
    assert report.database is not None
    with duckdb.connect(str(report.database), read_only=True) as connection:
        rows = connection.execute(f'SELECT * FROM "{table}"').fetchall()
    return [tuple(_plain(value) for value in each) for each in rows]


def _plain(value: Any) -> Any:
    return getattr(value, "bytes", value.isoformat() if type(value).__name__ == "time" else value)


def _key(row: tuple[object, ...]) -> str:
    return repr(row)


def test_every_table_is_there_with_its_rows(ics: SmallIcs) -> None:
    """In deltalake's own reader, and in that of Polars."""
    report = ics.run()
    assert report.behind is None
    for table, rows in report.tables.items():
        frame = pl.scan_delta(str(ics.folder / "delta" / table)).collect()
        assert (table, frame.height) == (table, rows)
        assert _open(ics, table).count() == rows
    expected = _published(report, TABLE)
    found = pl.scan_delta(str(ics.folder / "delta" / TABLE)).collect()
    assert sorted(found.drop("month").rows(), key=_key) == sorted(expected, key=_key)
    assert set(found["month"]) == {"2026-05", "2026-06"}
    assert found.schema["token"] == pl.Binary
    assert set(found["token"].bin.size()) == {16}


def test_each_partition_is_in_the_published_order(ics: SmallIcs) -> None:
    """Sorted by token, so that readers skip; DuckDB reads the files by themselves."""
    report = ics.run()
    with duckdb.connect() as connection:
        rows = connection.execute(
            f"SELECT * EXCLUDE (month) FROM read_parquet({sorted(_open(ics).file_uris())}, hive_partitioning = true)"
        ).fetchall()
    assert rows == _published(report, TABLE)


def test_columns_say_what_a_token_is(ics: SmallIcs) -> None:
    """Delta has no UUID, and what reads it should know."""
    ics.run()
    fields = {field.name: field for field in _open(ics).schema().fields}
    assert str(fields["token"].type.type) == "binary"
    assert "UUID" in fields["token"].metadata["comment"]
    assert str(fields["time"].type.type if "time" in fields else "string") == "string"


def test_a_run_that_changes_nothing_makes_no_version(ics: SmallIcs) -> None:
    """Whoever follows the table sees changes only."""
    ics.run()
    before = {path.name: _open(ics, path.name).version() for path in (ics.folder / "delta").iterdir() if path.is_dir()}
    ics.run()
    after = {name: _open(ics, name).version() for name in before}
    assert after == before


def test_only_a_changed_month_is_written_again(ics: SmallIcs) -> None:
    """And one version tells of all of it."""
    ics.run()
    before, version = _files(ics), _open(ics).version()
    _deliver(
        ics, "20261121", row(4, ALLOWED).replace("2026-05", "2026-06"), row(5, ALLOWED).replace("2026-05", "2026-07")
    )
    ics.run()
    kept, new = before & _files(ics), _files(ics) - before
    assert [each.split("/")[0] for each in kept] == ["month=2026-05"]
    assert sorted(each.split("/")[0] for each in new) == ["month=2026-06", "month=2026-07"]
    assert _open(ics).version() == version + 1


def test_who_left_is_in_no_version_whose_snapshot_is_gone(ics: SmallIcs) -> None:
    """Nor in a file; until then the version can be read, as the snapshot can."""
    ics.replace('path = "store"', 'path = "store"\nkeep = 2')
    first = _run_on(ics, 0)
    gone, place = _token(ics, OPTED_OUT), ics.folder / "delta" / TABLE
    version = _versions(ics, first)[TABLE]
    ics.answer.write_text(f"{ALLOWED},\n")
    _run_on(ics, 1)
    assert gone not in set(pl.scan_delta(str(place)).collect()["token"])
    assert gone in set(pl.scan_delta(str(place), version=version).collect()["token"])
    _run_on(ics, 2)
    assert not [path for path in place.rglob("*.parquet") if _holds(path, gone)]


def _holds(path: Path, token: bytes) -> bool:
    frame = pl.read_parquet(path, hive_partitioning=False)
    return "token" in frame.columns and token in set(frame["token"])


def _versions(ics: SmallIcs, report: RunReport) -> dict[str, int]:
    account = json.loads((ics.folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    return {each["table"]: each["version"] for each in account["delta"]}


def test_the_account_names_the_version_of_each_table(ics: SmallIcs) -> None:
    """Which anybody can read again while the snapshot stays."""
    report = ics.run()
    versions = _versions(ics, report)
    assert versions.keys() == report.tables.keys()
    for table, version in versions.items():
        held = pl.scan_delta(str(ics.folder / "delta" / table), version=version).collect()
        assert held.height == report.tables[table]
    account = ics.folder / "private" / "runs" / f"{report.run_id}.json"
    assert os.name == "nt" or account.stat().st_mode & 0o077 == 0


def test_nothing_is_written_where_nothing_is_published(ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The switch comes first."""
    ics.run()
    before = {path: path.stat().st_mtime_ns for path in (ics.folder / "delta").rglob("*")}
    _deliver(ics, "20261121", row(4, ALLOWED))

    def broken(*_: object) -> None:
        raise IntegrityError("broken")

    monkeypatch.setattr(hub.switch, "publish", broken)
    with pytest.raises(IntegrityError):
        ics.run()
    assert {path: path.stat().st_mtime_ns for path in (ics.folder / "delta").rglob("*")} == before


def test_a_failure_is_told_and_the_next_run_catches_up(ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """The snapshot is published all the same; the command ends with the code for trying again."""
    ics.run()

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device: " + ALLOWED)

    _deliver(ics, "20261121", row(4, ALLOWED))
    with monkeypatch.context() as patch:
        patch.setattr(delta._Table, "_write", full)
        report = ics.run()
        assert report.behind is not None
        assert report.behind.exit_code == 75
        assert ALLOWED not in report.behind.message
        assert ics.current() == report.run_id
        patch.setattr(pipeline, "datetime", _Clock)
        told = CliRunner().invoke(app, ["run", str(ics.configuration)])
        assert told.exit_code == 75
        assert "warning: the snapshot is published, and the Delta tables were not" in told.output
        assert "published " in told.output
    assert _open(ics).count() == 3
    assert ics.run().behind is None
    assert _open(ics).count() == 4


class _Clock:
    """The time of the small ICS."""

    @staticmethod
    def now(_: object) -> object:
        return NOW


def test_what_a_broken_attempt_left_is_removed(ics: SmallIcs) -> None:
    """A file that no version names."""
    ics.run()
    left = ics.folder / "delta" / TABLE / "month=2026-05" / "1abc-broken.parquet"
    left.write_bytes(b"half a file")
    _deliver(ics, "20261121", row(4, ALLOWED))
    ics.run()
    assert not left.exists()


def test_other_columns_come_in_one_version(ics: SmallIcs) -> None:
    """A reader never sees a table without rows in between."""
    ics.replace('feed = "sus_op"', 'feed = "own.toml"')
    own = ics.folder / "own.toml"
    own.write_text('extends = "sus_op"\nname = "sus_op"\n')
    ics.run()
    version, columns = _open(ics).version(), _names(ics)
    own.write_text(
        'extends = "sus_op"\nname = "sus_op"\n[tables.appointment.columns]\n'
        'told = { source = "appointment.date", role = "date", type = "datetime" }\n'
    )
    report = ics.run()
    assert report.behind is None
    assert set(_names(ics)) - set(columns) == {"told"}
    assert _open(ics).count() == 3
    written = [each for each in _open(ics).history() if each["operation"] == "WRITE" and each["version"] > version]
    assert len(written) == 1
    assert pl.scan_delta(str(ics.folder / "delta" / TABLE)).collect().height == 3


def _names(ics: SmallIcs) -> list[str]:
    return [field.name for field in _open(ics).schema().fields]


def test_a_table_that_is_not_published_any_more_goes(ics: SmallIcs) -> None:
    """With all its versions."""
    ics.run()
    assert (ics.folder / "delta" / TABLE).is_dir()
    ics.replace('feed = "sus_op"', 'feed = "own.toml"')
    (ics.folder / "own.toml").write_text('extends = "sus_op"\nname = "other"\n')
    ics.run()
    assert not (ics.folder / "delta" / TABLE).exists()
    assert _open(ics, "other_appointment").count() == 3


def test_the_tables_follow_an_earlier_snapshot_too(ics: SmallIcs) -> None:
    """Going back to it takes them along."""
    first = _run_on(ics, 0)
    _deliver(ics, "20261121", row(4, ALLOWED))
    _run_on(ics, 1)
    assert _open(ics).count() == 4
    done = rollback(ics.configuration, first.run_id, reference="DOC-1", now=NOW + timedelta(days=1))
    assert done.behind is None
    assert _open(ics).count() == 3


def test_the_log_holds_counts_and_no_values(ics: SmallIcs) -> None:
    """Smallest and largest values of a column would be somebody's."""
    ics.run()
    for path in (ics.folder / "delta").rglob("*.json"):
        for line in path.read_text().splitlines():
            action = json.loads(line)
            if "add" in action:
                assert set(json.loads(action["add"]["stats"])) == {"numRecords"}
    text = "".join(path.read_text() for path in (ics.folder / "delta").rglob("*.json"))
    assert ALLOWED not in text
    assert _token(ics, ALLOWED).hex() not in text


def test_a_folder_that_holds_something_else_is_refused(ics: SmallIcs) -> None:
    """Before anything is read."""
    (ics.folder / "delta").mkdir()
    (ics.folder / "delta" / "mine.txt").write_text("x")
    with pytest.raises(ConfigurationError, match="holds no Delta tables of a store"):
        ics.run()
    assert ics.current() is None


def test_without_the_extra_the_run_says_what_to_install(ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Before anything is read."""
    monkeypatch.setitem(sys.modules, "deltalake", None)
    with pytest.raises(ConfigurationError, match="needs the package deltalake") as refused:
        ics.run()
    assert "linkage[delta]" in refused.value.hint
    assert ics.current() is None


def test_two_purposes_do_not_share_their_tables(ics: SmallIcs) -> None:
    """Each would remove what is the other's."""
    other = ics.folder / "other.toml"
    text = ics.configuration.read_text().replace('path = "store"', 'path = "other"')
    other.write_text('private = "otherwise"\n' + text.replace("ics:test", "ics:other"))
    first, second = pipeline.run_all([ics.configuration, other], now=NOW)
    assert first.error is None
    assert isinstance(second.error, LinkageError)
    assert "folder of Delta tables" in second.error.message


def test_the_page_is_true(ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its Python runs, word for word, in the folder where the tables are."""
    ics.run()
    monkeypatch.chdir(ics.folder)
    names: dict[str, Any] = {}
    (block,) = samples(PAGE.read_text(), "python")
    exec(compile(block, PAGE.name, "exec"), names)  # noqa: S102 our own page
    assert names["by_year"]["len"].sum() == 3
    with duckdb.connect() as connection:
        files = _open(ics, "event").file_uris()
        assert connection.execute(
            f"SELECT count(*) FROM read_parquet({files}, hive_partitioning = true)"
        ).fetchall() == [(3,)]
