"""The examples that run a purpose every night do, with the commands and the handling of exit codes that they show."""

from __future__ import annotations

import ast
import os
import re
import subprocess
import sys
import types
from pathlib import Path
from typing import Any

import pytest
from small import SmallIcs

from linkage.store.layout import Store
from linkage.store.lock import hold

EXAMPLES = Path(__file__).parent.parent / "examples"
PAGES = (
    EXAMPLES.parent / "docs" / "how-to" / "run-every-night.md",
    EXAMPLES.parent / "docs" / "reference" / "exit-codes.md",
)
BIN = Path(sys.executable).parent

pytestmark = pytest.mark.skipif(os.name != "posix", reason="written for POSIX schedulers")


@pytest.fixture
def ics(small_ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> SmallIcs:
    """The small ICS with an answer of today, and `linkage` on the path."""
    small_ics.answered()
    monkeypatch.setenv("PATH", f"{BIN}{os.pathsep}{os.environ['PATH']}")
    return small_ics


def nightly(ics: SmallIcs, **environment: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [str(EXAMPLES / "cron" / "nightly.sh"), "linkage.toml"],
        cwd=ics.folder, env={**os.environ, "LINKAGE_WAIT": "0", "LINKAGE_TRIES": "1", **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip


def test_cron_runs_and_keeps_a_log(ics: SmallIcs) -> None:
    """Nothing is printed, or cron would mail it; logs are the owner's, and old ones go."""
    logs = ics.folder / "logs"
    logs.mkdir()
    old, other = logs / "20200101T000000Z-1.log", logs / "notes.txt"
    for path in (old, other):
        path.write_text("x")
        os.utime(path, (0, 0))
    done = nightly(ics, LINKAGE_NOTIFY="cat > called")
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    assert ics.current()
    (log,) = logs.glob("*.log")
    assert f"published {ics.store.name}" in log.read_text().replace(f"{ics.folder}/", "")
    assert log.stat().st_mode & 0o077 == 0
    assert not old.exists()
    assert other.exists()
    assert list(logs.glob("events-*.jsonl"))
    assert not (ics.folder / "called").exists()


def test_cron_tries_again_only_where_that_may_help(ics: SmallIcs) -> None:
    """Another run holds the store: as often as it is told. A stale register: once, and somebody is called."""
    store = Store(ics.store)
    store.make()
    with hold(store):
        assert nightly(ics, LINKAGE_NOTIFY="cat > called", LINKAGE_TRIES="2").returncode == 75
    (log,) = (ics.folder / "logs").glob("*.log")
    assert log.read_text().count("another run holds the store") == 3
    assert "exit code 75" in (ics.folder / "called").read_text()
    ics.answered(days_ago=30)
    log.unlink()
    assert nightly(ics, LINKAGE_NOTIFY="cat > called", LINKAGE_TRIES="2").returncode == 4
    (log,) = (ics.folder / "logs").glob("*.log")
    assert log.read_text().count("error: ") == 1
    called = (ics.folder / "called").read_text()
    assert called.startswith("linkage run linkage.toml ended with exit code 4\n")
    assert "hint: " in called


class RetryRequested(Exception):
    """Dagster's."""

    def __init__(self, max_retries: int, seconds_to_wait: int) -> None:
        super().__init__(max_retries, seconds_to_wait)


class Failure(Exception):
    """Dagster's; it is not tried again."""

    def __init__(self, description: str, allow_retries: bool) -> None:
        super().__init__(description)
        assert not allow_retries


class AirflowException(Exception):
    """Tried again."""


class AirflowFailException(AirflowException):
    """Not tried again."""


def plain(*words: Any, **settings: Any) -> Any:
    """A decorator that changes nothing, with settings or without."""
    return words[0] if words else lambda function: function


@pytest.fixture
def schedulers(monkeypatch: pytest.MonkeyPatch) -> None:
    """Stand-ins with the names that the examples use, as the documentation of Dagster and Airflow 3 has them."""

    def module(name: str, **names: object) -> None:
        made = types.ModuleType(name)
        made.__dict__.update(names)
        monkeypatch.setitem(sys.modules, name, made)

    nothing = lambda **_: None  # noqa: E731
    module(
        "dagster", op=plain, job=lambda function: function, RetryRequested=RetryRequested, Failure=Failure,
        Definitions=nothing, ScheduleDefinition=nothing, OpExecutionContext=object,
    )  # fmt: skip
    module("airflow")
    module("airflow.exceptions", AirflowException=AirflowException, AirflowFailException=AirflowFailException)
    module("airflow.sdk", task=plain, dag=lambda **_: lambda function: lambda: None)


class Log:
    """Where Dagster's op logs."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.log = self

    def info(self, line: str) -> None:
        self.lines.append(line)


@pytest.mark.usefixtures("schedulers")
@pytest.mark.parametrize(
    ("name", "again", "fails"),
    [("dagster", RetryRequested, Failure), ("airflow", AirflowException, AirflowFailException)],
)
def test_schedulers_try_again_only_where_that_may_help(
    ics: SmallIcs, caplog: pytest.LogCaptureFixture, name: str, again: type[Exception], fails: type[Exception]
) -> None:
    """The example as it stands but for its folder; its events come into the scheduler's log."""
    caplog.set_level("INFO")
    names: dict[str, Any] = {"__name__": "example"}
    source = EXAMPLES / name / "nightly.py"
    exec(compile(source.read_text(), str(source), "exec"), names)  # noqa: S102 our own example
    names["FOLDER"] = ics.folder
    log = Log()
    work = names["linkage_run"]
    words = (log,) if name == "dagster" else ()
    work(*words)
    assert ics.current()
    said = [*log.lines, *(record.getMessage() for record in caplog.records)]
    assert any('"published"' in line for line in said)
    with hold(Store(ics.store)), pytest.raises(again) as tried:
        work(*words)
    assert type(tried.value) is again
    ics.answered(days_ago=30)
    with pytest.raises(fails, match="4"):
        work(*words)
    assert any('"refused"' in line and '"PolicyError"' in line for line in [*log.lines, caplog.text])


@pytest.mark.parametrize("name", ["dagster", "airflow"])
def test_the_command_of_an_example_runs(ics: SmallIcs, name: str) -> None:
    """Taken from the source, without the scheduler."""
    tree = ast.parse((EXAMPLES / name / "nightly.py").read_text())
    (command,) = [
        ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name) and node.targets[0].id == "COMMAND"
    ]
    assert command[:2] == ["linkage", "run"]
    done = subprocess.run(command, cwd=ics.folder, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert (ics.folder / "events.jsonl").is_file()


def break_the_configuration(ics: SmallIcs) -> None:
    ics.replace("[store]", "[stores]")


def break_the_extract(ics: SmallIcs) -> None:
    ics.extract.write_text("not,these,columns\n1,2,3\n")


def let_the_register_age(ics: SmallIcs) -> None:
    ics.answered(days_ago=30)


def lose_the_identity(ics: SmallIcs) -> None:
    (ics.folder / "keys.identity").unlink()


def damage_the_roster(ics: SmallIcs) -> None:
    subprocess.run(["linkage", "run", "linkage.toml"], cwd=ics.folder, capture_output=True, check=True)
    for path in (ics.folder / "private" / "roster").rglob("*.age"):
        path.unlink()


def change_nothing(ics: SmallIcs) -> None:
    """A good run."""


@pytest.mark.parametrize(
    ("damage", "code"),
    [
        (change_nothing, 0),
        (break_the_configuration, 2),
        (break_the_extract, 3),
        (let_the_register_age, 4),
        (lose_the_identity, 5),
        (damage_the_roster, 6),
    ],
)
def test_each_exit_code_of_a_command(ics: SmallIcs, damage: Any, code: int) -> None:
    """And what a person is told, in two lines."""
    damage(ics)
    done = subprocess.run(
        ["linkage", "run", "linkage.toml"], cwd=ics.folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == code, done.stderr
    said = [line.split(":")[0] for line in done.stderr.splitlines() if not line.startswith("warning: ")]
    assert said == ([] if code == 0 else ["error", "hint"])
    for page in PAGES:
        assert code == 0 or re.search(rf"^\| (\d+, )*{code}(, \d+)* \|", page.read_text(), re.MULTILINE)


def test_a_store_that_is_held_is_tried_again(ics: SmallIcs) -> None:
    Store(ics.store).make()
    with hold(Store(ics.store)):
        done = subprocess.run(
            ["linkage", "run", "linkage.toml"], cwd=ics.folder, capture_output=True, text=True, check=False
        )
    assert done.returncode == 75
    assert f"process {os.getpid()} of " in done.stderr
