"""The rules of the house: stages do not know each other, and few places may see an NHS number or open a database."""

from __future__ import annotations

import ast
import subprocess
import sys
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

import pytest

import linkage

SOURCE = Path(linkage.__file__).parent
STAGES = ("sources", "optouts", "pseudonymise", "link", "store", "disclosure", "reidentify", "federate", "questions")
LEAVES = {
    "errors",
    "config",
    "purpose",
    "contract",
    "layout",
    "submission",
    "bundle",
    "anew",
    "reasons",
    "nhs_number",
    "audit",
    "signed",
    "handles",
    "disk",
    "one_thread",
    "stopping",
}
# The four folders of the design, the leaf that describes the number, and the modules that join the site half.
MAY_SEE_NUMBERS = (
    "sources",
    "optouts",
    "pseudonymise",
    "reidentify",
    "rostering.py",
    "parts.py",
    "increments/asking.py",
    "increments/concerned.py",
    "inquiry.py",
    "nhs_number.py",
)
MAY_OPEN_DATABASES = ("link", "store", "hub.py")
# Feeds that are delivered as tables of a database: this one module reads them, and has no statement that writes.
READS_DATABASES = "sources/database.py"


def _modules() -> list[Path]:
    return sorted(SOURCE.rglob("*.py"))


def _imports(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names if node.module == "linkage")


def _room(path: Path) -> str:
    return path.relative_to(SOURCE).parts[0]


@pytest.mark.parametrize("stage", STAGES)
def test_a_stage_imports_only_leaves_and_itself(stage: str) -> None:
    """Data moves one way because no stage can reach another."""
    for path in (SOURCE / stage).rglob("*.py"):
        for name in _imports(path):
            parts = name.split(".")
            if parts[0] == "linkage" and len(parts) > 1:
                assert parts[1] in LEAVES | {stage}, f"{path.name} imports {name}"


def test_few_places_may_see_an_nhs_number() -> None:
    """Everything else has no way to read one."""
    for path in _modules():
        if any(name.startswith("linkage.nhs_number") for name in _imports(path)):
            assert {_room(path), path.relative_to(SOURCE).as_posix()} & set(MAY_SEE_NUMBERS), path


def test_only_the_hub_opens_databases() -> None:
    """A database never runs where numbers are, but to read what was delivered in one."""
    for path in _modules():
        if {"duckdb", "arrow_odbc"} & {name.split(".")[0] for name in _imports(path)}:
            assert _room(path) in MAY_OPEN_DATABASES or path == SOURCE / READS_DATABASES, path


def test_checks_are_not_asserts_and_nothing_prints() -> None:
    """`python -O` must not switch a protection off, and the library must not talk."""
    for path in _modules():
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            assert not isinstance(node, ast.Assert), path
            called = node.func if isinstance(node, ast.Call) else None
            assert not (isinstance(called, ast.Name) and called.id == "print"), path


def test_the_public_names_are_these() -> None:
    """Sorted, and nothing by accident."""
    assert list(linkage.__all__) == sorted(linkage.__all__)
    assert all(hasattr(linkage, name) for name in linkage.__all__)


def test_importing_linkage_does_not_bring_the_way_back() -> None:
    """Turning tokens back is asked for by name or not there."""
    code = "import sys, linkage, linkage.cli; print('linkage.pseudonymise.reverser' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "False"


def test_no_two_test_modules_have_one_name() -> None:
    """The folders of tests are no packages: of two modules of one name, only the first would be run."""
    names = Counter(path.name for path in Path(__file__).parent.rglob("test_*.py"))
    assert not [name for name, count in names.items() if count > 1]
