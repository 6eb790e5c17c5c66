"""The token format, version 1, in plain Python: the referee that every faster form must agree with.

A person token is the SIV mode of Rogaway and Shrimpton (2006) over HMAC-SHA-256: 92 bits of a code over
the ten digits, which is the nonce and the tag in one, and the first nine digits encrypted under it in 30
bits. It fills the 122 free bits of a UUID of version 8 (RFC 9562). A record token is 122 bits of a code
over a namespace and a value, and does not lead back.

Only the standard library's `hmac` and the HKDF (RFC 5869) of `cryptography` are used. Whoever holds a
domain's `Subkeys` can make and reverse every token of that domain.
"""

from __future__ import annotations

import hmac
import re
from dataclasses import dataclass, field

from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF

from linkage.errors import ConfigurationError
from linkage.handles import SecretHandle
from linkage.nhs_number import check_digit

__all__ = [
    "ROOT_BYTES",
    "TOKEN_BYTES",
    "Subkeys",
    "TokenRefused",
    "check_domain",
    "check_namespace",
    "derive",
    "key_id",
    "person_token",
    "record_token",
    "reverse_person",
    "translate_record",
]

ROOT_BYTES = 32
SUBKEY_BYTES = 32
TOKEN_BYTES = 16

_MASK_HI = 0xFFFF_FFFF_FFFF_0FFF
_MASK_LO = 0x3FFF_FFFF_FFFF_FFFF
_MASK_30 = (1 << 30) - 1


class TokenRefused(ValueError):
    """A token that was not made with these keys. Which check failed is never told."""

    def __init__(self) -> None:
        super().__init__("refused")


@dataclass(frozen=True, slots=True, eq=False)
class Subkeys(SecretHandle):
    """The keys of one domain, 32 bytes each. Equality is identity, so no comparison takes variable time.

    Raises:
        ValueError: when one is not 32 bytes.
    """

    domain: str
    person_mac: bytes = field(repr=False)
    person_enc: bytes = field(repr=False)
    record_mac: bytes = field(repr=False)

    def __post_init__(self) -> None:
        if any(len(key) != SUBKEY_BYTES for key in (self.person_mac, self.person_enc, self.record_mac)):
            raise ValueError("a subkey is 32 bytes")


def check_domain(domain: str) -> None:
    """Raise ConfigurationError unless a domain is 1 to 128 characters of `[a-z0-9._:/-]`."""
    if not re.fullmatch(r"[a-z0-9._:/-]{1,128}", domain):
        raise ConfigurationError(
            "a token domain is 1 to 128 characters of a-z, 0-9 and . _ : / -",
            hint='name it like "ics:qxx", "site:rr8" or "study:frailty-2026"',
        )


def check_namespace(namespace: str) -> None:
    """Raise ConfigurationError unless a record namespace is one or more of `[a-z0-9_.]`."""
    if not re.fullmatch(r"[a-z0-9_.]+", namespace):
        raise ConfigurationError(
            "a record namespace is one or more characters of a-z, 0-9, _ and .",
            hint='name what the identifier stands for, like "sus_apc.spell_id"',
        )


def key_id(root: bytes) -> str:
    """Return the id of a root secret: 16 hexadecimal digits that are safe to show.

    Raises:
        ValueError: when the root is not 32 bytes.
    """
    return _from_root(root, "linkage/v1/key-id", 8).hex()


def derive(root: bytes, domain: str) -> Subkeys:
    """Derive the subkeys of a domain from a root secret of 32 uniformly random bytes.

    Raises:
        ConfigurationError: when the domain's name cannot be used.
        ValueError: when the root is not 32 bytes.
    """
    check_domain(domain)
    labels = ("person-mac", "person-enc", "record-mac")
    return Subkeys(domain, *(_from_root(root, f"linkage/v1/{label}/{domain}", SUBKEY_BYTES) for label in labels))


