"""What the documents name is there: linked files, paths of the code, modules that are run, commands of live-sr."""

import importlib.util
import re
from pathlib import Path

import pytest

from live_sr import cli

ROOT = Path(__file__).resolve().parents[2]
DOCUMENTS = [*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md")]


def matches(pattern: str) -> list[tuple[Path, str]]:
    """Each match of `pattern` in a document but the changelog, which also names what is gone."""
    return [
        (document, found)
        for document in DOCUMENTS
        if document.name != "CHANGELOG.md"
        for found in re.findall(pattern, document.read_text(encoding="utf-8"))
    ]


def test_every_linked_file_is_there() -> None:
    links = matches(r"\]\((?!https?:|#)([^)#\s]+)")
    assert len(links) > 30
    assert [(str(page), link) for page, link in links if not (page.parent / link).exists()] == []


def test_every_file_of_the_code_that_is_named_is_there() -> None:
    paths = matches(r"`((?:live_sr|tools|tests)/[\w./-]+)`")
    assert len(paths) > 30
    assert [(str(page), path) for page, path in paths if not (ROOT / path).exists()] == []


def test_every_module_that_is_run_is_there() -> None:
    modules = matches(r"python3? -m ((?:live_sr|tools)[\w.]*)")
    assert modules
    assert [(str(page), name) for page, name in modules if importlib.util.find_spec(name) is None] == []


def test_every_command_that_is_named_is_one(capsys: pytest.CaptureFixture[str]) -> None:
    code = [found for _, found in matches(r"(?s)```.*?```|`[^`\n]+`")]
    commands = {name for found in code for name in re.findall(r"[`\n]live-sr ([a-z]+)", found)}
    assert len(commands) > 8
    for name in sorted(commands):
        with pytest.raises(SystemExit) as ended:
            cli.main([name, "--help"])
        assert ended.value.code == 0, name
    capsys.readouterr()


def test_the_readme_is_short() -> None:
    assert len((ROOT / "README.md").read_text(encoding="utf-8").splitlines()) < 250
