"""The root secret of the published values, and keysets made once for all tests."""

from __future__ import annotations

import base64
import json
from collections.abc import Callable
from pathlib import Path

import pyrage
import pytest

from linkage.pseudonymise import Keyset, Pseudonymiser, kernel
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.token import key_id

ROOT = bytes(range(32))
Opener = Callable[..., KeyHolderKeyset]


@pytest.fixture(scope="session")
def pseudonymiser() -> Pseudonymiser:
    """Tokens of the published root and domain."""
    return Pseudonymiser.from_root(ROOT, "ics:demo")


@pytest.fixture
def keyset_file(tmp_path: Path) -> Path:
    """A new keyset with its identity beside it."""
    return Keyset.create(tmp_path / "ics.age").path


def document(*versions: tuple[bytes, str]) -> dict[str, object]:
    """The JSON of a keyset with these root secrets and states."""
    return {
        "format": "linkage-keyset/1",
        "versions": [
            {
                "id": key_id(root),
                "created": "2026-01-02T03:04:05+00:00",
                "state": state,
                **({} if state == "destroyed" else {"root": base64.b64encode(root).decode()}),
            }
            for root, state in versions
        ],
        "storage_identity": str(pyrage.x25519.Identity.generate()),
    }


@pytest.fixture
def opened(monkeypatch: pytest.MonkeyPatch) -> Opener:
    """Open a key holder's keyset with given (root, state) pairs, or a given document."""

    def open_document(*versions: tuple[bytes, str], content: object = None) -> KeyHolderKeyset:
        plain = json.dumps(document(*versions) if content is None else content).encode()
        monkeypatch.setenv("LINKAGE_TEST_KEYSET", base64.b64encode(plain).decode())
        return KeyHolderKeyset.open("env://LINKAGE_TEST_KEYSET")

    return open_document


@pytest.fixture
def as_document() -> Callable[..., dict[str, object]]:
    """`document`, for tests that damage it first."""
    return document


@pytest.fixture(params=["the kernel that is here", "the plain kernel"])
def either(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever kernel, everything is the same."""
    if request.param == "the plain kernel":
        monkeypatch.setattr(kernel, "_kernel", None)
        monkeypatch.setattr(kernel, "native", None)
