"""The signatures of what the NVIDIA path calls, as TOML: read from the real wheels, on a machine without such a card.

What is written in Python is parsed (torch_tensorrt, and the provider of TensorRT for RTX). A compiled module tells its
signatures only to who imports it, so the others are unpacked into a temporary folder and imported there by a process
of its own. TensorRT's bindings import where functions of the right names are found in the place of its libraries,
which have some 2 GB: that takes a C compiler. Nothing of NVIDIA's is ever called.
"""

from __future__ import annotations

import ast
import datetime
import json
import os
import re
import subprocess
import sys
import zipfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True)
class NvidiaLibrary:
    """wheel: what pip is asked for. module: as our sources import it, and its name in the written file.

    Either imported: under which name it is asked, and of its constants and classes patterns of what is written down.
    Or files: what is parsed, with the functions of interest. also: wheels that it needs to be imported.
    """

    wheel: str
    module: str
    imported: str = ""
    names: str = ".*"
    classes: str = ".*"
    files: tuple[tuple[str, tuple[str, ...]], ...] = ()
    also: tuple[str, ...] = ()


LIBRARIES = (
    NvidiaLibrary(
        "tensorrt-cu13-bindings>=11.0,<11.1",
        "tensorrt",
        "tensorrt_bindings",
        classes=r"Runtime|I?Logger|ICudaEngine|IExecutionContext|IHostMemory|INetworkDefinition|ICastLayer|ITensor"
        r"|DataType|TensorIOMode|ExecutionContextAllocationStrategy|Dims",
    ),
    NvidiaLibrary(
        "torch-tensorrt>=2.13,<2.14",
        "torch_tensorrt",
        files=(
            (
                "torch_tensorrt/dynamo/_compiler.py",
                ("dynamo.convert_exported_program_to_serialized_trt_engine", "dynamo.compile"),
            ),
            (
                "torch_tensorrt/dynamo/conversion/_ConverterRegistry.py",
                ("dynamo.conversion.dynamo_tensorrt_converter",),
            ),
        ),
    ),
    NvidiaLibrary(
        "cuda-bindings>=13,<14",
        "cuda.bindings.runtime",
        "cuda.bindings.runtime",
        names="cuda(Host|Stream|Event|Graph|Device|Memory|Array|IpcMem|GL)[A-Z]\\w*",
        classes="cuda[A-Z]\\w*",
        also=("cuda-pathfinder>=1,<2",),
    ),
    NvidiaLibrary("onnxruntime>=1.23", "onnxruntime", "onnxruntime"),
    NvidiaLibrary(
        "tensorrt-rtx-cu13-bindings>=1.7,<1.8",
        "tensorrt_rtx_bindings",
        "tensorrt_rtx_bindings",
        names="u?int8|float16|float32",
        classes=r"Runtime|I?Logger|ICudaEngine|IExecutionContext|IHostMemory|Builder|IBuilderConfig|OnnxParser|ParserError"
        r"|INetworkDefinition|ITensor|IOptimizationProfile|IRuntimeConfig|IRuntimeCache|DataType|TensorIOMode|Dims"
        r"|CudaGraphStrategy|DynamicShapesKernelSpecializationStrategy|EngineValidity|EngineInvalidityDiagnostics"
        r"|ComputeCapability|ProfilingVerbosity|BuilderFlag",
        also=("tensorrt-rtx-cu13-libs>=1.7,<1.8",),
    ),
    NvidiaLibrary(
        "nvidia-ml-py>=13",
        "pynvml",
        "pynvml",
        names=r"NVML_(ERROR|CLOCK|TEMPERATURE|PSTATE)_\w+|nvmlClocks(Event|Throttle)Reason\w+",
        classes="NVMLError",
    ),
)

# What TensorRT's bindings look for in its three libraries
ENTRY_POINTS = """createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL
createNvOnnxParserRefitter_INTERNAL createNvOnnxParser_INTERNAL getBuilderPluginRegistry getNvOnnxParserVersion
getPluginRegistry initLibNvInferPlugins"""
STAND_INS = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")

