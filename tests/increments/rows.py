"""What a delivery may hold: few keys, few people and few days, so that records meet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from evolving import DISSENT, PEOPLE, WITHDRAWAL
from hypothesis import strategies as st
from hypothesis.strategies import SearchStrategy

Rows = Mapping[str, Sequence[str]]

# Persons are drawn by place, so that what fails is short to read.
_PERSON = st.sampled_from([*PEOPLE[:4], *PEOPLE[:4], *PEOPLE, ""])
_OTHER = st.sampled_from(["", "", *PEOPLE[:4], PEOPLE[-1]])
_FLAG = st.sampled_from(["false"] * 7 + ["true"])
_TEXT_FLAG = st.sampled_from([""] * 7 + ["yes"])
_PRACTICE = st.sampled_from(["Z99001", "Z99002", "Z99001", "Z99002", "Z99007", ""])
_DAY = st.sampled_from(["2026-04-30", "2026-05-01", "2026-05-02", "2026-06-15", "", "2026-12-20"])
_BIRTH = st.sampled_from(["1950-05-02", "1951-05-02", "1950-06-02", ""])
_PERIOD = st.sampled_from(["May", "June", ""])
_EFFECTIVE = st.sampled_from(["2026-06-01", "2026-07-01", ""])
CODES = ("10", "11", "12", "13", "14")
CONCEPTS = ("73211009", "44054006", DISSENT, WITHDRAWAL)


def _of(*parts: SearchStrategy[str] | str) -> SearchStrategy[str]:
    """A row of these fields."""
    drawn = [part if isinstance(part, SearchStrategy) else st.just(part) for part in parts]
    return st.tuples(*drawn).map(",".join)


def _key(letter: str, keys: int = 3) -> SearchStrategy[str]:
    return st.sampled_from([f"{letter}{place}" for place in range(1, keys + 1)])


ROWS: Mapping[str, Mapping[str, SearchStrategy[str]]] = {
    "gp": {
        "agreement": _of(st.sampled_from(["Z99001", "Z99002"]), st.sampled_from(["true", "true", "false"])),
        "code": _of(st.sampled_from(CODES), st.sampled_from(CONCEPTS)),
        "patient": _of(
            _key("p"), _PERSON, _PRACTICE, st.sampled_from(["2020-01-01", "2026-05-01"]),
            st.sampled_from(["", "", "2026-04-30"]), _BIRTH, st.sampled_from("12"), _FLAG, _FLAG, _FLAG,
        ),
        "observation": _of(
            _key("o", 4), _key("p", 4), _PRACTICE, _DAY, st.sampled_from([*CODES, "10", "13", ""]), st.sampled_from("12"),
            _FLAG, _FLAG,
        ),
    },
    "acute": {
        "spell": _of(
            _key("s"), _PERSON, _OTHER, _BIRTH, _PRACTICE, _DAY, "", st.sampled_from(["RX1", "RX2"]), st.sampled_from("12"),
            _TEXT_FLAG, _FLAG,
        ),
        "episode": _of(_key("s", 4), _key("e", 2), _DAY, _TEXT_FLAG),
        "diagnosis": _of(_key("s"), _key("e", 2), st.sampled_from(["1", "2", ""]), st.sampled_from(["I21", "E11", ""])),
        "deletion": _of(_key("s", 4), st.sampled_from(["true", "true", "false"])),
    },
    "community": {
        "patient": _of(
            _key("c"), _PERSON, _BIRTH, st.sampled_from("AB"), st.sampled_from(["RZ1", "RZ2"]), _PERIOD, _key("u"), _EFFECTIVE
        ),
        "contact": _of(
            _key("k"), _key("c", 4), st.sampled_from(["RZ1", "RZ2"]), _PERIOD, _key("u"), _EFFECTIVE, _DAY
        ),
        "active": _key("u"),
    },
    "care": {
        "care": _of(
            st.sampled_from(["101", "102"]), _key("r"), _PERSON, _key("l"), st.sampled_from(["", "l1", "l2", "l3"]), _OTHER,
            st.sampled_from(["2026-04-01", "2026-05-01"]), st.sampled_from(["2026-05-31", "2026-06-30"]), _DAY,
        ),
    },
    "pds": {
        "merged": _of(st.sampled_from(PEOPLE), st.sampled_from(PEOPLE)),
        "person": _of(_key("d"), _PERSON, _BIRTH, st.sampled_from("12"), st.sampled_from(["2020-01-01", "2026-05-01"]), _FLAG),
    },
    "deaths": {
        "death": _of(_key("x"), _PERSON, st.sampled_from(["2026-09-01", "2026-10-01"]), st.sampled_from(["I21", "J18"]), _FLAG),
    },
}  # fmt: skip


def _delivery(feed: str) -> SearchStrategy[tuple[str, Rows]]:
    tables = st.fixed_dictionaries({name: st.lists(row, max_size=3) for name, row in ROWS[feed].items()})
    return st.tuples(st.just(feed), tables.map(lambda rows: {name: each for name, each in rows.items() if each}))


def deliveries(feeds: Sequence[str]) -> SearchStrategy[tuple[str, Rows]]:
    """A feed, and what it delivers in which tables."""
    return st.one_of([_delivery(feed) for feed in feeds])
