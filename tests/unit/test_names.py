"""Names are the field's words: none of the old ones is left, no class name stands twice, functions begin with verbs."""

from __future__ import annotations

import ast
import re
from collections import defaultdict
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FILES = [file for folder in ("live_sr", "tools") for file in sorted((ROOT / folder).rglob("*.py"))]
MOST_ENTRIES = 25
MOST_PARTICIPLES = 0.02  # of all functions and methods

# Old word: what is said now. A name must not contain the old word, nor its plural.
OLD_WORDS = {
    "album": "recording folder",
    "belt": "transcode pipeline",
    "chances": "random",
    "chance": "random",
    "clips": "frames, video pair",
    "compiled": "engine cache",
    "contender": "candidate",
    "contest": "evaluation",
    "crew": "process group",
    "dice": "rng",
    "dress": "apply window styles",
    "errand": "upscale job",
    "exchange": "triple buffer",
    "exhibit": "selected crops",
    "footage": "video info",
    "framed": "I/O wrapper",
    "gauge": "monitor",
    "instants": "time alignment",
    "laid": "registration",
    "lane": "tile worker, bounded queue",
    "obstacle": "unavailable reason",
    "once more": "retry",
    "press": "segment encoder",
    "reach": "receptive field, radius",
    "relay": "hot-swap engine",
    "rung": "quality level",
    "seal": "signature",
    "showcase": "crop selection",
    "sizefree": "dynamic shapes",
    "standing": "current",
    "tell": "notify, report, describe",
    "teller": "notifications",
    "together": "video pair",
    "told": "report, describe",
    "wish": "selection",
    "wished": "selected",
    "workshop": "job folder",
    "orders": "build requests",
}
# Where such a word is a term of the field: (word, pattern of the name, pattern of the file).
ALLOWED = [
    (
        "press",
        r"_?(on_)?press(_at|_event)?",
        r"live_sr/desktop/hotkeys_\w+|live_sr/desktop/chords|live_sr/pipeline/desktop_contracts|live_sr/app/controls|live_sr/app/hotkey_merger|tools/\w+",
    ),  # keys
    (
        "compiled",
        r"Compiled\w+|_\w+_compiled|_compiled_\w+",
        r"live_sr/engines/.*",
    ),  # by ONNX Runtime or by torch.compile
]

PARTICIPLE = re.compile(
    r"\w+ed|begun|bent|bound|bought|broken|brought|built|caught|chosen|done|drawn|driven|eaten|fallen|felt|forgotten|"
    r"found|given|gone|grown|heard|held|hidden|kept|known|laid|left|lent|lost|made|meant|met|sent|seen|shown|sold|"
    r"spent|spoken|stolen|stood|stuck|sunk|swept|taken|taught|thought|thrown|told|torn|understood|won|worn|wound|"
    r"woven|written"
)
NOT_PARTICIPLE = re.compile(r"bed|bleed|elapsed|embed|exceed|feed|led|need|proceed|red|seed|shed|speed|succeed")


@dataclass(frozen=True)
class Definition:
    """A name that a file defines. kind: module, class, function, method, property, parameter, field or constant."""

    file: Path
    line: int
    kind: str
    name: str

    def __str__(self) -> str:
        return f"{self.file.relative_to(ROOT).as_posix()}:{self.line}: {self.kind} {self.name}"


@cache
def read_definitions() -> tuple[Definition, ...]:
    return tuple(definition for file in FILES for definition in find_definitions(file))


def find_definitions(file: Path) -> Iterator[Definition]:
    tree = ast.parse(file.read_text("utf-8"))
    name = file.parent.name if file.stem == "__init__" else file.stem
    yield Definition(file, 1, "module", name)
    for node in tree.body:
        for target in find_assigned(node):
            yield Definition(file, node.lineno, "constant", target)
    for node in ast.walk(tree):
        if isinstance(node, ast.ClassDef):
            yield Definition(file, node.lineno, "class", node.name)
            for child in node.body:
                for target in find_assigned(child):
                    yield Definition(file, child.lineno, "field", target)
        elif isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            yield Definition(file, node.lineno, kind_of_function(node, tree), node.name)
            arguments = [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]
            arguments += [a for a in (node.args.vararg, node.args.kwarg) if a is not None]
            for argument in arguments:
                yield Definition(file, argument.lineno, "parameter", argument.arg)
        elif isinstance(node, ast.Attribute) and isinstance(node.ctx, ast.Store) and ast.unparse(node.value) == "self":
            yield Definition(file, node.lineno, "field", node.attr)


