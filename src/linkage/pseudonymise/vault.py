"""HashiCorp Vault's transit engine as the keeper of an age identity: the keyset's file opens only while Vault agrees.

A `.vault` file holds no secret: where Vault is, which of its keys wraps the identity, and the wrapped identity. Vault
logs each unwrapping before it answers, and whoever may unwrap is decided there. Once unwrapped the identity is in this process.
"""

from __future__ import annotations

import base64
import http.client
import json
import os
import ssl
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal
from urllib.parse import quote, urlsplit

import pyrage
from pydantic import BaseModel, ConfigDict, ValidationError

from linkage.errors import ConfigurationError, KeyUnavailableError
from linkage.pseudonymise.age_files import Found, Problem, identities_for, write_new

__all__ = ["Wrapped", "read", "unwrap", "wrap"]

PATIENCE = 20.0  # seconds
_LONGEST = 1 << 20
_LOCAL = ("127.0.0.1", "localhost", "::1")


class Wrapped(BaseModel):
    """What a `.vault` file says.

    Attributes:
        keyset: The age file that the identity opens, beside this file.
        address: Where Vault is, `https://host:8200`; plain `http` only on this machine.
        mount: Where its transit engine is mounted.
        key: The engine's key.
        token: Where the token is that Vault asks for, `file://PATH` or `env://NAME`; never the token.
        ca: A file with the certificate authority that signed Vault's certificate; the system's where not given.
        namespace: Vault's namespace, where it has any.
        identity: The wrapped identity, `vault:v1:...`.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["linkage-vault/1"] = "linkage-vault/1"
    keyset: Path
    address: str
    mount: str = "transit"
    key: str
    token: str
    ca: Path | None = None
    namespace: str | None = None
    identity: str = ""


def read(path: Path) -> Wrapped:
    """Read a `.vault` file.

    Raises:
        KeyUnavailableError: It cannot be read.
        ConfigurationError: It is not one.
    """
    try:
        return Wrapped.model_validate_json(path.read_bytes())
    except OSError as error:
        raise KeyUnavailableError(
            f"{path} cannot be read: {error.strerror}", hint="check the reference and the file's owner"
        ) from None
    except ValidationError:
        raise ConfigurationError(f"{path}: not a file for Vault", hint="make it: `linkage keys vault`") from None


def wrap(wrapped: Wrapped, path: Path, identity: Path) -> None:
    """Let Vault wrap the identity that opens a keyset, and write the `.vault` file.

    Args:
        wrapped: All but the wrapped identity.
        path: The file to make; it must not exist.
        identity: The identity's file; it is left as it is.

    Raises:
        KeyUnavailableError: The identity cannot be read, or Vault refuses.
        ConfigurationError: The file is in the way or cannot be written.
    """
    problem = _wrap(wrapped, path, identity)
    if problem is not None:
        raise KeyUnavailableError(problem.message, hint=problem.hint)


def unwrap(wrapped: Wrapped, path: Path, others: Path | Sequence[Path] | None) -> Found | Problem:
    """Have Vault unwrap the identity.

    Args:
        wrapped: From `read`.
        path: Where that was read.
        others: Identity files of the second person, where the keyset needs two.
    """
    answer = _ask(wrapped, path.parent, "decrypt", {"ciphertext": wrapped.identity})
    if isinstance(answer, Problem):
        return answer
    try:
        text = base64.b64decode(str(answer["plaintext"]), validate=True).decode("ascii")
        found = [pyrage.x25519.Identity.from_str(text)]
    except (KeyError, ValueError, pyrage.IdentityError):
        return Problem("what Vault unwrapped is no age identity", "make the file again: `linkage keys vault`")
    if others:
        more = identities_for(path, others)
        if isinstance(more, Problem):
            return more
        found += more.identities
    return Found(found, f"the identity that Vault unwraps for {path}")


def _wrap(wrapped: Wrapped, path: Path, identity: Path) -> Problem | None:
    found = identities_for(path, identity)
    if isinstance(found, Problem):
        return found
    if len(found.identities) != 1:
        return Problem(f"{identity} holds more than one identity", "name a file with the one that opens the keyset")
    text = base64.b64encode(str(found.identities[0]).encode()).decode()
    answer = _ask(wrapped, path.parent, "encrypt", {"plaintext": text})
    if isinstance(answer, Problem):
        return answer
    if not str(answer.get("ciphertext", "")).startswith("vault:"):
        return Problem("Vault's answer has no ciphertext", "check the mount and the key")
    made = wrapped.model_copy(update={"identity": str(answer["ciphertext"])})
    return write_new(path, made.model_dump_json(indent=1, exclude_none=True).encode())


def _ask(wrapped: Wrapped, base: Path, what: str, said: Mapping[str, str]) -> dict[str, object] | Problem:
    token = _token(wrapped.token, base)
    if isinstance(token, Problem):
        return token
    headers = {"X-Vault-Token": token, "X-Vault-Request": "true", "Content-Type": "application/json"}
    headers |= {"X-Vault-Namespace": wrapped.namespace} if wrapped.namespace else {}
    path = f"/v1/{quote(wrapped.mount)}/{what}/{quote(wrapped.key, safe='')}"
    try:
        connection = _connection(wrapped, base)
        if isinstance(connection, Problem):
            return connection
        try:
            # Redirects are not followed: they could carry the token to another host.
            connection.request("POST", path, json.dumps(said), headers)
            answer = connection.getresponse()
            status, body = answer.status, answer.read(_LONGEST)
        finally:
            connection.close()
    except (OSError, http.client.HTTPException, ValueError) as error:
        return Problem(
            f"Vault cannot be reached ({type(error).__name__})", f"check {wrapped.address} and its certificate"
        )
    return _data(status, body)


def _data(status: int, body: bytes) -> dict[str, object] | Problem:
    if status != http.client.OK:
        known = {403: "the token may not do this", 404: "no such mount or key", 503: "it is sealed or being maintained"}
        return Problem(f"Vault refuses ({status}): {known.get(status, 'see its log')}", "ask who runs Vault")
    try:
        data = json.loads(body)["data"]
    except (ValueError, KeyError, TypeError):
        data = None
    return data if isinstance(data, dict) else Problem("Vault's answer cannot be read", "check the address")


def _connection(wrapped: Wrapped, base: Path) -> http.client.HTTPConnection | Problem:
    parts = urlsplit(wrapped.address)
    if parts.scheme == "https" and parts.hostname:
        context = ssl.create_default_context(cafile=base / wrapped.ca if wrapped.ca else None)
        return http.client.HTTPSConnection(parts.hostname, parts.port, timeout=PATIENCE, context=context)
    if parts.scheme == "http" and parts.hostname in _LOCAL:
        return http.client.HTTPConnection(parts.hostname, parts.port, timeout=PATIENCE)
    return Problem("Vault's address is not https", "plain http is for an agent on this machine alone")


def _token(reference: str, base: Path) -> str | Problem:
    scheme, _, place = reference.partition("://")
    try:
        if scheme == "file":
            path = base / place
            # Vault Agent lets a group read it; whoever else could read it could unwrap.
            if os.name == "posix" and path.stat().st_mode & 0o007:
                return Problem(
                    f"everybody on this machine can use the token for Vault: {path}", f"run: chmod o= {path}"
                )
            token = path.read_text(encoding="ascii").strip()
        elif scheme == "env":
            token = os.environ[place].strip()
        else:
            return Problem("the reference to Vault's token has an unknown scheme", "write file://PATH or env://NAME")
    except (OSError, KeyError, ValueError):
        return Problem("the token for Vault is not where it should be", f"see the file's token: {reference}")
    return (
        token if token.isprintable() and token else Problem("the token for Vault is empty or damaged", "log in again")
    )
