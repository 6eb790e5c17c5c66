"""Records and delimiters counted in chunks, held against a reading byte by byte."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from linkage.sources.inspect import _Shape

EXPECTED = 1
PIECES = st.sampled_from([b"a", b",", b"\n", b"\r\n", b"\r", b'"', b'""', b"a,b\n", b"a" * 61, b",\n" * 33])


def _byte_by_byte(content: bytes) -> tuple[bool, list[int]]:
    """Whether a quote is open at the end, and the delimiters of each record."""
    inside, records, open_record = False, [0], False
    for byte in content:
        open_record = True
        if byte == ord('"'):
            inside = not inside
        elif byte == ord("\n") and not inside:
            records.append(0)
            open_record = False
        elif byte == ord(",") and not inside:
            records[-1] += 1
    return inside, records if open_record else records[:-1]


@given(st.lists(PIECES, max_size=40).map(b"".join), st.integers(1, 9) | st.integers(60, 200))
def test_chunks_of_any_size_count_alike(content: bytes, size: int) -> None:
    """Also where a chunk ends at a line end or inside quotes, at every place of a word of 64, and without a line end."""
    shape = _Shape(delimiter=ord(","), expected=EXPECTED)
    for at in range(0, len(content), size):
        shape.add(content[at : at + size])
    if content:
        shape.finish()
    inside, records = _byte_by_byte(content)
    assert (shape.inside, shape.rows) == (inside, len(records))
    assert shape.malformed() == tuple(row for row, count in enumerate(records) if count != EXPECTED)