# Runs in the process that imports. A signature is Python's, without the types of parameters and defaults: "(a, b=...)",
# followed by " -> Class" where it is told.
QUERY = r"""
import importlib, inspect, json, re, sys

def from_python(call, bound):
    signature = inspect.signature(call)
    words, star = [], False
    for p in list(signature.parameters.values())[bound:]:
        if p.kind is p.KEYWORD_ONLY and not star:
            words.append("*")
        star = star or p.kind in (p.KEYWORD_ONLY, p.VAR_POSITIONAL)
        mark = {p.VAR_POSITIONAL: "*", p.VAR_KEYWORD: "**"}.get(p.kind, "")
        words.append(mark + p.name + ("" if p.default is p.empty else "=..."))
        if p.kind is p.POSITIONAL_ONLY:
            words.append("/")
    words = [w for i, w in enumerate(words) if w != "/" or "/" not in words[i + 1:]]
    if words and words[-1].startswith("**"):  # what is looked for in them by name is as good as a parameter
        known = re.findall(words[-1][2:] + r"\.(?:get|pop)\([\"'](\w+)", inspect.getsource(call))
        words[-1:] = (["*"] if known and not star else []) + [f"{w}=..." for w in known] + words[-1:]
    back = signature.return_annotation
    back = back if isinstance(back, str) else getattr(back, "__name__", "") if back is not signature.empty else ""
    return "(" + ", ".join(words) + ")" + arrow(back)

def arrow(back):
    word = re.sub(r"^.*\.", "", back.split("|")[0].strip().strip("\"'"))
    return " -> " + word if re.fullmatch(r"[A-Z]\w+", word) and word != "None" else ""

def split(text):
    parts, depth = [""], 0
    for sign in text:
        depth += (sign in "([{<") - (sign in ")]}>")
        if sign == "," and not depth:
            parts.append("")
        else:
            parts[-1] += sign
    return [p.strip() for p in parts if p.strip()]

def from_words(name, words, bound):
    found = []
    for line in (words or "").splitlines():
        match = re.match(r"(?:\d+\. )?" + re.escape(name) + r"\((.*)\)(?: -> (.*))?$", line.strip())
        if match and match[1] != "*args, **kwargs":
            parts = split(match[1])[bound:]
            default = re.compile(r"[^<>=!]=(?!=)")
            names = [re.split(r"[:=]", p)[0].strip() + ("=..." if default.search(p) else "") for p in parts]
            last = [n for n in names if re.fullmatch(r"arg\d+", n)]
            if last:  # pybind11's word for a parameter without a name
                names.insert(names.index(last[-1]) + 1, "/")
            found.append("(" + ", ".join(names) + ")" + arrow(match[2] or ""))
    return found

def signatures(name, call, bound=0):
    try:
        return [from_python(call, bound)]
    except (TypeError, ValueError):
        return from_words(name, call.__doc__, bound)

def about(cls):
    calls, attributes, members = {}, [], []
    for name in dir(cls):
        what = inspect.getattr_static(cls, name)
        value = getattr(cls, name)
        if name.startswith("_") and name != "__init__":
            continue
        if hasattr(cls, "__members__"):
            members = list(cls.__members__)
        elif callable(value) and not inspect.isclass(value):
            bound = 0 if isinstance(what, staticmethod) or inspect.ismethod(value) else 1
            if name == "__init__" and what is object.__init__:
                continue
            calls[name] = signatures(name, value, bound)
        else:
            attributes.append(name)
    return {"calls": calls, "attributes": attributes, "members": members}

module = importlib.import_module(sys.argv[1])
facts = {"version": getattr(module, "__version__", ""), "functions": {}, "names": [], "classes": {}}
for name, value in vars(module).items():
    if name.startswith("_") or inspect.ismodule(value):
        continue
    if inspect.isclass(value):
        facts["classes"][name] = about(value)
    elif callable(value):
        facts["functions"][name] = signatures(name, value)
    else:
        facts["names"].append(name)
for name, cls in list(facts["classes"].items()):  # what a class of Python sets in __init__ is no attribute of the class
    real = getattr(module, name)
    try:
        source = inspect.getsource(real.__init__)
    except (TypeError, OSError):
        continue
    cls["attributes"] += sorted(set(re.findall(r"self\.([a-z]\w*)\b[^=\n(]*=", source)))
print(json.dumps(facts))
"""


