"""`live-sr export`: turns trained weights into NAME-xN.onnx, NAME-xN.safetensors and a card, NAME-xN.toml.

Both files hold the weights in half precision and are equal to each other; engines compute in the precision they choose.
The card's figures are measured here: PSNR-Y (BT.601 limited range, 8 pixels cropped) over every pair of each --test
folder, which holds lr/ and hr/ of frames that no training saw, beside OpenCV's bilinear, bicubic and Lanczos-4 on the
same frames. With --int8, the card has the ranges with which engines compute the inner layers in int8.
"""

from __future__ import annotations

import hashlib
import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import cv2
import numpy as np
import numpy.typing as npt
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper

from live_sr.errors import LiveSRError, UsageError
from live_sr.models.architectures import cellnet
from live_sr.models.architectures.cellnet import CELL, CellNet
from live_sr.models.card import format_ranges
from live_sr.models.user_folder import check_name
from live_sr.terminal import print_result
from live_sr.training.dataset import TrainingPair, compute_psnr_y, read_pairs, upscale
from live_sr.training.options import ExportOptions
from live_sr.training.weights import load_weights

BARE_KEY = re.compile(r"[A-Za-z0-9_-]+")  # a TOML key that needs no quotes
OUTLIERS = 0.02  # percent
FRAMES = 8  # of each folder, to measure ranges with
LARGEST_DIFFERENCE = 1e-3  # the largest difference between PyTorch and the exported network, of full scale 1


def build_graph(net: CellNet) -> onnx.ModelProto:
    """Node by node: PyTorch's exporter writes pixel unshuffling as reshapes, 1.9 ms slower at 480x270 in OpenVINO.

    Input "rgb" float32 (1, 3, H, W) in 0..1, H and W even; output "enlarged", not clamped.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, values: torch.Tensor) -> str:
        """Weights are stored in half precision; the graph casts them to float, once, when an engine loads it."""
        held = values.detach().half() if values.is_floating_point() else values
        constants.append(numpy_helper.from_array(np.ascontiguousarray(held.numpy()), f"{name}.held"))
        if held.dtype != torch.half:
            return f"{name}.held"
        return node("Cast", [f"{name}.held"], name, to=onnx.TensorProto.FLOAT)

    def node(kind: str, inputs: list[str], output: str, **attributes: Any) -> str:
        nodes.append(helper.make_node(kind, inputs, [output], **attributes))
        return output

    def convolution(x: str, name: str, weight: torch.Tensor, layer: torch.nn.Conv2d, pad: int) -> str:
        inputs = [x, constant(f"{name}.weight", weight), constant(f"{name}.bias", layer.get_parameter("bias"))]
        return node("Conv", inputs, name, pads=[pad] * 4)

    features = net.head.out_channels
    by_place = torch.arange(3 * CELL**2).reshape(3, CELL**2).T.flatten()  # SpaceToDepth puts places before colours
    border = constant("border", torch.tensor([0, 0, CELL, CELL] * 2))
    cells = node("SpaceToDepth", [node("Pad", ["rgb", border], "framed", mode="edge")], "cells", blocksize=CELL)
    y = cells
    for i, (layer, act) in enumerate(zip((net.head, *net.body), net.acts, strict=True)):
        assert isinstance(layer, torch.nn.Conv2d)
        y = convolution(y, f"conv{i}", layer.weight[:, by_place] if i == 0 else layer.weight, layer, 1)
        slope = constant(f"slope{i}", act.get_parameter("weight").reshape(-1, 1, 1))
        y = node("PRelu", [y, slope], f"features{i}")
    both = node("Concat", [y, cells], "both", axis=1)
    weight = torch.cat((net.tail.weight[:, :features], net.tail.weight[:, features:][:, by_place]), 1)
    node(
        "DepthToSpace",
        [convolution(both, "tail", weight, net.tail, 0)],
        "enlarged",
        blocksize=CELL * net.scale,
        mode="CRD",
    )
    ports = [
        helper.make_tensor_value_info(name, onnx.TensorProto.FLOAT, [1, 3, *sides])
        for name, sides in (("rgb", ("height", "width")), ("enlarged", ("height_out", "width_out")))
    ]
    whole = helper.make_graph(nodes, "CellNet", ports[:1], ports[1:], constants)
    return helper.make_model(whole, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)


def write_onnx(net: CellNet, path: Path) -> None:
    part = path.with_suffix(".part")
    onnx.save(build_graph(net), part)
    part.replace(path)


def measure_difference(net: CellNet, path: Path) -> float:
    """The largest difference between PyTorch and the file, over a few sizes."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for height, width in ((2, 2), (34, 50), (270, 480)):
        x = torch.rand(1, 3, height, width)
        with torch.no_grad():
            ours = net(x).numpy()
        worst = max(worst, float(np.abs(ours - session.run(None, {"rgb": x.numpy()})[0]).max()))
    return worst


def measure_int8_ranges(net: CellNet, frames: Sequence[npt.NDArray[np.uint8]]) -> list[list[float]]:
    """The least and the largest input of each layer between the first and the last, over RGB frames (H, W, 3).

    Of each channel, the values beyond `OUTLIERS` at either end are left out: they would make all steps larger.
    """
    found: list[list[npt.NDArray[np.float32]]] = [[] for _ in net.body]
    hooks = [
        act.register_forward_hook(lambda module, given, made, ends=ends: ends.append(_find_ends(made)))
        for act, ends in zip(net.acts, found, strict=False)
    ]
    with torch.no_grad():
        for frame in frames:
            net(torch.from_numpy(np.ascontiguousarray(frame)).permute(2, 0, 1)[None].float() / 255)
    for hook in hooks:
        hook.remove()
    return [[float(f"{end:.4g}") for end in (np.min(ends), np.max(ends))] for ends in found]


