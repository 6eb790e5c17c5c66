"""`linkage demo`, as a newcomer runs it."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from typer.testing import CliRunner

from linkage.cli import app
from linkage.errors import ConfigurationError

README = Path(__file__).parent.parent / "README.md"


def _shape(line: str) -> str:
    """A line without its numbers and spacing, which another day's demo has otherwise."""
    return " ".join(re.sub(r"[\d,.:]+[\dTZ.,a-f-]*", "#", line).split())


@pytest.fixture(scope="module")
def said(tmp_path_factory: pytest.TempPathFactory) -> str:
    """What a demo of a few people prints."""
    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(tmp_path_factory.mktemp("newcomer"))
        done = CliRunner().invoke(app, ["demo", "demo", "--people", "2000"], catch_exceptions=False)
    assert done.exit_code == 0
    return done.output


def test_the_readme_shows_what_the_demo_prints(said: str) -> None:
    """Every line of the excerpt, whatever the numbers."""
    (excerpt,) = re.findall(r"```text\n\$ make demo\n(.*?)```", README.read_text(), re.DOTALL)
    printed = {_shape(line) for line in said.splitlines()}
    lines = [_shape(line) for line in excerpt.splitlines() if line.strip() not in ("", "...")]
    assert len(lines) > 10
    assert not [line for line in lines if line not in printed]


def test_it_ends_with_the_place_and_three_queries(said: str) -> None:
    """Where the result is, and what to ask it."""
    assert re.search(r"^The linked data: demo/store/snapshots/\S+$", said, re.MULTILINE)
    assert said.count("  SELECT ") == 3


def test_a_folder_with_anything_in_it_is_refused(tmp_path: Path) -> None:
    """Nothing of somebody else's is overwritten."""
    (tmp_path / "mine").write_text("mine")
    with pytest.raises(ConfigurationError, match="is there already"):
        CliRunner().invoke(app, ["demo", str(tmp_path)], catch_exceptions=False)
    assert [path.name for path in tmp_path.iterdir()] == ["mine"]
