"""The three made-up ICSs: the truth lies within the stated bounds, and nobody is counted twice."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from types import ModuleType

import polars as pl
import pytest

EXAMPLE = Path(__file__).parent.parent.parent / "examples" / "federation"


@pytest.fixture(scope="module")
def three() -> ModuleType:
    """The example's module."""
    sys.path.insert(0, str(EXAMPLE))
    try:
        import three_icss
    finally:
        sys.path.remove(str(EXAMPLE))
    return three_icss  # type: ignore[no-any-return]


@pytest.mark.slow
def test_the_truth_is_within_the_bounds(
    three: ModuleType, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    """Of every group; and the bounds are no formality, nor is what leaves about anybody."""
    folder = tmp_path / "three"
    monkeypatch.setattr(sys, "argv", ["three_icss.py", "--folder", str(folder), "--people", "1500"])
    three.main()
    said = capsys.readouterr().out
    assert "3 of 3 nodes answered" in said
    assert "the truth of all 90 groups lies within their bounds" in said
    everybody = three.world.people(1_500, seed=7)
    held = sum(three._held(folder / name) for name in three.world.ICSS)
    assert held > 1_500 + 100
    files = {path.name: path.read_bytes() for path in sorted(folder.glob("answer-*.json"))}
    nodes = three.load_nodes(folder / "nodes.toml")
    made = three.combine((folder / "question.json").read_bytes(), files, nodes)
    some = made.table.filter(pl.col("count") == "*", pl.col("at_least") < pl.col("at_most"))
    assert some.height > 5
    assert made.table.filter(pl.col("count") != "*").height > 20
    assert three.differences(made, [*everybody, *(replace(each, sex="1") for each in everybody[:150])])
    without = three.combine((folder / "question.json").read_bytes(), dict([files.popitem()]), nodes)
    assert three.differences(without, everybody)
    assert len(without.missing) == 2
    numbers = {each.number for each in everybody}
    for path in folder.glob("*.json"):
        text = path.read_text()
        assert not any(number in text for number in numbers)
