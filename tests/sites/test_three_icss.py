"""Three ICSs of twenty sites each on one machine: from sixty keysets to one answer, held against the truth."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import polars as pl
import pytest
from federation import command

from linkage.nhs_number import check_digit
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.signing_keys import create_signing_key

SITES, PEOPLE, VISITORS = 20, 24, 4
CLINIC = """
name = "clinic"
setting = "community"
delivered = '_(\\d{8})\\.csv$'
[tables.patient]
files = "patient_*.csv"
primary_key = "patient"
roster = true
registration = { practice = "practice", start = "since", end = "until" }
[tables.patient.columns]
patient = { source = "id", role = "person_key", namespace = "clinic.patient", required = true }
nhs_number = { source = "nhs", role = "person" }
sex = { source = "sex", role = "category", attribute = "sex" }
practice = { source = "practice", role = "practice" }
since = { source = "since", role = "date" }
until = { source = "until", role = "date" }
[tables.visit]
files = "visit_*.csv"
primary_key = "visit"
month = "day"
event = { kind = "visit", record = "visit", start = "day" }
[tables.visit.columns]
visit = { source = "visit", role = "record", namespace = "clinic.visit", required = true }
patient = { source = "patient", role = "person_key", namespace = "clinic.patient" }
day = { source = "day", role = "date", required = true }
"""
PURPOSE = """
[purpose]
name = "test"
legal_basis = "made-up data"
controllers = ["nobody"]
[keys]
keyset = "age://{keyset}"
domain = "{domain}"
"""
SITE = """
[site]
name = "{name}"
recipients = ["{recipient}"]
outbox = "../out"
[[optouts.exemptions]]
optout = "national"
reference = "nobody is in it"
[optouts.type1]
applies_to = "primary_care"
[[flows]]
feed = "../../clinic.toml"
path = "extracts"
"""
QUESTION = """
purpose = "planning"
nodes = {nodes}
template = "share"
policy = "hes"
snapshots_from = 2026-01-01
[cohort]
registered_on = 2026-10-01
[measure]
feeds = ["clinic"]
kinds = ["visit"]
first_month = "2026-01"
last_month = "2026-06"
[[dimensions]]
kind = "sex"
"""


@dataclass
class Icss:
    """Some ICSs in one folder."""

    folder: Path
    names: tuple[str, ...]
    sites: int

    def number(self, icss: int, site: int, person: int) -> str:
        """The NHS number of somebody, of the range for tests."""
        nine = 900_000_000 + ((icss * self.sites + site) * PEOPLE + person) * 11
        while (digit := check_digit(f"{nine:09d}")) is None:
            nine += 1
        return f"{nine:09d}{digit}"

    def practice(self, icss: int, site: int) -> str:
        """The practice of a site's people."""
        return f"{'ABC'[icss]}{site:05d}"

    def make(self) -> None:
        """Keysets, extracts and configurations of everybody."""
        (self.folder / "clinic.toml").write_text(CLINIC)
        for at, name in enumerate(self.names):
            place = self.folder / name
            place.mkdir()
            Keyset.create(place / "ics.age")
            keyset = Keyset.open("age://ics.age", base=place)
            purpose = PURPOSE.format(keyset="ics.age", domain=f"ics:{name}") + '[store]\npath = "store"\n[hub]\n'
            entry = '[[hub.sites]]\nname = "{0}"\ndomain = "site:{0}"\nsigns = "{1}"\nkey_id = "{2}"\nfeeds = ["../clinic.toml"]\n'
            (place / "linkage.toml").write_text(purpose + entry.format("x", "x", "0" * 16))
            [recipient] = command("hub", "recipient", place / "linkage.toml").text.split()
            for site in range(self.sites):
                own = f"{name}-{site:02d}"
                folder = place / own
                (folder / "extracts").mkdir(parents=True)
                keyset.create_for_site(folder / "site.age", own, f"site:{own}")
                opened = Keyset.open("age://site.age", base=folder)
                purpose += entry.format(own, opened.signer().verifier.text, opened.key_id)
                (folder / "linkage.toml").write_text(
                    "allow_test_numbers = true\n" + PURPOSE.format(keyset="site.age", domain=f"site:{own}")
                    + SITE.format(name=own, recipient=recipient)
                )  # fmt: skip
                self._extracts(folder / "extracts", at, site)
            (place / "linkage.toml").write_text(purpose)

    def _extracts(self, folder: Path, icss: int, site: int) -> None:
        """People of the site's practice, half of them women, a third of whom came; and visitors of the next ICS."""
        patients, visits = ["id,nhs,sex,practice,since,until"], ["visit,patient,day"]
        for person in range(PEOPLE):
            patients.append(
                f"p{person},{self.number(icss, site, person)},{person % 2 + 1},{self.practice(icss, site)},2020-01-01,"
            )
            visits += [f"v{person},p{person},2026-03-05"] if person % 3 == 0 else []
        for person in range(VISITORS):
            patients.append(f"w{person},{self.number((icss + 1) % len(self.names), site, person)},{person % 2 + 1},,,")
            visits.append(f"x{person},w{person},2026-04-05")
        (folder / "patient_20261001.csv").write_text("\n".join(patients) + "\n")
        (folder / "visit_20261001.csv").write_text("\n".join(visits) + "\n")

    def publish(self) -> None:
        """Every site runs; every hub receives, translates and links."""
        for name in self.names:
            place = self.folder / name
            for site in range(self.sites):
                done = command("site", "run", place / f"{name}-{site:02d}" / "linkage.toml")
                assert done.code == 0, done.text
            packets = sorted((place / "out").iterdir())
            assert len(packets) == self.sites
            for words in (["receive"], ["translate"], ["link"]):
                done = command("hub", *words, place / "linkage.toml", *(packets if words == ["receive"] else []))
                assert done.code == 0, done.text

    def ask(self) -> pl.DataFrame:
        """One question to all of them, approved and answered at each, and put together."""
        here = self.folder
        asker = create_signing_key(here / "analysts.age", "region.analysts").verifier.text
        nodes = ""
        for at, name in enumerate(self.names):
            place = here / name
            node = create_signing_key(place / "node.age", name).verifier.text
            approver = create_signing_key(place / "governance.age", f"{name}.governance").verifier.text
            practices = "\n".join(["ods_code", *(self.practice(at, site) for site in range(self.sites))])
            (place / "practices.csv").write_text(practices + "\n")
            (place / "node.toml").write_text(
                f'name = "{name}"\nstore = "store"\nprivate = "answering"\nkey = "age://node.age"\n'
                f'practices = "practices.csv"\n[[askers]]\nname = "region.analysts"\nkey = "{asker}"\n'
                f'[[approvers]]\nname = "{name}.governance"\nkey = "{approver}"\n'
                '[[purposes]]\nname = "planning"\naskers = ["region.analysts"]\ntemplates = ["share"]\npolicy = "hes"\n'
                "budget = 3\nends = 2999-12-31\n"
            )
            nodes += f'[[nodes]]\nname = "{name}"\nkey = "{node}"\n'
        (here / "nodes.toml").write_text(nodes)
        (here / "question.toml").write_text(QUESTION.format(nodes=str(list(self.names)).replace("'", '"')))
        _well(
            "ask", here / "question.toml", here / "question.json", "--key", f"age://{here}/analysts.age", "--days", "14"
        )
        answers = []
        for name in self.names:
            place, question = here / name, here / "question.json"
            _well(
                "approve",
                place / "node.toml",
                question,
                place / "approval.json",
                "--key",
                f"age://{place}/governance.age",
            )
            _well("answer", place / "node.toml", question, place / "approval.json", place / "answer.json")
            answers.append(place / "answer.json")
        _well("combine", here / "nodes.toml", here / "question.json", *answers, "--counts", here / "counts.csv",
              "--shares", here / "shares.csv")  # fmt: skip
        return pl.read_csv(here / "counts.csv", infer_schema=False)


def _well(*words: object) -> None:
    done = command("federate", *words)
    assert done.code == 0, done.text


@pytest.mark.slow
@pytest.mark.parametrize("sites", [SITES])
def test_one_question_over_all_of_them(tmp_path: Path, sites: int) -> None:
    """Nobody is counted twice, though each ICS has records of people of the next; the truth lies in the bounds."""
    icss = Icss(tmp_path, ("qxx", "qyy", "qzz"), sites)
    icss.make()
    icss.publish()
    counts = icss.ask()
    came = {"1": 0, "2": 0}
    for person in range(0, PEOPLE, 3):
        came[str(person % 2 + 1)] += 3 * sites
    each_sex = 3 * sites * PEOPLE // 2
    truth = {
        (sex, measure): people
        for sex, code in (("male", "1"), ("female", "2"))
        for measure, people in (("yes", came[code]), ("no", each_sex - came[code]), ("(all)", each_sex))
    }
    seen = set()
    for row in counts.iter_rows(named=True):
        group = (row["sex"], row["measure"])
        if group in truth:
            low, high = int(row["at_least"]), int(row["at_most"])
            assert low <= truth[group] <= high, row
            seen.add(group)
    assert seen == truth.keys()
