"""What the page about the log says is true: its samples run."""

from __future__ import annotations

import shlex
import tomllib
from pathlib import Path

import pytest
from small import make_small_ics
from typer.testing import CliRunner

from linkage.cli import app
from linkage.config import Audit
from linkage.pseudonymise.signing_keys import open_signing_key
from pages import samples

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "audit.md").read_text(encoding="utf-8")


def test_the_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    """Word for word: an intent and its end."""
    monkeypatch.chdir(tmp_path)
    [block] = samples(PAGE, "python")
    exec(compile(block, "audit.md", "exec"), {})  # noqa: S102 our own page
    assert capsys.readouterr().out == "2\n"


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """One after another, as they stand there."""
    monkeypatch.chdir(tmp_path)
    ics = make_small_ics(tmp_path)
    ics.run()
    lines = [line for block in samples(PAGE, "sh") for line in block.splitlines()]
    assert len(lines) == 6
    for line in lines:
        if " witnessed " in line:
            key = open_signing_key("age://keys/lead.age").verifier.text
            with ics.configuration.open("a", encoding="utf-8") as file:
                file.write(f'[audit.witnesses]\n"QYY.lead" = "{key}"\n')
        done = CliRunner().invoke(app, shlex.split(line.removeprefix("linkage ")))
        assert done.exception is None, (line, done.exception)
    assert "witnessed by QYY.lead" in CliRunner().invoke(app, ["audit", "verify", "linkage.toml"]).output


def test_the_configuration_is_one() -> None:
    """With keys that are known."""
    [block] = samples(PAGE, "toml")
    assert Audit.model_validate(tomllib.loads(block)["audit"]).witnesses
