"""The kernel's C files on arbitrary columns, under the sanitizers and valgrind, here and in an emulator of Armv8.

And whether its self-test would notice a path that is wrong.
"""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import sysconfig
from pathlib import Path

import pytest
from c_programs import ARM, ARM_PATHS, KERNEL, NATIVE, SANITIZERS, Target, every_target

from linkage.pseudonymise.kernel import compiled_paths

pytestmark = pytest.mark.slow

RUNNER = Path(__file__).with_name("module_under_sanitizers.py")


@every_target
@pytest.mark.parametrize("level", ["-O1", "-O3"])
def test_under_the_sanitizers(tmp_path: Path, target: Target, level: str) -> None:
    """Every path; whatever is wrong, or differs between two paths, ends the program."""
    program = target.build(tmp_path / "fuzz", "kernel_fuzz.c", level, *SANITIZERS)
    done = target.run(program, "2000" if target is ARM else "4000")
    assert done.returncode == 0, done.stderr
    assert f"{2000 if target is ARM else 4000} inputs" in done.stdout
    for path in ARM_PATHS if target is ARM else compiled_paths():
        assert f"{path}: right" in done.stdout


def test_two_processors_make_the_same(tmp_path: Path) -> None:
    """All tokens, reasons and numbers of 4,000 arbitrary columns."""
    said = []
    for target in (NATIVE, ARM):
        done = target.run(target.build(tmp_path / target.compiler, "kernel_fuzz.c", "-O3"), "4000")
        assert done.returncode == 0, done.stdout + done.stderr
        said.append(done.stdout.splitlines()[-1])
    assert said[0] == said[1]
    assert said[0].startswith("4000 inputs, made ")


@pytest.mark.skipif(not shutil.which("valgrind"), reason="no valgrind here")
def test_under_valgrind(tmp_path: Path) -> None:
    """Only the portable path: valgrind's processor has no SHA instructions. Uninitialised memory counts too."""
    program = NATIVE.build(tmp_path / "fuzz", "kernel_fuzz.c", "-O1", "-g")
    command = ["valgrind", "-q", "--error-exitcode=9", "--leak-check=full", str(program), "60"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "portable C: right" in done.stdout
    assert "60 inputs" in done.stdout


# What is changed in one place of the C files, and on which processor that must be noticed.
MUTANTS = {
    "a constant of a round": (NATIVE, "0x428a2f98", "0x428a2f99"),
    "a rotation": (NATIVE, "rotated(e, 6)", "rotated(e, 7)"),
    "a shift of the schedule": (NATIVE, "y >> 10", "y >> 11"),
    "the padding of a digest": (NATIVE, "(64 + 32) * 8", "(64 + 31) * 8"),
    "the padding of a number": (NATIVE, "(64 + 10) * 8", "(64 + 9) * 8"),
    "the padding of a nonce": (NATIVE, "(64 + 12) * 8", "(64 + 11) * 8"),
    "the version of a token": (NATIVE, "VERSION UINT64_C(0x8000)", "VERSION UINT64_C(0x4000)"),
    "the tag not compared": (NATIVE, "difference || !valid[i]", "difference == 1 || !valid[i]"),
    "Armv8: the schedule": (ARM, "am[g], am[p]), am[q], am[r]", "am[g], am[p]), am[r], am[q]"),
    "Armv8: the second lane": (ARM, "vst1q_u32(out[next].h, vaddq_u32(b0", "vst1q_u32(out[next].h, vaddq_u32(a0"),
    "Armv8: the words of the second lane": (ARM, "bm[k] = vld1q_u32(blocks[next]", "bm[k] = vld1q_u32(blocks[each]"),
    "Armv8: a group of rounds": (ARM, "i >= 3 && i < 15", "i >= 3 && i < 14"),
}
if "x86 SHA extensions" in compiled_paths():
    MUTANTS |= {
        "x86: half of the rounds": (NATIVE, "_mm_shuffle_epi32(m, 0x0E)", "_mm_shuffle_epi32(m, 0x0F)"),
        "x86: the schedule": (NATIVE, "_mm_sha256msg2_epu32(m, L##m[(i) & 3])", "_mm_sha256msg2_epu32(m, m)"),
        "x86: the second lane": (NATIVE, "FROM_HALVES(out[next].h, b0, b1)", "FROM_HALVES(out[next].h, a0, a1)"),
    }


def _changed(folder: Path, old: str, new: str) -> Path:
    """The C files with one change."""
    folder.mkdir()
    found = 0
    for path in KERNEL.glob("_kernel*.[ch]"):
        text = path.read_text()
        found += text.count(old)
        (folder / path.name).write_text(text.replace(old, new, 1))
    assert found == 1, f"{old!r} is there {found} times"
    return folder


@pytest.mark.parametrize(("target", "old", "new"), MUTANTS.values(), ids=MUTANTS)
def test_the_self_test_notices(tmp_path: Path, target: Target, old: str, new: str) -> None:
    """What is wrong on one path, in one lane or in one stage."""
    headers = _changed(tmp_path / "changed", old, new)
    program = target.build(tmp_path / "wrong", "kernel_vectors.c", "-O2", headers=headers)
    done = target.run(program)
    assert done.returncode == 1, done.stdout + done.stderr
    assert done.stdout.splitlines()[-1].endswith(": wrong")


needs_headers = pytest.mark.skipif(
    not (Path(sysconfig.get_path("include")) / "Python.h").exists(), reason="no headers of Python here"
)


def _module(folder: Path, headers: Path, *flags: str) -> Path:
    """The Python module, built from these C files."""
    flags = (*flags, "-shared", "-fPIC", "-I", sysconfig.get_path("include"), "-Wno-unused-parameter")
    return NATIVE.build(folder / "_kernel.abi3.so", str(headers / "_kernel.c"), *flags, headers=headers)


@needs_headers
def test_a_module_that_is_wrong_does_not_load(tmp_path: Path) -> None:
    """It raises; an ImportError would be taken for a kernel that is not there, and the plain one would hide the fault."""
    module = _module(tmp_path, _changed(tmp_path / "changed", "0x428a2f98", "0x428a2f99"), "-O2")
    done = subprocess.run([sys.executable, RUNNER, module, "1"], capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert "RuntimeError: the tokenising kernel gives wrong answers (" in done.stderr


@needs_headers
def test_the_module_under_the_sanitizers(tmp_path: Path) -> None:
    """The same with Python around it: buffers held and let go, refusals half-way, outputs too short."""
    module = _module(tmp_path, KERNEL, "-O1", *SANITIZERS)
    found = [
        subprocess.run([NATIVE.compiler, f"-print-file-name={name}"], capture_output=True, text=True, check=True).stdout
        for name in ("libasan.so", "libubsan.so")
    ]
    if not all(Path(each.strip()).is_absolute() for each in found):
        pytest.skip("the sanitizers of this compiler cannot be loaded into Python")
    # Python does not give everything back at its end; its own allocator would hide a step too far.
    environment = {
        **os.environ,
        "LD_PRELOAD": " ".join(each.strip() for each in found),
        "ASAN_OPTIONS": "detect_leaks=0",
        "PYTHONMALLOC": "malloc",
    }
    command = [sys.executable, RUNNER, module, "1500"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, env=environment)
    assert done.returncode == 0, done.stderr
    for outcome in ("done", "ValueError", "TypeError"):
        assert f"'{outcome}'" in done.stdout
