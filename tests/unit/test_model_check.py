"""`live-sr models check` and `add` of files from elsewhere: what they are, or one sentence why they cannot be used."""

from __future__ import annotations

import pickle
import shutil
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import onnx
import pytest
import torch
from onnx import TensorProto, helper, numpy_helper
from torch import nn

from live_sr import manage
from live_sr.config import Settings
from live_sr.errors import LiveSRError, ModelError
from live_sr.models import pickle_scan, pytorch, zoo
from live_sr.models.architectures import cellnet
from live_sr.models.architectures.cellnet import CellNet
from live_sr.models.resolve import list_names

pytorch.import_spandrel()
from spandrel.architectures.Compact import Compact  # noqa: E402

pytestmark = pytest.mark.torch


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The user's folder, which is not there yet."""
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path / "data"))
    monkeypatch.setenv("LOCALAPPDATA", str(tmp_path / "data"))
    return tmp_path / "data" / "live-sr" / "models"


def compact(path: Path, scale: int = 2) -> None:
    torch.manual_seed(scale)
    torch.save({"params_ema": Compact(num_feat=8, num_conv=2, upscale=scale).state_dict()}, path)


# ONNX files, each with one thing wrong


def graph(
    path: Path,
    scale: int = 2,
    channels: int = 3,
    kind: int = TensorProto.FLOAT,
    more: int = 0,
    sides: Sequence[str | int] | None = None,
    odd: str = "",
) -> Path:
    """Repeats every pixel. more: inputs besides. odd: unknown, cells or flat, as below."""
    weights = np.zeros((channels * scale**2, channels, 1, 1), np.float32)
    for channel in range(channels):
        weights[channel * scale**2 : (channel + 1) * scale**2, channel] = 1
    inputs = [helper.make_tensor_value_info("rgb", kind, sides or [1, channels, "h", "w"])]
    inputs += [helper.make_tensor_value_info(f"more{n}", TensorProto.FLOAT, [1]) for n in range(more)]
    inside = "rgb"
    nodes = []
    for value in inputs[1:]:
        nodes.append(helper.make_node("Mul", [inside, value.name], [f"times {value.name}"]))
        inside = f"times {value.name}"
    if odd == "unknown":
        nodes.append(helper.make_node("Wobble", [inside], ["wobbly"], domain="com.example"))
        inside = "wobbly"
    if odd == "cells":  # H and W must be even
        nodes.append(helper.make_node("SpaceToDepth", [inside], ["cells"], blocksize=2))
        nodes.append(helper.make_node("DepthToSpace", ["cells"], ["whole"], blocksize=2))
        inside = "whole"
    if odd == "flat":  # a reshape to one size, as exporters leave it
        nodes.append(helper.make_node("Reshape", [inside, "shape"], ["flat"]))
        inside = "flat"
    nodes += [
        helper.make_node("Conv", [inside, "weights"], ["features"]),
        helper.make_node("DepthToSpace", ["features"], ["enlarged"], blocksize=scale, mode="CRD"),
    ]
    values = [
        numpy_helper.from_array(weights.astype(helper.tensor_dtype_to_np_dtype(kind)), "weights"),
        numpy_helper.from_array(np.array([1, 3, 48, 64]), "shape"),
    ]
    output = helper.make_tensor_value_info("enlarged", kind, [1, channels, "H", "W"])
    whole = helper.make_graph(nodes, "g", inputs, [output], values)
    opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.example", 1)]
    onnx.save(helper.make_model(whole, opset_imports=opsets, ir_version=8), path)
    return path


def test_a_good_model_is_described(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert manage.check_models([graph(tmp_path / "good.onnx", 3)], Settings()) == 0
    said = " ".join(capsys.readouterr().out.split())
    for words in ("rgb, f32, [1, 3, any, any]", "x3", "sizes any", "all known to OpenVINO", "it can be used"):
        assert words in said


@pytest.mark.parametrize(
    ("odd", "words"),
    [
        ({"odd": "cells"}, "multiples of 2"),
        ({"odd": "flat", "sides": [1, 3, 48, 64]}, "64x48 and no other"),
    ],
)
def test_what_sizes_a_model_takes_is_found_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], odd: dict[str, object], words: str
) -> None:
    assert manage.check_models([graph(tmp_path / "good.onnx", **odd)], Settings()) == 0  # type: ignore[arg-type]
    assert words in capsys.readouterr().out


