"""Lists of NHS numbers as the national service writes them, read at once or line by line: the same numbers, the same refusals."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from linkage import nhs_number
from linkage.errors import PolicyError
from linkage.optouts import mesh

NUMBERS = sorted(
    10 * stem + digit
    for stem in [*range(400_000_000, 400_000_200), *range(943_476_500, 943_476_700)]
    if (digit := nhs_number.check_digit(f"{stem:09d}")) is not None and 10 * stem + digit not in nhs_number.BLOCKED
)
# Seventy thousand lines are read in several pieces.
MANY = np.array((NUMBERS[::-1] * 200)[:70_000], dtype=np.int64)

lists = st.lists(st.sampled_from(NUMBERS), min_size=1, max_size=6)


def _referee(content: bytes) -> list[int] | int:
    """The numbers of a list, or the first line that holds something else: read as a person would."""
    found = set()
    for place, line in enumerate(content.decode("utf-8", "replace").split("\n")[:-1], start=1):
        text = line.removesuffix("\r").removesuffix(",")
        if len(text) != 10 or not (text.isascii() and text.isdigit()) or not nhs_number.is_valid(text):
            return place
        found.add(int(text))
    return sorted(found)


def _read(content: bytes) -> list[int] | int:
    try:
        return [int(each) for each in mesh.numbers_of("answer.dat", content)]
    except PolicyError as error:
        return int(str(error).split("line ")[1].split(" ")[0])


@given(lists, st.data())
@example([0], None)
@example([1_111_111_111], None)
def test_one_byte_changed_is_read_or_refused_as_it_would_be_line_by_line(
    listed: list[int], data: st.DataObject
) -> None:
    """A digit, a comma or a line end becomes something else; the line that is named is the one."""
    content = bytearray(mesh.lines(np.array(listed, dtype=np.int64)))
    if data is not None:
        place = data.draw(st.integers(0, len(content) - 2))
        content[place] = data.draw(st.sampled_from(b"0123456789, +-\r\nx/:\xff"))
    assert _read(bytes(content)) == _referee(bytes(content))


@given(lists)
def test_other_line_ends_say_the_same(listed: list[int]) -> None:
    """As the service writes it, and as other programs leave it behind."""
    content = mesh.lines(np.array(listed, dtype=np.int64))
    expected = sorted({*listed})
    for other in (content, content.replace(b"\n", b"\r\n"), content.replace(b",", b"")):
        assert _read(other) == expected


@pytest.mark.parametrize("place", [0, 12 * 65_535 + 9, 12 * 65_536, 12 * 69_999 + 10])
def test_a_long_list_is_held_to_its_last_line(place: int) -> None:
    """Wherever in it something is wrong."""
    content = bytearray(mesh.lines(MANY))
    assert _read(bytes(content)) == NUMBERS
    content[place] = ord("x")
    assert _read(bytes(content)) == place // 12 + 1
