"""Signatures: Ed25519 over a payload and its type, so that nothing signed as one thing can be shown as another.

An envelope carries the payload's bytes as they were signed (the pre-authentication encoding of DSSE, the Dead Simple
Signing Envelope): they are verified before they are parsed, and never written anew. Payloads are canonical JSON.
"""

from __future__ import annotations

import base64
import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey, Ed25519PublicKey
from pydantic import BaseModel, ConfigDict, ValidationError

from linkage.errors import ConfigurationError, IntegrityError
from linkage.handles import SecretHandle

__all__ = ["SEED_BYTES", "Envelope", "Signature", "Signer", "Verifier", "canonical", "check_name", "opened", "sign"]

SEED_BYTES = PUBLIC_BYTES = 32
_PREFIX = "ed25519:"


class Signer(SecretHandle):
    """A handle on a signing key, with the name of who signs."""

    __slots__ = ("_key", "name")

    def __init__(self, name: str, seed: bytes) -> None:
        """Args:
        name: Who signs: an organisation, a role or a person, as registers of keys name them.
        seed: 32 random bytes.
        """
        if len(seed) != SEED_BYTES:
            raise ConfigurationError("a signing key is 32 bytes", hint="make a new one")
        self.name = check_name(name)
        self._key = Ed25519PrivateKey.from_private_bytes(seed)

    def __repr__(self) -> str:
        return f"<Signer {self.name} {self.verifier.key_id}>"

    @property
    def verifier(self) -> Verifier:
        """The public key."""
        return Verifier(self.name, self._key.public_key().public_bytes_raw())

    def sign(self, message: bytes) -> bytes:
        """64 bytes."""
        return self._key.sign(message)


@dataclass(frozen=True, slots=True)
class Verifier:
    """A public key and whose it is."""

    name: str
    public: bytes

    @classmethod
    def parse(cls, name: str, text: str) -> Verifier:
        """From `ed25519:` and base64.

        Raises:
            ConfigurationError: It is not that.
        """
        try:
            public = base64.b64decode(text.removeprefix(_PREFIX), validate=True) if text.startswith(_PREFIX) else b""
        except ValueError:
            public = b""
        if len(public) != PUBLIC_BYTES:
            raise ConfigurationError(
                f"{name}: not a public signing key", hint="it is written ed25519: and 44 characters"
            )
        return cls(check_name(name), public)

    @property
    def text(self) -> str:
        """As `parse` takes it."""
        return _PREFIX + base64.b64encode(self.public).decode("ascii")

    @property
    def key_id(self) -> str:
        """The first 16 hexadecimal digits of the key's SHA-256."""
        return hashlib.sha256(self.public).hexdigest()[:16]

    def check(self, message: bytes, signature: bytes) -> None:
        """Raise unless this key signed the message.

        Raises:
            IntegrityError: It did not.
        """
        try:
            Ed25519PublicKey.from_public_bytes(self.public).verify(signature, message)
        except (InvalidSignature, ValueError):
            raise IntegrityError(
                f"the signature of {self.name} does not fit what it is on", hint="ask for it again from its sender"
            ) from None


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Signature(_Model):
    """One signature of an envelope; `signature` is base64."""

    name: str
    key_id: str
    signature: str


class Envelope(_Model):
    """A payload as it was signed.

    Attributes:
        payload_type: What it is, for example `linkage-question/1`.
        payload: Its bytes, base64.
        signatures: By whom; anybody may add one.
    """

    payload_type: str
    payload: str
    signatures: tuple[Signature, ...]

    @property
    def content(self) -> bytes:
        """The payload's bytes, whoever signed them."""
        return _bytes(self.payload)

    @property
    def digest(self) -> str:
        """SHA-256 of what is signed, hexadecimal: the same for all signatures on it."""
        return hashlib.sha256(_encoded(self.payload_type, self.content)).hexdigest()


def canonical(value: BaseModel | Mapping[str, Any]) -> bytes:
    """JSON with sorted keys, no spaces and no fractions, UTF-8: one value has one form.

    Raises:
        ValueError: There is a fraction in it, which has several forms.
    """
    said = value.model_dump(mode="json") if isinstance(value, BaseModel) else dict(value)
    _refuse_fractions(said)
    return json.dumps(said, sort_keys=True, separators=(",", ":"), ensure_ascii=False).encode()


def sign(payload_type: str, payload: bytes, signers: Iterable[Signer]) -> Envelope:
    """An envelope of a payload with the signatures of each."""
    message = _encoded(payload_type, payload)
    signatures = tuple(
        Signature(name=each.name, key_id=each.verifier.key_id, signature=_text(each.sign(message))) for each in signers
    )
    return Envelope(payload_type=payload_type, payload=_text(payload), signatures=signatures)


_Payload = TypeVar("_Payload", bound=BaseModel)


def opened(
    envelope: bytes, kind: type[_Payload], payload_type: str, known: Iterable[Verifier]
) -> tuple[_Payload, tuple[Verifier, ...]]:
    """The payload of an envelope, and who of those that are known signed it.

    Args:
        envelope: As it came.
        kind: What the payload is read as.
        payload_type: What it must be signed as.
        known: Whose signatures count; others are passed over.

    Raises:
        IntegrityError: It is no such envelope, nobody known signed it, or the signature of somebody known does not fit.
    """
    again = "ask for it again from its sender"
    try:
        read = Envelope.model_validate_json(envelope)
        payload = _bytes(read.payload)
        signed = [(each.name, each.key_id, _bytes(each.signature)) for each in read.signatures]
    except ValueError:
        raise IntegrityError("not a signed envelope, or a damaged one", hint=again) from None
    if read.payload_type != payload_type:
        raise IntegrityError(f"signed as something else than {payload_type}", hint=again)
    keys = {(each.name, each.key_id): each for each in known}
    found = []
    for name, key_id, signature in signed:
        verifier = keys.get((name, key_id))
        if verifier is not None:
            verifier.check(_encoded(payload_type, payload), signature)
            found.append(verifier)
    if not found:
        raise IntegrityError(
            "nobody who is known here signed this", hint="register the sender's public key, after checking it with them"
        )
    try:
        return kind.model_validate_json(payload), tuple(dict.fromkeys(found))
    except ValidationError:
        raise IntegrityError(f"not a {payload_type}, though it is signed as one", hint=again) from None


def _encoded(payload_type: str, payload: bytes) -> bytes:
    kind = payload_type.encode()
    return b" ".join([b"DSSEv1", str(len(kind)).encode(), kind, str(len(payload)).encode(), payload])


def _refuse_fractions(value: object) -> None:
    if isinstance(value, float):
        raise ValueError("a fraction has no canonical form")
    for each in value.values() if isinstance(value, dict) else value if isinstance(value, list | tuple) else ():
        _refuse_fractions(each)


def check_name(name: str) -> str:
    """A signer's name, which stands in lines of notes.

    Raises:
        ConfigurationError: It is empty, or has a space or a plus sign in it.
    """
    if not name or any(each.isspace() or each == "+" for each in name):
        raise ConfigurationError("a signer's name is one word without a plus sign", hint="for example QXX.key-holder")
    return name


def _text(value: bytes) -> str:
    return base64.b64encode(value).decode("ascii")


def _bytes(value: str) -> bytes:
    return base64.b64decode(value, validate=True)
