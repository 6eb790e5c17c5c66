"""Thousands of faults: `python -m tests.faults --points 1000 --seed 1`."""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
from collections import Counter
from pathlib import Path

TESTS = Path(__file__).parents[1]
sys.path.insert(0, str(TESTS))


def main() -> int:
    """Compile the shim, and do the work in a process that has it; 1 where something is wrong."""
    asked = argparse.ArgumentParser(description=__doc__)
    asked.add_argument("--points", type=int, default=200)
    asked.add_argument("--seed", type=int, default=1)
    asked.add_argument("--folder", type=Path, help="where to work; a temporary folder when not given")
    asked.add_argument("--verbose", action="store_true", help="print every point")
    given = asked.parse_args()
    from faults import injector

    if "FAULTS_LOADED" in os.environ:
        return work(given.folder.resolve(), given)
    with tempfile.TemporaryDirectory() as temporary:
        folder = given.folder or Path(temporary) / "work"
        folder.mkdir(exist_ok=True)
        Path(temporary).chmod(0o755)
        environment = injector.loaded(injector.build(Path(temporary))) | {"FAULTS_LOADED": "1"}
        command = [sys.executable, "-m", "tests.faults", *sys.argv[1:], "--folder", str(folder)]
        return subprocess.run(command, env=environment, cwd=TESTS.parent, check=False).returncode


def work(folder: Path, given: argparse.Namespace) -> int:
    """Go through the points and say what was found."""
    from faults.driver import as_another_user, import_what_a_run_does
    from faults.points import NEXT, many

    import_what_a_run_does(folder / "warm")
    as_another_user(folder)
    families, ends, wrong = Counter[str](), Counter[tuple[str, int]](), Counter[str]()
    for found in many(folder, given.points, given.seed):
        families[found.family] += 1
        ends[found.family, found.ended.code] += 1
        wrong[found.family] += bool(found.wrong)
        if found.wrong or given.verbose:
            sys.stdout.write(f"{found}\n")
            sys.stdout.flush()
    points = sum(families.values()) - families[NEXT]
    sys.stdout.write(
        f"{points} faults and {families[NEXT]} runs after them, {sum(wrong.values())} with something wrong\n"
    )
    for family, count in sorted(families.items()):
        codes = ", ".join(f"{code}: {many}" for (name, code), many in sorted(ends.items()) if name == family)
        sys.stdout.write(f"{count:>7} {family}: {wrong[family]} wrong; exit codes {codes}\n")
    return int(bool(sum(wrong.values())))


if __name__ == "__main__":
    sys.exit(main())
