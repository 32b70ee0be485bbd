"""ONNX Runtime's plug-in for WebGPU, which computes on graphics cards through Vulkan or Direct3D 12."""

from __future__ import annotations

from functools import cache
from typing import Any

import onnxruntime

NAME = "live-sr"  # under which the plug-in is registered
ERRORS_ONLY = 3  # of ONNX Runtime's log


@cache
def unavailable_reason() -> str:
    """Why ONNX Runtime has no graphics card here, or an empty string."""
    try:
        return "" if find_device() is not None else "ONNX Runtime finds no graphics card"
    except Exception as error:  # its binding raises a dozen types without a common base class
        return f"the plug-in does not work with onnxruntime {onnxruntime.__version__} ({summarise_error(error)})"


@cache
def find_device() -> Any:
    """What ONNX Runtime has for the plug-in, or None. It stands for all cards: the plug-in chooses one by itself.

    Raises ImportError or exceptions of ONNX Runtime.
    """
    import onnxruntime_ep_webgpu  # here, so that where it cannot be imported a sentence says so

    onnxruntime.register_execution_provider_library(NAME, onnxruntime_ep_webgpu.get_library_path())
    wanted = onnxruntime_ep_webgpu.get_ep_name()
    return next((device for device in onnxruntime.get_ep_devices() if device.ep_name == wanted), None)


def open_session(network: bytes, threads: int) -> Any:
    """A session for a serialised ONNX model on the graphics card. Raises exceptions of ONNX Runtime.

    threads: of the processor, for what the plug-in has no shaders for; 0: one for each core.
    """
    options = onnxruntime.SessionOptions()
    options.log_severity_level = ERRORS_ONLY
    options.intra_op_num_threads = threads
    options.add_provider_for_devices([find_device()], {})
    return onnxruntime.InferenceSession(network, options)


def summarise_error(error: Exception) -> str:
    """What the error says, without the places in its source code that come before."""
    lines = [line.strip() for line in str(error).splitlines() if line.strip()]
    return lines[0].rpartition("] ")[2][-200:] if lines else type(error).__name__
