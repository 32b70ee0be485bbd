"""Compares a class with a contract by reading its source: works even where the class cannot be imported."""

from __future__ import annotations

import ast
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
CONTRACTS = sorted((ROOT / "live_sr" / "pipeline").glob("*contracts.py"))


@dataclass(frozen=True)
class Parameter:
    name: str
    kind: str  # "positional", "keyword" (only), "*" or "**"
    optional: bool


def find_problems(path: str, protocol: str) -> list[str]:
    """What "module:Class" lacks of a Protocol of live_sr/pipeline, one sentence each; empty if it fits.

    Every method of the Protocol must be there with the same parameters in the same order; more are allowed if they are
    optional. A property may be fulfilled by a property, or by an attribute of the class or of self.
    """
    module, name = path.split(":")
    file = ROOT / Path(*module.split(".")).with_suffix(".py")
    if not file.is_file():
        return [f"{file.relative_to(ROOT)} does not exist"]
    leaf = class_in(file, name)
    if leaf is None:
        return [f"{file.relative_to(ROOT)} has no class {name}"]
    contract = next((found for file in CONTRACTS if (found := class_in(file, protocol))), None)
    assert contract is not None, f"{protocol} is not a contract"
    methods, attributes = methods_of(leaf), attributes_of(leaf)
    found = []
    for wanted in methods_of(contract).values():
        if is_property(wanted):
            has = wanted.name in attributes or (wanted.name in methods and is_property(methods[wanted.name]))
            found += [] if has else [f"{name} has no property {wanted.name}"]
        elif wanted.name not in methods or is_property(methods[wanted.name]):
            found.append(f"{name} has no method {wanted.name}")
        else:
            found += find_differences(f"{name}.{wanted.name}", parameters(methods[wanted.name]), parameters(wanted))
    return found


def find_differences(where: str, actual: list[Parameter], wanted: list[Parameter]) -> list[str]:
    found = []
    for number, parameter in enumerate(wanted):
        if number >= len(actual) or actual[number].name != parameter.name:
            names = ", ".join(p.name for p in actual)
            return [f"{where}({names}): parameter {number + 1} should be {parameter.name}"]
        if actual[number].kind != parameter.kind:
            found.append(f"{where}: {parameter.name} should be {parameter.kind}")
        if parameter.optional and not actual[number].optional:
            found.append(f"{where}: {parameter.name} should be optional")
    more = [p.name for p in actual[len(wanted) :] if not p.optional and not p.kind.startswith("*")]
    return found + [f"{where}: {name} is not in the contract and not optional" for name in more]


def class_in(file: Path, name: str) -> ast.ClassDef | None:
    """The class with what it inherits from classes of the same file, or of a file that this one imports them from."""
    tree = ast.parse(file.read_text("utf-8"))
    classes = {node.name: node for node in ast.walk(tree) if isinstance(node, ast.ClassDef)}
    node = classes.get(name)
    if node is not None:
        own = set(methods_of(node)) - {"__init__"}  # what a base's __init__ assigns is there, too
        for base in [base.id for base in node.bases if isinstance(base, ast.Name)]:
            inherited = classes.get(base) or _imported_class(tree, base)
            if inherited is not None:
                node.body += [
                    child
                    for child in inherited.body
                    if not (isinstance(child, ast.FunctionDef) and (child.name in own or _is_abstract(child)))
                ]
    return node


def _imported_class(tree: ast.Module, name: str) -> ast.ClassDef | None:
    for node in tree.body:
        if isinstance(node, ast.ImportFrom) and node.module and node.module.startswith("live_sr."):
            file = ROOT / Path(*node.module.split(".")).with_suffix(".py")
            if any((alias.asname or alias.name) == name for alias in node.names) and file.is_file():
                return class_in(file, name)
    return None


def _is_abstract(function: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "abstractmethod" for d in function.decorator_list)


def methods_of(node: ast.ClassDef) -> dict[str, ast.FunctionDef]:
    return {child.name: child for child in node.body if isinstance(child, ast.FunctionDef)}


def attributes_of(node: ast.ClassDef) -> set[str]:
    """Names assigned or declared in the class, and assigned to self."""
    found = set()
    for child in ast.walk(node):
        targets = child.targets if isinstance(child, ast.Assign) else [getattr(child, "target", None)]
        for target in targets:
            if isinstance(target, ast.Name) and child in node.body:
                found.add(target.id)
            elif isinstance(target, ast.Attribute) and isinstance(target.value, ast.Name) and target.value.id == "self":
                found.add(target.attr)
    return found


def parameters(function: ast.FunctionDef) -> list[Parameter]:
    """The parameters of a method, without self."""
    arguments = function.args
    plain = [*arguments.posonlyargs, *arguments.args]
    required = len(plain) - len(arguments.defaults)
    found = [Parameter(a.arg, "positional", number >= required) for number, a in enumerate(plain)][1:]
    if arguments.vararg:
        found.append(Parameter(arguments.vararg.arg, "*", True))
    keywords = zip(arguments.kwonlyargs, arguments.kw_defaults, strict=True)
    found += [Parameter(a.arg, "keyword", default is not None) for a, default in keywords]
    if arguments.kwarg:
        found.append(Parameter(arguments.kwarg.arg, "**", True))
    return found


def is_property(function: ast.FunctionDef) -> bool:
    return any(isinstance(d, ast.Name) and d.id == "property" for d in function.decorator_list)