@pytest.mark.parametrize(
    ("odd", "says", "remedy"),
    [
        ({"more": 4}, "it has 5 inputs (rgb, more0, more1, more2, more3) and 1 outputs", "one input"),
        ({"kind": TensorProto.INT32}, "its input is i32", "in float32"),
        ({"sides": [2, 3, "h", "w"]}, "it takes 2 pictures at once", "batch of 1"),
        ({"channels": 6}, "it takes 6 channels", "RGB"),
        ({"odd": "unknown"}, "OpenVINO does not know com.example.Wobble", "opset"),
    ],
)
def test_a_refusal_says_what_would_make_it_work(tmp_path: Path, odd: dict[str, object], says: str, remedy: str) -> None:
    with pytest.raises(ModelError) as caught:
        manage.check_models([graph(tmp_path / "odd.onnx", **odd)], Settings())  # type: ignore[arg-type]
    assert says in caught.value.message and "odd.onnx" in caught.value.message
    assert remedy in caught.value.remedy
    assert caught.value.exit_code == 7 and "\n" not in caught.value.message


def nothing(path: Path) -> None:
    path.touch()


def text(path: Path) -> None:
    path.write_text("this is not a model\n" * 20)


def rubbish(path: Path) -> None:
    path.write_bytes(np.random.default_rng(1).bytes(3000))


def truncated(path: Path) -> None:
    if path.suffix == ".onnx":
        graph(path)
    elif path.suffix == ".safetensors":
        from safetensors.torch import save_file

        weights: nn.Module = Compact(num_feat=8, num_conv=2)
        save_file(weights.state_dict(), path)
    else:
        compact(path)
    path.write_bytes(path.read_bytes()[:-200])


CONVERTED = (".onnx", ".pth", ".pt", ".safetensors")
BROKEN = [
    *((kind, suffix) for kind in (nothing, text, rubbish) for suffix in (*CONVERTED, ".param", ".pb")),
    *((truncated, suffix) for suffix in CONVERTED),
]


@pytest.mark.parametrize(("make", "suffix"), BROKEN)
def test_what_is_no_model_is_one_sentence(own: Path, tmp_path: Path, make: Callable[[Path], None], suffix: str) -> None:
    path = tmp_path / f"broken{suffix}"
    make(path)
    attempts: list[Callable[[], int]] = [
        lambda: manage.check_models([path], Settings()),
        lambda: manage.add_models([path], None, None, settings=Settings()),
    ]
    for attempt in attempts:
        with pytest.raises(LiveSRError) as caught:
            attempt()
        assert caught.value.exit_code == 7
        assert "broken" in caught.value.message and "\n" not in caught.value.message and caught.value.remedy
    assert not own.exists() or not list(own.iterdir()), "nothing is left behind"


@pytest.mark.parametrize("name", ["gone.onnx", "gone.pth", "folder.onnx", "picture.png"])
def test_what_is_no_file_of_a_model_is_told(tmp_path: Path, name: str) -> None:
    (tmp_path / "folder.onnx").mkdir()
    (tmp_path / "picture.png").write_bytes(b"a picture")
    with pytest.raises(ModelError) as caught:
        manage.check_models([tmp_path / name], Settings())
    assert name in caught.value.message


@pytest.mark.parametrize(
    ("state", "words"),
    [
        ({"what": torch.zeros(3)}, "no architecture that spandrel knows"),
        ({"epoch": 3, "loss": 0.5}, "no network in it"),
        ([torch.zeros(3)], "no network in it"),
        ({}, "no network in it"),
    ],
)
def test_a_checkpoint_without_a_network_is_told(tmp_path: Path, state: object, words: str) -> None:
    torch.save(state, tmp_path / "odd.pth")
    with pytest.raises(ModelError, match=words):
        manage.check_models([tmp_path / "odd.pth"], Settings())


