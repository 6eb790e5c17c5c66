"""Asking for a cohort, and deciding about what was asked: everything of the way back that needs no key of the key holder.

    cohort ─▶ tokens of the current snapshot, within the purpose's limits ─▶ a signed request ─▶ decisions of others

Who asks holds a signing key and can read the store. Each step is in the log before it is done.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from datetime import datetime, timedelta
from pathlib import Path

import polars as pl

from linkage import authority, config
from linkage.audit import Journal
from linkage.config import Configuration
from linkage.config import Release as Rules
from linkage.errors import ConfigurationError, InputError, IntegrityError, PolicyError
from linkage.reidentify import request as requests
from linkage.reidentify import states
from linkage.reidentify.decisions import Decision, Verdict, approvals, check_may_decide, write_decision
from linkage.reidentify.register import Registered, read_register
from linkage.reidentify.request import TOKEN, Asked, Request
from linkage.reidentify.states import History, State
from linkage.signed import Signer, canonical
from linkage.store import shell
from linkage.store.manifest import SnapshotManifest

__all__ = [
    "Asking",
    "Made",
    "Ready",
    "Standing",
    "decide",
    "look",
    "one",
    "purpose_digest",
    "ready",
    "request",
    "tokens_of",
]

_TOKEN_BYTES = 16
_PLAIN = (pl.Boolean, pl.Date, pl.Float32, pl.Float64, pl.String)


@dataclass(frozen=True, slots=True)
class Asking:
    """Why, and for whom.

    Attributes:
        reason: One line for the practices and the approvers.
        recipients: ODS codes of the practices that may learn of their own patients.
        role: As what somebody asks; their only role that may when not given.
    """

    reason: str
    recipients: Sequence[str]
    role: str | None = None


@dataclass(frozen=True, slots=True)
class Made:
    """A request that was made.

    Attributes:
        digest: Its name in the log.
        people: How many it is for.
        expires: When it is no longer good, UTC.
        left: For how many more people the purpose allows releases, before this one.
    """

    digest: str
    people: int
    expires: datetime
    left: int


@dataclass(frozen=True, slots=True)
class Ready:
    """A purpose that allows the way back, with its register read: what every step begins with."""

    configuration: Configuration
    rules: Rules
    registered: Registered
    journal: Journal
    now: datetime

    @property
    def history(self) -> History:
        """What the log says of requests."""
        return History.of(self.journal.folder)

    def check_limit(self, people: int, history: History) -> int:
        """Refuse what is above the purpose's limits; how many are left before it.

        Raises:
            PolicyError: Too many people at once, or with those who were released before.
        """
        rules, purpose = self.configuration.purpose.reidentification, self.configuration.purpose.name
        if people > rules.max_people:
            raise PolicyError(
                f"{people:,} people, and the purpose allows {rules.max_people:,} in a request", hint="ask for fewer"
            )
        left = rules.most - history.released(purpose, self.now - timedelta(days=rules.total_days))
        if people > left:
            raise PolicyError(
                f"{people:,} people, and of the {rules.most:,} that the purpose allows in {rules.total_days} days "
                f"{max(left, 0):,} are left",
                hint="ask for fewer, or later; the governance lead can have the limit changed",
            )
        return left


@dataclass(frozen=True, slots=True)
class Standing:
    """A request as an approver sees it.

    Attributes:
        asked: The request.
        state: Where it stands by the log.
        approved: Who approved it as it is.
        void: Approvals of what it or the purpose was before.
        needed: How many approvals the purpose wants.
    """

    asked: Asked
    state: State
    approved: tuple[str, ...]
    void: int
    needed: int


def ready(path: Path, now: datetime) -> Ready:
    """Read what allows the way back.

    Raises:
        PolicyError: The purpose does not allow it, a document has ended, or the register does not stand.
        ConfigurationError: There is no `[release]`.
    """
    configuration = config.load(path)
    authority.check(configuration, now.date())
    if not configuration.purpose.reidentification.allowed:
        raise PolicyError(
            f"the purpose {configuration.purpose.name} does not allow re-identification",
            hint="[purpose.reidentification] needs the document that does",
        )
    if configuration.release is None:
        raise ConfigurationError("there is no [release] in the configuration", hint="see docs/how-to/cohort-to-care.md")
    rules = configuration.release
    registered = read_register(configuration.at(rules.registered), rules.verifier(), now.date())
    journal = replace(Journal.of(configuration), now=lambda: now)
    return Ready(configuration, rules, registered, journal, now)


def purpose_digest(configuration: Configuration) -> str:
    """SHA-256 of what the configuration says of the purpose and of releases: another purpose has nobody's approval."""
    said = configuration.model_dump(mode="json", include={"purpose": True, "release": True, "keys": {"domain"}})
    return hashlib.sha256(canonical(said)).hexdigest()


