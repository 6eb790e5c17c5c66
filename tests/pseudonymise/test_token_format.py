"""The referee against the published values, against other implementations and against forgers."""

from __future__ import annotations

import hashlib
import hmac
import shutil
import subprocess
from uuid import UUID

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from linkage.errors import ConfigurationError
from linkage.nhs_number import check_digit
from linkage.pseudonymise import token
from linkage.pseudonymise.token import TokenRefused, person_token, record_token, reverse_person

ROOT = bytes(range(32))
DEMO = token.derive(ROOT, "ics:demo")
SITE = token.derive(ROOT, "site:rxx")
OTHER_KEY = token.derive(bytes(32), "ics:demo")


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
        with pytest.raises(ValueError, match="32 bytes"):
            token.Subkeys("ics:demo", ROOT, root, ROOT)
    with pytest.raises(UnicodeError) as caught:
        record_token(DEMO, "a", "secret\ud800")
    assert "secret" not in repr(caught.value)
