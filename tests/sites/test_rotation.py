"""One site's key or the ICS's own is replaced, and nothing of another domain changes."""

from __future__ import annotations

import polars as pl
from federation import Federation, command
from small import ALLOWED

from linkage.pseudonymise import Keyset
from linkage.pseudonymise.key_versions import KeysetFile


def _file(linked: Federation) -> KeysetFile:
    return KeysetFile("age://keys.age", base=linked.hub)


def _person(linked: Federation) -> bytes:
    [(token,)] = linked.query("SELECT token FROM person")
    return bytes(token.bytes)


def test_the_ics_moves_to_another_key_and_its_sites_stay(linked: Federation) -> None:
    """What was taken of the sites is translated anew; no site does anything."""
    before, new = _person(linked), _file(linked).rotate()
    _file(linked).choose("ics:test", new)
    assert linked.translate().code == 0
    assert linked.link().code == 0
    assert linked.account().snapshot.key_id == new
    assert _person(linked) != before
    expected = linked.keyset.pseudonymiser("ics:test").tokenise(pl.Series([ALLOWED]))[0][0]
    assert _person(linked) == expected
    assert linked.query("SELECT count(*) FROM sus_op_appointment") == [(8,)]


def test_a_site_rotates_alone(linked: Federation) -> None:
    """It signs as before and reads its own roster; the other site and the published people keep their tokens."""
    before, site = _person(linked), linked.sites["RR8"].folder
    signs = Keyset.open("age://site.age", base=site).signer().verifier
    _file(linked).choose("site:rr8", _file(linked).rotate())
    linked.keyset.create_for_site(site / "new.age", "RR8", "site:rr8")
    new = KeysetFile("age://site.age", base=site).renew(KeysetFile("age://new.age", base=site))
    assert Keyset.open("age://site.age", base=site).signer().verifier == signs
    packet = linked.send("RR8")
    refused = linked.receive(packet)
    assert (refused.code, "another key version" in refused.text) == (6, True)
    linked.registered(RR8={"key_id": new})
    for step in (linked.receive(packet), linked.translate(), linked.link()):
        assert step.code == 0, step.text
    assert _person(linked) == before
    assert linked.query("SELECT count(*) FROM sus_op_appointment") == [(8,)]
    assert command("hub", "sites", linked.configuration).code == 0
