"""A recorded video is played like a game, at its own times, whatever is in the file."""

import gc
import wave
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil
import pytest
from fakes import FakeClock
from patience import clock, until

from live_sr.capture.video import VideoSource
from live_sr.errors import SourceClosed, UsageError
from live_sr.pipeline.frame import Size, get_size, make_black

MS = 1_000_000
LEVELS = [(0, 255, 7), (40, 215, 50), (80, 175, 90), (120, 135, 130), (160, 95, 170), (200, 55, 210), (240, 15, 250)]
"""Colours (B, G, R) of the frames of a clip, far enough apart to be recognized after a lossy codec."""


def write_clip(
    path: Path,
    frames: int = len(LEVELS),
    *,
    size: Size = Size(16, 12),  # noqa: B008  # immutable
    times_ms: Sequence[int] = (),
    codec: str = "ffv1",
    pixels: str = "bgr0",
    alpha: int = 255,
    title: str = "",
) -> Path:
    """A file of plain frames, one each of LEVELS, 20 ms apart or at the given times; lossless by default.

    The upper half of every frame is noise, so that frames take up room in the file.
    """
    noise = np.random.default_rng(5).integers(0, 256, (size.height // 2, size.width, 3))
    with av.open(str(path), "w") as container:
        container.metadata["title"] = title
        stream = container.add_stream(codec, rate=50)
        assert isinstance(stream, av.VideoStream)
        stream.width, stream.height, stream.pix_fmt = size.width, size.height, pixels
        stream.bit_rate = 8_000_000
        stream.codec_context.time_base = Fraction(1, 1000) if times_ms else Fraction(1, 50)
        for number in range(frames):
            picture = np.empty((size.height, size.width, 4), np.uint8)
            picture[...] = (*LEVELS[number % len(LEVELS)], alpha)
            picture[: size.height // 2, :, :3] = noise
            frame = av.VideoFrame.from_ndarray(picture, format="bgra")
            frame.pts, frame.time_base = (times_ms[number] if times_ms else number), stream.codec_context.time_base
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
    return path


def find_number(pixels: np.ndarray) -> int:
    """Which of LEVELS a frame shows."""
    distances = np.abs(np.array(LEVELS) - pixels[-1, -1, :3].astype(int)).max(1)
    assert distances.min() < 15
    return int(distances.argmin())


def play(source: VideoSource, most: int = 1000) -> list[int]:
    """The numbers of the frames up to the end, or of the first `most`."""
    numbers: list[int] = []
    into = None
    try:
        while len(numbers) < most:
            frame = source.next_frame(0.1, into)
            if frame is not None:
                numbers.append(find_number(frame.pixels))
                into = frame.pixels
    except SourceClosed:
        pass
    return numbers


KINDS = {  # container and codec, pixel format: what recorders write, and one that keeps alpha
    "clip.mkv": ("ffv1", "bgr0"),
    "clip.mp4": ("libx264", "yuv420p"),
    "clip.mov": ("png", "rgba"),
    "clip.avi": ("mjpeg", "yuvj420p"),
    "clip.ts": ("mpeg4", "yuv420p"),
    "clip.m4v": ("mpeg4", "yuv420p"),  # a raw stream: neither time stamps nor an index
}


@pytest.mark.parametrize("name", KINDS)
def test_without_a_pace_every_frame_comes_in_order(tmp_path: Path, name: str) -> None:
    codec, pixels = KINDS[name]
    path = write_clip(tmp_path / name, codec=codec, pixels=pixels)
    clock = FakeClock()
    source = VideoSource(path, paced=False, clock=clock.read, wait=clock.wait)
    assert play(source) == list(range(7))
    assert clock.now == 0  # it waited for nothing


@pytest.mark.parametrize("name", KINDS)
def test_a_loop_starts_again_and_again(tmp_path: Path, name: str) -> None:
    codec, pixels = KINDS[name]
    path = write_clip(tmp_path / name, codec=codec, pixels=pixels)
    assert play(VideoSource(path, paced=False, loop=True), 24) == [*range(7), *range(7), *range(7), 0, 1, 2]
    clock = FakeClock()
    paced = VideoSource(path, loop=True, clock=clock.read, wait=clock.wait)
    assert play(paced, 17) == [*range(7), *range(7), 0, 1, 2]


@pytest.mark.parametrize("size", [Size(1, 1), Size(7, 5), Size(2, 40), Size(487, 273), Size(480, 270)])
def test_pictures_are_what_was_recorded_at_any_size(tmp_path: Path, size: Size) -> None:
    source = VideoSource(write_clip(tmp_path / "clip.mkv", size=size), paced=False)
    assert source.size == size
    for level in LEVELS:
        frame = source.next_frame(0.1)
        assert frame is not None
        assert get_size(frame.pixels) == size == source.size
        assert frame.pixels.dtype == np.uint8
        assert frame.pixels.flags.c_contiguous
        assert (frame.pixels[size.height // 2 :] == (*level, 255)).all()


@pytest.mark.parametrize(
    ("name", "codec", "pixels"),
    [
        ("clip.mkv", "ffv1", "bgra"),
        ("clip.mov", "png", "rgba"),
        ("clip.avi", "rawvideo", "bgra"),
        ("clip.mp4", "libx264", "yuv420p"),
    ],
)
def test_frames_are_opaque_even_if_the_recording_is_not(tmp_path: Path, name: str, codec: str, pixels: str) -> None:
    source = VideoSource(write_clip(tmp_path / name, codec=codec, pixels=pixels, alpha=0), paced=False)
    for number in range(7):
        frame = source.next_frame(0.1)
        assert frame is not None
        assert (frame.pixels[..., 3] == 255).all()
        assert find_number(frame.pixels) == number


def test_a_frame_is_drawn_into_the_lent_picture_when_that_fits(tmp_path: Path) -> None:
    source = VideoSource(write_clip(tmp_path / "clip.mkv", size=Size(17, 11)), paced=False)
    into = make_black(Size(17, 11))
    for number in range(4):
        frame = source.next_frame(0.1, into)
        assert frame is not None
        assert frame.pixels is into
        assert find_number(into) == number
    other = make_black(Size(11, 17))
    frame = source.next_frame(0.1, other)
    assert frame is not None
    assert get_size(frame.pixels) == Size(17, 11)
    assert (other == make_black(Size(11, 17))).all()
    assert find_number(into) == 3  # what was delivered belongs to the caller


# Each row is a call: the moment it is made at the earliest, its timeout, the number of the frame it brought and the
# moment at which that one was seen (None: no frame), and the moment it returned; all in milliseconds.
Call = tuple[int, int, tuple[int, int] | None, int]

EVEN = (0, 20, 40, 60, 80, 100, 120)
UNEVEN = (0, 40, 50, 60, 260, 270, 280)

PLAYS: dict[str, tuple[Sequence[int], float | None, list[Call]]] = {
    "in time, each call waits for its frame": (
        EVEN,
        None,
        [(0, 100, (0, 0), 0), (0, 100, (1, 20), 20), (33, 100, (2, 40), 40), (60, 100, (3, 60), 60)],
    ),
    "the first call starts the play": (EVEN, None, [(500, 100, (0, 500), 500), (500, 100, (1, 520), 520)]),
    "the file's own times, however uneven": (
        UNEVEN,
        None,
        [(0, 100, (0, 0), 0), (0, 100, (1, 40), 40), (0, 100, (2, 50), 50), (0, 100, (3, 60), 60)],
    ),
    "late: what has been overtaken is left out, and no burst follows": (
        UNEVEN,
        None,
        [(0, 100, (0, 0), 0), (55, 100, (2, 50), 55), (55, 100, (3, 60), 60), (275, 100, (5, 270), 275)],
    ),
    "so late that only the last frame is left": (EVEN, None, [(0, 100, (0, 0), 0), (5000, 100, (6, 120), 5000)]),
    "nothing due within the timeout": (
        UNEVEN,
        None,
        [(0, 0, (0, 0), 0), (0, 30, None, 30), (55, 0, (2, 50), 55), (60, 0, (3, 60), 60), (60, 100, None, 160)],
    ),
    "a file that does not start at zero": (
        (700, 740, 780, 820, 860, 900, 940),
        None,
        [(0, 100, (0, 0), 0), (0, 100, (1, 40), 40)],
    ),
    "at another rate than the file's": (
        UNEVEN,
        100,
        [(0, 100, (0, 0), 0), (0, 100, (1, 10), 10), (45, 100, (4, 40), 45), (45, 100, (5, 50), 50)],
    ),
}


@pytest.mark.parametrize(("times_ms", "fps", "calls"), PLAYS.values(), ids=PLAYS)
def test_paced_frames_are_seen_at_the_moment_they_were_due(
    tmp_path: Path, times_ms: Sequence[int], fps: float | None, calls: list[Call]
) -> None:
    clock = FakeClock()
    source = VideoSource(
        write_clip(tmp_path / "clip.mkv", times_ms=times_ms), fps=fps, clock=clock.read, wait=clock.wait
    )
    for at, timeout, brought, returned in calls:
        clock.now = max(clock.now, at * MS)
        frame = source.next_frame(timeout / 1000)
        assert (frame and (find_number(frame.pixels), frame.stamps.seen)) == (brought and (brought[0], brought[1] * MS))
        assert clock.now == returned * MS
        if frame is not None:
            assert frame.stamps.captured == clock.now


def test_a_loop_gives_its_last_frame_its_time(tmp_path: Path) -> None:
    clock = FakeClock()
    source = VideoSource(write_clip(tmp_path / "clip.mkv", 3), loop=True, clock=clock.read, wait=clock.wait)
    seen: list[tuple[int, int]] = []
    while len(seen) < 8:
        frame = source.next_frame(0.1)
        if frame is not None:
            seen.append((find_number(frame.pixels), frame.stamps.seen // MS))
    assert seen == [(0, 0), (1, 20), (2, 40), (0, 60), (1, 80), (2, 100), (0, 120), (1, 140)]


def test_a_loop_that_was_left_alone_for_long_goes_on_from_its_start(tmp_path: Path) -> None:
    clock = FakeClock()
    source = VideoSource(write_clip(tmp_path / "clip.mkv", 3), loop=True, clock=clock.read, wait=clock.wait)
    assert play(source, 1) == [0]
    clock.now = 9000 * MS
    frames = [source.next_frame(0.1) for _ in range(3)]
    assert [f and (find_number(f.pixels), f.stamps.seen // MS) for f in frames] == [(2, 40), (0, 9000), (1, 9020)]


def test_a_bare_stream_is_played_at_an_even_pace(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.m4v", codec="mpeg4", pixels="yuv420p")
    clock = FakeClock()
    source = VideoSource(path, clock=clock.read, wait=clock.wait)
    seen: list[int] = []
    with pytest.raises(SourceClosed):
        while True:
            frame = source.next_frame(0.1)
            if frame is not None:
                seen.append(frame.stamps.seen)
    assert len(seen) == 7
    assert len(set(np.diff(seen).tolist())) == 1


def test_without_a_pace_a_frame_is_seen_at_the_call(tmp_path: Path) -> None:
    clock = FakeClock()
    source = VideoSource(write_clip(tmp_path / "clip.mkv"), paced=False, clock=clock.read, wait=clock.wait)
    for now in (3, 3, 800):
        clock.now = now * MS
        frame = source.next_frame(0.1)
        assert frame is not None
        assert frame.stamps.seen == clock.now == now * MS


@pytest.mark.parametrize("paced", [True, False])
def test_the_end_names_the_file_and_stays_the_end(tmp_path: Path, paced: bool) -> None:
    clock = FakeClock()
    source = VideoSource(write_clip(tmp_path / "clip.mkv", 2), paced=paced, clock=clock.read, wait=clock.wait)
    assert play(source) == [0, 1]
    for _ in range(2):
        with pytest.raises(SourceClosed, match=r"clip\.mkv has ended"):
            source.next_frame(0.1)
    source.close()


@pytest.mark.parametrize(("name", "codec", "pixels"), [("clip.mkv", "ffv1", "bgr0"), ("clip.avi", "rawvideo", "bgr24")])
@pytest.mark.parametrize("part", [0.4, 0.6, 0.95])
@pytest.mark.parametrize("loop", [False, True])
def test_a_file_that_is_cut_off_plays_what_is_there(
    tmp_path: Path, name: str, codec: str, pixels: str, part: float, loop: bool
) -> None:
    path = write_clip(tmp_path / name, codec=codec, pixels=pixels, size=Size(64, 48))
    data = path.read_bytes()
    path.write_bytes(data[: int(len(data) * part)])
    numbers = play(VideoSource(path, paced=False, loop=loop), 20)
    there = len(set(numbers))
    assert 1 <= there < 7
    assert numbers == ([n % there for n in range(20)] if loop else list(range(there)))


def write_audio(path: Path) -> None:
    with wave.open(str(path), "wb") as file:
        file.setparams((1, 2, 8000, 0, "NONE", ""))
        file.writeframes(bytes(1600))


def write_half_a_header(path: Path) -> None:
    write_clip(path)
    path.write_bytes(path.read_bytes()[:400])


def write_headers_only(path: Path) -> None:
    write_clip(path)
    data = path.read_bytes()
    path.write_bytes(data[: data.index(b"\x1f\x43\xb6\x75") + 20])  # Matroska's cluster, where pictures begin


NO_VIDEOS: dict[str, tuple[Callable[[Path], object], str]] = {
    "missing.mp4": (lambda path: None, "No such file"),
    "missing/clip.mp4": (lambda path: None, "No such file"),
    "folder.mp4": (Path.mkdir, "s a directory"),
    "empty.mp4": (Path.touch, "cannot be played"),
    "text.mp4": (lambda path: path.write_text("not a video\n" * 99), "cannot be played"),
    "text.txt": (lambda path: path.write_text("not a video\n" * 99), "no video in it"),
    "config.toml": (lambda path: path.write_text('[model]\nname = "fast"\n'), ""),
    "noise.mkv": (lambda path: path.write_bytes(np.random.default_rng(2).bytes(9000)), "cannot be played"),
    "audio.wav": (write_audio, "no video in it"),
    "header.mkv": (write_half_a_header, "cannot be played"),
    "headers.mkv": (write_headers_only, "no picture that can be decoded"),
}


@pytest.mark.parametrize("name", NO_VIDEOS)
def test_what_is_no_video_is_refused_in_one_sentence(tmp_path: Path, name: str) -> None:
    make, words = NO_VIDEOS[name]
    make(tmp_path / name)
    with pytest.raises(UsageError) as caught:
        VideoSource(tmp_path / name)
    assert words in caught.value.message
    assert name in caught.value.message
    assert "\n" not in caught.value.message
    assert "video" in caught.value.remedy


def test_a_title_in_another_encoding_does_no_harm(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mkv", title="Mädchen")
    data = path.read_bytes()
    assert "Mädchen".encode() in data
    path.write_bytes(data.replace("Mädchen".encode(), "Mä?dchen".encode("latin-1")))
    assert play(VideoSource(path, paced=False)) == list(range(7))


def test_videos_that_were_closed_leave_no_thread_and_no_file_open(tmp_path: Path) -> None:
    path = write_clip(tmp_path / "clip.mp4", codec="libx264", pixels="yuv420p", size=Size(64, 48))
    process = psutil.Process()

    def count_held() -> tuple[int, int]:
        return process.num_threads(), len(process.open_files())

    gc.collect()  # what the encoder left
    clock()  # has a thread of its own
    before = count_held()
    for _ in range(20):
        source = VideoSource(path, paced=False)
        play(source, 3)
        source.close()
        # The system counts a thread for a moment after it has been joined.
        until(lambda: all(now <= then for now, then in zip(count_held(), before, strict=True)))
