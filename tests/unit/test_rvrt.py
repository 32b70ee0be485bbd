"""RVRT: the frames of a video are enlarged with the help of those before and after them."""

from __future__ import annotations

import itertools
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional

from live_sr.config import Settings
from live_sr.errors import ModelError
from live_sr.manage import model_add
from live_sr.models import pytorch
from live_sr.models.architectures import frame_sequence, guided_attention, rvrt, shifted_windows, spynet
from live_sr.models.architectures.fading_tiles import cut_side, weigh
from live_sr.models.architectures.frame_sequence import ClipSequence
from live_sr.models.architectures.guided_attention import attend_to_places, sample_places
from live_sr.models.architectures.rvrt import RVRT, RVRTShape
from live_sr.models.architectures.shifted_windows import WindowLayer
from live_sr.models.export import onnx_export
from live_sr.system import paths

pytestmark = pytest.mark.torch

FEW = pytest.mark.usefixtures("few_channels")
TINY = RVRTShape(width=12, heads=(2, 2, 2), blocks=(1, 1, 1), groups=(1, 1, 3, 1, 1, 2), hidden=8)
PUBLISHED_PARAMETERS = 10_782_295  # the paper says 10.8 million


@pytest.fixture(autouse=True)
def one_thread() -> None:
    torch.set_num_threads(1)


