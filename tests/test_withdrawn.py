"""The last delivery of a record decides about it, also when that delivery may not be used itself."""

from __future__ import annotations

import random
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import pytest
from small import ALLOWED, HEADER, NOT_ASKED, OPTED_OUT, SmallIcs, make_small_ics, row

from linkage import withdrawn_records

DAYS = ("20261118", "20261119", "20261120")


@dataclass(frozen=True)
class Fate:
    """How a version of a record is written, and for what it is removed."""

    number: str
    removed: str | None
    more: str = ""

    def line(self, key: int) -> str:
        return row(key, self.number) + self.more


FATES = {
    "kept": Fate(ALLOWED, None),
    "opted out": Fate(OPTED_OUT, "national_opt_out"),
    "not asked": Fate(NOT_ASKED, "national_not_asked"),
    "no number": Fate("", "number_missing"),
    "bad number": Fate("1234567890", "number_check_digit"),
    "blocked": Fate("4444444444", "number_blocked"),
    "malformed": Fate(ALLOWED, "row_malformed", more=",x"),
}


@pytest.fixture
def ics(tmp_path: Path) -> SmallIcs:
    """The small ICS, with a good many bad rows allowed."""
    ics = make_small_ics(tmp_path)
    ics.replace("max_not_asked = 0.2", "max_not_asked = 1.0")
    with ics.configuration.open("a") as file:
        file.write("[quality]\nmax_malformed = 1.0\nmax_invalid = 1.0\n")
    ics.extract.unlink()
    return ics


def _write(ics: SmallIcs, day: str, lines: list[str]) -> None:
    # One good record of its own, so that no file is wholly bad.
    lines = [*lines, row(int(day), ALLOWED)]
    (ics.folder / "extracts" / f"appointment_{day}.csv").write_text("\n".join([HEADER, *lines]) + "\n")


@pytest.mark.parametrize("later", [name for name in FATES if name not in ("kept", "malformed")])
def test_a_later_delivery_that_is_removed_withdraws_the_earlier_one(ics: SmallIcs, later: str) -> None:
    """Whatever it is removed for."""
    _write(ics, DAYS[0], [FATES["kept"].line(1)])
    _write(ics, DAYS[1], [FATES[later].line(1)])
    report = ics.run()
    assert report.tables["sus_op_appointment"] == 2
    assert report.removed == {"withdrawn": 1, FATES[later].removed: 1}


def test_an_earlier_delivery_that_is_removed_withdraws_nothing(ics: SmallIcs) -> None:
    """The person's number was found out since."""
    _write(ics, DAYS[0], [FATES["no number"].line(1)])
    _write(ics, DAYS[1], [FATES["kept"].line(1)])
    report = ics.run()
    assert report.tables["sus_op_appointment"] == 3
    assert report.removed == {"number_missing": 1}


def test_a_row_of_which_nothing_is_certain_withdraws_nothing(ics: SmallIcs) -> None:
    """A row with a field too many may be anybody's."""
    _write(ics, DAYS[0], [FATES["kept"].line(1)])
    _write(ics, DAYS[1], [FATES["malformed"].line(1)])
    assert ics.run().removed == {"row_malformed": 1}


def test_it_holds_within_one_file_too(ics: SmallIcs) -> None:
    """The later row is the later delivery."""
    _write(ics, DAYS[0], [FATES["kept"].line(1), FATES["opted out"].line(1), FATES["no number"].line(2)])
    report = ics.run()
    assert report.tables["sus_op_appointment"] == 1
    assert report.removed == {"withdrawn": 1, "national_opt_out": 1, "number_missing": 1}


@pytest.mark.parametrize("few", [0, 1000], ids=["parts that hold a record", "all parts"])
@pytest.mark.parametrize("nightly", [False, True], ids=["at once", "one a night"])
@pytest.mark.parametrize("seed", range(2))
def test_many_records_against_a_plain_referee(
    ics: SmallIcs, monkeypatch: pytest.MonkeyPatch, seed: int, nightly: bool, few: int
) -> None:
    """Records with up to five versions over three files: who is published, and every row under its reason."""
    monkeypatch.setattr(withdrawn_records, "_FEW", few)
    chance = random.Random(seed)
    files: dict[str, list[tuple[int, str]]] = {day: [] for day in DAYS}
    for key in range(1, 300):
        for _ in range(chance.randint(1, 5)):
            files[chance.choice(DAYS)].append((key, chance.choice([*FATES, "kept", "kept"])))
    for day, rows in files.items():
        chance.shuffle(rows)
        _write(ics, day, [FATES[fate].line(key) for key, fate in rows])
        if nightly:
            ics.run()
    versions: dict[int, list[str]] = {}
    for day in DAYS:
        for key, fate in files[day]:
            versions.setdefault(key, []).append(fate)
    expected: Counter[str] = Counter()
    published = 0
    for fates in versions.values():
        last_removed = max((at for at, fate in enumerate(fates) if fate not in ("kept", "malformed")), default=-1)
        kept = [at for at, fate in enumerate(fates) if fate == "kept"]
        good = [at for at in kept if at > last_removed]
        expected.update(FATES[fate].removed or "" for fate in fates if fate != "kept")
        expected["withdrawn"] += len(kept) - len(good)
        expected["duplicate"] += max(len(good) - 1, 0)
        published += bool(good)
    report = ics.run()
    assert report.removed == dict(expected)
    assert report.tables["sus_op_appointment"] == published + len(DAYS)


def test_nothing_about_removed_rows_is_left_in_the_bundle(ics: SmallIcs, monkeypatch: pytest.MonkeyPatch) -> None:
    """Their record tokens are gone before the bundle is finished."""
    from linkage import hub

    seen: list[set[str]] = []
    link = hub.link

    def looking(configuration, manifest, feeds, work, *more):  # type: ignore[no-untyped-def]
        seen.append({path.name for path in (work.folder / "bundle").rglob("*") if path.is_file()})
        return link(configuration, manifest, feeds, work, *more)

    monkeypatch.setattr(hub, "link", looking)
    _write(ics, DAYS[0], [FATES["kept"].line(1)])
    _write(ics, DAYS[1], [FATES["no number"].line(1)])
    ics.run()
    assert seen == [{"manifest.json", "part-00000.parquet", "part-00001.parquet"}]
