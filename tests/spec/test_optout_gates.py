"""Whatever is the matter with a register: nothing is published, and what was published before stays as it was."""

from __future__ import annotations

import re
import shutil
from pathlib import Path

import pytest
from small import SmallIcs

from linkage.errors import LinkageError, PolicyError
from spec.optout_gates import AGES, GATES, Age, Gate, make_gated


@pytest.fixture(scope="module")
def good(tmp_path_factory: pytest.TempPathFactory) -> SmallIcs:
    """After a good run."""
    ics = make_gated(tmp_path_factory.mktemp("gated"))
    ics.run()
    return ics


def _published(ics: SmallIcs) -> dict[str, bytes]:
    files = [path for path in ics.store.rglob("*") if path.is_file() and path.name != "lock"]
    return {path.relative_to(ics.store).as_posix(): path.read_bytes() for path in files}


@pytest.mark.parametrize("gate", GATES, ids=lambda gate: f"{gate.register} {gate.state}: {gate.words}")
def test_a_register_that_is_not_good_publishes_nothing(good: SmallIcs, tmp_path: Path, gate: Gate) -> None:
    """Byte for byte; and the error repeats no number."""
    shutil.copytree(good.folder, tmp_path / "ics")
    ics = SmallIcs(tmp_path / "ics")
    before = _published(ics)
    gate.change(ics)
    with pytest.raises(LinkageError, match=gate.said) as caught:
        ics.run()
    assert caught.value.exit_code == gate.exit_code
    assert _published(ics) == before
    assert not re.search(r"\d{3}[ -]?\d{3}[ -]?\d{4}", f"{caught.value.message}\n{caught.value.hint}")


@pytest.mark.parametrize("age", AGES, ids=lambda age: f"{age.register}: {age.words}")
def test_how_old_is_too_old(good: SmallIcs, tmp_path: Path, age: Age) -> None:
    """To the day, and what covers the flows to the person."""
    shutil.copytree(good.folder, tmp_path / "ics")
    ics = SmallIcs(tmp_path / "ics")
    before = _published(ics)
    age.change(ics)
    if age.good:
        assert ics.run().tables["sus_op_appointment"] > 0
        return
    with pytest.raises(PolicyError):
        ics.run()
    assert _published(ics) == before


def test_every_register_is_missing_stale_truncated_and_swapped_once() -> None:
    """Type 1 codes have no list that could be swapped; a register of one's own looks after itself."""
    states = {(gate.register, gate.state) for gate in GATES}
    wanted = {"missing", "stale", "truncated", "swapped"}
    for register in ("national", "practices", "objections", "sensitive", "restricted"):
        assert wanted <= {state for each, state in states if each == register}, register
    assert {("type 1", state) for state in wanted - {"swapped"}} <= states
