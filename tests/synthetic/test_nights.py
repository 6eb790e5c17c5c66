"""Nights after a made-up ICS's history: the same from the same seed, and each kind of news is in the files."""

from __future__ import annotations

import datetime as dt
import hashlib
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from linkage import Keyset, pipeline
from linkage.cli import demo
from linkage.store.open import open_store
from linkage.synthetic import Night, Stream, deliver, make, moment
from linkage.synthetic.codes import DISSENT_POSITION, clinical_code_ids
from linkage.synthetic.stream import NIGHTS, Decisions, decide
from linkage.synthetic.world import World, make_world

AS_OF, PEOPLE, SEED = dt.date(2026, 11, 1), 700, 4
STREAM = Stream(people_a_file=300)
FIRST = Night(1, share=0.02)
SECOND = Night(2, share=0.02, corrected=0.1, deleted=0.1, previous=FIRST)


@pytest.fixture(scope="module")
def world() -> World:
    """The people of the stream."""
    return make_world(PEOPLE, SEED, AS_OF, days=STREAM.days)


@pytest.fixture(scope="module")
def decisions(world: World) -> Decisions:
    """What they decide."""
    return decide(world)


@pytest.fixture(scope="module")
def ics(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The history and two nights."""
    folder = tmp_path_factory.mktemp("stream")
    made = make(folder, PEOPLE, SEED, AS_OF, stream=STREAM)
    rows = [deliver(folder, PEOPLE, SEED, AS_OF, night, STREAM) for night in (FIRST, SECOND)]
    assert made.rows > 20 * PEOPLE
    assert all(0.005 < each / made.rows < 0.2 for each in rows)
    return folder


def _files(folder: Path) -> dict[str, str]:
    paths = [path for path in sorted(folder.rglob("*")) if path.is_file()]
    return {path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}


def _read(ics: Path, pattern: str) -> pl.DataFrame:
    paths = sorted((ics / "extracts").glob(pattern))
    frames = [pl.read_csv(path, infer_schema=False) for path in paths]
    return pl.concat(frame.with_columns(file=pl.lit(path.name)) for frame, path in zip(frames, paths, strict=True))


def test_the_same_seed_makes_the_same_bytes(ics: Path, tmp_path: Path) -> None:
    """Whether nights are delivered at once or one by one."""
    make(tmp_path, PEOPLE, SEED, AS_OF, stream=STREAM)
    history = _files(tmp_path)
    assert history.items() <= _files(ics).items()
    for night in (FIRST, SECOND):
        deliver(tmp_path, PEOPLE, SEED, AS_OF, night, STREAM)
    assert _files(tmp_path) == _files(ics)


def test_a_night_adds_files_and_changes_none(ics: Path) -> None:
    """Every file of the night carries its day."""
    added = [name for name in _files(ics / "extracts") if "20261103" in name]
    assert {name.split("/")[0] for name in added} >= {"emis", "tpp", "sus_apc", "sus_op", "ecds", "pds"}


def test_nobody_decides_twice(decisions: Decisions) -> None:
    """A person who is merged does not opt out as well, nor does whoever has the other number."""
    kinds = [decisions.arrives, decisions.national, decisions.dissent, decisions.merged]
    assert np.stack([kind > 0 for kind in kinds]).sum(axis=0).max() == 1
    for kind in (*kinds, decisions.back):
        assert kind.max() <= NIGHTS
    into = decisions.into[decisions.merged > 0]
    assert len(set(into.tolist())) == len(into)
    assert not any(kind[into].any() for kind in kinds)


def test_nothing_is_known_of_newcomers_before_their_night(ics: Path, world: World, decisions: Decisions) -> None:
    """Then the registers know them, with the history of their GP records."""
    rows = _read(ics, "pds/PDS_Person_[!M]*.csv")
    for who in np.flatnonzero(decisions.arrives > 0):
        files = rows.filter(pl.col("NHS Number") == f"{world.population.number[who]:010d}")["file"].to_list()
        night = decisions.arrives[who]
        assert files == ([f"PDS_Person_202611{1 + night:02d}.csv"] if night <= 2 else [])
    entries = _read(ics, "emis/*_Observation_*.csv").with_columns(night=pl.col("file").str.contains("20261103"))
    old = entries.filter("night", pl.col("EffectiveDate") < "2026-09-01")
    assert (len(old) > 0) == bool((~world.places.uses_tpp(world.population.practice[decisions.arrives == 2])).any())


def test_rows_of_the_night_before_come_again(ics: Path) -> None:
    """With another value, and deleted."""
    rows = _read(ics, "emis/*_Observation_*.csv")
    again = rows.filter(pl.col("file").str.contains("20261103")).join(
        rows.filter(pl.col("file").str.contains("20261102")), on="ObservationGuid", suffix="_before"
    )
    assert (again["Deleted"] == "true").any()
    assert again.filter(pl.col("Value").ne_missing(pl.col("Value_before"))).height


def test_identifiers_of_nights_are_their_own(ics: Path) -> None:
    """New rows never share a key with other rows by accident."""
    rows = _read(ics, "sus_op/appointment_*.csv")
    keys = rows.group_by("PRIMARYKEY_ID").agg(pl.col("appointment.patient.identity.birth_date").drop_nulls().n_unique())
    assert keys["appointment.patient.identity.birth_date"].max() == 1


def test_the_service_is_asked_about_newcomers_on_the_night_after(ics: Path, world: World, decisions: Decisions) -> None:
    """And does not return whoever opted out since."""
    answers = ics / "optouts/national/answers"
    first, second = (
        {int(line.strip(",")) for line in (answers / f"X26OT154-{day}-0001.dat").read_text().splitlines()}
        for day in ("02112026", "03112026")
    )
    numbers = world.population.number
    new = set(numbers[decisions.arrives == 1].tolist())
    assert new <= second
    assert not new & first
    assert set(numbers[decisions.national == 2].tolist()) <= first - second
    assert set(numbers[decisions.back == 2].tolist()) <= second - first


def test_a_quiet_night_decides_nothing(tmp_path: Path, world: World) -> None:
    """No newcomers, no dissent, no replaced number; the answer is that of the night before."""
    quiet = Night(3, share=0.02, previous=SECOND, decides=False)
    deliver(tmp_path, PEOPLE, SEED, AS_OF, quiet, STREAM)
    assert not list(tmp_path.glob("extracts/pds/*"))
    codes = _read(tmp_path, "emis/*_Observation_*.csv").filter(pl.col("Deleted") == "false")["CodeId"].to_list()
    assert str(clinical_code_ids(np.array([DISSENT_POSITION]))[0]) not in codes


def test_history_and_nights_run(ics: Path, world: World, decisions: Decisions) -> None:
    """Whoever opted out or was replaced is gone, whoever came is there, and every row is accounted for."""
    text = demo.text(demo.FLOWS).replace("max_age_days = 7\n", f"max_age_days = 7\n{demo.OF_FEW}", 1)
    (ics / "linkage.toml").write_text(text)
    (ics / "keys").mkdir()
    Keyset.create(ics / "keys" / "ics.age")
    report = pipeline.run(ics / "linkage.toml", now=moment(AS_OF, 2))
    assert report.removed["withdrawn"] > 0
    people = world.population
    pseudonymiser = Keyset.open("age://keys/ics.age", base=ics).pseudonymiser("ics:demo")
    gone = (decisions.national > 0) & (decisions.national <= 2)
    gone |= (decisions.dissent > 0) & (decisions.dissent <= 2)
    gone |= (decisions.merged > 0) & (decisions.merged <= 2)
    came = (decisions.arrives == 1) & (world.places.shares(people.practice) == 1)
    tokens, _ = pseudonymiser.tokenise(pl.Series(people.number))
    with open_store(ics / "store") as store:
        published = set(store.sql("SELECT token::VARCHAR AS token FROM person").pl()["token"].to_list())
    texts = np.array([str(_uuid(token)) for token in tokens])
    assert not published & set(texts[gone].tolist())
    assert set(texts[came].tolist()) <= published


def _uuid(token: bytes) -> str:
    digits = token.hex()
    return "-".join((digits[:8], digits[8:12], digits[12:16], digits[16:20], digits[20:]))