# Hostile files


class Harm:
    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[str], int], tuple[str]]:
        import os

        return os.system, (f"touch '{self.mark}'",)


def zipped(path: Path, mark: Path) -> None:
    torch.save({"body.0.weight": Harm(mark)}, path)


def legacy(path: Path, mark: Path) -> None:
    torch.save({"body.0.weight": Harm(mark)}, path, _use_new_zipfile_serialization=False)


def bare(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps(Harm(mark), protocol=4))


def oldest(path: Path, mark: Path) -> None:
    path.write_bytes(pickle.dumps([Harm(mark)] * 2, protocol=0))


def whole_model(path: Path, mark: Path) -> None:
    torch.save(nn.Sequential(nn.Conv2d(3, 3, 3)), path)


@pytest.mark.parametrize("suffix", [".pth", ".pt"])
@pytest.mark.parametrize("make", [zipped, legacy, bare, oldest, whole_model])
def test_a_program_in_a_file_of_weights_is_named_and_never_run(
    own: Path, tmp_path: Path, make: Callable[[Path, Path], None], suffix: str
) -> None:
    path, mark = tmp_path / f"evil{suffix}", tmp_path / "harm"
    make(path, mark)
    for command in (
        lambda: manage.check_models([path], Settings()),
        lambda: manage.add_models([path], None, None, settings=Settings()),
        lambda: pytorch.load(path),
    ):
        with pytest.raises(ModelError) as caught:
            command()
        assert "evil" in caught.value.message and "\n" not in caught.value.message
        expected = "torch.nn.modules" if make is whole_model else "system"
        assert expected in caught.value.message or make is oldest
    assert not mark.exists()


def test_names_made_up_while_a_pickle_runs_do_not_get_past_the_loader(tmp_path: Path) -> None:
    """The opcodes are only read for a sentence; here they deceive the reading, and still nothing happens."""
    mark = tmp_path / "harm"
    program = (
        pickle.PROTO + b"\x04"
        + b"\x8c\x05posix\x8c\x06system" + b"\x8c\x0bcollections0\x8c\x0bOrderedDict0"
        + b"\x93" + b"\x8c" + bytes([len(f"touch {mark}")]) + f"touch {mark}".encode() + b"\x85R."
    )  # fmt: skip
    for name in ("bare.pth", "zipped.pth"):
        path = tmp_path / name
        if name == "bare.pth":
            path.write_bytes(program)
        else:
            with zipfile.ZipFile(path, "w") as archive:
                archive.writestr("archive/data.pkl", program)
                archive.writestr("archive/version", "3\n")
        with pytest.raises(ModelError):
            pytorch.load(path)
    assert not mark.exists()


def test_torchscript_is_refused_before_its_code_is_loaded(tmp_path: Path) -> None:
    scripted = torch.jit.script(nn.Sequential(nn.Conv2d(3, 12, 3), nn.PixelShuffle(2)))
    for name in ("net.pt", "net.pth"):
        torch.jit.save(scripted, tmp_path / name)
        with pytest.raises(ModelError, match="TorchScript"):
            manage.check_models([tmp_path / name], Settings())


def test_honest_weights_raise_no_suspicion(tmp_path: Path) -> None:
    compact(tmp_path / "net.pth")
    torch.save(Compact(num_feat=8, num_conv=2).half().state_dict(), tmp_path / "half.pth")
    torch.save({"params": nn.Conv2d(3, 3, 3).state_dict(), "size": torch.Size([3])}, tmp_path / "more.pth")
    for path in tmp_path.glob("*.pth"):
        assert pickle_scan.find_problem(path) == ""


# Published networks among one's own


