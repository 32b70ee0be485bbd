"""Colours arrive where and as they were, and every command reads a video in the same way."""

from pathlib import Path

import av
import numpy as np
import pytest
from video_clips import LOSSLESS, clip, decoded, made_of

from live_sr.evaluate.datasets import read_video
from live_sr.imaging.video_colour import ColourTags, FrameReader, OutputConverter
from live_sr.imaging.video_frame_pool import get_plane
from live_sr.pipeline.frame import Pixels, Size, make_black
from live_sr.training.pairs.video_frames import read_video_frames

LIMITED, FULL = 1, 2


def halves(size: Size, edge: int) -> Pixels:
    """Two colours of about the same brightness, side by side."""
    picture = make_black(size)
    picture[:, :edge, :3] = (100, 140, 120)
    picture[:, edge:, :3] = (160, 110, 130)
    return picture


def find_edge(values: np.ndarray, middle: float) -> float:
    """Where a row of samples passes the middle, in samples."""
    at = int(np.flatnonzero((values[:-1] < middle) & (values[1:] >= middle))[0])
    return float(at + (middle - values[at]) / (values[at + 1] - values[at]))


@pytest.mark.parametrize("edge", [64, 65])
@pytest.mark.parametrize("pixel_format", ["yuv420p", "yuv422p", "nv12"])
def test_chroma_lies_on_the_left_pixel_of_two(pixel_format: str, edge: int) -> None:
    converter = OutputConverter(ColourTags(matrix=1), pixel_format)
    frame = converter.convert(halves(Size(128, 64), edge))
    chroma = get_plane(frame, 1).astype(float)
    if pixel_format == "nv12":
        plane = frame.planes[1]
        chroma = np.frombuffer(memoryview(plane), np.uint8).reshape(-1, plane.line_size)[:, :128:2].astype(float)
    row = chroma[20]
    # a sample lies on pixel 2 * n; the edge is between the pixels edge - 1 and edge
    assert 2 * find_edge(row, (row[0] + row[-1]) / 2) == pytest.approx(edge - 0.5, abs=0.2)


def test_luma_of_the_result_is_exact() -> None:
    ramp = make_black(Size(256, 32))
    ramp[..., :3] = np.arange(256, dtype=np.uint8)[:, np.newaxis]
    luma = get_plane(OutputConverter(ColourTags(matrix=1), "yuv420p").convert(ramp), 0).astype(float)
    assert np.abs(luma[0] - (16 + np.arange(256) * 219 / 255)).max() <= 0.75


@pytest.mark.parametrize("tagged", [LIMITED, FULL])
def test_grey_of_either_range_keeps_its_contrast(tmp_path: Path, tagged: int) -> None:
    low, high = (16, 235) if tagged == LIMITED else (0, 255)
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = 220, 32, "gray"
        stream.codec_context.color_range = tagged
        for time in range(3):
            levels = np.tile(np.linspace(low, high, 220).round().astype(np.uint8), (32, 1))
            frame = av.VideoFrame.from_ndarray(levels, format="gray")
            frame.pts, frame.color_range = time, tagged
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    target, _ = made_of(path, tmp_path / "out.mkv", encoding=LOSSLESS)
    shown = decoded(target)[1][0]
    assert (shown[..., :3].min(), shown[..., :3].max()) == (0, 255)
    assert np.array_equal(decoded(path)[1][0].repeat(2, 0).repeat(2, 1)[..., 0], shown[..., 0])


@pytest.mark.parametrize("size", [Size(64, 48), Size(64, 720)], ids=["SD", "HD"])
def test_every_command_reads_an_untagged_video_as_players_do(tmp_path: Path, size: Size) -> None:
    wanted = make_black(size)
    wanted[..., :3] = (40, 60, 200)
    matrix = 1 if size.height > 576 else 6
    path = tmp_path / "in.mkv"
    with av.open(str(path), "w") as container:
        stream = container.add_stream("ffv1", rate=30)
        stream.width, stream.height, stream.pix_fmt = *size, "yuv420p"
        for time in range(3):
            frame = OutputConverter(ColourTags(matrix=matrix), "yuv420p").convert(wanted)
            frame.pts, frame.colorspace, frame.color_range = time, 2, 0
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    for_upscale = decoded(path)[1][0]
    for_evaluation = next(iter(read_video(path)))
    for_training = next(iter(read_video_frames(path)))[1]
    assert np.abs(for_upscale.astype(int) - wanted).max() <= 3
    assert np.array_equal(for_evaluation, for_upscale)
    assert np.array_equal(for_training, for_upscale[..., :3])


def test_a_reader_follows_a_video_that_changes() -> None:
    reader = FrameReader()
    for size in (Size(64, 48), Size(32, 32), Size(64, 48)):
        frame = OutputConverter(ColourTags(matrix=6), "yuv420p").convert(halves(size, 16))
        assert reader.find_size(frame) == size
        picture = make_black(size)
        reader.read(frame, picture)
        assert np.abs(picture[:, :12].astype(int) - halves(size, 16)[:, :12]).max() <= 3


def test_a_turned_video_is_evaluated_as_it_is_shown(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mp4", rotation=90)
    picture = next(iter(read_video(source)))
    assert picture.shape[:2] == (48, 32)
    assert np.array_equal(picture, decoded(source)[1][0])