def read_signatures(folder: Path) -> list[str]:
    """One part of the file for each library."""
    return [_parse(library, folder) if library.files else _query(library, folder) for library in LIBRARIES]


def _download(wheel: str, folder: Path) -> Path:
    into = folder / re.split(r"[<>=]", wheel)[0]
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, f"--dest={into}", wheel], check=True)
    return next(into.glob("*.whl"))


def _parse(library: NvidiaLibrary, folder: Path) -> str:
    wheel = _download(library.wheel, folder)
    functions: dict[str, list[str]] = {}
    with zipfile.ZipFile(wheel) as archive:
        for file, names in library.files:
            tree = ast.parse(archive.read(file))
            found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
            functions |= {name: [_format_signature(found[name.split(".")[-1]].args)] for name in names}
    return _format_toml(library, wheel, {"functions": functions, "names": [], "classes": {}})


def _format_signature(arguments: ast.arguments) -> str:
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    defaults = [ast.Constant(...) for _ in arguments.defaults]
    keywords = [d and ast.Constant(...) for d in arguments.kw_defaults]
    arguments.defaults, arguments.kw_defaults = list(defaults), list(keywords)
    return f"({ast.unparse(arguments)})"


def _query(library: NvidiaLibrary, folder: Path) -> str:
    wheel = _download(library.wheel, folder)
    place = folder / f"{library.module}-unpacked"
    for needed in (wheel, *(_download(more, folder) for more in library.also)):
        with zipfile.ZipFile(needed) as archive:
            archive.extractall(place)
    search = {"PYTHONPATH": str(place), "LD_LIBRARY_PATH": str(_build_stand_ins(folder))}
    ask = [sys.executable, "-c", QUERY, library.imported]
    done = subprocess.run(ask, env=os.environ | search, check=True, capture_output=True, text=True)
    facts = json.loads(done.stdout.splitlines()[-1])
    facts["names"] = [name for name in facts["names"] if re.fullmatch(library.names, name)]
    facts["classes"] = {
        name: about
        for name, about in facts["classes"].items()
        if re.fullmatch(library.classes, name) and (about["members"] or about["calls"])
    }
    return _format_toml(library, wheel, facts)


def _build_stand_ins(folder: Path) -> Path:
    place = folder / "stand-ins"
    place.mkdir(exist_ok=True)
    source = place / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in ENTRY_POINTS.split()), "utf-8")
    for name in STAND_INS:
        if not (place / name).exists():
            subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", place / name, source], check=True)
    return place


def _format_toml(library: NvidiaLibrary, wheel: Path, facts: dict[str, Any]) -> str:
    def lines(calls: dict[str, list[str]]) -> list[str]:
        return [f"{_format_key(name)} = {json.dumps(found)}" for name, found in sorted(calls.items())]

    name = f'"{library.module}"' if "." in library.module else library.module
    text = [f"[{name}]", f'version = "{wheel.name.split("-")[1]}"', f"read = {datetime.date.today()}"]
    text += [f"names = {json.dumps(sorted(facts['names']))}", f"\n[{name}.functions]", *lines(facts["functions"])]
    for cls, about in sorted(facts["classes"].items()):
        text += [f"\n[{name}.classes.{cls}]"]
        text += [
            f"{what} = {json.dumps(sorted(set(about[what])))}" for what in ("attributes", "members") if about[what]
        ]
        if about["calls"]:
            text += [f"[{name}.classes.{cls}.calls]", *lines(about["calls"])]
    return "\n".join([*text, ""])


def _format_key(name: str) -> str:
    return f'"{name}"' if "." in name else name
