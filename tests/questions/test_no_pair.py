"""Nothing that a node lets go can be subtracted, two at a time, to a few people: not within an answer, nor across snapshots."""

from __future__ import annotations

import random
from collections.abc import Iterator, Sequence
from dataclasses import replace
from datetime import date, timedelta
from itertools import combinations
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.disclosure import ALL, POLICIES, Asked, Entry, Groups, Ledger, count_people, decide
from linkage.errors import PolicyError
from linkage.questions.answers import ANSWER, Answer
from linkage.questions.question import Question
from linkage.signed import opened
from questions.stores import DAY, NOW, VISITS, One, TestNode, make_node, question

People = frozenset[int]
FEWEST = 8


def _apart(shown: Sequence[People]) -> None:
    """Whatever one has and the other lacks: nobody, or enough people."""
    for one, other in combinations(shown, 2):
        if one and other:
            assert not 0 < len(one ^ other) < FEWEST
        assert not (one <= other and 0 < len(other - one) < FEWEST)
        assert not (other <= one and 0 < len(one - other) < FEWEST)


CROWD = st.lists(st.tuples(st.integers(0, 2), st.integers(0, 1), st.integers(0, 1)), min_size=0, max_size=90)
CHANGES = st.lists(st.tuples(st.integers(0, 89), st.integers(0, 2)), max_size=12)
CUTS = st.lists(st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "c"), ("a", "b", "c"), ()]), min_size=2, max_size=4)


@settings(max_examples=80, deadline=None)
@given(crowd=CROWD, changes=CHANGES, cuts=CUTS, only=st.integers(-1, 2))
def test_no_pair_of_answers_singles_few_out(
    tmp_path_factory: pytest.TempPathFactory,
    crowd: list[tuple[int, int, int]],
    changes: list[tuple[int, int]],
    cuts: list[tuple[str, ...]],
    only: int,
) -> None:
    """Tables of up to three dimensions of a population that changes a little, of all of it or of one group of it."""
    ledger = Ledger(tmp_path_factory.mktemp("ledger"), budget=99)
    shown: list[People] = []
    for night, cut in enumerate(cuts):
        rows = [(each.to_bytes(16, "big"), *map(str, said)) for each, said in enumerate(crowd) if only in (-1, said[0])]
        people = pl.DataFrame(
            rows, schema={"token": pl.Binary, **dict.fromkeys("abc", pl.String)}, orient="row"
        ).select("token", *cut)
        if not cut and not rows:
            continue
        release = decide(Groups.of(count_people(people, cut), cut, "count", {}), POLICIES["hes"])
        try:
            ledger.admit(Entry.of(release, Asked(f"q{night}", "p", "s", "k"), NOW), release, people)
        except PolicyError:
            continue
        for label, seen in zip(release.groups.labels, release.shown, strict=True):
            if seen:
                shown.append(
                    frozenset(
                        int.from_bytes(token, "big")
                        for token, *values in people.iter_rows()
                        if all(one in (ALL, other) for one, other in zip(label, values, strict=True))
                    )
                )
        for place, value in changes[night::3]:
            if place < len(crowd):
                crowd[place] = (value, *crowd[place][1:])
            else:
                crowd.append((value, 0, 1))
    _apart(shown)


def _crowd(chance: random.Random) -> list[One]:
    return [
        One(
            each, sex=chance.choice(["female", "female", "male", None]), born=chance.choice([1940, 1980, None]),
            decile=chance.choice([1, 2, 10]),
            attendances=[date(2026, 5, 1)] * chance.choice([0, 0, 1, 3]),
        )
        for each in range(1, chance.randint(60, 160))
    ]  # fmt: skip


def _night(chance: random.Random, people: list[One]) -> list[One]:
    """A few come, go, or become something else."""
    kept = [each for each in people if chance.random() > chance.choice([0, 0.03])]
    changed = [replace(each, sex="male") if chance.random() < 0.02 else each for each in kept]
    return [*changed, *(One(chance.randint(10**6, 10**9)) for _ in range(chance.choice([0, 0, 3, 20])))]


DIMENSIONS: list[dict[str, Any]] = [
    {"kind": "sex"},
    {"kind": "age", "from_ages": [0, 65]},
    {"kind": "deprivation"},
    {"kind": "number", "name": "visits", "criterion": VISITS, "from_numbers": [0, 1, 2]},
]


def _asked(chance: random.Random) -> dict[str, Any]:
    said: dict[str, Any] = {
        "dimensions": chance.sample(DIMENSIONS, chance.randint(0, 3)),
        "cohort": {"registered_on": DAY},
    }
    if chance.random() < 0.3:
        said |= {"template": "share", "measure": VISITS}
    if chance.random() < 0.5:
        said["cohort"] = {"registered_on": DAY, chance.choice(["having", "lacking"]): [VISITS]}
    if chance.random() < 0.3:
        said["cohort"] = {"registered_on": DAY, "sexes": ["female"]}
    return said


def _value(name: str, each: One) -> str:
    visits = len(each.attendances)
    match name:
        case "sex":
            return each.sex or "(not known)"
        case "age":
            return "(not known)" if each.born is None else "65+" if 2026 - each.born >= 65 else "0-64"
        case "deprivation":
            return str(((each.decile or 0) + 1) // 2)
        case "visits":
            return str(visits) if visits < 2 else "2+"
        case _:
            return "yes" if visits else "no"


def _shown(answer: Answer, what: Question, people: Sequence[One]) -> Iterator[People]:
    cohort = [
        each for each in people
        if (not what.cohort.sexes or each.sex == "female")
        and (not what.cohort.having or each.attendances)
        and (not what.cohort.lacking or not each.attendances)
    ]  # fmt: skip
    for cell in answer.cells:
        if cell.count != "*":
            members = frozenset(
                each.number for each in cohort
                if all(one in (ALL, _value(name, each)) for name, one in zip(what.groups, cell.values, strict=True))
            )  # fmt: skip
            assert cell.at_least <= len(members) <= cell.at_most
            yield members


@pytest.mark.parametrize("seed", range(4))
def test_no_pair_of_a_nodes_answers_singles_few_out(tmp_path: Path, seed: int) -> None:
    """From the store to the signed answers, over some nights; what is counted is found again in plain Python."""
    chance = random.Random(seed)
    node: TestNode = make_node(tmp_path)
    people, shown, answered = _crowd(chance), [], 0
    for night in range(5):
        now = NOW + timedelta(days=night)
        node.publish(people, now)
        for _ in range(2):
            what = question(now=now, **_asked(chance))
            try:
                given = node.answer(what, now=now)
            except PolicyError:
                continue
            answered += 1
            answer, _ = opened(given.model_dump_json().encode(), Answer, ANSWER, [node.signer.verifier])
            shown += list(_shown(answer, Question.model_validate_json(what.content), people))
        people = _night(chance, people)
    assert answered
    _apart(shown)
