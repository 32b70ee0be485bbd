"""Other runtimes for the same networks, for comparison only: "auto" never chooses one."""

from __future__ import annotations

import dataclasses
from typing import cast

from live_sr.backends import PEERS, Backend
from live_sr.engines import region_factory
from live_sr.engines.options import EngineOptions
from live_sr.errors import MissingPart, ModelError, UsageError
from live_sr.models.resolve import Model
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import BuildMonitor

BASELINES = (
    Backend(
        "eager",
        "live_sr.engines.other_formats.torch_eager:EagerEngine",
        needs=("torch",),
        install=PEERS,
        weights=".safetensors",
        suffixes=(".pth", ".pt", ".safetensors"),
    ),
    Backend(
        "compile",
        "live_sr.bench.baselines.torch_compile:TorchCompileEngine",
        needs=("torch",),
        install=PEERS,
        weights=".safetensors",
    ),
    Backend(
        "onnxruntime",
        "live_sr.bench.baselines.onnxruntime:OnnxRuntimeEngine",
        needs=("onnxruntime",),
        install="pip install onnxruntime",
    ),
    Backend(
        "ncnn",
        "live_sr.engines.other_formats.ncnn:NcnnEngine",
        needs=("ncnn",),
        install=PEERS,
        weights=".param",
        suffixes=(".param", ".bin"),
    ),
)


def find_baseline(name: str) -> Backend | None:
    return next((peer for peer in BASELINES if peer.name == name), None)


def make_engine(model: Model, scale: int, options: EngineOptions, watch: BuildMonitor) -> Engine:
    """live-sr's engine or a peer of that name, not yet warmed up. `watch` follows a long build. Raises LiveSRError."""
    engine = options.backend
    peer = find_baseline(engine)
    if peer is None:
        return region_factory.make_engine(model, scale, options, watch)
    obstacle = peer.unavailable_reason()
    if obstacle:
        raise MissingPart(f"{engine} cannot be used: {obstacle}", peer.install)
    card = model.get_card(scale)
    if card is None:
        raise UsageError(f"{model.name} is a filter, and {engine} runs networks", "leave it out")
    file = card.onnx
    if file.suffix.lower() not in peer.suffixes:
        file = file.with_suffix(peer.weights or ".onnx")
    if not file.is_file():
        remedy = f"leave {engine} out, or convert the network and put it there"
        raise ModelError(f"{engine} reads {file.name}, which is not beside {card.onnx.name}", remedy)
    make_peer = peer.load()
    card = dataclasses.replace(card, onnx=file)
    return cast(Engine, make_peer(card, precision=options.precision, threads=options.threads, cache=None))