def tokens_of(cohort: str, snapshot: Path) -> pl.DataFrame:
    """The rows of a cohort.

    Args:
        cohort: A file `.parquet`, `.csv` or `.sql`, or a query itself.
        snapshot: Where a query is asked.

    Raises:
        InputError: The file cannot be read.
        ConfigurationError: The query cannot be run.
    """
    path, kind = Path(cohort), cohort.lower().rpartition(".")[2]
    try:
        if kind == "parquet":
            return pl.read_parquet(path)
        if kind == "csv":
            return pl.read_csv(path)
        text = path.read_text(encoding="utf-8") if kind == "sql" else cohort
    except (OSError, UnicodeDecodeError, pl.exceptions.PolarsError):
        raise InputError(f"{cohort}: cannot be read as a cohort", hint="give a query, or a file of tokens") from None
    return shell.rows(snapshot, text)


def request(path: Path, cohort: str, asking: Asking, signer: Signer, folder: Path, now: datetime) -> Made:
    """Ask for a cohort.

    Args:
        path: The `linkage.toml`.
        cohort: As `tokens_of` takes it: a column `token`, and others that the purpose agrees to.
        asking: Why, and for whom.
        signer: Who asks.
        folder: The folder to make.
        now: The clock, UTC.

    Raises:
        PolicyError: The purpose or the register does not allow it, or it is above a limit.
        InputError: A token is not in the current snapshot, or is there twice.
    """
    return _request(ready(path, now), lambda snapshot: tokens_of(cohort, snapshot), asking, signer, folder)


def one(path: Path, token: str, asking: Asking, signer: Signer, folder: Path, now: datetime) -> Made:
    """Ask for one person: a cohort of one, under the same rules and limits."""
    return _request(ready(path, now), lambda _: pl.DataFrame({TOKEN: [token]}), asking, signer, folder)


def decide(path: Path, folder: Path, verdict: Verdict, signer: Signer, now: datetime) -> Standing:
    """Approve, refuse or withdraw a request.

    Args:
        path: The `linkage.toml`.
        folder: The request.
        verdict: What is said.
        signer: Who says it.
        now: The clock, UTC.

    Raises:
        PolicyError: They may not, or the request is not open any more.
        IntegrityError: The request was changed.
    """
    begun = ready(path, now)
    asked = requests.read_request(folder, begun.registered.verifiers)
    digest = purpose_digest(begun.configuration)
    check_still_good(begun, asked, digest, begun.history)
    check_may_decide(asked, verdict, signer.verifier, begun.registered)
    decision = Decision(request=asked.digest, purpose_digest=digest, verdict=verdict, by=signer.name, made=now)
    role = "requester" if verdict is Verdict.WITHDRAW else "approver"
    details = {"request": asked.digest, "purpose": begun.configuration.purpose.name}
    with begun.journal.act(f"cohort.{verdict.value}", f"{role} {signer.verifier.key_id}", **details):
        write_decision(asked, decision, signer)
    return look(path, folder, now)


