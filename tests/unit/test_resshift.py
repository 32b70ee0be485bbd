"""ResShift: a picture is enlarged in a few steps, each with less noise, in the latent space of an autoencoder."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from live_sr.engines.other_formats.torch_eager import EagerEngine
from live_sr.errors import ModelError
from live_sr.imaging import png
from live_sr.models import own_architectures, pytorch
from live_sr.models.architectures import resshift, resshift_unet, vq_autoencoder
from live_sr.models.architectures.resshift import AUTOENCODER, ResShift, Schedule
from live_sr.models.architectures.resshift_unet import UNet, UNetShape
from live_sr.models.architectures.vq_autoencoder import Autoencoder, AutoencoderShape
from live_sr.models.export import onnx_export
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Frame, Size, make_black
from live_sr.upscale.images import load as image_load
from live_sr.upscale.images.job import upscale_image
from live_sr.upscale.options import ScalingOptions

pytestmark = pytest.mark.torch

TINY = UNetShape(widths=(32, 64), blocks=1, attended=32, heads=2)
TINY_AUTOENCODER = AutoencoderShape(widths=(32, 32, 32), blocks=1, codes=256)
NAME = "resshift_realsrx4_s4_v3.pth"
PUBLISHED_PARAMETERS = (118_593_583, 55_322_782)
"""Of the network and of the autoencoder. The paper says 118.59 million for the first."""


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def fill(net: nn.Module, seed: int) -> None:
    torch.manual_seed(seed)
    for name, weight in net.named_parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, 0, 1 if "embedding" in name else weight[0].numel() ** -0.5)
        elif name.endswith("bias"):
            nn.init.normal_(weight, 0, 0.1)


def built(tile: int = resshift.TILE, steps: int = 4) -> ResShift:
    unet, autoencoder = UNet(TINY), Autoencoder(TINY_AUTOENCODER)
    fill(unet, 1)
    fill(autoencoder, 2)
    return ResShift(unet, autoencoder, Schedule.from_steps(steps), tile).eval()


def save(net: ResShift, folder: Path, name: str = NAME) -> Path:
    """As published: two files, with masks for the size that the network was trained at."""
    state = {**net.unet.state_dict(), "input_blocks.1.1.blocks.1.attn_mask": torch.zeros(64, 64, 64)}
    torch.save({f"module.{key}": value for key, value in state.items()}, folder / name)
    torch.save({"state_dict": net.autoencoder.state_dict()}, folder / AUTOENCODER)
    return folder / name


def picture(height: int, width: int) -> Tensor:
    ramp = torch.linspace(0, 1, width).expand(3, height, width)[None]
    return (ramp + torch.rand(1, 3, height, width, generator=torch.Generator().manual_seed(3))) / 2


def layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
    return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}


def step(name: str, given: int, out: int, *, attends: bool) -> dict[str, tuple[int, ...]]:
    """The names and shapes of one step of the published network."""
    wanted = layer(f"{name}.0.in_layers.0", given) | layer(f"{name}.0.in_layers.2", out, given, 3, 3)
    wanted |= layer(f"{name}.0.emb_layers.1", 2 * out, 640)
    wanted |= layer(f"{name}.0.out_layers.0", out) | layer(f"{name}.0.out_layers.3", out, out, 3, 3)
    if given != out:
        wanted |= layer(f"{name}.0.skip_connection", out, given, 1, 1)
    if attends:
        wanted |= layer(f"{name}.1.patch_embed.proj", 192, out, 1, 1)
        wanted |= layer(f"{name}.1.patch_unembed.proj", out, 192, 1, 1)
        for number in range(2):
            inner = f"{name}.1.blocks.{number}"
            wanted |= {f"{inner}.attn.relative_position_bias_table": (225, 6)}
            wanted |= layer(f"{inner}.attn.qkv", 576, 192) | layer(f"{inner}.attn.proj", 192, 192)
            wanted |= layer(f"{inner}.norm1", 192) | layer(f"{inner}.norm2", 192)
            wanted |= layer(f"{inner}.mlp.fc1", 768, 192, 1, 1) | layer(f"{inner}.mlp.fc2", 192, 768, 1, 1)
    return wanted


def test_the_weights_of_the_network_have_the_published_names_and_shapes() -> None:
    wanted = layer("time_embed.0", 640, 160) | layer("time_embed.2", 640, 640)
    wanted |= layer("input_blocks.0.0", 160, 6, 3, 3)
    inputs = [(160, 160), (160, 160), None, (160, 320), (320, 320), None, (320, 320), (320, 320), None]
    inputs += [(320, 640), (640, 640)]
    for number, sides in enumerate(inputs, 1):
        if sides is None:
            width = {3: 160, 6: 320, 9: 320}[number]
            wanted |= layer(f"input_blocks.{number}.0.op", width, width, 3, 3)
        else:
            wanted |= step(f"input_blocks.{number}", *sides, attends=number % 3 == 1)
    wanted |= step("middle_block", 640, 640, attends=True)
    last = step("middle_block", 640, 640, attends=False)
    wanted |= {name.replace("block.0", "block.2"): shape for name, shape in last.items()}
    kept = [640, 640, 320, 320, 320, 320, 320, 320, 160, 160, 160, 160]
    out = [640, 640, 640, 320, 320, 320, 320, 320, 320, 160, 160, 160]
    given = [640, *out[:-1]]
    for number in range(12):
        wanted |= step(f"output_blocks.{number}", given[number] + kept[number], out[number], attends=number % 3 == 0)
        if number in (2, 5, 8):
            wanted |= layer(f"output_blocks.{number}.1.conv", out[number], out[number], 3, 3)
    wanted |= layer("out.0", 160) | layer("out.2", 3, 160, 3, 3)
    with torch.device("meta"):
        net = UNet(UNetShape())
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == wanted
    assert sum(weight.numel() for weight in net.parameters()) == PUBLISHED_PARAMETERS[0]


def test_the_weights_of_the_autoencoder_have_the_published_names_and_shapes() -> None:
    def block(name: str, given: int, out: int) -> dict[str, tuple[int, ...]]:
        wanted = layer(f"{name}.norm1", given) | layer(f"{name}.conv1", out, given, 3, 3)
        wanted |= layer(f"{name}.norm2", out) | layer(f"{name}.conv2", out, out, 3, 3)
        return wanted | (layer(f"{name}.nin_shortcut", out, given, 1, 1) if given != out else {})

    def middle(name: str) -> dict[str, tuple[int, ...]]:
        wanted = block(f"{name}.block_1", 512, 512) | block(f"{name}.block_2", 512, 512)
        for part in ("q", "k", "v", "proj_out"):
            wanted |= layer(f"{name}.attn_1.{part}", 512, 512, 1, 1)
        return wanted | layer(f"{name}.attn_1.norm", 512)

    wanted: dict[str, tuple[int, ...]] = {"quantize.embedding.weight": (8192, 3)}
    wanted |= layer("quant_conv", 3, 3, 1, 1) | layer("post_quant_conv", 3, 3, 1, 1)
    wanted |= layer("encoder.conv_in", 128, 3, 3, 3) | middle("encoder.mid") | middle("decoder.mid")
    for level, (given, out) in enumerate([(128, 128), (128, 256), (256, 512)]):
        wanted |= block(f"encoder.down.{level}.block.0", given, out) | block(f"encoder.down.{level}.block.1", out, out)
        if level < 2:
            wanted |= layer(f"encoder.down.{level}.downsample.conv", out, out, 3, 3)
    for level, (given, out) in enumerate([(256, 128), (512, 256), (512, 512)]):
        wanted |= block(f"decoder.up.{level}.block.0", given, out)
        wanted |= block(f"decoder.up.{level}.block.1", out, out) | block(f"decoder.up.{level}.block.2", out, out)
        if level:
            wanted |= layer(f"decoder.up.{level}.upsample.conv", out, out, 3, 3)
    wanted |= layer("encoder.norm_out", 512) | layer("encoder.conv_out", 3, 512, 3, 3)
    wanted |= layer("decoder.conv_in", 512, 3, 3, 3) | layer("decoder.norm_out", 128)
    wanted |= layer("decoder.conv_out", 3, 128, 3, 3)
    net = Autoencoder(AutoencoderShape())
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == wanted
    assert sum(weight.numel() for weight in net.parameters()) == PUBLISHED_PARAMETERS[1]


def test_two_saved_files_are_recognised_and_make_the_same_picture(tmp_path: Path) -> None:
    net = built()
    found = pytorch.load(save(net, tmp_path))
    assert isinstance(found.module, ResShift)
    assert (found.module.unet.shape, found.module.autoencoder.shape) == (TINY, TINY_AUTOENCODER)
    assert (found.card.architecture, found.card.scale) == ("ResShift of 4 steps", 4)
    with torch.inference_mode():
        wanted = net(picture(20, 30))
        assert wanted.shape == (1, 3, 80, 120) and wanted.std() > 0.05, "a picture of one colour shows nothing"
        assert torch.equal(found.run(picture(20, 30)), wanted)
        assert torch.equal(found.run(picture(20, 30)), wanted), "the noise must be the same each time"


@pytest.mark.parametrize(
    ("name", "steps"),
    [(NAME, 4), ("resshift_realsrx4_s15_v1.pth", 15), ("resshift_bicsrx4_s4.pth", 4), ("mine.pth", 15)],
)
def test_the_name_says_how_many_steps_it_takes(name: str, steps: int) -> None:
    assert resshift.find_steps(name) == steps


def test_the_difference_to_the_small_picture_grows_as_published() -> None:
    """sqrt of the shift = first * (0.99 / first) ** (i / (T - 1)) ** 0.3, with first = least noise / 2."""
    for steps, first in ((4, 0.1), (15, 0.02)):
        roots = [math.sqrt(shift) for shift in Schedule.from_steps(steps).shifts]
        wanted = [first * (0.99 / first) ** ((at / (steps - 1)) ** 0.3) for at in range(steps)]
        assert np.allclose(roots, wanted) and np.isclose(roots[0], first) and np.isclose(roots[-1], 0.99)


class Known(nn.Module):
    """In place of the network: it always finds the same latent picture, and remembers what it was given."""

    shape = TINY
    multiple = 16

    def __init__(self, sharp: Tensor) -> None:
        super().__init__()
        self.sharp = sharp
        self.given: list[Tensor] = []

    def forward(self, noisy: Tensor, step: int, picture: Tensor) -> Tensor:
        self.given.append(noisy)
        return self.sharp


class Plain(nn.Module):
    """In place of the autoencoder: a latent pixel is every fourth pixel."""

    shape = TINY_AUTOENCODER
    scale = 4

    def encode(self, picture: Tensor) -> Tensor:
        return picture[..., 2::4, 2::4]

    def decode(self, latent: Tensor) -> Tensor:
        return latent.repeat_interleave(4, 2).repeat_interleave(4, 3)


def test_each_step_is_what_its_formula_says() -> None:
    sharp = torch.full((1, 3, 64, 64), 0.25)
    known = Known(sharp)
    net = ResShift(known, Plain(), Schedule((0.01, 0.25, 0.81)))  # type: ignore[arg-type]
    with torch.inference_mode():
        made = net(torch.full((1, 3, 64, 64), 0.75))
    assert torch.allclose(made, (torch.full_like(made, 0.25) + 1) / 2), "the last step is without noise"
    noise = net.make_noise(sharp)
    latent = 0.5 + 2 * 0.9 * noise[2]
    for number, (shift, before) in enumerate([(0.81, 0.25), (0.25, 0.01)]):
        assert torch.allclose(known.given[number], latent / math.sqrt(4 * shift + 1), atol=1e-5)
        latent = before / shift * latent + (1 - before / shift) * 0.25
        latent = latent + 2 * math.sqrt(before / shift * (shift - before)) * noise[1 - number]
    assert torch.allclose(known.given[2], latent / math.sqrt(1.04), atol=1e-5)


def test_a_step_is_told_by_cosines_and_sines() -> None:
    told = resshift_unet.embed_step(3, 8)[0].tolist()
    angles = [3 * 10_000 ** (-at / 4) for at in range(4)]
    assert np.allclose(told, [*map(math.cos, angles), *map(math.sin, angles)], atol=1e-6)


def test_latent_pixels_become_the_most_similar_codes() -> None:
    net = Autoencoder(TINY_AUTOENCODER)
    fill(net, 3)
    latent = torch.randn(1, 3, 50, 50, generator=torch.Generator().manual_seed(1))
    with torch.inference_mode():
        chosen = net.choose_codes(latent)[0].flatten(1).T
    codes = net.quantize["embedding"].weight.detach()  # type: ignore[union-attr]
    wanted = codes[(latent[0].flatten(1).T[:, None] - codes[None]).square().sum(2).argmin(1)]
    assert torch.equal(chosen, wanted)


@pytest.mark.parametrize("size", [(16, 16), (1, 1), (7, 40)], ids=str)
def test_pictures_of_any_size_are_enlarged(size: tuple[int, int]) -> None:
    with torch.inference_mode():
        made = built()(picture(*size))
    assert made.shape == (1, 3, 4 * size[0], 4 * size[1]) and bool(made.isfinite().all())


def test_tiles_do_not_show_where_a_tile_does_not_matter() -> None:
    """With a network that sees single pixels, so that only the noise and the seams could differ."""
    sharp = Plain().encode(torch.zeros(1, 3, 512, 512))
    pictures = []
    for tile in (0, 64):
        net = ResShift(Blurring(), Plain(), Schedule.from_steps(4), tile)  # type: ignore[arg-type]
        with torch.inference_mode():
            pictures.append(net(picture(*sharp.shape[2:])))
    assert torch.allclose(*pictures, atol=1e-5)


class Blurring(Known):
    """Finds the middle between the noisy and the small picture."""

    def __init__(self) -> None:
        super().__init__(torch.zeros(1))

    def forward(self, noisy: Tensor, step: int, picture: Tensor) -> Tensor:
        return (noisy + picture) / 2


def test_without_its_other_half_it_says_what_is_missing(tmp_path: Path) -> None:
    path = save(built(), tmp_path)
    (tmp_path / AUTOENCODER).unlink()
    with pytest.raises(ModelError, match=r"its other half, .*is not beside it") as refused:
        pytorch.load(path)
    assert str(tmp_path) in str(refused.value.remedy)


def test_the_autoencoder_alone_says_what_it_is(tmp_path: Path) -> None:
    save(built(), tmp_path)
    with pytest.raises(ModelError, match="is the autoencoder of ResShift, which does not enlarge"):
        pytorch.load(tmp_path / AUTOENCODER)


BROKEN = {
    "missing": ("out.2.bias", None, "out.2.bias"),
    "task": ("input_blocks.0.0.weight", torch.zeros(32, 7, 3, 3), "another task"),
    "flat": ("out.2.weight", torch.tensor(1.0), "cannot be used"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence(broken: str, tmp_path: Path) -> None:
    path = save(built(), tmp_path)
    name, value, said = BROKEN[broken]
    state = {**built().unet.state_dict(), name: value}
    torch.save({key: value for key, value in state.items() if value is not None}, path)
    with pytest.raises(ModelError, match=said) as refused:
        pytorch.load(path)
    assert NAME in str(refused.value) and refused.value.remedy


@pytest.mark.parametrize("codes", [torch.tensor(1.0), torch.zeros(4)], ids=["number", "list"])
def test_an_autoencoder_that_does_not_fit_is_refused_in_a_sentence(codes: Tensor, tmp_path: Path) -> None:
    path, beside = save(built(), tmp_path), tmp_path / AUTOENCODER
    torch.save({**built().autoencoder.state_dict(), "quantize.embedding.weight": codes}, beside)
    for used in (path, beside):
        with pytest.raises(ModelError, match=AUTOENCODER) as refused:
            pytorch.load(used)
        assert refused.value.remedy


def test_a_number_of_steps_that_was_never_published_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="7 steps, and not 4 or 15"):
        pytorch.load(save(built(), tmp_path, "resshift_realsrx4_s7.pth"))


def test_nothing_in_either_file_is_executed(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "executed",)  # type: ignore[return-value]

    path = save(built(), tmp_path)
    torch.save({"state_dict": {"quantize.embedding.weight": Payload()}}, tmp_path / AUTOENCODER)
    with pytest.raises(ModelError):
        pytorch.load(path)
    assert not (tmp_path / "executed").exists()


def test_it_is_not_converted_to_onnx(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="needs noise and many steps"):
        onnx_export.export_onnx(pytorch.load(save(built(), tmp_path)), tmp_path / "net.onnx")


def test_a_picture_is_upscaled_and_how_long_it_takes_is_said_before(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "live_sr")
    path = save(built(), tmp_path)
    small = make_black(Size(24, 16))
    small[4:12, 6:18, :3] = (30, 220, 90)
    png.write_png(tmp_path / "small.png", small)
    upscale_image(tmp_path / "small.png", tmp_path / "large.png", ScalingOptions(resolve(str(path))))
    assert image_load.read_image(tmp_path / "large.png").size == Size(96, 64)
    assert "for a picture of 24x16 on this machine" in caplog.text


def test_the_published_shapes_run_with_random_weights() -> None:
    """One step of the network, on the smallest picture that it takes."""
    net = UNet(UNetShape()).eval()
    assert net.multiple == 64
    with torch.inference_mode():
        made = net(torch.randn(1, 3, 64, 64), 14, picture(64, 64))
        latent = Autoencoder(AutoencoderShape()).eval().encode(picture(16, 24))
    assert made.shape == (1, 3, 64, 64) and bool(made.isfinite().all())
    assert latent.shape == (1, 3, 4, 6) and bool(latent.isfinite().all())


def test_the_engine_computes_in_fp32_only(tmp_path: Path) -> None:
    card = EagerEngine.read(save(built(), tmp_path))
    done = EagerEngine(card, threads=1).upscale(Frame(make_black(Size(16, 8))))
    assert done is not None and done.pixels.shape == (32, 64, 4)
    assert own_architectures.find_loader({}) is None and not vq_autoencoder.is_autoencoder({})
