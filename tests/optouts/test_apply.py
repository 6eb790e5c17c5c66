"""Rows held against the policy: the person's current number and the one delivered both count."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest

from linkage.contract import load
from linkage.optouts.apply import OPTOUT_REASON, apply
from linkage.optouts.policy import Policy, combine
from linkage.optouts.registers import Said
from linkage.reasons import Reason

NO, YES = 9876543210, 9434765919


@pytest.mark.parametrize("others", [[], [(YES, YES)], [(YES, 4010232137)]])
def test_a_no_under_a_number_that_leads_nowhere_counts(others: list[tuple[int, int]]) -> None:
    """Whatever other rows are judged with it: a feed may keep rows whose person cannot be told."""
    feed = load("cad999")
    table = next(iter(feed.records().values()))
    standing = combine([Said(out={Reason.LOCAL_OBJECTION: np.array([NO])})])
    numbers = [(None, NO), (NO, NO), (NO, YES), *others]
    frame = pl.DataFrame(numbers, schema={"_number": pl.Int64, "_given": pl.Int64}, orient="row").lazy()
    found = apply(frame, feed, table, Policy({feed.name: standing}, None)).collect()[OPTOUT_REASON].to_list()
    assert found == ["local_objection"] * 3 + [None] * len(others)
    alone = apply(frame.head(1), feed, table, Policy({feed.name: standing}, None)).collect()
    assert alone[OPTOUT_REASON].to_list() == ["local_objection"]
