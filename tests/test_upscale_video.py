"""A video comes out larger and otherwise as it was, whatever is in it and whatever happens on the way."""

import argparse
import io
import os
import shutil
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable, Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from fakes import FakeEngine

from live_sr.cli import files
from live_sr.contracts import Engine
from live_sr.errors import LiveSRError, UsageError
from live_sr.frame import Frame, Pixels, Size
from live_sr.upscale import colour, footage, join, run, segmentfile, segments, video, workshop
from live_sr.upscale.belt import Belt, Watcher
from live_sr.upscale.encode import AUTO, choose
from live_sr.upscale.options import Encoding, UpscaleOptions, Work, lines
from live_sr.upscale.progress import Progress
from live_sr.upscale.segments import Segment
from live_sr.upscale.video import Prepared, Wishes

ROOT = Path(__file__).parent.parent
SIZE = Size(48, 32)
FRAMES = 30
NEAREST = Work(model="nearest", scale=2)
QUICK = Encoding(preset="ultrafast", segment_s=0.3)
LOSSLESS = Encoding(codec="ffv1", segment_s=0.3)


def pictures(count: int, size: Size = SIZE) -> list[Pixels]:
    """A box that moves over a ramp."""
    ramp = np.linspace(40, 200, size.width, dtype=np.uint8)
    made = []
    for number in range(count):
        picture = np.full((size.height, size.width, 4), 255, np.uint8)
        picture[..., :3] = ramp[:, np.newaxis]
        picture[4:12, number % (size.width - 8) : number % (size.width - 8) + 8, :3] = (30, 220, 90)
        made.append(picture)
    return made


def clip(
    path: Path,
    frames: Sequence[Pixels] | None = None,
    *,
    times: Sequence[int] = (),
    codec: str = "libx264",
    pixels: str = "yuv420p",
    tags: tuple[int, int, int, int] = (2, 2, 2, 1),  # matrix, primaries, transfer, range
    tones: int = 0,
    words: bool = False,
    rotation: int = 0,
    aspect: Fraction | None = None,
) -> Path:
    """A file of some frames, 30 a second or at `times` in milliseconds, a key frame every ten, with sound and words."""
    frames = pictures(FRAMES) if frames is None else frames
    unit = Fraction(1, 1000) if times else Fraction(1, 30)
    with av.open(str(path), "w") as container:
        container.metadata["title"] = "A clip"
        stream = container.add_stream(codec, rate=30, options={"crf": "4"} if codec == "libx264" else {})
        stream.width, stream.height, stream.pix_fmt, stream.gop_size = *reversed(frames[0].shape[:2]), pixels, 10
        context = stream.codec_context
        context.time_base = unit
        context.colorspace, context.color_primaries, context.color_trc, context.color_range = tags
        stream.metadata["title"] = "pictures"
        if rotation:
            stream.set_display_rotation(rotation)
        if aspect is not None:
            context.sample_aspect_ratio = aspect
        sounds = [container.add_stream("aac", rate=48000, layout="mono") for _ in range(tones)]
        for number, sound in enumerate(sounds):
            sound.metadata["language"] = ("eng", "deu")[number]
        texts = container.add_mux_stream("subrip") if words else None
        if words:
            container.set_chapters(
                [{"id": 1, "start": 0, "end": 400, "time_base": Fraction(1, 1000), "metadata": {"title": "One"}}]
            )
        for number, picture in enumerate(frames):
            matrix = colour.MATRICES[tags[0] if tags[0] in colour.MATRICES else 6]
            frame = av.VideoFrame.from_ndarray(picture, format="bgra").reformat(
                format=pixels,
                src_colorspace=matrix,
                dst_colorspace=matrix,
                src_color_range=2,
                dst_color_range=tags[3],
                interpolation=colour.EXACT,
            )
            frame.pts, frame.time_base = times[number] if times else number, unit
            container.mux(stream.encode(frame))
        container.mux(stream.encode(None))
        for track, sound in enumerate(sounds):
            for number in range(len(frames)):
                tone = np.sin(np.arange(1600) * (0.05 + track / 50))[np.newaxis].astype(np.float32) * 0.3
                piece = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
                piece.sample_rate, piece.pts, piece.time_base = 48000, number * 1600, Fraction(1, 48000)
                container.mux(sound.encode(piece))
            container.mux(sound.encode(None))
        if texts is not None:
            packet = av.Packet(b"Hello")
            packet.stream, packet.time_base = texts, Fraction(1, 1000)
            packet.pts = packet.dts = 200
            packet.duration = 300
            container.mux(packet)
    return path


