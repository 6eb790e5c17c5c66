"""Ctrl-C and SIGTERM: the command ends within two seconds, also in the middle of Polars or DuckDB, and publishes nothing."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import textwrap
import time
from pathlib import Path

import pytest
from small import ALLOWED, SmallIcs, row

from linkage import pipeline
from linkage.cli import _code
from linkage.errors import PolicyError

pytestmark = pytest.mark.skipif(os.name != "posix", reason="signals as POSIX has them")

RUN = """
    import signal, sys
    import linkage.progress
    signal.signal(signal.SIGINT, signal.default_int_handler)
    {patch}
    from linkage.cli import main
    sys.argv = ["linkage", {command!r}, {configuration!r}, "--events", {events!r}, "--lineage", {lineage!r}]
    main()
"""
# Says when rows are on their way through the streaming engine, which has no Python to come back to for seconds.
PREPARING = """
    import os
    advance = linkage.progress.Stage.advance
    def telling(stage, rows):
        os.write(1, b"busy\\n")  # whole, whichever of several threads writes it
        advance(stage, rows)
    linkage.progress.Stage.advance = telling
"""
# A statement of minutes in the middle of linking.
LINKING = """
    import linkage.hub
    from linkage.link import engine
    def long(connection, balances):
        print("busy", flush=True)
        engine.run(connection, "SELECT sum(a.range * b.range) FROM range(1000000) a, range(1000000) b", "a long step")
    linkage.hub.linking.make_load = long
"""
# A main thread that comes back to nothing at all.
STUCK = """
    import linkage.pipeline, ctypes
    def stuck(*_, **__):
        print("busy", flush=True)
        while ctypes.CDLL(None).sleep(30):
            pass
    linkage.pipeline.bundle.write = stuck
"""


def start(ics: SmallIcs, patch: str, command: str = "run") -> subprocess.Popen[str]:
    code = textwrap.dedent(RUN).format(
        patch=textwrap.dedent(patch),
        command=command,
        configuration=str(ics.configuration),
        events=str(ics.folder / "events.jsonl"),
        lineage=str(ics.folder / "lineage.jsonl"),
    )
    return subprocess.Popen(
        [sys.executable, "-c", code], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True
    )


def many_rows(ics: SmallIcs, rows: int) -> None:
    """An extract whose reading takes some seconds."""
    one = row(1, ALLOWED).split(",", 1)[1]
    with ics.extract.open("a") as file:
        for begin in range(100, rows, 50_000):
            file.writelines(f"{key},{one}\n" for key in range(begin, begin + 50_000))


@pytest.mark.slow
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
@pytest.mark.parametrize("patch", [PREPARING, LINKING, STUCK], ids=["preparing", "linking", "stuck"])
def test_a_signal_ends_a_run_within_two_seconds(small_ics: SmallIcs, patch: str, number: signal.Signals) -> None:
    """Nothing is published, and what the run worked in is gone or goes with the next."""
    small_ics.answered()
    small_ics.replace("min_allowed = 0.5", "min_allowed = 0.1")
    if patch is PREPARING:
        many_rows(small_ics, 800_000)
    running = start(small_ics, patch)
    assert running.stdout is not None
    assert running.stdout.readline() == "busy\n", running.communicate()[1]
    began = time.monotonic()
    running.send_signal(number)
    _, errors = running.communicate(timeout=30)
    took = time.monotonic() - began
    assert running.returncode == 128 + number, errors
    assert errors == f"error: stopped by {number.name}\nhint: what was published stays; run the same command again\n"
    assert took < 2 + 2 * (os.getloadavg()[0] > os.cpu_count()), f"{took:.1f} seconds"  # type: ignore[operator]
    last = [json.loads(line) for line in (small_ics.folder / "events.jsonl").read_text().splitlines()][-2:]
    assert [(each["event"], each["exit_code"]) for each in last] == [
        ("stopped", 128 + number),
        ("finished", 128 + number),
    ]
    drawn = [json.loads(line)["eventType"] for line in (small_ics.folder / "lineage.jsonl").read_text().splitlines()]
    assert drawn == ["START", "ABORT"]
    assert small_ics.current() is None
    assert not list((small_ics.store / "snapshots").iterdir())
    if patch is not PREPARING:
        pipeline.run(small_ics.configuration)
        assert not list(small_ics.store.glob(".staging-*"))


def test_the_next_run_clears_what_a_stopped_one_left(small_ics: SmallIcs) -> None:
    left = small_ics.store / ".staging-20260101T000000Z-aaaaaa" / "bundle"
    small_ics.run()
    left.mkdir(parents=True)
    (left / "part.parquet").write_bytes(b"x")
    left.chmod(0o500)
    small_ics.run()
    assert not list(small_ics.store.glob(".staging-*"))


def test_a_command_that_is_not_stopped_ends_as_it_would(tmp_path: Path) -> None:
    """Signals are watched, and the exit code is the command's own."""
    code = "import sys; from linkage.cli import main; sys.argv = ['linkage', *sys.argv[1:]]; main()"
    for words, expected in ((["--version"], 0), (["run"], 2), (["run", str(tmp_path / "no.toml")], 2)):
        done = subprocess.run([sys.executable, "-c", code, *words], capture_output=True, text=True, check=False)
        assert done.returncode == expected, done.stderr


def test_errors_keep_their_codes(capsys: pytest.CaptureFixture[str]) -> None:
    assert _code(PolicyError("x", hint="y")) == 4
    assert _code(KeyboardInterrupt()) == 130
    assert _code(SystemExit(7)) == 7
    assert _code(ZeroDivisionError("943 476 5919")) == 1
    said = capsys.readouterr().err
    assert "943" not in said
    assert "unexpected: ZeroDivisionError" in said
