"""`linkage feeds`: the contracts."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from linkage import contract, feed_pages

app = typer.Typer(
    help="The contracts that say what extracts hold and what happens to each column.", no_args_is_help=True
)


@app.command("list")
def list_feeds() -> None:
    """List the contracts that come with linkage."""
    for name in contract.shipped():
        feed = contract.load(name)
        typer.echo(f"{name:<12} {feed.setting:<14} {feed.title}")


@app.command()
def show(
    feed: Annotated[str, typer.Argument(help="A shipped feed's name, or the path of a contract.")],
) -> None:
    """Show a contract as a table."""
    found = contract.load(feed, Path())
    more = f" (extends {found.extends})" if found.extends else ""
    typer.echo(f"{found.name} version {found.version}: {found.title}{more}")
    for name, table in found.tables.items():
        typer.echo(f"\n{name} ({', '.join(table.files)})")
        for column, rule in table.columns.items():
            needed = " required" if rule.required else ""
            typer.echo(f"  {column:<24} {rule.role.value:<12} from {rule.source[0]}{needed}")


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
