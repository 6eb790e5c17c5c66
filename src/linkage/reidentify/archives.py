"""Archives that packages are made of: a plain ZIP inside an age file, or, for a practice that cannot run an age tool, an
AES-256 ZIP whose passphrase goes to it by another way (extra `zip`).
"""

from __future__ import annotations

import io
import secrets
import zipfile
from datetime import UTC, datetime
from importlib.util import find_spec

from linkage.errors import ConfigurationError, IntegrityError, KeyUnavailableError

__all__ = ["check_can_encrypt", "encrypted", "new_passphrase", "plain", "read", "read_encrypted"]

_LONGEST = 1 << 30
_AGAIN = "ask for it again"
# Without letters and digits that are taken for one another.
_LETTERS = "abcdefghjkmnpqrstuvwxyz23456789"


def check_can_encrypt() -> None:
    """Raise where encrypted archives cannot be made here.

    Raises:
        ConfigurationError: The extra is not installed.
    """
    if find_spec("pyzipper") is None:
        raise ConfigurationError(
            "a practice of the register takes encrypted ZIP files, and those cannot be made here",
            hint='install the extra: pip install "linkage[zip]"',
        )


def new_passphrase() -> str:
    """24 random letters and digits in groups of four: 118 bits, and good to read out."""
    found = "".join(secrets.choice(_LETTERS) for _ in range(24))
    return "-".join(found[place : place + 4] for place in range(0, 24, 4))


def plain(files: dict[str, bytes], made: datetime) -> bytes:
    """A ZIP archive of some files."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, content in files.items():
            archive.writestr(zipfile.ZipInfo(name, made.astimezone(UTC).timetuple()[:6]), content, zipfile.ZIP_DEFLATED)
    return buffer.getvalue()


def encrypted(files: dict[str, bytes], passphrase: str) -> bytes:
    """The same, each file under AES-256 with a key from the passphrase; names and sizes stay readable."""
    import pyzipper  # noqa: PLC0415 an extra

    buffer = io.BytesIO()
    with pyzipper.AESZipFile(buffer, "w", compression=pyzipper.ZIP_DEFLATED) as archive:
        archive.setpassword(passphrase.encode())
        archive.setencryption(pyzipper.WZ_AES, nbits=256)
        for name, content in files.items():
            archive.writestr(name, content)
    return buffer.getvalue()


def read(content: bytes) -> dict[str, bytes]:
    """The files of a plain archive.

    Raises:
        IntegrityError: It is none, is damaged, or holds more than a cohort can.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(content)) as archive:
            return _all(archive)
    except (zipfile.BadZipFile, EOFError, OSError):
        raise IntegrityError("the package holds no archive that can be read", hint=_AGAIN) from None


def read_encrypted(content: bytes, passphrase: str) -> dict[str, bytes]:
    """The files of an encrypted archive.

    Raises:
        KeyUnavailableError: The passphrase does not open it.
        IntegrityError: As `read`.
    """
    import pyzipper  # noqa: PLC0415 an extra

    try:
        with pyzipper.AESZipFile(io.BytesIO(content)) as archive:
            archive.setpassword(passphrase.strip().encode())
            return _all(archive)
    except RuntimeError:
        raise KeyUnavailableError("the passphrase does not open the package", hint="it is another package's") from None
    except (pyzipper.BadZipFile, EOFError, OSError):
        raise IntegrityError("the package holds no archive that can be read", hint=_AGAIN) from None


def _all(archive: zipfile.ZipFile) -> dict[str, bytes]:
    if sum(each.file_size for each in archive.infolist()) > _LONGEST:
        raise IntegrityError("the package holds more than a cohort can", hint=_AGAIN)
    return {each.filename: archive.read(each) for each in archive.infolist()}
