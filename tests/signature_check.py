"""Finds calls in our source that do not fit a library's signatures: works where the library cannot be imported.

The signatures are in signatures_nvidia.toml, which tools/signatures/read.py writes from the real wheels. Three kinds of
expressions are followed in our source: attributes of an imported module; objects that such an attribute creates or
returns (`engine = runtime.deserialize_cuda_engine(data)` makes `engine` an ICudaEngine); and what is annotated with
such a class.
"""

from __future__ import annotations

import ast
import tomllib
from dataclasses import dataclass, field
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
FACTS = tomllib.loads((ROOT / "tests" / "signatures_nvidia.toml").read_text("utf-8"))
PACKAGES = {module.split(".")[0] for module in FACTS}

AnyFunction = ast.FunctionDef | ast.AsyncFunctionDef


@dataclass(frozen=True)
class Thing:
    """What an expression stands for. name: below the module, dotted. kind: module, function, class, object or value."""

    kind: str
    module: str
    name: str = ""
    signatures: tuple[str, ...] = ()

    def __str__(self) -> str:
        return f"{self.module}.{self.name}" if self.name else self.module


@dataclass
class Findings:
    """problems: one sentence each. checked: how many names and calls were compared; 0 would prove nothing."""

    problems: list[str] = field(default_factory=list)
    checked: int = 0


def check(source: str) -> Findings:
    tree = ast.parse(source)
    reader = _Reader(tree)
    for _ in range(3):  # an attribute of self may be known only after a method further below was read
        reader.findings = Findings()
        reader.visit(tree)
    return reader.findings


def imports_of(source: str) -> set[str]:
    """Which of PACKAGES a file imports."""
    found = set()
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import):
            found |= {alias.name.split(".")[0] for alias in node.names}
        elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
            found.add(node.module.split(".")[0])
    return found & PACKAGES


def arguments_of(signature: str) -> tuple[ast.arguments, str]:
    """The parameters of a signature, and the class that it returns."""
    words, _, back = signature.partition(" -> ")
    function = ast.parse(f"def f{words}: ...").body[0]
    assert isinstance(function, ast.FunctionDef)
    return function.args, back


def find_misfit(call: ast.Call, signature: str, skip: int = 0) -> str:
    """Why the call does not fit, or an empty string. A keyword that only `**kwargs` accepts does not fit."""
    accepted, _ = arguments_of(signature)
    names = [a.arg for a in [*accepted.posonlyargs, *accepted.args]]
    given = call.args[skip:]
    starred = any(isinstance(a, ast.Starred) for a in given)
    if len(given) > len(names) and not accepted.vararg and not starred:
        return f"takes {len(names)} arguments by position, and is given {len(given)}"
    by_name = {a.arg for a in [*accepted.args, *accepted.kwonlyargs]}
    keywords = {k.arg for k in call.keywords}
    for name in sorted(k for k in keywords if k is not None):
        if name not in by_name:
            return f"has no parameter {name}"
        if name in names[: len(given)]:
            return f"is given {name} twice"
    if starred or None in keywords:
        return ""
    needed = names[: len(names) - len(accepted.defaults)]
    defaults = zip(accepted.kwonlyargs, accepted.kw_defaults, strict=True)
    needed_by_name = [a.arg for a, default in defaults if default is None]
    missing = [n for n in [*needed[len(given) :], *needed_by_name] if n not in keywords]
    return f"is not given {', '.join(missing)}" if missing else ""