def look(path: Path, folder: Path, now: datetime) -> Standing:
    """Read a request and say where it stands; nothing is changed."""
    begun = ready(path, now)
    asked = requests.read_request(folder, begun.registered.verifiers)
    approved, void = approvals(asked, purpose_digest(begun.configuration), begun.registered)
    state = begun.history.state(asked.digest)
    if state is State.OPEN and asked.request.expires <= now:
        state = State.EXPIRED
    needed = begun.configuration.purpose.reidentification.approvals
    return Standing(asked, state, tuple(each.name for each in approved), void, needed)


def check_still_good(begun: Ready, asked: Asked, digest: str, history: History) -> None:
    """Raise unless a request can still be decided about: open, not expired, of this purpose as it is.

    Raises:
        PolicyError: It cannot; says why. That it has expired is put into the log, where no clock that is turned back undoes it.
    """
    history.check_open(asked.digest)
    said, configuration = asked.request, begun.configuration
    if said.purpose_digest != digest or said.domain != configuration.keys.domain:
        raise PolicyError(
            "the purpose has changed since the request was made: nobody has approved it as it is",
            hint="make a new request",
        )
    if said.expires <= begun.now:
        by = f"register {begun.registered.digest[:16]}"
        with begun.journal.act(states.EXPIRE, by, request=asked.digest, purpose=configuration.purpose.name):
            pass
        raise PolicyError(f"the request expired on {said.expires:%Y-%m-%d %H:%M}", hint="make a new request")
    rules = configuration.purpose.reidentification
    if said.role not in rules.roles:
        raise PolicyError(f"nobody may ask as {said.role}", hint="the purpose names the roles that may")
    begun.registered.check_role(asked.requester, said.role)
    if said.expires - said.made > timedelta(days=rules.expires_days) or said.made > begun.now + timedelta(hours=1):
        raise PolicyError("the request's dates are not those that the purpose allows", hint="make a new request")


def _request(begun: Ready, found: Callable[[Path], pl.DataFrame], asking: Asking, signer: Signer, folder: Path) -> Made:
    configuration, rules = begun.configuration, begun.configuration.purpose.reidentification
    reason, role = requests.check_reason(asking.reason), _role(begun, asking, signer)
    recipients = _recipients(begun, asking.recipients)
    requests.check_new(folder)
    snapshot = shell.snapshot(configuration.at(configuration.store.path))
    manifest = (snapshot / "manifest.json").read_bytes()
    said = _manifest(manifest, configuration)
    people = _people(found(snapshot), rules.columns, snapshot, said)
    left = begun.check_limit(people.height, begun.history)
    content = requests.encode(people)
    made = Request(
        purpose=configuration.purpose.name,
        purpose_digest=purpose_digest(configuration),
        reason=reason,
        requester=signer.name,
        role=role,
        recipients=recipients,
        snapshot=said.run_id,
        snapshot_digest=hashlib.sha256(manifest).hexdigest(),
        domain=said.domain,
        key_id=said.key_id,
        people=people.height,
        columns=tuple(name for name in people.columns if name != TOKEN),
        tokens_digest=hashlib.sha256(content).hexdigest(),
        made=begun.now,
        expires=begun.now + timedelta(days=rules.expires_days),
    )
    envelope = requests.sign_request(made, signer)
    by = f"requester {signer.verifier.key_id}"
    with begun.journal.act(
        states.REQUEST, by, request=envelope.digest, purpose=made.purpose, people=made.people, snapshot=made.snapshot
    ):
        requests.write_request(folder, envelope, content)
    return Made(envelope.digest, made.people, made.expires, left)


