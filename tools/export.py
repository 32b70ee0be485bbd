"""Make of trained weights what live-sr ships: NAME-xN.onnx, .safetensors and the card NAME-xN.toml.

    python tools/export.py runs/fast-x2/weights.safetensors --name fast --test DIR ... --out live_sr/models/weights

The card's figures are measured here: PSNR-Y (BT.601 limited range, 8 pixels cropped) over every pair of each DIR, which
holds lr/ and hr/ of frames that no training saw, beside OpenCV's bicubic and Lanczos-4 on the same frames.
"""

import argparse
import hashlib
import shutil
from pathlib import Path

import cv2
import numpy as np
import onnx
import onnxruntime
import torch
from onnx import helper, numpy_helper
from safetensors import safe_open
from train import Pair, psnr_y, read_pairs, upscale

from live_sr.models.nets import CELL, CellNet, cost

AGREE = 1e-3  # the largest difference between PyTorch and the exported network, of full scale 1


def load(weights: Path) -> tuple[CellNet, int]:
    """The network in a file that train.py wrote, and the steps it was trained for."""
    with safe_open(weights, "pt") as file:
        about = file.metadata()
        state = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118  # not a dict
    net = CellNet(int(about["scale"]), int(about["features"]), int(about["depth"]))
    net.load_state_dict(state)
    return net.eval(), int(about["step"])


def graph(net: CellNet) -> onnx.ModelProto:
    """Node by node: PyTorch's exporter spells unshuffling as reshapes, about 1.9 ms slower at 480x270 in OpenVINO.

    Input "rgb" float32 (1, 3, H, W) in 0..1, H and W even; output "enlarged", not clamped.
    """
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []

    def constant(name: str, values: torch.Tensor) -> str:
        constants.append(numpy_helper.from_array(np.ascontiguousarray(values.detach().numpy()), name))
        return name

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


def scores(net: CellNet, pairs: list[Pair]) -> tuple[float, float, float]:
    """Mean PSNR-Y in dB of the network, bicubic and Lanczos."""
    rows = []
    for pair in pairs:
        size = (pair.large.shape[1], pair.large.shape[0])
        filtered = (cv2.resize(pair.small, size, interpolation=i) for i in (cv2.INTER_CUBIC, cv2.INTER_LANCZOS4))
        rows.append([psnr_y(guess, pair.large) for guess in (upscale(net, pair.small, "cpu"), *filtered)])
    model, bicubic, lanczos = np.mean(rows, 0)
    return float(model), float(bicubic), float(lanczos)


def bilinear(pairs: list[Pair]) -> float:
    """Mean PSNR-Y in dB of plain bilinear interpolation, which is hard to beat where a game is dark and noisy."""
    sizes = [(pair.large.shape[1], pair.large.shape[0]) for pair in pairs]
    return float(np.mean([psnr_y(cv2.resize(p.small, size), p.large) for p, size in zip(pairs, sizes, strict=True)]))


def card(net: CellNet, name: str, steps: int, trained_on: str, path: Path, tests: list[Path]) -> str:
    parameters, macs = cost(net)
    data = path.read_bytes()
    lines = [
        f'name = "{name}"',
        f"scale = {net.scale}",
        f'architecture = "CellNet {net.head.out_channels}x{len(net.body)}"',
        f"parameters = {parameters}",
        f"macs_per_pixel = {macs:.0f}",
        f"multiple = {CELL}",
        'licence = "GPL-3.0-or-later"',
        f'trained_on = "{trained_on}"',
        f"steps = {steps}",
        f"bytes = {len(data)}",
        f'sha256 = "{hashlib.sha256(data).hexdigest()}"',
        "",
        "[psnr_y]  # dB, on maps and levels that it was not trained on; target: the large frame, area-averaged",
    ]
    rows = {test.name: scores(net, read_pairs(test, net.scale)) for test in tests}
    rows["mean"] = tuple(np.mean(list(rows.values()), 0).tolist())  # type: ignore[assignment]
    for engine, (model, bicubic, lanczos) in rows.items():
        lines.append(f"{engine} = {{ model = {model:.2f}, bicubic = {bicubic:.2f}, lanczos = {lanczos:.2f} }}")
    return "\n".join(lines) + "\n"


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("weights", type=Path)
    parser.add_argument("--name", required=True)
    parser.add_argument("--trained-on", default="", help="a sentence for the card")
    parser.add_argument("--test", type=Path, nargs="+", default=[], help="folders with lr/ and hr/, one for each game")
    parser.add_argument("--out", type=Path, required=True)
    args = parser.parse_args()
    torch.set_num_threads(1)

    net, steps = load(args.weights)
    args.out.mkdir(parents=True, exist_ok=True)
    path = args.out / f"{args.name}-x{net.scale}.onnx"
    write_onnx(net, path)
    difference = largest_difference(net, path)
    if difference > AGREE:
        raise SystemExit(f"export: {path} differs from PyTorch by {difference:.1e}; more than {AGREE:.0e}")
    shutil.copyfile(args.weights, path.with_suffix(".safetensors"))
    path.with_suffix(".toml").write_text(
        card(net, args.name, steps, args.trained_on, path, args.test), encoding="utf-8"
    )
    print(path.with_suffix(".toml").read_text(encoding="utf-8"))
    for test in args.test:
        print(f"bilinear on {test.name}: {bilinear(read_pairs(test, net.scale)):.2f} dB")


if __name__ == "__main__":
    main()
