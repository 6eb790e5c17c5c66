"""`linkage open`: what it prints opens the snapshot, and nothing else can be reached through it."""

from __future__ import annotations

import os
import re
import shlex
import stat
import subprocess
import sys
from pathlib import Path

import duckdb
import pytest
from small import SmallIcs
from typer.testing import CliRunner

from linkage.cli import app
from linkage.errors import ConfigurationError, InputError, IntegrityError
from linkage.pipeline import RunReport
from linkage.store import shell
from linkage.store.open import open_store

Published = tuple[SmallIcs, RunReport]
SETTINGS = (
    "enable_external_access",
    "autoinstall_known_extensions",
    "autoload_known_extensions",
    "allow_community_extensions",
    "lock_configuration",
)


def say(*words: object) -> str:
    done = CliRunner().invoke(app, [str(word) for word in words], catch_exceptions=False)
    assert done.exit_code == 0, done.output
    return done.output


def printed(ics: SmallIcs) -> dict[str, str]:
    """What is printed, by heading."""
    parts = re.split(r"^-- (.*)\n", say("open", ics.store, "--print"), flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))


READ_SETTINGS = "SELECT " + ", ".join(f"current_setting('{name}')" for name in SETTINGS)


def settings(ics: SmallIcs) -> object:
    """Those of the library; a process has a file open in one way only, so they are asked for first."""
    with open_store(ics.store) as connection:
        return connection.execute(READ_SETTINGS).fetchone()


def check(connection: duckdb.DuckDBPyConnection, ics: SmallIcs, wanted: object) -> None:
    """The snapshot can be read, under both names; the rest of the machine cannot, and that cannot be changed."""
    assert connection.execute("SELECT count(*) FROM event").fetchone() == (4,)
    assert connection.execute("SELECT count(*) FROM text.person").fetchone() == (1,)
    assert connection.execute(READ_SETTINGS).fetchone() == wanted
    for statement in (
        f"SELECT * FROM read_text('{ics.configuration}')",
        f"SELECT * FROM read_text('{ics.folder}/private/store')",
        "SELECT * FROM 'https://example.org/x.parquet'",
        "SET enable_external_access = true",
        f"SET allowed_directories = ['{ics.folder}/']",
        f"COPY (SELECT 1) TO '{ics.folder}/out.csv'",
        f"ATTACH '{ics.folder}/other.duckdb'",
        "CREATE TABLE person_2 AS SELECT 1",
        "INSTALL httpfs",
        "LOAD httpfs",
    ):
        with pytest.raises(duckdb.Error):
            connection.execute(statement)


def test_the_printed_python_opens_the_snapshot(published: Published, capsys: pytest.CaptureFixture[str]) -> None:
    ics, _ = published
    names: dict[str, object] = {}
    wanted = settings(ics)
    exec(compile(printed(ics)["Python"], "open", "exec"), names)  # noqa: S102 our own page
    connection = names["connection"]
    assert isinstance(connection, duckdb.DuckDBPyConnection)
    with connection:
        check(connection, ics, wanted)
    assert "people" in capsys.readouterr().out


def test_the_printed_sql_opens_the_snapshot(published: Published) -> None:
    ics, _ = published
    wanted = settings(ics)
    with duckdb.connect() as connection:
        connection.execute(printed(ics)["SQL, in a DuckDB that is open already"])
        check(connection, ics, wanted)


def test_the_printed_r_says_the_same_as_the_python(published: Published) -> None:
    """R is not there to run it; its strings are those of the Python, which was."""
    ics, _ = published
    said = printed(ics)
    assert re.findall(r'"(SET .*|.*linked\.duckdb)"', said["R"]) == re.findall(
        r'"(SET .*|.*linked\.duckdb)"', said["Python"]
    )


SHELL = """#!{python}
import sys, duckdb
words, settings = sys.argv[1:], []
database = words.pop()
assert words[:3] == ["-readonly", "-init", "/dev/null"], words
connection = duckdb.connect(database, read_only=True)
for word, command in zip(words[3::2], words[4::2], strict=True):
    assert word == "-cmd", word
    for each in ["SET enable_external_access=false", "SET lock_configuration=true"] if command == ".safe_mode" else [command]:
        connection.execute(each)
print(connection.execute("SELECT count(*) FROM event").fetchone()[0], "events, arguments are good")
"""


