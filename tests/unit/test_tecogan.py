"""TecoGAN: a video goes through it frame by frame, and what it made of one frame goes into the next."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import openvino as ov
import pytest
import torch
from torch import Tensor, nn

from live_sr.engines.other_formats.torch_eager import EagerEngine
from live_sr.errors import ModelError
from live_sr.models import pytorch
from live_sr.models.architectures import recurrent
from live_sr.models.architectures.recurrent import RecurrentState
from live_sr.models.architectures.tecogan import BicubicUpsample, TecoGAN, TecoGANShape, space_to_depth, warp
from live_sr.pipeline.engine_contracts import RecurrentEngine
from live_sr.pipeline.frame import Frame, get_size

pytestmark = pytest.mark.torch

AGREE = 2e-4
"""Of full scale 1: a twentieth of a level."""

TINY = TecoGANShape(2, width=8, blocks=2)
SHAPES = [
    TecoGANShape(),
    TecoGANShape(2),
    TecoGANShape(blurred=False),
    TecoGANShape(blocks=16),
    TINY,
    TecoGANShape(4, width=8, blocks=1, blurred=False),
]


@dataclass(frozen=True)
class Published:
    """Parameters, and those of the network for motion: counted on the published layers and settings."""

    shape: TecoGANShape
    parameters: int
    motion: int = 1_745_506


PUBLISHED = [
    Published(TecoGANShape(), 2_589_093),
    Published(TecoGANShape(blurred=False), 2_589_093),
    Published(TecoGANShape(2), 2_531_429),
    Published(TecoGANShape(blocks=16), 3_032_229),
]


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


def built(shape: TecoGANShape) -> TecoGAN:
    """With random weights: things move by some pixels, and details of about a tenth are added."""
    torch.manual_seed(shape.blocks)
    net = TecoGAN(shape).eval()
    for weight in net.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, 0, 0.7 * weight[0].numel() ** -0.5)
        else:
            nn.init.normal_(weight, 0, 0.1)
    with torch.no_grad():
        net.srnet.conv_out.weight *= 0.2
    return net


def video(count: int, height: int = 16, width: int = 24) -> list[Tensor]:
    return list(torch.rand(count, 1, 3, height, width, generator=torch.Generator().manual_seed(7)))


@pytest.mark.parametrize("row", PUBLISHED, ids=[str(row.shape) for row in PUBLISHED])
def test_a_network_of_the_published_settings_has_as_many_weights(row: Published) -> None:
    net = TecoGAN(row.shape)
    assert sum(weight.numel() for weight in net.parameters()) == row.parameters
    assert sum(weight.numel() for weight in net.fnet.parameters()) == row.motion


def test_the_weights_have_the_published_names_and_shapes() -> None:
    convolutions = {
        "fnet.encoder1.0": (32, 6), "fnet.encoder1.2": (32, 32), "fnet.encoder2.0": (64, 32),
        "fnet.encoder2.2": (64, 64), "fnet.encoder3.0": (128, 64), "fnet.encoder3.2": (128, 128),
        "fnet.decoder1.0": (256, 128), "fnet.decoder1.2": (256, 256), "fnet.decoder2.0": (128, 256),
        "fnet.decoder2.2": (128, 128), "fnet.decoder3.0": (64, 128), "fnet.decoder3.2": (64, 64),
        "fnet.flow.0": (32, 64), "fnet.flow.2": (2, 32), "srnet.conv_in.0": (64, 51), "srnet.conv_out": (3, 64),
        **{f"srnet.resblocks.{block}.conv.{layer}": (64, 64) for block in range(10) for layer in (0, 2)},
        **{f"srnet.conv_up.{layer}": (64, 64) for layer in (0, 2)},
    }  # fmt: skip
    wanted: dict[str, tuple[int, ...]] = {"upsample_func.kernels": (4, 4), "srnet.upsample_func.kernels": (4, 4)}
    for name, (out, given) in convolutions.items():
        wanted |= {f"{name}.weight": (out, given, 3, 3), f"{name}.bias": (out,)}
    assert {name: tuple(value.shape) for name, value in TecoGAN(TecoGANShape()).state_dict().items()} == wanted
    assert "upsample_func.kernels" not in TecoGAN(TecoGANShape(blurred=False)).state_dict()


@pytest.mark.parametrize("shape", SHAPES, ids=str)
def test_a_saved_network_is_recognised_and_makes_the_same_video(shape: TecoGANShape, tmp_path: Path) -> None:
    net = built(shape)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    found = pytorch.load(tmp_path / "net.pth").module
    assert isinstance(found, TecoGAN) and found.shape == shape and found.scale == shape.scale
    wanted = list(recurrent.upscale_shot(net, video(2)))
    assert wanted[0].std() > 0.01, "a picture of one colour shows nothing"
    assert all(torch.equal(*pair) for pair in zip(recurrent.upscale_shot(found, video(2)), wanted, strict=True))


@pytest.mark.parametrize("under", ["params", "state_dict"])
def test_the_weights_are_found_under_the_names_that_trainers_use(under: str, tmp_path: Path) -> None:
    state = {f"module.{name}": value for name, value in built(TINY).state_dict().items()}
    torch.save({under: state, "epoch": 3}, tmp_path / "net.pth")
    assert pytorch.load(tmp_path / "net.pth").card.scale == 2


def test_every_frame_of_a_video_comes_out_once_enlarged_and_in_range() -> None:
    for count in (0, 1, 2, 5, 6, 7, 12):
        made = list(recurrent.upscale_shot(built(TINY), video(count)))
        assert len(made) == count
        assert all(each.shape == (1, 3, 32, 48) and each.min() >= 0 and each.max() <= 1 for each in made)


def test_a_frame_is_made_from_the_one_before_and_not_from_those_to_come() -> None:
    net, frames = built(TINY), video(8)
    made = list(recurrent.upscale_shot(net, frames, lead=0))
    other = list(recurrent.upscale_shot(net, [*frames[:3], 1 - frames[3], *frames[4:]], lead=0))
    same = [torch.equal(*pair) for pair in zip(made, other, strict=True)]
    assert same[:3] == [True] * 3 and not any(same[3:5])


def test_a_video_cut_in_two_is_the_same_when_the_state_is_handed_over(tmp_path: Path) -> None:
    net, frames = built(TINY), video(6)
    whole = [made.clamp(0, 1) for made in through(net, frames, net.begin(frames[0]))[0]]
    assert all(torch.equal(*pair) for pair in zip(recurrent.upscale_shot(net, frames, lead=0), whole, strict=True))
    first, state = through(net, frames[:3], net.begin(frames[0]))
    torch.save((state.picture, state.enlarged), tmp_path / "state.pt")
    second, _ = through(net, frames[3:], RecurrentState(*torch.load(tmp_path / "state.pt", weights_only=True)))
    assert all(torch.equal(made.clamp(0, 1), want) for made, want in zip([*first, *second], whole, strict=True))


def through(net: TecoGAN, frames: list[Tensor], state: RecurrentState) -> tuple[list[Tensor], RecurrentState]:
    made = []
    with torch.inference_mode():
        for picture in frames:
            done, state = net.step(picture, state)
            made.append(done)
    return made, state


def test_before_the_first_frame_it_goes_backwards_through_the_next_five() -> None:
    net, frames = built(TINY), video(9)
    order = [frames[n] for n in (5, 4, 3, 2, 1, *range(9))]
    wanted = through(net, order, net.begin(frames[0]))[0][5:]
    made = list(recurrent.upscale_shot(net, frames))
    assert all(torch.equal(got, want.clamp(0, 1)) for got, want in zip(made, wanted, strict=True))


def test_a_long_video_is_not_read_ahead_of_what_is_needed() -> None:
    read = 0

    def frames() -> Iterator[Tensor]:
        nonlocal read
        for frame in video(20):
            read += 1
            yield frame

    made = recurrent.upscale_shot(built(TINY), frames())
    next(made)
    assert read == 1 + recurrent.LEAD_FRAMES


@pytest.mark.parametrize("size", [(16, 24), (17, 31), (8, 8), (9, 15), (21, 16)], ids=str)
@pytest.mark.parametrize("shape", [TINY, SHAPES[5]], ids=str)
def test_frames_of_any_size_are_enlarged(size: tuple[int, int], shape: TecoGANShape) -> None:
    made = list(recurrent.upscale_shot(built(shape), video(3, *size)))
    assert made[-1].shape == (1, 3, shape.scale * size[0], shape.scale * size[1]) and bool(made[-1].isfinite().all())


@pytest.mark.parametrize(("right", "down"), [(0, 0), (2, 0), (0, -3), (-1, 2), (0.5, 0)])
def test_a_picture_is_looked_up_where_the_motion_points(right: float, down: float) -> None:
    picture = np.random.default_rng(3).random((7, 9)).astype(np.float32)
    rows = np.clip(np.arange(7) + down, 0, 6).astype(int)[:, None]
    columns = np.clip(np.arange(9) + right, 0, 8)
    low = np.floor(columns).astype(int)
    part = columns - low
    wanted = (1 - part) * picture[rows, low] + part * picture[rows, np.minimum(low + 1, 8)]
    motion = torch.tensor([right, down]).reshape(1, 2, 1, 1).expand(1, 2, 7, 9)
    got = warp(torch.from_numpy(picture)[None, None], motion)[0, 0].numpy()
    assert np.abs(got - wanted).max() < 1e-5


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
def test_in_half_precision_every_column_of_a_wide_picture_stays_in_place(precision: torch.dtype) -> None:
    """bf16 has no numbers between 256 and 258, and fp16 none between 2048 and 2050."""
    picture = torch.rand(1, 3, 4, 4000, generator=torch.Generator().manual_seed(3)).to(precision)
    for beyond in ("border", "zeros"):
        still = warp(picture, picture.new_zeros(1, 2, 4, 4000), beyond)
        assert still.dtype == precision and (still.float() - picture.float()).abs().max() < 0.01


def test_a_cell_is_gathered_by_row_column_and_then_channel() -> None:
    picture = torch.arange(2 * 4 * 6).reshape(1, 2, 4, 6)
    cells = space_to_depth(picture, 2)
    wanted = [picture[0, channel, 2 + row, 4 + column] for row in (0, 1) for column in (0, 1) for channel in (0, 1)]
    assert cells.shape == (1, 8, 2, 3) and cells[0, :, 1, 2].tolist() == [int(value) for value in wanted]


@pytest.mark.parametrize("scale", [2, 4])
def test_bicubic_interpolation_keeps_old_pixels_and_straight_lines(scale: int) -> None:
    line = torch.arange(12.0).repeat(2, 3, 10, 1)
    enlarged = BicubicUpsample(scale)(line)
    assert enlarged.shape == (2, 3, 10 * scale, 12 * scale)
    assert torch.equal(enlarged[..., ::scale, ::scale], line)
    inner = enlarged[0, 0, 0, 2 * scale : -3 * scale]
    halves = inner[scale // 2 :: scale]
    assert torch.allclose(halves, halves[0] + torch.arange(float(len(halves))), atol=1e-5)


@pytest.mark.parametrize("shape", [TecoGANShape(), TINY, SHAPES[5]], ids=str)
def test_openvino_makes_the_same_frame_with_the_state_as_two_more_inputs(shape: TecoGANShape, tmp_path: Path) -> None:
    net, names = built(shape), ["rgb", "before", "enlarged_before"]
    frames = video(3)
    states = [RecurrentState(frames[0], through(net, frames[:1], net.begin(frames[0]))[0][0]), net.begin(frames[1])]
    first = (frames[1], states[0].picture.clone(), states[0].enlarged.clone())
    with torch.no_grad():
        torch.onnx.export(
            net, first, str(tmp_path / "net.onnx"), dynamo=False, opset_version=17, input_names=names,
            output_names=["enlarged"], dynamic_axes={name: {2: f"{name}_h", 3: f"{name}_w"} for name in names},
        )  # fmt: skip
    model = ov.Core().read_model(tmp_path / "net.onnx")
    settings = {"INFERENCE_PRECISION_HINT": "f32", "INFERENCE_NUM_THREADS": 1}
    compiled = ov.Core().compile_model(model, "CPU", settings)
    for size in ((16, 24), (32, 16)):  # the second is not the one that it was exported at
        picture, *rest = video(3, *size)
        state = RecurrentState(rest[0], torch.rand(1, 3, size[0] * shape.scale, size[1] * shape.scale))
        want = through(net, [picture], state)[0][0].numpy()
        got = compiled([picture.numpy(), state.picture.numpy(), state.enlarged.numpy()])[0]
        assert got.shape == want.shape and np.abs(got - want).max() < AGREE


BROKEN = ["other", "missing", "channels", "flat", "number", "text", "nothing"]


@pytest.mark.parametrize("broken", BROKEN)
def test_a_file_that_holds_no_such_network_is_refused_in_a_sentence(broken: str, tmp_path: Path) -> None:
    path, state = tmp_path / "net.pth", dict(built(TINY).state_dict())
    if broken == "missing":
        del state["srnet.resblocks.1.conv.0.bias"]
    elif broken == "channels":
        state["srnet.conv_in.0.weight"] = torch.zeros(8, 20, 3, 3)
    elif broken == "flat":
        state["srnet.conv_in.0.weight"] = torch.zeros(8)
    if broken == "text":
        path.write_text("no weights")
    elif broken != "nothing":
        torch.save({"other": {"conv.weight": torch.zeros(1)}, "number": 3}.get(broken, state), path)
    with pytest.raises(ModelError) as refused:
        pytorch.load(path)
    assert "net.pth" in str(refused.value) and refused.value.remedy


def test_nothing_in_a_file_is_executed(tmp_path: Path) -> None:
    class Payload:
        def __reduce__(self) -> tuple[object, tuple[str]]:
            return Path.touch, (tmp_path / "executed",)  # type: ignore[return-value]

    torch.save({"params": {"fnet.encoder1.0.weight": Payload()}}, tmp_path / "net.pth")
    with pytest.raises(ModelError):
        pytorch.load(tmp_path / "net.pth")
    assert not (tmp_path / "executed").exists()


def test_as_an_engine_it_remembers_a_shot_and_begins_the_next_without(tmp_path: Path) -> None:
    net = built(TINY)
    torch.save(net.state_dict(), tmp_path / "net.pth")
    card = EagerEngine.read(tmp_path / "net.pth")
    assert (card.architecture, card.scale) == ("TecoGAN", TINY.scale)
    engine = EagerEngine(card, threads=1)
    assert isinstance(engine, RecurrentEngine)
    frames = [
        Frame(np.ascontiguousarray((picture[0].permute(1, 2, 0).flip(2) * 255).byte().numpy())) for picture in video(3)
    ]
    frames = [Frame(np.concatenate((f.pixels, np.full_like(f.pixels[..., :1], 255)), 2)) for f in frames]
    engine.warm_up(get_size(frames[0].pixels))

    def shot() -> list[bytes]:
        made = []
        for frame in frames:
            done = engine.upscale(frame)
            assert done is not None
            made.append(done.pixels.tobytes())
        return made

    first = shot()
    engine.begin()
    assert shot() == first
    assert shot()[0] != first[0], "the last shot's end is still remembered"
    engine.close()
