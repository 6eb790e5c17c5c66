"""`linkage feeds`: the contracts."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Annotated

import typer

from linkage import contract, feed_pages, feed_table
from linkage.errors import ConfigurationError
from linkage.sources import draft

app = typer.Typer(
    help="The contracts that say what extracts hold and what happens to each column.", no_args_is_help=True
)


@app.command("list")
def list_feeds() -> None:
    """List the contracts that come with linkage."""
    names = contract.shipped()
    for name in names:
        feed = contract.load(name)
        typer.echo(f"{name:<{max(map(len, names))}}  {feed.setting:<14} {feed.title}")


@app.command()
def show(
    feed: Annotated[str, typer.Argument(help="A shipped feed's name, or the path of a contract.")],
) -> None:
    """Show a contract as a table."""
    # Where output goes to no terminal, COLUMNS says how wide it may be.
    typer.echo(feed_table.show(contract.load(feed, Path()), shutil.get_terminal_size((132, 24)).columns))


@app.command()
def new(
    file: Annotated[Path, typer.Argument(help="A sample: text in any encoding, packed or not; Parquet; or Arrow.")],
    name: Annotated[str | None, typer.Option(help="The feed's name; made of the file's when not given.")] = None,
    output: Annotated[Path | None, typer.Option(help="Where to write it; printed when not given.")] = None,
    header: Annotated[
        bool | None,
        typer.Option("--header/--no-header", help="Whether the first line names the columns; guessed when not said."),
    ] = None,
) -> None:
    """Draft a contract from a sample file, for a person to finish. No value of the file is shown."""
    if output is not None and output.exists():
        raise ConfigurationError(f"{output} is there already", hint="name another file, or remove that one")
    if name is not None and not contract.NAME.fullmatch(name):
        raise ConfigurationError(f"{name!r} is no name of a feed", hint="lower-case letters, digits and '_'")
    text = draft.draft(file, name, header)
    if output is None:
        typer.echo(text, nl=False)
    else:
        try:
            output.write_text(text, encoding="utf-8")
        except OSError as error:
            raise ConfigurationError(
                f"{output}: {error.strerror}", hint="name a file in a folder that exists"
            ) from None
        typer.echo(f"{output}: a draft; what is to be decided stands at its top")


@app.command()
def pages(
    directory: Annotated[Path, typer.Argument(help="Where to write them; files of the same names are replaced.")],
    feeds: Annotated[
        list[str] | None, typer.Argument(help="Feeds or contracts; all that come with linkage when none is given.")
    ] = None,
) -> None:
    """Write one Markdown page for each contract, and an index of them."""
    found = [contract.load(name, Path()) for name in feeds or contract.shipped()]
    directory.mkdir(parents=True, exist_ok=True)
    for feed in found:
        (directory / f"{feed.name}.md").write_text(feed_pages.page(feed), encoding="utf-8")
    (directory / "README.md").write_text(feed_pages.index(found), encoding="utf-8")
