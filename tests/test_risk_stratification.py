"""The example of a score that goes back to care: as a script, as a notebook, and what it leaves behind."""

from __future__ import annotations

import io
import json
import os
import re
import sys
from collections.abc import Iterator
from contextlib import redirect_stdout
from importlib import import_module
from pathlib import Path
from types import ModuleType

import numpy as np
import polars as pl
import pytest
from typer.testing import CliRunner

from linkage import Keyset
from linkage.cli import app
from linkage.reidentify.opening import open_package
from made_up import MadeUp, Search, copied

FOLDER = Path(__file__).parent.parent / "examples" / "risk_stratification"

pytestmark = pytest.mark.skipif(os.name != "posix", reason="the example names its keys by POSIX paths")


@pytest.fixture(scope="module")
def run() -> Iterator[ModuleType]:
    """The example, its commands in this process."""
    with pytest.MonkeyPatch.context() as patch:
        patch.syspath_prepend(str(FOLDER))
        module = import_module("run")

        def command(*words: str) -> str:
            done = CliRunner().invoke(app, list(words), catch_exceptions=False)
            assert done.exit_code == 0, done.output
            module.say(done.stdout)
            return done.stdout

        patch.setattr(module, "command", command)
        yield module
        for name in ("run", "score"):
            sys.modules.pop(name)


@pytest.fixture(scope="module")
def ics(made_up: MadeUp, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A made-up ICS after a run."""
    return copied(made_up, tmp_path_factory.mktemp("risk") / "demo")


@pytest.fixture(scope="module")
def told(ics: Path, run: ModuleType) -> str:
    """What the script said."""
    said = io.StringIO()
    with pytest.MonkeyPatch.context() as patch, redirect_stdout(said):
        patch.setattr(sys, "argv", ["run.py", str(ics)])
        run.main()
    return said.getvalue()


def test_the_script_goes_the_whole_way(ics: Path, told: str) -> None:
    """Every package names people who are registered there and said no to nothing, by the truth about everybody."""
    truth = pl.read_parquet(ics / "truth" / "people.parquet")
    holder = Keyset.open("age://keys/ics.age", base=ics).signer().verifier
    released = Path(re.findall(r"practices: (\S+)", told)[0])
    named = 0
    for package in filter(Path.is_dir, released.iterdir()):
        files = open_package(package, ics / "care" / f"{package.name}.key", holder)
        rows = pl.read_csv(files["cohort.csv"], infer_schema=False)
        assert rows.columns == ["nhs_number", "reason", "risk_percent", "deficits", "frailty"]
        known = rows.select(pl.col("nhs_number").cast(pl.Int64)).join(truth, on="nhs_number")
        assert known.height == rows.height > 0
        assert {*known["practice"]} == {package.name}
        assert known["practice_shares"].all()
        assert not known.select(pl.any_horizontal("national_opt_out", "type1_opt_out", "sensitive").any()).item()
        named += rows.height
    assert f"released {named:,} of 40 people" in told
    assert "one practice reads of " in told


def test_no_file_that_it_leaves_names_anybody(ics: Path, told: str) -> None:
    """But the one that the practice opened: requests, decisions, packages, the log, the register, what was printed."""
    search = Search(pl.read_parquet(ics / "truth" / "people.parquet"))
    search.text(told, "what was printed")
    search.folder(ics / "released")
    search.folder(ics / "audit")
    for path in (ics / "care").iterdir():
        if path.is_dir() and not path.name.startswith("opened"):
            search.folder(path)
        elif path.suffix in (".parquet", ".json", ".toml", ".svg"):
            search.text(path.read_bytes().decode("latin-1"), path)
    with pytest.raises(AssertionError, match="an NHS number"):
        search.folder(ics / "care" / "opened")


def test_the_notebook_goes_the_whole_way_too(
    ics: Path, told: str, run: ModuleType, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Its cells, one after another, where the demo is; it keeps no output, so it shows nobody."""
    assert told
    assert sys.modules["run"] is run
    monkeypatch.chdir(ics.parent)
    notebook = json.loads((FOLDER / "risk_stratification.ipynb").read_text())
    names: dict[str, object] = {}
    cells = [cell for cell in notebook["cells"] if cell["cell_type"] == "code"]
    assert all(cell["outputs"] == [] for cell in cells)
    for cell in cells:
        exec(compile("".join(cell["source"]), "notebook", "exec"), names)  # noqa: S102 our own page
    assert (ics / "care" / "opened-from-notebook" / "cohort.csv").exists()


def test_the_model_finds_what_is_there(run: ModuleType) -> None:
    """Of people whose chance is known, the weights come back, and what it says is what comes."""
    score = run.score
    random = np.random.default_rng(5)
    people = pl.DataFrame(
        {
            "token": [f"{each:032x}" for each in random.integers(0, 2**62, 40_000)],
            "deficits": random.integers(0, 12, 40_000),
            "age": random.integers(65, 95, 40_000),
            "attendances": random.integers(0, 5, 40_000),
        }
    )
    odds = -3 + 0.2 * people["deficits"] + 0.5 * (people["age"] - 75) / 10 + 0.3 * people["attendances"]
    chance = 1 / (1 + np.exp(-odds.to_numpy()))
    people = people.with_columns(admitted=pl.Series(random.random(40_000) < chance))
    fitted, shown = score.halves(people)
    assert abs(fitted.height - shown.height) < 1_000
    model = score.Model.fit(fitted)
    assert np.abs(model.weights - [-3, 0.2, 0.5, 0.3]).max() < 0.1
    found = score.calibration(model, shown)
    assert (found["said"] - found["came"]).abs().max() < 0.02  # type: ignore[operator]
    top = score.cohort(model, people, 10)
    assert top["risk_percent"].to_list() == sorted(top["risk_percent"], reverse=True)
    assert {*top["frailty"]} <= {"fit", "mild", "moderate", "severe"}
