"""EMT: weights of the published shapes are recognised by their names, and its parts do what their names say."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from torch import Tensor, nn

from live_sr.errors import ModelError
from live_sr.models import architectures, pytorch
from live_sr.models.architectures.emt import EMT, ChannelMixer, EMTShape, PixelMixer, StripedAttention
from live_sr.models.export import onnx_export
from live_sr.pipeline.frame import Size

pytestmark = pytest.mark.torch

SPANDREL = architectures.register_architectures(pytorch.import_spandrel())

AGREE = 2e-4
"""Of full scale 1: a twentieth of a level."""

TINY = EMTShape(2, width=30, blocks=1, layers=3, attending=1)


@dataclass(frozen=True)
class Published:
    """Parameters: those that are trained. The authors' own count of them, on the published settings, gives the same."""

    scale: int
    parameters: int


PUBLISHED = [Published(2, 670_572), Published(3, 678_687), Published(4, 690_048)]

SHAPES = [
    *(EMTShape(row.scale) for row in PUBLISHED),
    TINY,
    EMTShape(3, width=30, blocks=2, layers=4, attending=2, ratio=3),
    EMTShape(4, width=60, blocks=1, layers=2, attending=1, classical=True),
    EMTShape(3, width=30, blocks=1, layers=2, attending=1, classical=True),
    EMTShape(2, width=30, blocks=1, layers=2, attending=1, classical=True, levels=1.0),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def built(shape: EMTShape) -> EMT:
    """A network with random weights that show: its pictures differ from pixel to pixel, and no layer drowns another."""
    torch.manual_seed(shape.scale)
    net = EMT(shape).eval()
    for weight in net.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, 0, 0.5 * weight[0].numel() ** -0.5)
        else:
            nn.init.normal_(weight, 0.2, 0.2)
    for layer in net.modules():
        if isinstance(layer, nn.BatchNorm2d):
            assert layer.running_mean is not None and layer.running_var is not None
            layer.running_mean.normal_(0, 0.3)
            layer.running_var.uniform_(0.5, 2)
    with torch.no_grad():
        net.head.weight /= shape.levels
        net.tail[-1 if shape.classical else 0].weight *= shape.levels / 4
    return net


def made(run: Callable[[Tensor], Tensor], picture: Tensor) -> Tensor:
    with torch.no_grad():
        return run(picture)


@pytest.mark.parametrize("row", PUBLISHED, ids=[f"x{row.scale}" for row in PUBLISHED])
def test_a_published_network_has_as_many_weights_as_its_authors_count(row: Published) -> None:
    assert sum(weight.numel() for weight in EMT(EMTShape(row.scale)).parameters()) == row.parameters


def test_the_weights_have_the_published_names_and_shapes() -> None:
    state = {name: tuple(value.shape) for name, value in EMT(EMTShape(4)).state_dict().items()}
    norm = ("weight", "bias", "running_mean", "running_var", "num_batches_tracked")
    wanted: dict[str, tuple[int, ...]] = {
        "head.weight": (60, 3, 3, 3), "head.bias": (60,), "tail.0.weight": (48, 60, 3, 3), "tail.0.bias": (48,),
    }  # fmt: skip
    for mean in ("sub_mean", "add_mean"):
        wanted |= {f"{mean}.weight": (3, 3, 1, 1), f"{mean}.bias": (3,)}
    for block in range(6):
        for layer in range(6):
            pixels, channels = f"body.{block}.sa_list.{layer}", f"body.{block}.mlp_list.{layer}"
            if layer < 2:
                wanted |= {f"{pixels}.attn.0.weight": (120, 60, 1, 1), f"{pixels}.attn.0.bias": (120,)}
                wanted |= {f"{pixels}.proj.0.weight": (60, 60, 1, 1), f"{pixels}.proj.0.bias": (60,)}
                wanted |= {f"{pixels}.attn.1.{name}": (120,) if "batches" not in name else () for name in norm}
            else:
                wanted[f"{pixels}.token_mixer.mask"] = (60, 1, 3, 3)
                wanted |= {f"{pixels}.norm.{name}": (60,) if "batches" not in name else () for name in norm}
            wanted |= {f"{channels}.fc1.weight": (120, 60, 1, 1), f"{channels}.fc1.bias": (120,)}
            wanted |= {f"{channels}.fc2.weight": (60, 120, 1, 1), f"{channels}.fc2.bias": (60,)}
            wanted |= {f"{channels}.fc1.mask": (60, 1, 3, 3), f"{channels}.fc2.mask": (120, 1, 3, 3)}
    assert state == wanted


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_saved_network_is_recognised_by_its_weights_and_makes_the_same_picture(
    shape: EMTShape, tmp_path: Path
) -> None:
    net = built(shape)
    torch.save({"params": net.state_dict()}, tmp_path / "net.pth")
    found = pytorch.load(tmp_path / "net.pth")
    assert isinstance(found.module, EMT) and found.module.shape == shape
    assert found.card.architecture.startswith(f"EMT {shape.width}nf {shape.blocks}nb {shape.layers}nl")
    assert (found.card.scale, found.multiple, found.least) == (shape.scale, 32, 17)
    assert found.card.parameters == sum(weight.numel() for weight in net.parameters())
    picture = torch.rand(1, 3, 32, 32)
    want = made(net, picture)
    assert want.std() > 0.01, "a picture of one colour shows nothing"
    assert torch.equal(found.run(picture), want.clamp(0, 1))


