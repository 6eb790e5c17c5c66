"""Counts that leave: what may be shown of each, of their totals and rates, and beside what was shown before."""

from linkage.disclosure.entries import Asked, Entry
from linkage.disclosure.groups import Groups
from linkage.disclosure.ledger import Ledger
from linkage.disclosure.policies import POLICIES, Policy, policy
from linkage.disclosure.rates import rates
from linkage.disclosure.tables import ALL, SUPPRESSED, Release, count_people, decide, release

__all__ = [
    "ALL",
    "POLICIES",
    "SUPPRESSED",
    "Asked",
    "Entry",
    "Groups",
    "Ledger",
    "Policy",
    "Release",
    "count_people",
    "decide",
    "policy",
    "rates",
    "release",
]
