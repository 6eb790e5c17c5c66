"""Two sites whose rows are published, for the tests that begin there."""

from __future__ import annotations

import pytest
from federation import Federation, Linked


@pytest.fixture(scope="session")
def linked_once(tmp_path_factory: pytest.TempPathFactory) -> Linked:
    """A hub and two sites whose rows are published, which is done once."""
    return Linked.make(tmp_path_factory.mktemp("linked") / "ics", "RR8", "RXX")


@pytest.fixture
def linked(linked_once: Linked) -> Federation:
    """They, for a test to change."""
    return linked_once.again()
