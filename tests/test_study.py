"""Tables of a study: two ICSs meet in one, and two studies do not meet."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import polars as pl
import pyrage
import pytest

from linkage.errors import ConfigurationError, InputError, IntegrityError
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.study import Way, move

NUMBERS = ["9434765919", "9434765870", "0101011113", "3462950622"]


def _keyset(folder: Path, name: str) -> KeyHolderKeyset:
    path = folder / f"{name}.age"
    if not path.exists():
        Keyset.create(path)
    return KeyHolderKeyset.open(f"age://{path}")


def _way(folder: Path, ics: str, study: str) -> Way:
    return Way(_keyset(folder, ics), f"ics:{ics}", _keyset(folder, study), f"study:{study}")


def _table(folder: Path, ics: str, numbers: list[str | None]) -> Path:
    keyset = _keyset(folder, ics).pseudonymiser(f"ics:{ics}")
    people = pl.Series(numbers, dtype=pl.String)
    frame = pl.DataFrame(
        {
            "record": keyset.record_tokens(pl.Series([f"spell {n}" for n in range(len(numbers))]), "sus_apc.spell_id"),
            "token": keyset.tokenise(people)[0],
            "mother": keyset.tokenise(people.reverse())[0],
            "age": list(range(len(numbers))),
        }
    )
    path = folder / f"{ics}-{len(list(folder.iterdir()))}.parquet"
    frame.write_parquet(path)
    return path


def _moved(folder: Path, ics: str, study: str, numbers: list[str | None]) -> pl.DataFrame:
    target = folder / f"{ics}-{study}.parquet"
    move(_table(folder, ics, numbers), target, _way(folder, ics, study))
    return pl.read_parquet(target)


def test_two_icss_meet_in_a_study(tmp_path: Path) -> None:
    """The same people have the same tokens, though neither ICS's tokens fit the other's."""
    one = _moved(tmp_path, "qxx", "frailty", [*NUMBERS[:3]])
    two = _moved(tmp_path, "qyy", "frailty", [*NUMBERS[1:]])
    assert len(set(one["token"]) & set(two["token"])) == 2
    assert not set(one["record"]) & set(two["record"])


def test_two_studies_do_not_meet(tmp_path: Path) -> None:
    """Nor does a study meet the ICS: neither people nor records."""
    one = _moved(tmp_path, "qxx", "frailty", [*NUMBERS])
    two = _moved(tmp_path, "qxx", "falls", [*NUMBERS])
    old = pl.read_parquet(_table(tmp_path, "qxx", [*NUMBERS]))
    for column in ("token", "record", "mother"):
        assert len(set(one[column]) | set(two[column]) | set(old[column])) == 12


def test_within_a_study_everything_still_joins(tmp_path: Path) -> None:
    """Each row keeps what it says, and one person's tokens are alike in every column; a null stays one."""
    made = _moved(tmp_path, "qxx", "frailty", [*NUMBERS[:2], None])
    old = pl.read_parquet(_table(tmp_path, "qxx", [*NUMBERS[:2], None]))
    assert sorted(made["age"]) == sorted(old["age"])
    assert made["token"].null_count() == made["mother"].null_count() == 1
    by_age = {row["age"]: row for row in made.iter_rows(named=True)}
    assert by_age[0]["token"] == by_age[2]["mother"]


def test_the_order_tells_nothing(tmp_path: Path) -> None:
    """Rows are sorted by the new token."""
    made = _moved(tmp_path, "qxx", "frailty", [*NUMBERS])
    assert made["token"].to_list() == sorted(made["token"])


def test_only_with_the_studys_keyset_do_they_come_back(tmp_path: Path) -> None:
    """Which is why the tables go to neither key holder."""
    made = _moved(tmp_path, "qxx", "frailty", [*NUMBERS])
    numbers = _keyset(tmp_path, "frailty").reverser("study:frailty").reverse(made["token"])[0]
    assert set(numbers) == {*NUMBERS}
    assert _keyset(tmp_path, "qxx").reverser("ics:qxx").reverse(made["token"])[0].null_count() == 4


@pytest.mark.parametrize("mixed", [False, True])
def test_tokens_of_somebody_else_are_refused(tmp_path: Path, mixed: bool) -> None:
    """Nothing is written; a column of another domain's people is not taken for one of records unnoticed where some are ours."""
    path = _table(tmp_path, "qxx", [*NUMBERS])
    foreign = pl.read_parquet(_table(tmp_path, "qyy", [*NUMBERS]))["token"]
    frame = pl.read_parquet(path)
    if mixed:
        foreign = pl.concat([frame["token"].head(3), foreign.tail(1)])
    frame.with_columns(foreign.alias("token")).write_parquet(path)
    target = tmp_path / "x.parquet"
    with pytest.raises(IntegrityError, match="'token'"):
        move(path, target, _way(tmp_path, "qxx", "frailty"))
    assert not list(tmp_path.glob("*x.parquet*"))


