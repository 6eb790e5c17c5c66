"""Golden extracts with anything changed anywhere: a clear error, or a run in which nobody is who said no."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import golden
from linkage import pipeline
from linkage.errors import LinkageError
from linkage.pseudonymise import Keyset

FEEDS = ("emis", "tpp", "pds", "deaths")
NEVER = ("eve", "ivy")  # who opted out, and who was never asked about: no change of an extract lets them in
PIECES = (b"", b'"', b",", b"\n", b"\r\n", b"\0", b"\xff", b'"",', b"0", b"9434765919", b"\xef\xbb\xbf", b"x" * 300)


@dataclass(frozen=True)
class Change:
    """Bytes of one file that are replaced by others; places are shares of the file's length."""

    file: int
    place: float
    length: int
    by: bytes

    def apply(self, folder: Path) -> None:
        """To the file with that number among those of the folder."""
        files = sorted(folder.iterdir())
        path = files[self.file % len(files)]
        content = path.read_bytes()
        start = int(self.place * len(content))
        path.write_bytes(content[:start] + self.by + content[start + self.length :])


CHANGES = st.builds(
    Change,
    file=st.integers(0, 30),
    place=st.floats(0, 1),
    length=st.one_of(st.integers(0, 3), st.integers(0, 400)),
    by=st.one_of(st.sampled_from(PIECES), st.binary(max_size=4)),
)


@pytest.mark.slow
@pytest.mark.parametrize("feed", FEEDS)
@settings(max_examples=12, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(changes=st.lists(CHANGES, min_size=1, max_size=3))
def test_a_clear_error_or_nobody_who_said_no(
    tmp_path_factory: pytest.TempPathFactory, feed: str, changes: list[Change]
) -> None:
    """Nothing unexpected is raised, an error repeats no number, and only people who may be used are published."""
    folder = tmp_path_factory.mktemp("scrambled")
    path = golden.prepare(folder, [feed])
    for change in changes:
        change.apply(folder / "extracts" / feed)
    try:
        report = pipeline.run(path, now=golden.NOW)
    except LinkageError as error:
        assert not [number for number in golden.people().values() if number in error.message + error.hint]  # noqa: PT017
        return
    may = [number for label, number in golden.people().items() if label not in NEVER]
    pseudonymiser = Keyset.open("age://keys.age", base=folder).pseudonymiser("ics:golden")
    tokens = set(pseudonymiser.person_tokens(pl.Series(may).cast(pl.Int64)).to_list())
    with duckdb.connect(str(report.database), read_only=True) as connection:
        found = {token.bytes for (token,) in connection.execute("SELECT token FROM person").fetchall()}
    assert found <= tokens
