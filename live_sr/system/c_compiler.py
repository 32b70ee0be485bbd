"""Finds a C compiler and compiles a file of this package into a shared library."""

from __future__ import annotations

import os
import shutil
import subprocess
from contextlib import suppress
from pathlib import Path

from live_sr.errors import EngineError
from live_sr.system.platform import get_platform

COMPILERS = ("cc", "gcc", "clang")
TIMEOUT_S = 300.0  # it takes two seconds on an idle machine
OPTIONS = ("-O3", "-std=gnu11", "-shared", "-fvisibility=hidden")
ON_LINUX = ("-fPIC", "-pthread")
# GCC for Windows keeps the stack at multiples of 16 bytes but moves 64 bytes with instructions that need multiples of
# 64 (GCC bug 54412). The assembler can replace them; clang has no such fault and ignores the option.
ON_WINDOWS = ("-static-libgcc", "-Wa,-muse-unaligned-vector-move")


def get_library_suffix() -> str:
    return ".dll" if get_platform() == "win32" else ".so"


def find_compiler() -> str | None:
    """The path of a compiler; None if none is installed."""
    return next((path for name in COMPILERS if (path := shutil.which(name))), None)


def list_options() -> tuple[str, ...]:
    return OPTIONS + (ON_WINDOWS if get_platform() == "win32" else ON_LINUX)


def compile_library(source: Path, library: Path) -> None:
    """Compiles `source` into `library`, which appears whole or not at all. Raises EngineError."""
    compiler = find_compiler()
    if compiler is None:
        raise EngineError("no C compiler is installed", INSTALL)
    part = library.with_name(f"{library.name}.{os.getpid()}.part")
    command = [compiler, *list_options(), "-o", str(part), str(source)]
    try:
        library.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        done = subprocess.run(command, capture_output=True, text=True, timeout=TIMEOUT_S, check=False)
        if done.returncode:
            lines = done.stderr.strip().splitlines() or [f"it ended with {done.returncode}"]
            why = next((line for line in lines if "error" in line), lines[0])
            raise EngineError(f"{compiler} cannot compile {source.name}: {why}", "use gcc 11 or clang 12, or newer")
        part.chmod(0o755)  # the linker lets the group write where the umask does
        part.replace(library)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise EngineError(f"{source.name} cannot be compiled into {library}: {error}", "check that folder") from error
    finally:
        with suppress(OSError):
            part.unlink(missing_ok=True)


INSTALL = "install gcc or clang (apt install gcc)"
