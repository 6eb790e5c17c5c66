"""Who is counted, in which group: against plain Python over the same people."""

from __future__ import annotations

from collections import Counter
from datetime import date
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkage.questions.query import count_query
from linkage.questions.question import Asked
from linkage.store.ask import ask, current_snapshot
from questions.stores import DAY, DIABETES, VISITS, One, asked, publish

PRACTICES = ("A10001", "A10002")


def _found(store: Path, what: Asked) -> dict[int, tuple[str, ...]]:
    query = count_query(what, PRACTICES)
    placed = ask(current_snapshot(store), query.sql, query.parameters, 60)
    values = [sorted(each) for each in what.groups.values()]
    found = {}
    for token, place in placed.iter_rows():
        label = []
        for each in reversed(values):
            place, at = divmod(place, len(each))
            label.append(each[at])
        found[int.from_bytes(token, "big")] = tuple(reversed(label))
    assert len(found) == placed.height
    return found


def test_people_are_where_they_are_registered_on_the_day(tmp_path: Path) -> None:
    """The registration that began last counts, once it has begun and until it ends; nobody else is this node's."""
    day = date(2026, 10, 1)
    people = [
        One(1),
        One(2, practice="B20001"),
        One(3, until=day),
        One(4, until=date(2026, 10, 2)),
        One(5, since=date(2026, 10, 2)),
        One(6, since=day),
        One(7, practice=None),
        One(8, since=None),
        One(9, before=[("B20001", date(2026, 1, 1), None)]),
        One(10, practice="B20001", before=[("A10002", date(2026, 1, 1), None)]),
        One(11, died=date(2026, 9, 1)),
        One(12, died=date(2026, 10, 1)),
        One(13, before=[("A10002", date(2019, 1, 1), None)]),
    ]
    publish(tmp_path / "store", people)
    assert set(_found(tmp_path / "store", asked(dimensions=[]))) == {1, 4, 6, 8, 10, 12, 13}


def test_every_dimension(tmp_path: Path) -> None:
    """And what is not known is a group of its own."""
    when = date(2026, 9, 30)
    publish(
        tmp_path / "store",
        [
            One(1, sex="male", born=2026, decile=1, ethnicity="A"),
            One(2, sex=None, born=None, decile=None, ethnicity=None, sources=["emis"]),
            One(3, sex="indeterminate", born=1961, decile=10, ethnicity="R", attendances=[when]),
            One(4, born=1962, decile=2, ethnicity="99", attendances=[when] * 4, codes=[("44054006", when)]),
            One(5, born=1900, decile=9, ethnicity="P", attendances=[date(2025, 9, 30), date(2026, 10, 1)]),
        ],
    )
    ages = {"kind": "age", "from_ages": [0, 18, 65]}
    what = asked(dimensions=[{"kind": "sex"}, ages, {"kind": "deprivation"}, {"kind": "ethnicity"}])
    assert _found(tmp_path / "store", what) == {
        1: ("male", "0-17", "1", "white"),
        2: ("(not known)",) * 4,
        3: ("indeterminate", "65+", "5", "other"),
        4: ("female", "18-64", "1", "(not known)"),
        5: ("female", "65+", "5", "black"),
    }
    others = [
        {"kind": "deprivation", "groups": 10},
        {"kind": "known", "name": "emergency", "feed": "ecds"},
        {"kind": "number", "name": "visits", "criterion": VISITS, "from_numbers": [0, 1, 2]},
        {"kind": "has", "name": "diabetes", "criterion": DIABETES},
    ]
    assert _found(tmp_path / "store", asked(dimensions=others)) == {
        1: ("01", "yes", "0", "no"),
        2: ("(not known)", "no", "0", "no"),
        3: ("10", "yes", "1", "no"),
        4: ("02", "yes", "2+", "yes"),
        5: ("09", "yes", "0", "no"),
    }


def test_a_cohort_is_who_has_and_lacks(tmp_path: Path) -> None:
    """Ages, sexes, events and codes, exact and by their beginnings; each criterion as often as it says."""
    when = date(2026, 5, 31)
    publish(
        tmp_path / "store",
        [
            One(1, attendances=[when] * 2),
            One(2, attendances=[when]),
            One(3, attendances=[when] * 2, codes=[("44054006", when)]),
            One(4, attendances=[when] * 2, codes=[("73211009", when)]),
            One(5, attendances=[when] * 2, codes=[("440540060", when), ("7322", when)]),
            One(6, attendances=[when] * 2, sex="male"),
            One(7, attendances=[when] * 2, born=2000),
            One(8, attendances=[when] * 2, born=None),
        ],
    )
    cohort = {"registered_on": DAY, "min_age": 30, "max_age": 60, "sexes": ["female"], "lacking": [DIABETES]}
    cohort["having"] = [VISITS | {"at_least": 2}]
    assert set(_found(tmp_path / "store", asked(cohort=cohort, dimensions=[]))) == {1, 5}


