"""A small ICS whose purpose allows the way back: its people, their practices, and everybody who has a key."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from pathlib import Path

import polars as pl
import pyrage
from small import GP_PRACTICES, HEADER, NOW, SmallIcs, make_small_ics, row

from linkage import Keyset
from linkage.cohorts import ask, decide, release
from linkage.cohorts.ask import Asking, Made
from linkage.cohorts.release import Released
from linkage.pseudonymise.signing_keys import create_signing_key, open_signing_key
from linkage.reidentify.decisions import Verdict
from linkage.reidentify.opening import open_package
from linkage.reidentify.packages import CSV
from linkage.reidentify.register import sign_register
from linkage.signed import Signer

# Valid NHS numbers of nobody.
ANN, BEN, CAT, DAN = "4000000632", "4010232137", "9876543210", "9434765919"
EVERYBODY = (ANN, BEN, CAT, DAN)
P1, P2 = "P10001", "P10002"
# The person table has the practice, so that a cohort can be picked by it; and there are codes.
GP = (
    GP_PRACTICES.replace('role = "practice" }', 'role = "practice", attribute = "practice" }')
    + """
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
)
RULES = """
[purpose.reidentification]
allowed = true
roles = ["population health analyst", "clinician"]
max_people = 3
max_total = 6
approvals = 2
expires_days = 7
columns = ["score", "band"]
reference = "DPIA-1"
[release]
registered = "register.json"
lead = "{lead}"
"""


@dataclass
class Care:
    """Where everything of it is.

    Attributes:
        ics: The ICS.
        keys: Everybody's signing keys by name.
        practices: Everybody's age identity file by practice.
        serial: Of the register as it is.
        roles: Everybody's roles.
        zipped: Practices that take encrypted ZIP files.
    """

    ics: SmallIcs
    keys: dict[str, Signer]
    practices: dict[str, Path]
    serial: int = 0
    roles: dict[str, tuple[str, ...]] = field(default_factory=dict)
    zipped: set[str] = field(default_factory=set)

    @property
    def folder(self) -> Path:
        return self.ics.folder

    @property
    def key_holder(self) -> Signer:
        return Keyset.open("age://keys.age", base=self.folder).signer()

    def tokens(self, *numbers: str) -> list[bytes]:
        keyset = Keyset.open("age://keys.age", base=self.folder)
        found = keyset.pseudonymiser("ics:test").tokenise(pl.Series(numbers, dtype=pl.String))[0]
        return [bytes(each) for each in found]

    def cohort(self, *numbers: str, name: str = "cohort.parquet") -> str:
        """A file of the tokens of some people, each with a score and a band."""
        rows = pl.DataFrame(
            {"token": self.tokens(*numbers), "score": range(len(numbers)), "band": ["high"] * len(numbers)}
        )
        rows.cast({"token": pl.Binary, "score": pl.Int64}).write_parquet(self.folder / name)
        return str(self.folder / name)

    def ask(
        self,
        *numbers: str,
        name: str = "request",
        to: Sequence[str] = (P1, P2),
        by: str = "a.patel",
        now: datetime = NOW,
    ) -> Path:
        self.asked(*numbers, name=name, to=to, by=by, now=now)
        return self.folder / name

    def asked(
        self,
        *numbers: str,
        name: str = "request",
        to: Sequence[str] = (P1, P2),
        by: str = "a.patel",
        now: datetime = NOW,
    ) -> Made:
        asking = Asking("call them for a review", to)
        where = self.folder / name
        return ask.request(self.ics.configuration, self.cohort(*numbers), asking, self.keys[by], where, now)

    def decide(self, request: Path, by: str, verdict: Verdict = Verdict.APPROVE, now: datetime = NOW) -> None:
        decide.decide(self.ics.configuration, request, verdict, self.keys[by], now)

    def approve(self, request: Path, *by: str, now: datetime = NOW) -> Path:
        for each in by or ("b.okoro", "c.jones"):
            self.decide(request, each, now=now)
        return request

    def release(self, request: Path, now: datetime = NOW) -> Released:
        return release.release(self.ics.configuration, request, now)

    def opened(self, released: Released, practice: str) -> list[dict[str, str]]:
        """What a practice reads."""
        files = open_package(released.place / practice, self.practices[practice], self.key_holder.verifier)
        return list(csv.DictReader(io.StringIO(files[CSV].decode())))

    def named(self, released: Released) -> dict[str, str]:
        """Who was named, and to which practice."""
        return {row["nhs_number"]: code for code in released.practices for row in self.opened(released, code)}

    def register(self, **changes: str) -> None:
        """Sign the register as it is now, with the next serial; `changes` replace lines of it."""
        self.serial += 1
        people = "".join(
            f'[[people]]\nname = "{name}"\nkey = "{key.verifier.text}"\nroles = {list(self.roles[name])}\n'
            for name, key in {**self.keys, "key-holder": self.key_holder}.items()
        )
        practices = "".join(
            f'[[practices]]\ncode = "{code}"\n'
            + ("zip = true\n" if code in self.zipped else f'recipient = "{_public(path)}"\n')
            for code, path in self.practices.items()
        )
        head = {"serial": str(self.serial), "issued": "2026-11-01", "expires": "2027-04-30", **changes}
        text = "".join(f"{name} = {value}\n" for name, value in head.items()) + people + practices
        (self.folder / "register.toml").write_text(text)
        signed = sign_register(self.folder / "register.toml", self.keys["QXX.lead"])
        (self.folder / "register.json").write_bytes(signed)

    def patients(self, *lines: str, stamp: str = "20261121") -> None:
        """A delivery of registrations more: `id,nhs,practice,start,end`."""
        _write(self.folder, "patient", "id,nhs,practice,start,end", *lines, stamp=stamp)

    def deliver(self, table: str, *lines: str, stamp: str = "20261121") -> None:
        """A delivery more of a table of the GP feed."""
        _write(self.folder, table, *lines, stamp=stamp)

    def answers(self, *allowed: str) -> None:
        """The national service was asked about everybody, and returned these."""
        (self.folder / "optouts" / "r.dat").write_text("".join(f"{number},\n" for number in EVERYBODY))
        self.ics.answer.write_text("".join(f"{number},\n" for number in allowed))


