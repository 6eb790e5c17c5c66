"""Who may be used, by all that the national service was asked and answered: against a plain referee, file by file and as a run."""

from __future__ import annotations

import json
from datetime import timedelta
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from small import ALLOWED, NOT_ASKED, NOW, OPTED_OUT, make_small_ics

from linkage import inquiry, nhs_number
from linkage.config import National
from linkage.errors import PolicyError
from linkage.optouts.national import NationalAnswers, latest
from linkage.optouts.policy import MAY_BE_USED, VERDICTS, combine
from linkage.optouts.registers import Numbers
from linkage.reasons import Reason

RULES = National(requests="r/*.dat", answers="a/*.dat", min_allowed=0.0)


def _array(*numbers: int) -> Numbers:
    return np.array(sorted(numbers), dtype=np.int64)


# Answers as (moment, asked, came back), in a small world of six people.
people = st.sets(st.integers(1, 6))
answers = st.lists(st.tuples(st.integers(1, 4), people, people), max_size=6)


@given(answers)
def test_the_latest_answer_about_each_number_decides(given_: list[tuple[int, set[int], set[int]]]) -> None:
    """Person by person: look for the latest moment at which somebody asked; all answers of that moment must say yes."""
    said = [(moment, asked, back & asked) for moment, asked, back in given_]
    asked, allowed = latest([(NOW + timedelta(hours=m), _array(*sent), _array(*back)) for m, sent, back in said])
    for person in range(1, 7):
        about = [(moment, person in back) for moment, sent, back in said if person in sent]
        last = max((moment for moment, _ in about), default=0)
        assert (person in asked) == bool(about)
        assert (person in allowed) == (bool(about) and all(yes for moment, yes in about if moment == last))


def _write(base: Path, name: str, asked: list[str], back: list[str] | None, hours_ago: float = 1) -> None:
    for folder in ("r", "a"):
        (base / folder).mkdir(exist_ok=True)
    (base / "r" / f"{name}.dat").write_text("".join(f"{number},\n" for number in asked))
    if back is not None:
        (base / "a" / f"{name}.dat").write_text("".join(f"{number},\n" for number in back))
        moment = NOW - timedelta(hours=hours_ago)
        (base / "a" / f"{name}.ctl").write_text(
            f"<DTSControl><StatusRecord><DateTime>{moment:%Y%m%d%H%M%S}</DateTime></StatusRecord></DTSControl>"
        )


def _verdict(base: Path, number: str, rules: National = RULES, spares: bool = False) -> Reason | None:
    standing = combine([NationalAnswers(rules, base, spares).read(NOW)])
    place = standing.of(pl.Series([int(number)]))[0]
    return None if place == MAY_BE_USED else VERDICTS[place]


OUT, UNKNOWN = Reason.NATIONAL_OPT_OUT, Reason.NATIONAL_NOT_ASKED
A, B, C = ALLOWED, OPTED_OUT, NOT_ASKED
DAY = 24
# Requests as (asked, came back, hours ago; None: no answer yet), and the verdict on A.
ROUNDS: dict[str, tuple[list[tuple[list[str], list[str] | None, float]], Reason | None]] = {
    "asked and returned": ([([A, B], [A], 1)], None),
    "asked and not returned": ([([A, B], [B], 1)], OUT),
    "never asked": ([([B], [B], 1)], UNKNOWN),
    "opted out since": ([([A, B], [A, B], 48), ([A, B], [B], 1)], OUT),
    "opted in since": ([([A, B], [B], 48), ([A, B], [A, B], 1)], None),
    "asked again, not answered yet": ([([A, B], [A, B], 48), ([A, B], None, 0)], None),
    "asked again about others": ([([A], [A], 48), ([B], [B], 1)], None),
    "returned once, long ago": ([([A], [A], 7 * DAY + 1), ([B], [B], 1)], UNKNOWN),
    "refused once, long ago, returned now": ([([A, B], [B], 8 * DAY), ([A], [A], 1)], None),
    "seven days old to the hour": ([([A], [A], 7 * DAY)], None),
    "two files of one moment that disagree": ([([A, B], [A, B], 1), ([A, B], [B], 1)], OUT),
}