def test_a_foreign_token_far_down_is_refused_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond the values by which the column was told."""
    monkeypatch.setattr("linkage.study.PROBE", 2)
    path = _table(tmp_path, "qxx", [*NUMBERS])
    frame = pl.read_parquet(path)
    foreign = pl.read_parquet(_table(tmp_path, "qyy", [*NUMBERS]))["token"]
    frame.with_columns(pl.concat([frame["token"].head(3), foreign.tail(1)]).alias("token")).write_parquet(path)
    with pytest.raises(IntegrityError):
        move(path, tmp_path / "x.parquet", _way(tmp_path, "qxx", "frailty"))
    assert not list(tmp_path.glob("*x.parquet*"))


def test_a_table_without_tokens_and_a_taken_name_are_refused(tmp_path: Path) -> None:
    """Before anything is written."""
    path = tmp_path / "t.parquet"
    pl.DataFrame({"a": [b"short"], "b": [1]}).write_parquet(path)
    with pytest.raises(InputError, match="no column"):
        move(path, tmp_path / "x.parquet", _way(tmp_path, "qxx", "frailty"))
    with pytest.raises(InputError, match="exists"):
        move(path, path, _way(tmp_path, "qxx", "frailty"))


def test_the_command(tmp_path: Path) -> None:
    """From the shell; and it says what is to be known."""
    path = _table(tmp_path, "qxx", [*NUMBERS])
    _keyset(tmp_path, "frailty")
    said = subprocess.run(
        [
            sys.executable, "-c", "from linkage.cli import main; main()", "federate", "translate", path.name, "out.parquet",
            "--keyset", "age://qxx.age", "--domain", "ics:qxx", "--study", "age://frailty.age",
            "--study-domain", "study:frailty",
        ],
        cwd=tmp_path, capture_output=True, text=True, check=True,
    ).stdout  # fmt: skip
    assert "made out.parquet: 4 rows; record (record), token (person), mother (person)" in said
    assert "neither key holder" in said


@pytest.mark.skipif(os.name != "posix", reason="the script is for a POSIX shell")
def test_two_key_holders_exchange_by_the_script(tmp_path: Path) -> None:
    """One begins, each moves a table with an identity of their own, people meet, and the keysets are destroyed."""
    script = Path(__file__).parent.parent / "examples" / "study" / "key_holder.sh"
    path = f"{Path(sys.executable).parent}{os.pathsep}{os.environ['PATH']}"

    def run(name: str, *words: str) -> None:
        folder = tmp_path / name
        told = {"KEYSET": f"age://{name}.age", "DOMAIN": f"ics:{name}", "IDENTITY": f"{name}.identity"}
        environment = {**os.environ, **told, "STUDY_IDENTITY": "own.identity", "PATH": path}
        subprocess.run([str(script), *words], cwd=folder, env=environment, capture_output=True, check=True)

    public = []
    for name, numbers in (("qxx", NUMBERS[:3]), ("qyy", NUMBERS[1:])):
        folder = tmp_path / name
        folder.mkdir()
        own = pyrage.x25519.Identity.generate()
        (folder / "own.identity").write_text(f"{own}\n")
        (folder / "own.identity").chmod(0o600)
        public.append(str(own.to_public()))
        _table(folder, name, [*numbers]).rename(folder / f"cohort-{name}.parquet")
    run("qxx", "begin", "frailty", *public)
    shutil.copy(tmp_path / "qxx" / "frailty.age", tmp_path / "qyy" / "frailty.age")
    tokens = []
    for name in ("qxx", "qyy"):
        run(name, "table", "frailty", f"cohort-{name}.parquet")
        tokens.append(set(pl.read_parquet(tmp_path / name / "to-study" / f"cohort-{name}.parquet")["token"]))
        run(name, "end", "frailty")
    assert len(tokens[0] & tokens[1]) == 2
    assert not list(tmp_path.rglob("frailty.age"))


@pytest.mark.parametrize(
    "other",
    [
        pl.col("token").bin.encode("hex"),
        pl.concat_list("token", "mother"),
        pl.struct("mother"),
        pl.when(pl.int_range(pl.len()) == 0).then(pl.lit(b"none")).otherwise(pl.col("mother")),
    ],
    ids=["text", "list", "struct", "one that is none"],
)
def test_tokens_that_would_stay_as_they_are_are_refused(tmp_path: Path, other: pl.Expr) -> None:
    """They would match the study with the ICS, row by row."""
    path = _table(tmp_path, "qxx", NUMBERS)
    pl.read_parquet(path).with_columns(other.alias("other")).write_parquet(path)
    with pytest.raises(InputError, match="column 'other' could hold tokens"):
        move(path, tmp_path / "made.parquet", _way(tmp_path, "qxx", "frailty"))
    assert not (tmp_path / "made.parquet").exists()


@pytest.mark.parametrize("domain", ["study:qxx", "ics:qxx"])
def test_a_study_has_a_secret_of_its_own(tmp_path: Path, domain: str) -> None:
    """Its keyset goes to another ICS, and in the domain of the ICS nothing would change at all."""
    keyset = _keyset(tmp_path, "qxx")
    with pytest.raises(ConfigurationError, match="the secret of the ICS"):
        move(_table(tmp_path, "qxx", NUMBERS), tmp_path / "made.parquet", Way(keyset, "ics:qxx", keyset, domain))
    assert not (tmp_path / "made.parquet").exists()
