"""From two sites' extracts to a published snapshot, by the commands, and every refusal on the way."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Any

import polars as pl
import pytest
from federation import Federation, ago, command
from small import ALLOWED, OPTED_OUT, row

from linkage.bundle import BundleManifest, digest
from linkage.config import load
from linkage.errors import PolicyError
from linkage.federate import Packet, pack
from linkage.federate.packet import read_packet
from linkage.nights.rollback import rollback
from linkage.pseudonymise import Keyset
from linkage.signed import Signer
from linkage.sites import sending
from linkage.sites.together import _path


@pytest.fixture
def two(tmp_path: Path) -> Federation:
    """A hub and two sites that have sent nothing yet."""
    return Federation.make(tmp_path, "RR8", "RXX")


def test_two_sites_become_one_snapshot(two: Federation) -> None:
    """One person whom both know has one token, that of the ICS; rows and people are accounted for by site."""
    said = two.whole_line("RR8", "RXX")
    expected = two.keyset.pseudonymiser("ics:test").tokenise(pl.Series([ALLOWED]))[0][0]
    [(token, rows)] = two.query("SELECT token, count(*) FROM sus_op_appointment GROUP BY token")
    assert token.bytes == expected
    assert rows == 8
    assert two.query("SELECT count(*) FROM person") == [(1,)]
    assert {(each.site, each.sequence, each.people, each.tables[0].read, each.tables[0].handed_over)
            for each in two.account().sites} == {("RR8", 1, 1, 10, 4), ("RXX", 1, 1, 10, 4)}  # fmt: skip
    assert "RXX, packet 1" in said.text
    assert two.account().registers[0].name.startswith("RR8: ")
    assert two.account().removed["national_opt_out"] == 2
    assert [each.site for each in two.account().snapshot.sites] == ["RR8", "RXX"]


def test_nothing_of_the_sites_tokens_is_kept(linked: Federation) -> None:
    """Neither with the translated parts, nor in the store, nor held for the next night; nor a number."""
    own = Keyset.open("age://site.age", base=linked.sites["RR8"].folder)
    foreign = own.pseudonymiser("site:rr8").tokenise(pl.Series([ALLOWED]))[0][0]
    held = linked.sites["RR8"].folder / "private" / "held"
    [part] = held.glob("*/bundle/sus_op/appointment/*.parquet")
    records = pl.read_parquet(part)["appointment"].to_list()
    searched = 0
    for path in linked.hub.rglob("*"):
        if path.suffix == ".parquet":
            frame = pl.read_parquet(path, hive_partitioning=False)
            values = {each for name in frame.columns if frame[name].dtype == pl.Binary for each in frame[name]}
            assert not values & {foreign, *records}, path
            assert "_file" not in frame.columns or ALLOWED not in str(frame.rows())
            searched += 1
    assert searched > 6


def test_a_second_night_sends_translates_and_links_only_what_is_new(linked: Federation) -> None:
    """And the same is published as when everything is linked anew."""
    linked.deliver("RR8", [row(50, ALLOWED, day=9)], "appointment_20261121.csv")
    came = linked.send("RR8")
    assert [path.name for path in came.rglob("*.age")] == ["part-00001.parquet.age"]
    assert linked.receive(came).code == 0
    assert "RR8: packet 2, 1 of 2 parts translated, 1 rows" in linked.translate().text
    assert linked.link().code == 0
    assert linked.account().full is None
    quick = linked.query("SELECT * FROM sus_op_appointment ORDER BY ALL")
    assert len(quick) == 9
    assert linked.link("--full").code == 0
    assert linked.account().full == "it was asked for"
    assert linked.query("SELECT * FROM sus_op_appointment ORDER BY ALL") == quick


def test_somebody_who_opts_out_at_one_site_leaves_its_rows(linked: Federation) -> None:
    """The site decides; the hub takes the new packet over the old one."""
    linked.sites["RR8"].answer.write_text(f"{OPTED_OUT},\n")
    linked.whole_line("RR8")
    assert linked.query("SELECT count(*) FROM sus_op_appointment") == [(5,)]


def test_a_revoked_site_leaves_the_next_snapshot(linked: Federation) -> None:
    """Its packets are refused, what was translated goes, and the account says since when and why."""
    later = linked.send("RR8")
    linked.registered(RR8={"revoked": date(2026, 1, 1), "why": "its laptop was stolen"})
    refused = linked.receive(later)
    assert (refused.code, "the site is revoked" in refused.text) == (4, True)
    said = linked.link()
    assert said.code == 0
    assert "nothing of RR8 is in it: revoked since 2026-01-01, its laptop was stolen" in said.text
    assert linked.query("SELECT count(*) FROM sus_op_appointment") == [(4,)]
    [gone, _] = linked.account().sites
    assert (gone.site, gone.sequence, gone.revoked, gone.why) == (
        "RR8",
        None,
        date(2026, 1, 1),
        "its laptop was stolen",
    )
    assert linked.translate().code == 0
    assert not (linked.hub / "private" / "translated" / "RR8").exists()
    assert "revoked since 2026-01-01" in command("hub", "sites", linked.configuration).text


def test_a_revocation_that_is_announced_counts_from_its_day(two: Federation) -> None:
    """Until then the site goes on."""
    two.registered(RR8={"revoked": date(2099, 1, 1), "why": "it closes"})
    two.whole_line("RR8")
    assert two.query("SELECT count(*) FROM sus_op_appointment") == [(4,)]


def test_going_back_to_rows_of_a_site_that_was_revoked_since_needs_a_document(two: Federation) -> None:
    """Its day came, and nothing else changed."""
    two.registered(RR8={"revoked": date(2099, 1, 1), "why": "it closes"})
    two.whole_line("RR8")
    first = two.account().snapshot.run_id
    assert two.link().code == 0
    with pytest.raises(PolicyError, match="rows of site RR8 are in it, which is revoked since 2099-01-01"):
        rollback(two.configuration, first, now=datetime(2099, 1, 2, tzinfo=UTC))


def _signature(came: Path) -> None:
    said = json.loads((came / "packet.json").read_text())
    said["signatures"][0]["signature"] = "A" * 86 + "=="
    (came / "packet.json").write_text(json.dumps(said))


def _part(came: Path) -> None:
    [path] = came.rglob("*.age")
    path.write_bytes(path.read_bytes()[:-1] + b"x")


HARMED: list[tuple[Callable[[Path], None], str]] = [(_signature, "does not fit"), (_part, "not what the site signed")]


@pytest.mark.parametrize(("harm", "words"), HARMED)
def test_a_packet_that_was_harmed_is_refused(two: Federation, harm: Callable[[Path], None], words: str) -> None:
    """Its signature or a digest."""
    came = two.send("RR8")
    harm(came)
    _refused(two, came, words, 6)


REGISTERED: list[tuple[dict[str, Any], str, int]] = [
    ({"domain": "site:other"}, "another domain", 6),
    ({"key_id": "0" * 16}, "another key version", 6),
    ({"feeds": ["ecds"]}, "not taken from the site", 2),
    ({"signs": "ed25519:" + "A" * 43 + "="}, "nobody who is known", 6),
]


@pytest.mark.parametrize(("change", "words", "code"), REGISTERED)
def test_a_packet_of_another_than_is_registered_is_refused(
    two: Federation, change: dict[str, Any], words: str, code: int
) -> None:
    """Domain, key version, feed, signer."""
    came = two.send("RR8")
    two.registered(RR8=change)
    _refused(two, came, words, code)


def test_a_packet_of_another_contract_is_refused(two: Federation) -> None:
    """The same feed by a contract that differs in one word."""
    shipped = Path(sending.__file__).parents[1] / "sources" / "feeds" / "sus_op.toml"
    (two.hub / "sus_op.toml").write_text(shipped.read_text().replace('name = "sus_op"', 'name = "sus_op" # ours'))
    came = two.send("RR8")
    two.registered(RR8={"feeds": ["sus_op.toml"]})
    _refused(two, came, "another contract", 2)


def test_old_packets_and_old_opt_outs_are_refused(two: Federation) -> None:
    """The site ran in time, and its packet came late."""
    site = two.sites["RR8"]
    site.answered(days_ago=9)
    stale = sending.run(site.configuration, now=ago(3)).packet
    assert stale is not None
    _refused(two, stale, "opt-out register that it was made by is too old", 4)
    site.answered(days_ago=12)
    old = sending.run(site.configuration, now=ago(8), again=sending.Again(everything=True, number=1)).packet
    assert old is not None
    _refused(two, old, "it was made 8 days ago", 4)


def test_gaps_replays_and_forks_are_refused_and_a_lost_packet_is_made_again(two: Federation) -> None:
    """The refusal names the number that is waited for, and the site makes that one whole."""
    first = two.send("RR8")
    assert two.receive(first).code == 0
    _refused(two, first, "taken already", 6)
    two.send("RR8")
    two.deliver("RR8", [row(60, ALLOWED, day=8)], "appointment_20261122.csv")
    third = two.send("RR8")
    _refused(two, third, "2, has not come; 2 is the next to take", 6)
    whole = two.send("RR8", "--everything", "--number", "2")
    assert whole.name == "RR8-000002"
    assert len(list(whole.rglob("*.age"))) == 2
    assert two.receive(whole).code == 0
    _refused(two, third, "follows another packet", 6)
    other = two.send("RR8", "--everything", "--number", "2")
    _refused(two, other, "another packet of that number", 6)
    assert two.translate().code == 0
    assert two.link().code == 0
    assert two.query("SELECT count(*) FROM sus_op_appointment") == [(5,)]


def test_a_site_that_lost_its_own_records_goes_on_where_the_hub_is(two: Federation) -> None:
    """`hub sites` says the number and the digest that the next packet follows."""
    assert two.receive(two.send("RR8")).code == 0
    assert two.receive(two.send("RR8")).code == 0
    site = two.sites["RR8"]
    shutil.rmtree(site.folder / "private")
    shutil.rmtree(site.folder / "out")
    _refused(two, two.send("RR8"), "another packet of that number", 6)
    line = command("hub", "sites", two.configuration).text.splitlines()[0]
    assert line.startswith("RR8: packet 2 of ")
    known = line.split("UTC, ")[1].split(":")[0]
    refused = command("site", "run", site.configuration, "--everything", "--number", "3")
    assert (refused.code, "packet 2 is not known here" in refused.text) == (2, True)
    assert two.receive(two.send("RR8", "--everything", "--number", "3", "--previous", known)).code == 0
    assert two.receive(two.send("RR8")).code == 0


def test_another_number_needs_everything(two: Federation) -> None:
    """Parts of a packet that was lost would be missing."""
    refused = command("site", "run", two.sites["RR8"].configuration, "--number", "1")
    assert (refused.code, "bring everything" in refused.text) == (2, True)


def test_packets_are_taken_in_whatever_order_they_are_named(two: Federation) -> None:
    """A mover of files has none."""
    one, later = two.send("RR8"), two.send("RR8")
    assert two.receive(later, two.send("RXX"), one).code == 0


def test_the_key_holder_looks_again_at_what_it_reads(two: Federation) -> None:
    """What was changed in the inbox after it was taken is seen; the other site is translated all the same."""
    assert two.receive(two.send("RR8"), two.send("RXX")).code == 0
    inbox = two.hub / "private" / "inbox" / "RR8" / "000001"
    [part] = inbox.rglob("*.age")
    good, signed = part.read_bytes(), (inbox / "packet.json").read_bytes()
    for harm, words in (
        (lambda: part.write_bytes(good[:-1] + b"x"), "was changed in the inbox"),
        (part.unlink, "is missing from the inbox"),
        (lambda: (inbox / "packet.json").write_bytes(signed.replace(b'"payload"', b'"Payload"')), "not a signed"),
        (lambda: inbox.rename(inbox.with_name("000002")), "a packet is missing"),
    ):
        harm()
        said = two.translate()
        assert said.code == 6
        assert words in said.text
        assert not (two.hub / "private" / "translated" / "RR8" / "translated.json").exists()
        inbox.with_name("000002").rename(inbox) if inbox.with_name("000002").exists() else None
        part.write_bytes(good)
        (inbox / "packet.json").write_bytes(signed)
    assert two.translated("RXX").sequence == 1
    two.registered(RR8={"domain": "site:other"})
    assert "another domain" in two.translate().text
    two.registered(RR8={"domain": "site:rr8"})
    assert two.translate().code == 0


def test_a_packet_for_somebody_else_is_not_translated(two: Federation) -> None:
    """The site sealed it to another key holder."""
    site = two.sites["RR8"]
    Keyset.create(two.folder / "other.age")
    other = command("hub", "recipient", _with_identity(two, "other.identity")).text.strip()
    [ours] = load(site.configuration).site.recipients  # type: ignore[union-attr]
    site.replace(ours, other)
    assert two.receive(two.send("RR8")).code == 0
    said = two.translate()
    assert (said.code, "is not sealed to this key holder" in said.text) == (6, True)


def _with_identity(two: Federation, name: str) -> Path:
    path = two.folder / "other.toml"
    path.write_text(two.configuration.read_text().replace("[hub]\n", f'[hub]\nidentity = "{name}"\n'))
    return path


FOREIGN = bytes([*[1] * 6, 0x80, 0, 0x80, *[0] * 7])  # the form of a token
LIES: list[tuple[str, Callable[[pl.DataFrame], pl.DataFrame], str]] = [
    ("tokens of another domain", lambda rows: rows.with_columns(pl.lit(FOREIGN).alias("token")), "not of the site's domain"),
    ("no tokens", lambda rows: rows.with_columns(pl.lit(b"9434765919").alias("appointment")), "not of the site's domain"),
    ("a column more", lambda rows: rows.with_columns(pl.lit("x").alias("surname")), "does not hold what the site says"),
    ("other rows", lambda rows: rows.head(1), "does not hold what the site says"),
    ("another place", lambda rows: rows.with_columns(pl.col("_file") + 1), "does not hold what the site says"),
    ("its places as text", lambda rows: rows.with_columns(pl.col("_file").cast(pl.String)), "does not hold what the site says"),
    ("a number", lambda rows: rows.with_columns(pl.lit("943 476 5919").alias("provider")), "'provider' holds what looks like"),
    ("another day", lambda rows: rows.with_columns(pl.col("_delivered").dt.offset_by("400d")), "does not hold what the site says"),
]  # fmt: skip


@pytest.mark.parametrize(("lie", "words"), [each[1:] for each in LIES], ids=[each[0] for each in LIES])
def test_a_site_that_signs_what_is_not_so_is_refused(
    two: Federation, lie: Callable[[pl.DataFrame], pl.DataFrame], words: str
) -> None:
    """A signature says who says it, not that it is so."""
    came = two.send("RR8")
    [path] = read_packet(came, [_signer(two).verifier])[0].parts
    assert two.receive(_forged(two, came, path, lie)).code == 0
    said = two.translate()
    assert said.code == 6
    assert words in said.text
    assert [path.name for path in (two.hub / "private" / "translated" / "RR8").rglob("*")] == ["parts"]


def test_what_counts_stays_when_a_packet_is_refused_for_its_numbers(linked: Federation) -> None:
    """And nothing of the new one is left, nor is anything linked until the site sends another."""
    before = linked.translated("RR8")
    linked.deliver("RR8", [row(50, ALLOWED, day=9)], "appointment_20261121.csv")
    came = linked.send("RR8")
    packet = read_packet(came, [_signer(linked).verifier])[0]
    [new] = packet.sealed
    assert (
        linked.receive(
            _forged(linked, came, new, lambda rows: rows.with_columns(pl.lit("9434765919").alias("provider")))
        ).code
        == 0
    )
    assert (linked.translate().code, linked.link().code) == (6, 4)
    assert linked.translated("RR8") == before
    assert {each.stem for each in (linked.hub / "private" / "translated" / "RR8" / "parts").iterdir()} == {
        *before.files.values()
    }


def _signer(two: Federation) -> Signer:
    return Keyset.open("age://site.age", base=two.sites["RR8"].folder).signer()


def _forged(two: Federation, came: Path, path: str, lie: Callable[[pl.DataFrame], pl.DataFrame]) -> Path:
    """A packet as the one that came, with something else in one part, signed by the site itself."""
    site, signer = two.sites["RR8"], _signer(two)
    [bundle] = (site.folder / "private" / "held").glob("*/bundle")
    packet = read_packet(came, [signer.verifier])[0]
    lie(pl.read_parquet(bundle / path)).write_parquet(bundle / path)
    forged = _with_digest(packet, path, digest(bundle / path))
    recipients = load(site.configuration).site.recipients  # type: ignore[union-attr]
    pack(bundle, forged, two.folder / "forged", signer, recipients)
    return two.folder / "forged"


def _with_digest(packet: Packet, path: str, made: str) -> Packet:
    tables = tuple(
        table.model_copy(
            update={
                "parts": tuple(
                    part.model_copy(update={"digest": made}) if part.path == path else part for part in table.parts
                )
            }
        )
        for table in packet.bundle.tables
    )
    bundle = BundleManifest(domain=packet.bundle.domain, key_id=packet.bundle.key_id, tables=tables)
    return packet.model_copy(update={"bundle": bundle, "sealed": {}})


def test_linking_refuses_what_is_not_translated(two: Federation) -> None:
    """Somebody may have opted out since."""
    said = two.link()
    assert (said.code, "no site has handed over anything" in said.text) == (2, True)
    two.whole_line("RR8", "RXX")
    assert two.receive(two.send("RR8")).code == 0
    said = two.link()
    assert (said.code, "is not translated" in said.text) == (4, True)


def test_linking_refuses_a_site_whose_opt_outs_are_too_old(two: Federation) -> None:
    """It stopped sending; nothing is published until it sends again or is revoked."""
    two.sites["RR8"].answered(days_ago=6)
    two.whole_line("RR8", "RXX")
    before = two.state()
    place = two.hub / "private" / "translated" / "RR8" / "translated.json"
    for key, value, words in (("good_until", ago(0.1), "is too old now"), ("made", ago(9), "9 days ago")):
        good = place.read_text()
        said = json.loads(good) | {key: value.isoformat()}
        place.write_text(json.dumps(said))
        refused = two.link()
        assert (refused.code, words in refused.text) == (4, True), refused.text
        place.write_text(good)
    assert two.state() == before
    two.registered(RR8={"revoked": date(2026, 1, 1), "why": "it sends no more"})
    assert two.link().code == 0


def test_a_translated_part_that_was_changed_is_seen(linked: Federation) -> None:
    """The last snapshot stays."""
    [part] = (linked.hub / "private" / "translated" / "RR8" / "parts").iterdir()
    frame = pl.read_parquet(part)
    part.unlink()
    assert linked.link().code == 6
    frame.head(2).write_parquet(part)
    said = linked.link()
    assert (said.code, "changed since" in said.text) == (6, True)
    assert "0 of 1 parts translated" in linked.translate().text
    assert linked.translate("--full").text.count("1 of 1 parts translated") == 2
    assert linked.link().code == 0
    part.unlink()
    assert "RR8: packet 1, 1 of 1 parts translated" in linked.translate().text
    assert linked.link().code == 0


def test_sites_that_describe_people_otherwise_are_not_put_together(two: Federation) -> None:
    """One with the month of birth, one without."""
    with two.sites["RXX"].configuration.open("a") as file:
        file.write('[minimise]\nbirth = "month"\n')
    assert two.receive(two.send("RR8"), two.send("RXX")).code == 0
    assert two.translate().code == 0
    said = two.link()
    assert (said.code, "site RXX: its columns of sus_op appointment differ" in said.text) == (2, True)


def test_commands_refuse_configurations_of_another_kind(two: Federation, tmp_path: Path) -> None:
    """No section is passed over."""
    site, hub = two.sites["RR8"].configuration, two.configuration
    for words in (["run", site], ["run", hub], ["site", "run", hub], ["hub", "link", site], ["hub", "translate", site],
                  ["hub", "receive", site, tmp_path], ["optouts", "tokens", hub], ["optouts", "status", hub],
                  ["run", "--from-held", site]):  # fmt: skip
        said = command(*words)
        assert said.code == 2, words
        assert "the configuration of" in said.text, words


def test_a_site_with_the_keyset_of_another_or_of_the_key_holder_is_refused(two: Federation) -> None:
    """Before anything is read."""
    site = two.sites["RR8"]
    site.replace('name = "RR8"', 'name = "RR9"')
    said = command("site", "run", site.configuration)
    assert (said.code, "made for another site" in said.text) == (2, True)
    site.replace('name = "RR9"', 'name = "RR8"')
    site.replace("age://site.age", "age://../hub/keys.age")
    said = command("site", "run", site.configuration)
    assert (said.code, "a keyset of its own" in said.text) == (2, True)


def test_checking_hands_nothing_over(two: Federation) -> None:
    """Nor does it count a packet."""
    site = two.sites["RR8"]
    said = command("site", "check", site.configuration)
    assert said.code == 0
    assert "packet 1: 1 new of 1 parts" in said.text
    assert not (site.folder / "out").exists()
    assert two.send("RR8").name == "RR8-000001"


def test_a_purpose_is_shown_as_what_it_is(two: Federation) -> None:
    """The hub's names its sites and says who decides; a site's says where it goes."""
    two.registered(RXX={"revoked": date(2099, 1, 1), "why": "it closes"})
    hub = command("purposes", "show", two.configuration).text
    assert "site RR8: sus_op, no agreement named, domain site:rr8\n" in hub
    assert "domain site:rxx, revoked from 1 January 2099: it closes" in hub
    assert "opt-outs      as each site's own configuration says" in hub
    site = command("purposes", "show", two.sites["RR8"].configuration).text
    assert "handed over   as RR8, sealed to 1 public keys, into out" in site
    assert "only those whom the service returned" in site


def test_going_back_at_the_hub_needs_a_document(two: Federation) -> None:
    """Packets since then may tell of somebody who opted out; there is no roster to miss. The next link goes on."""
    two.whole_line("RR8")
    first = two.account().snapshot.run_id
    two.deliver("RR8", [row(50, ALLOWED, day=9)], "appointment_20261121.csv")
    two.whole_line("RR8")
    refused = command("rollback", two.configuration, first)
    assert (refused.code, "extract" in refused.text) == (4, True)
    assert command("rollback", two.configuration, first, "--reference", "D-1").code == 0
    assert two.query("SELECT count(*) FROM sus_op_appointment") == [(4,)]
    assert two.link().code == 0
    assert two.query("SELECT count(*) FROM sus_op_appointment") == [(5,)]


def _refused(two: Federation, came: Path, words: str, code: int) -> None:
    before = two.state()
    said = two.receive(came)
    assert said.code == code, said.text
    assert words in said.text
    assert "hint: " in said.text
    assert two.state() == before


def test_a_feed_that_a_site_may_not_send_any_more_is_not_published(linked: Federation) -> None:
    """What was translated of it before would go on being published."""
    linked.registered(RR8={"feeds": ["ecds"]})
    said = linked.link()
    assert (said.code, "packet 1 of RR8: feed sus_op is not taken from the site" in said.text) == (2, True)


def test_parts_of_two_sites_never_have_one_name() -> None:
    """One site's name may begin as another's does."""
    assert _path("RR8", "sus_op/appointment/RXX-1.parquet") != _path("RR8-RXX", "sus_op/appointment/1.parquet")


def test_nothing_translated_stays_of_a_site_that_left_the_register(linked: Federation) -> None:
    """As of one that is revoked."""
    del linked.register["RR8"]
    linked.registered()
    assert linked.translate().code == 0
    assert [path.name for path in (linked.hub / "private" / "translated").iterdir() if path.is_dir()] == ["RXX"]
    assert linked.link().code == 0
    assert linked.query("SELECT count(*) FROM sus_op_appointment") == [(4,)]
