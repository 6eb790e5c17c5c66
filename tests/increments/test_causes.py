"""What happens between two nights, and which parts the second makes again for it: no more than it has to, and none too few."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest
from equality import run_both
from evolving import DISSENT, PEOPLE, Evolving

from linkage.increments import mend
from linkage.sources import seen

ANN, BOB, CAT, DAN = PEOPLE[:4]
CODES = "codes in it are translated now"
PEOPLE_CHANGED = "somebody in it may be used now, or is somebody else"
SENSITIVE = "records in it were marked sensitive"
NOT_SENSITIVE = "records are no longer marked sensitive"
STAND_AGAIN = "rows that a later delivery had taken out may stand again"
EARLIER = "a file that was delivered before it came"


def _first(ics: Evolving) -> None:
    """Two nights' deliveries: Ann and Bob are known, an observation comes before its patient and one before its code."""
    ics.write("gp/patient_20261102.csv", [f"p1,{ANN},Z99001,2020-01-01,,1950-05-02,1,false,false,false"])
    ics.write("gp/patient_20261103.csv", [f"p2,{BOB},Z99002,2020-01-01,,1960-05-02,2,false,false,false"])
    ics.write(
        "gp/observation_20261102.csv",
        ["o1,p1,Z99001,2026-05-01,10,1,false,false", "o2,p2,Z99002,2026-05-02,13,1,false,false"],
    )
    ics.write(
        "gp/observation_20261103.csv",
        ["o3,p1,Z99001,2026-05-01,99,1,false,false", "o4,p3,Z99001,2026-05-02,10,1,false,false"],
    )
    ics.write("acute/spell_20261102.csv", [f"s1,{ANN},{BOB},1950-05-02,Z99001,2026-05-01,,RX1,1,,false"])
    ics.write("acute/spell_20261103.csv", [f"s2,{CAT},,1960-05-02,Z99001,2026-05-02,,RX1,1,,false"])
    ics.write("acute/episode_20261102.csv", ["s1,e1,2026-05-01,", "s2,e2,2026-05-02,"])
    ics.write("acute/diagnosis_20261102.csv", ["s1,e1,1,I21"])
    ics.write("acute/diagnosis_20261103.csv", ["s2,e2,1,I22"])
    ics.write("acute/deletion_20261102.csv", ["s9,true"])


@dataclass(frozen=True)
class Cause:
    """Something that happens, and for which tables how many old parts are made again and why; all other old parts stand.

    Attributes:
        again: By table: why, and how many files.
        mended: The same of files of which some rows alone are read again.
    """

    name: str
    happens: Callable[[Evolving], object]
    again: dict[str, dict[str, int]] = field(default_factory=dict)
    mended: dict[str, dict[str, int]] = field(default_factory=dict)


def _registers(change: Callable[[Evolving], object]) -> Callable[[Evolving], object]:
    def happens(ics: Evolving) -> None:
        change(ics)
        ics.write_registers()

    return happens


def _rules(name: str, value: object) -> Callable[[Evolving], object]:
    def happens(ics: Evolving) -> None:
        setattr(ics.rules, name, value)
        ics.write_rules()

    return happens


def _writes(path: str, *rows: str) -> Callable[[Evolving], object]:
    return lambda ics: ics.write(path, rows)


def _both(*happens: Callable[[Evolving], object]) -> Callable[[Evolving], object]:
    return lambda ics: [each(ics) for each in happens]


OBSERVATIONS, SPELLS = 3, 3
CAUSES = (
    Cause("nothing", lambda ics: None),
    Cause("a usual night", _both(
        _writes("gp/patient_20261104.csv", f"p4,{DAN},Z99001,2020-01-01,,1970-05-02,1,false,false,false"),
        _writes("gp/observation_20261104.csv", "o5,p4,Z99001,2026-05-03,10,1,false,false"),
        _writes("gp/code_20261104.csv", "10,73211009", "77,22298006"),
        _writes("acute/spell_20261104.csv", f"s3,{DAN},,1970-05-02,Z99001,2026-05-03,,RX1,1,,false"),
        _writes("acute/episode_20261104.csv", "s3,e3,2026-05-03,"),
        _writes("acute/deletion_20261104.csv", "s2,true"),
    )),
    Cause("somebody opts out", _registers(lambda ics: ics.allowed.remove(ANN))),
    Cause("somebody objects", _registers(lambda ics: ics.objecting.add(BOB))),
    Cause("a mother opts out", _registers(lambda ics: ics.allowed.remove(BOB))),
    Cause(
        "somebody dissents",
        _both(
            _writes("gp/code_20261104.csv", f"55,{DISSENT}"),
            _writes("gp/observation_20261104.csv", "o6,p2,Z99002,2026-05-03,55,1,false,false"),
        ),
    ),
    Cause(
        "a patient comes after the observation",
        _writes("gp/patient_20261104.csv", f"p3,{DAN},Z99001,2020-01-01,,1970-05-02,1,false,false,false"),
        mended={"gp observation": {PEOPLE_CHANGED: 1}},
    ),
    Cause(
        "a code comes after the observation",
        _writes("gp/code_20261104.csv", "99,22298006"),
        {"gp observation": {CODES: 1}},
    ),
    Cause(
        "a code that is a dissent comes after the observation",
        _writes("gp/code_20261104.csv", f"99,{DISSENT}"),
        {"gp observation": {CODES: 1}},
    ),
    Cause(
        "a code means something else",
        _writes("gp/code_20261104.csv", "10,22298006"),
        {"gp observation": {"its table of codes changed": OBSERVATIONS}},
    ),
    Cause(
        "a spell is withheld",
        _writes("acute/spell_20261104.csv", f"s2,{CAT},,1960-05-02,Z99001,2026-05-02,,RX1,1,A,false"),
        mended={
            "acute spell": {SENSITIVE: 1}, "acute episode": {SENSITIVE: 1}, "acute diagnosis": {SENSITIVE: 1},
        },
    ),
    Cause(
        "a practice leaves",
        _registers(lambda ics: ics.leaving.update(Z99001=("2026-04-01", ""))),
        {
            "gp patient": {"the practices that share changed": 3},
            "gp observation": {"the practices that share changed": OBSERVATIONS},
        },
    ),
    Cause(
        "people are described further",
        _rules("birth", "month"),
        {
            f"{feed}": {"how far people are described changed": files}
            for feed, files in {
                "gp patient": 3, "gp observation": 3, "acute spell": 3, "acute episode": 2, "acute diagnosis": 2,
                "acute deletion": 1,
            }.items()
        },
    ),
    Cause(
        "a day to begin from",
        _rules("earliest", "2026-05-02"),
        {
            name: {"the days and codes that the flow takes changed": files}
            for name, files in {
                "acute spell": 3, "acute episode": 2, "acute diagnosis": 2, "acute deletion": 1,
            }.items()
        },
    ),
    Cause("a spell is deleted", _writes("acute/deletion_20261104.csv", "s1,true")),
)  # fmt: skip


