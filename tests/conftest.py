"""Fixtures that any test may use."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings
from small import SmallIcs, make_small_ics

from linkage.pipeline import RunReport
from made_up import MadeUp, made_up_once
from restored import Restored

# A busy machine is slow now and then, and that says nothing about the code.
settings.register_profile("patient", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("patient")


@pytest.fixture
def small_ics(tmp_path: Path) -> SmallIcs:
    """A small ICS before its first run."""
    return make_small_ics(tmp_path)


@pytest.fixture(scope="session")
def first_run(tmp_path_factory: pytest.TempPathFactory) -> tuple[Restored, RunReport]:
    """The small ICS after a good run, which is made once."""
    folder = tmp_path_factory.mktemp("published") / "ics"
    folder.mkdir()
    report = make_small_ics(folder).run()
    return Restored.of(folder), report


@pytest.fixture
def published(first_run: tuple[Restored, RunReport]) -> tuple[SmallIcs, RunReport]:
    """The small ICS after a good run, for a test to change."""
    restored, report = first_run
    return SmallIcs(restored.again()), report


@pytest.fixture(scope="session")
def made_up(tmp_path_factory: pytest.TempPathFactory) -> MadeUp:
    """A made-up ICS of every feed after a run; tests read it and change nothing, so all processes have one."""
    own = tmp_path_factory.getbasetemp()
    return made_up_once((own.parent if "PYTEST_XDIST_WORKER" in os.environ else own) / "made-up")