def _find_ends(values: torch.Tensor) -> npt.NDArray[np.float32]:
    channels = values[0].flatten(1).numpy()
    ends: npt.NDArray[np.float32] = np.percentile(channels, (OUTLIERS, 100 - OUTLIERS), axis=1).astype(np.float32)
    return ends


def _read_frames(folder: Path, scale: int) -> list[npt.NDArray[np.uint8]]:
    """Some of the small frames of the pairs in the folder. Raises UsageError for a folder without pairs."""
    return choose_frames(_read_pairs(folder, scale))


def choose_frames(pairs: Sequence[TrainingPair]) -> list[npt.NDArray[np.uint8]]:
    """A few of the small frames, from all over the list: enough to measure ranges with."""
    return [pair.small for pair in pairs[:: max(1, len(pairs) // FRAMES)][:FRAMES]]


FILTERS = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}


def measure_psnr(net: CellNet, pairs: list[TrainingPair]) -> dict[str, float]:
    """Mean PSNR-Y in dB of the network and of the filters."""
    rows = []
    for pair in pairs:
        size = (pair.large.shape[1], pair.large.shape[0])
        filtered = (cv2.resize(pair.small, size, interpolation=kind) for kind in FILTERS.values())
        rows.append([compute_psnr_y(guess, pair.large) for guess in (upscale(net, pair.small, "cpu"), *filtered)])
    return dict(zip(("model", *FILTERS), np.mean(rows, 0).tolist(), strict=True))


def format_card(
    net: CellNet,
    steps: int,
    path: Path,
    options: ExportOptions,
    tests: dict[str, list[TrainingPair]],
    frames: Sequence[npt.NDArray[np.uint8]],
) -> str:
    """The model's card as TOML. Measures its figures on the pairs of each test, and its ranges with the frames."""
    parameters, macs = cellnet.compute_cost(net)
    data = path.read_bytes()
    about: dict[str, str | int] = {
        "name": options.name,
        "scale": net.scale,
        "architecture": f"CellNet {net.shape.features}x{net.shape.depth}",
        "parameters": parameters,
        "macs_per_pixel": round(macs),
        "multiple": CELL,
        "licence": options.licence,
        "trained_on": options.trained_on,
        "steps": steps,
        "minutes": options.minutes,
        "machine": options.machine,
        "notes": options.notes,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in about.items() if value != ""]
    if frames:
        lines.append(format_ranges(measure_int8_ranges(net, frames)))
    lines += ["", "[psnr_y]  # dB, on maps and levels that no training saw; target: the large frame, area-averaged"]
    rows = {name: measure_psnr(net, pairs) for name, pairs in tests.items()}
    if rows:
        rows["mean"] = {key: float(np.mean([row[key] for row in rows.values()])) for key in ("model", *FILTERS)}
    for game, row in rows.items():
        figures = ", ".join(f"{key} = {value:.2f}" for key, value in row.items())
        lines.append(f"{json.dumps(game) if not BARE_KEY.fullmatch(game) else game} = {{ {figures} }}")
    return "\n".join(lines) + "\n"


def _read_pairs(folder: Path, scale: int) -> list[TrainingPair]:
    """Raises UsageError for a folder without pairs."""
    pairs = read_pairs(folder, scale)
    if not pairs:
        raise UsageError(f"the folder {folder} holds no pairs", "make pairs with `live-sr pairs`")
    return pairs


def run(options: ExportOptions) -> int:
    """Writes the three files and prints the card; the exit code. Raises LiveSRError."""
    check_name(options.name)
    torch.set_num_threads(1)
    net, steps = load_weights(options.weights, "WEIGHTS")
    net = net.half().float()
    tests = {folder.name: _read_pairs(folder, net.scale) for folder in options.test}
    frames = [frame for folder in options.int8 for frame in _read_frames(folder, net.scale)]
    card = write_model(net, steps, options, tests, frames).with_suffix(".toml")
    print_result(card.read_text(encoding="utf-8"))
    return 0


def write_model(
    net: CellNet,
    steps: int,
    options: ExportOptions,
    tests: dict[str, list[TrainingPair]],
    frames: Sequence[npt.NDArray[np.uint8]],
) -> Path:
    """Writes the three files; returns the path of the network. `tests`: pairs to measure it on, by the name of each
    game; `frames`: RGB (H, W, 3), to measure ranges with. Raises LiveSRError."""
    path = options.out / f"{options.name}-x{net.scale}.onnx"
    try:
        options.out.mkdir(parents=True, exist_ok=True)
        write_onnx(net, path)
        difference = measure_difference(net, path)
        if difference > LARGEST_DIFFERENCE:
            path.unlink()
            what = f"{path} would differ from PyTorch by {difference:.1e}, more than {LARGEST_DIFFERENCE:.0e}"
            raise LiveSRError(what, "try another version of onnxruntime, and report this")
        cellnet.save(net, path.with_suffix(".safetensors"), steps, torch.half)
        card = format_card(net, steps, path, options, tests, frames)
        path.with_suffix(".toml").write_text(card, encoding="utf-8")
    except OSError as error:
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another --out") from None
    return path
