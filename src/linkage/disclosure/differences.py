"""Whether two releases, of whatever tables and snapshots, can be subtracted to a few people: by who was counted, exactly."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from linkage.disclosure.entries import Entry
from linkage.disclosure.groups import ALL, Members, members
from linkage.disclosure.policies import policy
from linkage.disclosure.tables import Release
from linkage.errors import PolicyError

__all__ = ["PLACE", "check_apart"]

PLACE, _EARLIER = "place", "earlier"
_PAIRS = 20_000  # of groups, compared at a time

_Flags = npt.NDArray[np.bool_]
_Numbers = npt.NDArray[np.float64]


def check_apart(path: Path, before: Entry, release: Release, placed: pl.DataFrame) -> None:
    """Hold a release against an earlier one.

    Args:
        path: The earlier one's people: Parquet with `token` (Binary) and `place` (UInt32).
        before: The earlier one.
        release: What is about to leave.
        placed: Its people, as in `path`.

    Raises:
        PolicyError: Two shown groups, one of each, differ by people, but by fewer than the stricter policy shows.
    """
    old = _members_of(before.labels)
    # Taking nobody away from a group leaves the group, which was shown.
    now_at = np.flatnonzero(release.shown & (release.groups.exact > 0))
    past = old @ np.array(before.counts, dtype=np.int64)
    then_at = np.flatnonzero(np.array(before.shown, dtype=bool) & (past > 0))
    smallest = max(release.policy.smallest_shown, policy(before.policy).smallest_shown)
    rows, columns = np.nonzero(np.abs(release.groups.exact[now_at][:, None] - past[then_at][None, :]) < smallest)
    if not rows.size:
        return
    now, then = release.groups.members[now_at], old[then_at]
    near_now: _Flags = np.any(now[np.unique(rows)], axis=0)
    near_then: _Flags = np.any(then[np.unique(columns)], axis=0)
    common: _Numbers = np.matmul(now.astype(np.float64), _common(path, placed, near_now, near_then))
    for some in np.array_split(np.arange(rows.size), rows.size // _PAIRS + 1):
        one, other = rows[some], columns[some]
        both = np.einsum("ij,ij->i", common[one], then[other].astype(np.float64)).astype(np.int64)
        differing = release.groups.exact[now_at[one]] + past[then_at[other]] - 2 * both
        if ((differing > 0) & (differing < smallest)).any():
            raise PolicyError(
                "a count would differ from one released earlier by so few people that subtracting the two singles them out",
                hint="give the earlier answer again, or count by coarser groups; tell the asker no more than that it was refused",
            )


def _members_of(labels: Sequence[tuple[str, ...]]) -> Members:
    return members(labels, [label for label in labels if ALL not in label])


def _common(path: Path, placed: pl.DataFrame, near_now: _Flags, near_then: _Flags) -> _Numbers:
    """How many people each finest group has in common with each of an earlier release; of the groups that matter."""
    now = placed.lazy().filter(pl.col(PLACE).is_in(np.flatnonzero(near_now).tolist()))
    then = pl.scan_parquet(path).filter(pl.col(PLACE).is_in(np.flatnonzero(near_then).tolist()))
    pairs = now.join(then.rename({PLACE: _EARLIER}), on="token", how="inner").group_by(PLACE, _EARLIER).len().collect()
    common = np.zeros((len(near_now), len(near_then)))
    common[pairs[PLACE].to_numpy(), pairs[_EARLIER].to_numpy()] = pairs["len"].to_numpy()
    return common
