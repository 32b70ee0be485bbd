"""An upscaled video keeps everything but its size, whatever it contains and whatever interrupts the work."""

import argparse
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from fakes import FakeEngine
from video_clips import FRAMES, LOSSLESS, NEAREST, QUICK, SIZE, clip, decoded, made_of, pictures

from live_sr.cli import upscale_command
from live_sr.errors import LiveSRError, UsageError
from live_sr.imaging import video_colour as colour
from live_sr.imaging.video_file import open_input
from live_sr.models.resolve import resolve
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.frame import Frame, Pixels, Size
from live_sr.upscale import command as run
from live_sr.upscale.options import EncodingOptions, ScalingOptions, UpscaleOptions, parse_target_lines
from live_sr.upscale.video import finished_videos, job_folder, mux, segment_file, segments, source_info
from live_sr.upscale.video import job as video
from live_sr.upscale.video.encode import AUTO_CODECS, Encoder, SegmentSettings, choose_codec
from live_sr.upscale.video.job import TranscodeJob
from live_sr.upscale.video.segments import Segment
from live_sr.upscale.video.transcode import TranscodeCallbacks, TranscodePipeline

ROOT = Path(__file__).parents[2]


def streams(path: Path) -> list[tuple[object, ...]]:
    """All that has to stay: of each stream its kind, names, marks and times, and but for pictures its packets."""
    with open_input(path) as container:
        packets: dict[int, list[tuple[Fraction, bytes]]] = {stream.index: [] for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                data = b"" if packet.stream.type == "video" else bytes(packet)
                packets[packet.stream_index].append((packet.pts * packet.time_base, data))
        facts: list[tuple[object, ...]] = [(container.metadata["title"], container.chapters())]
        for stream in container.streams:
            names = {k: v for k, v in stream.metadata.items() if k.lower() not in ("encoder", "duration")}
            facts.append((stream.type, names, stream.disposition, sorted(packets[stream.index])))
        return facts


def length(path: Path) -> float:
    """Seconds."""
    with open_input(path) as container:
        return (container.duration or 0) / 1e6


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_everything_but_the_size_is_kept(tmp_path: Path, kind: str) -> None:
    source = clip(tmp_path / f"small.{kind}", tones=2, words=kind == "mkv")
    target, _ = made_of(source, tmp_path / f"large.{kind}")
    assert streams(target) == streams(source)
    assert length(target) == pytest.approx(length(source), abs=1024 / 48000)  # Matroska tells no last packet's length
    assert source_info.read_info(target).size == SIZE.times(2)
    assert left_in(tmp_path) == []


def sound_after_picture(path: Path) -> float:
    """Seconds from the first picture to where the tone begins."""
    with open_input(path) as container:
        picture = next(container.decode(video=0)).time
    with open_input(path) as container:
        for frame in container.decode(audio=0):
            loud = np.flatnonzero(np.abs(frame.to_ndarray()[0]) > 0.1)
            if len(loud):
                return float(frame.time + loud[0] / frame.sample_rate - picture)
    raise AssertionError(f"{path} is silent")


@pytest.mark.parametrize("kind", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("into", ["mkv", "mp4"])
def test_the_sound_stays_with_the_pictures(tmp_path: Path, kind: str, into: str) -> None:
    """AAC begins with a packet of silence before time 0, and each container keeps that in its own way."""
    source = clip(tmp_path / f"small.{kind}", tones=1)
    target, _ = made_of(source, tmp_path / f"large.{into}")
    assert sound_after_picture(target) == pytest.approx(sound_after_picture(source), abs=0.0015)


def test_a_stream_that_the_format_cannot_hold_is_named_and_left_out(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv", tones=1, words=True)
    target, said = made_of(source, tmp_path / "large.mp4")
    assert said[0] == "small.mkv: stream 2 (subtitle srt) is left out: mp4 files cannot hold it"
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams][:2] == ["video", "audio"]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1"])
def test_every_codec_keeps_every_frame_and_its_time(tmp_path: Path, codec: str) -> None:
    small = pictures(FRAMES, Size(64, 64))
    source = clip(tmp_path / "small.mkv", small)
    target, _ = made_of(source, tmp_path / "large.mkv", encoding=EncodingOptions(codec=codec, segment_s=0.3))
    times, shown = decoded(target)
    assert times == decoded(source)[0]
    for picture, large in zip(small, shown, strict=True):
        assert np.abs(large[::2, ::2].astype(int) - picture)[8:24].mean() < 8


def list_schedules() -> set[int]:
    """Of every thread of this process; one that has just ended is left out."""
    found = set()
    for task in Path("/proc/self/task").iterdir():
        with suppress(ProcessLookupError):
            found.add(os.sched_getscheduler(int(task.name)))
    return found


linux_only = pytest.mark.skipif(not hasattr(os, "sched_getscheduler"), reason="only Linux reports a thread's schedule")


@linux_only
def test_a_whole_video_in_av1_leaves_no_thread_real_time(tmp_path: Path) -> None:
    """SVT-AV1 makes threads real-time for root, and they would stop everything else on the machine."""
    made_of(clip(tmp_path / "small.mkv"), tmp_path / "large.mkv", encoding=EncodingOptions(codec="libsvtav1"))
    assert list_schedules() == {os.SCHED_OTHER}


@linux_only
def test_an_av1_encoder_alone_leaves_no_thread_real_time() -> None:
    settings = SegmentSettings(
        NEAREST, "libsvtav1", (("preset", "12"),), 1, Size(64, 64), "yuv420p", colour.ColourTags(), Fraction(0)
    )
    encoder = Encoder(settings, Fraction(1, 25), Fraction(25))
    assert list_schedules() == {os.SCHED_OTHER}  # before anything else can have put it right
    encoder.encode(None)
    assert list_schedules() == {os.SCHED_OTHER}


def test_uneven_frame_times_are_kept_exactly(tmp_path: Path) -> None:
    times = [0, 7, 40, 41, 90, 300, 310, 333, 600, 601, 602, 700, 1400, 1401, 1500, 1533, 1567, 1600, 1601, 1900]
    source = clip(tmp_path / "small.mp4", pictures(len(times)), times=times)
    target, _ = made_of(source, tmp_path / "large.mp4")
    assert decoded(target)[0] == [Fraction(time, 1000) for time in times]


FLAT = [(255, 255, 255), (0, 0, 0), (30, 30, 220), (220, 40, 30), (40, 200, 60), (128, 128, 128)]


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_colours_and_their_tags_are_kept(tmp_path: Path, matrix: int, full: bool) -> None:
    flat = [np.full((32, 48, 4), (*level, 255), np.uint8) for level in FLAT]
    tags = (matrix, 1, 1, 2 if full else 1)
    source = clip(tmp_path / "small.mkv", flat, codec="ffv1", tags=tags)
    target, _ = made_of(source, tmp_path / "large.mkv", encoding=LOSSLESS)
    assert (
        source_info.read_info(target).colours
        == source_info.read_info(source).colours
        == colour.ColourTags(matrix, 1, 1, full)
    )
    for level, picture in zip(FLAT, decoded(target)[1], strict=True):
        assert np.abs(picture[..., :3].astype(int) - level).max() <= 3


@pytest.mark.parametrize(
    ("small", "scale", "matrix"), [(Size(48, 32), 2, 2), (Size(64, 360), 2, 6), (Size(64, 720), 2, 2)]
)
def test_an_untagged_video_is_tagged_where_players_would_guess_another_matrix(
    tmp_path: Path, small: Size, scale: int, matrix: int
) -> None:
    source = clip(tmp_path / "small.mkv", pictures(2, small))
    target, _ = made_of(source, tmp_path / "large.mkv", ScalingOptions(model=resolve("nearest"), scale=scale))
    assert source_info.read_info(target).colours.matrix == matrix


def test_rotation_and_pixel_aspect_are_kept(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mp4", rotation=90, aspect=Fraction(4, 3))
    target, _ = made_of(source, tmp_path / "large.mp4")
    before, after = source_info.read_info(source), source_info.read_info(target)
    assert after.size == before.size.times(2) == Size(64, 96)
    assert after.pixel_aspect == before.pixel_aspect == Fraction(3, 4)
    for small, large in zip(decoded(source)[1], decoded(target)[1], strict=True):
        assert np.abs(small.repeat(2, 0).repeat(2, 1).astype(int) - large).mean() < 4


@pytest.mark.parametrize(
    ("work", "size", "aspect"),
    [
        (ScalingOptions(resolve("nearest"), scale=3), Size(144, 96), Fraction(0)),
        (ScalingOptions(resolve("nearest")), Size(96, 64), Fraction(0)),
        (ScalingOptions(resolve("nearest"), lines=64), Size(96, 64), Fraction(0)),
        (ScalingOptions(resolve("nearest"), lines=90), Size(134, 90), Fraction(0)),
        (ScalingOptions(resolve("nearest"), size=Size(96, 96)), Size(96, 96), Fraction(3, 2)),
        (ScalingOptions(resolve("nearest"), size=Size(101, 65)), Size(100, 64), Fraction(24, 25)),
    ],
)
def test_the_result_has_the_requested_size(tmp_path: Path, work: ScalingOptions, size: Size, aspect: Fraction) -> None:
    target, _ = made_of(clip(tmp_path / "small.mkv", pictures(3)), tmp_path / "large.mkv", work)
    after = source_info.read_info(target)
    assert (after.size, after.pixel_aspect) == (size, aspect)


@pytest.mark.parametrize("codec", ["ffv1", "libsvtav1"])
def test_odd_sizes_are_kept_where_the_codec_takes_them(tmp_path: Path, codec: str) -> None:
    source = clip(tmp_path / "small.mkv", pictures(3, Size(99, 67)), codec="ffv1")
    target, said = made_of(
        source, tmp_path / "large.mkv", ScalingOptions(NEAREST.model, scale=3), EncodingOptions(codec)
    )
    times, shown = decoded(target)
    assert len(times) == 3 and shown[0].shape == (201, 297, 4)
    assert not any("odd sizes" in line for line in said)
    wanted = decoded(source)[1][0].repeat(3, 0).repeat(3, 1)
    assert np.abs(shown[0].astype(int) - wanted)[..., :3].mean() < 3


def test_heights_are_parsed_in_all_usual_spellings() -> None:
    assert [parse_target_lines(words) for words in ("1080p", "720", "4k", "4K")] == [1080, 720, 2160, 2160]
    for words in ("tall", "10p", "99999p"):
        with pytest.raises(UsageError):
            parse_target_lines(words)


def test_equal_frames_are_upscaled_once(tmp_path: Path) -> None:
    a, b, c = pictures(3)
    source = clip(tmp_path / "small.mkv", [a, a, a, b, b, c, a, a], codec="ffv1", pixels="bgr0")
    job = video.prepare_job(source, tmp_path / "large.mkv", NEAREST, EncodingOptions(codec="ffv1", segment_s=9))
    engine, get_path = FakeEngine(2), tmp_path / "0.segment"
    TranscodePipeline(job.info, job.settings, lambda segment: get_path).run(engine, job.plan.segments)
    done = segment_file.read_segment(get_path)
    assert done is not None
    assert len(engine.levels) == 4
    assert (done.counts.frames, done.counts.duplicates) == (8, 4)


def runner(engine: Callable[[], Engine]) -> video.SegmentRunner:
    def run_with(
        job: TranscodeJob, todo: Sequence[Segment], get_path: Callable[[Segment], Path], callbacks: TranscodeCallbacks
    ) -> None:
        TranscodePipeline(job.info, job.settings, get_path, callbacks).run(engine(), todo)

    return run_with


class Failing(FakeEngine):
    """Raises after so many frames."""

    def __init__(self, after: int, error: BaseException) -> None:
        super().__init__(2)
        self._after = after
        self._failure = error

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        if len(self.levels) == self._after:
            raise self._failure
        time.sleep(0.005)
        return super().upscale(frame, into)


def interrupted(source: Path, target: Path, after: int = 25, encoding: EncodingOptions = QUICK) -> list[str]:
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        video.upscale_video(
            source,
            target,
            NEAREST,
            encoding,
            notify=said.append,
            run=runner(lambda: Failing(after, KeyboardInterrupt())),
        )
    return said


def test_ctrl_c_leaves_no_half_file_and_says_how_to_go_on(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv", tones=1)
    whole, _ = made_of(source, tmp_path / "whole.mkv")
    target = tmp_path / "large.mkv"
    said = interrupted(source, target)
    assert not target.exists()
    assert "--resume continues" in said[-1]
    assert not list(job_folder.get_job_folder(target).glob("*.part"))
    with pytest.raises(UsageError, match="was started before"):
        made_of(source, target)
    with pytest.raises(UsageError, match="started with other settings: codec"):
        made_of(source, target, encoding=EncodingOptions(segment_s=0.3, quality=30), resume=True)
    _, said = made_of(source, target, resume=True)
    assert "segments were finished before" in said[0]
    assert target.read_bytes() == whole.read_bytes()
    assert left_in(tmp_path) == []


def test_discard_starts_again(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "small.mkv"), tmp_path / "large.mkv"
    interrupted(source, target)
    made_of(source, target, encoding=LOSSLESS, discard=True)
    assert source_info.read_info(target).pixel_format == "yuv420p"
    assert left_in(tmp_path) == []


def test_ctrl_c_before_the_first_segment_leaves_nothing(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "small.mkv"), tmp_path / "large.mkv"
    interrupted(source, target, after=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.mkv"]


def test_a_damaged_segment_is_made_again(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "small.mkv"), tmp_path / "large.mkv"
    whole, _ = made_of(source, tmp_path / "whole.mkv")
    interrupted(source, target)
    first = job_folder.get_job_folder(target) / "000000.segment"
    torn = bytearray(first.read_bytes())
    torn[100] ^= 1
    first.write_bytes(torn)
    made_of(source, target, resume=True)
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_a_killed_and_resumed_job_gives_the_same_bytes(tmp_path: Path, kind: str) -> None:
    source = clip(tmp_path / "small.mkv", pictures(60, Size(64, 48)), tones=1)
    whole, _ = made_of(source, tmp_path / f"whole.{kind}", ScalingOptions(resolve("fsr"), scale=2))
    target = tmp_path / f"large.{kind}"
    program = (
        "import sys; from pathlib import Path; from live_sr.upscale.video import job;"
        "from live_sr.models.resolve import resolve;"
        "from live_sr.upscale.options import EncodingOptions, ScalingOptions;"
        "job.upscale_video(Path(sys.argv[1]), Path(sys.argv[2]), ScalingOptions(resolve('fsr'), scale=2),"
        "EncodingOptions(preset='ultrafast', segment_s=0.3), job.OutputOptions(resume=True))"
    )
    for kill_at in (1, 4):  # segments that are complete
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(source), str(target)], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        while process.poll() is None and len(list(job_folder.get_job_folder(target).glob("*.segment"))) < kill_at:
            time.sleep(0.001)
        process.kill()
        process.wait()
    made_of(source, target, ScalingOptions(resolve("fsr"), scale=2), overwrite=True, resume=True)
    assert target.read_bytes() == whole.read_bytes()
    assert left_in(tmp_path) == []


def test_a_segment_made_alone_equals_the_one_made_among_others(tmp_path: Path) -> None:
    job = video.prepare_job(clip(tmp_path / "small.mkv"), tmp_path / "large.mkv", NEAREST, QUICK)
    assert len(job.plan.segments) == 3
    video.run_in_process(
        job, job.plan.segments, lambda segment: tmp_path / f"{segment.number}.segment", TranscodeCallbacks()
    )
    for segment in reversed(job.plan.segments):
        alone = tmp_path / "alone.segment"
        assert video.upscale_segment(job.info, segment, job.settings, alone).frames == segment.frames == 10
        assert alone.read_bytes() == (tmp_path / f"{segment.number}.segment").read_bytes()


def test_two_jobs_for_one_target_are_refused(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "small.mkv"), tmp_path / "large.mkv"
    with (
        job_folder.JobFolder(target, {}),
        pytest.raises(UsageError, match="another command is making"),
    ):
        made_of(source, target)


def test_an_existing_file_is_not_replaced_without_overwrite(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv")
    target, _ = made_of(source, tmp_path / "large.mkv")
    with pytest.raises(UsageError, match="exists already"):
        made_of(source, target)
    with pytest.raises(UsageError, match="would overwrite its input"):
        made_of(source, source, overwrite=True)
    assert made_of(source, target, resume=True)[1] == [f"{target} is already complete"]


def test_a_video_that_is_moved_away_at_once_is_finished_all_the_same(tmp_path: Path) -> None:
    finished_videos.remember(tmp_path / "moved.mkv", {"size": "64x48"})
    (tmp_path / "moved.mkv").write_bytes(b"another one")
    assert finished_videos.find_changes(tmp_path / "moved.mkv", {"size": "64x48"}) is None


@pytest.mark.skipif(sys.platform == "win32", reason="a process there has no limit for the size of its files")
def test_a_full_disk_is_reported_and_leaves_nothing(tmp_path: Path) -> None:
    import resource

    source, target = clip(tmp_path / "small.mkv"), tmp_path / "large.mkv"
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    signal.signal(signal.SIGXFSZ, signal.SIG_IGN)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2000, before[1]))
    try:
        with pytest.raises(LiveSRError, match="cannot be written to") as told:
            made_of(source, target, encoding=LOSSLESS)
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert "free some space" in told.value.remedy
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.mkv"]


def test_an_engine_that_fails_ends_every_thread(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv")
    before = set(threading.enumerate())  # one of an earlier test may end meanwhile
    with pytest.raises(LiveSRError, match="the engine is gone"):
        video.upscale_video(
            source,
            tmp_path / "large.mkv",
            NEAREST,
            QUICK,
            run=runner(lambda: Failing(3, LiveSRError("the engine is gone"))),
        )
    assert set(threading.enumerate()) <= before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.mkv"]


def no_video(path: Path) -> None:
    clip(path.with_suffix(".mkv"), tones=1)
    with av.open(str(path.with_suffix(".mkv"))) as source, av.open(str(path), "w", format="matroska") as made:
        sound = made.add_stream_from_template(source.streams.audio[0])
        for packet in source.demux(source.streams.audio[0]):
            if packet.size:
                packet.stream = sound
                made.mux(packet)


def beginning(path: Path) -> None:
    """Of an MP4, whose table of contents is at its end."""
    whole = clip(path.with_name("whole.mp4"))
    path.write_bytes(whole.read_bytes()[:1500])


def deep(path: Path) -> None:
    clip(path.with_name("deep.mkv"), codec="ffv1", pixels="yuv420p10le").rename(path)


def hdr(path: Path) -> None:
    clip(path.with_name("hdr.mkv"), codec="ffv1", pixels="yuv420p10le", tags=(9, 9, 16, 1)).rename(path)


@pytest.mark.parametrize(
    ("make", "told"),
    [
        (lambda path: path.write_bytes(b""), "is empty"),
        (lambda path: path.write_text("hello, this is only text\n"), "is no video|is text"),
        (lambda path: path.write_bytes(os.urandom(5000)), "is no video|has no video|no frame"),
        (no_video, "has no video in it"),
        (beginning, "is no video, or its header is damaged|no frame"),
        (deep, "has 10 bits a channel"),
        (hdr, "is HDR \\(PQ\\)"),
        (lambda path: None, "cannot be read: No such file"),
    ],
)
def test_an_unusable_file_is_refused_in_one_sentence(tmp_path: Path, make: Callable[[Path], object], told: str) -> None:
    source = tmp_path / "in.mp4"
    make(source)
    with pytest.raises(UsageError, match=told) as error:
        made_of(source, tmp_path / "large.mkv")
    assert error.value.remedy
    assert left_in(tmp_path) == []


def test_ten_bits_become_eight_where_that_is_allowed(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv", codec="ffv1", pixels="yuv420p10le")
    target, said = made_of(source, tmp_path / "large.mkv", encoding=EncodingOptions(segment_s=0.3, allow_8bit=True))
    assert said[0] == "small.mkv: its 10 bits a channel are reduced to 8"
    assert source_info.read_info(target).pixel_format == "yuv420p"


@pytest.mark.parametrize(
    ("target", "encoding", "told"),
    [
        ("out.xyz", QUICK, "is not the suffix of a video format"),
        ("out.avi", QUICK, "cannot keep the times of its frames"),
        ("out.webm", QUICK, "webm files cannot hold libx264 video"),
        ("out.ts", LOSSLESS, "mpegts files cannot hold ffv1 video"),
        ("out.mkv", EncodingOptions(codec="libx246"), 'Did you mean "libx264"|Did you mean "libx265"'),
        ("out.mkv", EncodingOptions(quality=99), "no quality 99"),
        ("out.mkv", EncodingOptions(preset="quick"), "no preset"),
    ],
)
def test_an_impossible_option_is_refused_before_the_work_begins(
    tmp_path: Path, target: str, encoding: EncodingOptions, told: str
) -> None:
    source = clip(tmp_path / "small.mkv", pictures(2))
    with pytest.raises(UsageError, match=told):
        made_of(source, tmp_path / target, encoding=encoding)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.mkv"]


def test_auto_chooses_a_codec_that_works_here() -> None:
    assert choose_codec("auto").name in AUTO_CODECS


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_a_truncated_file_is_upscaled_as_far_as_it_goes(tmp_path: Path, kind: str) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (60, 32, 48, 4), np.uint8)
    whole = clip(tmp_path / f"whole.{kind}", list(noise), tones=1)
    if kind == "mp4":  # with its table of contents in front, as for the web
        front = tmp_path / "front.mp4"
        with av.open(str(whole)) as source, av.open(str(front), "w", options={"movflags": "faststart"}) as made:
            copies = [made.add_stream_from_template(stream) for stream in source.streams]
            for packet in source.demux():
                if packet.size:
                    packet.stream = copies[packet.stream_index]
                    made.mux(packet)
        whole = front
    data = whole.read_bytes()
    source = tmp_path / f"small.{kind}"
    source.write_bytes(data[: len(data) // 2])
    target, said = made_of(source, tmp_path / "large.mkv")
    assert "it ends early" in said[0]
    assert 10 < len(decoded(target)[0]) < 50


def test_damaged_frames_are_counted_and_the_others_kept(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 32, 48, 4), np.uint8)
    source = clip(tmp_path / "small.mkv", list(noise))
    data = bytearray(source.read_bytes())
    for at in range(len(data) // 3, len(data) // 3 + 4000, 40):
        data[at] ^= 0xFF
    source.write_bytes(data)
    target, said = made_of(source, tmp_path / "large.mkv")
    assert "in the source" in said[-1]
    assert len(decoded(target)[0]) >= 25


@pytest.mark.parametrize("hurt", [5, 8, 9, 19, 28, 29])
def test_one_damaged_frame_costs_no_other(tmp_path: Path, hurt: int) -> None:
    """Also one of the last before a key frame or the end, which the decoder holds back until it is flushed."""
    source = clip(tmp_path / "small.mkv")
    with av.open(str(source)) as container:
        packets = [bytes(packet) for packet in container.demux() if packet.size]
    data, spoilt = source.read_bytes(), b"\xff" * 4 + packets[hurt][4:]  # the length of its first unit
    assert data.count(packets[hurt]) == 1
    source.write_bytes(data.replace(packets[hurt], spoilt))
    target, said = made_of(source, tmp_path / "large.mkv")
    assert "29 frames" in said[-1]
    assert "1 broken in the source and skipped" in said[-1]
    assert len(decoded(target)[0]) == FRAMES - 1


def test_frames_that_a_damaged_container_lost_are_counted(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv", tones=1)
    gap = tmp_path / "gap.mkv"
    with av.open(str(source)) as container, av.open(str(gap), "w") as made:
        copies = {stream.index: made.add_stream_from_template(stream, opaque=True) for stream in container.streams}
        for packet in container.demux():
            if packet.size and not (packet.stream.type == "video" and 480 <= packet.pts <= 580):
                packet.stream = copies[packet.stream_index]
                made.mux(packet)
    _, said = made_of(gap, tmp_path / "large.mkv")
    assert "gap.mkv: 3 frames are missing: the file is damaged, or the recorder dropped them" in said


@pytest.mark.parametrize(
    ("times", "missing"),
    [
        (list(range(0, 1000, 40)), 0),
        ([*range(0, 500, 40), *range(600, 1000, 40)], 2),  # 480 and then 600
        ([round(number * 1000 / 60) for number in range(60)], 0),
        ([round(number * 1000 / 60) for number in range(60) if number not in (20, 21, 22, 40)], 4),
        ([0, 7, 40, 41, 90, 300, 310, 333, 600, 601, 602, 700, 1400, 1401, 1500], 0),  # no pace at all
        ([number * 40 for number in range(60) if number % 4], 0),  # a screen that often stands still
        ([0, 40, 200], 0),  # too few to know the pace
        ([0] * 20, 0),
    ],
)
def test_missing_frames_are_counted_where_the_rate_is_even(times: list[int], missing: int) -> None:
    assert segments.count_missing_frames(np.array(times)) == missing


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_tags_in_another_encoding_are_kept_byte_by_byte(tmp_path: Path, kind: str) -> None:
    """The title, the track's name and the chapter's, in Latin-1; an MP4 file has no chapter here."""
    source = clip(tmp_path / f"small.{kind}", pictures(3), words=kind == "mkv")
    data = source.read_bytes()
    names = [name for name in (b"A clip", b"pictures", b"One") if name in data]
    for name in names:
        data = data.replace(name, b"\xc4" + name[1:])
    source.write_bytes(data)
    assert len(names) == {"mkv": 3, "mp4": 2}[kind]
    target, _ = made_of(source, tmp_path / f"large.{kind}")
    assert streams(target) == streams(source)
    made = target.read_bytes()
    assert [b"\xc4" + name[1:] in made for name in names] == [True] * len(names)


def test_the_preview_is_a_png_file(tmp_path: Path) -> None:
    made_of(clip(tmp_path / "small.mkv", pictures(3)), tmp_path / "large.mkv", preview=tmp_path / "now.png")
    assert (tmp_path / "now.png").read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    ("times", "keys", "good"),
    [
        ([0, 1, 2, 3, 4, 5], [0, 3], [0, 3]),
        ([0, 3, 1, 2, 6, 4, 5, 7], [0, 6], [0]),  # 4 and 5 are decoded after the key frame and shown before it
        ([0, 2, 1, 3, 5, 4], [0, 3], [0, 3]),
        ([5, 6, 7], [5], [5]),
        ([0, 1, 2, 3], [0, 3], [0, 3]),
    ],
)
def test_segments_are_cut_only_at_closed_gops(times: list[int], keys: list[int], good: list[int]) -> None:
    found = segments.find_closed_gops(np.array(times), np.array([time in keys for time in times]))
    assert found == good


@pytest.mark.parametrize(
    ("good", "cuts"),
    [
        ([0, 10, 20, 30], [(None, None, 10), (10, 10, 20), (20, 20, 30), (30, 30, None)]),
        ([0, 4, 8, 12, 30], [(None, None, 12), (12, 12, 30), (30, 30, None)]),
        ([0], [(None, None, 10), (None, 10, 20), (None, 20, 30), (None, 30, 40), (None, 40, None)]),
    ],
)
def test_segments_begin_at_closed_gops_or_between_frames(
    good: list[int], cuts: list[tuple[int | None, int | None, int | None]]
) -> None:
    found = list(segments.cut_into_segments(np.arange(41), good, 10))
    assert [(segment.key, segment.begin, segment.end) for segment in found] == cuts
    assert sum(segment.frames for segment in found) == 41


@pytest.mark.parametrize(
    ("shown", "due"),
    [
        ([0, 1, 2, 3], [0, 1, 2, 3]),
        ([0, 2, 1, 4, 3], [-1, 0, 1, 2, 3]),
        ([0, 4, 2, 1, 3, 8], [-2, -1, 0, 1, 2, 3]),
        ([10, 70, 30, 200], [9, 10, 30, 70]),
    ],
)
def test_no_frame_is_shown_before_it_is_decoded(shown: list[int], due: list[int]) -> None:
    found = mux.compute_decode_times(np.array(shown), 1).tolist()
    assert found == due
    assert all(at <= time for at, time in zip(found, shown, strict=True))


def test_a_frame_is_shown_until_the_next() -> None:
    assert mux.compute_durations(np.array([0, 4, 2, 9]), 7).tolist() == [2, 5, 2, 7]


@pytest.mark.parametrize(
    ("inputs", "output", "made"),
    [
        (["a.mkv"], "out.mkv", {"a.mkv": "out.mkv"}),
        (["a.mkv"], "out", {"a.mkv": "out/a.mkv"}),
        (["a.mkv", "p.png"], "out", {"a.mkv": "out/a.mkv", "p.png": "out/p.png"}),
        (["in"], "out", {"in/b.wmv": "out/b.mkv", "in/deep/q.jpg": "out/deep/q.jpg"}),
    ],
)
def test_every_input_has_its_output(tmp_path: Path, inputs: list[str], output: str, made: dict[str, str]) -> None:
    for name in ("a.mkv", "p.png", "in/b.wmv", "in/deep/q.jpg", "in/notes.txt"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_bytes(b"?")
    found = run.plan_jobs([tmp_path / name for name in inputs], tmp_path / output)
    assert {job.source: job.target for job in found} == {
        tmp_path / source: tmp_path / target for source, target in made.items()
    }


def test_of_several_files_the_good_ones_are_upscaled(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    good = clip(tmp_path / "good.mkv", pictures(3))
    bad = tmp_path / "bad.mkv"
    bad.write_bytes(b"")
    shutil.copy(good, tmp_path / "third.mkv")
    code = run.run(UpscaleOptions((good, bad, tmp_path / "third.mkv"), tmp_path / "out", NEAREST, QUICK))
    assert code == 2
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["good.mkv", "third.mkv"]
    assert "bad.mkv is empty" in capsys.readouterr().err


def test_flags_become_options() -> None:
    parser = argparse.ArgumentParser()
    upscale_command.add_commands(parser.add_subparsers())
    words = "upscale -o b.mkv --to 1080p --codec libx265 --quality 20 --tile off --segment 2 --resume --ray a.mkv"
    options = upscale_command.make_options(parser.parse_args(words.split()))
    assert (options.scaling.lines, options.scaling.tile, options.resume, options.ray) == (1080, -1, True, "")
    assert options.inputs == (Path("a.mkv"),)
    assert options.encoding == EncodingOptions("libx265", 20.0, segment_s=2.0)
    options = upscale_command.make_options(parser.parse_args(["upscale", "--ray-address", "far:6379", "a", "-o", "b"]))
    assert options.ray == "far:6379"
