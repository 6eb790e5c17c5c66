"""Published vectors of SHA-256, HMAC and HKDF through every form of our own code, on every path.

FIPS 180-4 and NIST's short messages, RFC 4231, RFC 5869 and Wycheproof, whose changed tags must not be taken for good ones.
The C files answer with whole digests, here and in an emulator of Armv8; the built module answers with record tokens, which
are 122 bits of a code.
"""

from __future__ import annotations

import hashlib
import hmac
from dataclasses import dataclass
from pathlib import Path

import pyarrow as pa
import pytest
from c_programs import ARM, ARM_PATHS, NATIVE, SANITIZERS, Target, every_target

from linkage.pseudonymise import token
from linkage.pseudonymise.kernel import CompiledKernel, compiled_paths
from linkage.pseudonymise.plain import PlainKernel, _hmac_each, _keyed

VECTORS = Path(__file__).parents[1] / "data" / "vectors"


def _lines(name: str) -> list[list[str]]:
    lines = (VECTORS / name).read_text().splitlines()
    return [["" if part == "-" else part for part in line.split()] for line in lines if not line.startswith("#")]


@dataclass(frozen=True)
class Mac:
    """A key, a message and what may be their HMAC, perhaps cut."""

    name: str
    key: bytes
    message: bytes
    tag: bytes
    valid: bool = True

    @property
    def taken(self) -> bytes:
        """The key as the kernels take it: of 32 bytes, which is the same key to HMAC."""
        return (hashlib.sha256(self.key).digest() if len(self.key) > 64 else self.key).ljust(32, b"\0")

    def accepts(self, code: bytes) -> bool:
        """Whether the tag is the beginning of this code."""
        return hmac.compare_digest(code[: len(self.tag)], self.tag)


def _mac(name: str, key: str, message: str, tag: str, *, valid: bool = True) -> Mac:
    return Mac(name, bytes.fromhex(key), bytes.fromhex(message), bytes.fromhex(tag), valid)


