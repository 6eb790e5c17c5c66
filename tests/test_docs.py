"""What the documentation says is true: its samples run, and no key, reason or error is left out."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from pydantic import BaseModel

from linkage import config, contract, errors
from linkage.reasons import Reason

ROOT = Path(__file__).parent.parent
DOCS = ROOT / "docs"


def test_the_readmes_python_runs(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Word for word, in a new folder."""
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", (ROOT / "README.md").read_text(), re.DOTALL)
    assert blocks
    for block in blocks:
        exec(compile(block, "README.md", "exec"), {})  # noqa: S102 our own page


@pytest.mark.parametrize(
    "model",
    [config.Configuration, config.Purpose, config.Keys, config.Store, config.National, config.Type1, config.Practices,
     config.Exemption, config.Minimise, config.Quality, config.Flow],
)  # fmt: skip
def test_every_key_of_the_configuration_is_described(model: type[BaseModel]) -> None:
    """A key that nobody can read about is a key that nobody uses."""
    page = (DOCS / "reference" / "configuration.md").read_text()
    for name, field in model.model_fields.items():
        assert field.exclude or f"`{name}`" in page, name


@pytest.mark.parametrize("model", [contract.Feed, contract.Table, contract.Column])
def test_every_key_of_a_contract_is_described(model: type[BaseModel]) -> None:
    """So that a feed can be written without reading the code."""
    page = (DOCS / "reference" / "contracts.md").read_text()
    for name, field in model.model_fields.items():
        assert field.exclude or f"`{name}`" in page, name
    for role in contract.Role:
        assert f"`{role.value}`" in page


def test_every_reason_is_described() -> None:
    """With the words that the code has for it."""
    page = (DOCS / "reference" / "reasons.md").read_text()
    for reason in Reason:
        assert f"`{reason.value}` | {reason.meaning}" in page


def test_every_exit_code_is_described() -> None:
    """Orchestrators act on them."""
    page = (DOCS / "reference" / "exit-codes.md").read_text()
    for name in errors.__all__:
        if name != "LinkageError":
            assert f"| {getattr(errors, name).exit_code} | `{name}` |" in page, name


def test_every_relative_link_leads_somewhere() -> None:
    """In the README and all pages."""
    for page in [ROOT / "README.md", *DOCS.rglob("*.md")]:
        for target in re.findall(r"\]\(([^)#]+)\)", page.read_text()):
            assert target.startswith("http") or (page.parent / target).exists(), (page, target)
