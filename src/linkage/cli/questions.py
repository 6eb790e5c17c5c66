"""`linkage federate ask`, `show`, `approve`, `answer` and `combine`: one question to several ICSs, with files as transport."""

from __future__ import annotations

from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from linkage.answering import Answering, check
from linkage.disclosure import policy
from linkage.errors import ConfigurationError
from linkage.questions.answers import approve as approved
from linkage.questions.combine import combine as combined
from linkage.questions.combine import own_question
from linkage.questions.question import draft, put
from linkage.questions.registers import load_node, load_nodes
from linkage.questions.words import in_words, shown
from linkage.signed import Envelope, Signer

LARGEST = 1 << 24  # bytes; nothing of that size is parsed

Identity = Annotated[Path | None, typer.Option(help="The age identity that opens the signing key.")]
Key = Annotated[str, typer.Option(help="The signing key, for example age://keys/analysts.age.")]
NodeFile = Annotated[Path, typer.Argument(help="The node's file, for example node.toml.")]
QuestionFile = Annotated[Path, typer.Argument(help="The question, as its asker signed it.")]


def register(app: typer.Typer) -> None:
    """Add the commands to `linkage federate`."""
    for command in (ask, show, approve, answer, combine):
        app.command()(command)


def ask(
    parameters: Annotated[Path, typer.Argument(help="What is asked, as TOML.")],
    target: Annotated[Path, typer.Argument(help="The file to make, for the nodes.")],
    key: Key,
    *,
    days: Annotated[int, typer.Option(help="How long it may be answered.")] = 14,
    identity: Identity = None,
) -> None:
    """Sign a question, which goes to every node as a file."""
    asked = draft(parameters)
    policy(asked.policy)
    envelope = put(asked, _signer(key, identity), datetime.now(UTC), days)
    _write(target, envelope)
    _tell(in_words(own_question(_read(target)), envelope.digest))


def show(file: Annotated[Path, typer.Argument(help="A question, an approval or an answer.")]) -> None:
    """Show in words what a file says, whoever signed it."""
    _tell(shown(_read(file)))


def approve(
    node: NodeFile,
    question: QuestionFile,
    target: Annotated[Path, typer.Argument(help="The file to make: the approval.")],
    key: Key,
    *,
    identity: Identity = None,
) -> None:
    """Approve a question for this node, after reading it: by somebody who did not ask it."""
    known, signer = load_node(node), _signer(key, identity)
    checked = check(_read(question), known, datetime.now(UTC))
    if signer.verifier not in [each.verifier for each in known.approvers]:
        raise ConfigurationError("this key approves nothing here", hint=f"approvers and their keys stand in {node}")
    _tell(in_words(checked.question, checked.digest))
    _write(target, approved(checked.digest, known.name, signer, datetime.now(UTC)))
    typer.echo(f"approved by {signer.name}: {target}")


def answer(
    node: NodeFile,
    question: QuestionFile,
    approval: Annotated[Path, typer.Argument(help="The approval of somebody at this node.")],
    target: Annotated[Path, typer.Argument(help="The file to make, for the asker.")],
) -> None:
    """Answer an approved question from the current snapshot. A refusal is written down for the approvers alone."""
    known = load_node(node)
    signer = _signer(known.key, known.at(known.identity) if known.identity else None, known.base)
    _free(target)
    answered = Answering(known, signer).answer(_read(question), _read(approval), datetime.now(UTC))
    _write(target, answered)
    typer.echo(f"answered: {target}, digest {answered.digest}; look at it before it leaves")


def combine(
    nodes: Annotated[Path, typer.Argument(help="The nodes and their public keys, as TOML.")],
    question: QuestionFile,
    answers: Annotated[list[Path], typer.Argument(help="The answers that came.")],
    *,
    counts: Annotated[Path | None, typer.Option(help="Write the counts there, as CSV.")] = None,
    shares: Annotated[Path | None, typer.Option(help="Write the shares there, as CSV.")] = None,
) -> None:
    """Put answers together: sums with bounds, and who answered."""
    made = combined(_read(question), {str(path): _read(path) for path in answers}, load_nodes(nodes))
    _tell(made.lines())
    if counts is not None:
        made.table.write_csv(counts)
    if shares is not None:
        made.shares().write_csv(shares)
    total = made.table.row(-1, named=True)
    typer.echo(f"in all: {total['at_least']:,} to {total['at_most']:,} people of the nodes that answered")


def _signer(key: str, identity: Path | None, base: Path | None = None) -> Signer:
    from linkage.pseudonymise.signing_keys import open_signing_key  # noqa: PLC0415

    def passphrase() -> str:
        return str(typer.prompt("passphrase of the signing key", hide_input=True))

    return open_signing_key(key, identity=identity, passphrase=passphrase, base=base)


def _read(path: Path) -> bytes:
    try:
        content = path.read_bytes() if path.stat().st_size <= LARGEST else b""
    except OSError:
        raise ConfigurationError(f"{path}: cannot be read", hint="name a file that is there") from None
    if not content:
        raise ConfigurationError(f"{path}: empty, or larger than any file of a question", hint="ask for it again")
    return content


def _free(path: Path) -> None:
    if path.exists():
        raise ConfigurationError(f"{path} exists", hint="name a new file: nothing is overwritten")


def _write(path: Path, envelope: Envelope) -> None:
    _free(path)
    path.write_text(envelope.model_dump_json() + "\n", encoding="utf-8")


def _tell(lines: list[str]) -> None:
    for line in lines:
        typer.echo(line)
