"""Published networks give the pixels of their own library, and unusable files give one sentence."""

import importlib
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import cv2
import numpy as np
import numpy.typing as npt
import pytest
import torch
from contract_check import find_problems
from torch import nn

from live_sr import backends
from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.errors import EngineError, LiveSRError, MissingPart, ModelError, UsageError
from live_sr.models import pytorch
from live_sr.models.architectures import cellnet
from live_sr.models.resolve import resolve
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Size, make_black

pytestmark = pytest.mark.torch

Floats = npt.NDArray[np.float32]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def noise(size: Size) -> Pixels:
    """Smooth, so that interpolations do not leave 0..255 anywhere."""
    rough = np.random.default_rng(size.width).integers(60, 196, (size.height, size.width, 4), np.uint8)
    rough[..., 3] = 255
    return rough


def engine(path: Path, **options: object) -> Engine:
    model = resolve(str(path))
    (scale,) = model.scales
    return factory.make_engine(model, scale, EngineOptions(**options))  # type: ignore[arg-type]


def rgb(picture: Pixels) -> Floats:
    return picture[..., 2::-1].astype(np.float32) / 255


# Files of each kind, made here: small networks whose answer is known


def compact(path: Path, scale: int = 2) -> nn.Module:
    """SRVGGNetCompact with random weights, saved as Real-ESRGAN saves."""
    with pytorch.replace_torchvision():
        from spandrel.architectures.Compact import Compact
    torch.manual_seed(scale)
    net: nn.Module = Compact(num_feat=8, num_conv=2, upscale=scale).eval()
    torch.save({"params_ema": net.state_dict()}, path)
    return net


