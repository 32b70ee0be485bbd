"""ONNX Runtime with TensorRT-RTX as its execution provider: made known to each other, asked to compile and to run.

The names of the provider's options are those of tensorrt_rtx_provider_options.h in its package, version 0.5.0.
"""

from __future__ import annotations

import ctypes
import functools
import io
import re
import tempfile
import zipfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import onnxruntime_ep_nv_tensorrt_rtx

from live_sr.engine._rtx_card import UPDATE
from live_sr.errors import EngineError
from live_sr.frame import Size

PACKAGES = ("onnxruntime", "onnxruntime-ep-nv-tensorrt-rtx-cu13", "onnx")
"""That decide what a compiled network is."""

AGAIN = 'install it again: pip install --force-reinstall "live-sr[rtx]"'
OTHER = "use another model or engine"
ERRORS_ONLY = 3  # of ONNX Runtime's log

NETWORK, KERNELS = "network.onnx", "kernels/"  # in the archive


@dataclass(frozen=True)
class Compiled:
    """A network made ready for this card.

    network: ONNX with the engine in it. kernels: files, by name, of what TensorRT-RTX compiled when it first ran.
    """

    network: bytes
    kernels: Mapping[str, bytes]

    def packed(self) -> bytes:
        """All of it in one file, uncompressed."""
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w") as archive:
            archive.writestr(NETWORK, self.network)
            for name, code in self.kernels.items():
                archive.writestr(KERNELS + name, code)
        return buffer.getvalue()

    @classmethod
    def unpacked(cls, data: bytes) -> Compiled:
        """What `packed` made of it."""
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = [name for name in archive.namelist() if name.startswith(KERNELS)]
            return cls(archive.read(NETWORK), {Path(name).name: archive.read(name) for name in names})

    def lay_out(self, folder: Path) -> None:
        """Put the kernels where a session is told to look for them."""
        for name, code in self.kernels.items():
            (folder / name).write_bytes(code)


def compile_network(network: bytes) -> bytes:
    """The ONNX network with an engine for this kind of card in it. Raises EngineError."""
    options = _options({})
    try:
        # `network` must outlive the compiler, which only points at it
        compiler = onnxruntime.ModelCompiler(options, network, embed_compiled_data_into_model=True)
        return bytes(compiler.compile_to_bytes())
    except Exception as error:  # the binding has a dozen kinds, which share no class of their own
        raise EngineError(f"TensorRT-RTX cannot compile the network: {_words(error)}", OTHER) from error


def compile_kernels(network: bytes, input_name: str, size: Size) -> Compiled:
    """Run a compiled network once for BGRA frames of `size`, and keep what was compiled for that. Raises EngineError.

    TensorRT-RTX compiles the kernels on the card itself, and hands them out when the session ends.
    """
    with tempfile.TemporaryDirectory(prefix="live-sr-rtx-", ignore_cleanup_errors=True) as folder:
        running = open_session(network, {"nv_runtime_cache_path": folder})
        try:
            running.run(None, {input_name: np.zeros((1, size.height, size.width, 4), np.uint8)})
        except Exception as error:
            raise EngineError(f"TensorRT-RTX cannot run the network: {_words(error)}", OTHER) from error
        del running
        files = sorted(path for path in Path(folder).rglob("*") if path.is_file())
        return Compiled(network, {path.name: path.read_bytes() for path in files})


def open_session(network: bytes, settings: Mapping[str, str]) -> onnxruntime.InferenceSession:
    """A session for the whole network on the card; `settings` are the provider's. Raises EngineError."""
    options = _options(settings)
    try:
        # without enable_fallback=0 it would print its trouble and go on in the processor
        return onnxruntime.InferenceSession(network, sess_options=options, enable_fallback=0)
    except Exception as error:
        raise EngineError(f"TensorRT-RTX cannot load the network: {_words(error)}", OTHER) from error


def run_options() -> onnxruntime.RunOptions:
    """For runs that return as soon as the work is in the stream."""
    options = onnxruntime.RunOptions()
    options.add_run_config_entry("disable_synchronize_execution_providers", "1")
    return options


def failed(error: Exception, label: str) -> EngineError:
    """What to raise when a run failed."""
    return EngineError(f"TensorRT-RTX failed on {label}: {_words(error)}", "use another engine")


def _options(settings: Mapping[str, str]) -> onnxruntime.SessionOptions:
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")  # all of it on the card, or an error
    options.add_provider_for_devices([_device()], dict(settings))
    return options


def _device() -> onnxruntime.OrtEpDevice:
    """The first card, as the provider knows it; it takes one. Raises EngineError."""
    name = _registered()
    first = [d for d in onnxruntime.get_ep_devices() if d.ep_name == name and d.ep_options.get("device_id", "0") == "0"]
    if not first:
        raise EngineError("TensorRT-RTX finds no card here that it serves", f"{UPDATE}; or use another engine")
    return first[0]


@functools.cache
def _registered() -> str:
    """The provider's name, once ONNX Runtime has its library. Raises EngineError."""
    name: str = onnxruntime_ep_nv_tensorrt_rtx.get_ep_name()
    try:
        library: str = onnxruntime_ep_nv_tensorrt_rtx.get_library_path()
        # The package has CUDA's runtime, but under no name by which Linux finds it (0.5.0); one that is loaded will do
        for runtime in Path(library).parent.glob("libcudart.so.*"):
            ctypes.CDLL(str(runtime))
        onnxruntime.register_execution_provider_library(name, library)
    except Exception as error:
        raise _not_loaded(_words(error)) from error
    return name


def _not_loaded(words: str) -> EngineError:
    """Seen without a driver: "Failed to load library <path> with error: libcuda.so.1: cannot open shared object file:
    No such file or directory"."""
    what = words.split(" with error: ")[-1]
    if re.search(r"libcuda\.so|libnvidia-ml|nvcuda|nvml", what):
        return EngineError(f"TensorRT-RTX needs NVIDIA's driver: {what}", "install NVIDIA's driver: 580 or newer")
    if "API version" in what:
        return EngineError(f"TensorRT-RTX and ONNX Runtime do not fit together: {what}", AGAIN)
    return EngineError(f"TensorRT-RTX cannot be loaded: {what}", AGAIN)


def _words(error: Exception) -> str:
    """What an error says, in one line, without ONNX Runtime's own number and kind before it."""
    text = " ".join(str(error).split())
    return re.sub(r"^\[ONNXRuntimeError\] : \d+ : \w+ : ", "", text) or type(error).__name__
