"""Recording what is shown: the file is whole after a crash, and the picture never waits for it."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path
from time import perf_counter_ns
from typing import Any

import av
import numpy as np
import pytest
from av.video.frame import VideoFrame
from overlay_process import StartOverlay, compute_psnr, upscale_to_screen, wait_until_shown
from patience import until
from screens import Screen, ToyWindow

from live_sr.app import recording
from live_sr.app.recording import RateLimit
from live_sr.app.video_recorder import RecordedDisplay, VideoRecorder
from live_sr.errors import LiveSRError, UsageError
from live_sr.imaging.video_colour import ColourTags, InputConverter
from live_sr.imaging.video_frame_pool import FramePool
from live_sr.imaging.video_writer import VideoWriter
from live_sr.pipeline.display_picture import DisplayPicture, HostPicture
from live_sr.pipeline.frame import Frame, Pixels, Size


class Recorder(VideoRecorder):
    """A recorder whose `start` and `toggle` return once it takes pictures."""

    def __init__(self, folder: Path, notify: Callable[[str], None], rate: float = 0, fastest: bool = False) -> None:
        self.asked = threading.Event()
        super().__init__(folder, notify, rate=rate, redraw=self.asked.set, fastest=fastest)

    def start(self, path: Path) -> None:
        self.asked.clear()
        super().start(path)
        assert self.asked.wait(60)


@pytest.fixture(autouse=True)
def _write_no_picture_twice(monkeypatch: pytest.MonkeyPatch) -> None:
    """On a busy machine the last picture of any test here may have stood for a while."""
    monkeypatch.setattr(recording, "STILL_MS", 1e9)


def make_picture(size: Size, level: int = 0) -> Pixels:
    """Smooth colours, which survive the compression."""
    y, x = np.mgrid[0 : size.height, 0 : size.width].astype(np.float64)
    planes = (x * 200 / size.width + 20, y * 200 / size.height + 20, np.full_like(x, 40 + level), np.full_like(x, 255))
    return np.ascontiguousarray(np.stack(planes, -1).astype(np.uint8))


def make_frame(pixels: Pixels) -> Frame[DisplayPicture]:
    frame: Frame[DisplayPicture] = Frame(HostPicture(pixels))
    frame.stamps.seen = perf_counter_ns()
    return frame


def read(path: Path) -> list[Pixels]:
    """The pictures of a video, converted as `upscale` does it."""
    pictures = []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            size = Size(frame.width, frame.height)
            picture = np.empty((*size[::-1], 4), np.uint8)
            InputConverter(ColourTags().resolve_matrix(size), size).convert(frame, picture)
            pictures.append(picture)
    return pictures


@pytest.mark.parametrize(("fastest", "codec"), [(False, "h264"), (True, "mpeg4")])
def test_a_recording_has_every_picture_in_its_colours_and_at_its_time(
    fastest: bool, codec: str, tmp_path: Path
) -> None:
    told: list[str] = []
    recorder = Recorder(tmp_path, told.append, fastest=fastest)
    pictures = [make_picture(Size(320, 180), 20 * n) for n in range(6)]
    recorder.start(tmp_path / "a.mkv")
    for picture in pictures:
        lent = picture.copy()
        recorder.offer(make_frame(lent))
        lent[:] = 0  # the caller may write into it at once
    recorder.close()
    assert told == [f"recording to {tmp_path / 'a.mkv'}", f"recorded 6 pictures to {tmp_path / 'a.mkv'}"]
    shown = read(tmp_path / "a.mkv")
    assert len(shown) == 6
    assert min(compute_psnr(one, other) for one, other in zip(shown, pictures, strict=True)) > 38
    with av.open(str(tmp_path / "a.mkv")) as container:
        times = [frame.pts for frame in container.decode(video=0)]
        assert times == sorted(set(times)) and times[0] == 0
        context = container.streams.video[0].codec_context
        assert context.name == codec
        assert (context.color_range, context.colorspace) == (1, 6), "limited levels, BT.601 at this size"


@pytest.mark.parametrize("fastest", [False, True])
def test_times_are_those_of_the_pictures(fastest: bool, tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mkv", Size(64, 48), fastest=fastest)
    for time_ms in (0, 40, 40, 3_600_000):
        writer.add(FramePool(1).convert(make_picture(Size(64, 48))), time_ms)
    writer.close()
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert [frame.pts for frame in container.decode(video=0)] == [0, 40, 41, 3_600_000]


def test_a_recording_that_mpeg4_cannot_store_is_h264(tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mkv", Size(9000, 64), fastest=True)
    writer.add(FramePool(1).convert(make_picture(Size(9000, 64))), 0)
    writer.close()
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert container.streams.video[0].codec_context.name == "h264"
        assert len(list(container.decode(video=0))) == 1


def test_the_limit_takes_every_second_picture_of_60_and_leaves_the_times_alone(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, lambda message: None, rate=30)
    recorder.start(tmp_path / "a.mkv")
    for number in range(12):
        frame = make_frame(make_picture(Size(64, 48), 10 * number))
        frame.stamps.seen = 10**9 + number * 10**9 // 60
        recorder.offer(frame)
    recorder.close()
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert [frame.pts for frame in container.decode(video=0)] == [0, 33, 66, 100, 133, 166]


@pytest.mark.parametrize(
    ("fps", "limit", "least", "most"),
    [
        (60, 30, 300, 301),
        (35, 30, 290, 302),
        (50, 30, 270, 301),
        (25, 30, 250, 250),
        (144, 60, 540, 601),
        (60, 0, 600, 600),
    ],
)
def test_the_limit_holds_on_average_however_uneven_the_pictures_come(
    fps: int, limit: float, least: int, most: int
) -> None:
    chance = np.random.default_rng(1)
    times = [round((number / fps + chance.uniform(-0.2, 0.2) / fps) * 1e9) + 10**9 for number in range(10 * fps)]
    rate = RateLimit(limit)
    assert least <= sum(map(rate.accept, times)) <= most


def test_no_burst_follows_a_standstill() -> None:
    rate = RateLimit(30)
    assert rate.accept(10**9)
    after = [20 * 10**9 + number * 10**6 for number in range(100)]  # 1000 a second
    assert sum(map(rate.accept, after)) <= 4


def test_a_picture_that_the_limit_refused_is_recorded_when_nothing_follows_it(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path, lambda message: None, rate=1)
    recorder.start(tmp_path / "a.mkv")
    recorder.asked.clear()
    first, last = make_picture(Size(64, 48)), make_picture(Size(64, 48), 150)
    recorder.offer(make_frame(first))
    recorder.offer(make_frame(last))
    assert recorder.asked.wait(60)
    redrawn = make_frame(last)
    redrawn.stamps.seen += 10**9
    recorder.offer(redrawn)
    recorder.close()
    assert compute_psnr(read(tmp_path / "a.mkv")[-1], last) > 35


def test_a_picture_that_stands_still_lasts_until_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(recording, "STILL_MS", 200)
    told: list[str] = []
    recorder = Recorder(tmp_path, told.append)
    recorder.start(tmp_path / "a.mkv")
    frame = make_frame(make_picture(Size(64, 48)))
    frame.stamps.seen -= 5 * 10**9  # five seconds ago
    recorder.offer(frame)
    recorder.close()
    with av.open(str(tmp_path / "a.mkv")) as container:
        assert [frame.pts >= 5000 for frame in container.decode(video=0)] == [False, True]
    assert told[-1].startswith("recorded 1 pictures")


def test_a_picture_is_shown_before_it_is_recorded(tmp_path: Path) -> None:
    order: list[str] = []

    class Shown:
        def show(self, frame: Frame[DisplayPicture]) -> None:
            order.append("shown")

    class Watched(VideoRecorder):
        def offer(self, frame: Frame[DisplayPicture]) -> None:
            order.append("recorded")

    display = RecordedDisplay(Shown(), Watched(tmp_path, order.append))
    display.show(make_frame(make_picture(Size(64, 48))))
    assert order == ["shown", "recorded"]


@pytest.mark.parametrize(
    "size", [Size(64, 48), Size(641, 243), Size(1, 1), Size(65, 48), Size(16_384, 64), Size(482, 270)]
)
def test_frames_have_the_colours_of_the_picture(size: Size) -> None:
    picture = make_picture(size)
    pool = FramePool(1)
    for _ in range(2):  # the second time in used memory
        frame = pool.convert(picture)
        pool.give_back(frame)
    even = Size(max(2, size.width // 2 * 2), max(2, size.height // 2 * 2))
    assert (frame.width, frame.height) == even
    back = np.empty((*even[::-1], 4), np.uint8)
    InputConverter(ColourTags(matrix=6), even).convert(frame, back)
    rows, columns = min(size.height, even.height), min(size.width, even.width)
    assert compute_psnr(back[:rows, :columns], picture[:rows, :columns]) > 40


@pytest.mark.parametrize("fastest", [False, True])
@pytest.mark.parametrize("size", [Size(321, 181), Size(1, 1), Size(200, 300), Size(640, 360)])
def test_a_picture_that_changes_its_size_stays_in_the_file(fastest: bool, size: Size, tmp_path: Path) -> None:
    writer = VideoWriter(tmp_path / "a.mkv", Size(320, 180), fastest=fastest)
    for time_ms, one in ((0, Size(320, 180)), (40, size)):
        writer.add(FramePool(1).convert(make_picture(one)), time_ms)
    writer.close()
    assert [picture.shape for picture in read(tmp_path / "a.mkv")] == [(180, 320, 4)] * 2


def test_an_encoder_that_falls_behind_costs_pictures_of_the_file_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    go_on = threading.Event()
    add = VideoWriter.add

    def add_slowly(self: VideoWriter, picture: VideoFrame, time_ms: int) -> None:
        go_on.wait(60)
        add(self, picture, time_ms)

    monkeypatch.setattr(VideoWriter, "add", add_slowly)
    told: list[str] = []
    recorder = Recorder(tmp_path, told.append)
    recorder.start(tmp_path / "a.mkv")
    for _ in range(50):
        recorder.offer(make_frame(make_picture(Size(64, 48))))
    go_on.set()
    recorder.close()
    written = len(read(tmp_path / "a.mkv"))
    assert recording.WAITING <= written <= recording.WAITING + 1
    assert told[-1] == f"recorded {written} pictures to {tmp_path / 'a.mkv'}, {50 - written} left out"


def test_what_cannot_be_recorded_is_said(tmp_path: Path) -> None:
    told: list[str] = []
    recorder = Recorder(tmp_path, told.append)
    (tmp_path / "there.mkv").touch()
    for name, words in (("there.mkv", "is there already"), ("a.mp4", "does not end in .mkv")):
        with pytest.raises(UsageError, match=words):
            recorder.start(tmp_path / name)


def test_a_fault_of_the_encoders_thread_ends_the_recording_with_a_sentence(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def fail(self: VideoWriter, picture: VideoFrame, time_ms: int) -> None:
        raise ValueError("no such size")

    monkeypatch.setattr(VideoWriter, "add", fail)
    told: list[str] = []
    recorder = Recorder(tmp_path, told.append)
    recorder.start(tmp_path / "gone.mkv")
    assert recorder.is_recording and recorder.seconds is not None
    recorder.offer(make_frame(make_picture(Size(64, 48))))
    recorder.close()
    assert "gone.mkv ended: " in told[-1] and "no such size" in told[-1] and not recorder.is_recording
    assert recorder.seconds is None, "the HUD shows REC no longer"


def test_a_recording_without_a_picture_leaves_no_file(tmp_path: Path) -> None:
    told: list[str] = []
    recorder = Recorder(tmp_path, told.append)
    recorder.toggle()
    recorder.toggle()
    recorder.close()
    until(lambda: len(told) == 2, "the end of the recording")
    assert "nothing was recorded" in told[1] and list(tmp_path.iterdir()) == []


def test_a_recording_that_ends_just_before_the_program_is_whole(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    add = VideoWriter.add

    def add_slowly(self: VideoWriter, *arguments: Any) -> None:
        time.sleep(0.3)
        add(self, *arguments)

    monkeypatch.setattr(VideoWriter, "add", add_slowly)
    told: list[str] = []
    recorder = Recorder(tmp_path, told.append)
    recorder.toggle()
    for level in range(4):
        recorder.offer(make_frame(make_picture(Size(64, 48), 20 * level)))
    recorder.toggle()
    recorder.close()
    (path,) = tmp_path.iterdir()
    assert len(read(path)) == 4 and told[-1].startswith("recorded 4 pictures")


def test_a_folder_that_cannot_be_made_is_a_sentence(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    recorder = Recorder(tmp_path / "file" / "recordings", lambda message: None)
    with pytest.raises(LiveSRError, match="recordings cannot be made") as told:
        recorder.toggle()
    assert "[recording]" in told.value.remedy


def test_recordings_within_one_second_are_files_of_their_own(tmp_path: Path) -> None:
    recorder = Recorder(tmp_path / "new" / "folder", lambda message: None)
    for _ in range(4):
        recorder.toggle()
        recorder.offer(make_frame(make_picture(Size(64, 48))))
        recorder.toggle()
    until(lambda: all(not t.name.startswith("live-sr recording") for t in threading.enumerate()), "all are written")
    assert [len(read(path)) for path in (tmp_path / "new" / "folder").iterdir()] == [1] * 4


FILLS_A_DISK = """
import resource, signal, sys
from pathlib import Path
import numpy as np
from live_sr.app.video_recorder import VideoRecorder
from live_sr.pipeline.display_picture import HostPicture
from live_sr.pipeline.frame import Frame
signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
resource.setrlimit(resource.RLIMIT_FSIZE, (300_000, 300_000))
recorder = VideoRecorder(Path("."), print)
recorder.start(Path(sys.argv[1]))
noise = np.random.default_rng(1)
time_ns = 1
while recorder.is_recording:
    frame = Frame(HostPicture(noise.integers(0, 256, (270, 480, 4), np.uint8)))
    frame.stamps.seen = time_ns = time_ns + 30_000_000
    recorder.offer(frame)