def nearest_param(path: Path, kernel: int = 3) -> None:
    """An ncnn graph that repeats every pixel twice, and loses a pixel at each side before."""
    weights = np.zeros((3, 4, 3, kernel, kernel), np.float32)
    for colour in range(3):
        weights[colour, :, colour, kernel // 2, kernel // 2] = 1
    path.write_text(
        "7767517\n3 3\n"
        "Input in0 0 1 in0\n"
        f"Convolution conv 1 1 in0 1 0=12 1={kernel} 5=1 6={weights.size}\n"
        "PixelShuffle shuffle 1 1 1 out0 0=2\n"
    )
    tag, bias = np.zeros(1, np.uint32), np.zeros(12, np.float32)
    path.with_suffix(".bin").write_bytes(tag.tobytes() + weights.tobytes() + bias.tobytes())


def nearest_pb(path: Path) -> None:
    """A frozen TensorFlow graph that repeats every luma twice: Conv2D by 1 into four channels, and DepthToSpace."""
    shape = b"".join(message(2, number(1, n)) for n in (1, 1, 1, 4))
    tensor = number(1, 1) + message(2, shape) + message(4, np.ones(4, np.float32).tobytes())
    floats = attribute("T", number(6, 1))
    strides = attribute("strides", message(1, message(3, bytes([1, 1, 1, 1]))))
    layout = attribute("data_format", message(2, b"NHWC"))
    nodes = (
        node("luma", "Placeholder", [], attribute("dtype", number(6, 1))),
        node("ones", "Const", [], attribute("dtype", number(6, 1)) + attribute("value", message(8, tensor))),
        node("conv", "Conv2D", ["luma", "ones"], floats + strides + layout + attribute("padding", message(2, b"SAME"))),
        node("large", "DepthToSpace", ["conv"], floats + layout + attribute("block_size", number(3, 2))),
    )
    path.write_bytes(b"".join(message(1, n) for n in nodes) + message(4, number(1, 27)))


def number(field: int, value: int) -> bytes:
    """Of a protobuf message: a field with a number below 128."""
    return bytes([field << 3, value])


def message(field: int, content: bytes) -> bytes:
    """Of a protobuf message: a field with text or another message."""
    length = len(content)
    return (
        bytes([field << 3 | 2])
        + (bytes([length & 127 | 128, length >> 7]) if length > 127 else bytes([length]))
        + content
    )


def node(name: str, kind: str, inputs: list[str], attributes: bytes) -> bytes:
    takes = b"".join(message(3, i.encode()) for i in inputs)
    return message(1, name.encode()) + message(2, kind.encode()) + takes + attributes


def attribute(name: str, value: bytes) -> bytes:
    return message(5, message(1, name.encode()) + message(2, value))


ROOT = Path(__file__).parents[2]
VULKAN_DRIVERS = sorted(Path("/usr/share/vulkan/icd.d").glob("lvp_icd*.json"))
SIZES = [Size(12, 8), Size(13, 7), Size(1, 1), Size(70, 31)]


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("scale", [2, 4])
def test_a_pth_file_gives_the_result_of_its_network(tmp_path: Path, size: Size, scale: int) -> None:
    net = compact(tmp_path / "toy.pth", scale)
    picture = noise(size)
    with torch.inference_mode():
        wanted = net(torch.from_numpy(rgb(picture)).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    check(engine(tmp_path / "toy.pth", precision="fp32"), picture, np.clip(wanted, 0, 1))


def test_weights_trained_here_run_before_they_are_exported(tmp_path: Path) -> None:
    net = cellnet.CellNet(2, 16, 2)
    cellnet.save(net, tmp_path / "mine.safetensors", 7)
    picture = noise(Size(14, 8))
    with torch.inference_mode():
        wanted = net(torch.from_numpy(rgb(picture)).permute(2, 0, 1)[None])[0].permute(1, 2, 0).numpy()
    check(engine(tmp_path / "mine.safetensors", precision="fp32"), picture, np.clip(wanted, 0, 1))
    odd = Frame(np.ascontiguousarray(picture[:7, :13]))
    made = engine(tmp_path / "mine.safetensors").upscale(odd)
    assert made is not None and made.pixels.shape == (14, 26, 4)


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_an_ncnn_graph_gets_the_border_that_it_needs(tmp_path: Path, size: Size) -> None:
    nearest_param(tmp_path / "up2x.param")
    picture = noise(size)
    wanted = rgb(picture).repeat(2, 0).repeat(2, 1)
    check(engine(tmp_path / "up2x.param"), picture, wanted)
    check(engine(tmp_path / "up2x.bin", threads=1), picture, wanted)


IN_A_PROCESS = """
import sys
from live_sr.engines import factory
from live_sr.engines.options import EngineOptions
from live_sr.engines.other_formats import ncnn
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Frame, Size, make_black

if sys.argv[2] == "wrong":  # a driver that draws something else
    right = ncnn._run
    ncnn._run = lambda net, picture: right(net, 1 - picture if net.opt.use_vulkan_compute else picture)
engine = factory.make_engine(resolve(sys.argv[1]), 2, EngineOptions(adapter="llvmpipe"))
picture = make_black(Size(13, 9))
picture[2:7, 3:9] = 255
engine.warm_up(Size(13, 9))
made = engine.upscale(Frame(picture)).pixels
print(engine.info.precision, bool((made == picture.repeat(2, 0).repeat(2, 1)).all()))
"""


@pytest.mark.skipif(not VULKAN_DRIVERS, reason="Mesa's software driver for Vulkan is not installed")
@pytest.mark.parametrize(("driver", "precision"), [("right", "fp32, Vulkan"), ("wrong", "fp32")])
def test_an_ncnn_graph_runs_on_a_graphics_card_that_draws_it_right(tmp_path: Path, driver: str, precision: str) -> None:
    nearest_param(tmp_path / "up2x.param")
    command = [sys.executable, "-c", IN_A_PROCESS, str(tmp_path / "up2x.param"), driver]
    variables = {**os.environ, "VK_ICD_FILENAMES": str(VULKAN_DRIVERS[0]), "VK_DRIVER_FILES": str(VULKAN_DRIVERS[0])}
    done = subprocess.run(command, env=variables, capture_output=True, text=True, cwd=ROOT, check=False)
    assert done.returncode == 0, done.stderr
    assert done.stdout.split("\n")[-2:] == [f"{precision} True", ""], done.stdout
    assert ("the processor does it" in done.stderr) == (driver == "wrong")


@pytest.mark.parametrize("size", SIZES, ids=str)
def test_a_luma_network_enlarges_the_luma_and_bicubic_the_colours(tmp_path: Path, size: Size) -> None:
    nearest_pb(tmp_path / "any.pb")
    picture = noise(size)
    luma = rgb(picture) @ np.array([0.299, 0.587, 0.114], np.float32)
    large = size.times(2)
    colours = cv2.resize(rgb(picture) - luma[..., None], large, interpolation=cv2.INTER_CUBIC)
    check(engine(tmp_path / "any.pb"), picture, colours + luma.repeat(2, 0).repeat(2, 1)[..., None])


def check(engine: Engine, picture: Pixels, wanted: Floats) -> None:
    """That it draws `wanted` (RGB) into what it is given, opaque, and leaves its input as it was; twice."""
    before = picture.copy()
    picture.flags.writeable = False
    into = np.zeros((*wanted.shape[:2], 4), np.uint8)
    frame = Frame(picture, number=5)
    for _ in range(2):
        made = engine.upscale(frame, into)
        assert made is not None and made.pixels is into and made.number == 5
        assert np.abs(into[..., 2::-1] - wanted * 255).max() <= 0.51
        assert (into[..., 3] == 255).all() and (picture == before).all()
    fresh_one = engine.upscale(frame)
    assert fresh_one is not None and (fresh_one.pixels == into).all()
    engine.close()


def test_a_file_gives_parameters_and_cost_for_the_table(tmp_path: Path) -> None:
    net = compact(tmp_path / "toy.pth")
    nearest_param(tmp_path / "up2x.param")
    nearest_pb(tmp_path / "luma.pb")
    figures = {}
    for name in ("toy.pth", "up2x.param", "luma.pb"):
        card = resolve(str(tmp_path / name)).get_card(2)
        assert card is not None and card.name == Path(name).stem and card.scale == 2
        figures[name] = (card.parameters, card.macs_per_pixel)
    weights = sum(m.weight.numel() for m in net.modules() if isinstance(m, nn.Conv2d))
    assert figures == {
        "toy.pth": (sum(p.numel() for p in net.parameters()), weights),
        "up2x.param": (12 * 3 * 9 + 12, 12 * 3 * 9),
        "luma.pb": (4, 4),
    }
    assert resolve("bicubic").get_card(2) is None
    ours = resolve("fast").get_card(2)
    assert ours is not None and ours.parameters > 0


class Harm:
    """Unpickled as torch.load does it without care, it makes a file."""

    def __init__(self, mark: Path) -> None:
        self.mark = mark

    def __reduce__(self) -> tuple[Callable[[Path], None], tuple[Path]]:
        return Path.touch, (self.mark,)


def broken(folder: Path) -> dict[str, str]:
    """Files that are no networks, and a word that the complaint must have."""
    rubbish = bytes(range(256)) * 4
    for name in ("rubbish.pth", "rubbish.pt", "rubbish.safetensors", "rubbish.pb", "rubbish.param"):
        (folder / name).write_bytes(rubbish)
    (folder / "empty.pth").touch()
    (folder / "empty.param").touch()
    (folder / "empty.pb").touch()
    torch.save({"what": torch.zeros(3)}, folder / "strange.pth")
    torch.save({"body.0.weight": Harm(folder / "harm")}, folder / "harmful.pth")
    compact(folder / "same-size.pth", 1)
    nearest_param(folder / "lonely.param")
    (folder / "lonely.bin").unlink()
    nearest_param(folder / "cut.param")
    (folder / "cut.bin").write_bytes((folder / "cut.bin").read_bytes()[:100])
    nearest_param(folder / "grey.param")
    (folder / "grey.param").write_text((folder / "grey.param").read_text().replace("6=324", "6=108"))
    nearest_param(folder / "infinite.param")
    weights = np.frombuffer((folder / "infinite.bin").read_bytes(), np.float32).copy()
    weights[5] = np.inf
    (folder / "infinite.bin").write_bytes(weights.tobytes())
    return {
        "nowhere.pth": "no model file",
        "rubbish.pth": "cannot be used",
        "rubbish.pt": "cannot be used",
        "rubbish.safetensors": "cannot be used",
        "rubbish.pb": "OpenVINO",
        "rubbish.param": "not an ncnn graph",
        "empty.pth": "cannot be used",
        "empty.pb": "OpenVINO",
        "empty.param": "not an ncnn graph",
        "strange.pth": "no architecture",
        "harmful.pth": "forbidden",
        "same-size.pth": "does not enlarge",
        "lonely.param": "no file",
        "cut.param": "damaged",
        "grey.param": "RGB",
        "infinite.param": "damaged",
    }


def test_an_unusable_file_gives_a_sentence_and_a_remedy(tmp_path: Path) -> None:
    for name, word in broken(tmp_path).items():
        with pytest.raises(ModelError) as caught:
            resolve(str(tmp_path / name), 2).verify(2)
        assert word in caught.value.message and name.split(".")[0] in caught.value.message, name
        assert caught.value.remedy and "\n" not in caught.value.message, name
    assert not (tmp_path / "harm").exists()


def test_a_scale_that_the_file_lacks_is_refused(tmp_path: Path) -> None:
    compact(tmp_path / "toy.pth", 4)
    resolve(str(tmp_path / "toy.pth")).verify()
    with pytest.raises(ModelError, match="x4, not x2"):
        factory.make_engine(resolve(str(tmp_path / "toy.pth")), 2, EngineOptions())


def test_a_file_that_has_changed_is_read_again(tmp_path: Path) -> None:
    path = tmp_path / "toy.pth"
    compact(path, 4)
    assert resolve(str(path)).scales == (4,)
    compact(path, 2)
    assert resolve(str(path)).scales == (2,)


@pytest.mark.parametrize("library, name", [("ncnn", "up2x.param"), ("spandrel", "toy.pth"), ("torch", "toy.pth")])
def test_a_missing_library_is_named_with_how_to_get_it(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, library: str, name: str
) -> None:
    (tmp_path / name).touch()
    monkeypatch.setitem(sys.modules, library, None)
    with pytest.raises(MissingPart, match=library) as caught:
        resolve(str(tmp_path / name))
    assert "live-sr[peers]" in caught.value.remedy


def test_spandrel_loads_without_torchvision_and_leaves_none_behind(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in list(sys.modules):
        if name.split(".")[0] in ("spandrel", "torchvision"):
            monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "torchvision", None)
    compact(tmp_path / "toy.pth")
    assert resolve(str(tmp_path / "toy.pth")).scales == (2,)
    with pytest.raises(ImportError):
        importlib.import_module("torchvision.transforms.functional")


PRECISIONS: list[tuple[str, str, type[LiveSRError] | None]] = [
    ("toy.pth", "bf16", None),
    ("toy.pth", "int8", EngineError),
    ("up2x.param", "fp32", None),
    ("up2x.param", "bf16", EngineError),
    ("luma.pb", "fp32", None),
    ("luma.pb", "int8", EngineError),
]


@pytest.mark.parametrize("name, precision, error", PRECISIONS)
def test_a_precision_is_kept_or_refused(
    tmp_path: Path, name: str, precision: str, error: type[LiveSRError] | None
) -> None:
    {".pth": compact, ".param": nearest_param, ".pb": nearest_pb}[Path(name).suffix](tmp_path / name)
    if error is not None:
        with pytest.raises(error):
            engine(tmp_path / name, precision=precision)
        return
    made = engine(tmp_path / name, precision=precision)
    assert made.info.precision == precision
    done = made.upscale(Frame(make_black(Size(8, 8))))
    assert done is not None and done.pixels.shape == (16, 16, 4)


def test_a_published_network_runs_whatever_engine_the_others_run_in(tmp_path: Path) -> None:
    nearest_param(tmp_path / "up2x.param")
    assert engine(tmp_path / "up2x.param", backend="openvino").info.engine == "ncnn"
    with pytest.raises(UsageError):
        engine(tmp_path / "up2x.param", backend="filters")


@pytest.mark.parametrize("path", [b.path for b in backends.PUBLISHED if b.name != "tensorflow"])  # it inherits it
def test_these_engines_keep_the_contract(path: str) -> None:
    assert find_problems(path, "Upscaler") == []