@pytest.fixture
def ics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Evolving:
    """GP records and hospital spells after some nights; files are known again however young they are."""
    monkeypatch.setattr(seen, "SETTLED", -(10**18))
    ics = Evolving(tmp_path / "ics", ("gp", "acute"))
    _first(ics)
    assert run_both(ics) == ""
    return ics


@pytest.mark.parametrize("cause", CAUSES, ids=lambda cause: cause.name)
def test_what_is_made_again(ics: Evolving, cause: Cause) -> None:
    """It publishes what a full run does, and reads no old file that it need not read."""
    cause.happens(ics)
    assert run_both(ics) == ""
    assert (told(ics, "again"), told(ics, "mended")) == (cause.again, cause.mended)


def test_what_is_taken_back_comes_back(ics: Evolving) -> None:
    """Whoever may be used again is there again, and what was withheld and is not."""
    for change in (lambda: ics.allowed.remove(ANN), lambda: ics.allowed.add(ANN)):
        change()
        ics.write_registers()
        assert run_both(ics) == ""
    assert set(told(ics, "mended")) == {
        "gp patient",
        "gp observation",
        "acute spell",
        "acute episode",
        "acute diagnosis",
    }
    path = "acute/spell_20261104.csv"
    ics.write(path, [f"s2,{CAT},,1960-05-02,Z99001,2026-05-02,,RX1,1,A,false"])
    assert run_both(ics) == ""
    ics.remove(path)
    assert run_both(ics) == ""
    assert told(ics, "mended")["acute episode"] == {NOT_SENSITIVE: 1}
    assert not told(ics, "again")


def told(ics: Evolving, what: str) -> dict[str, dict[str, int]]:
    """What the account of the run that adds says was made again, or mended: by table, why, and how many files."""
    private = ics.folder / "adding" / "private"
    current = (ics.folder / "adding" / "store" / "current").read_text().strip()
    taken = json.loads((private / "runs" / f"{current}.json").read_text())["taken"]
    return {f"{each['feed']} {each['table']}": each[what] for each in taken if each[what]}


def test_a_usual_night_opens_no_old_extract(ics: Evolving, monkeypatch: pytest.MonkeyPatch) -> None:
    """Only what is new is looked at or read: every other file could be locked away."""
    from linkage.sources import inspect, read

    CAUSES[1].happens(ics)
    _registers(lambda ics: ics.allowed.remove(ANN))(ics)
    opened: set[str] = set()
    for module, name in ((inspect, "_inspect_text"), (read, "scan")):
        real = getattr(module, name)

        def noted(first, *rest, real=real):  # type: ignore[no-untyped-def]
            opened.add((first if isinstance(first, Path) else first.path).name)
            return real(first, *rest)

        monkeypatch.setattr(module, name, noted)
    from linkage import pipeline

    ics.minutes += 7
    pipeline.run(ics.configurations[0], now=ics.now)
    assert opened == {
        "patient_20261104.csv", "observation_20261104.csv", "code_20261104.csv", "spell_20261104.csv",
        "episode_20261104.csv", "deletion_20261104.csv",
    }  # fmt: skip


def test_where_many_rows_are_concerned_the_file_is_made_again(ics: Evolving, monkeypatch: pytest.MonkeyPatch) -> None:
    """All of them would have to be held in memory."""
    monkeypatch.setattr(mend, "MOST", 0)
    ics.write("gp/patient_20261104.csv", [f"p3,{DAN},Z99001,2020-01-01,,1970-05-02,1,false,false,false"])
    assert run_both(ics) == ""
    assert (told(ics, "again"), told(ics, "mended")) == ({"gp observation": {PEOPLE_CHANGED: 1}}, {})
