"""Several purposes in one run, night after night: each publishes what it would make alone, from everything."""

from __future__ import annotations

from pathlib import Path

import pytest
from equality import quiet, same
from evolving import PEOPLE, Evolving
from test_whom_it_covers import a_new_patient, another_practice, deliver, everybody

from linkage import pipeline


def _purpose(ics: Evolving, name: str, *changes: tuple[str, str]) -> Path:
    """A purpose beside the two that there are, with a domain of its own."""
    text = ics.configurations[0].read_text()
    own = (
        ('private = "adding/private"', f'private = "{name}/private"'),
        ('path = "adding/store"', f'path = "{name}/store"'),
        ("ics:test", "ics:other"),
    )
    for old, new in (*own, *changes):
        assert old in text
        text = text.replace(old, new)
    path = ics.folder / f"{name}.toml"
    path.write_text(text)
    return path


def _opted_out(ics: Evolving) -> None:
    ics.allowed -= {PEOPLE[1]}
    ics.objecting |= {PEOPLE[4]}
    ics.write_registers()


def _back_again(ics: Evolving) -> None:
    ics.allowed |= {PEOPLE[1]}
    deliver(ics, "pds", "merged", f"{PEOPLE[2]},{PEOPLE[3]}")
    ics.write_registers()


def _corrected(ics: Evolving) -> None:
    path = next(each for each in ics.files if each.startswith("acute/spell") and not each.endswith("_20261101.csv"))
    ics.write(path, [each.replace("RX1", "RX2") for each in ics.files[path]])


@pytest.mark.slow
def test_each_of_two_is_what_it_would_be_alone(tmp_path: Path) -> None:
    """They differ in how births are told, in their opt-outs and in a table that one does not take."""
    ics = Evolving(tmp_path / "ics", ("gp", "acute", "pds"))
    differ = (
        ('birth = "year"', 'birth = "month"'),
        ('applies_to = "everything"', 'applies_to = "primary_care"'),
        ('path = "acute"\n', 'path = "acute"\ntables = ["spell"]\n'),
    )
    first, whole = ics.configurations
    second, second_whole = (_purpose(ics, name, *differ) for name in ("other", "other_whole"))
    for thing in (everybody, a_new_patient, _opted_out, another_practice, _back_again, _corrected):
        thing(ics)
        ics.minutes += 60
        for outcome in pipeline.run_all([first, second], now=ics.now, progress=quiet()):
            assert outcome.error is None, thing.__name__
        for alone, together in ((whole, first), (second_whole, second)):
            pipeline.run(alone, now=ics.now, progress=quiet(), full=True)
            same(ics.folder / together.stem, ics.folder / alone.stem)
