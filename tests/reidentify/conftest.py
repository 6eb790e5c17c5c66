"""The small ICS is made once; each test has a copy of its own."""

from __future__ import annotations

import shutil
from dataclasses import replace
from pathlib import Path

import pytest
from small import SmallIcs

from care import Care, make_care


@pytest.fixture(scope="session")
def template(tmp_path_factory: pytest.TempPathFactory) -> Care:
    """Four people at two practices, published; tests change nothing in it."""
    return make_care(tmp_path_factory.mktemp("care"))


@pytest.fixture
def care(template: Care, tmp_path: Path) -> Care:
    """A copy of it. Its database names the files of the template, which are the same."""
    folder = tmp_path / "ics"
    shutil.copytree(template.folder, folder)
    practices = {code: folder / path.name for code, path in template.practices.items()}
    return replace(
        template,
        ics=SmallIcs(folder),
        practices=practices,
        keys=dict(template.keys),
        roles=dict(template.roles),
        zipped=set(),
    )
