"""NHS numbers: the scalar rules against published facts, and the Polars form against the scalar rules."""

from __future__ import annotations

import numpy as np
import polars as pl
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from linkage import nhs_number
from linkage.errors import ConfigurationError
from linkage.nhs_number import BLOCKED, NumberRange, NumberReason, check_digit, is_valid, range_of, reason

# Published by uk-fci/nhs-number in tests/vectors/nhs_number_cases.json, with who issues them.
PUBLISHED = {
    "9876543210": NumberRange.TEST,
    "4000000632": NumberRange.ENGLAND,
    "0101011113": NumberRange.SCOTLAND,
    "3462950622": NumberRange.NORTHERN_IRELAND,
    "8453035113": NumberRange.IRELAND,
    "9234760735": NumberRange.TEST,
}

TEXT = st.one_of(
    st.none(),
    st.text(max_size=14),
    st.text("0123456789 -", max_size=14),
    st.text("0123456789", min_size=8, max_size=11),
    st.text("0٣९９²+e.\t -\u00a0\x1c", max_size=11),
    st.sampled_from(sorted(f"{number:010d}" for number in BLOCKED)),
    st.integers(0, 10**9 - 1).map(lambda n: f"{n:09d}{check_digit(f'{n:09d}')}"),
    st.integers(0, 10**9 - 1).map(lambda n: f" {n:09d}"[:4] + f" {n:09d}-{check_digit(f'{n:09d}')}"[4:]),
)
INTEGERS = st.one_of(
    st.none(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(-10, 10**10 + 10),
    st.sampled_from(sorted(BLOCKED)),
    st.integers(0, 10**9 - 1).map(lambda n: 10 * n + (check_digit(f"{n:09d}") or 0)),
)


@pytest.mark.parametrize(("text", "issuer"), PUBLISHED.items())
def test_published_numbers_are_valid_and_in_their_range(text: str, issuer: NumberRange) -> None:
    """Each is valid as text, with separators and as an integer."""
    assert is_valid(text)
    assert is_valid(f" {text[:3]} {text[3:6]}-{text[6:]}\r\n")
    assert is_valid(int(text))
    assert range_of(int(text)) is issuer


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        (None, NumberReason.MISSING),
        ("", NumberReason.MISSING),
        (" \t\r\n", NumberReason.MISSING),
        ("-", NumberReason.MALFORMED),
        (" - ", NumberReason.MALFORMED),
        ("943476591", NumberReason.MALFORMED),
        ("94347659190", NumberReason.MALFORMED),
        ("９４３４７６５９１９", NumberReason.MALFORMED),
        ("٩٤٣٤٧٦٥٩١٩", NumberReason.MALFORMED),
        ("9434765919\u00a0", NumberReason.MALFORMED),
        ("+434765919", NumberReason.MALFORMED),
        ("1e9", NumberReason.MALFORMED),
        ("9.43476E+9", NumberReason.MALFORMED),
        ("9434765919.0", NumberReason.MALFORMED),
        ("-000000000", NumberReason.MALFORMED),
        ("1_00000000", NumberReason.MALFORMED),
        (-1, NumberReason.MALFORMED),
        (10**10, NumberReason.MALFORMED),
        (0, NumberReason.BLOCKED),
        ("1111111111", NumberReason.BLOCKED),
        ("4000000004", NumberReason.BLOCKED),
        ("1234567890", NumberReason.CHECK_DIGIT),
        ("8429141457", NumberReason.CHECK_DIGIT),
        ("9434765918", NumberReason.CHECK_DIGIT),
        ("8429141456", None),
        (101011113, None),
    ],
)
def test_a_value_has_the_reason_of_its_first_fault(value: str | int | None, expected: str | None) -> None:
    """The scalar and the vectorised form give this reason."""
    assert reason(value) == expected
    dtype = pl.Int64 if isinstance(value, int) else pl.String
    assert nhs_number.parse(pl.Series([value], dtype=dtype))["reason"].to_list() == [expected]


def test_test_numbers_are_refused_only_when_not_allowed() -> None:
    """900 to 999 have a reason of their own, after the check digit."""
    assert reason("9434765919") is None
    assert reason("9434765919", allow_test=False) is NumberReason.TEST
    assert reason("9434765918", allow_test=False) is NumberReason.CHECK_DIGIT


def test_text_from_an_integer_column_gets_its_leading_zeros_back() -> None:
    """Only a column whose contract says integer loses zeros, and there a hyphen in front is a sign."""
    assert reason("101011113") is NumberReason.MALFORMED
    assert reason(" 101011113 ", integer=True) is None
    assert reason("010 101 1113", integer=True) is None
    assert reason("10-1011113", integer=True) is NumberReason.MALFORMED
    assert reason("-101011113", integer=True) is NumberReason.MALFORMED
    assert reason("-9434765919", integer=True) is NumberReason.MALFORMED