def make_care(folder: Path) -> Care:
    """Ann and Ben are with P1, Cat and Dan with P2; all of them may be used, and were published."""
    ics = make_small_ics(folder)
    ics.extract.write_text("\n".join([HEADER, *(row(i, number) for i, number in enumerate(EVERYBODY, 1)), ""]))
    ics.replace("min_allowed = 0.5\nmax_not_asked = 0.2", "min_allowed = 0.0\nmax_not_asked = 1.0")
    ics.replace('applies_to = "primary_care"', 'applies_to = "everything"')
    ics.add_feed("gp", GP)
    _write(folder, "agreement", "practice,active", f"{P1},true", f"{P2},true")
    lines = [
        f"k{who},{number},{practice},2010-01-01,"
        for who, (number, practice) in enumerate(zip(EVERYBODY, (P1, P1, P2, P2), strict=True))
    ]
    _write(folder, "patient", "id,nhs,practice,start,end", *lines)
    _write(folder, "code", "id,patient,day,code", *(f"r{who},k{who},2026-02-01,195967001" for who in range(4)))
    keys = {}
    for name in ("QXX.lead", "a.patel", "b.okoro", "c.jones", "d.clinician"):
        create_signing_key(folder / f"{name}.age", name)
        keys[name] = open_signing_key(f"age://{name}.age", identity=folder / f"{name}.identity", base=folder)
    practices = {code: _identity(folder / f"{code}.key") for code in (P1, P2)}
    roles = {
        "QXX.lead": ("governance lead",),
        "a.patel": ("population health analyst",),
        "b.okoro": ("approver",),
        "c.jones": ("approver",),
        "d.clinician": ("clinician",),
        "key-holder": ("key holder",),
    }
    care = Care(ics, keys, practices, roles=roles)
    care.answers(*EVERYBODY)
    lead = keys["QXX.lead"].verifier
    rules = RULES.format(lead=f"{lead.name} {lead.text}")
    ics.replace("[keys]", f"{rules}[keys]")
    care.register()
    ics.run()
    return care


def _identity(path: Path) -> Path:
    path.touch(mode=0o600)
    path.write_text(f"{pyrage.x25519.Identity.generate()}\n")
    return path


def _public(path: Path) -> str:
    return str(pyrage.x25519.Identity.from_str(path.read_text().strip()).to_public())


def _write(folder: Path, table: str, *lines: str, stamp: str = "20261120") -> None:
    (folder / "gp" / f"{table}_{stamp}.csv").write_text("\n".join([*lines, ""]))
