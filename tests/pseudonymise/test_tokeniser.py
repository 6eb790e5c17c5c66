"""Columns of numbers and identifiers, against the referee row by row."""

from __future__ import annotations

from concurrent.futures import ThreadPoolExecutor
from uuid import UUID

import numpy as np
import polars as pl
import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.errors import ConfigurationError, InputError
from linkage.nhs_number import REASONS, NumberReason, check_digit, normalise, reason
from linkage.pseudonymise import Pseudonymiser, token

ROOT = bytes(range(32))
SUBKEYS = token.derive(ROOT, "ics:demo")
DEMO = Pseudonymiser.from_root(ROOT, "ics:demo")

VALID = (
    st.integers(0, 10**9 - 1)
    .filter(lambda n: check_digit(f"{n:09d}") is not None)
    .map(lambda n: f"{n:09d}{check_digit(f'{n:09d}')}")
)
TEXT = st.one_of(st.none(), VALID, VALID, VALID.map(lambda d: f" {d[:3]} {d[3:6]} {d[6:]}"), st.text(max_size=12))
ARROW_TEXT = [pa.string(), pa.large_string(), pa.string_view()]
MIXED = ["943 476 5919", None, "4000000632", "4000000004", "", "x", "9434765919", "1234567890"]


def referee(value: str | int | None, *, allow_test: bool = True) -> bytes | None:
    """The token of one value by the plain form."""
    if value is None or reason(value, allow_test=allow_test):
        return None
    return token.person_token(SUBKEYS, f"{value:010d}" if isinstance(value, int) else normalise(value))


@given(st.lists(TEXT, max_size=15), st.booleans())
def test_text_agrees_with_the_referee(values: list[str | None], allow_test: bool) -> None:
    """Polars text: Binary tokens, Enum reasons, one of them null in each row."""
    tokens, reasons = DEMO.tokenise(pl.Series("n", values, dtype=pl.String), allow_test_numbers=allow_test)
    assert tokens.to_list() == [referee(value, allow_test=allow_test) for value in values]
    assert reasons.to_list() == [reason(value, allow_test=allow_test) for value in values]
    assert (tokens.dtype, tokens.name, reasons.dtype) == (pl.Binary(), "n", REASONS)
    assert (tokens.is_null() != reasons.is_null()).all()


@given(st.lists(st.one_of(st.none(), VALID.map(int), st.integers(-5, 2**40)), max_size=15))
def test_integers_agree_with_the_referee(values: list[int | None]) -> None:
    """Polars and Arrow integers are padded with zeros."""
    tokens, reasons = DEMO.tokenise(pl.Series(values, dtype=pl.Int64))
    assert tokens.to_list() == [referee(value) for value in values]
    assert reasons.to_list() == [reason(value) for value in values]
    assert DEMO.tokenise(pa.array(values, pa.int64()))[1].to_pylist() == reasons.to_list()


@given(st.lists(st.one_of(st.none(), st.text(st.characters(exclude_categories=["Cs"]))), max_size=15))
def test_record_tokens_agree_with_the_referee(values: list[str | None]) -> None:
    """Any text, the empty one too; null stays null."""
    made = DEMO.record_tokens(pl.Series("id", values, dtype=pl.String), "a.b_1")
    assert made.to_list() == [v if v is None else token.record_token(SUBKEYS, "a.b_1", v) for v in values]
    assert (made.dtype, made.name) == (pl.Binary(), "id")


@pytest.mark.parametrize("kind", ARROW_TEXT, ids=str)
def test_arrow_in_arrow_out(kind: pa.DataType) -> None:
    """Tokens are `arrow.uuid`, reasons a dictionary; slices and chunks are read where they begin."""
    expected = [value and UUID(bytes=value) for value in map(referee, MIXED)]
    whole = pa.array(MIXED, kind)
    chunked = pa.chunked_array([whole.slice(0, 3), whole.slice(3, 0), whole.slice(3)])
    for column, rows in ((whole, slice(None)), (whole.slice(2, 4), slice(2, 6)), (chunked, slice(None))):
        tokens, reasons = DEMO.tokenise(column)
        assert (tokens.type, reasons.type) == (pa.uuid(), pa.dictionary(pa.int8(), pa.string()))
        assert tokens.to_pylist() == expected[rows]
        assert reasons.to_pylist() == [reason(value) for value in MIXED[rows]]
        assert reasons.dictionary.to_pylist() == list(NumberReason)
        tokens.validate(full=True)
        reasons.validate(full=True)


@pytest.mark.parametrize("kind", [*ARROW_TEXT, pa.int64(), pa.uint8(), pa.null()], ids=str)
def test_empty_and_null_columns(kind: pa.DataType) -> None:
    """No rows give no rows; only nulls give only missing numbers."""
    empty, none = DEMO.tokenise(pa.chunked_array([], kind))
    assert (empty.type, len(empty), len(none)) == (pa.uuid(), 0, 0)
    tokens, reasons = DEMO.tokenise(pa.nulls(3, kind))
    assert tokens.null_count == 3
    assert reasons.to_pylist() == ["number_missing"] * 3
    assert len(DEMO.tokenise(pl.Series([], dtype=pl.String))[0]) == 0


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_expressions_run_inside_a_query(engine: str) -> None:
    """Text and integers, person and record, in both engines of Polars."""
    frame = pl.DataFrame({"NHS Number": MIXED * 500, "n": [9434765919, 101011113, None, 5] * 1000})
    query = frame.lazy().with_columns(
        text=DEMO.expr("NHS Number"),
        integer=DEMO.expr(pl.col("n")),
        strict=DEMO.expr("n", allow_test_numbers=False),
        inner=DEMO.person_expr(pl.when(pl.col("n") > 5).then("n")),
        record=DEMO.record_expr("NHS Number", "x"),
    )
    done = query.collect(engine=engine)  # type: ignore[call-overload]
    assert done["text"].to_list() == [referee(value) for value in MIXED] * 500
    assert done["integer"].to_list() == [referee(value) for value in [9434765919, 101011113, None, 5]] * 1000
    assert done["strict"].head(2).is_null().to_list() == [True, False]
    assert done["inner"].equals(done["integer"])
    assert done["record"].head(8).to_list() == DEMO.record_tokens(pl.Series(MIXED), "x").to_list()
    assert done.schema["text"] == query.collect_schema()["text"] == pl.Binary


