"""Compiles a network with TensorRT-RTX, in a process of its own: `python -m live_sr.engine.rtx_build`."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from pathlib import Path

from live_sr.compiled import child
from live_sr.engine import _rtx_provider
from live_sr.frame import Size
from live_sr.models.card import ModelCard


@dataclass(frozen=True)
class Spec:
    """What is to be compiled: the model of a card, for frames of width x height, in fp16 or fp32."""

    model: str
    scale: int
    multiple: int
    onnx: str
    width: int
    height: int
    precision: str


def make(spec: Spec, say: child.Say) -> bytes:
    """A packed `Compiled`. Raises ModelError or EngineError."""
    from live_sr.models import framedonnx  # who orders does not need its library

    card = ModelCard(spec.model, spec.scale, Path(spec.onnx), multiple=spec.multiple)
    size = Size(spec.width, spec.height)
    network = framedonnx.framed(card, size, spec.precision)
    say("compiling the network")
    compiled = _rtx_provider.compile_network(network)
    say("compiling for this card")
    return _rtx_provider.compile_kernels(compiled, framedonnx.INPUT, size).packed()


if __name__ == "__main__":
    sys.exit(child.run(Spec, make))
