"""Answers put together: bounds that hold the truth, and nodes that are down, slow, lie or answer something else."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date, timedelta
from itertools import product
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage import disclosure
from linkage.disclosure import Groups, decide
from linkage.errors import InputError, IntegrityError, PolicyError
from linkage.questions.answers import ANSWER, Answer, Cell
from linkage.questions.combine import combine
from linkage.questions.combined import ALL
from linkage.questions.question import Question
from linkage.questions.words import shown
from linkage.signed import Envelope, Verifier, canonical, sign
from questions.stores import NOW, VISITS, One, make_node, question, signer

NODES = ("qxx", "qyy", "qzz")
KEYS = tuple(signer(name).verifier for name in NODES)
SHAPE = {"sex": ("female", "male", "indeterminate", "(not known)"), "measure": ("yes", "no")}

Cells = dict[tuple[str, ...], int]


def _answer(what: Envelope, name: str, exact: Cells, **changes: object) -> Answer:
    """What a node answers whose people are these."""
    asked = Question.model_validate_json(what.content)
    names = list(asked.groups)
    rows = [(*label, count) for label, count in exact.items()]
    frame = pl.DataFrame(rows, schema={**dict.fromkeys(names, pl.String), "count": pl.Int64}, orient="row")
    release = decide(Groups.of(frame, names, "count", asked.groups), disclosure.policy(asked.policy))
    cells = tuple(
        Cell(values=tuple(values), count=count, at_least=least, at_most=most)
        for *values, count, least, most in release.table().iter_rows()
    )
    return Answer(
        question=what.digest, node=name, at=NOW, snapshot="s1", snapshot_digest="0" * 64, snapshot_day=date(2026, 11, 24),
        policy=asked.policy, practices=(f"{name.upper()}1",), cells=cells,
    ).model_copy(update=changes)  # fmt: skip


def _signed(answer: Answer, by: str | None = None) -> bytes:
    return sign(ANSWER, canonical(answer), [signer(by or answer.node)]).model_dump_json().encode()


def _asked(**changes: object) -> Envelope:
    return question(template="share", measure=VISITS, **changes)


def _bytes(envelope: Envelope) -> bytes:
    return envelope.model_dump_json().encode()


COUNTS = st.lists(st.one_of(st.integers(0, 12), st.integers(0, 5000)), min_size=8, max_size=8)


@settings(max_examples=150, deadline=None)
@given(worlds=st.lists(COUNTS, min_size=1, max_size=3), policy=st.sampled_from(sorted(disclosure.POLICIES)))
def test_bounds_hold_the_truth(worlds: list[list[int]], policy: str) -> None:
    """Of every count and every total, and of every share that there is; a count is a sum only where none is withheld."""
    what = _asked(policy=policy)
    exact = [dict(zip(product(*SHAPE.values()), counts, strict=True)) for counts in worlds]
    answers = {name: _answer(what, name, cells) for name, cells in zip(NODES, exact, strict=False)}
    made = combine(_bytes(what), {name: _signed(each) for name, each in answers.items()}, KEYS)
    truth = {
        label: sum(
            count for cells in exact for cell, count in cells.items()
            if all(one in (ALL, other) for one, other in zip(label, cell, strict=True))
        )
        for label in product(*((*values, ALL) for values in SHAPE.values()))
    }  # fmt: skip
    assert made.table.height == len(truth)
    for sex, measure, count, least, most in made.table.iter_rows():
        assert least <= truth[sex, measure] <= most
        withheld = any(
            cell.count == "*" for each in answers.values() for cell in each.cells if cell.values == (sex, measure)
        )
        assert (count == "*") == withheld
    for sex, share, least, most in made.shares().iter_rows():
        if truth[sex, ALL]:
            assert least - 1e-9 <= 100 * truth[sex, "yes"] / truth[sex, ALL] <= most + 1e-9
        assert share == "*" or 0 <= float(share) <= 100


def test_a_withheld_count_is_no_zero() -> None:
    """It is from one to seven by this policy, and the sum is withheld with it."""
    what = question()
    few = dict.fromkeys([(each,) for each in SHAPE["sex"]], 3)
    many = dict.fromkeys([(each,) for each in SHAPE["sex"]], 100)
    answers = {"a": _signed(_answer(what, "qxx", few)), "b": _signed(_answer(what, "qyy", many))}
    made = combine(_bytes(what), answers, KEYS)
    assert made.table.row(0, named=True) == {"sex": "female", "count": "*", "at_least": 99, "at_most": 109}
    with pytest.raises(InputError, match="not for a share"):
        made.shares()


EXACT = dict.fromkeys(product(*SHAPE.values()), 100)

LIES: list[tuple[str, Callable[[Envelope, Envelope], bytes]]] = [
    ("nobody who is known", lambda what, _: _signed(_answer(what, "qzz", EXACT), by="qaa")),
    ("the signature", lambda what, _: _forged(_signed(_answer(what, "qzz", EXACT)))),
    ("another node than the one", lambda what, _: _signed(_answer(what, "qzz", EXACT), by="qxx")),
    ("another question", lambda what, other: _signed(_answer(other, "qzz", EXACT))),
    ("not a signed envelope", lambda what, _: b"{}"),
    ("something else", lambda what, _: _bytes(what)),
    ("another disclosure policy", lambda what, _: _signed(_answer(what, "qzz", EXACT, policy="sacro"))),
    ("snapshot is of before", lambda what, _: _signed(_answer(what, "qzz", EXACT, snapshot_day=date(2026, 10, 31)))),
    ("after it expired", lambda what, _: _signed(_answer(what, "qzz", EXACT, at=NOW + timedelta(days=15)))),
    ("before the question", lambda what, _: _signed(_answer(what, "qzz", EXACT, at=NOW - timedelta(days=1)))),
    ("its groups are not those", lambda what, _: _signed(_without_a_cell(_answer(what, "qzz", EXACT)))),
    ("do not add up", lambda what, _: _signed(_with_a_lie(_answer(what, "qzz", EXACT)))),
    ("within its bounds", lambda what, _: _signed(_with(_answer(what, "qzz", EXACT), count="0"))),
    ("within its bounds", lambda what, _: _signed(_with(_answer(what, "qzz", EXACT), count="900"))),
    ("within its bounds", lambda what, _: _signed(_with(_answer(what, "qzz", EXACT), at_most=90))),
    ("signed as one", lambda what, _: _signed(_with(_answer(what, "qzz", EXACT), at_most=10**30))),
    ("signed as one", lambda what, _: _signed(_with(_answer(what, "qzz", EXACT), count="9" * 5000))),
    ("signed as one", lambda what, _: _signed(_answer(what, "qzz", EXACT, practices=()))),
    ("signed as one", lambda what, _: _signed(_answer(what, "qzz", EXACT, practices=("QXX1 ",)))),
]


def _forged(content: bytes) -> bytes:
    read = Envelope.model_validate_json(content)
    changed = sign(ANSWER, read.content.replace(b'"100"', b'"105"'), [])
    return _bytes(changed.model_copy(update={"signatures": read.signatures}))


def _without_a_cell(answer: Answer) -> Answer:
    return answer.model_copy(update={"cells": answer.cells[1:]})


def _with_a_lie(answer: Answer) -> Answer:
    return _with(answer, count="900", at_least=898, at_most=902)


def _with(answer: Answer, **changes: object) -> Answer:
    first = answer.cells[0].model_copy(update=changes)
    return answer.model_copy(update={"cells": (first, *answer.cells[1:])})


@pytest.mark.parametrize(("reason", "lie"), LIES)
def test_what_cannot_be_used_is_named_and_missing(reason: str, lie: Callable[[Envelope, Envelope], bytes]) -> None:
    """The others are put together without it, and it is said that they are not all."""
    what = _asked()
    answers = {name: _signed(_answer(what, name, EXACT)) for name in ("qxx", "qyy")}
    made = combine(_bytes(what), answers | {"z.json": lie(what, _asked())}, KEYS)
    assert sorted(made.answers) == ["qxx", "qyy"]
    assert made.missing == ("qzz",)
    (refused,) = made.refused
    assert refused.file == "z.json"
    assert reason in refused.reason
    assert made.lines()[0].startswith("2 of 3 nodes answered")
    assert "  qzz: no answer" in made.lines()
    assert made.table["at_most"].max() == 2 * 8 * 100 + 4


def test_a_round_in_which_four_of_five_go_wrong(tmp_path: Path) -> None:
    """One is down, one too slow, one lies about its signature, one answers another question: what is left is of one alone."""
    names = ("down", "good", "liar", "other", "slow")
    what, another = question(nodes=names), question(nodes=names)
    files: dict[str, bytes] = {}
    for place, name in enumerate(names):
        node = make_node(tmp_path / name, name, [f"A1000{place}"])
        node.publish([One(each, practice=f"A1000{place}") for each in range(1, 101)])
        match name:
            case "good":
                files[name] = _bytes(node.answer(what))
            case "liar":
                files[name] = _forged_by(node.answer(what), "good")
            case "other":
                files[name] = _bytes(node.answer(another))
            case "slow":
                late = NOW + timedelta(days=14)
                with pytest.raises(PolicyError, match="expired"):
                    node.answer(what, now=late)
                read = _answer(what, name, dict.fromkeys([(each,) for each in SHAPE["sex"]], 50))
                files[name] = _signed(read.model_copy(update={"at": late + timedelta(hours=1)}))
    made = combine(_bytes(what), files, [signer(name).verifier for name in names])
    assert sorted(made.answers) == ["good"]
    assert made.missing == ("down", "liar", "other", "slow")
    assert {each.file for each in made.refused} == {"liar", "other", "slow"}
    assert made.table.row(0)[2:] == (98, 102)
    assert made.lines()[0] == "1 of 5 nodes answered; every count is of these alone"


def _forged_by(envelope: Envelope, name: str) -> bytes:
    """An answer under a signature that is another's."""
    forged = sign(ANSWER, envelope.content, [signer(name)]).signatures[0]
    own = envelope.signatures[0].model_copy(update={"signature": forged.signature})
    return _bytes(envelope.model_copy(update={"signatures": (own,)}))