def find_assigned(node: ast.stmt) -> list[str]:
    targets = node.targets if isinstance(node, ast.Assign) else [node.target] if isinstance(node, ast.AnnAssign) else []
    return [name.id for target in targets for name in ast.walk(target) if isinstance(name, ast.Name)]


def kind_of_function(node: ast.FunctionDef | ast.AsyncFunctionDef, tree: ast.Module) -> str:
    decorators = [ast.unparse(decorator) for decorator in node.decorator_list]
    if any(d.split("(")[0].split(".")[-1] in ("property", "cached_property", "setter") for d in decorators):
        return "property"
    return "function" if node in tree.body else "method"


def split_words(name: str) -> list[str]:
    """Of snake_case, CamelCase and CONSTANTS, in small letters."""
    return [word.lower() for word in re.findall(r"[A-Z]+(?![a-z])|[A-Z]?[a-z]+", name)]


def find_old_word(definition: Definition) -> str:
    """The first old word in the name, or an empty string."""
    words = f" {' '.join(split_words(definition.name))} "
    for old in OLD_WORDS:
        if not re.search(rf" {old}(e?s)? ", words):
            continue
        place = definition.file.relative_to(ROOT).with_suffix("").as_posix()
        if not any(
            old == word and re.fullmatch(name, definition.name) and re.fullmatch(file, place)
            for word, name, file in ALLOWED
        ):
            return old
    return ""


def is_participle(name: str) -> bool:
    """Whether the first word is a past participle: a function should say what it does, not what became of its input."""
    first = next(iter(split_words(name)), "")
    return bool(PARTICIPLE.fullmatch(first)) and not NOT_PARTICIPLE.fullmatch(first) and not name.startswith("__")


def test_no_old_word_is_left_in_a_name() -> None:
    found = {f"{d} ({old}: {OLD_WORDS[old]})" for d in read_definitions() if (old := find_old_word(d))}
    assert sorted(found) == []


def test_no_class_name_stands_in_two_modules() -> None:
    places: dict[str, set[str]] = defaultdict(set)
    for definition in read_definitions():
        if definition.kind == "class":
            places[definition.name].add(definition.file.relative_to(ROOT).as_posix())
    assert {name: sorted(files) for name, files in places.items() if len(files) > 1} == {}


def test_functions_begin_with_a_verb_and_not_with_a_participle() -> None:
    functions = [d for d in read_definitions() if d.kind in ("function", "method")]
    participles = [str(d) for d in functions if is_participle(d.name)]
    assert len(participles) < MOST_PARTICIPLES * len(functions), "\n".join(participles)


def test_the_top_level_has_few_entries() -> None:
    package = ROOT / "live_sr"
    files = [path.relative_to(package) for path in package.rglob("*") if path.is_file()]
    # a folder that git has emptied may still hold compiled files
    entries = sorted({file.parts[0] for file in files if "__pycache__" not in file.parts})
    assert len(entries) <= MOST_ENTRIES, entries


@pytest.mark.parametrize(
    ("name", "old"),
    [("RelayEngine", "relay"), ("_two_lanes", "lane"), ("TOLD", "told"), ("try_once_more", "once more"), ("plane", "")],
)
def test_old_words_are_found_in_any_spelling(name: str, old: str) -> None:
    assert find_old_word(Definition(ROOT / "live_sr" / "x.py", 1, "function", name)) == old


# Attributes of threading.Thread in Python 3.11 to 3.14. Setting one of a newer Python breaks a thread there.
OF_THREADS = {
    *("_args", "_context", "_daemonic", "_delete", "_handle", "_ident", "_initialized", "_invoke_excepthook"),
    *("_kwargs", "_name", "_native_id", "_os_thread_handle", "_started", "_stderr", "_target"),
}


def test_no_thread_of_ours_sets_what_a_newer_python_keeps_in_it() -> None:
    classes = [
        node
        for file in FILES
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        if isinstance(node, ast.ClassDef) and any(ast.unparse(base).endswith("Thread") for base in node.bases)
    ]
    assert classes
    for node in classes:
        stored = {
            part.attr
            for part in ast.walk(node)
            if isinstance(part, ast.Attribute) and isinstance(part.ctx, ast.Store) and ast.unparse(part.value) == "self"
        }
        assert not stored & OF_THREADS, node.name
