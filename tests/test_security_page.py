"""The threat model names files and tests that are there."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PAGE = (ROOT / "docs" / "explanation" / "security.md").read_text(encoding="utf-8")
ROWS = [line for line in PAGE.split("## Properties")[1].splitlines() if line.startswith("| ") and "`" in line]


@pytest.mark.parametrize("row", ROWS, ids=lambda row: row.split(" | ")[0].strip("| "))
def test_each_property_has_its_files_and_its_test(row: str) -> None:
    """One column names files, the other a test in a file of tests."""
    _, held, guarded = (part.strip() for part in row.strip("|").split(" | "))
    files, tests = re.findall(r"`([^`]+)`", held), re.findall(r"`([^`]+)`", guarded)
    assert files
    assert tests
    for name in files:
        assert name.startswith("src/linkage/"), name
        assert (ROOT / name).is_file(), name
    for name in tests:
        path, _, function = name.partition("::")
        assert path.startswith("tests/"), name
        text = (ROOT / path).read_text(encoding="utf-8")
        assert not function or f"def {function}(" in text, name


def test_what_is_not_protected_comes_first() -> None:
    """Nobody should read of protections without having read of their limits."""
    assert PAGE.index("## What is not protected") < PAGE.index("## Properties")
    assert len(ROWS) > 20
