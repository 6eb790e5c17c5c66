"""`linkage purposes`: what a use of the data is and on whose authority, for an information-governance lead."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, date, datetime
from pathlib import Path
from typing import Annotated

import typer

from linkage import authority, config, contract
from linkage.authority import Document
from linkage.config import Configuration, RegisteredSite, SendingSite

app = typer.Typer(help="What a use of the data is, and on whose authority.", no_args_is_help=True)

ConfigurationPath = Annotated[Path, typer.Argument(help="The linkage.toml of one purpose.")]
OnDay = Annotated[
    datetime | None, typer.Option("--on", formats=["%Y-%m-%d"], help="Judge dates as on that day; today when left out.")
]


@app.command()
def show(configuration: ConfigurationPath, on: OnDay = None) -> None:
    """Print the purpose: basis, flows and agreements, people, opt-outs, exemptions, description, retention."""
    for line in page(config.load(configuration), _day(on)):
        typer.echo(line)


@app.command()
def check(configuration: ConfigurationPath, on: OnDay = None) -> None:
    """Print every document and whether it stands; refuse (exit code 4) as a run would."""
    loaded, today = config.load(configuration), _day(on)
    for document in authority.documents(loaded):
        typer.echo(_row(_state(document, today), f"{document.what}: {document.reference or 'no reference'}"))
    for warning in authority.check(loaded, today):
        typer.echo(f"warning: {warning}", err=True)


def _day(on: datetime | None) -> date:
    return (on or datetime.now(UTC)).date()


def page(configuration: Configuration, today: date) -> Iterator[str]:
    """The lines of `linkage purposes show`."""
    purpose = configuration.purpose
    yield _row("purpose", purpose.name + (f", to {_date(purpose.ends)}" if purpose.ends else ""))
    if purpose.description:
        yield _row("", purpose.description)
    yield from _rows("controllers", purpose.controllers)
    basis = purpose.legal_basis
    yield _row("legal basis", basis.text + (f", to {_date(basis.expires)}" if basis.expires else ""))
    yield from _rows("data", _flows(configuration))
    yield _row("people", _people(configuration))
    yield from _rows("opt-outs", _optouts(configuration) if configuration.hub is None else [_AT_SITES])
    exemptions = [_exemption(each.optout, each.reference, each.expires) for each in configuration.optouts.exemptions]
    yield from _rows("exemptions", (exemptions or ["none"]) if configuration.hub is None else [_AT_SITES])
    yield from _rows("described by", _minimised(configuration) if configuration.hub is None else [_AT_SITES])
    yield _row("domain", f"{configuration.keys.domain}, keyset {configuration.keys.keyset}")
    yield _row("kept", _kept(configuration)) if configuration.site is None else _handed_over(configuration.site)
    yield from _rows("named again", _reidentified(configuration))
    documents = authority.documents(configuration)
    yield from _rows("refused", [problem for each in documents if (problem := each.problem(today))])
    yield from _rows("warnings", authority.warnings(configuration, today))


_AT_SITES = "as each site's own configuration says"


def _handed_over(site: SendingSite) -> str:
    return _row("handed over", f"as {site.name}, sealed to {len(site.recipients)} public keys, into {site.outbox}")


def _row(heading: str, text: str) -> str:
    return f"{heading:<13} {text}"


def _rows(heading: str, texts: list[str] | tuple[str, ...]) -> Iterator[str]:
    for place, text in enumerate(texts):
        yield _row("" if place else heading, text)


def _date(day: date) -> str:
    return f"{day.day} {day:%B %Y}"


def _state(document: Document, today: date) -> str:
    if document.problem(today):
        return "ENDED" if document.ends and document.ends < today else "NOT YET"
    days = document.days_left(today)
    return "stands" if days is None else f"{days} days"


def _flows(configuration: Configuration) -> list[str]:
    listed = {agreement.reference: agreement for agreement in configuration.purpose.agreements}
    made = []
    for flow in configuration.flows:
        feed = contract.load(flow.feed, configuration.base)
        words = [f"{feed.name}: {feed.title}" if feed.title else feed.name, flow.agreement or "no agreement named"]
        agreement = listed.get(flow.agreement)
        if agreement:
            words += [" and ".join(agreement.parties)] if agreement.parties else []
            words.append(f"to {_date(agreement.ends)}")
        if flow.optouts_applied_upstream:
            words.append(f"opt-outs applied upstream by {flow.optouts_applied_upstream}")
        made.append(", ".join(words))
    return made + [_site(site) for site in configuration.hub.sites] if configuration.hub else made


def _site(site: RegisteredSite) -> str:
    words = [
        f"site {site.name}: {', '.join(site.feeds)}",
        site.agreement or "no agreement named",
        f"domain {site.domain}",
    ]
    return ", ".join([*words, *([f"revoked from {_date(site.revoked)}: {site.why}"] if site.revoked else [])])


def _optouts(configuration: Configuration) -> list[str]:
    rules = configuration.optouts
    if rules.national is None:
        national = "not configured: a run over NHS numbers is refused"
    else:
        national = f"only those whom the service returned, asked at most {rules.national.max_age_days} days ago"
    binding = {
        "national": national,
        "type1": f"removes {'everything' if rules.type1.applies_to == 'everything' else 'GP records'} of the person; "
        f"GP records at most {rules.type1.max_age_days} days old",
        "practices": f"records of practices that do not share; agreements at most {rules.practices.max_age_days} days "
        "old" + (f", and the list {rules.practices.list}" if rules.practices.list else ""),
    }
    if rules.exempt("practices_moved") and not rules.exempt("practices"):
        binding["practices"] += "; of people who moved to one, records from before are LIFTED by an exemption"
    kept = {
        "objections": rules.objections and f"removes everything of the people on the list {rules.objections.list}",
        "sensitive": rules.sensitive and f"removes everything of the people on the list {rules.sensitive.list}",
        "restricted": rules.restricted and f"removes records with a code on the list {rules.restricted.list}",
    }
    binding |= {name: words for name, words in kept.items() if words}
    for own in rules.registers:
        where = "everything" if own.applies_to == "everything" else "GP records"
        binding[own.name] = f"removes {where} of the people whom {own.file} names"
    return [
        f"{name}: {'LIFTED by an exemption' if rules.exempt(name) else 'binds: ' + words}"
        for name, words in binding.items()
    ]


def _exemption(optout: str, reference: str, expires: date | None) -> str:
    return f"from {optout}, by {reference}" + (f", to {_date(expires)}" if expires else ", without an end")


def _minimised(configuration: Configuration) -> list[str]:
    rules = configuration.minimise
    birth = "year of birth" if rules.birth == "year" else "year and month of birth"
    home = "neighbourhood (LSOA) and deprivation decile" if rules.postcodes else "postcode district"
    return [f"{birth}, month of death, {home}; names, contacts and free text dropped"]


def _people(configuration: Configuration) -> str:
    rules = configuration.purpose.population
    if rules is None:
        return "everybody in the flows" if configuration.hub is None else "everybody whom the sites hand over"
    words = []
    if isinstance(rules.practices, Path):
        words.append(f"registered with a practice of the list {rules.practices}")
    elif rules.practices:
        words.append(f"registered with {' or '.join(rules.practices)}")
    if rules.min_age is not None:
        words.append(f"at least {rules.min_age} years old")
    if rules.max_age is not None:
        words.append(f"at most {rules.max_age} years old")
    if rules.max_people is not None:
        words.append(f"no more than {rules.max_people:,} people")
    return ", ".join(words) + (f" ({rules.reference})" if rules.reference else "")


def _kept(configuration: Configuration) -> str:
    text = f"{configuration.store.keep} snapshots"
    retention = configuration.purpose.retention
    if retention is None:
        return text
    return f"{text}, none longer than {retention.days} days" + (
        f" ({retention.reference})" if retention.reference else ""
    )


def _reidentified(configuration: Configuration) -> list[str]:
    rules = configuration.purpose.reidentification
    if not rules.allowed:
        return ["no: re-identification is not allowed"]
    people = "one other person" if rules.approvals == 1 else f"{rules.approvals} other people"
    return [
        f"by {', '.join(rules.roles)}, at most {rules.max_people:,} people in a request ({rules.reference})",
        f"at most {rules.most:,} people in {rules.total_days} days; each request approved by {people}, "
        f"within {rules.expires_days} days",
        f"with the NHS number and the reason go: {', '.join(rules.columns) or 'nothing more'}",
    ]
