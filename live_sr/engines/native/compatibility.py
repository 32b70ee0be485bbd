"""Whether the native engine can be used here."""

from __future__ import annotations

from live_sr.engines.native import library
from live_sr.errors import EngineError
from live_sr.system import c_compiler, hardware, paths

NEEDED = "AVX-512 BF16"
NO_INSTRUCTIONS = f"this processor, or this system, has neither AMX nor {NEEDED}"


def unavailable_reason() -> str:
    """Why it cannot be used, or an empty string. Compiles nothing: without a library it needs a compiler."""
    features = hardware.list_processor_features()  # empty where the system does not report them
    if features and NEEDED not in features:
        return NO_INSTRUCTIONS
    file = library.find_library()
    if file is not None:
        try:
            best = library.load_library(file).paths[0]
        except EngineError as error:
            return error.message
        return NO_INSTRUCTIONS if best == "portable" else ""
    if paths.get_native_folder() is None:
        return paths.NO_HOME
    if c_compiler.find_compiler() is None:
        return f"it is compiled on this machine, and no C compiler is installed ({c_compiler.INSTALL})"
    return ""