@pytest.mark.parametrize("under", [None, "params", "params_ema", "state_dict", "network_g"])
def test_the_weights_are_found_under_the_names_that_trainers_use(under: str | None, tmp_path: Path) -> None:
    state = built(TINY).state_dict()
    torch.save({under: state} if under else state, tmp_path / "net.pth")
    assert pytorch.load(tmp_path / "net.pth").card.architecture.startswith("EMT")


@pytest.mark.parametrize(
    ("shape", "fixed"), [(EMTShape(2), True), (TINY, True), (TINY, False), (SHAPES[5], False)], ids=str
)
def test_openvino_makes_the_same_picture(shape: EMTShape, fixed: bool, tmp_path: Path) -> None:
    net = built(shape)
    torch.save({"params": net.state_dict()}, tmp_path / "net.pth")
    picture = torch.rand(1, 3, 32, 64) if fixed else torch.rand(1, 3, 64, 32)
    want = made(net, picture).clamp(0, 1).numpy()
    onnx_export.export_onnx(pytorch.load(tmp_path / "net.pth"), tmp_path / "net.onnx", Size(64, 32) if fixed else None)
    model = ov.Core().read_model(tmp_path / "net.onnx")
    assert model.input(0).partial_shape.is_dynamic is not fixed
    model.reshape(list(picture.shape))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    got = np.asarray(ov.Core().compile_model(model, "CPU", settings)(picture.numpy())[0])
    assert got.shape == want.shape and np.abs(got - want).max() < AGREE


@pytest.mark.parametrize("size", [(32, 64), (33, 63), (17, 45), (40, 17), (9, 50), (1, 1)], ids=str)
def test_a_picture_of_any_size_is_enlarged(size: tuple[int, int], tmp_path: Path) -> None:
    torch.save({"params": built(TINY).state_dict()}, tmp_path / "net.pth")
    done = pytorch.load(tmp_path / "net.pth").run(torch.rand(1, 3, *size))
    assert done.shape == (1, 3, 2 * size[0], 2 * size[1]) and bool(done.isfinite().all())


def test_pictures_of_a_batch_do_not_see_each_other() -> None:
    net = built(TINY)
    pictures = torch.rand(2, 3, 37, 29)
    assert torch.allclose(made(net, pictures), torch.cat([made(net, each[None]) for each in pictures]), atol=1e-5)


