"""One question to three made-up ICSs, and their answers beside the truth.

    python examples/federation/three_icss.py --folder three

makes everybody, links each ICS's records under a key of its own, asks, approves, answers and combines. The files that go
between them are left in the folder. It ends with an error where the truth lies outside the stated bounds.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path

import world

import linkage
from linkage.answering import Answering
from linkage.pseudonymise.signing_keys import create_signing_key, open_signing_key
from linkage.questions.answers import approve
from linkage.questions.combine import combine
from linkage.questions.combined import Combined
from linkage.questions.question import draft, put
from linkage.questions.registers import load_node, load_nodes

HERE = Path(__file__).parent
LINKAGE = """
allow_test_numbers = true
[purpose]
name = "made-up planning"
controllers = ["nobody"]
legal_basis = {{ kind = "not_personal", description = "made-up data about nobody" }}
[keys]
keyset = "age://ics.age"
domain = "ics:{name}"
[store]
path = "store"
[optouts.type1]
applies_to = "primary_care"
[[optouts.exemptions]]
optout = "national"
reference = "made-up data about nobody"
[[flows]]
feed = "register.toml"
path = "register"
[[flows]]
feed = "hospital.toml"
path = "hospital"
"""
NODE = """
name = "{name}"
store = "store"
private = "answering"
key = "age://node.age"
practices = {practices}
[[askers]]
name = "region.analysts"
key = "{asker}"
[[approvers]]
name = "{name}.governance"
key = "{approver}"
[[purposes]]
name = "emergency care planning"
askers = ["region.analysts"]
templates = ["people", "share"]
policy = "hes"
budget = 10
ends = 2099-12-31
"""


def main() -> None:
    """Do all of it and compare."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--folder", type=Path, default=Path("three-icss"), help="must not exist")
    parser.add_argument("--people", type=int, default=6_000)
    options = parser.parse_args()
    everybody = world.people(options.people, seed=7)
    made = run(options.folder, everybody)
    for line in made.lines():
        print(line)
    print(made.shares().filter(age="(all)"))
    held = sum(_held(options.folder / name) for name in world.ICSS)
    print(f"the three stores hold {held:,} people; there are {len(everybody):,}: adding up stores counts many twice")
    wrong = differences(made, everybody)
    if wrong:
        sys.exit(f"the truth is outside the bounds of {len(wrong)} groups")
    print(f"the truth of all {made.table.height} groups lies within their bounds")


def run(folder: Path, everybody: Sequence[world.Person]) -> Combined:
    """Three ICSs, a question, three answers, and what they say together."""
    folder.mkdir(parents=True)
    asker = create_signing_key(folder / "asker.age", "region.analysts")
    nodes = ""
    for name in world.ICSS:
        _link(folder / name, name, everybody)
        nodes += _node(folder / name, name, asker.verifier.text)
    (folder / "nodes.toml").write_text(nodes, encoding="utf-8")
    question = put(draft(HERE / "question.toml"), open_signing_key("age://asker.age", base=folder), _now(), days=14)
    content = question.model_dump_json().encode()
    (folder / "question.json").write_bytes(content)
    for name in world.ICSS:
        node, keys = load_node(folder / name / "node.toml"), folder / name
        approver = open_signing_key("age://approver.age", base=keys)
        agreed = approve(question.digest, name, approver, _now()).model_dump_json().encode()
        answering = Answering(node, open_signing_key(node.key, base=keys))
        answer = answering.answer(content, agreed, _now())
        (folder / f"answer-{name}.json").write_text(answer.model_dump_json(), encoding="utf-8")
    answers = {path.name: path.read_bytes() for path in sorted(folder.glob("answer-*.json"))}
    return combine(content, answers, load_nodes(folder / "nodes.toml"))


def differences(made: Combined, everybody: Sequence[world.Person]) -> list[tuple[str, ...]]:
    """Groups in whose bounds the truth is not."""
    wrong = []
    for *label, _, least, most in made.table.iter_rows():
        true = sum(_is_in(each, *label) for each in everybody)
        if not least <= true <= most:
            wrong.append(tuple(label))
    return wrong


def _is_in(person: world.Person, sex: str, age: str, measure: str) -> bool:
    visited = "yes" if len(person.visits) >= 2 else "no"
    band = next(name for first, name in ((65, "65+"), (40, "40-64"), (18, "18-39"), (0, "0-17")) if person.age >= first)
    is_said = {"1": "male", "2": "female"}[person.sex]
    return all(
        one in ("(all)", other) for one, other in zip((sex, age, measure), (is_said, band, visited), strict=True)
    )


def _link(folder: Path, name: str, everybody: Sequence[world.Person]) -> None:
    world.write(folder, name, everybody)
    for contract in ("register.toml", "hospital.toml"):
        shutil.copy(HERE / contract, folder)
    linkage.Keyset.create(folder / "ics.age")
    (folder / "linkage.toml").write_text(LINKAGE.format(name=name), encoding="utf-8")
    linkage.run(folder / "linkage.toml")


def _node(folder: Path, name: str, asker: str) -> str:
    """Make a node's keys and its file; its line for the asker's list of nodes."""
    key = create_signing_key(folder / "node.age", name)
    approver = create_signing_key(folder / "approver.age", f"{name}.governance")
    practices = json.dumps(world.PRACTICES[name])
    text = NODE.format(name=name, practices=practices, asker=asker, approver=approver.verifier.text)
    (folder / "node.toml").write_text(text, encoding="utf-8")
    return f'[[nodes]]\nname = "{name}"\nkey = "{key.verifier.text}"\n'


def _held(folder: Path) -> int:
    with linkage.open_store(folder / "store") as connection:
        return int(connection.sql("SELECT count(*) FROM person").fetchall()[0][0])


def _now() -> datetime:
    return datetime.now(UTC)


if __name__ == "__main__":
    main()