def made_of(
    source: Path, target: Path, work: Work = NEAREST, encoding: Encoding = QUICK, **wishes: object
) -> tuple[Path, list[str]]:
    """The target, and what was said."""
    said: list[str] = []
    video.upscale_video(source, target, work, encoding, Wishes(**wishes), tell=said.append)  # type: ignore[arg-type]
    return target, said


def decoded(path: Path) -> tuple[list[Fraction], list[Pixels]]:
    """Times in seconds and pictures."""
    found = footage.read(path)
    reader = colour.Reader(found.colours.read_at(found.size), found.size)
    times, shown = [], []
    with av.open(str(path)) as container:
        for frame in container.decode(video=0):
            picture = np.empty((found.size.height, found.size.width, 4), np.uint8)
            reader.read(frame, picture)
            times.append(frame.pts * frame.time_base)
            shown.append(picture)
    return times, shown


def streams(path: Path) -> list[tuple[object, ...]]:
    """All that has to stay: of each stream its kind, names, marks and times, and but for pictures its packets."""
    with av.open(str(path)) as container:
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
    with av.open(str(path)) as container:
        return (container.duration or 0) / 1e6


def left_in(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.iterdir() if path.name.startswith("."))


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_all_but_the_size_stays(tmp_path: Path, kind: str) -> None:
    source = clip(tmp_path / f"small.{kind}", tones=2, words=kind == "mkv")
    target, _ = made_of(source, tmp_path / f"large.{kind}")
    assert streams(target) == streams(source)
    assert length(target) == pytest.approx(length(source), abs=1024 / 48000)  # Matroska tells no last packet's length
    assert footage.read(target).size == SIZE.times(2)
    assert left_in(tmp_path) == []