@given(st.lists(VALID, min_size=1, max_size=5), st.integers(1, 3))
def test_batches_and_repeats_change_nothing(digits: list[str], repeats: int) -> None:
    """A value has one token wherever it stands."""
    once = DEMO.person_tokens(pl.Series([int(d) for d in digits])).to_list()
    assert DEMO.person_tokens(pl.Series([int(d) for d in digits] * repeats)).to_list() == once * repeats
    assert once == [token.person_token(SUBKEYS, d) for d in digits]


def test_many_numbers_have_many_tokens() -> None:
    """Longer than one chunk of the kernel, no token twice, each in its own row."""
    candidates = pl.Series(range(4_000_000_000, 4_000_770_000))
    tokens, _ = DEMO.tokenise(candidates)
    made = tokens.drop_nulls()
    assert made.len() > 65_536
    assert made.n_unique() == made.len()
    for row in (1, 12, 720_000, 720_001, 720_002, 769_999):
        assert tokens[row] == referee(candidates[row])
    assert made.bin.size().unique().to_list() == [16]


def test_threads_share_a_pseudonymiser() -> None:
    """Polars may call from several threads at once."""
    column = pl.Series(["9434765919", "4000000632", "0101011113"] * 200)
    expected = DEMO.tokenise(column)[0].to_list()
    with ThreadPoolExecutor(8) as pool:
        results = list(pool.map(lambda _: DEMO.tokenise(column)[0].to_list(), range(32)))
    assert all(each == expected for each in results)


@pytest.mark.parametrize(
    "column",
    [
        pl.Series([9434765919.0]),
        pl.Series([True]),
        pl.Series([b"9434765919"]),
        pa.array([9434765919.0]),
        pa.array([b"9434765919"]),
        pa.array(["9434765919"]).dictionary_encode(),
        ["9434765919"],
    ],
    ids=lambda column: str(getattr(column, "dtype", getattr(column, "type", "list"))),
)
def test_other_columns_are_a_configuration_error(column: object) -> None:
    """With a hint and without the value."""
    with pytest.raises(ConfigurationError) as caught:
        DEMO.tokenise(column)
    assert caught.value.hint
    assert "9434765919" not in str(caught.value)


@pytest.mark.parametrize("engine", ["in-memory", "streaming"])
def test_a_wrong_column_in_a_query_is_a_configuration_error_too(engine: str) -> None:
    """Polars builds the error again from its message; the kind, the exit code and a hint remain."""
    for wrong in (DEMO.expr("x"), DEMO.record_expr("x", "a")):
        with pytest.raises(ConfigurationError) as caught:
            pl.LazyFrame({"x": [1.5]}).select(wrong).collect(engine=engine)  # type: ignore[call-overload]
        assert caught.value.hint


def test_inner_paths_refuse_what_cannot_be_right() -> None:
    """Too long, negative or not Int64; a namespace outside its alphabet, when the expression is built."""
    for column in (pl.Series([10**10]), pl.Series([-1]), pl.Series(["9434765919"]), pl.Series([1.0])):
        with pytest.raises(ValueError, match="Int64 numbers"):
            DEMO.person_tokens(column)
    with pytest.raises(ConfigurationError):
        DEMO.record_expr("x", "No")
    with pytest.raises(ConfigurationError):
        DEMO.record_tokens(pl.Series([1]), "a")
    assert DEMO.person_tokens(pl.Series([None], dtype=pl.Int64)).to_list() == [None]


@pytest.mark.parametrize("ends", [[0, 10**6, 10], [0, 10, 3]])
def test_arrow_buffers_that_contradict_each_other_are_refused(ends: list[int]) -> None:
    """Offsets that leave the text and come back are seen neither by Arrow's own quick check nor by Polars."""
    index = pa.py_buffer(np.array(ends, dtype=np.int32))
    column = pa.Array.from_buffers(pa.string(), 2, [None, index, pa.py_buffer(b"9434765919")])
    pseudonymiser = Pseudonymiser.from_root(bytes(32), "ics:demo")
    with pytest.raises(InputError, match="contradict"):
        pseudonymiser.tokenise(column)


def test_arrow_text_that_is_not_utf8_is_refused() -> None:
    """Polars takes it for granted that it is."""
    index = pa.py_buffer(np.array([0, 10, 12], dtype=np.int32))
    column = pa.Array.from_buffers(pa.string(), 2, [None, index, pa.py_buffer(b"9434765919\xff\xfe")])
    with pytest.raises(InputError, match="not UTF-8") as caught:
        Pseudonymiser.from_root(bytes(32), "ics:demo").tokenise(column)
    assert "9434765919" not in str(caught.value)
