"""A keyset whose identity HashiCorp Vault unwraps, against a local server that speaks the transit engine's API."""

from __future__ import annotations

import base64
import json
import secrets
import threading
from collections.abc import Iterator
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pyrage
import pytest
from typer.testing import CliRunner

from linkage.cli import app
from linkage.errors import ConfigurationError, KeyUnavailableError, LinkageError
from linkage.pseudonymise import Keyset, vault
from linkage.pseudonymise.key_versions import KeysetFile

TOKEN = "s.made-up-token"


@dataclass
class Transit:
    """What the server holds and was asked."""

    address: str = ""
    wrapped: dict[str, str] = field(default_factory=dict)
    asked: list[tuple[str, dict[str, str], dict[str, Any]]] = field(default_factory=list)
    answers: list[tuple[int, bytes]] = field(default_factory=list)

    def answer(self, path: str, headers: dict[str, str], said: dict[str, Any]) -> tuple[int, bytes]:
        self.asked.append((path, headers, said))
        if self.answers:
            return self.answers.pop()
        if headers.get("X-Vault-Token") != TOKEN:
            return 403, b'{"errors":["permission denied"]}'
        if path == "/v1/transit/encrypt/linkage":
            text = "vault:v1:" + base64.b64encode(secrets.token_bytes(12)).decode()
            self.wrapped[text] = said["plaintext"]
            return 200, json.dumps({"data": {"ciphertext": text, "key_version": 1}}).encode()
        if path == "/v1/transit/decrypt/linkage" and said["ciphertext"] in self.wrapped:
            return 200, json.dumps({"data": {"plaintext": self.wrapped[said["ciphertext"]]}}).encode()
        return 400, b'{"errors":["invalid ciphertext"]}'


