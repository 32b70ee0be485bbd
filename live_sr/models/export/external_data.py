"""Joins an ONNX file and the files beside it that hold its weights, as PyTorch exports large networks."""

from __future__ import annotations

from pathlib import Path

import onnx
from onnx.external_data_helper import uses_external_data

from live_sr.errors import ModelError


def has_external_data(path: Path) -> bool:
    """Whether weights lie in other files. False for what is no ONNX file."""
    try:
        return any(uses_external_data(one) for one in onnx.load(path, load_external_data=False).graph.initializer)
    except Exception:  # protobuf has its own errors
        return False


def join_external_data(path: Path, target: Path) -> None:
    """Writes the whole network into one file. Raises ModelError if its weights are missing."""
    try:
        onnx.save(onnx.load(path), target)
    except Exception as error:  # onnx's checker, protobuf and the system each have their own errors
        what = (str(error).splitlines() or [""])[0]
        raise ModelError(
            f"{path} cannot be used: its weights are in a file beside it that cannot be read: {what}",
            "put that file back beside it, or export the network into one file",
        ) from None
