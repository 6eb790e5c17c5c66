"""`linkage federate ask`, `show`, `approve`, `answer` and `combine` from the shell."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path

import polars as pl
import pytest

from linkage.cli import main
from linkage.errors import ConfigurationError
from linkage.pseudonymise.signing_keys import create_signing_key
from linkage.questions.question import draft
from questions.stores import One, make_node, publish

QUESTION = """
purpose = "winter planning"
nodes = ["qxx", "qyy"]
template = "share"
policy = "hes"
snapshots_from = 2026-01-01
[cohort]
registered_on = 2026-10-01
min_age = 18
[measure]
feeds = ["ecds"]
kinds = ["attendance"]
first_month = "2025-10"
last_month = "2026-09"
[[dimensions]]
kind = "sex"
[[dimensions]]
kind = "age"
from_ages = [0, 65]
"""


Run = Callable[..., str]


@pytest.fixture
def run(folder: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """The command, as its process would do it."""
    monkeypatch.chdir(folder)

    def command(*words: str, code: int = 0) -> str:
        monkeypatch.setattr(sys, "argv", ["linkage", "federate", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        said = capsys.readouterr()
        assert (ended.value.code or 0) == code, said.err
        return said.out + said.err

    return command


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """One node, with the keys of everybody beside it."""
    node = make_node(tmp_path)
    text = node.file.read_text().split("[[askers]]")[0]
    for kind, name in (("asker", "QYY.analysts"), ("approver", "QXX.governance")):
        made = create_signing_key(tmp_path / f"{kind}.age", name)
        text += f'[[{kind}s]]\nname = "{name}"\nkey = "{made.verifier.text}"\n'
    made = create_signing_key(tmp_path / "node.age", "qxx")
    (tmp_path / "nodes.toml").write_text(f'[[nodes]]\nname = "qxx"\nkey = "{made.verifier.text}"\n')
    purpose = (
        '[[purposes]]\nname = "winter planning"\naskers = ["QYY.analysts"]\ntemplates = ["share"]\npolicy = "hes"\n'
    )
    node.file.write_text(f"{text}{purpose}budget = 1\nends = 2999-12-31\n")
    (tmp_path / "question.toml").write_text(QUESTION)
    publish(tmp_path / "store", [One(each, born=1980) for each in range(1, 60)], datetime.now(UTC))
    return tmp_path


def test_a_question_goes_round(folder: Path, run: Run) -> None:
    """Asked, shown, approved, answered and put together; nothing is overwritten."""
    said = run("ask", "question.toml", "q.json", "--key", "age://asker.age")
    assert "measure: at least 1 of events (attendance) in ecds, 2025-10 to 2026-09" in said
    assert "aged 18 to any age" in said
    assert run("show", "q.json").startswith(said)
    assert "exists" in run("ask", "question.toml", "q.json", "--key", "age://asker.age", code=2)
    assert "approves nothing" in run("approve", "node.toml", "q.json", "a.json", "--key", "age://asker.age", code=2)
    assert said in run("approve", "node.toml", "q.json", "a.json", "--key", "age://approver.age")
    assert "look at it before it leaves" in run("answer", "node.toml", "q.json", "a.json", "answer.json")
    said = run("combine", "nodes.toml", "q.json", "answer.json", "--counts", "counts.csv", "--shares", "shares.csv")
    assert said.startswith("1 of 2 nodes answered")
    assert "qyy: no answer" in said
    assert "in all: 58 to 62 people" in said
    counts, shares = (pl.read_csv(folder / name, infer_schema=False) for name in ("counts.csv", "shares.csv"))
    assert counts.columns == ["sex", "age", "measure", "count", "at_least", "at_most"]
    assert shares.row(-1) == ("(all)", "(all)", "0.0", "0.0", "0.0")


def test_a_refusal_leaves_nothing_for_the_asker(folder: Path, run: Run) -> None:
    """Its exit code and its reason stay at the node."""
    for name in ("1", "2"):
        run("ask", "question.toml", f"q{name}.json", "--key", "age://asker.age")
        run("approve", "node.toml", f"q{name}.json", f"a{name}.json", "--key", "age://approver.age")
    run("answer", "node.toml", "q1.json", "a1.json", "answer1.json")
    assert "has had its 1 answers" in run("answer", "node.toml", "q2.json", "a2.json", "answer2.json", code=4)
    assert not (folder / "answer2.json").exists()
    (refusal,) = (folder / "private/refused").glob("*.json")
    assert json.loads(refusal.read_text())["asker"] == "QYY.analysts"


@pytest.mark.parametrize(
    ("old", "new", "reason"),
    [
        ("[cohort]", "[cohorts]", "cohort"),
        ('kind = "sex"', 'kind = "number of toes"', "dimensions.0"),
        ("2026-09", "2026-13", "measure.last_month"),
        ('"ecds"', '"ecds; DROP TABLE person"', "measure.feeds.0"),
        ("[0, 65]", "[0, 65, 65]", "rising"),
        ("[0, 65]", "[18, 65]", "begins at 0"),
        ('"share"', '"people"', "a share has a measure"),
        ('policy = "hes"', 'policy = "hes"\nsql = "SELECT 1"', "sql"),
    ],
)
def test_a_question_that_holds_something_else_is_refused(tmp_path: Path, old: str, new: str, reason: str) -> None:
    """Before it is signed."""
    assert old in QUESTION
    (tmp_path / "question.toml").write_text(QUESTION.replace(old, new))
    with pytest.raises(ConfigurationError, match=reason):
        draft(tmp_path / "question.toml")
