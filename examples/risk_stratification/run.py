"""From linked data to a practice's list: score, ask, approve, release, open.

    linkage demo demo --people 3000
    python examples/risk_stratification/run.py demo

Here one person plays everybody. In an ICS the keys of the analyst, the approvers, the key holder, the governance lead and each
practice are on machines of their own, and nobody has two of them.
"""

from __future__ import annotations

import subprocess
import sys
from datetime import date, timedelta
from pathlib import Path

import polars as pl
import pyrage
import score

import linkage

MOST = 40
WHY = "high risk of an emergency admission within a year: please offer a review"
SECTIONS = """
[purpose.reidentification]
allowed = true
roles = ["population health analyst"]
max_people = {most}
max_total = 400
approvals = 2
columns = ["risk_percent", "deficits", "frailty"]
reference = "DEMO-RISK-1"

[release]
registered = "care/register.json"
lead = "{lead}"
"""


def main() -> None:
    """The whole way, in the folder of a demo that was run."""
    folder = Path(sys.argv[1])
    govern(folder)
    model, calibration, cohort = scored(folder)
    say(f"odds of an emergency admission within a year: {model.words()}")
    for said, came in calibration.select("said", "came").iter_rows():
        say(f"  the model said {said:6.1%}, and {came:6.1%} came")
    score.draw(calibration, folder / "care" / "calibration.svg")
    request = ask(folder, cohort, "request")
    approve(folder, request)
    released = release(folder, request)
    opened = open_one(folder, released, folder / "care" / "opened")
    named = pl.read_csv(opened / "cohort.csv", infer_schema=False)
    say(f"one practice reads of {named.height} of its patients, and nobody else does")


def scored(folder: Path) -> tuple[score.Model, pl.DataFrame, pl.DataFrame]:
    """The model fitted on the last year, its calibration on people that it was not fitted on, and who is at risk now."""
    with linkage.open_store(folder / "store") as connection:
        ((last,),) = connection.execute("SELECT max(admission_date) FROM sus_apc_spell").fetchall()
        then, now = (score.people_on(connection, day) for day in (last - score.YEAR, last + timedelta(days=1)))
    fitted, shown = score.halves(then)
    model = score.Model.fit(fitted)
    return model, score.calibration(model, shown), score.cohort(model, now, MOST)


def ask(folder: Path, cohort: pl.DataFrame, name: str) -> Path:
    """The analyst asks: tokens, and what was agreed to go with them."""
    request, tokens = folder / "care" / name, folder / "care" / f"{name}.parquet"
    cohort.write_parquet(tokens)
    to = [word for practice in practices_of(folder) for word in ("--recipient", practice)]
    command("cohort", "request", str(folder / "linkage.toml"), str(tokens), "--out", str(request), "--reason", WHY,
            "--signer", f"age://{folder}/care/a.patel.age", *to)  # fmt: skip
    return request


def approve(folder: Path, request: Path) -> None:
    """Two others look at what is asked, and approve it."""
    for approver in ("b.okoro", "c.jones"):
        command("reidentify", "approve", str(folder / "linkage.toml"), str(request),
                "--signer", f"age://{folder}/care/{approver}.age")  # fmt: skip


def release(folder: Path, request: Path) -> Path:
    """The key holder releases; the folder with one package for each practice."""
    told = command("reidentify", "release", str(folder / "linkage.toml"), str(request))
    return Path(told.splitlines()[0].rpartition(": ")[2])


def open_one(folder: Path, released: Path, out: Path) -> Path:
    """A practice opens what it was sent, with its own key."""
    package = min(path for path in released.iterdir() if path.is_dir())
    holder = linkage.Keyset.open("age://keys/ics.age", base=folder).signer().verifier
    command("reidentify", "open", str(package), str(out), "--identity", str(folder / "care" / f"{package.name}.key"),
            "--key-holder", f"{holder.name} {holder.text}")  # fmt: skip
    return out


def practices_of(folder: Path) -> list[str]:
    """The practices that people are registered with; V81999 stands for none."""
    with linkage.open_store(folder / "store") as connection:
        rows = connection.execute(
            "SELECT DISTINCT practice FROM person WHERE practice NOT LIKE 'V8%' ORDER BY 1"
        ).fetchall()
    return [code for (code,) in rows]


def govern(folder: Path) -> None:
    """What is agreed before anybody asks: who may do what, and whose key opens what. The lead signs it; once."""
    care = folder / "care"
    if care.exists():
        return
    care.mkdir()
    roles = {
        "QXX.lead": "governance lead",
        "a.patel": "population health analyst",
        "b.okoro": "approver",
        "c.jones": "approver",
    }
    keys = {}
    for name in roles:
        told = command("keys", "signer", name, str(care / f"{name}.age"))
        keys[name] = next(word for word in told.split() if word.startswith("ed25519:"))
    holder = linkage.Keyset.open("age://keys/ics.age", base=folder).signer().verifier
    people = {**{name: (keys[name], role) for name, role in roles.items()}, holder.name: (holder.text, "key holder")}
    register = f"serial = 1\nissued = {date.today()}\nexpires = {date.today() + timedelta(days=180)}\n"
    for name, (public, role) in people.items():
        register += f'[[people]]\nname = "{name}"\nkey = "{public}"\nroles = ["{role}"]\n'
    for code in practices_of(folder):
        # As `age-keygen -o Z99001.key` at the practice; the public half goes to the governance lead.
        identity = pyrage.x25519.Identity.generate()
        (care / f"{code}.key").touch(mode=0o600)
        (care / f"{code}.key").write_text(f"{identity}\n")
        register += f'[[practices]]\ncode = "{code}"\nrecipient = "{identity.to_public()}"\n'
    (care / "register.toml").write_text(register)
    command("reidentify", "register", str(care / "register.toml"), str(care / "register.json"),
            "--signer", f"age://{care}/QXX.lead.age")  # fmt: skip
    with (folder / "linkage.toml").open("a") as file:
        file.write(SECTIONS.format(most=MOST, lead=f"QXX.lead {keys['QXX.lead']}"))


def command(*words: str) -> str:
    """Run `linkage`, show it, and return what it said."""
    say("$ linkage " + " ".join(words[:3]) + (" …" if len(words) > 3 else ""))
    done = subprocess.run(
        [Path(sys.executable).parent / "linkage", *words], capture_output=True, text=True, check=False
    )
    sys.stdout.write(done.stdout + done.stderr)
    done.check_returncode()
    return done.stdout


def say(line: str) -> None:
    """One line."""
    sys.stdout.write(f"{line}\n")


if __name__ == "__main__":
    main()
