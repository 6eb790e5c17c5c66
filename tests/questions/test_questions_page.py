"""The page about questions to several ICSs is true: its commands run as they stand, and no key is left out."""

from __future__ import annotations

import re
import shlex
import sys
from collections.abc import Callable
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest

from linkage.cli import main
from linkage.questions import dimensions, parts, question, registers
from questions.stores import One, publish

PAGE = (Path(__file__).parents[2] / "docs" / "how-to" / "ask-several-icss.md").read_text(encoding="utf-8")
Shell = Callable[[str], str]
BLOCKS = {kind: re.findall(rf"```{kind}\n(.*?)```", PAGE, re.DOTALL) for kind in ("sh", "toml", "python")}


def test_the_page_runs(tmp_path: Path, shell: Shell) -> None:
    """Every command and sample of it, with one of its three ICSs."""
    first, *others = BLOCKS["sh"]
    keys = dict(re.findall(r"signs as (\S+): (ed25519:\S+)", shell(first)))
    node, asked, nodes = BLOCKS["toml"]
    for place, pinned in ((node, ["region.analysts", "qxx.governance"]), (nodes, ["qxx"])):
        for name in pinned:
            place = place.replace("ed25519:…", keys[name], 1)
        (tmp_path / ("nodes.toml" if place.startswith("[[nodes]]") else "qxx/node.toml")).write_text(
            place, encoding="utf-8"
        )
    (tmp_path / "question.toml").write_text(asked)
    (tmp_path / "qxx" / "practices.csv").write_text("ods_code\nA10001\n")
    visits = [date(2025, 10, 1), date(2026, 9, 30)]
    people = [One(each, born=1980, attendances=visits if each % 3 else ()) for each in range(1, 91)]
    publish(tmp_path / "qxx" / "store", people, datetime.now(UTC))
    said = "".join(shell(each) for each in others)
    assert "1 of 3 nodes answered" in said
    assert "qzz: no answer" in said
    assert pl.read_csv(tmp_path / "shares.csv", infer_schema=False).row(-1)[:3] == ("(all)", "(all)", "66.7")
    assert (tmp_path / "qxx" / "audit" / "entries").is_file()
    assert len(list((tmp_path / "qxx" / "answering" / "answered").iterdir())) == 1
    names: dict[str, object] = {}
    for block in BLOCKS["python"]:
        exec(compile(block, "ask-several-icss.md", "exec"), names)  # noqa: S102 our own page
    assert isinstance(names["shares"], pl.DataFrame)


@pytest.fixture
def shell(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Shell:
    """The page's command lines, in a new folder, in this process."""
    monkeypatch.chdir(tmp_path)

    def run(commands: str) -> str:
        for line in commands.replace("\\\n", "").splitlines():
            monkeypatch.setattr(sys, "argv", shlex.split(line))
            assert sys.argv[0] == "linkage"
            with pytest.raises(SystemExit) as ended:
                main()
            assert not ended.value.code, capsys.readouterr().err
        return capsys.readouterr().out

    return run


MODELS = (
    registers.Node, registers.NodePurpose, registers.Known, registers.Nodes, question.Asked, question.Cohort, parts.Criterion,
    parts.Codes, dimensions.Age, dimensions.Deprivation, dimensions.Known, dimensions.Has, dimensions.Number,
)  # fmt: skip


@pytest.mark.parametrize("model", MODELS)
def test_every_key_is_on_the_page(model: type[parts.Strict]) -> None:
    """In a sample or between backticks."""
    for name, field in model.model_fields.items():
        shown = rf"^{name} = |\[\[?{name}\]|`{name}`|`{name} = "
        assert field.exclude or re.search(shown, PAGE, re.MULTILINE), (model.__name__, name)
