"""Whoever a run would leave out of any feed is not named, by every case of the specification of opt-outs."""

from __future__ import annotations

import csv
import io
import shutil
from pathlib import Path

import polars as pl
import pyrage
from small import NOW

from linkage import Keyset
from linkage.cohorts import ask, decide, release
from linkage.cohorts.ask import Asking
from linkage.optouts.policy import VERDICTS
from linkage.pseudonymise.signing_keys import create_signing_key, open_signing_key
from linkage.reidentify.decisions import Verdict
from linkage.reidentify.opening import open_package
from linkage.reidentify.packages import CSV
from linkage.reidentify.register import sign_register
from linkage.signed import Signer
from spec.optout_cases import SECTIONS
from spec.optout_world import DOES_NOT, IN, SHARES, Person, Registrations, make

TODAY = f"{NOW:%Y-%m-%d}"
# ODS codes are longer than the names that the specification has for its practices.
CODES = {SHARES: "P10001", DOES_NOT: "P20002"}


def _plain(person: Person) -> Person:
    """The same person before anything was said of them."""
    return Person(scottish=person.scottish, national="returned")


def _spelt(folder: Path) -> None:
    for path in [*(folder / "gp").glob("agreement_*.csv"), *(folder / "gp").glob("patient_*.csv")]:
        text = path.read_text()
        for name, code in CODES.items():
            text = text.replace(f",{name},", f",{code},").replace(f"\n{name},", f"\n{code},")
        path.write_text(text)


def _allow(folder: Path, people: int) -> dict[str, Signer]:
    """Everybody's keys, the register and the purpose."""
    keys = {}
    for name in ("lead", "analyst", "approver"):
        create_signing_key(folder / f"{name}.age", name)
        keys[name] = open_signing_key(f"age://{name}.age", identity=folder / f"{name}.identity", base=folder)
    holder = Keyset.open("age://keys.age", base=folder).signer()
    roles = ((keys["analyst"], "analyst"), (keys["approver"], "approver"), (holder, "key holder"))
    register = "serial = 1\nissued = 2026-11-01\nexpires = 2027-11-01\n" + "".join(
        f'[[people]]\nname = "{each.name}"\nkey = "{each.verifier.text}"\nroles = ["{role}"]\n' for each, role in roles
    )
    for code in CODES.values():
        identity = pyrage.x25519.Identity.generate()
        (folder / f"{code}.key").write_text(str(identity))
        register += f'[[practices]]\ncode = "{code}"\nrecipient = "{identity.to_public()}"\n'
    (folder / "register.toml").write_text(register)
    (folder / "register.json").write_bytes(sign_register(folder / "register.toml", keys["lead"]))
    with (folder / "linkage.toml").open("a") as file:
        file.write(
            f'[purpose.reidentification]\nallowed = true\nroles = "analyst"\nmax_people = {people}\nreference = "R-1"\n'
            f'[release]\nregistered = "register.json"\nlead = "lead {keys["lead"].verifier.text}"\n'
        )
    return keys


def _home(registrations: Registrations) -> str:
    """Where the registration that began last says that somebody is now: its practice, or nowhere."""
    last = max((start for _, start, _ in registrations), default="")
    found = {practice for practice, start, end in registrations if start == last and not (end and end <= TODAY)}
    return found.pop() if len(found) == 1 else ""


def _expected(person: Person, hospital: str, gp: str) -> str:
    if (hospital, gp) != (IN, IN):
        # Of two feeds' reasons the one that comes first in the order of all reasons.
        return min({hospital, gp} - {IN}, key=[each.value for each in VERDICTS].index)
    return IN if _home(person.registrations) == SHARES else "not_registered"


def test_whoever_a_run_leaves_out_is_not_named(tmp_path: Path) -> None:
    """They were published when nothing was said; then all of it is said at once, and the cohort of everybody is released."""
    cases = {f"{section}: {name}": case for section, own in SECTIONS.items() for name, case in own.items()}
    people = [person for person, _ in cases.values()]
    ics, numbers = make(_folder(tmp_path, "before"), [_plain(person) for person in people])
    _spelt(ics.folder)
    keys = _allow(ics.folder, len(people))
    ics.run()
    pseudonymiser = Keyset.open("age://keys.age", base=ics.folder).pseudonymiser("ics:test")
    tokens = pseudonymiser.tokenise(pl.Series(numbers, dtype=pl.String))[0]
    tokens.alias("token").to_frame().write_parquet(tmp_path / "everybody.parquet")
    request, asking = tmp_path / "request", Asking("review", list(CODES.values()))
    ask.request(ics.configuration, str(tmp_path / "everybody.parquet"), asking, keys["analyst"], request, NOW)
    decide.decide(ics.configuration, request, Verdict.APPROVE, keys["approver"], NOW)

    said, again = make(_folder(tmp_path, "after"), people)
    assert again == numbers
    _spelt(said.folder)
    for path in (*said.folder.glob("gp/*.csv"), *said.folder.glob("pds/*.csv")):
        shutil.copy(path, ics.folder / path.parent.name / path.name.replace("20261120", "20261121"))
    for name in ("optouts", "objections.csv", "sensitive.csv"):
        copy = shutil.copytree if (said.folder / name).is_dir() else shutil.copy
        target = ics.folder / name
        shutil.rmtree(target) if target.is_dir() else target.unlink()
        copy(said.folder / name, target)

    released = release.release(ics.configuration, request, NOW)
    holder = Keyset.open("age://keys.age", base=ics.folder).signer().verifier
    named = {
        row["nhs_number"]
        for code in released.practices
        for row in csv.DictReader(
            io.StringIO(open_package(released.place / code, ics.folder / f"{code}.key", holder)[CSV].decode())
        )
    }
    expected = {name: _expected(person, *outcome) for name, (person, outcome) in cases.items()}
    assert {name for name, number in zip(cases, numbers, strict=True) if number in named} == {
        name for name, what in expected.items() if what == IN
    }
    counted: dict[str, int] = {}
    for what in expected.values():
        counted[what] = counted.get(what, 0) + (what != IN)
    assert released.withheld == {what: many for what, many in counted.items() if many}
    assert len(named) > 5
    assert len(counted) > 5


def _folder(tmp_path: Path, name: str) -> Path:
    (tmp_path / name).mkdir()
    return tmp_path / name
