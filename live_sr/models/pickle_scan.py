"""Finds what a PyTorch file would do when it is loaded, by reading the opcodes of its pickles without running them.

A pickle is a program for a small virtual machine, and one of its instructions calls any function that Python can
import. `torch.load(weights_only=True)`, which allows a few names only, keeps a hostile file from running. This scan
comes before it and says clearly why a file is refused.
"""

from __future__ import annotations

import pickletools
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

KNOWN = frozenset({"collections.OrderedDict", "typing.OrderedDict", "torch.Size", "torch.device", "_codecs.encode"})
MODULES = ("torch._utils", "torch.storage", "torch._tensor")  # their functions rebuild tensors
LEGACY = 4  # pickles before the weights in files from before PyTorch 1.6: magic, version, system, and the object
SAMPLE = 512  # bytes
LARGEST = 1 << 30  # bytes of a file; the largest published upscalers have a tenth of that


def find_problem(path: Path) -> str:
    """Why the .pth, .pt or .safetensors file should not be loaded, as a clause; empty if nothing is wrong.

    Raises OSError.
    """
    length = path.stat().st_size
    if length == 0:
        return "it is empty"
    if length > LARGEST:
        return f"it is too large for an upscaler: {length >> 20} MiB"
    if path.suffix.lower() == ".safetensors":
        return ""
    with path.open("rb") as file:
        if _is_text(file.read(SAMPLE)):
            return "it is a text file, not weights"
    strange: list[str] = []
    wrong = ""
    try:
        for name in _list_imports(path):
            if not _only_builds_tensors(name) and name not in strange:
                strange.append(name)
    except _TorchScriptFound:
        return "it is a TorchScript program, and not only weights"
    except (zipfile.BadZipFile, EOFError, NotImplementedError, RuntimeError) as error:
        wrong = f"it is a damaged archive: {str(error).splitlines()[0] if str(error) else 'it ends too early'}"
    except Exception:  # pickletools has no kind of its own: it raises whatever the bytes lead to
        wrong = "it is not a file of weights that PyTorch wrote"
    if strange and not wrong.startswith("it is a damaged"):
        names = ", ".join(strange[:3])
        return f"loading it would call {names}, which is forbidden: weights need no such thing"
    return wrong


class _TorchScriptFound(Exception):
    """The archive contains TorchScript code."""


def _list_imports(path: Path) -> Iterator[str]:
    """Everything that the file's pickles would import, as "module.name"."""
    if not zipfile.is_zipfile(path):
        length = path.stat().st_size
        with path.open("rb") as file:
            for _ in range(LEGACY):
                if file.tell() < length:
                    yield from _read_globals(file)
        return
    with zipfile.ZipFile(path) as archive:
        names = archive.namelist()
        if any(name.endswith("/constants.pkl") or "/code/" in name for name in names):
            raise _TorchScriptFound
        pickles = [name for name in names if name.endswith(".pkl")]
        if not pickles:
            raise zipfile.BadZipFile("there are no weights in it")
        for name in pickles:
            if archive.getinfo(name).file_size > LARGEST:
                raise zipfile.BadZipFile("what is in it is too large")
            with archive.open(name) as member:
                yield from _read_globals(member)  # type: ignore[arg-type]  # genops only reads from it


def _read_globals(file: BinaryIO) -> Iterator[str]:
    """What one pickle would import. STACK_GLOBAL is taken to use the last two strings that were pushed."""
    texts: list[str] = []
    kept: dict[int, str] = {}
    for opcode, argument, _ in pickletools.genops(file):
        if opcode.name in ("GLOBAL", "INST"):
            yield str(argument).replace(" ", ".")
        elif opcode.name == "STACK_GLOBAL":
            yield ".".join(texts[-2:])
        elif opcode.name in ("EXT1", "EXT2", "EXT4"):
            yield f"extension {argument}"
        elif "UNICODE" in opcode.name or opcode.name in ("STRING", "BINSTRING", "SHORT_BINSTRING"):
            texts.append(str(argument))
        elif opcode.name in ("MEMOIZE", "PUT", "BINPUT", "LONG_BINPUT") and texts:
            kept[len(kept) if argument is None else int(argument)] = texts[-1]
        elif opcode.name in ("GET", "BINGET", "LONG_BINGET"):
            texts.append(kept.get(int(argument or 0), "?"))


def _only_builds_tensors(name: str) -> bool:
    module, _, what = name.rpartition(".")
    if name in KNOWN or module in MODULES:
        return True
    return module == "torch" and (what.endswith("Storage") or what in DTYPES)


DTYPES = frozenset({"float16", "bfloat16", "float32", "float64", "int8", "int16", "int32", "int64", "uint8", "bool"})


def _is_text(start: bytes) -> bool:
    printable = sum(32 <= byte < 127 or byte in b"\t\r\n" for byte in start)
    return printable == len(start) and not start.startswith((b"(", b"c"))  # as pickles of protocol 0 can begin