@pytest.mark.parametrize("shifted", [False, True])
@pytest.mark.parametrize("size", [(8, 8), (7, 6)], ids=str)
def test_attention_in_striped_windows_is_the_same_said_again_pixel_by_pixel(
    shifted: bool, size: tuple[int, int]
) -> None:
    shape = EMTShape(width=20, heads=1, windows=((4, 2), (2, 4)))
    layer = StripedAttention(shape, shifted=shifted).eval()
    features = torch.randn(1, 20, *size)
    asked = made(layer.attn, features)[0].numpy()
    seen = np.zeros((20, *size))
    for kind, (high, wide) in enumerate(shape.windows):
        part = asked[20 * kind : 20 * kind + 20]
        room = np.pad(part, ((0, 0), (0, -size[0] % high), (0, -size[1] % wide)), mode="reflect")
        down, right = (high // 2, wide // 2) if shifted else (0, 0)
        heights, widths = room.shape[1:]

        rows, columns = np.indices((heights, widths))
        windows = (rows + down) % heights // high * widths + (columns + right) % widths // wide
        for y in range(size[0]):
            for x in range(size[1]):
                near = np.argwhere(windows == windows[y, x])
                alike = np.array([room[:10, y, x] @ room[:10, v, u] for v, u in near])
                weights = np.exp(alike - alike.max())
                told = np.array([room[10:, v, u] for v, u in near])
                seen[10 * kind : 10 * kind + 10, y, x] = weights @ told / weights.sum()
    want = made(layer.proj, torch.from_numpy(seen[None]).float())
    assert torch.allclose(made(layer, features), want, atol=1e-5)


def moved(channel: np.ndarray, group: int) -> np.ndarray:
    """Where a channel is taken from: the right, the left, below, above, and the place itself."""
    amount, axis = [(-1, 1), (1, 1), (-1, 0), (1, 0), (0, 0)][group]
    return np.roll(channel, amount, axis)


def test_a_pixel_mixer_moves_channels_in_turn_around_the_edges() -> None:
    layer = PixelMixer(10).eval()
    features = np.random.default_rng(1).normal(size=(10, 6, 7))
    want = np.stack([moved(each, n % 5) - each for n, each in enumerate(features)]) / np.sqrt(1 + 1e-5)
    got = made(layer, torch.from_numpy(features[None]).float())[0].numpy()
    assert np.abs(got - want).max() < 1e-5


def test_a_channel_mixer_moves_groups_of_channels_and_black_comes_in_at_the_edges() -> None:
    layer = ChannelMixer(10, 2)

    def shifted(features: np.ndarray, convolution: nn.Conv2d) -> np.ndarray:
        wide = np.pad(features, ((0, 0), (1, 1), (1, 1)))
        each = len(features) // 5
        seen = np.stack([moved(channel, n // each)[1:-1, 1:-1] for n, channel in enumerate(wide)])
        weight, bias = convolution.weight.detach()[..., 0, 0].numpy(), convolution.bias
        assert bias is not None
        return np.tensordot(weight, seen, 1) + bias.detach().numpy()[:, None, None]

    features = np.random.default_rng(2).normal(size=(10, 5, 6))
    inner = shifted(features, layer.fc1)
    want = shifted(inner / (1 + np.exp(-inner)), layer.fc2)
    assert np.abs(made(layer, torch.from_numpy(features[None]).float())[0].numpy() - want).max() < 1e-5


def test_without_trained_weights_the_colours_stay_what_they_are() -> None:
    net = EMT(TINY)
    for weight in net.parameters():
        nn.init.zeros_(weight)
    wanted = torch.tensor([0.4690, 0.4490, 0.4036])  # the mean colour, taken away and given back
    assert torch.allclose(made(net, torch.rand(1, 3, 32, 32)).mean((0, 2, 3)), wanted, atol=1e-5)


def test_weights_of_other_networks_are_not_taken_for_it() -> None:
    from spandrel.architectures.SwinIR import SwinIR

    detect = SPANDREL.MAIN_REGISTRY["EMT"].detect
    ours = EMT(TINY).state_dict()
    assert detect(ours)
    assert not detect(SwinIR(img_size=64, embed_dim=24, depths=[2], num_heads=[2], window_size=8).state_dict())
    assert not detect({name: value for name, value in ours.items() if "token_mixer" not in name})
    others = [entry.architecture.id for entry in SPANDREL.MAIN_REGISTRY if entry.detect(ours)]
    assert others == ["EMT"]


@pytest.mark.parametrize("broken", ["width", "missing", "cut"])
def test_weights_that_do_not_fit_are_refused_in_a_sentence(broken: str, tmp_path: Path) -> None:
    state = built(TINY).state_dict()
    if broken == "width":
        state["head.weight"] = torch.zeros(31, 3, 3, 3)
    elif broken == "missing":
        del state["body.0.mlp_list.1.fc2.bias"]
    else:
        state["tail.0.weight"] = state["tail.0.weight"][:, :7]
    torch.save({"params": state}, tmp_path / "net.pth")
    with pytest.raises(ModelError) as refused:
        pytorch.load(tmp_path / "net.pth")
    assert "net.pth" in str(refused.value) and "Traceback" not in str(refused.value)


def test_telling_spandrel_twice_changes_nothing() -> None:
    there = len(SPANDREL.MAIN_REGISTRY)
    assert len(architectures.register_architectures(SPANDREL).MAIN_REGISTRY) == there
