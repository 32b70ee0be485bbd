"""RVRT (Liang et al., "Recurrent Video Restoration Transformer with Guided Deformable Attention", NeurIPS 2022, arXiv
2206.02146): enlarges the frames of a video by 4 with the help of those before and after them.

It goes through the video four times, twice backwards and twice forwards, two frames at a time ("a clip"). Each time,
what is known of the clip before is brought to where things are now, by attention to places that the motion points to,
and is refined together with all that is known of the two frames.

Our own code, written from the paper and from the operations, names, shapes and settings in the repository
JingyunLiang/RVRT; no line is theirs. Its checkpoints for super-resolution load here (001_RVRT_videosr_bi_REDS_30frames,
002_RVRT_videosr_bi_Vimeo_14frames, 003_RVRT_videosr_bd_Vimeo_14frames). Those for deblurring and denoising do not
enlarge. Two numbers are not in the files, and are those of all six: attention heads, and 3x3 places for each frame.
Licence: the authors' code and weights are under CC BY-NC 4.0, for use that is not commercial.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn import functional

from live_sr.models.architectures.guided_attention import CLIP, PLACES, GuidedAttention
from live_sr.models.architectures.shifted_windows import FrameConv, FrameRefiner
from live_sr.models.architectures.spynet import LEVELS, SpyNet
from live_sr.models.architectures.tecogan import warp

SCALE = 4
PASSES = ("backward_1", "forward_1", "backward_2", "forward_2")
WINDOW = 8  # pixels of an attention window to each side


@dataclass(frozen=True)
class RVRTShape:
    """The published networks have the default.

    width: channels. heads, blocks, depth: of the layers at the beginning, in the passes, and at the end. groups: of the
    first convolution at the beginning, in each pass, and at the end. offset_groups: of channels that share their
    places. hidden: channels of the layers that find these places, and of those that draw the enlarged frame.
    """

    width: int = 144
    heads: tuple[int, int, int] = (6, 6, 6)
    blocks: tuple[int, int, int] = (1, 2, 1)
    depth: tuple[int, int, int] = (2, 2, 2)
    groups: tuple[int, ...] = (1, 1, 1, 1, 1, 1)
    offset_groups: int = 12
    hidden: int = 64


class RVRT(nn.Module):
    """Frames are RGB in 0..1, (T, 3, H, W), T even, H and W at least `least`. Results are not clamped."""

    least = WINDOW
    multiple = WINDOW
    scale = SCALE

    def __init__(self, shape: RVRTShape) -> None:
        super().__init__()
        self.shape = shape
        width, hidden = shape.width, shape.hidden

        def refiner(given: int, part: int, frames: int, groups: int) -> FrameRefiner:
            window = (frames, WINDOW, WINDOW)
            return FrameRefiner(given, width, shape.heads[part], window, shape.blocks[part], shape.depth[part], groups)

        self.spynet = SpyNet()
        self.feat_extract = refiner(3, 0, 1, shape.groups[0])
        self.backbone = nn.ModuleDict(
            {name: refiner((2 + i) * width, 1, CLIP, shape.groups[1 + i]) for i, name in enumerate(PASSES)}
        )
        aligners = {name: GuidedAttention(width, shape.offset_groups, hidden) for name in PASSES}
        self.deform_align = nn.ModuleDict(aligners)
        self.reconstruction = refiner(5 * width, 2, 1, shape.groups[5])
        self.conv_before_upsampler = nn.Sequential(FrameConv(width, hidden, 1), nn.LeakyReLU(0.1))
        self.upsampler = nn.ModuleDict(  # numbered as in the checkpoints
            {
                "0": FrameConv(hidden, 4 * hidden),
                "5": FrameConv(hidden, 4 * hidden),
                "10": FrameConv(hidden, hidden),
            }
        )
        self.conv_last = FrameConv(hidden, 3)

    def forward(self, frames: Tensor) -> Tensor:
        """All frames enlarged: (T, 3, 4 H, 4 W)."""
        features = self.refine(frames, *self.find_motion(frames))
        return torch.cat(list(self.draw(frames, features, range(len(frames)))))

    def find_motion(self, frames: Tensor) -> tuple[Tensor, Tensor]:
        """The motion from each frame to the one before, and from each to the next: (T - 1, 2, H, W) each."""
        pairs = list(pairwise(frames[:, None]))
        to_previous = torch.cat([self.spynet(after, before) for before, after in pairs])
        return to_previous, torch.cat([self.spynet(before, after) for before, after in pairs])

    def refine(self, frames: Tensor, to_previous: Tensor, to_next: Tensor) -> list[Tensor]:
        """Five groups of features of all frames, (T, width, H, W) each: at first, and after each pass."""
        known = [torch.cat([self.feat_extract(frame) for frame in frames[:, None]])]
        motions: dict[str, list[tuple[Tensor, Tensor]]] = {"backward": [], "forward": []}
        for name in PASSES:
            direction = name.split("_")[0]
            if direction == "backward":  # the same walk over the reversed video
                made = self._walk(name, [one.flip(0) for one in known], to_next.flip(0), motions[direction])
                known.append(made.flip(0))
            else:
                known.append(self._walk(name, known, to_previous, motions[direction]))
        return known

    def _walk(self, name: str, known: list[Tensor], motion: Tensor, corrected: list[tuple[Tensor, Tensor]]) -> Tensor:
        """One pass, from the first frame to the last. motion: from each frame to the one before.

        corrected: motions between clips as the first pass in this direction found them; that pass fills the list.
        """
        clips = [one.chunk(len(one) // CLIP) for one in known]
        carried = torch.zeros_like(clips[0][0])
        made = []
        first_pass = not corrected
        for at in range(len(clips[0])):
            if at:
                flows = join_motions(motion[CLIP * (at - 1) : CLIP * at + 1]) if first_pass else corrected[at - 1]
                warped = [warp(carried, flows[0], "zeros"), warp(carried.flip(0), flows[1], "zeros")]
                query, key = clips[-1][at], clips[-1][at - 1]
                carried, found = self.deform_align[name](query, key, carried, warped, flows)
                if first_pass:
                    corrected.append(found)
            here = torch.cat([*(one[at] for one in clips), carried], 1)
            carried = carried + self.backbone[name](here)
            made.append(carried)
        return torch.cat(made)

    def draw(self, frames: Tensor, features: list[Tensor], numbers: range) -> Iterator[Tensor]:
        """These frames enlarged, one after the other: (1, 3, 4 H, 4 W)."""
        for number in numbers:
            refined = self.reconstruction(torch.cat([one[number : number + 1] for one in features], 1))
            drawn = self.conv_before_upsampler(refined)
            for step in ("0", "5"):
                drawn = functional.leaky_relu(functional.pixel_shuffle(self.upsampler[step](drawn), 2), 0.1)
            details = self.conv_last(self.upsampler["10"](drawn))
            frame = frames[number : number + 1]
            yield details + functional.interpolate(frame, scale_factor=SCALE, mode="bilinear", align_corners=False)


def join_motions(motion: Tensor) -> tuple[Tensor, Tensor]:
    """From three motions between frames 0, 1, 2 and 3, each to the one before, the motions between the clips.

    These are from 2 to 0 and from 3 to 1, and from 2 to 1 and from 3 to 0: (2, 2, H, W) each.
    """
    to_0, to_1, to_2 = motion[:, None]
    two_to_0 = to_1 + warp(to_0, to_1, "zeros")
    three_to_1 = to_2 + warp(to_1, to_2, "zeros")
    three_to_0 = to_2 + warp(two_to_0, to_2, "zeros")
    return torch.cat([two_to_0, three_to_1]), torch.cat([to_1, three_to_0])


def is_rvrt(state: Mapping[str, object]) -> bool:
    """Whether weights with these names are RVRT's."""
    return all(f"deform_align.{name}.conv_offset.0.weight" in state for name in PASSES)


