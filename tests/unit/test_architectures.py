"""Each family of published networks: built, saved, recognised, converted, and in OpenVINO the same as in PyTorch."""

from __future__ import annotations

import io
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnxruntime
import openvino as ov
import pytest
import torch
from torch import nn

from live_sr.models import pytorch
from live_sr.models.export import onnx_export, onnx_io
from live_sr.models.published_network import PublishedNetwork
from live_sr.pipeline.frame import Size

pytorch.import_spandrel()  # with what spandrel misses here
from spandrel.architectures.Compact import Compact  # noqa: E402
from spandrel.architectures.DAT import DAT  # noqa: E402
from spandrel.architectures.ESRGAN import ESRGAN  # noqa: E402
from spandrel.architectures.HAT import HAT  # noqa: E402
from spandrel.architectures.OmniSR import OmniSR  # noqa: E402
from spandrel.architectures.PLKSR import PLKSR, RealPLKSR  # noqa: E402
from spandrel.architectures.RealCUGAN import UpCunet2x, UpCunet2x_fast, UpCunet3x, UpCunet4x  # noqa: E402
from spandrel.architectures.SPAN import SPAN  # noqa: E402
from spandrel.architectures.SwinIR import SwinIR  # noqa: E402

pytestmark = pytest.mark.torch

AGREE = 2e-4
"""Of full scale 1: a twentieth of a level. SPAN works on values of 255 and is the worst, the others are below 1e-5."""


@dataclass(frozen=True)
class Family:
    """One published shape with few features. multiple: what its sides are filled up to."""

    name: str
    build: Callable[[], nn.Module]
    says: str  # as spandrel recognises it
    scale: int
    multiple: int = 1


def swinir(upsampler: str, scale: int, ends: str = "1conv") -> nn.Module:
    net: nn.Module = SwinIR(
        img_size=64, embed_dim=24, depths=[2], num_heads=[2], window_size=8, mlp_ratio=2, upscale=scale,
        upsampler=upsampler, resi_connection=ends,
    )  # fmt: skip
    return net


def hat() -> nn.Module:
    net: nn.Module = HAT(
        img_size=64, window_size=16, embed_dim=24, depths=(2,), num_heads=(2,), squeeze_factor=12, upscale=2,
        mlp_ratio=2, num_feat=16,
    )  # fmt: skip
    return net


def dat() -> nn.Module:
    net: nn.Module = DAT(
        img_size=64, embed_dim=64, split_size=[8, 16], depth=[3], num_heads=[2], expansion_factor=2, upscale=2
    )  # fmt: skip
    return net


FAMILIES = [
    Family("ESRGAN x4", lambda: ESRGAN(num_filters=16, num_blocks=2, scale=4), "ESRGAN 16nf 2nb", 4),
    Family("Real-ESRGAN x4plus", lambda: ESRGAN(num_filters=24, num_blocks=3, scale=4), "ESRGAN 24nf 3nb", 4),
    Family(
        "Real-ESRGAN x2plus",
        lambda: ESRGAN(in_nc=12, num_filters=16, num_blocks=2, scale=4, shuffle_factor=2),
        "unshuffle",
        2,
        4,
    ),
    Family("anime_6B", lambda: ESRGAN(num_filters=8, num_blocks=6, scale=4), "ESRGAN 8nf 6nb", 4),
    Family("animevideov3", lambda: Compact(num_feat=16, num_conv=16, upscale=4), "Compact", 4),
    Family("general-x4v3", lambda: Compact(num_feat=16, num_conv=32, upscale=4), "Compact", 4),
    Family("SPAN", lambda: SPAN(num_in_ch=3, num_out_ch=3, feature_channels=16, upscale=2), "SPAN", 2),
    Family("HAT", hat, "HAT", 2, 16),
    Family("DAT", dat, "DAT", 2, 16),
    Family("SwinIR, classical", lambda: swinir("pixelshuffle", 2), "SwinIR", 2, 8),
    Family("SwinIR, lightweight", lambda: swinir("pixelshuffledirect", 3), "SwinIR", 3, 8),
    Family("SwinIR, real", lambda: swinir("nearest+conv", 4, "3conv"), "SwinIR", 4, 8),
    Family("Real-CUGAN x2", UpCunet2x, "RealCUGAN", 2, 4),
    Family("Real-CUGAN x2, pro", lambda: UpCunet2x(pro=True), "RealCUGAN pro", 2, 4),
    Family("Real-CUGAN x3", UpCunet3x, "RealCUGAN", 3, 4),
    Family("Real-CUGAN x4", UpCunet4x, "RealCUGAN", 4, 4),
    Family("Real-CUGAN x2, fast", UpCunet2x_fast, "RealCUGAN fast", 2, 4),
    Family("OmniSR", lambda: OmniSR(num_feat=16, block_num=1, res_num=1, up_scale=2, window_size=8), "OmniSR", 2, 8),
    Family("PLKSR", lambda: PLKSR(dim=16, n_blocks=2, upscaling_factor=2), "PLKSR", 2),
    Family("RealPLKSR", lambda: RealPLKSR(dim=16, n_blocks=2, upscaling_factor=2), "PLKSR", 2),
    Family(
        "RealPLKSR with DySample",
        lambda: RealPLKSR(dim=16, n_blocks=2, upscaling_factor=2, dysample=True),
        "DySample",
        2,
    ),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def saved(family: Family, path: Path) -> nn.Module:
    """The network with random weights that keep the values in range, as a checkpoint under `path`."""
    torch.manual_seed(len(family.name))
    net = family.build().eval()
    for weight in net.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, 0, 0.7 * weight[0].numel() ** -0.5)
        elif weight.shape == (3,):
            nn.init.constant_(weight, 0.5)  # of the colours: most would be below black
    torch.save({"params_ema": net.state_dict()}, path)
    return net


