"""Key bytes stay inside their handles: not in text, copies, plans or tracebacks."""

from __future__ import annotations

import base64
import copy
import io
import json
import pickle
import pprint
import sys
import traceback
from collections.abc import Callable
from functools import partial
from pathlib import Path
from types import FunctionType, ModuleType
from typing import Any

import polars as pl
import pyrage
import pytest

from linkage.errors import LinkageError
from linkage.handles import SecretHandle
from linkage.pseudonymise import Keyset, Pseudonymiser
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.token import derive

ROOT = bytes(range(32))
Opener = Callable[..., KeyHolderKeyset]


def traces(secret: bytes) -> list[str]:
    """How a secret could appear in text."""
    return [secret.hex(), base64.b64encode(secret).decode(), repr(secret)[2:-1], str(list(secret))[1:-1]]


def secrets() -> list[str]:
    """Every form of the published root and its subkeys."""
    keys = derive(ROOT, "ics:demo")
    return [t for s in (ROOT, keys.person_mac, keys.person_enc, keys.record_mac) for t in traces(s)]


@pytest.fixture(params=["keyset", "pseudonymiser", "kernel", "reverser", "subkeys", "material"])
def handle(request: pytest.FixtureRequest, opened: Opener) -> SecretHandle:
    """Everything that holds a key."""
    keyset = opened((ROOT, "primary"), (b"\1" * 32, "active"))
    handles = {
        "keyset": keyset,
        "pseudonymiser": keyset.pseudonymiser("ics:demo"),
        "kernel": keyset.pseudonymiser("ics:demo")._kernel,
        "reverser": keyset.reverser("ics:demo"),
        "subkeys": derive(ROOT, "ics:demo"),
        "material": keyset._material,
    }
    return handles[request.param]


def test_no_text_shows_a_key(handle: SecretHandle) -> None:
    """repr, str, format and pretty printing; `vars` has nothing to show."""
    for text in (repr(handle), str(handle), f"{handle}", f"{handle!r:>9}", pprint.pformat([handle])):
        assert not [secret for secret in secrets() if secret in text]
        assert "AGE-SECRET" not in text
    with pytest.raises(TypeError):
        vars(handle)


def test_no_copy_of_a_key_is_made(handle: SecretHandle) -> None:
    """Pickle at every protocol, copy and deepcopy say what to do instead; JSON knows nothing of it."""
    for protocol in range(pickle.HIGHEST_PROTOCOL + 1):
        with pytest.raises(TypeError, match="pass the keyset's reference"):
            pickle.dumps(handle, protocol)
    for duplicate in (copy.copy, copy.deepcopy):
        with pytest.raises(TypeError, match="cannot be pickled or copied"):
            duplicate(handle)
    with pytest.raises(TypeError):
        json.dumps(handle)


def test_equality_is_identity(opened: Opener) -> None:
    """Two handles on one key are two handles."""
    assert opened((ROOT, "primary")) != opened((ROOT, "primary"))
    assert derive(ROOT, "ics:demo") != derive(ROOT, "ics:demo")


def test_what_handles_do_show(opened: Opener) -> None:
    """Ids, states and the domain."""
    keyset = opened((ROOT, "primary"), (b"\1" * 32, "disabled"))
    other = keyset.versions[1].id
    assert repr(keyset) == f"<KeyHolderKeyset f9406c43e5b8e268 primary, {other} disabled>"
    made = keyset.pseudonymiser("ics:demo")
    assert repr(made) == "<Pseudonymiser domain=ics:demo key_id=f9406c43e5b8e268>"
    assert (made.domain, made.key_id) == ("ics:demo", keyset.key_id)


def dumps_with_closures(thing: object, protocol: int | None = None, **_: object) -> bytes:
    """Pickle, and for a function what it holds, as cloudpickle does."""

    class Pickler(pickle.Pickler):
        def reducer_override(self, held: Any) -> Any:
            if not isinstance(held, FunctionType):
                return NotImplemented
            return tuple, ([cell.cell_contents for cell in held.__closure__ or ()],)

    buffer = io.BytesIO()
    Pickler(buffer, protocol).dump(thing)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", ["expr", "person_expr", "record_expr"])
def test_a_plan_that_holds_a_key_cannot_be_written(
    pseudonymiser: Pseudonymiser, monkeypatch: pytest.MonkeyPatch, kind: str
) -> None:
    """Polars writes a plan's functions with cloudpickle; a stand-in lets every other function through."""
    stand_in = ModuleType("cloudpickle")
    vars(stand_in).update(dumps=dumps_with_closures)
    monkeypatch.setitem(sys.modules, "cloudpickle", stand_in)
    arguments = ("x", "a") if kind == "record_expr" else ("x",)
    expression: pl.Expr = getattr(pseudonymiser, kind)(*arguments)
    plan = pl.LazyFrame({"x": ["1"]}).select(expression)
    assert pl.col("x").map_batches(partial(str), return_dtype=pl.String).meta.serialize()
    for write in (plan.serialize, expression.meta.serialize):
        with pytest.raises(pl.exceptions.ComputeError, match="cannot be pickled or copied"):
            write()
    assert not [secret for secret in secrets() if secret in plan.explain() + str(expression)]


def spoil(path: Path, content: dict[str, Any], identity: pyrage.x25519.Identity) -> None:
    """Write a keyset file with this JSON inside."""
    path.write_bytes(pyrage.encrypt(json.dumps(content).encode(), [identity.to_public()]))


def test_no_traceback_of_a_failure_shows_a_key(tmp_path: Path, as_document: Callable[..., dict[str, Any]]) -> None:
    """Not even one that prints the local variables of every frame, and no cause is left behind."""
    identity = pyrage.x25519.Identity.generate()
    path, beside = tmp_path / "ics.age", tmp_path / "ics.identity"
    beside.write_text(str(identity))
    beside.chmod(0o600)
    whole = as_document((ROOT, "primary"))
    storage = whole["storage_identity"]
    (version,) = whole["versions"]
    failures = [
        whole | {"format": "x"},
        whole | {"versions": [version | {"state": "x"}]},
        whole | {"versions": [version | {"id": "0" * 16}]},
        whole | {"versions": [version | {"root": version["root"][:-4]}]},
        whole | {"versions": [version | {"created": "x"}]},
        whole | {"storage_identity": storage[:-1]},
        whole | {"versions": [version, version]},
    ]
    hidden = [*traces(ROOT), str(identity)[20:40], storage[20:40]]
    for content in failures:
        spoil(path, content, identity)
        assert not [secret for secret in hidden if secret in failure_text(path)]
    spoil(path, whole, pyrage.x25519.Identity.generate())
    assert not [secret for secret in hidden if secret in failure_text(path)]
    path.write_bytes(b"age-encryption.org/v1\n")
    assert not [secret for secret in hidden if secret in failure_text(path)]


def failure_text(path: Path) -> str:
    """The fullest traceback of an attempt to open a keyset."""
    with pytest.raises(LinkageError) as caught:
        Keyset.open(f"age://{path}")
    error = caught.value
    assert error.__cause__ is None
    assert error.__context__ is None
    assert error.exit_code == 5
    trace = traceback.TracebackException.from_exception(error, capture_locals=True)
    return "".join(trace.format()) + error.hint
