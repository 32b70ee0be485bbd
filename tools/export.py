"""Make of trained weights what live-sr ships: NAME-xN.onnx, NAME-xN.safetensors and the card NAME-xN.toml.

    python tools/export.py runs/fast-x2/weights.safetensors --name fast --test DIR ... --out live_sr/models/weights

Both files hold the weights in half precision and are equal to each other; engines compute in what they like. The card's
figures are measured here: PSNR-Y (BT.601 limited range, 8 pixels cropped) over every pair of each DIR, which holds lr/
and hr/ of frames that no training saw, beside OpenCV's bilinear, bicubic and Lanczos-4 on the same frames.
"""

from __future__ import annotations

import argparse
import hashlib
import json
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from frames import Pair, psnr_y, read_pairs, upscale
from onnx import helper, numpy_helper

from live_sr.models import nets
from live_sr.models.nets import CELL, CellNet

AGREE = 1e-3  # the largest difference between PyTorch and the exported network, of full scale 1


def graph(net: CellNet) -> onnx.ModelProto:
    """Node by node: PyTorch's exporter spells unshuffling as reshapes, about 1.9 ms slower at 480x270 in OpenVINO.

    Input "rgb" float32 (1, 3, H, W) in 0..1, H and W even; output "enlarged", not clamped.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, values: torch.Tensor) -> str:
        """Weights are kept in half precision and widened by the graph, once, when an engine loads it."""
        held = values.detach().half() if values.is_floating_point() else values
        constants.append(numpy_helper.from_array(np.ascontiguousarray(held.numpy()), f"{name}.held"))
        if held.dtype != torch.half:
            return f"{name}.held"
        return node("Cast", [f"{name}.held"], name, to=onnx.TensorProto.FLOAT)

    def node(kind: str, inputs: list[str], output: str, **attributes: object) -> str:
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
    onnx.save(graph(net), part)
    part.replace(path)


def largest_difference(net: CellNet, path: Path) -> float:
    """Between PyTorch and the file, over a few sizes."""
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    worst = 0.0
    for height, width in ((2, 2), (34, 50), (270, 480)):
        x = torch.rand(1, 3, height, width)
        with torch.no_grad():
            ours = net(x).numpy()
        worst = max(worst, float(np.abs(ours - session.run(None, {"rgb": x.numpy()})[0]).max()))
    return worst


FILTERS = {"bilinear": cv2.INTER_LINEAR, "bicubic": cv2.INTER_CUBIC, "lanczos": cv2.INTER_LANCZOS4}


def scores(net: CellNet, pairs: list[Pair]) -> dict[str, float]:
    """Mean PSNR-Y in dB of the network and of the filters."""
    rows = []
    for pair in pairs:
        size = (pair.large.shape[1], pair.large.shape[0])
        filtered = (cv2.resize(pair.small, size, interpolation=kind) for kind in FILTERS.values())
        rows.append([psnr_y(guess, pair.large) for guess in (upscale(net, pair.small, "cpu"), *filtered)])
    return dict(zip(("model", *FILTERS), np.mean(rows, 0).tolist(), strict=True))


def card(net: CellNet, steps: int, path: Path, args: argparse.Namespace) -> str:
    parameters, macs = nets.cost(net)
    data = path.read_bytes()
    about: dict[str, str | int] = {
        "name": args.name,
        "scale": net.scale,
        "architecture": f"CellNet {net.shape.features}x{net.shape.depth}",
        "parameters": parameters,
        "macs_per_pixel": round(macs),
        "multiple": CELL,
        "licence": args.licence,
        "trained_on": args.trained_on,
        "steps": steps,
        "minutes": args.minutes,
        "machine": args.machine,
        "notes": args.notes,
        "bytes": len(data),
        "sha256": hashlib.sha256(data).hexdigest(),
    }
    lines = [f"{key} = {json.dumps(value, ensure_ascii=False)}" for key, value in about.items() if value != ""]
    lines += ["", "[psnr_y]  # dB, on maps and levels that no training saw; target: the large frame, area-averaged"]
    rows = {test.name: scores(net, read_pairs(test, net.scale)) for test in args.test}
    if rows:
        rows["mean"] = {key: float(np.mean([row[key] for row in rows.values()])) for key in ("model", *FILTERS)}
    for game, row in rows.items():
        lines.append(f"{game} = {{ {', '.join(f'{key} = {value:.2f}' for key, value in row.items())} }}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--trained-on", default="", help="a sentence for the card")
    parser.add_argument("--minutes", type=int, default=0, help="how long it was trained, for the card")
    parser.add_argument("--machine", default="", help="and on what")
    parser.add_argument("--notes", default="", help="and what else one should know")
    parser.add_argument("--licence", default="GPL-3.0-or-later")
    parser.add_argument("--test", type=Path, nargs="+", default=[], help="folders with lr/ and hr/, one for each game")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)

    try:
        net, steps = nets.load(args.weights)
    except (OSError, KeyError, RuntimeError) as error:
        raise SystemExit(f"export: {args.weights} holds no weights that train.py wrote ({error})") from None
    net = net.half().float()
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{args.name}-x{net.scale}.onnx"
    write_onnx(net, path)
    difference = largest_difference(net, path)
    if difference > AGREE:
        raise SystemExit(f"export: {path} differs from PyTorch by {difference:.1e}; more than {AGREE:.0e}")
    nets.save(net, path.with_suffix(".safetensors"), steps, torch.half)
    path.with_suffix(".toml").write_text(card(net, steps, path, args), encoding="utf-8")
    print(path.with_suffix(".toml").read_text(encoding="utf-8"))


if __name__ == "__main__":
    main()