@pytest.mark.parametrize("case", ROUNDS.values(), ids=ROUNDS.keys())
def test_rounds(tmp_path: Path, case: tuple[list[tuple[list[str], list[str] | None, float]], Reason | None]) -> None:
    """From the files to the verdict."""
    rounds, verdict = case
    for place, (asked, back, hours) in enumerate(rounds):
        _write(tmp_path, f"q{place}", asked, back, hours)
    assert _verdict(tmp_path, A) == verdict


# Numbers by nation: what is asked, what comes back, and the verdict by default and with the exemption.
SCOTTISH, IRISH_NORTH, IRISH = "0101011113", "3462950622", "8453035113"
NATIONS = [
    (SCOTTISH, [SCOTTISH, B], [SCOTTISH, B], None, None),
    (SCOTTISH, [SCOTTISH, B], [B], OUT, None),
    (SCOTTISH, [B], [B], UNKNOWN, None),
    (IRISH_NORTH, [IRISH_NORTH, B], [B], OUT, None),
    (IRISH_NORTH, [B], [B], UNKNOWN, None),
    (IRISH, [B], [B], UNKNOWN, None),
    (C, [C, B], [B], OUT, OUT),
    (C, [B], [B], UNKNOWN, UNKNOWN),
    (A, [A, B], [B], OUT, OUT),  # the test range is no other nation
    (A, [B], [B], UNKNOWN, UNKNOWN),
]


@pytest.mark.parametrize(("number", "asked", "back", "default", "exempt"), NATIONS)
def test_numbers_of_other_nations_are_out_unless_a_document_says_otherwise(
    tmp_path: Path, number: str, asked: list[str], back: list[str], default: Reason | None, exempt: Reason | None
) -> None:
    """The service may not know them."""
    _write(tmp_path, "q", asked, back)
    assert _verdict(tmp_path, number) == default
    assert _verdict(tmp_path, number, spares=True) == exempt


@given(st.integers(-1, 10**10 - 1))
def test_issued_abroad_agrees_with_the_ranges(number: int) -> None:
    """Scalar by scalar."""
    expected = number >= 0 and nhs_number.range_of(number) in nhs_number.ABROAD
    assert nhs_number.issued_abroad(np.array([number]))[0] == expected


def test_the_exemption_for_other_nations_is_a_document(tmp_path: Path) -> None:
    """In a whole run: a Scottish number that was not returned goes on, and the manifest says by what."""
    ics = make_small_ics(tmp_path)
    ics.extract.write_text(ics.extract.read_text().replace(OPTED_OUT, SCOTTISH).replace(NOT_ASKED, IRISH_NORTH))
    (ics.folder / "optouts" / "r.dat").write_text(f"{ALLOWED},\n{SCOTTISH},\n")
    assert ics.run().tables["sus_op_appointment"] == 4
    ics.replace("[[flows]]", '[[optouts.exemptions]]\noptout = "national_other_nations"\nreference = "EX-7"\n[[flows]]')
    report = ics.run()
    assert report.tables["sus_op_appointment"] == 6
    exact = json.loads((ics.folder / "private" / "runs" / f"{report.run_id}.json").read_text())
    assert exact["exemptions"] == ["national_other_nations: EX-7"]


def _refused(base: Path, rules: National = RULES) -> str:
    with pytest.raises(PolicyError) as caught:
        NationalAnswers(rules, base).read(NOW)
    return caught.value.message


def test_answers_that_are_all_too_old_are_refused(tmp_path: Path) -> None:
    """The newest is named."""
    _write(tmp_path, "q1", [A, B], [A, B], 30 * DAY)
    _write(tmp_path, "q2", [A, B], [A, B], 8 * DAY)
    assert _refused(tmp_path) == "q2.dat: the national opt-out answer is 8 days old, more than the 7 allowed"


@pytest.mark.parametrize("days", [22, 365])
def test_no_policy_may_allow_more_than_21_days(tmp_path: Path, days: int) -> None:
    """Whatever the configuration says."""
    ics = make_small_ics(tmp_path)
    ics.replace("max_age_days = 7", f"max_age_days = {days}")
    with pytest.raises(Exception, match="max_age_days"):
        ics.run()


