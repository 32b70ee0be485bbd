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


@dataclass(frozen=True)
class Library:
    """wheel: what pip is asked for. module: as our sources import it, and its name in the written file.

    Either imported: under which name it is asked, and of its constants and classes patterns of what is written down.
    Or files: what is parsed, with the functions of interest.
    """

    wheel: str
    module: str
    imported: str = ""
    names: str = ".*"
    classes: str = ".*"
    files: tuple[tuple[str, tuple[str, ...]], ...] = ()


LIBRARIES = (
    Library(
        "tensorrt-cu13-bindings>=11.0,<11.1",
        "tensorrt",
        "tensorrt_bindings",
        classes=r"Runtime|I?Logger|ICudaEngine|IExecutionContext|IHostMemory|INetworkDefinition|ICastLayer|ITensor"
        r"|DataType|TensorIOMode|ExecutionContextAllocationStrategy|Dims",
    ),
    Library(
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
    Library(
        "cuda-bindings>=13,<14",
        "cuda.bindings.runtime",
        "cuda.bindings.runtime",
        names="cuda(Host|Stream|Event|Graph|Device|Memory|Array|IpcMem|GL)[A-Z]\\w*",
        classes="cuda[A-Z]\\w*",
    ),
    Library("onnxruntime>=1.23", "onnxruntime", "onnxruntime"),
    Library(
        "onnxruntime-ep-nv-tensorrt-rtx-cu13",
        "onnxruntime_ep_nv_tensorrt_rtx",
        files=(("onnxruntime_ep_nv_tensorrt_rtx/__init__.py", ("get_ep_name", "get_ep_names", "get_library_path")),),
    ),
    Library(
        "nvidia-ml-py>=13",
        "pynvml",
        "pynvml",
        names=r"NVML_(ERROR|CLOCK|TEMPERATURE|PSTATE)_\w+|nvmlClocks(Event|Throttle)Reason\w+",
        classes="NVMLError",
    ),
)

# What TensorRT's bindings look for in its three libraries
NAMES = """createInferBuilder_INTERNAL createInferRefitter_INTERNAL createInferRuntime_INTERNAL
createNvOnnxParserRefitter_INTERNAL createNvOnnxParser_INTERNAL getBuilderPluginRegistry getNvOnnxParserVersion
getPluginRegistry initLibNvInferPlugins"""
STAND_INS = ("libnvinfer.so.11", "libnvinfer_plugin.so.11", "libnvonnxparser.so.11")

# Runs in the process that imports. A signature is Python's, without the types of parameters and defaults: "(a, b=...)",
# followed by " -> Class" where it is told.
ASK = r"""
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
told = {"version": getattr(module, "__version__", ""), "functions": {}, "names": [], "classes": {}}
for name, value in vars(module).items():
    if name.startswith("_") or inspect.ismodule(value):
        continue
    if inspect.isclass(value):
        told["classes"][name] = about(value)
    elif callable(value):
        told["functions"][name] = signatures(name, value)
    else:
        told["names"].append(name)
for name, cls in list(told["classes"].items()):  # what a class of Python sets in __init__ is no attribute of the class
    real = getattr(module, name)
    try:
        source = inspect.getsource(real.__init__)
    except (TypeError, OSError):
        continue
    cls["attributes"] += sorted(set(re.findall(r"self\.([a-z]\w*)\b[^=\n(]*=", source)))
print(json.dumps(told))
"""


def read(folder: Path) -> list[str]:
    """One part of the file for each library."""
    return [_parsed(library, folder) if library.files else _asked(library, folder) for library in LIBRARIES]


def _downloaded(library: Library, folder: Path) -> Path:
    into = folder / library.module
    pip = [sys.executable, "-m", "pip", "download", "--quiet", "--no-deps", "--only-binary=:all:"]
    subprocess.run([*pip, f"--dest={into}", library.wheel], check=True)
    return next(into.glob("*.whl"))


def _parsed(library: Library, folder: Path) -> str:
    wheel = _downloaded(library, folder)
    functions = {}
    with zipfile.ZipFile(wheel) as archive:
        for file, names in library.files:
            tree = ast.parse(archive.read(file))
            found = {node.name: node for node in tree.body if isinstance(node, ast.FunctionDef)}
            functions |= {name: [_signature(found[name.split(".")[-1]].args)] for name in names}
    return _toml(library, wheel, {"functions": functions, "names": [], "classes": {}})


def _signature(arguments: ast.arguments) -> str:
    for argument in ast.walk(arguments):
        if isinstance(argument, ast.arg):
            argument.annotation = None
    defaults = [ast.Constant(...) for _ in arguments.defaults]
    keywords = [d and ast.Constant(...) for d in arguments.kw_defaults]
    arguments.defaults, arguments.kw_defaults = list(defaults), list(keywords)
    return f"({ast.unparse(arguments)})"


def _asked(library: Library, folder: Path) -> str:
    wheel = _downloaded(library, folder)
    place = folder / f"{library.module}-unpacked"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(place)
    search = {"PYTHONPATH": str(place), "LD_LIBRARY_PATH": str(_stand_ins(folder))}
    ask = [sys.executable, "-c", ASK, library.imported]
    done = subprocess.run(ask, env=os.environ | search, check=True, capture_output=True, text=True)
    told = json.loads(done.stdout.splitlines()[-1])
    told["names"] = [name for name in told["names"] if re.fullmatch(library.names, name)]
    told["classes"] = {
        name: about
        for name, about in told["classes"].items()
        if re.fullmatch(library.classes, name) and (about["members"] or about["calls"])
    }
    return _toml(library, wheel, told)


def _stand_ins(folder: Path) -> Path:
    place = folder / "stand-ins"
    place.mkdir(exist_ok=True)
    source = place / "empty.c"
    source.write_text("".join(f"void *{name}(void) {{ return 0; }}\n" for name in NAMES.split()), "utf-8")
    for name in STAND_INS:
        if not (place / name).exists():
            subprocess.run(["cc", "-shared", "-fPIC", f"-Wl,-soname,{name}", "-o", place / name, source], check=True)
    return place


def _toml(library: Library, wheel: Path, told: dict) -> str:
    def lines(calls: dict[str, list[str]]) -> list[str]:
        return [f"{_key(name)} = {json.dumps(found)}" for name, found in sorted(calls.items())]

    name = f'"{library.module}"' if "." in library.module else library.module
    text = [f"[{name}]", f'version = "{wheel.name.split("-")[1]}"', f"read = {datetime.date.today()}"]
    text += [f"names = {json.dumps(sorted(told['names']))}", f"\n[{name}.functions]", *lines(told["functions"])]
    for cls, about in sorted(told["classes"].items()):
        text += [f"\n[{name}.classes.{cls}]"]
        text += [
            f"{what} = {json.dumps(sorted(set(about[what])))}" for what in ("attributes", "members") if about[what]
        ]
        if about["calls"]:
            text += [f"[{name}.classes.{cls}.calls]", *lines(about["calls"])]
    return "\n".join([*text, ""])


def _key(name: str) -> str:
    return f'"{name}"' if "." in name else name