def sides(network: PublishedNetwork) -> list[Size]:
    """None of them is the size that the network is exported at."""

    def up(n: int) -> int:
        return -(-max(n, network.least) // network.multiple) * network.multiple

    return [Size(up(48), up(80)), Size(up(144), up(64))]


def openvino(path: Path, picture: torch.Tensor) -> np.ndarray:
    network = ov.Core().read_model(path)
    network.reshape(list(picture.shape))
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    return np.asarray(ov.Core().compile_model(network, "CPU", settings)(picture.numpy())[0])


@pytest.mark.parametrize("family", FAMILIES, ids=[family.name for family in FAMILIES])
def test_a_family_makes_the_same_pictures_in_openvino_at_any_size(family: Family, tmp_path: Path) -> None:
    net = saved(family, tmp_path / "net.pth")
    network = pytorch.load(tmp_path / "net.pth")
    assert family.says in network.card.architecture
    assert (network.card.scale, network.multiple) == (family.scale, family.multiple)
    assert network.card.parameters == sum(p.numel() for p in net.parameters())
    assert network.card.macs_per_pixel > 0
    pictures = [torch.rand(1, 3, size.height, size.width) for size in sides(network)]
    with torch.no_grad():  # of the network as it was built, before anything is changed for the export
        wanted = [net(picture).clamp(0, 1).numpy() for picture in pictures]
    onnx_export.export_onnx(network, tmp_path / "net.onnx")
    for picture, want in zip(pictures, wanted, strict=True):
        got = openvino(tmp_path / "net.onnx", picture)
        assert got.shape == (1, 3, picture.shape[2] * family.scale, picture.shape[3] * family.scale)
        assert want.std() > 0.01, "a picture of one colour shows nothing"
        assert np.abs(got - want).max() < AGREE


def test_a_network_can_be_converted_for_one_size_only(tmp_path: Path) -> None:
    saved(FAMILIES[0], tmp_path / "net.pth")
    network = pytorch.load(tmp_path / "net.pth")
    onnx_export.export_onnx(network, tmp_path / "net.onnx", Size(40, 32))
    shape = ov.Core().read_model(tmp_path / "net.onnx").input(0).partial_shape
    assert list(shape.get_max_shape()) == [1, 3, 32, 40] and not shape.is_dynamic


@pytest.mark.parametrize("kind", [".pth", ".pt", ".safetensors"])
def test_every_kind_of_file_is_read(kind: str, tmp_path: Path) -> None:
    net = Compact(num_feat=8, num_conv=2, upscale=2)
    path = tmp_path / f"net{kind}"
    if kind == ".safetensors":
        from safetensors.torch import save_file

        save_file(net.state_dict(), path)
    else:
        torch.save(net.state_dict(), path)
    assert pytorch.load(path).card.scale == 2


def test_checkpoints_from_before_pytorch_1_6_are_read(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    state = {"params": Compact(num_feat=8, num_conv=2, upscale=2).state_dict()}
    torch.save(state, buffer, _use_new_zipfile_serialization=False)
    (tmp_path / "old.pth").write_bytes(buffer.getvalue())
    assert pytorch.load(tmp_path / "old.pth").card.scale == 2


@pytest.mark.parametrize("name", ["Real-ESRGAN x2plus", "HAT", "DAT", "SwinIR, real", "Real-CUGAN x3", "OmniSR"])
def test_what_tensorrt_rtx_is_given_makes_the_same_pictures(name: str, tmp_path: Path) -> None:
    """In fp16, by ONNX Runtime on the processor: these graphs compute sizes of their own."""
    family = next(family for family in FAMILIES if family.name == name)
    saved(family, tmp_path / "net.pth")
    network = pytorch.load(tmp_path / "net.pth")
    size = sides(network)[0]
    pixels = np.random.default_rng(1).integers(0, 256, (size.height, size.width, 4), np.uint8)
    pixels[..., 3] = 255
    want = network.upscale(pixels)
    framed = onnx_io.wrap_onnx_io(onnx_export.write(network, tmp_path / "net.onnx"), size, "fp16")
    session = onnxruntime.InferenceSession(framed, providers=["CPUExecutionProvider"])
    (got,) = session.run(None, {"frame": pixels[np.newaxis]})
    assert np.abs(got[0].astype(np.int64) - want).max() <= 2
