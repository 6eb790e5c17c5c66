"""A whole `linkage.toml`: its sections, and whether they fit together."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, model_validator

from linkage.config.flow import Flow
from linkage.config.optouts import OptOuts
from linkage.config.quality import Quality
from linkage.config.release import Release
from linkage.config.sites import Hub, SendingSite
from linkage.purpose import Purpose, Section


class Keys(Section):
    """Where the keyset is and what opens it; never a key.

    Attributes:
        keyset: For example `age://keys/ics.age`, relative to the configuration file.
        identity: The age identity file that opens it; else the variable LINKAGE_IDENTITY, else the file beside it.
        domain: The token domain, for example `ics:qxx`.
    """

    keyset: str
    identity: Path | None = None
    domain: str


class Store(Section):
    """Where snapshots are published and how many are kept.

    Attributes:
        path: The folder.
        keep: How many snapshots stay.
        hold: Whether the bundle of the current snapshot is held in the private folder, so that the next run makes only what
            changed, and late opt-outs and replaced numbers reach its rows without the extracts.
        delta: A folder of Delta tables that follow the current snapshot; none where it is left out.
    """

    path: Path
    keep: int = Field(default=3, ge=1)
    hold: bool = True
    delta: Path | None = None


class Minimise(Section):
    """How far people are described.

    Attributes:
        birth: Birth date to its year, or to year and month.
        postcodes: A lookup file in the ONS Postcode Directory's columns (pcds, lsoa11, lsoa21, imd); without it a postcode
            becomes its district.
        imd_areas: Among how many English areas its `imd` is a rank, where that cannot be seen.
    """

    birth: Literal["year", "month"] = "year"
    postcodes: Path | None = None
    imd_areas: int | None = Field(default=None, ge=10)


class Audit(Section):
    """Where the log of what was done is, and who cosigns it.

    Attributes:
        path: The log's folder; `audit` beside the private folder when not given.
        witnesses: The public signing keys (`ed25519:...`) of those who cosign the log, by their names.
        witnessed: The newest checkpoint that they cosigned, best where they put it and the log's keeper cannot; the file
            `witnessed` of the log when not given.
        max_unwitnessed_days: How old that may be when somebody is to be re-identified; any age when not given.
    """

    path: Path | None = None
    witnesses: dict[str, str] = Field(default_factory=dict)
    witnessed: Path | None = None
    max_unwitnessed_days: int | None = Field(default=None, ge=1)


class Configuration(Section):
    """A whole `linkage.toml`: of one machine that does everything, of a site, or of the hub that takes from sites."""

    purpose: Purpose
    keys: Keys
    store: Store
    audit: Audit = Audit()
    private: Path = Path("private")
    allow_test_numbers: bool = False
    memory: str = Field(default="2GiB", pattern=r"^\d+(\.\d+)?[MG]i?B$")
    optouts: OptOuts = OptOuts()
    minimise: Minimise = Minimise()
    quality: Quality = Quality()
    release: Release | None = None
    flows: tuple[Flow, ...] = ()
    site: SendingSite | None = None
    hub: Hub | None = None
    base: Path = Field(default=Path(), exclude=True)
    digest: str = Field(default="", exclude=True)

    @model_validator(mode="before")
    @classmethod
    def _a_site_works_in_its_private_folder(cls, content: object) -> object:
        if not isinstance(content, dict) or "site" not in content:
            return content
        if "store" in content:
            raise ValueError("a site publishes nothing, so its configuration has no [store]")
        private: Any = content.get("private", "private")
        return {**content, "store": {"path": f"{private}/work"}}

    @model_validator(mode="after")
    def _halves_fit(self) -> Self:
        if self.site is not None and self.hub is not None:
            raise ValueError("a configuration is of a site or of the hub: [site] and [hub] stand in files of their own")
        if self.hub is None and not self.flows:
            raise ValueError("flows: there is none")
        of_sites = {"flows", "optouts", "minimise", "quality", "allow_test_numbers"} & self.model_fields_set
        if self.hub is not None and of_sites:
            raise ValueError(f"{min(of_sites)}: its sites decide that, each in its own configuration")
        if self.hub is not None and self.purpose.population and self.purpose.population.limits_people:
            raise ValueError("a hub cannot tell practices and ages: its sites limit whom they hand over")
        return self

    @model_validator(mode="after")
    def _flows_differ(self) -> Self:
        places = [(flow.feed, str(flow.path), repr(flow.database)) for flow in self.flows]
        if len(set(places)) != len(places):
            raise ValueError("two flows read the same feed from the same folder")
        return self

    @model_validator(mode="after")
    def _flows_have_agreements(self) -> Self:
        known = {agreement.reference for agreement in self.purpose.agreements}
        for flow in self.flows:
            if known and flow.agreement not in known:
                raise ValueError(f"flow {flow.feed}: its agreement is not one of the purpose's agreements")
        for site in self.hub.sites if self.hub else ():
            if known and site.agreement not in known:
                raise ValueError(f"site {site.name}: its agreement is not one of the purpose's agreements")
        return self

    @model_validator(mode="after")
    def _population_can_be_told(self) -> Self:
        limits = self.purpose.population is not None and self.purpose.population.limits_people
        for flow in self.flows:
            if limits and flow.optouts_applied_upstream:
                raise ValueError(f"flow {flow.feed}: people arrive as pseudonyms, so the population cannot be told")
        return self

    def at(self, path: Path) -> Path:
        """A path of the configuration, from the folder that the file stands in."""
        return self.base / path
