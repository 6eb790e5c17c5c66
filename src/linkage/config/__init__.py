"""`linkage.toml`: one use of the data, on one page.

The file is one purpose: who may do this and why, which extracts flow in, which opt-outs bind, how far columns are
minimised, under which key and domain tokens are made, and where the result goes. Everything unknown is refused,
so that a misspelt rule cannot be a rule that is silently not applied. Keys appear by reference only.
"""

from __future__ import annotations

from linkage.config.files import load, of_kind
from linkage.config.flow import Database, Flow
from linkage.config.optouts import (
    Exemption,
    Late,
    ListedPeople,
    National,
    OptOuts,
    OwnRegister,
    Practices,
    Restricted,
    Type1,
)
from linkage.config.quality import Quality, QualityRule
from linkage.config.release import Release
from linkage.config.sites import Hub, RegisteredSite, SendingSite
from linkage.config.whole import Audit, Configuration, Keys, Minimise, Store

__all__ = [
    "Audit",
    "Configuration",
    "Database",
    "Exemption",
    "Flow",
    "Hub",
    "Keys",
    "Late",
    "ListedPeople",
    "Minimise",
    "National",
    "OptOuts",
    "OwnRegister",
    "Practices",
    "Quality",
    "QualityRule",
    "RegisteredSite",
    "Release",
    "Restricted",
    "SendingSite",
    "Store",
    "Type1",
    "load",
    "of_kind",
]
