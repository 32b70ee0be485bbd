"""Other runtimes with the same network on the same frames: for comparing only, "auto" never chooses one."""

from __future__ import annotations

import dataclasses
from typing import cast

from live_sr import assembly, backends
from live_sr.backends import PEERS, Backend
from live_sr.contracts import Engine, Watch
from live_sr.errors import MissingPart, ModelError, UsageError

BENCH_PEERS = (
    Backend(
        "eager",
        "live_sr.engine.eager:EagerEngine",
        needs=("torch",),
        get=PEERS,
        weights=".safetensors",
        suffixes=(".pth", ".pt", ".safetensors"),
    ),
    Backend(
        "compile",
        "live_sr.engine.inductor:InductorEngine",
        needs=("torch",),
        get=PEERS,
        weights=".safetensors",
    ),
    Backend("onnxruntime", "live_sr.engine.onnx:OnnxEngine", needs=("onnxruntime",), get="pip install onnxruntime"),
    Backend(
        "ncnn",
        "live_sr.engine.ncnn:NcnnEngine",
        needs=("ncnn",),
        get=PEERS,
        weights=".param",
        suffixes=(".param", ".bin"),
    ),
)


def find(name: str) -> Backend | None:
    return next((peer for peer in BENCH_PEERS if peer.name == name), None)


def make(model: str, scale: int, engine: str, precision: str, watch: Watch) -> Engine:
    """live-sr's engine or a peer of that name, not yet warmed up. `watch` follows a long build. Raises LiveSRError."""
    peer = find(engine)
    if peer is None:
        options = assembly.EngineOptions(engine, precision, cache=backends.cache_folder())
        return assembly.make_engine(model, scale, options, watch)
    obstacle = peer.obstacle()
    if obstacle:
        raise MissingPart(f"{engine} cannot be used: {obstacle}", peer.get)
    card = assembly.about(model, scale)
    if card is None:
        raise UsageError(f"{model} is a filter, and {engine} runs networks", "leave it out")
    file = card.onnx
    if file.suffix.lower() not in peer.suffixes:
        file = file.with_suffix(peer.weights or ".onnx")
    if not file.is_file():
        remedy = f"leave {engine} out, or convert the network and put it there"
        raise ModelError(f"{engine} reads {file.name}, which is not beside {card.onnx.name}", remedy)
    made = peer.load()(dataclasses.replace(card, onnx=file), precision=precision, threads=0, cache=None)
    return cast(Engine, made)
