"""Until when what was decided by the registers of a moment may be used."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from datetime import UTC, datetime, time, timedelta

from linkage import binding
from linkage.config import Configuration
from linkage.optouts.lists import OBJECTING, SENSITIVE
from linkage.optouts.policy import Policy
from linkage.optouts.practices import HEADER as PRACTICE_LIST
from linkage.optouts.restricted import HEADER as RESTRICTED_LIST
from linkage.site import Delivery

__all__ = ["ends"]


def ends(
    configuration: Configuration, policy: Policy, delivered: Sequence[Delivery], now: datetime
) -> Iterator[datetime]:
    """When each register will be too old, or will say more."""
    rules = configuration.optouts
    if (day := binding.fewer_from(configuration, now.date(), now)) is not None:
        # On that day they are too old already.
        yield datetime.combine(day, time.min, UTC) - timedelta.resolution
    if rules.national is not None:
        days = timedelta(days=rules.national.max_age_days)
        yield from (each.as_of + days for each in policy.evidence if each.name.startswith("national"))
    if not rules.exempt("type1"):
        yield from (each + timedelta(days=rules.type1.max_age_days) for each in binding.newest_type1(delivered))
    for name, listed in (
        (OBJECTING[0], rules.objections),
        (SENSITIVE[0], rules.sensitive),
        (RESTRICTED_LIST[0], rules.restricted),
        (PRACTICE_LIST[0], rules.practices if rules.practices.list else None),
    ):
        if listed:
            own = timedelta(days=listed.max_age_days + 1)
            yield from (each.as_of + own for each in policy.evidence if each.name == name)
    if policy.sharing is not None:
        yield from (each + timedelta(days=rules.practices.max_age_days) for each in binding.newest_sharing(delivered))