def test_a_node_that_was_not_asked_is_not_counted() -> None:
    """Though it is known."""
    what = _asked(nodes=["qxx"])
    answers = {name: _signed(_answer(what, name, EXACT)) for name in ("qxx", "qyy")}
    made = combine(_bytes(what), answers, KEYS)
    assert (sorted(made.answers), made.missing) == (["qxx"], ())
    assert "was not asked" in made.refused[0].reason


def test_one_answer_of_a_node_counts_once() -> None:
    """The same file twice is one answer; two that differ are none."""
    what = _asked()
    answer = _answer(what, "qxx", EXACT)
    same = combine(_bytes(what), {"a": _signed(answer), "b": _signed(answer)}, KEYS)
    assert same.table["at_most"].max() == 802
    other = answer.model_copy(update={"snapshot": "s2"})
    second = _signed(_answer(what, "qyy", EXACT))
    made = combine(_bytes(what), {"a": _signed(answer), "b": _signed(other), "c": second}, KEYS)
    assert sorted(made.answers) == ["qyy"]
    assert [each.file for each in made.refused] == ["a", "b"]


def test_nobody_is_counted_by_two_nodes() -> None:
    """Two that claim one practice are both out: which is right cannot be told from here."""
    what = _asked()
    answers = {
        name: _signed(_answer(what, name, EXACT, practices=practices))
        for name, practices in {"qxx": ("A10", "A20"), "qyy": ("A20", "A30"), "qzz": ("A40",)}.items()
    }
    made = combine(_bytes(what), answers, KEYS)
    assert sorted(made.answers) == ["qzz"]
    assert made.missing == ("qxx", "qyy")
    assert all("counted twice" in each.reason for each in made.refused)


