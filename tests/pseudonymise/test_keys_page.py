"""The commands of the page about keys run, one after another, with the names that each reader puts in."""

from __future__ import annotations

import json
import shlex
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pyrage
import pytest
from typer.testing import CliRunner

from linkage.cli import app
from linkage.pseudonymise import Keyset
from pages import samples

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "keys.md").read_text(encoding="utf-8")


@pytest.fixture
def vault() -> Iterator[str]:
    """A server that wraps whatever it is given as a transit engine answers."""

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            said = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            body = json.dumps({"data": {"ciphertext": f"vault:v1:{said['plaintext'][::-1]}"}}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, *_: object) -> None:
            pass

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}"
    server.shutdown()
    server.server_close()


def test_the_commands_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, vault: str) -> None:
    """Public keys, the version, Vault's address and where its token is are put in; nothing else is changed."""
    monkeypatch.chdir(tmp_path)
    (tmp_path / "keys").mkdir()
    (tmp_path / "token").write_text("made up")
    (tmp_path / "token").chmod(0o600)
    opener = pyrage.x25519.Identity.generate()
    (tmp_path / "keys" / "rr8.identity").write_text(f"{opener}\n")
    (tmp_path / "keys" / "rr8.identity").chmod(0o600)
    (tmp_path / "keys" / "rr8-new.identity").write_text(f"{opener}\n")
    (tmp_path / "keys" / "rr8-new.identity").chmod(0o600)
    ran = 0
    for line in _lines():
        line = line.replace("age1…", str(opener.to_public())).replace("https://vault.example.nhs.uk:8200", vault)
        line = line.replace("file:///run/vault/token", "file://../token")
        if "VERSION" in line:
            line = line.replace("VERSION", Keyset.open("age://keys/ics.age").versions[-1].id)
        if "--second-recipient" in line:
            line = line.replace("keys/ics.age", "keys/two.age")
        done = CliRunner().invoke(app, shlex.split(line)[1:])
        assert done.exception is None, (line, done.exception)
        ran += 1
    assert ran == 12


def _lines() -> Iterator[str]:
    for block in samples(PAGE, "sh"):
        for line in block.replace("\\\n", " ").splitlines():
            if line.startswith("linkage "):
                yield line