def _role(begun: Ready, asking: Asking, signer: Signer) -> str:
    allowed = begun.configuration.purpose.reidentification.roles
    own = [role for role in begun.registered.person(signer.verifier).roles if role in allowed]
    role = asking.role or (own[0] if len(own) == 1 else None)
    if role not in own:
        raise PolicyError(
            f"{signer.name} is not registered in a role that may ask: {', '.join(allowed)}",
            hint="ask the governance lead; with several such roles, say as which you ask",
        )
    return role


def _recipients(begun: Ready, codes: Sequence[str]) -> tuple[str, ...]:
    found = tuple(sorted({code.strip().upper() for code in codes}))
    unknown = [code for code in found if code not in begun.registered.recipients]
    if not found or unknown:
        raise PolicyError(
            f"{unknown[0] if unknown else 'nobody'} cannot receive a package: it has no key in the register",
            hint="ask the governance lead to register the practice's age public key",
        )
    return found


def _manifest(content: bytes, configuration: Configuration) -> SnapshotManifest:
    try:
        said = SnapshotManifest.model_validate_json(content)
    except ValueError:
        raise IntegrityError("the snapshot's manifest cannot be read", hint="run the pipeline again") from None
    if said.domain != configuration.keys.domain:
        raise PolicyError(
            "the current snapshot is of another domain than the configuration's", hint="run the pipeline again"
        )
    return said


def _people(rows: pl.DataFrame, agreed: Sequence[str], snapshot: Path, said: SnapshotManifest) -> pl.DataFrame:
    """The cohort with its tokens as 16 bytes, all of them in the snapshot, and no column but those that were agreed."""
    if TOKEN not in rows.columns:
        raise InputError("the cohort has no column called token", hint="select the token of the person table")
    more = [name for name in rows.columns if name not in {TOKEN, *agreed}]
    if more:
        raise PolicyError(
            f"the cohort's column {more[0]} is not among those that may go with an NHS number",
            hint="leave it out; the purpose names them: [purpose.reidentification] columns",
        )
    people = rows.select(_binary(rows[TOKEN]), *(name for name in agreed if name in rows.columns))
    for name in people.columns[1:]:
        _check_column(people[name])
    if not people.height or people[TOKEN].is_duplicated().any():
        raise InputError("the cohort is empty, or names somebody twice", hint="one row for each person")
    files = [snapshot / file.path for table in said.tables if table.name == "person" for file in table.files]
    known = pl.scan_parquet(files).select(TOKEN)
    missing = people.height - known.join(people.lazy().select(TOKEN), on=TOKEN, how="semi").collect().height
    if missing:
        raise InputError(
            f"{missing:,} of the cohort's {people.height:,} tokens are not in the current snapshot",
            hint="select the cohort from it: people leave with their opt-outs, and tokens change with their key",
        )
    return people


def _binary(tokens: pl.Series) -> pl.Series:
    """Tokens as 16 bytes; text is a UUID."""
    if tokens.dtype == pl.String:
        tokens = tokens.str.replace_all("-", "", literal=True).str.to_lowercase().str.decode("hex", strict=False)
    if tokens.dtype != pl.Binary or tokens.null_count() or not (tokens.bin.size() == _TOKEN_BYTES).all():
        raise InputError("the cohort's column token holds what is no token", hint="select it as it is in the snapshot")
    return tokens


def _check_column(column: pl.Series) -> None:
    """Refuse what could name somebody, or what a spreadsheet would run."""
    if not (column.dtype.is_integer() or column.dtype.is_decimal() or column.dtype in _PLAIN):
        raise InputError(f"the cohort's column {column.name} is neither text, a number nor a date", hint="leave it out")
    if column.dtype != pl.String:
        return
    bad = (
        column.str.contains(r"^[=+@\t\r-]") | column.str.contains(r"[0-9]([ -]?[0-9]){9}") | column.str.contains(r"\n")
    )
    if bad.any():
        raise InputError(
            f"the cohort's column {column.name} holds lines, formulas, or ten digits as an NHS number has",
            hint="give words and figures",
        )
