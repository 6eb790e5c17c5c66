"""Releasing a cohort: from an approved request to one encrypted package for each practice.

    python benchmarks/release.py --people 50000 --practices 80

Timed is `linkage.cohorts.release.release` as the key holder's command calls it: signatures, approvals and the log, every register
and the newest roster, tokens turned back, everybody judged as of now, packages sealed, one rename. Making the ICS, its run, the
request and the approvals come before. Each round is another request of the same people.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from datetime import UTC, datetime, timedelta
from pathlib import Path

import polars as pl
import pyrage
from numbers_made_up import test_range_numbers

from linkage import Keyset, pipeline
from linkage.cohorts import ask, decide, release
from linkage.cohorts.ask import Asking
from linkage.pseudonymise.signing_keys import create_signing_key, open_signing_key
from linkage.reidentify.decisions import Verdict
from linkage.reidentify.register import sign_register
from linkage.signed import Signer

NOW = datetime.now(UTC).replace(microsecond=0)
STAMP = f"{NOW - timedelta(days=1):%Y%m%d}"
GP = """
name = "gp"
setting = "primary_care"
delivered = '_(\\d{8})\\.csv$'
[tables.patient]
files = "patient_*.csv"
primary_key = "patient"
roster = true
registration = { practice = "practice", start = "start", end = "end" }
[tables.patient.columns]
patient = { source = "id", role = "person_key", namespace = "gp.patient", required = true }
nhs_number = { source = "nhs", role = "person" }
practice = { source = "practice", role = "practice", attribute = "practice" }
start = { source = "start", role = "date" }
end = { source = "end", role = "date" }
[tables.code]
files = "code_*.csv"
primary_key = "code_id"
type1 = { record = "code_id", code = "code", date = "day" }
[tables.code.columns]
code_id = { source = "id", role = "record", namespace = "gp.code", required = true }
patient = { source = "patient", role = "person_key", namespace = "gp.patient", required = true }
day = { source = "day", role = "date" }
code = { source = "code", role = "code" }
"""
CONFIGURATION = """
allow_test_numbers = true
[purpose]
name = "benchmark"
legal_basis = "made-up data"
controllers = ["nobody"]
[purpose.reidentification]
allowed = true
roles = ["analyst"]
max_people = {people}
max_total = {total}
columns = ["score"]
reference = "BENCH-1"
[release]
registered = "register.json"
lead = "{lead}"
[keys]
keyset = "age://keys.age"
domain = "ics:bench"
[store]
path = "store"
[optouts.national]
requests = "a.dat"
answers = "answers/*.dat"
[[flows]]
feed = "gp.toml"
path = "gp"
"""


def make(folder: Path, people: int, practices: int, rounds: int) -> dict[str, Signer]:
    """An ICS of so many people after its run, and everybody's signing keys."""
    numbers = test_range_numbers(people, 7)
    who = pl.DataFrame({"nhs": numbers}).with_row_index("id")
    codes = [f"P{place:05d}" for place in range(1, practices + 1)]
    patients = who.select(
        pl.format("k{}", "id").alias("id"),
        "nhs",
        pl.Series("practice", codes).gather(pl.int_range(people, eager=True) % practices),
        start=pl.lit("2010-01-01"),
        end=pl.lit(""),
    )
    (folder / "gp").mkdir()
    (folder / "answers").mkdir()
    patients.write_csv(folder / "gp" / f"patient_{STAMP}.csv")
    who.select(
        pl.format("r{}", "id").alias("id"), pl.format("k{}", "id").alias("patient"), day=pl.lit("2026-01-01"),
        code=pl.lit("195967001"),
    ).write_csv(folder / "gp" / f"code_{STAMP}.csv")  # fmt: skip
    (folder / "a.dat").write_text("".join(f"{number},\n" for number in numbers))
    # One in nineteen opts out, and is withheld.
    allowed = [number for place, number in enumerate(numbers) if place % 19]
    (folder / "answers" / "a.dat").write_text("".join(f"{number},\n" for number in numbers))
    (folder / "answers" / "a.ctl").write_text(
        f"<DTSControl><StatusRecord><DateTime>{NOW:%Y%m%d%H%M%S}</DateTime></StatusRecord></DTSControl>"
    )
    (folder / "gp.toml").write_text(GP)
    Keyset.create(folder / "keys.age")
    keys = {name: _signer(folder, name) for name in ("lead", "analyst", "approver")}
    holder = Keyset.open("age://keys.age", base=folder).signer()
    lead = f"lead {keys['lead'].verifier.text}"
    (folder / "linkage.toml").write_text(CONFIGURATION.format(people=people, total=people * (rounds + 1), lead=lead))
    register = f"serial = 1\nissued = {NOW:%Y-%m-%d}\nexpires = {NOW + timedelta(days=99):%Y-%m-%d}\n"
    for each, role in ((keys["analyst"], "analyst"), (keys["approver"], "approver"), (holder, "key holder")):
        register += f'[[people]]\nname = "{each.name}"\nkey = "{each.verifier.text}"\nroles = ["{role}"]\n'
    for code in codes:
        public = pyrage.x25519.Identity.generate().to_public()
        register += f'[[practices]]\ncode = "{code}"\nrecipient = "{public}"\n'
    (folder / "register.toml").write_text(register)
    (folder / "register.json").write_bytes(sign_register(folder / "register.toml", keys["lead"]))
    pipeline.run(folder / "linkage.toml")
    # They opt out after they were published.
    (folder / "answers" / "a.dat").write_text("".join(f"{number},\n" for number in allowed))
    return keys


def _signer(folder: Path, name: str) -> Signer:
    create_signing_key(folder / f"{name}.age", name)
    return open_signing_key(f"age://{name}.age", identity=folder / f"{name}.identity", base=folder)


def measure(folder: Path, people: int, practices: int, rounds: int) -> list[float]:
    """Seconds of each release."""
    keys, path = make(folder, people, practices, rounds), folder / "linkage.toml"
    asking = Asking("benchmark", [f"P{place:05d}" for place in range(1, practices + 1)])
    seconds = []
    for place in range(rounds):
        request = folder / f"request{place}"
        now = datetime.now(UTC)
        ask.request(path, "SELECT token, 1 AS score FROM person", asking, keys["analyst"], request, now)
        decide.decide(path, request, Verdict.APPROVE, keys["approver"], now)
        started = time.perf_counter()
        released = release.release(path, request, now)
        seconds.append(time.perf_counter() - started)
        going, withheld = sum(released.practices.values()), sum(released.withheld.values())
        if (len(released.practices), going + withheld) != (practices, people):
            raise SystemExit("the release is not of everybody: the figure would be of something else")
    return seconds


def main() -> None:
    """Print the table."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--people", type=int, default=50_000)
    asked.add_argument("--practices", type=int, default=80)
    asked.add_argument("--rounds", type=int, default=3)
    asked.add_argument("--json", type=Path)
    given = asked.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds = measure(Path(folder), given.people, given.practices, given.rounds)
    best, middle = min(seconds), statistics.median(seconds)
    print(f"{given.people:,} people to {given.practices} practices: best {best:.2f} s, median {middle:.2f} s")
    if given.json:
        given.json.mkdir(parents=True, exist_ok=True)
        (given.json / "release.json").write_text(json.dumps({"seconds": seconds, **vars(given)}, default=str))


if __name__ == "__main__":
    main()