def test_codes_are_counted_by_their_records(tmp_path: Path) -> None:
    """Two matching codes of one record are one event."""
    publish(tmp_path / "store", [One(1, codes=[("44054006", date(2026, 1, 5))] * 2), One(2)])
    two = DIABETES | {"at_least": 2}
    what = asked(template="share", measure=two, dimensions=[])
    assert _found(tmp_path / "store", what) == {1: ("yes",), 2: ("no",)}


PEOPLE = st.lists(
    st.builds(
        One,
        number=st.integers(1, 10**9),
        sex=st.sampled_from(["male", "female", None]),
        born=st.sampled_from([None, 1940, 1980, 2010]),
        practice=st.sampled_from(["A10001", "B20001"]),
        attendances=st.lists(st.sampled_from([date(2026, 9, 30), date(2026, 10, 1)]), max_size=3),
    ),
    min_size=1, max_size=12, unique_by=lambda each: each.number,
)  # fmt: skip


@settings(max_examples=25, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(people=PEOPLE)
def test_as_plain_python_counts(tmp_path_factory: pytest.TempPathFactory, people: list[One]) -> None:
    """Every group of a question with a measure."""
    store = tmp_path_factory.mktemp("ics") / "store"
    publish(store, people)
    what = asked(
        template="share",
        measure=VISITS | {"at_least": 2},
        dimensions=[{"kind": "sex"}, {"kind": "age", "from_ages": [0, 50]}],
    )
    expected = Counter(
        (
            each.sex or "(not known)",
            "(not known)" if each.born is None else "0-49" if 2026 - each.born < 50 else "50+",
            "yes" if sum(day < date(2026, 10, 1) for day in each.attendances) >= 2 else "no",
        )
        for each in people
        if each.practice == "A10001"
    )
    assert Counter(_found(store, what).values()) == expected


def _of_one_shape(word: str, number: int, code: str) -> Asked:
    """A question with every part; what it says is `word`, `number` and `code`."""
    month = f"20{number:02d}-01"
    events = {"feeds": [word], "kinds": [word], "first_month": month, "last_month": month}
    codes = {"feeds": [word], "first_month": month, "last_month": month}
    codes["codes"] = {"system": word, "codes": [code], "starting_with": [code]}
    return asked(
        template="share", measure=codes, purpose=code, nodes=[word], snapshots_from=date(2000 + number, 1, 1),
        cohort={
            "registered_on": date(2000 + number, 1, 1), "min_age": number, "max_age": number, "sexes": ["female"],
            "having": [events | {"at_least": number}], "lacking": [codes | {"at_least": number}],
        },
        dimensions=[
            {"kind": "age", "from_ages": [0, number]},
            {"kind": "known", "name": f"a_{word}", "feed": word},
            {"kind": "has", "name": f"b_{word}", "criterion": events},
            {"kind": "number", "name": f"c_{word}", "criterion": events, "from_numbers": [0, number]},
        ],
    )  # fmt: skip


def test_nothing_that_a_question_says_is_in_its_sql() -> None:
    """Questions of one shape are one text; what they say are values of its parameters, whatever they would say."""
    one, other = (count_query(_of_one_shape(*said), ["A1"]) for said in (("ecds", 21, "E11"), ("emis", 37, "I10")))
    assert one.sql == other.sql
    assert one.parameters != other.parameters
    assert not {"ecds", "E11", "A1"} & set(one.sql.replace("'", " ").split())
    hostile = "E11') OR 1=1; DROP TABLE person; --"
    made = _of_one_shape("ecds", 21, "E11")
    codes = made.measure.codes if made.measure else None
    assert codes is not None
    assert made.measure is not None
    # Past the checks of the models, which refuse it.
    codes = codes.model_copy(update={"codes": (hostile,), "starting_with": (hostile[:3],)})
    measure = made.measure.model_copy(update={"codes": codes})
    found = count_query(made.model_copy(update={"measure": measure}), ["A1"])
    assert "DROP" not in found.sql
    assert found.sql == one.sql
    assert [hostile] in found.parameters.values()
