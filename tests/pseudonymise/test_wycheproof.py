"""Project Wycheproof's vectors through our own wrappers: signatures that must not pass, and HMAC as our tokens use it."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest

from linkage.errors import IntegrityError
from linkage.pseudonymise import kernel
from linkage.pseudonymise.token import Subkeys, _hmac, _stamp
from linkage.signed import Verifier

DATA = Path(__file__).parents[1] / "data" / "wycheproof"


def _vectors(name: str) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads((DATA / f"{name}.json").read_text(encoding="ascii"))
    return found


@pytest.mark.parametrize("vector", _vectors("ed25519"), ids=lambda each: each["id"])
def test_ed25519(vector: dict[str, Any]) -> None:
    """Encodings that are cut, padded, out of range or moved by the group's order are refused; good ones pass."""
    verifier = Verifier("wycheproof", bytes.fromhex(vector["key"]))
    message, signature = bytes.fromhex(vector["msg"]), bytes.fromhex(vector["sig"])
    if vector["valid"]:
        verifier.check(message, signature)
        with pytest.raises(IntegrityError):
            verifier.check(message + b"x", signature)
    else:
        with pytest.raises(IntegrityError):
            verifier.check(message, signature)


@pytest.mark.parametrize("vector", _vectors("hmac_sha256"), ids=lambda each: each["id"])
def test_hmac_sha256(vector: dict[str, Any]) -> None:
    """By the referee; and by the kernel, whose record tokens are the first 16 bytes with the UUID's six bits set."""
    key, message, tag = (bytes.fromhex(vector[name]) for name in ("key", "msg", "tag"))
    assert _hmac(key, message) == tag
    if kernel.native is None or not message:
        return
    keys = kernel.open_keys(Subkeys("wycheproof", key, key, key))
    column = pa.array([message[-1:] if len(message) > 1 else message], pa.binary())
    prefix = message[:-1] if len(message) > 1 else b""
    made, refused = np.zeros(16, dtype=np.uint8), np.ones(1, dtype=np.uint8)
    kernel.native.record(keys, prefix, kernel.arrow_column(column, 0, 1), False, made, refused, 0)
    assert (made.tobytes(), refused[0]) == (_stamp(tag), 0)