def test_the_block_list_holds_nineteen_numbers_that_pass_the_check() -> None:
    """They must be blocked by name because the check digit does not catch them."""
    assert len(BLOCKED) == 19
    assert all(str(check_digit(f"{n:010d}"[:9])) == f"{n:010d}"[9] for n in BLOCKED)


def test_nine_digits_may_have_no_tenth() -> None:
    """A remainder of one leaves no digit, and other input is an error that does not repeat it."""
    assert check_digit("000000006") is None
    assert check_digit("943476591") == 9
    with pytest.raises(ValueError, match="nine digits") as caught:
        check_digit("94347659x")
    assert "94347" not in str(caught.value)


def test_ranges_begin_and_end_where_published() -> None:
    """The number on each side of every boundary, in both forms."""
    edges = {
        99_999_999: "not_issued",
        100_000_000: "scotland",
        3_112_999_999: "scotland",
        3_113_000_000: "not_issued",
        3_200_000_000: "northern_ireland",
        3_999_999_999: "northern_ireland",
        4_000_000_000: "england",
        4_999_999_999: "england",
        5_000_000_000: "not_issued",
        6_000_000_000: "england",
        7_999_999_999: "england",
        8_000_000_000: "ireland",
        8_599_999_999: "ireland",
        8_600_000_000: "not_issued",
        9_000_000_000: "test",
        9_999_999_999: "test",
    }
    frame = pl.DataFrame({"n": [*edges, None]}).select(nhs_number.range_expr("n"))
    assert [range_of(number).value for number in edges] == list(edges.values())
    assert frame.to_series().to_list() == [*edges.values(), None]
    for outside in (-1, 10**10):
        with pytest.raises(ValueError, match="ten digits"):
            range_of(outside)


@settings(max_examples=300)
@given(st.lists(TEXT, max_size=20), st.booleans(), st.booleans())
@example(["- -", "--", "\x0b\x0c", "\x1c", "0" * 10, "00000000000", "-0", "1" * 30], True, True)
def test_text_columns_agree_with_the_scalar_rules(values: list[str | None], integer: bool, allow_test: bool) -> None:
    """Eager and streaming, number and reason."""
    column = pl.Series("n", values, dtype=pl.String)
    parsed = nhs_number.parse(column, integer=integer, allow_test=allow_test)
    expected = [reason(value, integer=integer, allow_test=allow_test) for value in values]
    assert parsed["reason"].to_list() == expected
    assert parsed.schema == {"number": pl.Int64, "reason": nhs_number.REASONS}
    for value, why, number in zip(values, expected, parsed["number"], strict=True):
        assert number == (None if why else int(nhs_number.normalise(value or "")))
    expression = nhs_number.parse_expr("n", integer=integer, allow_test=allow_test).alias("p")
    streamed = column.to_frame().lazy().select(expression).unnest("p").collect(engine="streaming")
    assert streamed.equals(parsed)


@given(st.lists(INTEGERS, max_size=20), st.booleans())
def test_integer_columns_agree_with_the_scalar_rules(values: list[int | None], allow_test: bool) -> None:
    """`parse` and the expression for integer columns."""
    column = pl.Series("n", values, dtype=pl.Int64)
    parsed = nhs_number.parse(column, allow_test=allow_test)
    assert parsed["reason"].to_list() == [reason(value, allow_test=allow_test) for value in values]
    expression = nhs_number.parse_expr(pl.col("n"), integer=True, allow_test=allow_test).alias("p")
    assert column.to_frame().select(expression).unnest("p").equals(parsed)


@given(st.lists(INTEGERS.filter(lambda value: value is not None), max_size=6))
def test_an_array_agrees_with_the_scalar_rules(values: list[int]) -> None:
    """Also numbers that are negative, or longer than ten digits."""
    assert nhs_number.are_valid(np.array(values, dtype=np.int64)).tolist() == [is_valid(value) for value in values]


def test_every_integer_type_is_read() -> None:
    """A number too large for Int64 is malformed, not missing."""
    for dtype in (pl.UInt32, pl.Int32, pl.UInt64, pl.Int64, pl.Int128):
        assert nhs_number.parse(pl.Series([101011113], dtype=dtype))["number"].to_list() == [101011113]
    assert nhs_number.parse(pl.Series([2**64 - 1], dtype=pl.UInt64))["reason"].item() == "number_malformed"
    assert nhs_number.parse(pl.Series([0], dtype=pl.UInt8))["reason"].item() == "number_blocked"


def test_other_types_are_a_configuration_error() -> None:
    """Floating point has lost digits; an untyped empty column is only missing values."""
    with pytest.raises(ConfigurationError) as caught:
        nhs_number.parse(pl.Series([9434765919.0]))
    assert caught.value.exit_code == 2
    assert "9434765919" not in str(caught.value)
    assert nhs_number.parse(pl.Series([None, None]))["reason"].to_list() == ["number_missing"] * 2
