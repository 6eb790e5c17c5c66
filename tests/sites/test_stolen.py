"""What a thief has of a site's bundle, its keyset and a packet, tried against what is published."""

from __future__ import annotations

from pathlib import Path

import polars as pl
import pytest
from federation import Federation
from small import ALLOWED, NUMBERS

from linkage import contract
from linkage.bundle import BundleManifest
from linkage.config import load
from linkage.errors import ConfigurationError, LinkageError
from linkage.federate import pack
from linkage.federate.packet import read_packet
from linkage.pseudonymise import Keyset
from linkage.pseudonymise.minimise import Minimiser, outputs
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.sites.register import columns


def _published(linked: Federation) -> pl.DataFrame:
    current = (linked.hub / "store" / "current").read_text().strip()
    files = (linked.hub / "store" / "snapshots" / current / "sus_op_appointment").rglob("*.parquet")
    return pl.concat(pl.read_parquet(path, hive_partitioning=False) for path in files)


def _bundle(linked: Federation, site: str) -> pl.DataFrame:
    [part] = (linked.sites[site].folder / "private" / "held").glob("*/bundle/sus_op/appointment/*.parquet")
    return pl.read_parquet(part)


def test_no_token_of_a_bundle_is_published(linked: Federation) -> None:
    """Neither of persons nor of records, in whatever column."""
    bundle, published = _bundle(linked, "RR8"), _published(linked)
    tokens = [name for name in bundle.columns if bundle[name].dtype == pl.Binary]
    assert len(tokens) > 2
    stolen = {each for name in tokens for each in bundle[name].drop_nulls()}
    there = {each for name in tokens for each in published[name].drop_nulls()}
    assert len(stolen) > 8
    assert len(there) > 16
    assert not stolen & there


def test_a_stolen_site_keyset_makes_and_reverses_nothing_that_is_published(linked: Federation) -> None:
    """Trying every number gives tokens of the site's domain alone; the way back refuses, and the ICS's domain too."""
    stolen = KeyHolderKeyset.open("age://site.age", base=linked.sites["RR8"].folder)
    there = _published(linked)["token"]
    made = stolen.pseudonymiser("site:rr8").tokenise(pl.Series([each for each in NUMBERS if len(each) == 10]))[0]
    assert made.drop_nulls().len() > 3
    assert not set(made.drop_nulls()) & set(there)
    assert stolen.reverser("site:rr8").reverse(there)[0].null_count() == len(there)
    assert stolen.reverser("site:rr8").reverse(_bundle(linked, "RR8")["token"])[0].to_list() == [ALLOWED] * 4
    assert stolen.reverser("site:rr8").reverse(_bundle(linked, "RXX")["token"])[0].null_count() == 4
    for domain in ("ics:test", "site:rxx"):
        with pytest.raises(ConfigurationError):
            stolen.pseudonymiser(domain)


def test_a_stolen_site_keyset_opens_no_packet_and_signs_for_no_other(linked: Federation) -> None:
    """What is sealed opens for the key holder alone; a packet in another's name is refused."""
    site, other = linked.sites["RR8"], linked.sites["RXX"]
    stolen = Keyset.open("age://site.age", base=site.folder)
    [sealed] = (site.folder / "out").rglob("*.age")
    with pytest.raises(LinkageError):
        stolen.unseal(sealed.read_bytes())
    own = Keyset.open("age://site.age", base=other.folder)
    packet, _, digest = read_packet(other.folder / "out" / "RXX-000001", [own.signer().verifier])
    forged = packet.model_copy(update={"sequence": 2, "previous": digest, "sealed": {}})
    [bundle] = (other.folder / "private" / "held").glob("*/bundle")
    recipients = load(site.configuration).site.recipients  # type: ignore[union-attr]
    pack(bundle, forged, linked.folder / "forged", stolen.signer(), recipients)
    said = linked.receive(linked.folder / "forged")
    assert (said.code, "did not sign it" in said.text) == (6, True)


def test_a_site_cannot_hand_over_the_tokens_of_another(linked: Federation) -> None:
    """A thief who has two bundles and one keyset: the rows are not of the site's key."""
    site, other = linked.sites["RR8"], linked.sites["RXX"]
    stolen = Keyset.open("age://site.age", base=site.folder)
    packet, _, digest = read_packet(site.folder / "out" / "RR8-000001", [stolen.signer().verifier])
    [bundle] = (other.folder / "private" / "held").glob("*/bundle")
    manifest = BundleManifest.model_validate_json((bundle / "manifest.json").read_bytes())
    manifest = manifest.model_copy(update={"domain": "site:rr8"})
    forged = packet.model_copy(update={"sequence": 2, "previous": digest, "sealed": {}, "bundle": manifest})
    recipients = load(site.configuration).site.recipients  # type: ignore[union-attr]
    pack(bundle, forged, linked.folder / "forged", stolen.signer(), recipients)
    assert linked.receive(linked.folder / "forged").code == 0
    said = linked.translate()
    assert (said.code, "not of the site's domain and key" in said.text) == (6, True)


def test_the_register_knows_every_column_that_a_contract_lets_leave(tmp_path: Path) -> None:
    """As the site half makes them, however far people are described; and what each holds."""
    areas = pl.DataFrame(
        schema={"_postcode": pl.String, "lsoa_2011": pl.String, "lsoa_2021": pl.String, "imd_decile": pl.Int8}
    )
    Keyset.create(tmp_path / "x.age")
    makes = Keyset.open("age://x.age", base=tmp_path).pseudonymiser("ics:x")
    seen = 0
    for name in contract.shipped():
        feed = contract.load(name)
        for table in feed.handed_over().values():
            known = columns(table)
            for minimiser in (Minimiser("month", areas), Minimiser("year", None)):
                for field in [each.field for each in outputs(feed, table, minimiser, makes)]:
                    token = "person" if field.role == "person" else "record"
                    holds = token if field.type == "UUID" else "code" if field.role == "code" else "value"
                    assert known.get(field.name) == holds, (name, field.name)
                    seen += 1
    assert seen > 1000