@pytest.mark.skipif(os.name != "posix", reason="a stand-in that POSIX can execute")
def test_duckdbs_own_shell_is_started_where_it_is(published: Published, tmp_path: Path) -> None:
    """A stand-in does what the shell of DuckDB 1.5 was seen to do with these arguments."""
    ics, _ = published
    program = tmp_path / "bin" / "duckdb"
    program.parent.mkdir()
    program.write_text(SHELL.format(python=sys.executable))
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    path = {**os.environ, "PATH": f"{program.parent}{os.pathsep}{os.environ['PATH']}"}
    command = [sys.executable, "-c", "from linkage.cli import main; main()", "open", str(ics.configuration)]
    started = subprocess.run(command, env=path, capture_output=True, text=True, check=True)
    assert started.stdout == "4 events, arguments are good\n"
    line = printed(ics)["DuckDB's own shell"].strip()
    assert shlex.split(line)[1:] == shell.arguments((ics.store / "snapshots" / (ics.current() or "")).resolve())
    assert (
        subprocess.run(["sh", "-c", line], env=path, capture_output=True, text=True, check=True).stdout
        == started.stdout
    )


def test_without_it_what_to_type_is_printed(published: Published, monkeypatch: pytest.MonkeyPatch) -> None:
    ics, _ = published
    monkeypatch.setenv("PATH", str(ics.folder))
    assert say("open", ics.configuration) == say("open", ics.store, "--print")


def test_one_question_is_answered(published: Published) -> None:
    ics, _ = published
    answer = say("open", ics.configuration, "--sql", "SELECT feed, count(*) AS events FROM event GROUP BY ALL")
    assert re.search(r"sus_op\s*│\s*4\b", answer)


@pytest.mark.parametrize(
    ("query", "problem"),
    [
        ("SELECT no_such FROM person", "no_such"),
        ("SELEC 1", "syntax"),
        ("SELECT * FROM read_text('linkage.toml')", "cannot be run: PermissionException"),
        ("DROP TABLE load", "cannot be run|the query"),
        ("SELECT CAST(sex AS INTEGER) FROM person", "cannot be run: ConversionException$"),
    ],
)
def test_a_query_that_cannot_be_run_says_why(published: Published, query: str, problem: str) -> None:
    """Where DuckDB's words could repeat a value they are withheld."""
    ics, _ = published
    with pytest.raises(ConfigurationError, match=problem):
        say("open", ics.store, "--sql", query)


def test_quotes_in_a_path_are_quoted(tmp_path: Path) -> None:
    folder = tmp_path / 'it\'s a "store"'
    folder.mkdir()
    with duckdb.connect(str(folder / "linked.duckdb")) as connection:
        connection.execute("CREATE TABLE person AS SELECT 1 AS token")
    with duckdb.connect() as connection:
        connection.execute(shell.sql(folder))
        assert connection.execute("SELECT count(*) FROM person").fetchone() == (1,)
    exec(compile(shell.python(folder), "open", "exec"), {})  # noqa: S102 our own page
    assert shlex.split(shell.shell(folder))[1:] == shell.arguments(folder)


def test_nothing_published_and_nothing_there_are_told_apart(small_ics: SmallIcs) -> None:
    with pytest.raises(InputError, match="nothing has been published"):
        say("open", small_ics.configuration)
    small_ics.run()
    (small_ics.store / "current").write_text("20260101T000000Z-000000")
    with pytest.raises(IntegrityError, match="not there"):
        say("open", small_ics.configuration)


def test_a_path_that_is_not_there_is_said_to_be_neither(tmp_path: Path) -> None:
    done = CliRunner().invoke(app, ["open", str(tmp_path / "nosuch")])
    assert isinstance(done.exception, ConfigurationError)
    assert "name a store, or the linkage.toml" in done.exception.hint
