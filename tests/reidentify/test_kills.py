"""Killing a release at any step leaves no package or all of them, and the log says which."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from care import ANN, CAT, Care
from linkage.reidentify.request import read_request


@pytest.mark.skipif(not hasattr(os, "fork"), reason="processes are forked")
def test_a_release_that_is_killed_at_any_step(care: Care) -> None:
    """Before the intent the request stays open; after it, it is spent, and the next start says what came of it."""
    request = care.approve(care.ask(ANN, CAT))
    digest = read_request(request, [care.keys["a.patel"].verifier]).digest
    command = [sys.executable, str(Path(__file__).parent / "kills.py"), str(care.folder), digest]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=600)
    assert done.returncode == 0, done.stderr
    found = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(found) > 25
    seen = set()
    for step, code, (state, aside, packages), again, (settled, left, whole) in found:
        seen.add((state, packages))
        assert code == (9 if step < len(found) else 0)
        assert aside <= 1
        # The next start does what the first did, where that had not begun; else it refuses.
        assert again == (3 if state == "open" else 0), (step, state)
        assert (packages, whole) in ((0, 0), (2, 2)) if state != "open" else (packages, whole) == (0, 2), step
        assert settled == ("released" if whole else "spent by a release that published nothing"), step
        assert left == 0
    assert {("open", 0), ("spent by a release that did not end", 0), ("released", 2)} <= seen
    assert ("spent by a release that did not end", 2) in seen
