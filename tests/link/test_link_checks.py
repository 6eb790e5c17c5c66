"""The hub refuses tokens that are none, and columns that hold NHS numbers. All numbers are made up."""

from __future__ import annotations

import uuid
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import duckdb
import pytest
from bundles import parts, token
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.errors import IntegrityError
from linkage.link import check_no_numbers, check_tokens, connect
from linkage.link.checks import _passes, _text_condition

VALID, OTHER, WRONG = "9434765919", "9434765870", "9434765918"


@pytest.fixture
def connection(tmp_path: Path) -> Iterator[duckdb.DuckDBPyConnection]:
    opened = connect(tmp_path / "linked.duckdb", tmp_path / "spill")
    yield opened
    opened.close()


def valid_numbers(count: int, start: int = 400_000_000) -> list[str]:
    found = []
    while len(found) < count:
        check = -sum(int(digit) * weight for digit, weight in zip(str(start), range(10, 1, -1), strict=True)) % 11
        if check < 10:
            found.append(f"{start}{check}")
        start += 1
    return found


def search(connection: duckdb.DuckDBPyConnection, folder: Path, column: str, type: str, values: Sequence[Any]) -> None:
    made = parts(folder, "f", "t", {"token": "UUID", column: type}, [[{"token": 1, column: v} for v in values]])
    check_no_numbers(connection, folder, [made])


@pytest.mark.parametrize(
    "text",
    [
        VALID,
        "943 476 5919",
        "943-476-5919",
        "94 34 76 59 19",
        "NHS9434765919",
        "NHS 9434765919.",
        "seen 2026-05-01 943 476 5919",
        "943 476 5918 943 476 5919",
        f"{WRONG},{VALID}",
        "NHS943 476 5919x",
        "é9434765919é",
    ],
)
def test_a_number_in_a_text_is_found(connection: duckdb.DuckDBPyConnection, tmp_path: Path, text: str) -> None:
    with pytest.raises(IntegrityError, match=r"f t: column 'note'") as caught:
        search(connection, tmp_path, "note", "VARCHAR", ["harmless", None, text])
    assert "9434" not in str(caught.value) + caught.value.hint
    assert caught.value.exit_code == 6


@pytest.mark.parametrize(
    "text", [WRONG, "19434765919", "94347659191", "943  476  5919", "943 476 59", "4444444444", "a" * 40, "", "🙂" * 10]
)
def test_other_texts_pass(connection: duckdb.DuckDBPyConnection, tmp_path: Path, text: str) -> None:
    search(connection, tmp_path, "note", "VARCHAR", [text, None])


def test_codes_may_look_like_numbers_as_often_as_chance_has_it(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path
) -> None:
    codes = [str(code) for code in range(1_000_000_000, 1_000_002_000)]
    search(connection, tmp_path, "code", "VARCHAR", [*codes, "22298006", "73211009"])


@pytest.mark.parametrize("count", [4, 19, 500])
def test_a_code_column_of_numbers_is_found(connection: duckdb.DuckDBPyConnection, tmp_path: Path, count: int) -> None:
    with pytest.raises(IntegrityError, match="column 'code'"):
        search(connection, tmp_path, "code", "VARCHAR", valid_numbers(count))


@pytest.mark.parametrize(("type", "convert"), [("BIGINT", int), ("DOUBLE", float)])
def test_numbers_stored_as_numbers_are_found(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, type: str, convert: type
) -> None:
    with pytest.raises(IntegrityError, match="column 'amount'"):
        search(connection, tmp_path, "amount", type, [convert(number) for number in valid_numbers(50)])


def test_ordinary_numbers_pass(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    amounts = [1.5, 1e300, float("nan"), float("inf"), -9434765919.0, 9434765919.5, None, float(VALID)]
    search(connection, tmp_path, "amount", "DOUBLE", amounts)


@given(st.from_regex(r"[0-9]{10}", fullmatch=True))
@settings(max_examples=50, deadline=None)
def test_the_check_is_modulus_11(digits: str) -> None:
    total = sum(int(digit) * weight for digit, weight in zip(digits, range(10, 0, -1), strict=True))
    expected = total % 11 == 0 and len(set(digits)) > 1
    row = duckdb.connect().execute(f"SELECT {_passes('v')}, {_text_condition('v')} FROM (SELECT '{digits}' AS v)")
    assert row.fetchone() == (expected, expected)


@pytest.mark.parametrize(
    "wrong",
    [
        token(1).bytes[:15],
        token(1).bytes + b"\0",
        b"9434765919",
        uuid.UUID(int=token(1).int ^ (1 << 76)).bytes,
        uuid.UUID(int=token(1).int | (1 << 62) | (1 << 63)).bytes,
        b"",
    ],
)
@pytest.mark.parametrize("column", ["token", "record"])
def test_what_is_no_token_is_refused(
    connection: duckdb.DuckDBPyConnection, tmp_path: Path, column: str, wrong: bytes
) -> None:
    rows: list[dict[str, Any]] = [{"token": 1, "record": 2}, {"token": None, "record": None}]
    rows.append({"token": 1, "record": 2, column: wrong})
    made = parts(tmp_path, "f", "t", {"token": "UUID", "record": "UUID"}, [rows])
    with pytest.raises(IntegrityError, match=rf"f t: column '{column}' holds 1 values"):
        check_tokens(connection, tmp_path, [made])


def test_tokens_pass(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    rows = [{"token": number, "record": None} for number in range(1000)]
    made = parts(tmp_path, "f", "t", {"token": "UUID", "record": "UUID"}, [rows, []])
    check_tokens(connection, tmp_path, [made, parts(tmp_path, "f", "u", {"token": "UUID"})])


def test_a_token_column_of_text_is_refused(connection: duckdb.DuckDBPyConnection, tmp_path: Path) -> None:
    made = parts(tmp_path, "f", "t", {"token": "UUID", "note": "VARCHAR"}, [[{"token": 1, "note": VALID * 2}]])
    fields = tuple(each.model_copy(update={"type": "UUID"}) for each in made.fields)
    with pytest.raises(IntegrityError) as caught:
        check_tokens(connection, tmp_path, [made.model_copy(update={"fields": fields})])
    assert "9434" not in str(caught.value)
