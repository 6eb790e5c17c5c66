"""The tree against published roots, against its plain definition, and its proofs against every other tree."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.audit.merkle import EMPTY, Frontier, consistency_proof, is_consistent, leaf, root_of

# The reference entries and roots of the Certificate Transparency project (RFC 6962 implementations share them).
ENTRIES = ["", "00", "10", "2021", "3031", "40414243", "5051525354555657", "606162636465666768696a6b6c6d6e6f"]
ROOTS = [
    "6e340b9cffb37a989ca544e6bb780a2c78901d3fb33738768511a30617afa01d",
    "fac54203e7cc696cf0dfcb42c92a1d9dbaf70ad9e621f4bd8d98662f00e3c125",
    "aeb6bcfe274b70a14fb067a5e5578264db0fa9b51af5e0ba159158f329e06e77",
    "d37ee418976dd95753c1c73862b9398fa2a2cf9b4ff0fdfe8b30cd95209614b7",
    "4e3bbb1f7b478dcfe71fb631631519a3bca12c9aefca1612bfce4c13a86264d4",
    "76e67dadbcdf1e10e1b74ddc608abd2f98dfb16fbce75277b5232a127f2087ef",
    "ddb89be403809e325750d3d263cd78929c2942b7942a34b77e122c9594a74c8c",
    "5dc9da79a70659a9ad559cb701ded9a2ab9d823aad2f4960cfe370eff4604328",
]


def test_published_roots() -> None:
    """Each prefix of the reference entries has the root that everybody else gives it."""
    leaves = [leaf(bytes.fromhex(each)) for each in ENTRIES]
    assert [root_of(leaves[: size + 1]).hex() for size in range(8)] == ROOTS
    assert (
        Frontier().root() == EMPTY == bytes.fromhex("e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855")
    )


def _plain(leaves: list[bytes]) -> bytes:
    """RFC 6962, section 2.1, as it is written."""
    if len(leaves) == 1:
        return leaves[0]
    half = 1
    while half * 2 < len(leaves):
        half *= 2
    return hashlib.sha256(b"\x01" + _plain(leaves[:half]) + _plain(leaves[half:])).digest()


@pytest.mark.parametrize("size", range(1, 70))
def test_a_growing_tree_is_the_defined_one(size: int) -> None:
    """A few hashes at the edge give the root of all."""
    leaves = [leaf(bytes([each])) for each in range(size)]
    assert root_of(leaves) == _plain(leaves)


@pytest.mark.parametrize("after", range(1, 34))
def test_every_proof_holds_and_holds_for_nothing_else(after: int) -> None:
    """From every smaller tree; not to another root, not from another one, not with a hash more, fewer or changed."""
    leaves = [leaf(bytes([each])) for each in range(after)]
    other = root_of([*leaves[:-1], leaf(b"another")])
    new = root_of(leaves)
    for before in range(1, after + 1):
        old, proof = root_of(leaves[:before]), consistency_proof(leaves, before)
        assert is_consistent(before, old, after, new, proof)
        assert not is_consistent(before, old, after, other, proof)
        assert not is_consistent(before, other, after, new, proof) or old == other
        assert not is_consistent(before, old, after, new, [*proof, new])
        if proof:
            assert not is_consistent(before, old, after, new, proof[:-1])
            assert not is_consistent(before, old, after, new, [bytes(32), *proof[1:]])
        if before < after:
            assert not is_consistent(after, new, before, old, proof)


@given(st.integers(1, 200), st.integers(1, 200), st.integers(0, 199))
def test_a_log_that_was_changed_before_has_no_proof(before: int, more: int, place: int) -> None:
    """Whatever proof its keeper makes of the changed log."""
    leaves = [leaf(bytes([each % 256, each // 256])) for each in range(before + more)]
    old = root_of(leaves[:before])
    place %= before
    changed = [*leaves[:place], leaf(b"changed"), *leaves[place + 1 :]]
    assert not is_consistent(before, old, len(changed), root_of(changed), consistency_proof(changed, before))


def test_there_is_no_proof_from_nothing() -> None:
    """Or from more than there is."""
    for before in (0, 3):
        with pytest.raises(ValueError, match="smaller tree"):
            consistency_proof([leaf(b"")] * 2, before)
