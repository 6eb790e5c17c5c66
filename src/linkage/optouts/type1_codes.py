"""The codes of type 1 opt-outs: the national list, with what an ICS adds to it or switches off."""

from __future__ import annotations

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import Field, ValidationError

from linkage.errors import ConfigurationError
from linkage.purpose import Section


class Code(Section):
    """One code.

    Attributes:
        system: The code system; a code is recognised in a column of any system, for none of them looks like another's.
        code: The code.
        means: What it says.
        verified: Whether it was found in something published.
        description: Its words.
        redelivered: The day of a full extract, after which it does not matter that earlier ones were not searched for it.
    """

    system: Literal["snomed", "read2", "ctv3"]
    code: str = Field(min_length=4)
    means: Literal["dissent", "withdrawal"]
    verified: bool = False
    redelivered: date | None = None
    description: str = ""


class CodeFile(Section):
    """A file of codes; `off` names those of the national list that do not count here."""

    code: tuple[Code, ...] = ()
    off: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Codes:
    """Codes as `plain` writes them.

    Attributes:
        dissent: That say no.
        withdrawal: That take it back.
        unverified: Withdrawals that were found in nothing published.
        redelivered: Added codes, and the day of the full extract that was delivered since.
        max_untranslated: The largest share of a file's codes that may be in no table of codes.
    """

    dissent: frozenset[str]
    withdrawal: frozenset[str]
    unverified: tuple[str, ...]
    redelivered: Mapping[str, date]
    max_untranslated: float = 0.0

    def all(self) -> list[str]:
        """Every code, sorted."""
        return sorted(self.dissent | self.withdrawal)


@cache
def national() -> CodeFile:
    """The national codes, as they come with the package."""
    text = (resources.files("linkage.optouts") / "type1_codes.toml").read_text(encoding="utf-8")
    return CodeFile.model_validate(tomllib.loads(text))


def codes(local: Path | None) -> Codes:
    """The national codes with those of a local file added, and without those that it switches off.

    Raises:
        ConfigurationError: The local file cannot be read, switches off what is not there, or gives a code two meanings.
    """
    listed = national().code
    own = _read(local) if local else CodeFile()
    off = {_plain(code) for code in own.off}
    unknown = off - {_plain(each.code) for each in listed}
    if unknown:
        raise ConfigurationError(
            f"{local}: off: {min(unknown)!r} is not one of the national codes",
            hint="`off` switches off national codes only",
        )
    kept = [each for each in listed if _plain(each.code) not in off] + list(own.code)
    dissent, withdrawal = (
        frozenset(_plain(each.code) for each in kept if each.means == m) for m in ("dissent", "withdrawal")
    )
    if dissent & withdrawal:
        raise ConfigurationError(
            f"{local}: {min(dissent & withdrawal)!r} means both dissent and withdrawal",
            hint="let a code mean one thing",
        )
    unverified = tuple(sorted(each.code for each in kept if each.means == "withdrawal" and not each.verified))
    redelivered = {_plain(each.code): each.redelivered for each in kept if each.redelivered}
    return Codes(dissent, withdrawal, unverified, redelivered)


def plain(code: pl.Expr) -> pl.Expr:
    """Codes as they are compared: Read codes without the dots that fill them up and without their term code.

    `9Nu0.`, `9Nu0` and `9Nu0.00` are one code. Codes of SNOMED CT, which are digits alone, stay as they are.
    """
    text = code.cast(pl.String).str.strip_chars()
    bare = text.str.replace(r"^(.{5})[0-9A-Za-z]{2}$", "$1").str.strip_chars_end(".")
    return pl.when(text.str.contains(r"^[0-9]+$")).then(text).otherwise(bare)


@cache
def _plain(code: str) -> str:
    return str(pl.select(plain(pl.lit(code))).item())


def _read(path: Path) -> CodeFile:
    hint = "it holds tables [[code]] with system, code and means, and `off`, a list of codes; see docs/reference/opt-outs.md"
    try:
        return CodeFile.model_validate(tomllib.loads(path.read_text(encoding="utf-8")))
    except (OSError, UnicodeDecodeError):
        raise ConfigurationError(f"{path}: the list of type 1 codes cannot be read", hint=hint) from None
    except tomllib.TOMLDecodeError as error:
        raise ConfigurationError(f"{path}: not a TOML file: {error}", hint=hint) from None
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {key}: {first['msg']}", hint=hint) from None
