"""The drills that the examples script do what their pages say: a key that is known to others, and a machine that is lost."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
from small import ALLOWED, OPTED_OUT, SmallIcs, make_small_ics

import linkage
from linkage.audit.log import lines_of
from linkage.pseudonymise import Keyset

DRILLS = Path(__file__).parent.parent / "examples" / "drills"
PAGE = (DRILLS.parents[1] / "docs" / "how-to" / "key-drills.md").read_text(encoding="utf-8")

pytestmark = pytest.mark.skipif(os.name != "posix", reason="written for POSIX shells")


@pytest.fixture
def ics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> SmallIcs:
    """A published snapshot of two people, by the clock, and `linkage` on the path."""
    folder = tmp_path / "ics"
    folder.mkdir()
    made = make_small_ics(folder)
    made.answer.write_text(f"{ALLOWED},\n{OPTED_OUT},\n")
    made.answered()
    monkeypatch.setenv("PATH", f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}")
    linkage.run(made.configuration)
    return made


def _drill(name: str, *arguments: object, folder: Path) -> str:
    done = subprocess.run(
        [str(DRILLS / name), *map(str, arguments)], cwd=folder, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def _people(folder: Path) -> set[str]:
    with linkage.open_store(folder / "store") as connection:
        return {str(token) for (token,) in connection.execute("SELECT token FROM person").fetchall()}


def test_a_key_that_is_known_to_others_is_left(ics: SmallIcs) -> None:
    """Disabled, replaced, the store moved; the report has the log and holds no secret."""
    old, before = Keyset.open("age://keys.age", base=ics.folder).key_id, _people(ics.folder)
    said = _drill("compromise.sh", "linkage.toml", "age://keys.age", old, "report", folder=ics.folder)
    assert "--confirm" in said
    assert not _people(ics.folder) & before
    report = ics.folder / "report"
    assert f"{old}  disabled" in (report / "keys").read_text()
    assert "continues the 1 earlier checkpoint given" in (report / "verified").read_text()
    acts = [json.loads(line)["act"] for line in lines_of(report / "log")]
    assert {"key.disable", "key.rotate", "rekey", "publish"} <= set(acts)
    assert "AGE-SECRET" not in "".join(path.read_text() for path in report.rglob("*") if path.is_file())
    people = _people(ics.folder)
    linkage.run(ics.configuration, full=True)
    assert _people(ics.folder) == people
    for command in ("keys rekey linkage.toml --confirm", f"keys destroy age://keys.age {old} --sure --audit audit"):
        subprocess.run(["linkage", *command.split()], cwd=ics.folder, check=True, capture_output=True)
    linkage.run(ics.configuration)


def test_a_machine_that_is_lost_is_restored(ics: SmallIcs, tmp_path: Path) -> None:
    """Keyset by the identity from the safe, store and log from the backup; people have the tokens that they had."""
    people, safe, note = _people(ics.folder), tmp_path / "safe.identity", tmp_path / "checkpoint"
    subprocess.run(
        ["linkage", "audit", "checkpoint", str(ics.configuration), "--out", str(note)], check=True, capture_output=True
    )
    shutil.copy(ics.folder / "keys.identity", safe)
    shutil.copytree(ics.folder, tmp_path / "backup", ignore=shutil.ignore_patterns("keys.identity"))
    shutil.move(ics.folder, tmp_path / "lost")
    said = _drill("restore.sh", tmp_path / "backup", ics.folder, safe, note, folder=tmp_path)
    assert "whole" in said
    assert _people(ics.folder) == people
    again = subprocess.run(
        [str(DRILLS / "restore.sh"), str(tmp_path / "backup"), str(ics.folder), str(safe), str(note)],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert (again.returncode, again.stderr) == (2, f"error: {ics.folder} exists\n")


def test_a_backup_that_is_not_whole_is_not_restored(ics: SmallIcs, tmp_path: Path) -> None:
    """Its log does not continue what lies elsewhere: somebody wrote it anew, or the backup is older than was said."""
    shutil.copytree(ics.folder, tmp_path / "backup")
    linkage.run(ics.configuration)
    note = tmp_path / "checkpoint"
    subprocess.run(
        ["linkage", "audit", "checkpoint", str(ics.configuration), "--out", str(note)], check=True, capture_output=True
    )
    done = subprocess.run(
        [str(DRILLS / "restore.sh"), tmp_path / "backup", tmp_path / "new", ics.folder / "keys.identity", note],
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert done.returncode == 6
    assert "is not what its checkpoint" in done.stderr


def test_the_page_names_the_scripts() -> None:
    """And they are there."""
    for script in sorted(DRILLS.glob("*.sh")):
        assert f"../../examples/drills/{script.name}" in PAGE
        assert os.access(script, os.X_OK)
