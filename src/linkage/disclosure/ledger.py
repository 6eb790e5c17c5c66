"""What was released before: a count is refused where its people differ from those of an earlier one by too few.

Two answers that are harmless alone can be subtracted. Who is in each released group is known here, by token, so the test
is exact, also when the second question is asked of a later snapshot. The ledger therefore holds tokens: it stays where
the store's private folder is, readable by its owner only.
"""

from __future__ import annotations

import shutil
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import numpy as np
import polars as pl
from pydantic import BaseModel, ConfigDict

from linkage.disclosure.groups import ALL, Counts, Members, members
from linkage.disclosure.tables import Release
from linkage.disk import sync
from linkage.errors import IntegrityError, PolicyError

__all__ = ["Entry", "Ledger"]

_PLACE, _EARLIER = "_place", "_earlier"


class Entry(BaseModel):
    """One release.

    Attributes:
        question: The digest of what was asked.
        purpose: Whose budget it counts against.
        snapshot: Of what it was asked.
        policy: The disclosure policy's name.
        released: When, UTC.
        labels: Every group.
        shown: Which groups' counts were shown.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    question: str
    purpose: str
    snapshot: str
    policy: str
    released: datetime
    labels: tuple[tuple[str, ...], ...]
    shown: tuple[bool, ...]


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one store.

    Attributes:
        folder: Where it is kept; made owner-only.
        budget: How many questions a purpose may have answered.
    """

    folder: Path
    budget: int

    def admit(self, entry: Entry, release: Release, people: pl.DataFrame) -> None:
        """Enter a release before it leaves, or refuse it.

        Args:
            entry: What is about to leave.
            release: Which of its groups are shown.
            people: Who is counted: `token` (Binary) and the dimensions (String), one row for each person.

        Raises:
            PolicyError: The purpose's budget is used up, or a shown count is too near to one that was released.
            IntegrityError: The ledger is damaged.
        """
        earlier = list(self.entries())
        if sum(each.purpose == entry.purpose for _, each in earlier) >= self.budget:
            raise PolicyError(
                f"the purpose has had its {self.budget} answers",
                hint="its owner can have the budget raised by the approver",
            )
        placed = _placed(people, release)
        for path, before in earlier:
            self._check(path, before, release, placed)
        self._enter(entry, placed, len(earlier))

    def entries(self) -> Iterator[tuple[Path, Entry]]:
        """Every earlier release, the oldest first, with the folder that it is kept in.

        Raises:
            IntegrityError: One is damaged or missing.
        """
        found = sorted(path for path in self.folder.glob("[0-9]*") if path.is_dir()) if self.folder.is_dir() else []
        for place, path in enumerate(found):
            try:
                entry = Entry.model_validate_json((path / "entry.json").read_bytes())
            except (OSError, ValueError):
                entry = None
            if entry is None or path.name != f"{place:06d}" or not (path / "people.parquet").is_file():
                raise IntegrityError(
                    f"{path}: an entry of the disclosure ledger is missing or damaged",
                    hint="restore the private folder from its backup: without it differences cannot be checked",
                )
            yield path, entry

    def _check(self, path: Path, before: Entry, release: Release, placed: pl.DataFrame) -> None:
        then = pl.read_parquet(path / "people.parquet")
        old = _members_of(before.labels)
        sizes_then = old @ _sizes(then, old.shape[1])
        shown_now, shown_then = np.flatnonzero(release.shown), np.flatnonzero(before.shown)
        now, past = release.groups.exact[shown_now], sizes_then[shown_then]
        smallest = release.policy.smallest_shown
        if not (np.abs(now[:, None] - past[None, :]) < smallest).any():
            return
        common = _common(placed, then, release.groups.members.shape[1], old.shape[1])
        both = release.groups.members[shown_now] @ common @ old[shown_then].T
        differing = now[:, None] + past[None, :] - 2 * both
        if ((differing > 0) & (differing < smallest)).any():
            raise PolicyError(
                "a count would differ from one released earlier by so few people that subtracting the two singles them out",
                hint="give the earlier answer again, or count by coarser groups; tell the asker no more than that it was refused",
            )

    def _enter(self, entry: Entry, placed: pl.DataFrame, place: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = self.folder / f".{place:06d}"
        if aside.exists():
            shutil.rmtree(aside)
        aside.mkdir(mode=0o700)
        placed.write_parquet(aside / "people.parquet")
        (aside / "entry.json").write_text(entry.model_dump_json(indent=1), encoding="utf-8")
        for path in aside.iterdir():
            path.chmod(0o600)
            sync(path)
        aside.rename(self.folder / f"{place:06d}")
        sync(self.folder)


def _placed(people: pl.DataFrame, release: Release) -> pl.DataFrame:
    """Everybody with the place of their finest group: `token` (Binary) and `_place` (UInt32)."""
    names = list(release.groups.dimensions)
    finest = release.groups.labels[: release.groups.members.shape[1]]
    if not names:
        return people.select("token", pl.lit(0, pl.UInt32).alias(_PLACE))
    places = pl.DataFrame(finest, schema=dict.fromkeys(names, pl.String), orient="row").with_row_index(_PLACE)
    placed = people.select("token", *names).join(places, on=names, how="inner").select("token", _PLACE)
    if placed.height != people.height or placed["token"].is_duplicated().any():
        raise PolicyError("people of a release are in no group or in several", hint="count each person once")
    return placed.sort("token")


def _members_of(labels: Sequence[tuple[str, ...]]) -> Members:
    return members(labels, [label for label in labels if ALL not in label])


def _sizes(placed: pl.DataFrame, groups: int) -> Counts:
    sizes: Counts = np.bincount(placed[_PLACE].to_numpy(), minlength=groups).astype(np.int64)
    return sizes


def _common(now: pl.DataFrame, then: pl.DataFrame, groups: int, groups_then: int) -> Counts:
    """How many people each finest group has in common with each finest group of an earlier release."""
    pairs = now.join(then.rename({_PLACE: _EARLIER}), on="token", how="inner").group_by(_PLACE, _EARLIER).len()
    common = np.zeros((groups, groups_then), dtype=np.int64)
    common[pairs[_PLACE].to_numpy(), pairs[_EARLIER].to_numpy()] = pairs["len"].to_numpy()
    return common
