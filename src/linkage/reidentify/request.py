"""A request: who asks for whom, why, and for which practices; signed, and good for some days.

<request>/request.json      what is asked, signed by who asks
<request>/cohort.parquet    the tokens, and the columns that go with them: neither in the request nor in the log
<request>/decisions/        what others said to it, each signed
"""

from __future__ import annotations

import hashlib
import io
import re
import secrets
import shutil
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import polars as pl
from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from linkage.disk import sync
from linkage.errors import ConfigurationError, IntegrityError, PolicyError
from linkage.signed import Envelope, Signer, Verifier, canonical, opened, sign

__all__ = [
    "COHORT", "DECISIONS", "TOKEN", "Asked", "Request", "are_tokens", "check_new", "check_reason", "encode", "read_request",
    "sign_request", "write_request",
]  # fmt: skip

TOKEN = "token"  # noqa: S105 the name of a column
REQUEST, COHORT, DECISIONS = "request.json", "cohort.parquet", "decisions"
_TYPE = "linkage-cohort-request/1"
_TOKEN_BYTES = 16
_LONGEST, _LONGEST_REASON = 1 << 20, 500
_TEN_DIGITS = re.compile(r"[0-9](?:[ -]?[0-9]){9}")


class Request(BaseModel):
    """What is asked.

    Attributes:
        purpose: The purpose's name.
        purpose_digest: SHA-256 of what the configuration says of the purpose and of releases.
        reason: For the practices, and for who approves.
        requester: Who asks.
        role: As what.
        recipients: ODS codes of the practices that may learn of their own patients.
        snapshot: The run id of the snapshot that the tokens are of.
        snapshot_digest: SHA-256 of its manifest.
        domain: The tokens' domain.
        key_id: Their key version.
        people: How many.
        columns: What goes with the number, beside the reason.
        tokens_digest: SHA-256 of the file of tokens.
        made: When, UTC.
        expires: When it is no longer good, UTC.
        nonce: 32 random hexadecimal digits: no two requests are one.
    """

    model_config = ConfigDict(frozen=True, extra="forbid")

    format: Literal["linkage-cohort-request/1"] = "linkage-cohort-request/1"
    purpose: str
    purpose_digest: str
    reason: str
    requester: str
    role: str
    recipients: tuple[str, ...] = Field(min_length=1)
    snapshot: str
    snapshot_digest: str
    domain: str
    key_id: str
    people: int = Field(ge=1)
    columns: tuple[str, ...]
    tokens_digest: str
    made: AwareDatetime
    expires: AwareDatetime
    nonce: str = Field(default_factory=lambda: secrets.token_hex(16))


@dataclass(frozen=True, slots=True, repr=False)
class Asked:
    """A request that was read and checked against its signature and its tokens.

    Attributes:
        request: What it says.
        digest: SHA-256 of what was signed, hexadecimal: the request's name in the log.
        requester: Whose signature it is.
        people: `token` (Binary, 16 bytes) and the columns that go with it.
        folder: Where it is.
    """

    request: Request
    digest: str
    requester: Verifier
    people: pl.DataFrame
    folder: Path


def are_tokens(column: pl.Series) -> bool:
    """Whether a column holds nothing but tokens in their form: Binary, 16 bytes each."""
    return column.dtype == pl.Binary and not column.null_count() and bool((column.bin.size() == _TOKEN_BYTES).all())


def encode(people: pl.DataFrame) -> bytes:
    """The file of tokens, Parquet, sorted by token so that the order tells nothing."""
    buffer = io.BytesIO()
    people.sort(TOKEN).write_parquet(buffer, compression="zstd")
    return buffer.getvalue()


def check_reason(reason: str) -> str:
    """The reason, if it may stand in a practice's file.

    Raises:
        PolicyError: It is empty, long, on several lines, could be taken for a formula, or holds ten digits in a row.
    """
    reason = reason.strip()
    if not reason or len(reason) > _LONGEST_REASON or not reason.isprintable() or reason[0] in "=+-@":
        raise PolicyError(
            "the reason is not one line of words", hint="say in a sentence what the practice is to do and why"
        )
    if _TEN_DIGITS.search(reason):
        raise PolicyError("the reason holds ten digits as an NHS number has", hint="say it without")
    return reason


def sign_request(request: Request, signer: Signer) -> Envelope:
    """A request with the signature of who asks."""
    return sign(_TYPE, canonical(request), [signer])


def check_new(folder: Path) -> None:
    """Raise where a request cannot be put.

    Raises:
        ConfigurationError: The folder is there already.
    """
    if folder.exists():
        raise ConfigurationError(f"{folder} is there already", hint="name a new folder for the request")


def write_request(folder: Path, envelope: Envelope, people: bytes) -> None:
    """Write a signed request and its tokens: all of it, or nothing."""
    check_new(folder)
    aside = folder.with_name(f".{folder.name}.part")
    shutil.rmtree(aside, ignore_errors=True)
    (aside / DECISIONS).mkdir(parents=True, mode=0o700)
    aside.chmod(0o700)
    try:
        for name, content in ((REQUEST, envelope.model_dump_json(indent=1).encode()), (COHORT, people)):
            (aside / name).touch(mode=0o600)
            (aside / name).write_bytes(content)
            sync(aside / name)
        aside.rename(folder)
        sync(folder.parent)
    finally:
        shutil.rmtree(aside, ignore_errors=True)


def read_request(folder: Path, known: Iterable[Verifier]) -> Asked:
    """Read a request and its tokens.

    Args:
        folder: The request.
        known: Whose signatures count.

    Raises:
        IntegrityError: It was changed, signed by nobody known or by somebody else than it says, or its tokens are not those
            that were signed for; or a file is where its decisions belong.
    """
    content = _read(folder / REQUEST, _LONGEST)
    request, signers = opened(content, Request, _TYPE, known)
    signer = next((each for each in signers if each.name == request.requester), None)
    if signer is None:
        raise IntegrityError(
            f"{folder}: the request says it is from {request.requester}, who did not sign it", hint="ask for it again"
        )
    tokens = _read(folder / COHORT, 1 << 30)
    if hashlib.sha256(tokens).hexdigest() != request.tokens_digest:
        raise IntegrityError(
            f"{folder}: the tokens are not those that were asked for", hint="ask for the request again"
        )
    people = _people(tokens)
    if (
        people.columns != [TOKEN, *request.columns]
        or people.height != request.people
        or not are_tokens(people[TOKEN])
        or people[TOKEN].is_duplicated().any()
    ):
        raise IntegrityError(f"{folder}: the tokens are not what the request says of them", hint="ask for it again")
    if (folder / DECISIONS).exists() and not (folder / DECISIONS).is_dir():
        raise IntegrityError(f"{folder / DECISIONS}: a file is where decisions belong", hint="ask for it again")
    return Asked(request, Envelope.model_validate_json(content).digest, signer, people, folder)


def _people(tokens: bytes) -> pl.DataFrame:
    """The table in a file of tokens; an empty one where there is none."""
    try:
        return pl.read_parquet(io.BytesIO(tokens))
    except (OSError, pl.exceptions.PolarsError):
        return pl.DataFrame()


def _read(path: Path, longest: int) -> bytes:
    try:
        with path.open("rb") as file:
            content = file.read(longest + 1)
    except OSError:
        content = b""
    if not content or len(content) > longest:
        raise IntegrityError(f"{path}: missing, or cannot be read", hint="name the folder of a whole request")
    return content
