"""`linkage demo`: a made-up ICS, the whole pipeline on it, and where to look."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage import pipeline, synthetic
from linkage.cli.run import show
from linkage.errors import ConfigurationError
from linkage.progress import Progress
from linkage.pseudonymise import Keyset

QUERIES = (
    "SELECT sources, count(*) AS people FROM person GROUP BY sources ORDER BY people DESC LIMIT 10;",
    "SELECT feed, kind, count(*) AS events, count(DISTINCT token) AS people FROM event GROUP BY ALL ORDER BY ALL;",
    "SELECT p.imd_decile, count(*) FILTER (e.kind = 'attendance') / count(DISTINCT p.token) AS attendances_a_person\n"
    "  FROM person p LEFT JOIN event e USING (token) GROUP BY ALL ORDER BY ALL;",
)

CONFIGURATION = """\
# One use of the data, on one page. Everyone in it is made up.
allow_test_numbers = true
private = "private"

[purpose]
name = "demo"
description = "Show the whole line on a made-up ICS"
controllers = ["A made-up Integrated Care Board"]
legal_basis = { kind = "not_personal", description = "made-up data about nobody" }
retention = { days = 400, reference = "DEMO-RET-1" }

[[purpose.agreements]]
reference = "DEMO-DSA-1"
parties = ["every made-up provider", "A made-up Integrated Care Board"]
ends = 2099-12-31

[keys]
keyset = "age://keys/ics.age"
domain = "ics:demo"

[store]
path = "store"

[optouts.national]
requests = "optouts/national/requests/*.dat"
answers = "optouts/national/answers/*.dat"
max_age_days = 7
mailbox = "X26OT154"

[optouts.type1]
applies_to = "everything"
max_age_days = 35

[optouts.practices]
list = "optouts/practices.csv"
max_age_days = 35

[minimise]
birth = "year"
postcodes = "reference/onspd.csv"
"""

FEW = 5_000
OF_FEW = "max_not_asked = 0.5  # of few people one who was never asked about may have a large part of a table\n"

FLOWS = ("emis", "tpp", "sus_apc", "sus_op", "ecds", "csds", "mhsds", "cld", "iuc111", "cad999", "pds", "deaths")
FLAT_FLOWS = ("sus_apc_flat", "sus_op_flat", "ecds_flat")


def register(app: typer.Typer) -> None:
    """Add the command to the application."""
    app.command("demo")(demo)


def demo(
    directory: Annotated[Path, typer.Argument(help="Where to put it: a new folder.")] = Path("demo"),
    people: Annotated[int, typer.Option(min=500, help="How many people to make up.")] = 20_000,
    seed: Annotated[int, typer.Option(help="Another seed makes other people.")] = 1,
    flat: Annotated[bool, typer.Option("--flat", help="The third hospital delivers flat extracts.")] = False,
) -> None:
    """Make up an ICS, run everything on it, and say where the result is."""
    make(directory, people, seed, flat=flat)
    report = pipeline.run(directory / "linkage.toml")
    show(report)
    typer.echo(f"\nThe linked data: {_near(report.snapshot)}")
    typer.echo(f"The truth about everyone in it: {directory / 'truth'}")
    typer.echo(f"\nThree queries to try, in DuckDB on {_near(report.database)},")
    typer.echo(f'or in Python: import linkage; linkage.open_store("{directory / "store"}").sql("...").show()')
    for query in QUERIES:
        typer.echo(f"\n  {query}")


def make(directory: Path, people: int, seed: int, *, flat: bool = False) -> None:
    """Make up an ICS with its configuration and key; a folder that holds anything is refused."""
    if directory.is_file() or (directory.is_dir() and any(directory.iterdir())):
        raise ConfigurationError(f"{directory} is there already", hint="name a new folder, or remove that one")
    directory.mkdir(parents=True, exist_ok=True)
    with Progress().stage("making up people", people) as stage:

        def advance(done: int, _: int) -> None:
            stage.advance(done - stage.rows)

        made = synthetic.make(directory, people=people, seed=seed, progress=advance, flat=flat)
    configuration = text(FLOWS + FLAT_FLOWS if flat else FLOWS)
    if people < FEW:
        configuration = configuration.replace("max_age_days = 7\n", f"max_age_days = 7\n{OF_FEW}", 1)
    (directory / "linkage.toml").write_text(configuration, encoding="utf-8")
    (directory / "keys").mkdir()
    Keyset.create(directory / "keys" / "ics.age")
    typer.echo(f"made up {made.people:,} people and {made.rows:,} rows in {directory}")


def _near(path: Path | None) -> Path:
    """A path as one would type it here."""
    here = Path.cwd()
    return path.relative_to(here) if path and path.is_relative_to(here) else path or Path()


def text(flows: tuple[str, ...] = FLOWS) -> str:
    """The demo's configuration."""
    return CONFIGURATION + "".join(
        f'\n[[flows]]\nfeed = "{feed}"\npath = "extracts/{feed}"\nagreement = "DEMO-DSA-1"\n' for feed in flows
    )
