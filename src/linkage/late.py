"""The key holder's step for what became known after a bundle was made: opt-outs and replaced numbers become token lists.

Providers hold neither type 1 codes nor replaced numbers, and a held bundle holds no numbers at all. So whoever holds the
key reads the registers as a run does, turns the bundle's tokens back for a moment, and writes which of them may no longer
be used and which stand for another number now. Only a key holder's program imports this module.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

import polars as pl

from linkage import authority, binding, config, contract, freshness, held, hub, rostering, site
from linkage.bundle import BundleManifest, TableParts
from linkage.config import Configuration, Flow
from linkage.contract import Feed, Table
from linkage.errors import ConfigurationError, IntegrityError, PolicyError
from linkage.held import LateLists, RowRules
from linkage.link.withdraw import MOVED, PRACTICES, WITHDRAWN, Lists, people_columns, practice_column
from linkage.optouts.policy import MAY_BE_USED, VERDICTS, Policy
from linkage.optouts.practices import Sharing
from linkage.pseudonymise.reverser import KeyHolderKeyset, Reverser
from linkage.reasons import Reason
from linkage.sources import roster_files as rosters
from linkage.sources import select
from linkage.sources.resolve import HOME_PRACTICE, NUMBER, People, follow, people
from linkage.store.manifest import RegisterFile

__all__ = ["Made", "tokens"]

_NOT_ASKED = VERDICTS.index(Reason.NATIONAL_NOT_ASKED)


@dataclass(frozen=True, slots=True)
class Made:
    """Token lists that were made.

    Attributes:
        run_id: The run whose bundle they are for.
        withdrawn: How many people leave some table.
        moved: How many tokens stand for another number now.
        good_until: When the first register that they were made from is too old, or keeps more out, UTC.
    """

    run_id: str
    withdrawn: int
    moved: int
    good_until: datetime | None


def tokens(path: Path, now: datetime, passphrase: Callable[[], str] | None = None) -> Made:
    """Make the token lists for the held bundle of one purpose.

    Of the extracts only those are read that opt-outs, replaced numbers and sharing agreements come in.

    Args:
        path: The `linkage.toml`.
        now: The moment that registers' ages are judged by, UTC.
        passphrase: Asks for the keyset's passphrase.

    Raises:
        PolicyError: A register is missing, too old, or does not cover the bundle.
        LinkageError: No bundle is held, or the keyset does not open.
    """
    configuration = config.of_kind(path, "machine")
    authority.check(configuration, now.date())
    keys = configuration.keys
    identity = configuration.at(keys.identity) if keys.identity else None
    keyset = KeyHolderKeyset.open(keys.keyset, identity=identity, passphrase=passphrase, base=configuration.base)
    with hub.working(configuration, now, "optouts.tokens") as work:
        found = held.find(configuration, work.private, work.store.current())
        manifest = held.copy(work.private, found, work.folder / "bundle")
        _check_key(manifest, keyset, keys.domain)
        found_ = site.deliveries(configuration, now, informing)
        delivered = tuple(each for each in found_ if not each.flow.optouts_applied_upstream)
        known = hub.load_roster(configuration, keyset, work)
        known = rostering.roster(known, delivered, binding.type1_codes(configuration))
        who = people(known, allow_test=configuration.allow_test_numbers)
        policy = binding.policy(configuration, delivered, known, who, now)
        found.rules.check(RowRules.of(policy))
        judge = Judge(configuration, policy, who, keyset.reverser(keys.domain), work.folder / "bundle", found.rules)
        lists = judge.lists(manifest, keyset)
        about = LateLists(
            bundle_digest=found.bundle_digest,
            domain=manifest.domain,
            key_id=manifest.key_id,
            configuration_digest=configuration.digest,
            made=now,
            good_until=min(freshness.ends(configuration, policy, delivered, now), default=None),
            files={},
            registers=tuple(RegisterFile.model_validate(each, from_attributes=True) for each in policy.evidence),
        )
        aside = work.folder / "late"
        aside.mkdir(mode=0o700)
        rosters.save(known, aside / "roster", keyset.seal)
        held.write_lists(aside, lists, about)
        _put(aside, work.private / "late" / found.run_id)
        work.act.details["key"] = manifest.key_id
    withdrawn = lists.withdrawn["token"].n_unique()
    return Made(found.run_id, withdrawn, lists.moved.height, about.good_until)


def informing(feed: Feed, flow: Flow, *, by_codes: bool = False) -> Feed:
    """Of a feed, what tells of opt-outs, of replaced numbers and of practices; no table where none of them does."""
    narrowed = select.narrowed(feed, flow, by_codes=by_codes)
    # Another feed may tell of the patients of a GP feed that tells nothing itself.
    tells = feed.setting == "primary_care" or any(
        _tells(table) or any(c.whole_person for c in table.columns.values()) for table in feed.tables.values()
    )
    kept = {
        name: table
        for name, table in narrowed.tables.items()
        if tells and (_tells(table) or table.roster or table.kind in ("lookup", "submissions"))
    }
    return narrowed.model_copy(update={"tables": kept})


def _tells(table: Table) -> bool:
    return bool(table.type1 or table.optout_flags or table.superseded or table.sharing or table.registration)


@dataclass(frozen=True, slots=True)
class Judge:
    """What the tokens of a bundle are held against."""

    configuration: Configuration
    policy: Policy
    who: People
    reverser: Reverser
    folder: Path
    before: RowRules

    def lists(self, manifest: BundleManifest, keyset: KeyHolderKeyset) -> Lists:
        """Who leaves each table, and who is somebody else's token now."""
        pseudonymiser = keyset.pseudonymiser(manifest.domain)
        withdrawn, practices, moved = [WITHDRAWN.to_frame()], [PRACTICES.to_frame()], [MOVED.to_frame()]
        by_codes = self.configuration.optouts.restricted is not None
        feeds = {
            feed.name: (select.narrowed(feed, flow, by_codes=by_codes), flow)
            for flow in self.configuration.flows
            for feed in [contract.load(flow.feed, self.configuration.base)]
        }
        for parts in manifest.tables:
            feed, flow = feeds[parts.feed]
            table = feed.tables[parts.table]
            if flow.optouts_applied_upstream or table.kind != "records" or not parts.parts:
                continue
            judged = self._judged(parts, feed, table)
            name = pl.lit(parts.name).alias("table")
            withdrawn.append(judged.filter("out").select(name, "token"))
            left = judged.filter(~pl.col("out") & (pl.col("number") != pl.col("current")))
            moved.append(left.select("token", pseudonymiser.person_expr("current").alias("current")))
            practices.append(self._practices(parts, feed, table))
        return Lists(pl.concat(withdrawn), pl.concat(practices), pl.concat(moved).unique("token"))

    def _judged(self, parts: TableParts, feed: Feed, table: Table) -> pl.DataFrame:
        """Every person token of a table: `token`, `number` and `current` (Int64) and `out` (Boolean)."""
        columns = people_columns(parts)
        rows = pl.scan_parquet([self.folder / part.path for part in parts.parts])
        distinct = pl.concat([rows.select(pl.col(column).alias("token")).unique() for column in columns]).unique()
        found = distinct.filter(pl.col("token").is_not_null()).collect(engine="streaming")["token"]
        numbers = self.reverser.reverse(found)[0].cast(pl.Int64)
        if numbers.null_count():
            raise IntegrityError(
                f"{parts.feed} {parts.table}: {numbers.null_count()} tokens of the held bundle are not this key's",
                hint="run over the extracts",
            )
        frame = pl.DataFrame({"token": found, "number": numbers})
        frame = follow(frame.lazy(), self.who.current, "number").rename({"_followed": "current"}).collect()
        verdicts = self.policy.standings[feed.name].strictest(frame["number"], frame["current"])
        _check_coverage(self.configuration, parts, verdicts)
        lost = frame["_replaced"] & frame["current"].is_null()
        out = (verdicts < MAY_BE_USED) | lost | frame["number"].is_in(self._not_sharing(parts, feed, table).implode())
        return frame.with_columns(out.alias("out"))

    def _not_sharing(self, parts: TableParts, feed: Feed, table: Table) -> pl.Series:
        """Numbers of people who left a practice that shares, and of those whose home practice does not share where a table's
        rows do not all say their own.
        """
        nobody = pl.Series([], dtype=pl.Int64)
        if self.policy.sharing is None or feed.setting != "primary_care":
            return nobody
        # An exemption lets in what was made before they left; when that was, a bundle's rows cannot be asked.
        left = self.policy.sharing.leavers["number"]
        return pl.concat([left, self._at_home(parts, feed, table, self.policy.sharing)])

    def _at_home(self, parts: TableParts, feed: Feed, table: Table, sharing: Sharing) -> pl.Series:
        nobody = pl.Series([], dtype=pl.Int64)
        if not table.person_keys:
            return nobody
        column = practice_column(parts, table)
        if column is None and table.with_role(contract.Role.PRACTICE):
            if feed.name not in sharing.agreed and sharing.listed <= {*self.before.listed}:
                return nobody  # no practice left since, so no row of one that left is in the bundle
            raise PolicyError(
                f"{parts.feed} {parts.table}: the flow leaves out the rows' practice, so practices that no longer share "
                "cannot be found in the held bundle",
                hint="add its column to the flow, or run over the extracts",
            )
        if column is not None and not self._rows(parts).select(pl.col(column).is_null().any()).collect().item():
            return nobody
        entries = self.who.known(table.columns[table.person_keys[0]].namespace)
        return entries.filter(sharing.not_sharing(pl.col(HOME_PRACTICE), feed.name))[NUMBER].drop_nulls()

    def _practices(self, parts: TableParts, feed: Feed, table: Table) -> pl.DataFrame:
        """Practices of a table's rows that do not share, as `PRACTICES`."""
        column = practice_column(parts, table)
        if self.policy.sharing is None or feed.setting != "primary_care" or column is None:
            return PRACTICES.to_frame()
        seen = self._rows(parts).select(pl.col(column).alias("practice")).unique().drop_nulls()
        gone = seen.filter(self.policy.sharing.not_sharing(pl.col("practice"), feed.name))
        return gone.select(pl.lit(parts.name).alias("table"), "practice").collect(engine="streaming")

    def _rows(self, parts: TableParts) -> pl.LazyFrame:
        return pl.scan_parquet([self.folder / part.path for part in parts.parts])


def _check_coverage(configuration: Configuration, parts: TableParts, verdicts: pl.Series) -> None:
    """As for the rows of a run: a list that leaves out too many people is not the list of them."""
    rules = configuration.optouts.national
    unasked = int((verdicts == _NOT_ASKED).sum())
    if rules is not None and unasked > rules.max_not_asked * len(verdicts):
        raise PolicyError(
            f"the national opt-out list does not cover {parts.feed} {parts.table}: {unasked} of {len(verdicts)} people "
            "were never asked about",
            hint="ask the service about everyone, then make the lists again: `linkage optouts request`",
        )


def _check_key(manifest: BundleManifest, keyset: KeyHolderKeyset, domain: str) -> None:
    if (manifest.domain, manifest.key_id) != (domain, keyset.version_of(domain).id):
        raise ConfigurationError(
            "the held bundle was made under another domain or key version",
            hint="run over the extracts: one snapshot has one domain and one key",
        )


def _put(aside: Path, place: Path) -> None:
    """Put finished lists in place of older ones; a crash between leaves none, which refuses."""
    place.parent.mkdir(exist_ok=True, mode=0o700)
    if place.exists():
        shutil.rmtree(place)
    shutil.move(aside, place)
