"""Envelopes: what is signed, as what and by whom."""

from __future__ import annotations

import base64
import copy
import pickle

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import BaseModel

from linkage.errors import ConfigurationError, IntegrityError
from linkage.signed import Signer, Verifier, canonical, opened, sign

ONE, TWO = Signer("QXX.key-holder", bytes(32)), Signer("QYY.lead", bytes([1]) * 32)
KIND = "linkage-test/1"


class Word(BaseModel):
    """A payload."""

    word: str


def _envelope(*signers: Signer, kind: str = KIND) -> bytes:
    return sign(kind, canonical(Word(word="yes")), signers).model_dump_json().encode()


def test_the_encoding_is_that_of_the_specification() -> None:
    """DSSE's own example of what is signed, and the signature of a key that RFC 8032 publishes."""
    from linkage.signed import _encoded

    assert (
        _encoded("http://example.com/HelloWorld", b"hello world")
        == b"DSSEv1 29 http://example.com/HelloWorld 11 hello world"
    )
    seed = bytes.fromhex("9d61b19deffd5a60ba844af492ec2cc44449c5697b326919703bac031cae7f60")
    signer = Signer("rfc8032", seed)
    assert signer.verifier.public.hex() == "d75a980182b10ab7d54bfed3c964073a0ee172f3daa62325af021a68f707511a"
    assert signer.sign(b"").hex().startswith("e5564300c360ac729086e2cc806e828a84877f1eb8e5d974d873e06522490155")


def test_an_envelope_opens_for_whoever_knows_a_signer() -> None:
    """Signatures of others are passed over, and it is said who signed."""
    found, by = opened(_envelope(ONE, TWO), Word, KIND, [TWO.verifier])
    assert (found.word, by) == ("yes", (TWO.verifier,))
    assert opened(_envelope(ONE, TWO, ONE), Word, KIND, [ONE.verifier, TWO.verifier])[1] == (ONE.verifier, TWO.verifier)


@pytest.mark.parametrize(
    ("envelope", "message"),
    [
        (b"", "not a signed envelope"),
        (b"{}", "not a signed envelope"),
        (_envelope(), "nobody who is known"),
        (_envelope(TWO), "nobody who is known"),
        (_envelope(ONE, kind="linkage-other/1"), "signed as something else"),
        (_envelope(Signer("QXX.key-holder", bytes([7]) * 32)), "nobody who is known"),
        (_envelope(ONE).replace(KIND.encode(), b"linkage-test/2"), "signed as something else"),
        (
            _envelope(ONE).replace(base64.b64encode(b'{"word":"yes"}'), base64.b64encode(b'{"word":"no!"}')),
            "does not fit",
        ),
    ],
)
def test_what_was_not_signed_so_is_refused(envelope: bytes, message: str) -> None:
    """Before a word of it is read."""
    with pytest.raises(IntegrityError, match=message):
        opened(envelope, Word, KIND, [ONE.verifier])


def test_a_known_signer_whose_signature_does_not_fit_is_not_passed_over() -> None:
    """Beside a good signature as well: somebody tried."""
    good = sign(KIND, canonical(Word(word="yes")), [ONE, TWO])
    bad = good.model_copy(
        update={
            "signatures": (
                good.signatures[0],
                good.signatures[1].model_copy(update={"signature": good.signatures[0].signature}),
            )
        }
    )
    with pytest.raises(IntegrityError, match="does not fit"):
        opened(bad.model_dump_json().encode(), Word, KIND, [ONE.verifier, TWO.verifier])


@given(st.integers(0, 400), st.binary(min_size=1, max_size=1))
def test_no_changed_byte_goes_unseen(place: int, byte: bytes) -> None:
    """It is refused, or the same is read from it."""
    whole = _envelope(ONE)
    changed = whole[: place % len(whole)] + byte + whole[place % len(whole) + 1 :]
    try:
        found, by = opened(changed, Word, KIND, [ONE.verifier])
    except IntegrityError:
        return
    assert (found.word, by) == ("yes", (ONE.verifier,))


def test_one_value_has_one_form() -> None:
    """Whatever the order it was written in."""
    assert canonical({"b": [1, "é"], "a": None}) == '{"a":null,"b":[1,"é"]}'.encode()
    with pytest.raises(ValueError, match="fraction"):
        canonical({"a": [{"b": 0.5}]})


def test_a_signer_does_not_show_its_key() -> None:
    """Nor let itself be carried away."""
    assert repr(ONE) == f"<Signer QXX.key-holder {ONE.verifier.key_id}>"
    for carry in (pickle.dumps, copy.copy, copy.deepcopy):
        with pytest.raises(TypeError):
            carry(ONE)


@pytest.mark.parametrize(
    "text", ["", "ed25519:", "ed25519:AAAA", base64.b64encode(bytes(32)).decode(), "ed25519:" + "!" * 44]
)
def test_what_is_no_key_is_refused(text: str) -> None:
    """And a name that would break a note's lines."""
    with pytest.raises(ConfigurationError):
        Verifier.parse("QXX", text)
    with pytest.raises(ConfigurationError):
        Verifier.parse("two words", ONE.verifier.text)
    assert Verifier.parse("QXX.key-holder", ONE.verifier.text) == ONE.verifier
