"""What was released before: a count is refused where its people differ from those of an earlier one by too few.

Two answers that are harmless alone can be subtracted. Who is in each released group is known here, by token, so the test
is exact, also when the second question is asked of a later snapshot. The ledger therefore holds tokens: it stays where
the store's private folder is, readable by its owner only.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.disclosure.differences import PLACE, check_apart
from linkage.disclosure.entries import Entry
from linkage.disclosure.tables import Release
from linkage.disk import sync
from linkage.errors import IntegrityError, PolicyError

__all__ = ["Ledger"]

PEOPLE, REFUSED = "people.parquet", "refused"


@dataclass(frozen=True, slots=True)
class Ledger:
    """The ledger of one store.

    Attributes:
        folder: Where it is kept; made owner-only.
        budget: How many questions a purpose may have answered, or refused for being too near to an earlier one.
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
        self.admit_placed(entry, release, _placed(people, release))

    def admit_placed(self, entry: Entry, release: Release, placed: pl.DataFrame) -> None:
        """As `admit`, where everybody's finest group is known by its number.

        Args:
            entry: What is about to leave.
            release: Which of its groups are shown.
            placed: `token` (Binary) and `place` (UInt32), one row for each person.
        """
        if placed.height != release.groups.cells.sum():
            raise PolicyError("people of a release are in no group or in several", hint="count each person once")
        earlier = list(self.entries())
        spent = [each.purpose for _, each in earlier] + self._refused()
        if spent.count(entry.purpose) >= self.budget:
            raise PolicyError(
                f"the purpose has had its {self.budget} answers and refusals",
                hint="its owner can have the budget raised by the approver",
            )
        for path, before in earlier:
            if before.tokens != entry.tokens:
                raise PolicyError(
                    "the ledger holds answers whose people have tokens of another domain or key: no difference can be seen",
                    hint="whoever decides what leaves has to accept that, and to put the old ledger aside",
                )
            try:
                check_apart(path / PEOPLE, before, release, placed)
            except PolicyError:
                # That there was no answer is one to whoever tries often enough, so it costs as much.
                self._refuse(entry)
                raise
            except (OSError, pl.exceptions.PolarsError):
                raise _damaged(path) from None
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
            if entry is None or path.name != f"{place:06d}" or not (path / PEOPLE).is_file():
                raise _damaged(path)
            yield path, entry

    def _refused(self) -> list[str]:
        """The purposes of the questions that were refused for being too near."""
        try:
            return [json.loads(path.read_bytes())["purpose"] for path in sorted((self.folder / REFUSED).glob("*.json"))]
        except (OSError, ValueError, KeyError, TypeError):
            raise IntegrityError(
                f"{self.folder / REFUSED}: a refusal in the disclosure ledger is damaged",
                hint="restore the private folder from its backup",
            ) from None

    def _refuse(self, entry: Entry) -> None:
        folder = self.folder / REFUSED
        folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        path = folder / f"{len(self._refused()):06d}.json"
        aside = folder / ".new"
        said = {
            "question": entry.question,
            "purpose": entry.purpose,
            "released": f"{entry.released:%Y-%m-%dT%H:%M:%SZ}",
        }
        aside.write_text(json.dumps(said), encoding="utf-8")
        aside.chmod(0o600)
        sync(aside)
        aside.replace(path)
        sync(folder)

    def _enter(self, entry: Entry, placed: pl.DataFrame, place: int) -> None:
        self.folder.mkdir(parents=True, exist_ok=True, mode=0o700)
        aside = self.folder / f".{place:06d}"
        if aside.exists():
            shutil.rmtree(aside)
        aside.mkdir(mode=0o700)
        # Tokens cannot be pressed; by place, a group is found without reading the others.
        placed.sort(PLACE).write_parquet(aside / PEOPLE, compression="uncompressed")
        (aside / "entry.json").write_text(entry.model_dump_json(indent=1), encoding="utf-8")
        for path in aside.iterdir():
            path.chmod(0o600)
            sync(path)
        aside.rename(self.folder / f"{place:06d}")
        sync(self.folder)


def _damaged(entry: Path) -> IntegrityError:
    return IntegrityError(
        f"{entry}: an entry of the disclosure ledger is missing or damaged",
        hint="restore the private folder from its backup: without it differences cannot be checked",
    )


def _placed(people: pl.DataFrame, release: Release) -> pl.DataFrame:
    """Everybody with the place of their finest group: `token` (Binary) and `place` (UInt32)."""
    names = list(release.groups.dimensions)
    finest = release.groups.labels[: release.groups.members.shape[1]]
    if not names:
        return people.select("token", pl.lit(0, pl.UInt32).alias(PLACE))
    places = pl.DataFrame(finest, schema=dict.fromkeys(names, pl.String), orient="row").with_row_index(PLACE)
    placed = people.select("token", *names).join(places, on=names, how="inner").select("token", PLACE)
    if placed.height != people.height or placed["token"].is_duplicated().any():
        raise PolicyError("people of a release are in no group or in several", hint="count each person once")
    return placed
