"""What the registers say of people as of now, for whoever names one of them: the same registers and rules as a run's.

A run decides about rows of each feed. Here somebody is to be named, so what any feed's registers say counts.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime

import polars as pl

from linkage import binding, held, recorded, rostering, site
from linkage.config import Configuration
from linkage.contract import Table
from linkage.errors import IntegrityError, PolicyError
from linkage.inquiry import roster_of
from linkage.late import informing
from linkage.optouts import ages
from linkage.optouts.policy import VERDICTS, Policy
from linkage.pseudonymise import Keyset
from linkage.site import is_pseudonymised
from linkage.sources.resolve import People, follow, people
from linkage.store.layout import Store
from linkage.store.lock import hold

__all__ = ["Now", "Numbered", "read"]

Numbered = Callable[[pl.Series], pl.Series]
# Of a verdict its words; nobody has one for who may be used.
_WORDS = pl.DataFrame({"verdict": range(len(VERDICTS)), "said_no": [each.value for each in VERDICTS]})


@dataclass(frozen=True, slots=True, repr=False)
class Now:
    """Registers that were read, each within its age.

    Attributes:
        policy: Who may not be used.
        who: Replaced numbers, and what the roster knows.
        registered: Where people are registered (`recorded.REGISTERED`).
        not_sharing: Practices that do not share.
    """

    policy: Policy
    who: People
    registered: pl.DataFrame
    not_sharing: frozenset[str]

    def judge(self, rows: pl.DataFrame, token: str, numbered: Numbered) -> pl.DataFrame:
        """Turn tokens back, and add what is known of each person, as `reidentify.judged.JUDGED`.

        Args:
            rows: The cohort.
            token: Its column of tokens.
            numbered: Turns tokens into NHS numbers (text, null where one is refused).

        Raises:
            IntegrityError: A token is not this key's.
        """
        own = numbered(rows[token]).cast(pl.Int64)
        if own.null_count():
            raise IntegrityError(
                f"{own.null_count():,} of {len(own):,} tokens are not this key's", hint="ask for the cohort again"
            )
        frame = rows.drop(token).with_columns(own.alias("_own"))
        frame = follow(frame.lazy(), self.who.current, "_own").rename({"_followed": "number"}).collect()
        standings = {id(each): each for each in self.policy.standings.values()}.values()
        verdicts = [each.strictest(frame["_own"], frame["number"]) for each in standings]
        frame = frame.with_columns(pl.select(pl.min_horizontal(verdicts).cast(pl.Int64)).to_series().alias("verdict"))
        known = frame.join(_WORDS, on="verdict", how="left", maintain_order="left")
        known = known.join(self.registered, on="number", how="left", maintain_order="left")
        return known.drop("_own", "_replaced", "verdict").with_columns(
            pl.col("unclear").fill_null(value=False),
            pl.col("practice").is_in(sorted(self.not_sharing)).fill_null(value=False).alias("not_sharing"),
        )


def read(configuration: Configuration, keyset: Keyset, max_age_days: int, now: datetime) -> Now:
    """Read every register as the next run would, and the newest roster.

    Args:
        configuration: The purpose.
        keyset: Opens the roster.
        max_age_days: How old registrations may be.
        now: The moment that ages are judged by, UTC.

    Raises:
        PolicyError: A register is missing, too old or not believable; no flow tells of NHS numbers or of registrations.
        TemporaryError: A run holds the store.
    """
    store = Store(configuration.at(configuration.store.path))
    with hold(store):
        memory = held.memory(configuration.at(configuration.private), store.current(), keyset.unseal)
        delivered = tuple(site.deliveries(configuration, now, informing, memory=memory))
        direct = [each for each in delivered if not is_pseudonymised(each.feed)]
        if not direct:
            raise PolicyError("no flow brings NHS numbers, so nobody can be named", hint="ask who pseudonymised them")
        told = binding.newest(direct, _tells_registration)
        if not told:
            raise PolicyError(
                "no flow tells with which practice people are registered now", hint="add GP records or PDS to the flows"
            )
        ages.check(told, "registrations", max_age_days, now)
        known, _ = roster_of(configuration, keyset)
        known = rostering.roster(known, direct, binding.type1_codes(configuration))
        who = people(known, allow_test=configuration.allow_test_numbers)
        policy = binding.policy(configuration, direct, known, who, now)
    shares = policy.sharing
    return Now(
        policy=policy,
        who=who,
        registered=recorded.registered(known, who, now.date()),
        not_sharing=recorded.not_sharing(shares, known) if shares else frozenset(),
    )


def _tells_registration(table: Table) -> bool:
    return table.registration is not None