def test_a_stream_that_the_container_cannot_hold_is_named_and_left_out(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv", tones=1, words=True)
    target, said = made_of(source, tmp_path / "large.mp4")
    assert said[0] == "small.mkv: stream 2 (subtitle srt) is left out: mp4 files cannot hold it"
    with av.open(str(target)) as container:
        assert [stream.type for stream in container.streams][:2] == ["video", "audio"]


@pytest.mark.parametrize("codec", ["libx264", "libx265", "libsvtav1", "ffv1"])
def test_every_codec_gives_every_picture_at_its_time(tmp_path: Path, codec: str) -> None:
    small = pictures(FRAMES, Size(64, 64))
    source = clip(tmp_path / "small.mkv", small)
    target, _ = made_of(source, tmp_path / "large.mkv", encoding=Encoding(codec=codec, segment_s=0.3))
    times, shown = decoded(target)
    assert times == decoded(source)[0]
    for picture, large in zip(small, shown, strict=True):
        assert np.abs(large[::2, ::2].astype(int) - picture)[8:24].mean() < 8


def test_uneven_times_stay_exact(tmp_path: Path) -> None:
    times = [0, 7, 40, 41, 90, 300, 310, 333, 600, 601, 602, 700, 1400, 1401, 1500, 1533, 1567, 1600, 1601, 1900]
    source = clip(tmp_path / "small.mp4", pictures(len(times)), times=times)
    target, _ = made_of(source, tmp_path / "large.mp4")
    assert decoded(target)[0] == [Fraction(time, 1000) for time in times]


FLAT = [(255, 255, 255), (0, 0, 0), (30, 30, 220), (220, 40, 30), (40, 200, 60), (128, 128, 128)]


@pytest.mark.parametrize("matrix", [1, 5, 6, 9])
@pytest.mark.parametrize("full", [False, True])
def test_colours_and_their_tags_stay(tmp_path: Path, matrix: int, full: bool) -> None:
    flat = [np.full((32, 48, 4), (*level, 255), np.uint8) for level in FLAT]
    tags = (matrix, 1, 1, 2 if full else 1)
    source = clip(tmp_path / "small.mkv", flat, codec="ffv1", tags=tags)
    target, _ = made_of(source, tmp_path / "large.mkv", encoding=LOSSLESS)
    assert footage.read(target).colours == footage.read(source).colours == colour.Colours(matrix, 1, 1, full)
    for level, picture in zip(FLAT, decoded(target)[1], strict=True):
        assert np.abs(picture[..., :3].astype(int) - level).max() <= 3


@pytest.mark.parametrize(
    ("small", "scale", "matrix"), [(Size(48, 32), 2, 2), (Size(64, 360), 2, 6), (Size(64, 720), 2, 2)]
)
def test_an_untagged_video_is_tagged_where_players_would_guess_anew(
    tmp_path: Path, small: Size, scale: int, matrix: int
) -> None:
    source = clip(tmp_path / "small.mkv", pictures(2, small))
    target, _ = made_of(source, tmp_path / "large.mkv", Work(model="nearest", scale=scale))
    assert footage.read(target).colours.matrix == matrix


def test_rotation_and_the_shape_of_pixels_stay(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mp4", rotation=90, aspect=Fraction(4, 3))
    target, _ = made_of(source, tmp_path / "large.mp4")
    before, after = footage.read(source), footage.read(target)
    assert (after.rotation, after.aspect) == (before.rotation, before.aspect) == (90, Fraction(4, 3))


@pytest.mark.parametrize(
    ("work", "size", "aspect"),
    [
        (Work("nearest", scale=3), Size(144, 96), Fraction(0)),
        (Work("nearest"), Size(96, 64), Fraction(0)),
        (Work("nearest", lines=64), Size(96, 64), Fraction(0)),
        (Work("nearest", lines=90), Size(134, 90), Fraction(0)),
        (Work("nearest", size=Size(96, 96)), Size(96, 96), Fraction(3, 2)),
        (Work("nearest", size=Size(101, 65)), Size(100, 64), Fraction(24, 25)),
    ],
)
def test_it_becomes_as_large_as_asked_for(tmp_path: Path, work: Work, size: Size, aspect: Fraction) -> None:
    target, _ = made_of(clip(tmp_path / "small.mkv", pictures(3)), tmp_path / "large.mkv", work)
    after = footage.read(target)
    assert (after.size, after.aspect) == (size, aspect)


def test_a_height_is_read_as_people_write_it() -> None:
    assert [lines(words) for words in ("1080p", "720", "4k", "4K")] == [1080, 720, 2160, 2160]
    for words in ("tall", "10p", "99999p"):
        with pytest.raises(UsageError):
            lines(words)


def test_equal_frames_are_upscaled_once(tmp_path: Path) -> None:
    a, b, c = pictures(3)
    source = clip(tmp_path / "small.mkv", [a, a, a, b, b, c, a, a], codec="ffv1", pixels="bgr0")
    job = video.prepare(source, tmp_path / "large.mkv", NEAREST, Encoding(codec="ffv1", segment_s=9))
    engine, place = FakeEngine(2), tmp_path / "0.segment"
    Belt(job.footage, job.made, lambda segment: place).run(engine, job.plan.segments)
    done = segmentfile.read(place)
    assert done is not None
    assert len(engine.levels) == 4
    assert (done.tally.frames, done.tally.duplicates) == (8, 4)


def runner(engine: Callable[[], Engine]) -> video.Runner:
    def run_with(job: Prepared, todo: Sequence[Segment], place: Callable[[Segment], Path], watcher: Watcher) -> None:
        Belt(job.footage, job.made, place, watcher).run(engine(), todo)

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


def interrupted(source: Path, target: Path, after: int = 25, encoding: Encoding = QUICK) -> list[str]:
    said: list[str] = []
    with pytest.raises(KeyboardInterrupt):
        video.upscale_video(
            source, target, NEAREST, encoding, tell=said.append, run=runner(lambda: Failing(after, KeyboardInterrupt()))
        )
    return said


def test_ctrl_c_leaves_no_half_file_and_says_how_to_go_on(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv", tones=1)
    whole, _ = made_of(source, tmp_path / "whole.mkv")
    target = tmp_path / "large.mkv"
    said = interrupted(source, target)
    assert not target.exists()
    assert "--resume goes on" in said[-1]
    assert not list(workshop.folder_of(target).glob("*.part"))
    with pytest.raises(UsageError, match="was begun before"):
        made_of(source, target)
    with pytest.raises(UsageError, match="begun with something else: codec"):
        made_of(source, target, encoding=Encoding(segment_s=0.3, quality=30), resume=True)
    _, said = made_of(source, target, resume=True)
    assert "segments were done before" in said[0]
    assert target.read_bytes() == whole.read_bytes()
    assert left_in(tmp_path) == []


def test_what_was_begun_can_be_thrown_away(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "small.mkv"), tmp_path / "large.mkv"
    interrupted(source, target)
    made_of(source, target, encoding=LOSSLESS, discard=True)
    assert footage.read(target).pixels == "yuv420p"
    assert left_in(tmp_path) == []


def test_ctrl_c_before_the_first_segment_leaves_nothing(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "small.mkv"), tmp_path / "large.mkv"
    interrupted(source, target, after=2)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.mkv"]


def test_a_damaged_segment_is_made_again(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "small.mkv"), tmp_path / "large.mkv"
    whole, _ = made_of(source, tmp_path / "whole.mkv")
    interrupted(source, target)
    first = workshop.folder_of(target) / "000000.segment"
    torn = bytearray(first.read_bytes())
    torn[100] ^= 1
    first.write_bytes(torn)
    made_of(source, target, resume=True)
    assert target.read_bytes() == whole.read_bytes()


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_killed_and_resumed_it_is_the_same_to_the_bit(tmp_path: Path, kind: str) -> None:
    source = clip(tmp_path / "small.mkv", pictures(60, Size(64, 48)), tones=1)
    whole, _ = made_of(source, tmp_path / f"whole.{kind}", Work("fsr", scale=2))
    target = tmp_path / f"large.{kind}"
    program = (
        "import sys; from pathlib import Path; from live_sr.upscale import video;"
        "from live_sr.upscale.options import Encoding, Work; from live_sr.upscale.video import Wishes;"
        "video.upscale_video(Path(sys.argv[1]), Path(sys.argv[2]), Work('fsr', scale=2),"
        "Encoding(preset='ultrafast', segment_s=0.3), Wishes(resume=True))"
    )
    for kill_at in (1, 4):  # segments that are complete
        process = subprocess.Popen(
            [sys.executable, "-c", program, str(source), str(target)], cwd=ROOT, stdout=subprocess.DEVNULL
        )
        while process.poll() is None and len(list(workshop.folder_of(target).glob("*.segment"))) < kill_at:
            time.sleep(0.001)
        process.kill()
        process.wait()
    made_of(source, target, Work("fsr", scale=2), overwrite=True, resume=True)
    assert target.read_bytes() == whole.read_bytes()
    assert left_in(tmp_path) == []


def test_one_segment_by_itself_is_the_same_as_among_the_others(tmp_path: Path) -> None:
    job = video.prepare(clip(tmp_path / "small.mkv"), tmp_path / "large.mkv", NEAREST, QUICK)
    assert len(job.plan.segments) == 3
    video.run_here(job, job.plan.segments, lambda segment: tmp_path / f"{segment.number}.segment", Watcher())
    for segment in reversed(job.plan.segments):
        alone = tmp_path / "alone.segment"
        assert video.upscale_segment(job.footage, segment, job.made, alone).frames == segment.frames == 10
        assert alone.read_bytes() == (tmp_path / f"{segment.number}.segment").read_bytes()


def test_two_jobs_for_one_target_are_refused(tmp_path: Path) -> None:
    source, target = clip(tmp_path / "small.mkv"), tmp_path / "large.mkv"
    with (
        workshop.Workshop(target, {}),
        pytest.raises(UsageError, match="another command is making"),
    ):
        made_of(source, target)


def test_what_is_there_is_not_replaced_unasked(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv")
    target, _ = made_of(source, tmp_path / "large.mkv")
    with pytest.raises(UsageError, match="is there already"):
        made_of(source, target)
    with pytest.raises(UsageError, match="made from"):
        made_of(source, source, overwrite=True)
    assert made_of(source, target, resume=True)[1] == [f"{target} is complete already"]


@pytest.mark.skipif(sys.platform == "win32", reason="a process there has no limit for the size of its files")
def test_a_full_disk_is_told_and_leaves_nothing(tmp_path: Path) -> None:
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
    before = threading.active_count()
    with pytest.raises(LiveSRError, match="the engine is gone"):
        video.upscale_video(
            source,
            tmp_path / "large.mkv",
            NEAREST,
            QUICK,
            run=runner(lambda: Failing(3, LiveSRError("the engine is gone"))),
        )
    assert threading.active_count() == before
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
        (lambda path: path.write_bytes(os.urandom(5000)), "is no video|has no video|no picture"),
        (no_video, "has no video in it"),
        (beginning, "is no video, or it is damaged|no picture"),
        (deep, "has 10 bits a channel"),
        (hdr, "is HDR \\(PQ\\)"),
        (lambda path: None, "cannot be read: No such file"),
    ],
)
def test_what_is_no_video_for_us_is_told_in_a_sentence(
    tmp_path: Path, make: Callable[[Path], object], told: str
) -> None:
    source = tmp_path / "in.mp4"
    make(source)
    with pytest.raises(UsageError, match=told) as error:
        made_of(source, tmp_path / "large.mkv")
    assert error.value.remedy
    assert left_in(tmp_path) == []


def test_ten_bits_become_eight_where_that_is_allowed(tmp_path: Path) -> None:
    source = clip(tmp_path / "small.mkv", codec="ffv1", pixels="yuv420p10le")
    target, said = made_of(source, tmp_path / "large.mkv", encoding=Encoding(segment_s=0.3, allow_8bit=True))
    assert said[0] == "small.mkv: its 10 bits a channel become 8"
    assert footage.read(target).pixels == "yuv420p"


@pytest.mark.parametrize(
    ("target", "encoding", "told"),
    [
        ("out.xyz", QUICK, "no kind of video is called"),
        ("out.avi", QUICK, "keep when its pictures are shown"),
        ("out.webm", QUICK, "webm files cannot hold what libx264 makes"),
        ("out.ts", LOSSLESS, "mpegts files cannot hold what ffv1 makes"),
        ("out.mkv", Encoding(codec="libx246"), 'Did you mean "libx264"|Did you mean "libx265"'),
        ("out.mkv", Encoding(quality=99), "no quality 99"),
        ("out.mkv", Encoding(preset="quick"), "no preset"),
    ],
)
def test_a_wish_that_cannot_be_fulfilled_is_told_before_work_begins(
    tmp_path: Path, target: str, encoding: Encoding, told: str
) -> None:
    source = clip(tmp_path / "small.mkv", pictures(2))
    with pytest.raises(UsageError, match=told):
        made_of(source, tmp_path / target, encoding=encoding)
    assert sorted(path.name for path in tmp_path.iterdir()) == ["small.mkv"]


def test_auto_chooses_a_codec_that_works_here() -> None:
    assert choose("auto").name in AUTO


@pytest.mark.parametrize("kind", ["mkv", "mp4"])
def test_of_a_file_that_is_cut_off_the_rest_is_kept(tmp_path: Path, kind: str) -> None:
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


def test_broken_frames_are_counted_and_the_rest_is_kept(tmp_path: Path) -> None:
    noise = np.random.default_rng(1).integers(0, 256, (40, 32, 48, 4), np.uint8)
    source = clip(tmp_path / "small.mkv", list(noise))
    data = bytearray(source.read_bytes())
    for at in range(len(data) // 3, len(data) // 3 + 4000, 40):
        data[at] ^= 0xFF
    source.write_bytes(data)
    target, said = made_of(source, tmp_path / "large.mkv")
    assert "in the source" in said[-1]
    assert len(decoded(target)[0]) >= 25


def test_a_thumbnail_shows_where_it_is(tmp_path: Path) -> None:
    made_of(clip(tmp_path / "small.mkv", pictures(3)), tmp_path / "large.mkv", preview=tmp_path / "now.png")
    assert (tmp_path / "now.png").read_bytes().startswith(b"\x89PNG")


def test_progress_is_a_line_every_ten_seconds_where_nobody_watches() -> None:
    now, written = [0.0], io.StringIO()
    progress = Progress("film.mkv", 100, 10, written, lambda: now[0])
    for _ in range(25):
        now[0] += 1
        progress.step()
    assert written.getvalue().splitlines() == [
        "film.mkv: 20 %, 20 of 100 frames, 1.0 fps, 80 s left",
        "film.mkv: 30 %, 30 of 100 frames, 1.0 fps, 70 s left",
    ]


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
def test_a_cut_lies_where_nothing_crosses_it(times: list[int], keys: list[int], good: list[int]) -> None:
    found = segments.good_keys(np.array(times), np.array([time in keys for time in times]))
    assert found == good


@pytest.mark.parametrize(
    ("good", "cuts"),
    [
        ([0, 10, 20, 30], [(None, None, 10), (10, 10, 20), (20, 20, 30), (30, 30, None)]),
        ([0, 4, 8, 12, 30], [(None, None, 12), (12, 12, 30), (30, 30, None)]),
        ([0], [(None, None, 10), (None, 10, 20), (None, 20, 30), (None, 30, 40), (None, 40, None)]),
    ],
)
def test_segments_begin_at_good_key_frames_or_between_frames(
    good: list[int], cuts: list[tuple[int | None, int | None, int | None]]
) -> None:
    found = list(segments.cut(np.arange(41), good, 10))
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
def test_no_picture_is_shown_before_it_is_decoded(shown: list[int], due: list[int]) -> None:
    found = join.decode_times(np.array(shown), 1).tolist()
    assert found == due
    assert all(at <= time for at, time in zip(found, shown, strict=True))


def test_a_picture_is_shown_until_the_next() -> None:
    assert join.durations(np.array([0, 4, 2, 9]), 7).tolist() == [2, 5, 2, 7]


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
        (tmp_path / name).touch()
    found = run.errands([tmp_path / name for name in inputs], tmp_path / output)
    assert {errand.source: errand.target for errand in found} == {
        tmp_path / source: tmp_path / target for source, target in made.items()
    }


def test_of_several_files_the_good_ones_are_made(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
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
    files.add_to(parser.add_subparsers())
    words = "upscale a.mkv -o b.mkv --to 1080p --codec libx265 --quality 20 --tile off --segment 2 --resume --ray"
    options = files.options(parser.parse_args(words.split()))
    assert (options.work.lines, options.work.tile, options.resume, options.ray) == (1080, -1, True, "")
    assert options.encoding == Encoding("libx265", 20.0, segment_s=2.0)
