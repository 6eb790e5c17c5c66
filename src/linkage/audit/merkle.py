"""The Merkle tree of RFC 6962: one hash for a whole log, and short proofs that a log was only ever added to."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field

__all__ = ["EMPTY", "Frontier", "consistency_proof", "is_consistent", "leaf", "root_of"]

EMPTY = hashlib.sha256().digest()


def leaf(entry: bytes) -> bytes:
    """The hash of one entry."""
    return hashlib.sha256(b"\x00" + entry).digest()


def _node(left: bytes, right: bytes) -> bytes:
    return hashlib.sha256(b"\x01" + left + right).digest()


@dataclass(slots=True)
class Frontier:
    """The right edge of a growing tree: enough to add to it, a few hashes however long the log is.

    Attributes:
        size: Entries.
        peaks: Roots of the whole subtrees that the log is made of, the largest first.
    """

    size: int = 0
    peaks: list[bytes] = field(default_factory=list)

    def add(self, leaf_hash: bytes) -> None:
        """Add one entry by its hash."""
        place, right = self.size, leaf_hash
        while place & 1:
            right = _node(self.peaks.pop(), right)
            place >>= 1
        self.peaks.append(right)
        self.size += 1

    def root(self) -> bytes:
        """The hash of the whole tree."""
        if not self.peaks:
            return EMPTY
        found = self.peaks[-1]
        for left in reversed(self.peaks[:-1]):
            found = _node(left, found)
        return found


def root_of(leaves: Iterable[bytes]) -> bytes:
    """The hash of the tree over these leaf hashes."""
    frontier = Frontier()
    for each in leaves:
        frontier.add(each)
    return frontier.root()


def consistency_proof(leaves: Sequence[bytes], before: int) -> list[bytes]:
    """Hashes that show that the tree over the first leaves is a beginning of the tree over all of them.

    Raises:
        ValueError: The tree before is empty or larger.
    """
    if not 0 < before <= len(leaves):
        raise ValueError("a proof is from a smaller tree with entries to a larger one")
    return _subproof(leaves, before, whole=True)


def _subproof(leaves: Sequence[bytes], before: int, *, whole: bool) -> list[bytes]:
    size = len(leaves)
    if before == size:
        return [] if whole else [root_of(leaves)]
    half = _half(size)
    if before <= half:
        return [*_subproof(leaves[:half], before, whole=whole), root_of(leaves[half:])]
    return [*_subproof(leaves[half:], before - half, whole=False), root_of(leaves[:half])]


def _half(size: int) -> int:
    """The largest power of two below a size."""
    return 1 << ((size - 1).bit_length() - 1)


def is_consistent(before: int, root_before: bytes, after: int, root_after: bytes, proof: Sequence[bytes]) -> bool:
    """Whether a proof shows that one tree is a beginning of another, as RFC 9162 (2.1.4.2) verifies it."""
    if before == after:
        return root_before == root_after and not proof
    if not 0 < before < after:
        return False
    hashes = [root_before, *proof] if before & (before - 1) == 0 else list(proof)
    if not hashes:
        return False
    first, second = before - 1, after - 1
    while first & 1:
        first, second = first >> 1, second >> 1
    old = new = hashes[0]
    for each in hashes[1:]:
        if second == 0:
            return False
        if first & 1 or first == second:
            old, new = _node(each, old), _node(each, new)
            while first and not first & 1:
                first, second = first >> 1, second >> 1
        else:
            new = _node(new, each)
        first, second = first >> 1, second >> 1
    return second == 0 and old == root_before and new == root_after