"""


def test_a_full_disk_ends_the_recording_with_a_sentence_and_keeps_what_fitted(tmp_path: Path) -> None:
    command = [sys.executable, "-c", FILLS_A_DISK, str(tmp_path / "a.mkv")]
    done = subprocess.run(command, cwd=Path(__file__).parents[2], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"the recording {tmp_path / 'a.mkv'} ended: File too large"
    assert len(read(tmp_path / "a.mkv")) >= 1


@pytest.mark.parametrize("preset", ["small", "fastest"])
def test_a_killed_live_sr_leaves_a_video_that_plays(
    preset: str, screen: Screen, start_overlay: StartOverlay, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    monkeypatch.setitem(screen.env, "PULSE_SERVER", "unix:/nowhere")
    settings = f'hud.level = "off"\noverlay.pointer = "view"\nengine.budget_ms = 0\nrecording.preset = "{preset}"\n'
    over = start_overlay("--window", "a game", "--model", "nearest", "--record", "video.mkv", settings=settings)
    until(lambda: "the recording has no sound: neither PulseAudio nor PipeWire answers" in over.output, "it is told")
    for seed in range(2, 8):
        wait_until_shown(screen, upscale_to_screen(toy.draw(seed), "nearest"))
    seeds = itertools.count(8)

    def count_pictures_on_the_disk() -> int:
        toy.draw(next(seeds))  # a busy machine records few of them
        try:
            return len(read(tmp_path / "video.mkv"))
        except av.FFmpegError:  # not even its header is written yet
            return 0

    written = until(lambda: count_pictures_on_the_disk() or None, "some of it is on the disk")
    os.killpg(over.process.pid, signal.SIGKILL)
    over.process.wait()
    assert len(read(tmp_path / "video.mkv")) >= written


def test_the_key_begins_and_ends_a_recording(screen: Screen, start_overlay: StartOverlay, tmp_path: Path) -> None:
    def press(key: str) -> None:
        subprocess.run(["xdotool", "key", key], env=screen.env, check=True)

    toy = ToyWindow(screen, Size(240, 136), title="A game")
    toy.draw(1)
    settings = 'hud.level = "off"\noverlay.pointer = "view"\nengine.budget_ms = 0\nrecording.fps = 0\n'
    over = start_overlay("--window", "a game", "--model", "nearest", "--no-sound", settings=settings)
    press("ctrl+alt+r")
    (path,) = until(lambda: list((tmp_path / "recordings").glob("*.mkv")) or None, "a file")
    until(lambda: "the recording is encoded by" in over.output, "its first picture")
    for seed in range(2, 6):
        wait_until_shown(screen, upscale_to_screen(toy.draw(seed), "nearest"))
    press("ctrl+alt+r")
    until(lambda: f"pictures to recordings/{path.name}" in over.output, "it is told")
    assert len(read(path)) >= 4
    assert "no sound" not in over.output, "none was wanted"
    wait_until_shown(screen, upscale_to_screen(toy.draw(9), "nearest"))
    assert over.process.poll() is None
