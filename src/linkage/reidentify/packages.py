"""A practice's package: an age file that its key alone opens, and a signature by which it is known to be the key holder's.

<practice>/cohort.zip.age     inside: cohort.csv, README.txt and contents.json, which is signed
<practice>/cohort.zip         instead, for a practice without an age tool: AES-256, opened by a passphrase
<practice>/signature.json     who it is for and its digest, signed: checked before it is opened

Everything is made in memory: what is written is encrypted already.
"""

from __future__ import annotations

import hashlib
import io
from dataclasses import dataclass
from datetime import datetime
from typing import Literal

import polars as pl
import pyrage
from pydantic import BaseModel, ConfigDict

from linkage.reidentify import archives
from linkage.reidentify.register import Practice
from linkage.signed import Signer, canonical, sign

__all__ = ["CSV", "SIGNATURE", "About", "Inside", "Outside", "Package", "seal"]

SEALED, ENCRYPTED, SIGNATURE = "cohort.zip.age", "cohort.zip", "signature.json"
CSV, README, CONTENTS = "cohort.csv", "README.txt", "contents.json"
OUTSIDE, INSIDE = "linkage-package/1", "linkage-package-contents/1"

_WORDS = """\
To: practice {practice}
From: {controllers}
Purpose: {purpose}
Why you receive this: {reason}

cohort.csv names {people} of the patients who are registered with you today, {made:%Y-%m-%d}, one a line: the NHS
number, the reason, and what was agreed for this purpose ({columns}). People who opted out, and
people who are registered elsewhere now, are not in it.

- Check in your own system that it is the right person before you act, and that they are still your patient.
- Use it for the purpose above and nothing else. Do not pass it on.
- Delete it when it is in your system.
- A package whose signature (signature.json) does not verify is not from us: do not use it, and tell us.

Request {request}
"""


class _Signed(BaseModel):
    model_config = ConfigDict(frozen=True, extra="forbid")

    practice: str
    request: str
    made: datetime


class Outside(_Signed):
    """What is signed beside the file."""

    format: Literal["linkage-package/1"] = "linkage-package/1"
    package_sha256: str


class Inside(_Signed):
    """What is signed in the archive."""

    format: Literal["linkage-package-contents/1"] = "linkage-package-contents/1"
    files: dict[str, str]


@dataclass(frozen=True, slots=True)
class About:
    """What all packages of a release say.

    Attributes:
        purpose: Its name.
        controllers: On whose behalf.
        reason: The request's.
        request: The request's digest.
        columns: What goes with the number.
        made: When, UTC.
    """

    purpose: str
    controllers: str
    reason: str
    request: str
    columns: tuple[str, ...]
    made: datetime


@dataclass(frozen=True, slots=True, repr=False)
class Package:
    """A sealed package, ready to be written.

    Attributes:
        practice: Whose it is.
        name: The file's name.
        sealed: The file.
        signature: What it is known by.
        passphrase: What opens it, where that is not the practice's key.
    """

    practice: str
    name: str
    sealed: bytes
    signature: bytes
    passphrase: str | None

    @property
    def path(self) -> str:
        """Where it is in a release."""
        return f"{self.practice}/{self.name}"

    @property
    def digest(self) -> str:
        """SHA-256 of the file, hexadecimal."""
        return hashlib.sha256(self.sealed).hexdigest()


def seal(practice: Practice, people: pl.DataFrame, about: About, signer: Signer) -> Package:
    """Make the package of one practice.

    Args:
        practice: Its ODS code, and its age public key where it has one.
        people: `number` (Int64) and the agreed columns, of its own patients.
        about: What all packages of the release say.
        signer: The key holder's.
    """
    words = _WORDS.format(
        practice=practice.code,
        controllers=about.controllers,
        purpose=about.purpose,
        reason=about.reason,
        people=f"{people.height:,}",
        made=about.made,
        columns=", ".join(about.columns) or "nothing more",
        request=about.request,
    )
    files = {CSV: _csv(people, about), README: words.encode()}
    digests = {name: hashlib.sha256(content).hexdigest() for name, content in files.items()}
    inside = Inside(practice=practice.code, request=about.request, made=about.made, files=digests)
    files[CONTENTS] = sign(INSIDE, canonical(inside), [signer]).model_dump_json(indent=1).encode()
    passphrase = None if practice.recipient else archives.new_passphrase()
    if passphrase is not None:
        name, sealed = ENCRYPTED, archives.encrypted(files, passphrase)
    else:
        recipient = pyrage.x25519.Recipient.from_str(practice.recipient)
        name, sealed = SEALED, bytes(pyrage.encrypt(archives.plain(files, about.made), [recipient]))
    outside = Outside(
        practice=practice.code,
        request=about.request,
        made=about.made,
        package_sha256=hashlib.sha256(sealed).hexdigest(),
    )
    signature = sign(OUTSIDE, canonical(outside), [signer]).model_dump_json(indent=1).encode()
    return Package(practice.code, name, sealed, signature, passphrase)


def _csv(people: pl.DataFrame, about: About) -> bytes:
    number = pl.col("number").cast(pl.String).str.zfill(10).alias("nhs_number")
    buffer = io.BytesIO()
    people.select(number, pl.lit(about.reason).alias("reason"), *about.columns).sort("nhs_number").write_csv(buffer)
    return buffer.getvalue()