@pytest.fixture
def few_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Finds motion sooner."""
    monkeypatch.setattr(spynet, "WIDTHS", (8, 4, 2))
    monkeypatch.setattr(frame_sequence, "WINDOW_FRAMES", 4)


def built(shape: RVRTShape = TINY) -> RVRT:
    """With random weights, so that things seem to move by some pixels."""
    torch.manual_seed(5)
    net = RVRT(shape).eval()
    for name, weight in net.named_parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, 0, weight[0].numel() ** -0.5)
        elif not name.endswith(("norm1.weight", "norm2.weight", "main.3.weight", "main.7.weight")):
            nn.init.normal_(weight, 0, 0.1)
    return net


def video(count: int, height: int = 8, width: int = 16) -> Tensor:
    """Levels, (T, 3, H, W): a pattern that moves over a still one."""
    random = torch.Generator().manual_seed(7)
    still, moving = torch.rand(2, 3, height, width, generator=random)
    frames = [(still + moving.roll(number, 2)) / 2 for number in range(count)]
    return (torch.stack(frames) * 255).byte()


def enlarge(net: RVRT, frames: Tensor) -> Tensor:
    """Levels, in one piece."""
    with torch.inference_mode():
        return (net(frames / 255) * 255).round().clamp(0, 255).byte()


def feed(sequence: ClipSequence, frames: Tensor, *, finish: bool = True) -> list[Tensor]:
    made = [done for frame in frames for done in sequence.feed(frame)]
    return made + list(sequence.finish() if finish else ())


def test_the_weights_have_the_published_names_and_shapes() -> None:
    def layer(name: str, *shape: int) -> dict[str, tuple[int, ...]]:
        return {f"{name}.weight": shape, f"{name}.bias": shape[:1]}

    def refiner(name: str, given: int, frames: int, blocks: int) -> dict[str, tuple[int, ...]]:
        wanted = layer(f"{name}.main.1", 144, given, 1, 3, 3)
        wanted |= layer(f"{name}.main.3", 144) | layer(f"{name}.main.7", 144)
        for block in range(blocks):
            wanted |= layer(f"{name}.main.5.{block}.linear", 144, 144)
            for number in range(2):
                inner = f"{name}.main.5.{block}.residual_group.blocks.{number}"
                wanted |= {
                    f"{inner}.attn.relative_position_bias_table": ((2 * frames - 1) * 15 * 15, 6),
                    f"{inner}.attn.relative_position_index": (64 * frames, 64 * frames),
                    **layer(f"{inner}.attn.qkv_self", 432, 144),
                    **layer(f"{inner}.attn.proj", 144, 144),
                    **layer(f"{inner}.norm1", 144),
                    **layer(f"{inner}.norm2", 144),
                    **layer(f"{inner}.mlp.fc1", 288, 144),
                    **layer(f"{inner}.mlp.fc2", 144, 288),
                }
        return wanted

    wanted: dict[str, tuple[int, ...]] = {"spynet.mean": (1, 3, 1, 1), "spynet.std": (1, 3, 1, 1)}
    for level, (number, (given, out)) in itertools.product(
        range(6), enumerate(itertools.pairwise((8, 32, 64, 32, 16, 2)))
    ):
        wanted |= layer(f"spynet.basic_module.{level}.basic_module.{2 * number}", out, given, 7, 7)
    wanted |= refiner("feat_extract", 3, 1, 1) | refiner("reconstruction", 5 * 144, 1, 1)
    for number, name in enumerate(("backward_1", "forward_1", "backward_2", "forward_2")):
        wanted |= refiner(f"backbone.{name}", (2 + number) * 144, 2, 2)
        align = f"deform_align.{name}"
        wanted |= layer(f"{align}.conv_offset.0", 64, 436, 1, 1, 1) | layer(f"{align}.conv_offset.10", 432, 64, 1, 1, 1)
        for step in (2, 4, 6, 8):
            wanted |= layer(f"{align}.conv_offset.{step}", 64, 64, 1, 3, 3)
        for part in ("proj_q", "proj_k", "proj_v"):
            wanted |= layer(f"{align}.{part}.1", 288, 144)
        wanted |= layer(f"{align}.proj.1", 144, 288)
        wanted |= layer(f"{align}.mlp.1.fc1", 288, 144) | layer(f"{align}.mlp.1.fc2", 144, 288)
    wanted |= layer("conv_before_upsampler.0", 64, 144, 1, 1, 1) | layer("conv_last", 3, 64, 1, 3, 3)
    wanted |= layer("upsampler.0", 256, 64, 1, 3, 3) | layer("upsampler.5", 256, 64, 1, 3, 3)
    wanted |= layer("upsampler.10", 64, 64, 1, 3, 3)
    net = RVRT(RVRTShape())
    assert {name: tuple(value.shape) for name, value in net.state_dict().items()} == wanted
    assert sum(weight.numel() for weight in net.parameters()) == PUBLISHED_PARAMETERS


@pytest.mark.parametrize("shape", [TINY, RVRTShape()], ids=["tiny", "published"])
def test_a_saved_network_is_recognised_and_makes_the_same_video(shape: RVRTShape, tmp_path: Path) -> None:
    net, frames = built(shape), video(4, 8, 16)
    torch.save({"params": net.state_dict()}, tmp_path / "net.pth")
    found = pytorch.load(tmp_path / "net.pth")
    assert isinstance(found.module, RVRT) and found.module.shape == shape
    assert (found.card.architecture, found.card.scale, found.card.recurrent) == ("RVRT", 4, True)
    wanted = enlarge(net, frames)
    assert wanted.shape == (4, 3, 32, 64) and wanted.float().std() > 5, "a picture of one colour shows nothing"
    assert torch.equal(enlarge(found.module, frames), wanted)


@FEW
def test_every_frame_depends_on_those_long_before_and_long_after() -> None:
    net, frames = built(), video(8)
    made = enlarge(net, frames)
    for changed, seen in ((0, 7), (7, 0)):
        other = frames.clone()
        other[changed] = 255 - other[changed]
        assert not torch.equal(enlarge(net, other)[seen], made[seen])


def test_without_details_frames_are_enlarged_bilinearly() -> None:
    net, frames = built(), video(2)
    with torch.no_grad():
        net.conv_last.weight.zero_()
        net.conv_last.bias.zero_()
    wanted = functional.interpolate(frames / 255, scale_factor=4, mode="bilinear", align_corners=False)
    with torch.inference_mode():
        assert torch.allclose(net(frames / 255), wanted, atol=1e-6)


def look_up(picture: np.ndarray, row: float, column: float) -> np.ndarray:
    """The picture (C, H, W) between its pixels, 0 outside."""
    top, left = int(np.floor(row)), int(np.floor(column))
    seen = np.zeros(len(picture))
    for y, x in itertools.product((top, top + 1), (left, left + 1)):
        if 0 <= y < picture.shape[1] and 0 <= x < picture.shape[2]:
            seen += picture[:, y, x] * (1 - abs(row - y)) * (1 - abs(column - x))
    return seen


def test_attention_to_places_is_what_its_definition_says() -> None:
    random = np.random.default_rng(1)
    heads, width, groups, height, breadth = 2, 4, 4, 5, 6
    query = random.normal(size=(2, width, height, breadth))
    both = random.normal(size=(2, 2 * width, height, breadth))
    places = random.normal(size=(2, 2, groups, 9, 2, height, breadth)) * 2
    wanted = np.zeros_like(query)
    for number, row, column in itertools.product(range(2), range(height), range(breadth)):
        seen = np.zeros((2 * width, 18))
        for other, place, channel in itertools.product(range(2), range(9), range(2 * width)):
            down, right = places[number, other, channel // (2 * width // groups), place, :, row, column]
            at = (row + place // 3 - 1 + down, column + place % 3 - 1 + right)
            picture = both[(number + other) % 2, channel : channel + 1]
            seen[channel, 9 * other + place] = look_up(picture, *at)[0]
        for head in range(heads):
            part = slice(head * width // heads, (head + 1) * width // heads)
            scores = query[number, part, row, column] @ seen[:width][part] / np.sqrt(width // heads)
            shares = np.exp(scores) / np.exp(scores).sum()
            wanted[number, part, row, column] = seen[width:][part] @ shares
    got = attend_to_places(*(torch.from_numpy(one) for one in (query, both, places)), heads)
    assert np.abs(got.numpy() - wanted).max() < 1e-9


def test_a_large_frame_is_attended_to_in_parts_with_the_same_result(monkeypatch: pytest.MonkeyPatch) -> None:
    torch.manual_seed(2)
    given = (torch.randn(2, 24, 9, 10), torch.randn(2, 48, 9, 10), 3 * torch.randn(2, 2, 12, 9, 2, 9, 10))
    whole = attend_to_places(*given, 12)
    monkeypatch.setattr(guided_attention, "CHUNK_BYTES", 2 * 4 * 48 * 18 * 10)  # two rows
    assert torch.allclose(attend_to_places(*given, 12), whole, atol=1e-6)


@pytest.mark.parametrize(("down", "right"), [(0, 0), (1, -2), (-7, 0), (0.5, 0.25)])
def test_places_are_counted_down_and_right_and_are_empty_outside(down: float, right: float) -> None:
    picture = torch.arange(1.0, 31).reshape(1, 5, 6)
    places = torch.tensor([down, right]).reshape(1, 1, 2, 1, 1).expand(1, 9, 2, 5, 6)
    got = sample_places(picture, places)[0].numpy()
    for place, row, column in itertools.product(range(9), range(5), range(6)):
        wanted = look_up(picture.numpy(), row + place // 3 - 1 + down, column + place % 3 - 1 + right)
        assert abs(got[place, row, column] - wanted[0]) < 1e-4


def test_motions_are_joined_over_the_frames_between() -> None:
    motion = torch.zeros(3, 2, 8, 9)
    motion[:, 0], motion[:, 1] = torch.tensor([1.0, 2, 3]).reshape(3, 1, 1), -1
    own, other = rvrt.join_motions(motion)
    middle = (slice(None), slice(None), 4, 3)
    assert own[middle].tolist() == [[3, -2], [5, -2]]  # from frame 2 to 0, and from 3 to 1
    assert other[middle].tolist() == [[2, -1], [6, -3]]  # from frame 2 to 1, and from 3 to 0


def test_motion_is_found_in_pixels_of_the_frame_whatever_size_it_was_resized_to() -> None:
    """With weights that say "a quarter of a pixel to the right" at every size of the pyramid."""
    net = built().spynet
    with torch.no_grad():
        for weight in net.parameters():
            weight.zero_()
        for correct in net.basic_module:
            correct.basic_module[-1].bias[0] = 0.25
        motion = net(torch.rand(1, 3, 32, 24), torch.rand(1, 3, 32, 24))
    found = 0.25 * (1 + 2 + 4 + 8 + 16 + 32) * 24 / 32
    assert torch.allclose(motion[:, 0], torch.tensor(found)) and torch.equal(motion[:, 1], torch.zeros(1, 32, 24))


@pytest.mark.parametrize("shifted", [False, True])
def test_attention_stays_inside_a_window(shifted: bool) -> None:
    torch.manual_seed(3)
    layer = WindowLayer(4, 2, (2, 8, 8), shifted=shifted)
    frames = torch.randn(2, 20, 24, 4)
    other = frames.clone()
    other[0, 5, 6] += torch.tensor([1.0, -1, 2, 0])
    with torch.inference_mode():
        changed = (layer(frames) != layer(other)).any(3)
    rows, columns = changed[1].any(1).nonzero()[:, 0], changed[1].any(0).nonzero()[:, 0]
    window = slice(4, 12) if shifted else slice(0, 8)
    assert rows.tolist() == columns.tolist() == list(range(20))[window]


def test_the_bias_is_the_same_for_pixels_that_lie_alike() -> None:
    numbers = shifted_windows.number_distances((2, 8, 8)).reshape(2, 8, 8, 2, 8, 8)
    assert numbers.min() == 0 and numbers.max() == 3 * 15 * 15 - 1
    assert numbers[0, 0, 0, 1, 2, 3] == numbers[0, 3, 4, 1, 5, 7] == (0 * 15 + 5) * 15 + 4
    assert numbers[1, 2, 3, 0, 0, 0] == (2 * 15 + 9) * 15 + 10


@pytest.mark.parametrize("count", [1, 2, 5, 8, 9, 12, 13])
@FEW
def test_every_frame_comes_out_once_in_order(count: int) -> None:
    net = built()
    with torch.no_grad():
        net.conv_last.weight.zero_()
        net.conv_last.bias.zero_()
    frames = torch.arange(count).mul(9).byte().reshape(-1, 1, 1, 1).expand(-1, 3, 8, 8)
    made = feed(ClipSequence(net), frames)
    assert [int(done[0, 16, 16]) for done in made] == [9 * number for number in range(count)]


@FEW
def test_a_video_is_the_same_wherever_it_is_interrupted() -> None:
    net, frames = built(), video(11)
    wanted = feed(ClipSequence(net), frames)
    for cut in (3, 8):
        first = ClipSequence(net)
        before = feed(first, frames[:cut], finish=False)
        second = ClipSequence(net)
        second.set_state(first.get_state())
        after = feed(second, frames[cut:])
        assert len(after) == len(frames) - cut
        assert all(torch.equal(*pair) for pair in zip(before, wanted, strict=False))
        assert all(torch.equal(*pair) for pair in zip(after, wanted[cut:], strict=True))


@FEW
def test_windows_of_frames_differ_little_from_the_whole_video(monkeypatch: pytest.MonkeyPatch) -> None:
    """The more frames are looked at before and after a window, the less. In parts of the picture's contrast."""
    net, frames = built(), video(16)
    whole = enlarge(net, frames).float()
    off = []
    for context in (2, 4, 8):
        monkeypatch.setattr(frame_sequence, "CONTEXT_FRAMES", context)
        made = torch.stack(feed(ClipSequence(net), frames))
        off.append(float((made - whole).abs().mean() / whole.std()))
    assert off[0] > off[1] > off[2] and off[1] < 0.1