def person_token(subkeys: Subkeys, digits: str) -> bytes:
    """Return the 16-byte token of a valid NHS number, given as ten ASCII digits.

    Raises:
        ValueError: when these are not ten digits with their check digit.
    """
    if len(digits) != 10 or str(check_digit(digits[:9])) != digits[9]:
        raise ValueError("a person token is made from a valid NHS number of ten digits")
    hi, s = _synthetic_iv(subkeys, digits)
    lo = 1 << 63 | s << 30 | (_keystream(subkeys, hi, s) ^ int(digits[:9]))
    return _pack(hi, lo)


def reverse_person(subkeys: Subkeys, token: bytes) -> str:
    """Return the ten digits behind a person token.

    Raises:
        TokenRefused: when the token was not made by `person_token` with these subkeys.
    """
    if not _has_form(token):
        raise TokenRefused
    hi, lo = int.from_bytes(token[:8]), int.from_bytes(token[8:])
    s = lo >> 30 & 0xFFFF_FFFF
    n = _keystream(subkeys, hi, s) ^ (lo & _MASK_30)
    tenth = check_digit(f"{n:09d}") if n < 10**9 else None
    if tenth is None:
        raise TokenRefused
    digits = f"{n:09d}{tenth}"
    expected_hi, expected_s = _synthetic_iv(subkeys, digits)
    if not hmac.compare_digest(_pack(expected_hi, expected_s), _pack(hi, s)):
        raise TokenRefused
    return digits


def record_token(subkeys: Subkeys, namespace: str, value: str) -> bytes:
    """Return the 16-byte one-way token of an identifier that is not an NHS number.

    Raises:
        ConfigurationError: when the namespace's name cannot be used.
        UnicodeError: when the value is not valid Unicode; the message does not hold it.
    """
    check_namespace(namespace)
    if any("\ud800" <= character <= "\udfff" for character in value):
        raise UnicodeError("an identifier holds half a surrogate pair")
    return _stamp(_hmac(subkeys.record_mac, namespace.encode() + b"\0" + value.encode()))


def translate_record(target_subkeys: Subkeys, source_domain: str, token: bytes) -> bytes:
    """Return a record token of another domain for the same identifier, without knowing it.

    The result differs from the token made from the identifier in the target domain.

    Raises:
        ConfigurationError: when the source domain's name cannot be used.
        TokenRefused: when the token does not have the form of one.
    """
    check_domain(source_domain)
    if not _has_form(token):
        raise TokenRefused
    return _stamp(_hmac(target_subkeys.record_mac, b"@" + source_domain.encode() + b"\0" + token))


def _from_root(root: bytes, info: str, length: int) -> bytes:
    if len(root) != ROOT_BYTES:
        raise ValueError("a root secret is 32 bytes")
    return _hkdf(root, b"linkage", info.encode(), length)


def _hkdf(secret: bytes, salt: bytes, info: bytes, length: int) -> bytes:
    return HKDF(algorithm=SHA256(), length=length, salt=salt, info=info).derive(secret)


def _hmac(key: bytes, message: bytes) -> bytes:
    return hmac.digest(key, message, "sha256")


def _synthetic_iv(subkeys: Subkeys, digits: str) -> tuple[int, int]:
    """Return the 92 bits that identify a number: 64 with the version put in, and 32."""
    t = _hmac(subkeys.person_mac, digits.encode())
    return int.from_bytes(t[:8]) & _MASK_HI | 0x8000, int.from_bytes(t[8:12])


def _keystream(subkeys: Subkeys, hi: int, s: int) -> int:
    return int.from_bytes(_hmac(subkeys.person_enc, hi.to_bytes(8) + s.to_bytes(4))[:4]) >> 2


def _stamp(code: bytes) -> bytes:
    hi, lo = int.from_bytes(code[:8]), int.from_bytes(code[8:16])
    return _pack(hi & _MASK_HI | 0x8000, lo & _MASK_LO | 1 << 63)


def _has_form(token: bytes) -> bool:
    return len(token) == TOKEN_BYTES and token[6] >> 4 == 8 and token[8] >> 6 == 2


def _pack(hi: int, lo: int) -> bytes:
    return hi.to_bytes(8) + lo.to_bytes(8)
