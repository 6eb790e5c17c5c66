"""The referee against the published values, against other implementations and against forgers."""

from __future__ import annotations

import hashlib
import hmac
import shutil
import subprocess
from uuid import UUID

import pytest
from cryptography.hazmat.primitives.hashes import SHA256
from cryptography.hazmat.primitives.kdf.hkdf import HKDF
from hypothesis import assume, given
from hypothesis import strategies as st

from linkage.errors import ConfigurationError
from linkage.nhs_number import check_digit
from linkage.pseudonymise import token
from linkage.pseudonymise.plain import _hmac_each, _keyed
from linkage.pseudonymise.token import TokenRefused, person_token, record_token, reverse_person

ROOT = bytes(range(32))
DEMO = token.derive(ROOT, "ics:demo")
SITE = token.derive(ROOT, "site:rxx")
OTHER_KEY = token.derive(bytes(32), "ics:demo")

# RFC 4231, section 4, cases 1 to 4: key, data, HMAC-SHA-256. Later ones cut the result or have longer keys.
RFC_4231 = [
    (b"\x0b" * 20, b"Hi There", "b0344c61d8db38535ca8afceaf0bf12b881dc200c9833da726e9376c2e32cff7"),
    (
        b"Jefe",
        b"what do ya want for nothing?",
        "5bdcc146bf60754e6a042426089575c75a003f089d2739839dec58b964ec3843",
    ),
    (b"\xaa" * 20, b"\xdd" * 50, "773ea91e36800e46854db8ebd09181a72959098b3ef8c122d9635514ced565fe"),
    (
        bytes(range(1, 26)),
        b"\xcd" * 50,
        "82558a389a443c0ea4cc819899f2083a85f0faa3e578f8077a2e3ff46729665b",
    ),
]


def numbers() -> st.SearchStrategy[str]:
    """Valid NHS numbers as ten digits, in every range."""
    return (
        st.integers(0, 10**9 - 1)
        .map(lambda n: (f"{n:09d}", check_digit(f"{n:09d}")))
        .filter(lambda pair: pair[1] is not None)
        .map(lambda pair: f"{pair[0]}{pair[1]}")
    )


@pytest.mark.parametrize(
    ("subkeys", "digits", "expected"),
    [
        (DEMO, "9434765919", "67773098-193b-81d0-83c6-01a4bf818148"),
        (DEMO, "4000000632", "c5149af5-3249-86b9-a5e3-c2df2e5dbaad"),
        (DEMO, "0101011113", "9943bb88-055c-89f5-be99-f2fdbb380072"),
        (SITE, "9434765919", "d737f013-fa4e-8adf-bb39-22c5a20c4b58"),
        (SITE, "3462950622", "bd4ccf90-5277-8965-ac55-92e57680a044"),
    ],
)
def test_published_person_tokens(subkeys: token.Subkeys, digits: str, expected: str) -> None:
    """There and back."""
    assert UUID(bytes=person_token(subkeys, digits)) == UUID(expected)
    assert reverse_person(subkeys, UUID(expected).bytes) == digits


def test_published_record_tokens() -> None:
    """In one domain, with an organisation in front, and translated."""
    at_site = UUID("8cf15a01-559b-8cb9-ba08-420b14f037fe").bytes
    translated = UUID("444e1ab6-8a5f-82ce-843a-0335484a2293").bytes
    made = UUID("729465f6-efe1-8d99-80d5-3d189e7592de").bytes
    assert record_token(DEMO, "sus_apc.spell_id", "A123") == made
    assert record_token(SITE, "sus_apc.spell_id", "RXX\x1fA123") == at_site
    assert token.translate_record(DEMO, "site:rxx", at_site) == translated


def test_published_keys() -> None:
    """The key id and the three subkeys of one domain."""
    assert token.key_id(ROOT) == "f9406c43e5b8e268"
    assert DEMO.person_mac.hex() == "6047171b346ae69170f8d04c1a7486fd292d33e5b6ce463bac4cba5ed3098abb"
    assert DEMO.person_enc.hex() == "0622f6d50a7e09693c7dc6dc150cc7d29e0711e6d03bdc01ebbd65bfa92fda68"
    assert DEMO.record_mac.hex() == "2001788683586d01b729d9099571ee721f441b73dcaa08c01f8fd483125a18b0"


@pytest.mark.parametrize(("key", "data", "expected"), RFC_4231)
def test_both_hmacs_give_the_values_of_rfc_4231(key: bytes, data: bytes, expected: str) -> None:
    """The referee's, and the one with cached states."""
    assert token._hmac(key, data).hex() == expected
    assert _hmac_each(_keyed(key), [data]).tobytes().hex() == expected


def test_hkdf_gives_the_values_of_rfc_5869() -> None:
    """Appendix A.1, through the class the derivation uses, and ours against its definition."""
    salt, info = bytes(range(13)), bytes(range(0xF0, 0xFA))
    derived = HKDF(algorithm=SHA256(), length=42, salt=salt, info=info).derive(b"\x0b" * 22)
    assert derived.hex() == ("3cb25f25faacd57a90434f64d0362f2a2d2d0a90cf1a5a4c5db02d56ecc4c5bf34007208d5b887185865")
    extracted = hmac.digest(b"linkage", ROOT, "sha256")
    expanded = hmac.digest(extracted, b"linkage/v1/person-mac/ics:demo\x01", "sha256")
    assert expanded == DEMO.person_mac