@FEW
def test_tiles_differ_little_from_the_whole_frame() -> None:
    net, frames = built(), video(2, 16, 128)
    whole = torch.stack(feed(ClipSequence(net, 0), frames)).int()
    assert torch.equal(whole.byte(), enlarge(net, frames))
    tiled = torch.stack(feed(ClipSequence(net, 64), frames)).int()
    off = (tiled - whole).abs().float()
    assert off.max() > 0 and off.mean() < 0.2, "levels"
    assert off[..., :100].max() <= 1, "far from the seam"


@pytest.mark.parametrize("side", [64, 65, 100, 128, 200, 481])
def test_the_shares_of_all_tiles_add_up_to_one(side: int) -> None:
    spans = cut_side(side, 64, 8)
    total = torch.zeros(4 * side)
    for number, (begin, end) in enumerate(spans):
        share = weigh(spans, number, 4)
        assert share.min() >= 0 and begin % 8 == 0
        total[4 * begin : 4 * end] += share
    assert torch.allclose(total, torch.ones(4 * side), atol=1e-5)


@pytest.mark.parametrize("precision", [torch.bfloat16, torch.float16], ids=str)
@FEW
def test_in_half_precision_a_wide_video_is_the_same_but_for_rounding(precision: torch.dtype) -> None:
    """Columns from 256 on have no numbers of their own in bf16."""
    net, frames = built(), video(4, 8, 264)
    wanted = enlarge(net, frames).int()
    made = torch.stack(feed(ClipSequence(net.to(precision), 0), frames)).int()
    assert (made - wanted).abs().float().mean() < 0.05 * wanted.float().std()