@pytest.fixture
def transit() -> Iterator[Transit]:
    """A server on this machine."""
    state = Transit()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = self.rfile.read(int(self.headers["Content-Length"]))
            status, answer = state.answer(self.path, dict(self.headers), json.loads(body))
            self.send_response(status)
            if status == 307:
                self.send_header("Location", f"{state.address}/elsewhere")
            self.send_header("Content-Length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    state.address = f"http://127.0.0.1:{server.server_port}"
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield state
    server.shutdown()
    server.server_close()


def _made(folder: Path, transit: Transit) -> str:
    """A keyset, its identity wrapped by the command and taken away; the reference that opens it."""
    Keyset.create(folder / "ics.age")
    (folder / "token").write_text(TOKEN + "\n")
    (folder / "token").chmod(0o640)
    done = CliRunner().invoke(
        app,
        ["keys", "vault", str(folder / "ics.vault"), "--keyset", str(folder / "ics.age"), "--address", transit.address,
         "--key", "transit/linkage", "--token", "file://token", "--identity", str(folder / "ics.identity")],
    )  # fmt: skip
    if done.exception is not None:
        raise done.exception
    (folder / "ics.identity").rename(folder / "in-the-safe")
    assert TOKEN not in done.output
    return f"vault://{folder / 'ics.vault'}"


def test_vault_opens_it_and_nothing_else(tmp_path: Path, transit: Transit) -> None:
    """The file holds no secret; the token goes in a header, and the identity is never written."""
    reference = _made(tmp_path, transit)
    secret = (tmp_path / "in-the-safe").read_text().splitlines()[1]
    assert Keyset.open(reference).key_id
    path, headers, said = transit.asked[-1]
    assert path == "/v1/transit/decrypt/linkage"
    assert headers["X-Vault-Token"] == TOKEN
    assert said["ciphertext"].startswith("vault:v1:")
    for file in tmp_path.rglob("*"):
        if file.is_file() and file.name not in ("in-the-safe", "token"):
            assert secret.encode() not in file.read_bytes()
            assert TOKEN.encode() not in file.read_bytes()
    with pytest.raises(KeyUnavailableError):
        Keyset.open(f"age://{tmp_path / 'ics.age'}")


def test_a_token_that_everybody_can_read_is_not_used(tmp_path: Path, transit: Transit) -> None:
    """Whoever reads it could have the identity unwrapped."""
    reference = _made(tmp_path, transit)
    asked = len(transit.asked)
    (tmp_path / "token").chmod(0o644)
    with pytest.raises(KeyUnavailableError, match="everybody on this machine"):
        Keyset.open(reference)
    assert len(transit.asked) == asked


def test_a_keyset_behind_vault_is_changed_like_any(tmp_path: Path, transit: Transit) -> None:
    """The age file is rewritten for the same identity."""
    reference = _made(tmp_path, transit)
    KeysetFile(reference).rotate()
    assert len(Keyset.open(reference).versions) == 2
    assert len(Keyset.open(f"age://{tmp_path / 'ics.age'}", identity=tmp_path / "in-the-safe").versions) == 2


def test_what_vault_refuses_is_refused(tmp_path: Path, transit: Transit) -> None:
    """With a hint, without the token, and without following it to another host."""
    reference = _made(tmp_path, transit)
    for status, answer, said in (
        (403, b"{}", "may not do this"), (503, b"{}", "sealed"), (404, b"", "no such mount"), (307, b"", "307"),
        (200, b"no json", "cannot be read"), (200, b'{"data":{"plaintext":"aGVsbG8="}}', "no age identity"),
    ):  # fmt: skip
        transit.answers.append((status, answer))
        with pytest.raises(KeyUnavailableError, match=said) as caught:
            Keyset.open(reference)
        assert TOKEN not in str(caught.value) + caught.value.hint
        assert caught.value.__context__ is None
    assert "/elsewhere" not in [path for path, *_ in transit.asked]
    (tmp_path / "token").write_text("another")
    with pytest.raises(KeyUnavailableError, match="may not do this"):
        Keyset.open(reference)
    (tmp_path / "token").unlink()
    with pytest.raises(KeyUnavailableError, match="not where it should be"):
        Keyset.open(reference)


@pytest.mark.parametrize(
    ("change", "said"),
    [
        ({"address": "http://vault.example:8200"}, "not https"),
        ({"address": "http://127.0.0.1:1"}, "cannot be reached"),
        ({"token": "s.made-up-token"}, "unknown scheme"),
        ({"unknown": "x"}, "not a file for Vault"),
    ],
)
def test_a_file_that_cannot_be_used_is_refused(
    tmp_path: Path, transit: Transit, change: dict[str, str], said: str
) -> None:
    """A token over plain http, one written into the file, a key that is unknown."""
    reference = _made(tmp_path, transit)
    path = tmp_path / "ics.vault"
    path.write_text(json.dumps({**json.loads(path.read_text()), **change}))
    with pytest.raises(LinkageError, match=said):
        Keyset.open(reference)


def test_two_people_of_whom_vault_is_one(tmp_path: Path, transit: Transit) -> None:
    """The second identity is a file; neither is enough."""
    for name in ("one", "two"):
        Keyset.create(tmp_path / f"{name}.age")
    public = {name: _public(tmp_path / f"{name}.identity") for name in ("one", "two")}
    Keyset.create(tmp_path / "ics.age", recipients=[public["one"]], second_recipients=[public["two"]])
    (tmp_path / "token").write_text(TOKEN)
    (tmp_path / "token").chmod(0o600)
    said = vault.Wrapped(keyset=Path("ics.age"), address=transit.address, key="linkage", token="file://token")
    vault.wrap(said, tmp_path / "ics.vault", tmp_path / "one.identity")
    reference = f"vault://{tmp_path / 'ics.vault'}"
    assert Keyset.open(reference, identity=tmp_path / "two.identity").key_id
    with pytest.raises(KeyUnavailableError, match="two people"):
        Keyset.open(reference)
    with pytest.raises(ConfigurationError):
        Keyset.open("kms://key")


def _public(path: Path) -> str:
    return str(pyrage.x25519.Identity.from_str(path.read_text().splitlines()[1]).to_public())
