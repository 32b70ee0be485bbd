"""Networks that enlarge a frame of a video with the help of others: segments and interruptions leave no trace."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn
from video_clips import clip, decoded, pictures

from live_sr.models.architectures import frame_sequence, spynet
from live_sr.models.architectures.rvrt import RVRT, RVRTShape
from live_sr.models.architectures.tecogan import TecoGAN, TecoGANShape
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Pixels, Size
from live_sr.upscale import command
from live_sr.upscale.options import EncodingOptions, ScalingOptions, UpscaleOptions
from live_sr.upscale.video import job as video
from live_sr.upscale.video import job_folder, ray_cluster
from live_sr.upscale.video.job import OutputOptions, TranscodeJob
from live_sr.upscale.video.segment_file import FrameCounts
from live_sr.upscale.video.segments import Segment
from live_sr.upscale.video.sequence_state import SequenceStates, choose_first
from live_sr.upscale.video.transcode import TranscodeCallbacks

pytestmark = pytest.mark.torch

FRAMES = 30
NETWORKS: dict[str, Callable[[], nn.Module]] = {
    "TecoGAN": lambda: TecoGAN(TecoGANShape(2, width=8, blocks=1)),
    "RVRT": lambda: RVRT(RVRTShape(width=12, heads=(2, 2, 2), blocks=(1, 1, 1), depth=(1, 1, 1), hidden=8)),
}
IN_PIECES = EncodingOptions(codec="ffv1", segment_s=0.3)
WHOLE = EncodingOptions(codec="ffv1", segment_s=60)


@pytest.fixture(autouse=True, scope="module")
def small() -> Iterator[None]:
    torch.set_num_threads(1)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(frame_sequence, "WINDOW_FRAMES", 4)
        patch.setattr(spynet, "WIDTHS", (8, 4, 2))
        yield


@dataclass(frozen=True)
class Enlarged:
    """A network with random weights, under which things seem to move, and what it makes of a video in one segment."""

    model: Path
    source: Path
    whole: list[Pixels]


@pytest.fixture(params=NETWORKS, scope="module")
def known(request: pytest.FixtureRequest, small: None, tmp_path_factory: pytest.TempPathFactory) -> Enlarged:
    torch.manual_seed(4)
    net = NETWORKS[request.param]()
    for weight in net.parameters():
        if weight.dim() > 1:
            nn.init.normal_(weight, 0, 0.8 * weight[0].numel() ** -0.5)
    folder = tmp_path_factory.mktemp(request.param)
    torch.save(net.state_dict(), folder / "net.pth")
    source = make_source(folder / "small.mkv")
    return Enlarged(folder / "net.pth", source, enlarge(source, folder / "net.pth", folder / "whole.mkv", WHOLE))


def enlarge(
    source: Path, model: Path, target: Path, encoding: EncodingOptions = IN_PIECES, **output: object
) -> list[Pixels]:
    scaling = ScalingOptions(resolve(str(model)))
    video.upscale_video(source, target, scaling, encoding, OutputOptions(**output))  # type: ignore[arg-type]
    return decoded(target)[1]


def make_source(path: Path, frames: list[Pixels] | None = None) -> Path:
    return clip(path, frames or pictures(FRAMES, Size(16, 8)))


def is_same(made: list[Pixels], wanted: list[Pixels]) -> bool:
    return len(made) == len(wanted) and all(np.array_equal(*pair) for pair in zip(made, wanted, strict=True))


def test_a_video_is_the_same_in_one_segment_and_in_several(known: Enlarged, tmp_path: Path) -> None:
    assert is_same(enlarge(known.source, known.model, tmp_path / "pieces.mkv"), known.whole)


def test_the_frames_before_the_last_segment_matter_to_it(known: Enlarged, tmp_path: Path) -> None:
    last = make_source(tmp_path / "last.mkv", pictures(FRAMES, Size(16, 8))[20:])
    assert not is_same(enlarge(last, known.model, tmp_path / "alone.mkv"), known.whole[20:])


def test_equal_frames_are_enlarged_once_and_stay_in_place(known: Enlarged, tmp_path: Path) -> None:
    frames = pictures(9, Size(16, 8))
    twice = [frame for frame in frames for _ in range(2)]
    made = enlarge(make_source(tmp_path / "small.mkv", twice), known.model, tmp_path / "large.mkv", WHOLE)
    assert len(made) == 18 and all(np.array_equal(*pair) for pair in zip(made[::2], made[1::2], strict=True))


def interrupt(source: Path, model: Path, target: Path, after: int) -> Path:
    """Stops the work once that segment is complete. Returns the folder where it can go on."""

    def run(
        job: TranscodeJob, todo: Sequence[Segment], get_path: Callable[[Segment], Path], callbacks: TranscodeCallbacks
    ) -> None:
        def stop(segment: Segment, counts: FrameCounts) -> None:
            if segment.number == after:
                raise KeyboardInterrupt

        video.run_in_process(job, todo, get_path, TranscodeCallbacks(callbacks.on_frame, stop))

    with pytest.raises(KeyboardInterrupt):
        video.upscale_video(source, target, ScalingOptions(resolve(str(model))), IN_PIECES, run=run)
    return job_folder.get_job_folder(target)


def test_an_interrupted_job_goes_on_with_the_same_frames(known: Enlarged, tmp_path: Path) -> None:
    target = tmp_path / "large.mkv"
    kept = interrupt(known.source, known.model, target, after=1)
    assert len(list(kept.glob("*.segment"))) == 2
    remade: list[int] = []

    def run(
        job: TranscodeJob, todo: Sequence[Segment], get_path: Callable[[Segment], Path], callbacks: TranscodeCallbacks
    ) -> None:
        remade.extend(segment.number for segment in todo)
        video.run_in_process(job, todo, get_path, callbacks)

    scaling = ScalingOptions(resolve(str(known.model)))
    video.upscale_video(known.source, target, scaling, IN_PIECES, OutputOptions(resume=True), run=run)
    assert remade == [2]
    assert is_same(decoded(target)[1], known.whole)
    assert not kept.exists()


def test_without_what_a_segment_depends_on_all_are_made_again(known: Enlarged, tmp_path: Path) -> None:
    target = tmp_path / "large.mkv"
    for state in interrupt(known.source, known.model, target, after=0).glob("*.state"):
        state.write_bytes(b"other")
    assert is_same(enlarge(known.source, known.model, target, resume=True), known.whole)


def test_a_state_is_read_only_as_it_was_saved(tmp_path: Path) -> None:
    first, second = (Segment(number, None, None, None, None, 10) for number in range(2))
    states = SequenceStates(lambda segment: tmp_path / f"{segment.number:06}.segment")
    assert states.read_before(second) is None
    states.save(first, b"what frame 10 depends on")
    assert states.read_before(second) == b"what frame 10 depends on"
    assert choose_first([first, second], [second], states) == [second]
    file = tmp_path / "000000.state"
    file.write_bytes(file.read_bytes()[:-1])
    assert states.read_before(second) is None
    assert choose_first([first, second], [second], states) == [first, second]
    states.delete_before(second)
    assert not list(tmp_path.iterdir())


def test_how_long_it_takes_is_said_before_the_work_begins(
    known: Enlarged, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "live_sr")
    enlarge(make_source(tmp_path / "small.mkv", pictures(6, Size(16, 8))), known.model, tmp_path / "large.mkv")
    (said,) = [record.getMessage() for record in caplog.records if "a frame on this machine" in record.getMessage()]
    assert said.startswith("small.mkv: about ") and said.endswith("GB of memory")


def test_a_cluster_is_not_asked_for_frames_that_must_come_in_order(
    known: Enlarged, tmp_path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    caplog.set_level("INFO", "live_sr")
    source = make_source(tmp_path / "small.mkv", pictures(6, Size(16, 8)))

    @contextmanager
    def open_cluster(*given: object) -> Iterator[None]:
        yield None

    monkeypatch.setattr(ray_cluster, "open_cluster", open_cluster)
    options = UpscaleOptions(
        (source,), tmp_path / "large.mkv", ScalingOptions(resolve(str(known.model))), WHOLE, ray=""
    )
    assert command.run(options) == 0
    assert len(decoded(tmp_path / "large.mkv")[1]) == 6
    assert "not shared among workers" in caplog.text