def test_a_pth_file_is_converted_and_runs_like_any_model(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compact(tmp_path / "2x_toy.pth")
    assert manage.check_models([tmp_path / "2x_toy.pth"], Settings()) == 0
    assert "RealESRGAN Compact" in capsys.readouterr().out
    assert manage.add_models([tmp_path / "2x_toy.pth"], "toy", None, settings=Settings()) == 0
    assert sorted(path.name for path in own.iterdir()) == ["toy-x2.onnx", "toy-x2.toml"]
    card = zoo.find("toy", 2, user=own)
    zoo.verify(card)
    assert card.architecture.startswith("RealESRGAN Compact")
    assert card.parameters > 0 and card.macs_per_pixel > 0 and "2x_toy.pth" in card.notes
    assert "toy" in list_names()
    capsys.readouterr()
    assert manage.list_models(Settings()) == 0
    row = next(line for line in capsys.readouterr().out.splitlines() if line.startswith("toy "))
    assert "estimated" in row and "openvino" in row and "not stated" in row


def test_weights_that_were_trained_here_keep_their_other_file(own: Path, tmp_path: Path) -> None:
    torch.manual_seed(1)
    cellnet.save(CellNet(2, 8, 2), tmp_path / "mine.safetensors", 5)
    assert manage.add_models([tmp_path / "mine.safetensors"], None, None, settings=Settings()) == 0
    assert sorted(path.name for path in own.iterdir()) == ["mine-x2.onnx", "mine-x2.safetensors", "mine-x2.toml"]
    assert zoo.find("mine", 2, user=own).multiple == cellnet.CELL


def test_only_a_network_that_was_not_measured_is_suspected_of_another_range(
    own: Path, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    net = CellNet(2, 8, 2)
    torch.nn.init.constant_(net.tail.get_parameter("bias"), -0.5)  # far darker than what it enlarges
    cellnet.save(net, tmp_path / "dark.safetensors", 5)
    assert manage.add_models([tmp_path / "dark.safetensors"], None, None, settings=Settings()) == 0
    assert "it may want another range" in caplog.text
    caplog.clear()
    measured = tmp_path / "measured"
    shutil.copytree(own, measured)
    with (measured / "dark-x2.toml").open("a", encoding="utf-8") as card:
        card.write("[psnr_y]\nmygame = { model = 30, bilinear = 28, bicubic = 28, lanczos = 28 }\n")
    assert manage.add_models([measured / "dark-x2.onnx"], None, None, replace=True, settings=Settings()) == 0
    assert not caplog.records


def test_a_network_that_restores_only_is_added_for_chains(
    own: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    compact(tmp_path / "1x_clean.pth", 1)
    assert manage.add_models([tmp_path / "1x_clean.pth"], "clean", None, settings=Settings()) == 0
    assert "clean+fast" in capsys.readouterr().out
    assert zoo.find("clean", 1, user=own).scale == 1


def test_another_scale_than_the_files_is_refused(own: Path, tmp_path: Path) -> None:
    compact(tmp_path / "toy.pth", 4)
    with pytest.raises(ModelError, match="x4, not x2"):
        manage.add_models([tmp_path / "toy.pth"], None, 2, settings=Settings())


def test_what_cannot_be_converted_for_any_size_is_for_one(
    own: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    """DySample as it is, without what `make_shapes_dynamic` rewrites in it."""
    from spandrel.architectures.PLKSR import RealPLKSR

    from live_sr.models.export import dynamic_shapes

    monkeypatch.setattr(dynamic_shapes, "make_shapes_dynamic", lambda module: None)
    torch.manual_seed(1)
    net = RealPLKSR(dim=8, n_blocks=1, upscaling_factor=2, dysample=True)
    for weight in net.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, 0, 0.7 * weight[0].numel() ** -0.5)
    torch.save(net.state_dict(), tmp_path / "odd.pth")
    assert manage.add_models([tmp_path / "odd.pth"], None, None, settings=Settings()) == 0
    assert "only be converted for pictures of 256x256" in caplog.text
    manage.list_models(Settings())
    assert "frames of 256x256, else tiles" in capsys.readouterr().out
