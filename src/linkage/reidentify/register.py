"""The register of people and practices: who may do what, and whose key opens what. The governance lead signs it.

Written as TOML, signed as an envelope, and taken under the lead's key alone, which the configuration pins:

    serial = 3                      # one more with each version
    issued = 2026-11-01
    expires = 2027-04-30
    [[people]]
    name = "a.patel"
    key = "ed25519:…"
    roles = ["population health analyst"]
    [[practices]]
    code = "P81001"
    recipient = "age1…"             # or zip = true, for one without an age tool
"""

from __future__ import annotations

import tomllib
from collections.abc import Hashable, Iterable
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Literal, Self

import pyrage
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator

from linkage.errors import ConfigurationError, IntegrityError, LinkageError, PolicyError
from linkage.signed import Signer, Verifier, canonical, opened, sign

__all__ = ["APPROVER", "KEY_HOLDER", "Person", "Practice", "Register", "Registered", "read_register", "sign_register"]

APPROVER, KEY_HOLDER = "approver", "key holder"
_TYPE = "linkage-register/1"
_CODE = r"^[A-Z0-9]{3,12}$"


class _Model(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")


class Person(_Model):
    """Somebody with a signing key: one entry is one human being, which is the lead's to know."""

    name: str
    key: str
    roles: tuple[str, ...] = Field(min_length=1)

    @property
    def verifier(self) -> Verifier:
        """The public signing key."""
        return Verifier.parse(self.name, self.key)


class Practice(_Model):
    """A practice by its ODS code, and what its packages are encrypted to.

    Attributes:
        code: The ODS code.
        recipient: Its age public key.
        zip: Instead of one: it is sent AES-256 ZIP files, and their passphrases by another way.
    """

    code: str = Field(pattern=_CODE)
    recipient: str | None = None
    zip: bool = False

    @model_validator(mode="after")
    def _is_sent_one_kind(self) -> Self:
        if self.zip is (self.recipient is not None):
            raise ValueError("a practice has a recipient, or zip = true")
        return self


class Register(_Model):
    """What the lead signs."""

    format: Literal["linkage-register/1"] = "linkage-register/1"
    serial: int = Field(ge=1)
    issued: date
    expires: date
    people: tuple[Person, ...] = ()
    practices: tuple[Practice, ...] = ()


@dataclass(frozen=True, slots=True)
class Registered:
    """A register that was signed by the lead and stands today.

    Attributes:
        register: What it says.
        digest: SHA-256 of what was signed, hexadecimal.
    """

    register: Register
    digest: str

    @property
    def verifiers(self) -> tuple[Verifier, ...]:
        """Everybody's public signing keys."""
        return tuple(each.verifier for each in self.register.people)

    @property
    def recipients(self) -> dict[str, Practice]:
        """The practices that can be sent something, by ODS code."""
        return {each.code: each for each in self.register.practices}

    def person(self, verifier: Verifier) -> Person:
        """Whose key it is.

        Raises:
            PolicyError: Nobody's that is registered.
        """
        for each in self.register.people:
            if each.verifier == verifier:
                return each
        raise PolicyError(
            f"the key {verifier.key_id} of {verifier.name} is not in the register", hint="ask the governance lead"
        )

    def check_role(self, verifier: Verifier, role: str) -> None:
        """Raise unless the owner of a key has a role.

        Raises:
            PolicyError: They have not, or the key is nobody's.
        """
        if role not in self.person(verifier).roles:
            raise PolicyError(
                f"{verifier.name} is not registered as {role}",
                hint="ask the governance lead for the role, or another person",
            )


def sign_register(source: Path, signer: Signer) -> bytes:
    """The register in a TOML file, signed.

    Raises:
        ConfigurationError: It cannot be read, or two entries share a name, a key or a code.
    """
    try:
        said = tomllib.loads(source.read_text(encoding="utf-8"))
        register = Register.model_validate(said)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"]) or "the file"
        raise ConfigurationError(f"{source}: {key}: {first['msg']}", hint="correct it, then sign it again") from None
    except (OSError, ValueError):
        raise ConfigurationError(f"{source}: cannot be read as a register", hint="it is a TOML file") from None
    try:
        _check(register)
    except LinkageError as error:
        raise ConfigurationError(f"{source}: {error.message}", hint=error.hint) from None
    return sign(_TYPE, canonical(register), [signer]).model_dump_json(indent=1).encode()


def read_register(path: Path, lead: Verifier, today: date) -> Registered:
    """The register in a file, if the lead signed it and it stands today.

    Raises:
        PolicyError: It is missing, has expired or has not begun.
        IntegrityError: Somebody else signed it, or it was changed.
    """
    try:
        envelope = path.read_bytes()
    except OSError:
        raise PolicyError(f"{path}: the register is missing", hint="ask the governance lead for it") from None
    register, _ = opened(envelope, Register, _TYPE, [lead])
    _check(register)
    if register.expires < today or register.issued > today:
        words = f"expired on {register.expires}" if register.expires < today else f"begins only on {register.issued}"
        raise PolicyError(f"{path}: the register {words}", hint="ask the governance lead for a new one")
    return Registered(register, sign(_TYPE, canonical(register), []).digest)


def _check(register: Register) -> None:
    """Nobody counts twice, and no practice opens another's package.

    Raises:
        IntegrityError: Two entries share what is one's own, or a key is none.
    """
    people, practices = register.people, register.practices
    try:
        keys = [each.verifier.public for each in people]
        # Written anew: one key can be written in capitals too.
        public = [
            str(pyrage.x25519.Recipient.from_str(each.recipient)) for each in practices if each.recipient is not None
        ]
    except (ConfigurationError, pyrage.RecipientError):
        raise IntegrityError(
            "the register holds a key that is none", hint="signing keys begin with ed25519:, practices' with age1"
        ) from None
    _differ("two people have one name", (each.name for each in people))
    _differ("two people have one signing key", keys)
    _differ("a practice is in it twice", (each.code for each in practices))
    _differ("two practices have one key", public)


def _differ(words: str, values: Iterable[Hashable]) -> None:
    found = list(values)
    if len(set(found)) != len(found):
        raise IntegrityError(f"the register cannot be right: {words}", hint="ask the governance lead to correct it")
