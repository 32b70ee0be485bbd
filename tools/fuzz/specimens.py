"""One valid file of every kind that live-sr reads, as small as it can be: what tools/fuzz/run.py begins with."""

from __future__ import annotations

import io
from collections.abc import Callable
from pathlib import Path

import numpy as np
import onnx
import torch
from onnx import TensorProto, helper
from torch import nn

from live_sr.engines.cache.key import EngineKey, EngineManifest
from live_sr.models import pytorch
from live_sr.models.architectures import cellnet

CONFIG = Path(__file__).parents[2] / "config.toml"

PROFILES = """
[model]
name = "fast"
scale = "fit"
[hotkeys]
next_model = "ctrl+alt+f8"
quit = ""
[[profile]]
match = "doom|^Quake( III)?$"
model.name = "fast-pixel"
hud = { level = "off", seconds = 2.5 }
[[profile]]
match = "tux"
[profile.engine]
precision = "fp16"
threads = 2
budget_ms = 16.5
"""

CARD = """
name = "toy"
scale = 2
architecture = "CellNet 32x3"
parameters = 50688
macs_per_pixel = 11232
multiple = 2
licence = "GPL-3.0-or-later"
trained_on = "frames of games"
steps = 100000
minutes = 75
notes = "none"

[psnr_y]
openarena = { model = 33.20, bilinear = 31.61, bicubic = 32.09, lanczos = 32.18 }
"a game" = { model = 33, bicubic = 32.09, lanczos = 32.18 }
"""


def make_config(folder: Path) -> list[Path]:
    (folder / "all.toml").write_bytes(CONFIG.read_bytes())
    (folder / "profiles.toml").write_text(PROFILES, encoding="utf-8")
    return [folder / "all.toml", folder / "profiles.toml"]


def make_zoo(folder: Path) -> list[Path]:
    """Networks beside a card."""
    write_network(folder / "toy-x2.onnx", ["n", 3, "h", "w"], ["n", 3, "hh", "ww"])
    (folder / "toy-x2.toml").write_text(CARD, encoding="utf-8")
    write_network(folder / "fixed-x2.onnx", [1, 3, 8, 8], [1, 3, 16, 16])
    (folder / "fixed-x2.toml").write_text('name = "fixed"\nscale = 2\n', encoding="utf-8")
    return [folder / "toy-x2.onnx", folder / "fixed-x2.onnx"]


def make_onnx_files(folder: Path) -> list[Path]:
    """Networks that nothing lies beside."""
    write_network(folder / "fixed.onnx", [1, 3, 8, 8], [1, 3, 16, 16])
    write_network(folder / "free-x2.onnx", ["n", 3, "h", "w"], ["n", 3, "hh", "ww"])
    return [folder / "fixed.onnx", folder / "free-x2.onnx"]


def make_key(folder: Path) -> list[Path]:
    one = EngineKey(
        "tensorrt", "fast", 2, 480, 270, "fp16", "9f86", "CellNet", "a card", "8.9", "580", (("level", "3"),)
    )
    manifest = EngineManifest(one, 1 << 20, "60303a", 34.5, "2026-01-31T20:15:00+00:00", "cd37")
    path = folder / "engine.toml"
    path.write_text(manifest.to_toml(), encoding="utf-8")
    return [path]


def make_torch_files(folder: Path) -> list[Path]:
    """A published network, as it is saved today and as it was before; and one trained here."""
    state = {"params_ema": make_compact_network().state_dict()}
    torch.save(state, folder / "new.pth")
    torch.save(state, folder / "old.pth", _use_new_zipfile_serialization=False)
    cellnet.save(cellnet.CellNet(2, 4, 1), folder / "ours.safetensors", 7)
    return [folder / "new.pth", folder / "old.pth", folder / "ours.safetensors"]


def make_compact_network() -> nn.Module:
    """The smallest SRVGGNetCompact."""
    with pytorch.replace_torchvision():
        from spandrel.architectures.Compact import Compact
    torch.manual_seed(1)
    net: nn.Module = Compact(num_feat=4, num_conv=1, upscale=2)
    return net.eval()


