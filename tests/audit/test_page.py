"""What the page about the log says is true: its samples run."""

from __future__ import annotations

import re
import tomllib
from pathlib import Path

import pytest

from linkage.config import Audit

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "audit.md").read_text(encoding="utf-8")


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word: an intent and its end."""
    monkeypatch.chdir(tmp_path)
    [block] = re.findall(r"```python\n(.*?)```", PAGE, re.DOTALL)
    exec(compile(block, "audit.md", "exec"), {})  # noqa: S102 our own page
    assert capsys.readouterr().out == "2\n"


def test_the_configuration_is_one() -> None:
    """With keys that are known."""
    [block] = re.findall(r"```toml\n(.*?)```", PAGE, re.DOTALL)
    assert Audit.model_validate(tomllib.loads(block)["audit"]).witnesses
