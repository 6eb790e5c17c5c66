"""What lies on the disk is damaged, or may not be touched, before a run begins."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from small import ALLOWED, HEADER, NOW, OPTED_OUT, SmallIcs, row

from linkage import pipeline
from linkage.errors import IntegrityError, LinkageError
from linkage.pipeline import RunReport
from linkage.store.open import open_store

Published = tuple[SmallIcs, RunReport]
Rows = list[tuple[object, ...]]


def rows(ics: SmallIcs) -> Rows:
    """What analysts see."""
    with open_store(ics.store) as connection:
        return connection.execute("SELECT * FROM event ORDER BY ALL").fetchall()


def damage(path: Path) -> None:
    """Turn one bit in the middle of a file, which keeps its length and its time."""
    told, mode = path.stat(), stat.S_IMODE(path.stat().st_mode)
    content = bytearray(path.read_bytes())
    content[len(content) // 2] ^= 1
    path.chmod(0o600)
    path.write_bytes(content)
    path.chmod(mode)
    os.utime(path, ns=(told.st_atime_ns, told.st_mtime_ns))


def in_the_store(ics: SmallIcs, run_id: str) -> list[Path]:
    return sorted((ics.store / "snapshots" / run_id).rglob("*.parquet"))


def in_the_held_bundle(ics: SmallIcs, run_id: str) -> list[Path]:
    return sorted((ics.folder / "private" / "held" / run_id / "bundle").rglob("*.parquet"))


def in_what_was_taken(ics: SmallIcs, run_id: str) -> list[Path]:
    return sorted(path for path in (ics.folder / "private" / "held" / run_id / "site").rglob("*") if path.is_file())


def in_the_roster(ics: SmallIcs, run_id: str) -> list[Path]:
    return sorted((ics.folder / "private" / "roster" / run_id).iterdir())


def how_it_ended(ics: SmallIcs) -> LinkageError | None:
    try:
        ics.run()
    except LinkageError as error:
        return error
    return None


@pytest.mark.parametrize(
    "where", [in_the_store, in_the_held_bundle, in_what_was_taken, in_the_roster], ids=lambda each: each.__name__
)
def test_a_damaged_file_is_never_carried_on(published: Published, where: Callable[[SmallIcs, str], list[Path]]) -> None:
    """A run after the damage publishes the rows that it should, or none and says where to look."""
    ics, first = published
    expected = rows(ics)
    found = where(ics, first.run_id)
    assert found
    for path in found:
        damage(path)
    if said := how_it_ended(ics):
        assert isinstance(said, IntegrityError), said.message
        assert ics.current() == first.run_id
    else:
        assert rows(ics) == expected


def correct(ics: SmallIcs) -> None:
    """A delivery whose one row takes an earlier record out, so that the part which has it is made anew."""
    ics.extract.with_name("appointment_20261122.csv").write_text(f"{HEADER}\n{row(1, OPTED_OUT)}\n{row(2, ALLOWED)}\n")


@pytest.mark.parametrize("deliver", [correct], ids=["a record is withdrawn"])
def test_a_damaged_part_does_not_pass_into_a_new_one(published: Published, deliver: Callable[[SmallIcs], None]) -> None:
    """What is made from it would have a digest of its own, and the damage would be published for good."""
    ics, first = published
    for path in in_the_held_bundle(ics, first.run_id):
        damage(path)
    deliver(ics)
    assert isinstance(how_it_ended(ics), IntegrityError)
    assert ics.current() == first.run_id


def test_a_run_of_everything_mends_a_damaged_store(published: Published) -> None:
    """It rests on nothing of the last snapshot."""
    ics, first = published
    expected = rows(ics)
    for path in [*in_the_store(ics, first.run_id), *in_the_held_bundle(ics, first.run_id)]:
        damage(path)
    pipeline.run(ics.configuration, now=NOW, full=True)
    assert rows(ics) == expected


LITTLE = """
from linkage import cli
resource.setrlimit(resource.RLIMIT_AS, (int(sys.argv[1]) << 20,) * 2)
sys.argv = ["linkage", "run", sys.argv[2]]
cli.main()
"""


@pytest.mark.slow
@pytest.mark.skipif(sys.platform != "linux", reason="the limit is that of Linux")
@pytest.mark.parametrize("room", [40, 120, 400])
def test_too_little_memory_publishes_nothing_or_all(published: Published, room: int) -> None:
    """So many megabytes beyond what the imports take: the run ends well, says that memory ran out, or is ended."""
    ics, first = published
    expected = rows(ics)
    # A thread's stack is counted as well: few threads, so that the limit is about the work.
    environment = {**os.environ, "POLARS_MAX_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}
    taken = "import linkage.cli; print([l for l in open('/proc/self/status') if l.startswith('VmSize')][0].split()[1])"
    size = subprocess.run([sys.executable, "-c", taken], env=environment, capture_output=True, text=True, check=True)
    limit = int(size.stdout) // 1024 + room
    command = [sys.executable, "-c", LITTLE, str(limit), str(ics.configuration)]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, check=False)
    assert (done.returncode == 0) == (ics.current() != first.run_id), done.stderr
    assert rows(ics) == expected
    assert not any(
        number in done.stdout + done.stderr for number in ics.extract.read_text().split(",") if len(number) == 10
    )