# FIPS 180-4's examples, as NIST publishes them beside it, and no message at all.
FIPS_180_4 = [
    (b"", "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855"),
    (b"abc", "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad"),
    (
        b"abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq",
        "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1",
    ),
    (b"a" * 1_000_000, "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0"),
]
HASHES = [*FIPS_180_4, *((bytes.fromhex(message), digest) for message, digest in _lines("nist_sha256.txt"))]
# RFC 4231, section 4: all seven cases, the fifth cut to 128 bits.
RFC_4231 = [
    Mac(
        "1",
        b"\x0b" * 20,
        b"Hi There",
        bytes.fromhex("b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    ),
    Mac(
        "2",
        b"Jefe",
        b"what do ya want for nothing?",
        bytes.fromhex("5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843"),
    ),
    _mac("3", "aa" * 20, "dd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    _mac(
        "4",
        bytes(range(1, 26)).hex(),
        "cd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
    Mac("5", b"\x0c" * 20, b"Test With Truncation", bytes.fromhex("a3b6167473100ee06e0c796c2955552b")),
    Mac(
        "6",
        b"\xaa" * 131,
        b"Test Using Larger Than Block-Size Key - Hash Key First",
        bytes.fromhex("60e431591ee0b67f0d8a26aacbf5b77f8e0bc6213728c5140546040f0ee37f54"),
    ),
    Mac(
        "7",
        b"\xaa" * 131,
        b"This is a test using a larger than block-size key and a larger than block-size data. The key needs to be "
        b"hashed before being used by the HMAC algorithm.",
        bytes.fromhex("9b09ffa71b942fcb27635fbcd5b0e944bfdc63644f0713938a7f51535c3a35e2"),
    ),
]
WYCHEPROOF = [
    _mac(case, key, message, tag, valid=result == "valid")
    for case, result, key, message, tag in _lines("wycheproof_hmac_sha256.txt")
]
MACS = [*RFC_4231, *WYCHEPROOF]
# RFC 5869, appendix A.1 to A.3: secret, salt, info, output.
RFC_5869 = [
    (
        b"\x0b" * 22,
        bytes(range(13)),
        bytes(range(0xF0, 0xFA)),
        "3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865",
    ),
    (
        bytes(range(80)),
        bytes(range(0x60, 0xB0)),
        bytes(range(0xB0, 0x100)),
        "b11e398dc80327a1c8e7f78c596a49344f012eda2d4efad8a050cc4c19afa97c59045a99cac7827271cb41c65e590e09da3275600c2f"
        "09b8367793a9aca3db71cc30c58179ec3e87c14c01d5c1f3434f1d87",
    ),
    (
        b"\x0b" * 22,
        b"",
        b"",
        "8da4e775a563c18f715f802a063c5a31b8a11f5c5ee1879ec3454e5f3c738d2d9d201395faa4b61a96c8",
    ),
]


def test_no_case_is_lost() -> None:
    """As many as the sources say they hold, good and bad, tags cut and whole."""
    assert len(HASHES) == 4 + 65
    assert [len(each.message) for each in (Mac("", b"", m, b"") for m, _ in HASHES[4:])] == list(range(65))
    assert (len(WYCHEPROOF), sum(each.valid for each in WYCHEPROOF)) == (174, 66)
    assert sum(len(each.tag) == 16 for each in WYCHEPROOF) == 87
    assert not any(32 < len(each.key) <= 64 for each in MACS)
    hkdf = _lines("wycheproof_hkdf_sha256.txt")
    assert (len(hkdf), sum(each[1] == "invalid" for each in hkdf)) == (86, 3)


# ---- the C files, without Python ----


@pytest.fixture(scope="module")
def programs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """Each target's program, once it is built."""
    return {"": tmp_path_factory.mktemp("vectors")}


def _answers(target: Target, programs: dict[str, Path], questions: list[str], *flags: str) -> dict[str, list[str]]:
    """What each path of a target answers."""
    key = " ".join((target.name, *flags))
    if key not in programs:
        programs[key] = target.build(programs[""] / str(len(programs)), "kernel_vectors.c", *flags)
    done = target.run(programs[key], given="".join(f"{question}\n" for question in questions))
    assert done.returncode == 0, done.stdout + done.stderr
    names, answers = done.stdout.split("\n\n")
    rows = [line.split() for line in answers.splitlines()]
    assert len(rows) == len(questions)
    return {name: [row[path] for row in rows] for path, name in enumerate(names.splitlines())}


def _hex(bytes_: bytes) -> str:
    return bytes_.hex() or "-"


LEVELS = pytest.mark.parametrize("flags", [("-O3",), ("-O1", *SANITIZERS)], ids=["optimised", "sanitized"])


@pytest.mark.slow
@every_target
@LEVELS
def test_sha256_of_fips_180_4_and_nist(target: Target, flags: tuple[str, ...], programs: dict[str, Path]) -> None:
    """Of every length up to a block, and of 15,626 blocks."""
    found = _answers(target, programs, [f"sha256 {_hex(message)}" for message, _ in HASHES], *flags)
    for path, digests in found.items():
        assert digests == [digest for _, digest in HASHES], path


@pytest.mark.slow
@every_target
@LEVELS
def test_hmac_of_rfc_4231_and_wycheproof(target: Target, flags: tuple[str, ...], programs: dict[str, Path]) -> None:
    """Whole, however the message is cut and in whatever lane: good tags are met, changed ones are not."""
    found = _answers(target, programs, [f"hmac {_hex(each.key)} {_hex(each.message)}" for each in MACS], *flags)
    for path, codes in found.items():
        for each, code in zip(MACS, codes, strict=True):
            assert len(code) == 64, f"{path}, case {each.name}: {code}"
            assert each.accepts(bytes.fromhex(code)) == each.valid, f"{path}, case {each.name}"


@pytest.mark.slow
def test_every_path_was_asked(programs: dict[str, Path]) -> None:
    """Here those of the built module, in the emulator the Armv8 one."""
    assert tuple(_answers(NATIVE, programs, ["sha256 -"], "-O3")) == (compiled_paths() or ("portable C",))
    assert tuple(_answers(ARM, programs, ["sha256 -"], "-O3")) == ARM_PATHS


# ---- the built module, the plain kernel and the referee ----


@pytest.mark.parametrize("name", [*compiled_paths(), "plain"])
@pytest.mark.parametrize("cut", [0, 1, 7])
def test_the_kernels_record_tokens_are_those_codes(name: str, cut: int) -> None:
    """Wherever the prefix ends; the built module itself, of whose codes 122 bits can be seen."""
    for each in MACS:
        keys = token.Subkeys("test", bytes(32), bytes(32), each.taken)
        made = PlainKernel(keys) if name == "plain" else CompiledKernel(keys, compiled_paths().index(name))
        column = pa.array([b"x", each.message[cut:], None, each.message[cut:]], pa.binary())
        found = made.record(each.message[:cut], column).to_pylist()
        assert found[1] == found[3] == token._stamp(hmac.digest(each.key, each.message, "sha256"))
        assert not each.valid or found[1] == token._stamp(each.tag)


@pytest.mark.parametrize("mac", MACS, ids=lambda mac: mac.name)
def test_hmac_of_the_referee_and_of_the_plain_kernel(mac: Mac) -> None:
    """Also with keys of more than a block."""
    assert mac.accepts(token._hmac(mac.key, mac.message)) == mac.valid
    assert mac.accepts(_hmac_each(_keyed(mac.taken), [mac.message]).tobytes()) == mac.valid


@pytest.mark.parametrize(("secret", "salt", "info", "output"), RFC_5869)
def test_the_derivation_gives_rfc_5869(secret: bytes, salt: bytes, info: bytes, output: str) -> None:
    """Appendix A.1 to A.3, through the function that makes subkeys."""
    assert token._hkdf(secret, salt, info, len(output) // 2).hex() == output


@pytest.mark.parametrize("case", _lines("wycheproof_hkdf_sha256.txt"), ids=lambda case: case[0])
def test_the_derivation_gives_wycheproof(case: list[str]) -> None:
    """Outputs up to the longest; a longer one is an error."""
    secret, salt, info = (bytes.fromhex(part) for part in case[2:5])
    if case[1] == "invalid":
        with pytest.raises(ValueError, match="larger than 8160"):
            token._hkdf(secret, salt, info, int(case[5]))
        return
    made = token._hkdf(secret, salt, info, int(case[5]))
    expected = case[6].removeprefix("sha256:")
    assert (made.hex() if expected == case[6] else hashlib.sha256(made).hexdigest()) == expected
    assert len(made) == int(case[5])


def test_subkeys_are_hkdf_of_the_root() -> None:
    """Against its definition in HMACs, for a domain of the format's own values."""
    root = bytes(range(32))
    extracted = hmac.digest(b"linkage", root, "sha256")
    made = token.derive(root, "ics:demo")
    for label, subkey in (
        ("person-mac", made.person_mac),
        ("person-enc", made.person_enc),
        ("record-mac", made.record_mac),
    ):
        assert subkey == hmac.digest(extracted, f"linkage/v1/{label}/ics:demo\x01".encode(), "sha256")
