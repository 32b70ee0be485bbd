"""The tests use only public names, and share code through helper modules."""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

ROOT = Path(__file__).parents[2]
PATCHES = ("getattr", "setattr", "delattr")
NOT_OURS = {  # private names of other projects which a test needs
    "_obj": "the object that ctypes.byref refers to: the only way for a fake of a C function to fill it in",
    "_to_copy": "the name of an operator in PyTorch",
    "_nvmlGetFunctionPointer_cache": "pynvml's cache, which would keep the functions of an earlier fake",
}


def find_private_uses(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of every use of a private member that is not the object's own."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Attribute) and is_private(node.attr):
            if not (isinstance(node.value, ast.Name) and node.value.id in ("self", "cls")):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.Call) and ast.unparse(node.func).split(".")[-1] in PATCHES:
            names = [a.value for a in node.args if isinstance(a, ast.Constant) and isinstance(a.value, str)]
            if any(is_private(name.split(".")[-1]) for name in names):
                yield node.lineno, ast.unparse(node)
        elif isinstance(node, ast.ImportFrom):
            for alias in node.names:
                if is_private(alias.name):
                    yield node.lineno, ast.unparse(node)


def is_private(name: str) -> bool:
    return name.startswith("_") and not name.startswith("__") and name not in NOT_OURS


def find_imports_of_tests(tree: ast.AST) -> Iterator[tuple[int, str]]:
    """(line, text) of every import from a test file, also in a program that stands in a string."""
    for node in ast.walk(tree):
        text = ast.unparse(node) if isinstance(node, ast.Import | ast.ImportFrom) else ""
        if isinstance(node, ast.Constant) and isinstance(node.value, str):
            text = node.value
        for found in re.findall(r"^\s*(?:from|import) (?:\w+\.)*test_\w+", text, re.MULTILINE):
            yield node.lineno, found.strip()


def test_no_test_uses_the_private_members_of_another_object() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for file in sorted((ROOT / "tests").rglob("*.py"))
        for line, text in find_private_uses(ast.parse(file.read_text("utf-8")))
    ]
    assert found == []


def test_nothing_imports_from_a_test_file() -> None:
    found = [
        f"{file.relative_to(ROOT)}:{line}: {text}"
        for folder in ("tests", "tools", "live_sr")
        for file in sorted((ROOT / folder).rglob("*.py"))
        for line, text in find_imports_of_tests(ast.parse(file.read_text("utf-8")))
    ]
    assert found == []


def test_the_checks_find_what_they_look_for() -> None:
    one, two = "test_one", "test_two"  # or these lines would be found themselves
    program = f'RUN = """\nimport sys\nfrom {one} import *\n"""\nimport tests.unit.{two}\n'
    assert sorted(text for _, text in find_imports_of_tests(ast.parse(program))) == [
        f"from {one}",
        f"import tests.unit.{two}",
    ]
    lines = (
        "from live_sr.cli import _main",
        "self._own",
        "other._hidden",
        "monkeypatch.setattr('live_sr.a._b', 1)",
        "x.__len__",
    )
    assert [line for line, _ in find_private_uses(ast.parse("\n".join(lines)))] == [1, 3, 4]