def test_numbers_that_are_none_are_told() -> None:
    net = built()
    with torch.no_grad():
        net.conv_last.bias.fill_(float("inf"))
    with pytest.raises(FloatingPointError, match="NaN or infinite"):
        feed(ClipSequence(net), video(2))


BROKEN = {
    "missing": ("backbone.forward_2.main.1.bias", None, "forward_2"),
    "shape": ("upsampler.10.weight", torch.zeros(8, 9, 1, 3, 3), "upsampler.10"),
    "deblurring": ("feat_extract.main.1.weight", None, "does not enlarge"),
    "flat": ("backbone.forward_1.main.1.weight", torch.zeros(12), "net.pth cannot be used"),
    "empty": ("backbone.forward_1.main.1.weight", torch.zeros(12, 0, 1, 3, 3), "net.pth cannot be used"),
}


@pytest.mark.parametrize("broken", BROKEN)
def test_a_file_that_does_not_fit_is_refused_in_a_sentence(broken: str, tmp_path: Path) -> None:
    name, value, said = BROKEN[broken]
    state = {**built().state_dict(), name: value}
    torch.save({key: value for key, value in state.items() if value is not None}, tmp_path / "net.pth")
    with pytest.raises(ModelError, match=said) as refused:
        pytorch.load(tmp_path / "net.pth")
    assert "net.pth" in str(refused.value) and refused.value.remedy


def test_it_is_not_converted_to_a_network_for_single_frames(tmp_path: Path) -> None:
    path = tmp_path / "net.pth"
    torch.save(built().state_dict(), path)
    with pytest.raises(ModelError, match="needs several frames of a video"):
        onnx_export.export_onnx(pytorch.load(path), tmp_path / "net.onnx")


def test_added_it_says_how_it_can_be_used_instead(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "net.pth"
    torch.save(built().state_dict(), path)
    monkeypatch.setattr(paths, "get_models_folder", lambda: tmp_path / "models")
    with pytest.raises(ModelError, match="needs several frames of a video") as refused:
        model_add.add_models([path], None, None, settings=Settings())
    assert f"live-sr upscale FILE --model {path}" in str(refused.value.remedy)