def make_ncnn_files(folder: Path) -> list[Path]:
    """A convolution to four pixels of each, and a graph with two branches, a pool and linear layers."""
    weights = np.random.default_rng(1).normal(0, 0.1, 12 * 27).astype(np.float32)
    layer = np.zeros(1, np.uint32).tobytes() + weights.tobytes() + np.zeros(12, np.float32).tobytes()
    first = "Convolution conv 1 1 in0 1 0=12 1=3 4=1 5=1 6=324\n"
    (folder / "plain.param").write_text(f"7767517\n3 3\nInput in0 0 1 in0\n{first}PixelShuffle up 1 1 1 out0 0=2\n")
    (folder / "plain.bin").write_bytes(layer)
    (folder / "gated.param").write_text(
        f"7767517\n8 9\nInput in0 0 1 in0\n{first}Split two 1 2 1 2 3\nPooling mean 1 1 2 4 0=1 4=1\n"
        "InnerProduct fc 1 1 4 5 0=12 1=1 2=144\nSigmoid gate 1 1 5 6\nBinaryOp times 2 1 3 6 7 0=2\n"
        "PixelShuffle up 1 1 7 out0 0=2\n"
    )
    linear = np.zeros(1, np.uint32).tobytes() + np.full(144, 0.01, np.float32).tobytes() + bytes(48)
    (folder / "gated.bin").write_bytes(layer + linear)
    return [folder / "plain.param", folder / "gated.param"]


def make_frozen_graph(folder: Path) -> list[Path]:
    """A frozen TensorFlow graph that repeats every luma twice: Conv2D by 1 into four channels, and DepthToSpace."""
    tensor = _field(1, 1) + _field(2, b"".join(_field(2, _field(1, n)) for n in (1, 1, 1, 4)))
    tensor += _field(4, np.ones(4, np.float32).tobytes())
    floats, layout = _attribute("T", _field(6, 1)), _attribute("data_format", _field(2, b"NHWC"))
    strides = _attribute("strides", _field(1, _field(3, bytes([1, 1, 1, 1]))))
    kind, padding = _attribute("dtype", _field(6, 1)), _attribute("padding", _field(2, b"SAME"))
    nodes = (
        _node("luma", "Placeholder", (), kind),
        _node("ones", "Const", (), kind + _attribute("value", _field(8, tensor))),
        _node("conv", "Conv2D", ("luma", "ones"), floats + strides + layout + padding),
        _node("large", "DepthToSpace", ("conv",), floats + layout + _attribute("block_size", _field(3, 2))),
    )
    path = folder / "luma.pb"
    path.write_bytes(b"".join(_field(1, node) for node in nodes) + _field(4, _field(1, 27)))
    return [path]


def write_network(path: Path, taken: list[int | str], made: list[int | str]) -> None:
    """An ONNX file that repeats every pixel twice."""
    rgb = helper.make_tensor_value_info("rgb", TensorProto.FLOAT, taken)
    enlarged = helper.make_tensor_value_info("enlarged", TensorProto.FLOAT, made)
    scales = helper.make_tensor("scales", TensorProto.FLOAT, [4], [1.0, 1.0, 2.0, 2.0])
    resize = helper.make_node("Resize", ["rgb", "", "scales"], ["enlarged"], mode="nearest")
    graph = helper.make_graph([resize], "toy", [rgb], [enlarged], [scales])
    file = io.BytesIO()
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8), file)
    path.write_bytes(file.getvalue())


# Protocol buffers, as https://protobuf.dev/programming-guides/encoding has them


def _varint(value: int) -> bytes:
    return bytes([value]) if value < 128 else bytes([value & 127 | 128]) + _varint(value >> 7)


def _field(number: int, value: int | bytes) -> bytes:
    """A field with a whole number, or with text or another message."""
    if isinstance(value, int):
        return _varint(number << 3) + _varint(value)
    return _varint(number << 3 | 2) + _varint(len(value)) + value


def _node(name: str, kind: str, inputs: tuple[str, ...], attributes: bytes) -> bytes:
    taken = b"".join(_field(3, one.encode()) for one in inputs)
    return _field(1, name.encode()) + _field(2, kind.encode()) + taken + attributes


def _attribute(name: str, value: bytes) -> bytes:
    return _field(5, _field(1, name.encode()) + _field(2, value))


MakeSpecimens = Callable[[Path], list[Path]]