def test_a_list_of_those_who_opted_out_is_not_believed(tmp_path: Path) -> None:
    """Five in a hundred returned is no list of those who may be used."""
    numbers = [f"{n}{nhs_number.check_digit(str(n))}" for n in range(400000000, 400000120)]
    numbers = [number for number in numbers if nhs_number.is_valid(number)]
    _write(tmp_path, "q", numbers, numbers[:5])
    assert "too few" in _refused(tmp_path, RULES.model_copy(update={"min_allowed": 0.7}))


def test_one_swapped_answer_among_good_ones_is_not_believed(tmp_path: Path) -> None:
    """Each answer is held against its own request."""
    _write(tmp_path, "q1", [A, B], [A, B])
    _write(tmp_path, "q2", [A, B], [C])
    assert _refused(tmp_path) == "q2.dat: the national opt-out answer holds numbers that were never asked about"


def test_two_answers_of_one_name_are_refused(tmp_path: Path) -> None:
    """Nobody can say which one belongs."""
    _write(tmp_path, "q", [A, B], [A, B])
    (tmp_path / "a" / "more").mkdir()
    (tmp_path / "a" / "more" / "q.dat").write_text(f"{A},\n")
    assert "two national opt-out answer files are called q" in _refused(
        tmp_path, RULES.model_copy(update={"answers": ("a/*.dat", "a/more/*.dat")})
    )


def test_old_pairs_are_forgotten_once_everything_is_answered(tmp_path: Path) -> None:
    """Lists are kept no longer than they may be used, and not removed while something is outstanding."""
    ics = make_small_ics(tmp_path)
    optouts = ics.folder / "optouts"
    (optouts / "old.dat").write_text(f"{ALLOWED},\n")
    (optouts / "answers" / "old.dat").write_text(f"{ALLOWED},\n")
    (optouts / "answers" / "old.ctl").write_text(
        "<DTSControl><StatusRecord><DateTime>20261101060000</DateTime></StatusRecord></DTSControl>"
    )
    (optouts / "new.dat").write_text(f"{ALLOWED},\n")
    (ics.folder / "in").mkdir()
    assert inquiry.read(ics.configuration, [ics.folder / "in"], NOW).outstanding == ("new",)
    assert (optouts / "old.dat").exists()
    (optouts / "new.dat").unlink()
    received = inquiry.read(ics.configuration, [ics.folder / "in"], NOW)
    assert (received.outstanding, received.forgotten) == ((), ("old",))
    assert sorted(path.name for path in optouts.rglob("*.*")) == ["r.ctl", "r.dat", "r.dat"]
    assert ics.run().tables["sus_op_appointment"] == 4


@settings(deadline=None, max_examples=30)
@given(data=st.data())
def test_standing_agrees_with_a_plain_look_up(data: st.DataObject) -> None:
    """Several registers of both kinds over a small world, the strictest verdict wins."""
    from linkage.optouts.registers import Said

    reasons = st.dictionaries(st.sampled_from(VERDICTS), people, max_size=3)
    said = []
    for _ in range(data.draw(st.integers(0, 3))):
        out = {reason: _array(*numbers) for reason, numbers in data.draw(reasons).items()}
        may = data.draw(st.none() | people)
        said.append(Said(out=out) if may is None else Said(out, _array(*may), data.draw(st.sampled_from(VERDICTS))))
    found = combine(said).of(pl.Series([*range(1, 9), None], dtype=pl.Int64)).to_list()

    def plain(person: int) -> int:
        verdicts = [MAY_BE_USED]
        for each in said:
            named = [VERDICTS.index(reason) for reason, numbers in each.out.items() if person in numbers]
            if named:
                verdicts.append(min(named))
            elif each.may is not None and each.otherwise is not None and person not in each.may:
                verdicts.append(VERDICTS.index(each.otherwise))
        return min(verdicts)

    assert found == [*(plain(person) for person in range(1, 9)), MAY_BE_USED]
