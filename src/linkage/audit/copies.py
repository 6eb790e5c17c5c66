"""A log outside its keeper's hands: copies for others to read, and the witness, who cosigns what only continues.

<state>/<log name>.key         the log's public key, from when the witness first saw it
<state>/<log name>.cosigned    the last checkpoint that the witness cosigned; kept before it is given to anybody
"""

from __future__ import annotations

import csv
import re
import shutil
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path

from filelock import FileLock

from linkage.audit.entries import Entry
from linkage.audit.journal import Journal
from linkage.audit.log import lines_of
from linkage.audit.notes import Checkpoint, cosignatures, open_checkpoint
from linkage.audit.signing import public_key
from linkage.audit.verify import prove, verify, witness
from linkage.disk import replace
from linkage.errors import InputError, IntegrityError, PolicyError
from linkage.signed import Signer, Verifier

__all__ = ["Witness", "export", "take"]

FILES = ("entries", "checkpoint", "public.key")
_FILE_NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]{0,99}")  # what the copy says names files of the witness's
_HINT = "keep both as they are and find out what happened before anything else is released"


def export(journal: Journal, target: Path) -> int:
    """Copy a log into a new folder for others: its lines, its checkpoints, its public key, and a table of its acts.

    Returns:
        Its entries.

    Raises:
        InputError: The folder exists.
        IntegrityError: The log is not whole.
    """
    if target.exists():
        raise InputError(f"{target} exists", hint="name a new folder")
    with journal.held() as log:
        size = log.size
        target.mkdir(parents=True)
        for name in FILES:
            shutil.copyfile(journal.folder / name, target / name)
        if journal.witnessed_file.exists():
            shutil.copyfile(journal.witnessed_file, target / "witnessed")
    with (target / "acts.csv").open("w", encoding="utf-8", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(("entry", "time", "act", "phase", "of", "by", "details"))
        for place, line in enumerate(lines_of(target)):
            entry = Entry.model_validate_json(line)
            details = "; ".join(f"{name} {_shown(value)}" for name, value in sorted(entry.details.items()))
            of = "" if entry.of is None else entry.of
            rows.writerow((place, f"{entry.time:%Y-%m-%dT%H:%M:%SZ}", entry.act, entry.phase, of, entry.by, details))
    return size


def _shown(value: object) -> str:
    return " ".join(value) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True, slots=True)
class Witness:
    """Who cosigns logs of others.

    Attributes:
        state: Its own folder, where it keeps what it cosigned: never the log's keeper's.
        signer: Its signing key.
    """

    state: Path
    signer: Signer

    def see(self, copy: Path, now: datetime, key: Verifier | None = None) -> str:
        """Cosign the newest checkpoint of a log after checking all of a copy of it.

        Args:
            copy: From `export`, or the log itself.
            now: The clock.
            key: The log's public key, as its keeper told it; at the first time the copy's own when not given.

        Returns:
            The checkpoint with the cosignature.

        Raises:
            IntegrityError: The copy is not whole, no continuation of what was cosigned before, or has no name that can be.
            PolicyError: The log's key is another than before, or the witness's own.
        """
        shown = public_key(copy)
        if not _FILE_NAME.fullmatch(shown.name):
            raise IntegrityError(
                f"{copy}: the log's name is none that a file can have", hint="ask its keeper for a copy again"
            )
        self.state.mkdir(parents=True, exist_ok=True, mode=0o700)
        with FileLock(self.state / "lock"):
            known = key or self._known(shown.name) or shown
            if known != shown or (self._known(shown.name) or known) != known:
                raise PolicyError(
                    f"{shown.name}: its public key is not the one that is known here",
                    hint="ask the log's keeper why; a log that was begun anew is another log",
                )
            before = self.state / f"{shown.name}.cosigned"
            last = before.read_text(encoding="utf-8") if before.exists() else None
            verify(copy, shown, against=[last] if last else [])
            seen = open_checkpoint(last, shown) if last else None
            note = (copy / "checkpoint").read_text(encoding="utf-8")
            cosigned = witness(note, shown, self.signer, seen, _proof(copy, seen), now)
            replace(self.state / f"{shown.name}.key", f"{shown.name} {shown.text}\n".encode())
            replace(before, cosigned.encode())
        return cosigned

    def _known(self, name: str) -> Verifier | None:
        path = self.state / f"{name}.key"
        if not path.exists():
            return None
        try:
            said, text = path.read_text(encoding="ascii").split()
        except ValueError:
            raise IntegrityError(f"{path}: damaged", hint="restore it: it is what the log is held against") from None
        return Verifier.parse(said, text)


def take(journal: Journal, note: str) -> Checkpoint:
    """Keep a cosigned checkpoint that a witness gave back, as the newest one.

    Raises:
        PolicyError: None of the witnesses that `[audit]` names cosigned it.
        IntegrityError: It is not of this log, the log is no continuation of it, or a newer one is kept already.
    """
    seen = open_checkpoint(note, public_key(journal.folder))
    if not cosignatures(note, journal.witnesses):
        raise PolicyError(
            "none of the witnesses that [audit] names has cosigned this checkpoint",
            hint="write the witness's public signing key under [audit.witnesses], after checking it with them",
        )
    kept = journal.check_whole(against=(note,)).witnessed
    if kept is not None and kept.size > seen.size:
        raise IntegrityError(
            f"a cosigned checkpoint of {kept.size} entries is kept, and this one is of {seen.size}", hint=_HINT
        )
    replace(journal.witnessed_file, note.encode())
    return seen


def _proof(copy: Path, seen: Checkpoint | None) -> list[bytes]:
    return prove(copy, seen.size) if seen and seen.size else []
