"""A site and its hub beside one machine: `python benchmarks/federate.py --people 200000 --folder /somewhere/large`.

Takes the made-up ICS of `benchmarks/scale.py` (made where it is not there yet). Measures tokens translated a second on one
core; one machine's full run; and the same extracts as one site's packet: the site's run, receiving, translating and linking, each
as a process of its own, with its peak of memory.
"""

from __future__ import annotations

import argparse
import json
import os
import secrets
import shutil
import subprocess
import sys
import time
from pathlib import Path

import polars as pl
import scale

from linkage import Keyset
from linkage.cli import demo
from linkage.pseudonymise import kernel
from linkage.pseudonymise.reverser import KeyHolderKeyset
from linkage.pseudonymise.translator import Translator
from linkage.synthetic import Stream, moment

TOKENS = 4_000_000

SITE = """
import json, sys, time
from datetime import datetime
from linkage.sites import sending
started = time.perf_counter()
sent = sending.run(sys.argv[1], now=datetime.fromisoformat(sys.argv[2]))
print(json.dumps({"seconds": time.perf_counter() - started, "rows": sent.report.read, "packet": str(sent.packet),
    "stages": {each.name: [each.seconds, each.rows] for each in sent.report.stages}}))
"""
RECEIVE = """
import json, sys, time
from datetime import datetime
from pathlib import Path
from linkage.errors import LinkageError
from linkage.sites import receiving
started = time.perf_counter()
for _, result in receiving.receive(sys.argv[1], [Path(sys.argv[3])], datetime.fromisoformat(sys.argv[2])):
    if isinstance(result, LinkageError):
        raise result
print(json.dumps({"seconds": time.perf_counter() - started}))
"""
TRANSLATE = """
import json, sys, time
from datetime import datetime
from linkage.sites.translating import translate
started = time.perf_counter()
[done] = translate(sys.argv[1], now=datetime.fromisoformat(sys.argv[2]))
if done.error:
    raise done.error
print(json.dumps({"seconds": time.perf_counter() - started, "rows": done.rows}))
"""
LINK = """
import json, sys, time
from datetime import datetime
from linkage.sites import linking
started = time.perf_counter()
report = linking.link(sys.argv[1], now=datetime.fromisoformat(sys.argv[2])).report
print(json.dumps({"seconds": time.perf_counter() - started, "rows": report.read,
    "stages": {each.name: [each.seconds, each.rows] for each in report.stages}}))
"""