def test_nothing_is_made_of_no_answer() -> None:
    """Nor of a question that is none."""
    with pytest.raises(InputError, match="no answer can be used: a: not a signed"):
        combine(_bytes(_asked()), {"a": b""}, KEYS)
    with pytest.raises(IntegrityError, match="not a question"):
        combine(b"{}", {}, KEYS)


def test_three_stores_from_end_to_end(tmp_path: Path) -> None:
    """People who moved and who are known to two are counted once, where they are now."""
    moved = One(50, practice="B20001", since=date(2026, 5, 1))
    people = {
        "qxx": [*(One(each) for each in range(1, 50)), One(50, until=date(2026, 4, 30)), One(1000, practice="B20001")],
        "qyy": [moved, *(One(each, practice="B20001") for each in range(1000, 1100))],
        "qzz": [One(each, practice="C30001", sex="male") for each in range(1, 4)],
    }
    what, answers, exact = question(), {}, {"female": 150, "male": 3}
    for name, practice in zip(NODES, ("A10001", "B20001", "C30001"), strict=True):
        node = make_node(tmp_path / name, name, [practice])
        node.publish(people[name])
        answers[name] = _bytes(node.answer(what))
    made = combine(_bytes(what), answers, KEYS)
    bounds = {row[0]: row[2:] for row in made.table.iter_rows()}
    for sex, count in exact.items():
        assert bounds[sex][0] <= count <= bounds[sex][1]
    assert bounds["female"] == (146, 154)
    down = combine(_bytes(what), {"qxx": answers["qxx"]}, KEYS)
    assert down.missing == ("qyy", "qzz")


def test_keys_are_the_askers_own() -> None:
    """A node under another's name is nobody."""
    what = _asked()
    wrong = Verifier("qxx", signer("qyy").verifier.public)
    with pytest.raises(InputError, match="nobody who is known"):
        combine(_bytes(what), {"a": _signed(_answer(what, "qxx", EXACT))}, [wrong])


def test_what_is_shown_moves_no_cursor() -> None:
    """A file that came from anywhere is shown before anybody checked who signed it."""
    answer = _with(_answer(_asked(), "qzz", EXACT), values=("\x1b[2J\x9b2J\u202e", "yes"))
    lines = shown(_signed(answer))
    assert any("?[2J?2J?" in line for line in lines)
    assert all(line.isprintable() for line in lines)
