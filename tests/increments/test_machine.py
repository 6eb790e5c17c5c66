"""A few examples of the machine on every change; `python -m tests.increments --examples 1000` draws many."""

from __future__ import annotations

from hypothesis import HealthCheck, settings
from machine import Increments

TestIncrements = Increments.TestCase
TestIncrements.settings = settings(
    max_examples=5, stateful_step_count=7, deadline=None, suppress_health_check=[HealthCheck.too_slow]
)