class _Reader(ast.NodeVisitor):
    """Visits one file, function by function, and tracks what the names in it stand for."""

    def __init__(self, tree: ast.Module) -> None:
        self.findings = Findings()
        self._scopes: list[dict[str, Thing]] = [{}]
        for node in ast.walk(tree):  # imports inside functions count for the whole file
            if isinstance(node, ast.Import):
                for alias in node.names:
                    self._add_import(alias.asname or alias.name.split(".")[0], alias.name if alias.asname else "")
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                for alias in node.names:
                    self._add_import(alias.asname or alias.name, f"{node.module}.{alias.name}")

    def _add_import(self, word: str, path: str) -> None:
        path = path or word
        if path.split(".")[0] in PACKAGES:
            thing = _at(path)
            self._scopes[0][word] = thing or Thing("module", path)

    # names and their meaning

    def _resolve(self, node: ast.expr) -> Thing | None:
        """What the expression stands for; reports no problems in it."""
        if isinstance(node, ast.Name | ast.Attribute):
            words = ast.unparse(node)
            for scope in reversed(self._scopes):
                if words in scope:
                    return scope[words]
        if isinstance(node, ast.Attribute):
            base = self._resolve(node.value)
            return _member(base, node.attr) if base is not None else None
        if isinstance(node, ast.Call):
            called = self._resolve(node.func)
            return _find_result(called) if called is not None else None
        if isinstance(node, ast.BoolOp):
            return next((t for t in map(self._resolve, node.values) if t is not None), None)
        return None

    def _remember(self, target: ast.expr, thing: Thing | None) -> None:
        if isinstance(target, ast.Name | ast.Attribute):
            words = ast.unparse(target)
            if thing is not None:
                self._scopes[0 if words.startswith("self.") else -1][words] = thing
            elif len(self._scopes) > 1:
                self._scopes[-1].pop(words, None)  # it is something else from here on

    def _resolve_annotation(self, annotation: ast.expr | None) -> Thing | None:
        if isinstance(annotation, ast.Constant) and isinstance(annotation.value, str):
            annotation = ast.parse(annotation.value, mode="eval").body
        if isinstance(annotation, ast.BinOp):  # X | None
            return self._resolve_annotation(annotation.left)
        thing = self._resolve(annotation) if annotation is not None else None
        return Thing("object", thing.module, thing.name) if thing is not None and thing.kind == "class" else None

    # the walk

    def visit_FunctionDef(self, node: ast.FunctionDef) -> None:
        self._scopes.append({})
        for argument in [*node.args.posonlyargs, *node.args.args, *node.args.kwonlyargs]:
            self._remember(ast.Name(argument.arg), self._resolve_annotation(argument.annotation))
        self.generic_visit(node)
        self._scopes.pop()

    def visit_ClassDef(self, node: ast.ClassDef) -> None:
        for base in node.bases:
            thing = self._resolve(base)
            if thing is not None and thing.kind == "class":
                self._compare_overrides(node, thing)
        self.generic_visit(node)

    def visit_Assign(self, node: ast.Assign) -> None:
        self.generic_visit(node)
        for target in node.targets:
            self._remember(target, self._resolve(node.value))

    def visit_AnnAssign(self, node: ast.AnnAssign) -> None:
        self.generic_visit(node)
        self._remember(node.target, self._resolve_annotation(node.annotation))

    def visit_Attribute(self, node: ast.Attribute) -> None:
        self.generic_visit(node)
        base = self._resolve(node.value)
        if base is not None and base.kind != "value":
            self.findings.checked += 1
            if self._resolve(node) is None:
                self._report(node, f"{base} has no {node.attr}")

    def visit_Call(self, node: ast.Call) -> None:
        self.generic_visit(node)
        thing = self._resolve(node.func)
        if thing is None or not thing.signatures:
            return
        self.findings.checked += 1
        through_class = isinstance(node.func, ast.Attribute) and _kind(self._resolve(node.func.value)) == "class"
        skips = (0, 1) if through_class and thing.kind == "method" else (0,)  # a static method, or one given its self
        reasons = [find_misfit(node, s, skip) for s in thing.signatures for skip in skips]
        if all(reasons):
            self._report(node, f"{thing} {reasons[0]}")

    def _compare_overrides(self, node: ast.ClassDef, base: Thing) -> None:
        calls = FACTS[base.module]["classes"][base.name].get("calls", {})
        for method in node.body:
            if isinstance(method, AnyFunction) and method.name != "__init__" and method.name in calls:
                self.findings.checked += 1
                wanted = [len(arguments_of(s)[0].args) for s in calls[method.name]]
                if len(method.args.args) - 1 not in wanted:
                    self._report(method, f"{base}.{method.name} is called with {wanted[0]} arguments")

    def _report(self, node: ast.expr | ast.stmt, what: str) -> None:
        self.findings.problems.append(f"line {node.lineno}: {what}")


def _kind(thing: Thing | None) -> str:
    return thing.kind if thing is not None else ""


def _at(path: str) -> Thing | None:
    """What an import of that path gives."""
    for module in FACTS:
        if path == module or module.startswith(f"{path}."):
            return Thing("module", path)
        if path.startswith(f"{module}."):
            thing: Thing | None = Thing("module", module)
            for word in path.removeprefix(f"{module}.").split("."):
                thing = _member(thing, word) if thing is not None else None
            return thing
    return None


def _member(base: Thing, word: str) -> Thing | None:
    """What `base.word` stands for; None: there is no such thing."""
    if base.kind == "module":
        return _member_of_module(base, word)
    if base.kind == "value":
        return base
    if base.kind not in ("class", "object"):
        return None
    about = FACTS[base.module]["classes"].get(base.name, {})
    path = f"{base.name}.{word}"
    if word in about.get("calls", {}):
        return Thing("method", base.module, path, tuple(about["calls"][word]))
    known = (*about.get("members", ()), *about.get("attributes", ()))
    of_every_enum = word in ("name", "value") and about.get("members")
    return Thing("value", base.module, path) if word in known or word[:2] == "__" or of_every_enum else None


def _member_of_module(base: Thing, word: str) -> Thing | None:
    if base.module not in FACTS:  # a package above: cuda, cuda.bindings
        return _at(f"{base.module}.{word}")
    facts = FACTS[base.module]
    path = f"{base.name}.{word}" if base.name else word
    if path in facts["functions"]:
        return Thing("function", base.module, path, tuple(facts["functions"][path]))
    if path in facts.get("classes", {}):
        return Thing("class", base.module, path, tuple(facts["classes"][path].get("calls", {}).get("__init__", ())))
    if any(f.startswith(f"{path}.") for f in facts["functions"]):
        return Thing("module", base.module, path)
    return Thing("value", base.module, path) if path in facts["names"] or word == "__version__" else None


def _find_result(called: Thing) -> Thing | None:
    """What a call returns, as far as its signature tells."""
    if called.kind == "class":
        return Thing("object", called.module, called.name)
    back = {arguments_of(s)[1] for s in called.signatures} - {""}
    classes = FACTS[called.module].get("classes", {})
    return Thing("object", called.module, back.pop()) if len(back) == 1 and back <= classes.keys() else None