@pytest.mark.skipif(shutil.which("openssl") is None, reason="openssl is not installed")
def test_openssl_computes_the_same_bits() -> None:
    """The check that the format's description gives to those without this library."""
    command = ["openssl", "dgst", "-sha256", "-mac", "HMAC", "-macopt", f"hexkey:{DEMO.person_mac.hex()}"]
    done = subprocess.run(command, input=b"9434765919", capture_output=True, check=True)
    t = bytes.fromhex(done.stdout.decode().split()[-1])
    made = UUID(bytes=person_token(DEMO, "9434765919"))
    assert t == hmac.new(DEMO.person_mac, b"9434765919", hashlib.sha256).digest()
    assert int.from_bytes(t[:8]) & ~0xF000 | 0x8000 == made.int >> 64
    assert int.from_bytes(t[8:12]) == made.int >> 30 & 0xFFFF_FFFF


@given(numbers())
def test_a_person_token_is_a_uuid_that_leads_back(digits: str) -> None:
    """Version 8, variant of RFC 9562, the same each time."""
    made = person_token(DEMO, digits)
    assert (UUID(bytes=made).version, UUID(bytes=made).variant) == (8, "specified in RFC 4122")
    assert made == person_token(DEMO, digits)
    assert reverse_person(DEMO, made) == digits


@given(numbers(), numbers())
def test_two_numbers_have_two_tokens(one: str, two: str) -> None:
    """In one domain; one number has two in two domains."""
    assume(one != two)
    assert person_token(DEMO, one) != person_token(DEMO, two)
    assert person_token(DEMO, one) != person_token(SITE, one)


@given(numbers(), st.integers(0, 127))
def test_a_token_with_one_bit_changed_is_refused(digits: str, bit: int) -> None:
    """Every bit is authenticated or fixed."""
    forged = (int.from_bytes(person_token(DEMO, digits)) ^ 1 << bit).to_bytes(16)
    with pytest.raises(TokenRefused, match=r"^refused$"):
        reverse_person(DEMO, forged)


@given(st.binary(max_size=20), numbers())
def test_foreign_tokens_are_refused(noise: bytes, digits: str) -> None:
    """Anything made elsewhere: noise, another domain, another key, a record token."""
    well_formed = (int.from_bytes(noise[:16]) & ~(0xF << 76) & ~(3 << 62) | 8 << 76 | 2 << 62).to_bytes(16)
    foreign = [noise, well_formed, person_token(SITE, digits), person_token(OTHER_KEY, digits)]
    for each in [*foreign, record_token(DEMO, "person", digits)]:
        with pytest.raises(TokenRefused):
            reverse_person(DEMO, each)


def test_a_person_token_needs_ten_digits_that_pass_the_check() -> None:
    """Anything else is an error that does not repeat it."""
    for wrong in ("9434765918", "943476591", "94347659190", "943476591x"):
        with pytest.raises(ValueError, match="digits") as caught:
            person_token(DEMO, wrong)
        assert wrong not in str(caught.value)


@given(st.text(st.characters(exclude_categories=["Cs"])), st.text(st.characters(exclude_categories=["Cs"])))
def test_record_tokens_separate_values_and_namespaces(one: str, two: str) -> None:
    """Equal only for the same value under the same name; always a UUID of version 8."""
    made = record_token(DEMO, "a", one)
    assert UUID(bytes=made).version == 8
    assert (made == record_token(DEMO, "a", two)) == (one == two)
    assert made != record_token(DEMO, "a.b", one)
    assert token.translate_record(SITE, "ics:demo", made) != record_token(SITE, "a", one)


def test_names_that_cannot_be_used_are_refused() -> None:
    """Domains and namespaces keep to their alphabets, to the last character."""
    for domain in ("", "ICS:qxx", "ics qxx", "ics:qxx\n", "é", "x" * 129):
        with pytest.raises(ConfigurationError):
            token.derive(ROOT, domain)
    token.check_domain("x" * 128)
    for namespace in ("", "A", "a-b", "a\n", "@a", "a\0b"):
        with pytest.raises(ConfigurationError):
            record_token(DEMO, namespace, "1")
    with pytest.raises(ConfigurationError):
        token.translate_record(DEMO, "SITE", record_token(DEMO, "a", "1"))
    with pytest.raises(TokenRefused):
        token.translate_record(DEMO, "site:rxx", b"\0" * 16)


def test_wrong_keys_and_text_are_refused_without_repeating_them() -> None:
    """A root has 32 bytes; text must be Unicode."""
    for root in (b"", b"k" * 31, b"k" * 33):
        with pytest.raises(ValueError, match="32 bytes"):
            token.derive(root, "ics:demo")
        with pytest.raises(ValueError, match="32 bytes"):
            token.key_id(root)
    with pytest.raises(UnicodeError) as caught:
        record_token(DEMO, "a", "secret\ud800")
    assert "secret" not in repr(caught.value)
