"""Which opt-outs bind, from where they are known, how old each may be, and what lifts them."""

from __future__ import annotations

from datetime import date
from pathlib import Path
from typing import Literal

from pydantic import Field

from linkage.purpose import Section, Strings


class National(Section):
    """The national data opt-out: what the service was asked about and what it answered.

    Attributes:
        requests: Files of NHS numbers that were sent.
        answers: Files that came back, each with its `.ctl` file: those who have not opted out.
        max_age_days: An answer older than this refuses the run; never above 21.
        max_not_asked: The largest share of a flow's rows whose number was never asked about; above it the list
            does not cover the flow and the run is refused.
        min_allowed: The smallest believable share of allowed among asked; below it the list is taken for
            something else (a list of those who did opt out, a truncated file) and the run is refused.
        mailbox: The ICS's MESH mailbox, from which requests are sent.
        recipient: The mailbox of the national service.
        workflow: The service's workflow.
        max_file_bytes: The largest request file; more numbers go into several.
    """

    requests: Strings = Field(min_length=1)
    answers: Strings = Field(min_length=1)
    max_age_days: int = Field(default=7, ge=0, le=21)
    max_not_asked: float = Field(default=0.05, ge=0, le=1)
    min_allowed: float = Field(default=0.7, ge=0, le=1)
    mailbox: str = Field(default="", pattern=r"^[A-Z0-9]*$")
    recipient: str = Field(default="X26HC065", pattern=r"^[A-Z0-9]+$")
    workflow: str = Field(default="SPINE_NTT_UPHOLDING", pattern=r"^[A-Z0-9_]+$")
    max_file_bytes: int = Field(default=100_000_000, ge=12)


class Type1(Section):
    """Type 1 opt-outs, found as codes in the GP records of the flows.

    Attributes:
        applies_to: `everything` that is known of the person, or `primary_care` only.
        max_age_days: GP records delivered longer ago than this refuse the run.
        codes: A TOML file of codes that adds to the national ones, or switches some of them off.
        max_untranslated: The largest share of a file's codes that may be missing from the table of codes that translates
            them: an opt-out may be among them.
    """

    applies_to: Literal["everything", "primary_care"] = "everything"
    max_age_days: int = Field(default=35, ge=0)
    codes: Path | None = None
    max_untranslated: float = Field(default=0.0, ge=0, le=1)


class Practices(Section):
    """Practices that do not share.

    Attributes:
        list: A list `not_sharing_ods_code,from,to,note` kept by the ICS, on top of the sharing agreements in the extracts.
        max_age_days: Agreements delivered longer ago than this, or a list not known to be complete since, refuse the run.
    """

    list: Path | None = None
    max_age_days: int = Field(default=35, ge=0)


class ListedPeople(Section):
    """People on a list that the ICS keeps, whatever the reason.

    Attributes:
        list: The list, readable by its owner only.
        max_age_days: A list not known to be complete for longer than this refuses the run.
        max_share: The largest believable share of all rows that it removes; above it the list is taken for
            something else (a list of those who may be used) and the run is refused.
    """

    list: Path
    max_age_days: int = Field(default=35, ge=0)
    max_share: float = Field(default=0.1, ge=0, le=1)


class Restricted(Section):
    """Codes whose records the law restricts.

    Attributes:
        list: A list `restricted_code,note` kept by the ICS; a code that ends in % stands for all that begin so.
        max_age_days: A list not known to be complete for longer than this refuses the run.
    """

    list: Path
    max_age_days: int = Field(default=366, ge=0)


class OwnRegister(Section):
    """A register that the ICS wrote itself: a class with one method.

    Attributes:
        file: The Python file that the class is in.
        name: The class.
        settings: What it is made with, besides `base`, the folder of the configuration.
        applies_to: `everything` that is known of the person, or `primary_care` only.
    """

    file: Path
    name: str = Field(pattern=r"^[A-Za-z_]\w*$")
    settings: dict[str, str | int | float | bool] = Field(default_factory=dict)
    applies_to: Literal["everything", "primary_care"] = "everything"


class Exemption(Section):
    """A document that lifts an opt-out for this purpose.

    Attributes:
        optout: What is lifted; `national_other_nations` lifts the national opt-out for numbers issued in Scotland and
            Ireland only, about which the service may not know; `practices_moved` lets in what was recorded of people
            before they left a practice that shares for one that does not.
        reference: The document.
        expires: The last day on which it does.
    """

    optout: Literal["national", "national_other_nations", "type1", "practices", "practices_moved"]
    reference: str = Field(min_length=3)
    expires: date | None = None


class Late(Section):
    """Opt-outs and replaced numbers that became known after a bundle was made.

    Attributes:
        max_age_days: Token lists made longer ago than this refuse to be applied; so do lists of which a register has
            grown too old since.
    """

    max_age_days: int = Field(default=7, ge=0, le=21)


class OptOuts(Section):
    """Everything binds unless an exemption with a reference lifts it.

    Attributes:
        objections: People who objected to the ICS itself.
        sensitive: People whose record is sensitive for a reason that no source marks.
        restricted: Codes whose records the law restricts; a row with one of them is removed.
        registers: Registers of the ICS's own.
    """

    national: National | None = None
    type1: Type1 = Type1()
    practices: Practices = Practices()
    late: Late = Late()
    objections: ListedPeople | None = None
    sensitive: ListedPeople | None = None
    restricted: Restricted | None = None
    registers: tuple[OwnRegister, ...] = ()
    exemptions: tuple[Exemption, ...] = ()

    def exempt(self, optout: str) -> bool:
        """Whether a document lifts this opt-out."""
        return any(exemption.optout == optout for exemption in self.exemptions)