def infer_shape(state: Mapping[str, Tensor]) -> RVRTShape:
    """The shape of the network with these weights. Raises KeyError for missing weights, ValueError for others."""
    if "feat_extract.main.1.weight" not in state:
        raise ValueError("it is an RVRT that deblurs or removes noise, and does not enlarge")
    width = state["feat_extract.main.1.weight"].shape[0]
    parts = ("feat_extract", "backbone.backward_1", "reconstruction")
    groups = [
        given // state[f"{part}.main.1.weight"].shape[1]
        for part, given in zip(
            ("feat_extract", *(f"backbone.{name}" for name in PASSES), "reconstruction"),
            (3, *(count * width for count in (2, 3, 4, 5, 5))),
            strict=True,
        )
    ]
    table = "main.5.0.residual_group.blocks.0.attn.relative_position_bias_table"
    heads = [state[f"{part}.{table}"].shape[1] for part in parts]
    blocks = [_count_children(state, f"{part}.main.5.") for part in parts]
    depth = [_count_children(state, f"{part}.main.5.0.residual_group.blocks.") for part in parts]
    places = state["deform_align.backward_1.conv_offset.10.weight"].shape[0]
    return RVRTShape(
        width,
        (heads[0], heads[1], heads[2]),
        (blocks[0], blocks[1], blocks[2]),
        (depth[0], depth[1], depth[2]),
        tuple(groups),
        places // (CLIP * PLACES * 2),
        state["conv_last.weight"].shape[1],
    )


def build(state: Mapping[str, Tensor]) -> RVRT:
    """The network with these weights. Raises KeyError, RuntimeError or ValueError for weights that do not fit."""
    net = RVRT(infer_shape(state))
    net.load_state_dict(dict(state))
    return net.eval()


def compute_macs(net: RVRT) -> int:
    """Multiply-adds per pixel of a frame, without the products inside attention."""
    total = 0.0
    for name, weight in net.named_parameters():
        times = 1.0  # most weights are applied once to each pixel
        if name.startswith("spynet."):  # both ways, at six sizes
            times = 2 / 4 ** (LEVELS - 1 - int(name.split(".")[2]))
        elif name.startswith("upsampler.5."):
            times = SCALE
        elif name.startswith(("upsampler.10.", "conv_last.")):
            times = SCALE**2
        if weight.dim() > 1 and not name.endswith("bias_table"):
            total += times * weight.numel()
    return round(total)


def _count_children(state: Mapping[str, Tensor], prefix: str) -> int:
    return len({name[len(prefix) :].split(".")[0] for name in state if name.startswith(prefix)})