def main() -> None:
    """Make what is missing, measure, print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--people", type=int, default=200_000)
    parser.add_argument("--days", type=int, default=1_600)
    parser.add_argument("--folder", type=Path, required=True, help="that of benchmarks/scale.py, or a new one")
    parser.add_argument("--only-tokens", action="store_true")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    _tokens(options.folder)
    if options.only_tokens:
        return
    stream = Stream(days=options.days, people_a_file=max(options.people // 4, 50_000), typed=True)
    scale._make(options.folder, options.people, stream)
    ics, now = options.folder / "ics", moment(scale.AS_OF, scale.WEEKS[-1].number).isoformat()
    scale._begin_anew(options.folder, ics)
    alone = scale._run("one machine, everything", ics, scale.WEEKS[-1])
    scale._say(alone)
    site, hub = _federated(options.folder, ics)
    sent = scale._child("the site's run", SITE, [str(site), now], "")
    scale._say(sent)
    packet = Path(str(sent.told["packet"]))
    size = sum(path.stat().st_size for path in packet.rglob("*") if path.is_file()) / 2**20
    print(f"packet of {size:,.0f} MiB", flush=True)
    steps = [
        scale._child(name, program, [str(hub), now, str(packet)], "")
        for name, program in (("receiving", RECEIVE), ("translating", TRANSLATE), ("linking", LINK))
    ]
    for each in steps:
        scale._say(each)
    whole = sum(each.seconds for each in steps)
    print(f"receiving, translating and linking: {whole:.1f} s, {whole / alone.seconds:.2f} of one machine's run")
    shutil.rmtree(options.folder / "federated" / "site")


def _tokens(folder: Path) -> None:
    """How many tokens one core translates in a second."""
    place = folder / f"keys-{secrets.token_hex(4)}"
    place.mkdir()
    try:
        Keyset.create(place / "ics.age")
        keyset = KeyHolderKeyset.open("age://ics.age", base=place)
        makes = keyset.pseudonymiser("site:rr8")
        numbers = pl.Series(range(100_000_000, 100_000_000 + TOKENS // 40), dtype=pl.Int64)
        valid = numbers.to_frame("n").select(_with_check_digit(pl.col("n")).alias("n")).filter(pl.col("n") >= 0)["n"]
        persons = makes.tokenise(valid)[0].drop_nulls()
        persons = pl.concat([persons] * (TOKENS // len(persons)))
        records = pl.DataFrame({"r": range(TOKENS)}).select(
            makes.record_expr(pl.col("r").cast(pl.String), "bench.record").alias("token")
        )["token"]
        translator = Translator.open(keyset, "site:rr8", "ics:qxx")
        if hasattr(os, "sched_setaffinity"):
            before = os.sched_getaffinity(0)
            os.sched_setaffinity(0, {min(before)})
        for name, tokens, work in (("persons", persons, translator.person), ("records", records, translator.record)):
            # Of processor time, so that whoever else uses the core does not count.
            started = time.process_time()
            made = work(tokens)[0]
            seconds = time.process_time() - started
            if made.null_count():
                raise SystemExit("a token was refused")
            print(
                f"{name}: {len(tokens) / seconds / 1e6:.2f} million tokens a second on one core ({kernel.NAME})",
                flush=True,
            )
        if hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(0, before)
    finally:
        shutil.rmtree(place)


def _with_check_digit(nine: pl.Expr) -> pl.Expr:
    """Ten digits of nine; -1 where there is no check digit."""
    total = sum(((nine // 10**place % 10) * (place + 2) for place in range(9)), pl.lit(0))
    check = (11 - total % 11) % 11
    return pl.when(check < 10).then(nine * 10 + check).otherwise(-1)


def _federated(folder: Path, ics: Path) -> tuple[Path, Path]:
    """The configurations of a site over the ICS's extracts, and of a hub, both new."""
    place = folder / "federated"
    if place.exists():
        subprocess.run(["chmod", "-R", "u+w", place], check=True)
        shutil.rmtree(place)
    for name in ("site", "hub"):
        (place / name).mkdir(parents=True)
    Keyset.create(place / "hub" / "ics.age")
    keyset = Keyset.open("age://ics.age", base=place / "hub")
    keyset.create_for_site(place / "site" / "site.age", "RR8", "site:rr8")
    signs = Keyset.open("age://site.age", base=place / "site").signer().verifier.text
    text = (ics / "linkage.toml").read_text()
    purpose = text[: text.index("[keys]")].replace("allow_test_numbers = true\n", "")
    hub = place / "hub" / "linkage.toml"
    hub.write_text(
        f'{purpose}[keys]\nkeyset = "age://ics.age"\ndomain = "ics:bench"\n[store]\npath = "store"\n[hub]\n'
        f'max_age_days = 35\n[[hub.sites]]\nname = "RR8"\ndomain = "site:rr8"\nsigns = "{signs}"\n'
        f'key_id = "{keyset.key_id}"\nfeeds = {json.dumps(demo.FLOWS)}\nagreement = "DEMO-DSA-1"\n'
    )
    recipient = subprocess.run(
        [Path(sys.executable).with_name("linkage"), "hub", "recipient", hub], check=True, capture_output=True, text=True
    ).stdout.strip()
    text = text.replace("age://keys/ics.age", "age://site.age").replace("ics:demo", "site:rr8")
    text = text.replace('[store]\npath = "store"', f'[site]\nname = "RR8"\nrecipients = "{recipient}"\noutbox = "out"')
    for kind in ("optouts", "reference", "extracts"):
        text = text.replace(f'"{kind}/', f'"../../ics/{kind}/')
    site = place / "site" / "linkage.toml"
    site.write_text(text)
    return site, hub


if __name__ == "__main__":
    main()
