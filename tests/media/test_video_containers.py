"""What is peculiar in a video arrives in each container, or the user is told: the table of docs/models-and-files.md."""

import re
import struct
from collections.abc import Callable
from contextlib import closing
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import pytest
from av.stream import Disposition
from video_clips import FRAMES, NEAREST, QUICK, SIZE, clip, decoded, made_of, pictures

from live_sr.capture.video import VideoSource
from live_sr.imaging import png
from live_sr.imaging.container_crop import compute_aperture_crop
from live_sr.imaging.video_file import open_input
from live_sr.imaging.video_geometry import parse_matrix
from live_sr.pipeline.frame import Pixels, Size
from live_sr.training.pairs.video_frames import read_video_frames
from live_sr.upscale.options import ScalingOptions
from live_sr.upscale.video import segments, source_info
from live_sr.upscale.video.clock import Clock, Jump

DOCUMENT = Path(__file__).parents[2] / "docs" / "models-and-files.md"
CONTAINERS = ("mkv", "mp4", "mov", "m4v", "ts")
QUARTER, MIRROR = (0, 65536, 0, -65536, 0, 0, 0, 0, 1 << 30), (-65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30)
KEPT, IN_PIXELS, TOLD = "kept", "in the pixels", "left out, and told"


def rebuild(
    source: Path,
    target: Path,
    change: Callable[[av.container.OutputContainer], None] | None = None,
    **container_options: str,
) -> Path:
    """The video of `source` in another file whose output container was changed before it was begun."""
    with av.open(str(source)) as container, av.open(str(target), "w", container_options=container_options) as made:
        copy = made.add_stream_from_template(container.streams.video[0], opaque=True)
        if change is not None:
            change(made)
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = copy
                made.mux(packet)
    return target


def with_matrix(folder: Path, matrix: tuple[int, ...]) -> Path:
    plain = clip(folder / "plain.mp4", pictures(6))
    return rebuild(plain, folder / "in.mp4", lambda made: made.streams.video[0].set_display_matrix(matrix))


def with_crop(folder: Path) -> Path:
    """Matroska that cuts 8 pixels off at the left and 4 at the bottom: FFmpeg writes other elements of that length."""
    path = rebuild(clip(folder / "plain.mkv", pictures(6)), folder / "in.mkv", write_crc32="0")
    data = path.read_bytes()
    spare = re.compile(rb"\x55\xb0\x8c.{12}", re.DOTALL)  # the description of the colours
    crop = b"\x54\xcc\x81\x08" + b"\x54\xaa\x81\x04" + b"\xec\x85" + bytes(5)  # left, bottom, and an empty element
    assert len(spare.findall(data)) == 1
    path.write_bytes(spare.sub(lambda _: crop, data))
    return path


def shown(path: Path) -> list[Pixels]:
    return decoded(path)[1]


def differ(one: Pixels, other: Pixels) -> float:
    """The mean difference of two pictures, 999 where their sizes differ."""
    if one.shape != other.shape:
        return 999.0
    return float(np.abs(one[..., :3].astype(int) - other[..., :3]).mean())


def judge_pixels(expected: list[Pixels], target: Path) -> str:
    """Whether the decoded pictures themselves are the expected ones, enlarged, and no mark asks for more."""
    with open_input(target) as container:
        frames = list(container.decode(video=0))
    marked = frames[0].side_data.get("DISPLAYMATRIX") is not None
    same = all(differ(a.repeat(2, 0).repeat(2, 1), b) < 4 for a, b in zip(expected, shown(target), strict=True))
    return IN_PIXELS if same and not marked else f"{marked=}, {same=}"


def try_rotation(folder: Path, kind: str) -> str:
    source = with_matrix(folder, QUARTER)
    expected = [np.rot90(picture, -1) for picture in pictures(6)]
    return judge_pixels(expected, made_of(source, folder / f"out.{kind}")[0])


def try_mirror(folder: Path, kind: str) -> str:
    source = with_matrix(folder, MIRROR)
    expected = [picture[:, ::-1] for picture in pictures(6)]
    return judge_pixels(expected, made_of(source, folder / f"out.{kind}")[0])


def try_crop(folder: Path, kind: str) -> str:
    expected = [picture[:-4, 8:] for picture in pictures(6)]
    return judge_pixels(expected, made_of(with_crop(folder), folder / f"out.{kind}")[0])


def try_clean_aperture(folder: Path, kind: str) -> str:
    expected = [picture[:-4, 8:] for picture in pictures(6)]
    return judge_pixels(expected, made_of(with_clean_aperture(folder), folder / f"out.{kind}")[0])


def try_pixel_aspect(folder: Path, kind: str) -> str:
    source = clip(folder / "in.mkv", pictures(6), aspect=Fraction(4, 3))
    target, _ = made_of(source, folder / f"out.{kind}")
    return KEPT if source_info.read_info(target).pixel_aspect == Fraction(4, 3) else "lost"


def try_timecode(folder: Path, kind: str) -> str:
    def stamp(made: av.container.OutputContainer) -> None:
        made.streams.video[0].metadata["timecode"] = "01:02:03:04"

    source = rebuild(clip(folder / "plain.mov", pictures(6)), folder / "in.mov", stamp)
    target, said = made_of(source, folder / f"out.{kind}")
    with open_input(target) as container:
        tags = [container.metadata, *(stream.metadata for stream in container.streams)]
    assert len(shown(target)) == 6
    kept = any(v == "01:02:03:04" for one in tags for k, v in one.items() if k.lower() == "timecode")
    return KEPT if kept else TOLD if any("timecode" in line and "left out" in line for line in said) else "lost"


def try_cover(folder: Path, kind: str) -> str:
    png.write_png(folder / "cover.png", pictures(1)[0])
    cover = (folder / "cover.png").read_bytes()
    with (
        av.open(str(clip(folder / "plain.mp4", pictures(6)))) as container,
        av.open(str(folder / "in.mp4"), "w") as made,
    ):
        copy = made.add_stream_from_template(container.streams.video[0], opaque=True)
        second = made.add_mux_stream("png", width=SIZE.width, height=SIZE.height)
        second.disposition = Disposition.attached_pic
        picture = av.Packet(cover)
        picture.stream, picture.pts, picture.dts, picture.is_keyframe = second, 0, 0, True
        picture.time_base = Fraction(1, 90000)
        made.mux(picture)
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = copy
                made.mux(packet)
    target, said = made_of(folder / "in.mp4", folder / f"out.{kind}")
    with open_input(target) as container:
        covers = [s for s in container.streams.video if s.disposition & Disposition.attached_pic]
        assert len(container.streams.video) == 1 + len(covers)
        kept = [bytes(packet) for packet in container.demux(covers) if packet.size] if covers else []
    return KEPT if kept == [cover] else TOLD if any("cover" in line and "left out" in line for line in said) else "lost"


def try_uneven_times(folder: Path, kind: str) -> str:
    source = clip(folder / "in.mkv", pictures(6), times=[0, 10, 50, 51, 300, 320])
    target, _ = made_of(source, folder / f"out.{kind}")
    times = [round(float(time) * 1000) for time in decoded(target)[0]]
    return KEPT if [time - times[0] for time in times] == [0, 10, 50, 51, 300, 320] else f"{times}"


def with_clean_aperture(folder: Path) -> Path:
    """MP4 whose clean aperture leaves the same part: a box at the end of the video's description."""
    path = rebuild(clip(folder / "plain.mp4", pictures(6)), folder / "in.mp4")
    data = bytearray(path.read_bytes())
    width, height = SIZE.width - 8, SIZE.height - 4
    aperture = struct.pack(">I4s8i", 40, b"clap", width, 1, height, 1, 4, 1, -2, 1)
    entry = data.rindex(b"avc1") - 4  # the index comes last, so that no place in the file changes that it names
    end = entry + int.from_bytes(data[entry : entry + 4], "big")
    for name in (b"moov", b"trak", b"mdia", b"minf", b"stbl", b"stsd", b"avc1"):
        box = data.rindex(name) - 4
        data[box : box + 4] = (int.from_bytes(data[box : box + 4], "big") + len(aperture)).to_bytes(4, "big")
    data[end:end] = aperture
    path.write_bytes(data)
    return path


def try_edit_list(folder: Path, kind: str) -> str:
    """MP4 without its first 12 frames: they are decoded, because a key frame is among them, but not shown."""
    with av.open(str(clip(folder / "plain.mp4", tones=1))) as container, av.open(str(folder / "in.mp4"), "w") as made:
        copies = {stream.index: made.add_stream_from_template(stream, opaque=True) for stream in container.streams}
        for packet in container.demux():
            if packet.size:
                shift = round(Fraction(12, 30) / packet.time_base)
                packet.pts, packet.dts = packet.pts - shift, packet.dts - shift
                packet.stream = copies[packet.stream_index]
                made.mux(packet)
    source = folder / "in.mp4"
    before = decoded(source)
    target, said = made_of(source, folder / f"out.{kind}")
    assert not any("early" in line or "missing" in line for line in said), said
    after = decoded(target)
    assert len(before[0]) == len(after[0]) == FRAMES - 12
    with open_input(target) as container:
        start = (container.start_time or 0) / 1e6
    late = float(after[0][0]) - start
    same = all(differ(a.repeat(2, 0).repeat(2, 1), b) < 4 for a, b in zip(before[1], after[1], strict=True))
    return "trimmed" if same and late < (0.06 if kind == "ts" else 0.002) else f"{late=}, {same=}"


def try_clock_jump(folder: Path, kind: str) -> str:
    return judge_joined(joined(folder, 5000, 4999), folder / f"out.{kind}")


def joined(folder: Path, first: int, second: int) -> Path:
    """Two recordings in one transport stream; each clock begins at that second."""
    parts = []
    for number, start in enumerate((first, second)):
        part = folder / f"part{number}.ts"
        with av.open(str(clip(folder / f"part{number}.mp4", tones=1))) as container, av.open(str(part), "w") as made:
            copies = {stream.index: made.add_stream_from_template(stream, opaque=True) for stream in container.streams}
            for packet in container.demux():
                if packet.size:
                    shift = round(start / packet.time_base)
                    packet.pts = packet.pts + shift
                    packet.dts = packet.pts if packet.dts is None else packet.dts + shift
                    packet.stream = copies[packet.stream_index]
                    made.mux(packet)
        parts.append(part.read_bytes())
    path = folder / "in.ts"
    path.write_bytes(b"".join(parts))
    return path


def judge_joined(source: Path, target: Path) -> str:
    _, said = made_of(source, target)
    times = np.array([float(time) for time in decoded(target)[0]])
    assert len(times) == 2 * FRAMES, len(times)
    assert not any("early" in line or "broken" in line for line in said), said
    steps = np.diff(times)
    return "without a gap" if steps.min() > 0 and steps.max() < 0.1 else f"steps of {steps.min()} to {steps.max()}"


TRIALS: dict[str, Callable[[Path, str], str]] = {
    "turned by 90°": try_rotation,
    "mirrored": try_mirror,
    "cut off (Matroska's crop)": try_crop,
    "cut off (clean aperture of MP4)": try_clean_aperture,
    "pixels that are not square": try_pixel_aspect,
    "timecode": try_timecode,
    "cover": try_cover,
    "uneven frame times": try_uneven_times,
    "start cut off by an edit list": try_edit_list,
    "clock that jumps back": try_clock_jump,
}


def read_table() -> dict[str, list[str]]:
    """The rows of the table in the documents, by their first cell."""
    lines = DOCUMENT.read_text(encoding="utf-8").splitlines()
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines if line.startswith("|")]
    head = rows.index(["in the source", *(f".{kind}" for kind in CONTAINERS)])
    return {row[0]: row[1:] for row in rows[head + 2 : head + 2 + len(TRIALS)]}


def test_the_table_of_the_documents_has_a_row_for_each_peculiarity() -> None:
    assert list(read_table()) == list(TRIALS)


@pytest.mark.parametrize("kind", CONTAINERS)
@pytest.mark.parametrize("what", TRIALS)
def test_each_container_gets_what_the_documents_say(tmp_path: Path, what: str, kind: str) -> None:
    assert TRIALS[what](tmp_path, kind) == read_table()[what][CONTAINERS.index(kind)]


@pytest.mark.parametrize("second", [10_000, 0], ids=["ahead by more than an hour", "begins anew"])
def test_a_clock_that_jumps_leaves_neither_a_hole_nor_a_gap(tmp_path: Path, second: int) -> None:
    assert judge_joined(joined(tmp_path, 5000, second), tmp_path / "out.mkv") == "without a gap"


def test_the_sound_follows_the_corrected_clock(tmp_path: Path) -> None:
    target, _ = made_of(joined(tmp_path, 5000, 4000), tmp_path / "out.mkv")
    with open_input(target) as container:
        sound = [float(packet.pts * packet.time_base) for packet in container.demux(audio=0) if packet.size]
    assert max(np.diff(sound)) < 0.1 and min(np.diff(sound)) > 0 and sound[-1] == pytest.approx(2.0, abs=0.15)


@pytest.mark.parametrize("kind", ["mkv", "mp4", "mov"])
@pytest.mark.parametrize("into", ["mkv", "mp4", "mov"])
def test_picture_and_sound_begin_when_they_do_in_the_source(tmp_path: Path, kind: str, into: str) -> None:
    """AAC begins with samples that are not heard, which each container says in its own way."""
    source = clip(tmp_path / f"in.{kind}", tones=1)
    target, _ = made_of(source, tmp_path / f"out.{into}")
    starts = []
    for path in (source, target):
        with open_input(path) as container:
            picture = next(container.decode(video=0)).time
        with open_input(path) as container:
            heard = list(container.decode(audio=0))
        starts.append((picture, heard[0].time))
        assert sum(frame.samples for frame in heard) == pytest.approx(FRAMES * 1600, abs=1024)
    assert starts[1] == pytest.approx(starts[0], abs=0.001) == (0, 0)


def test_a_clock_belongs_to_places_in_the_file() -> None:
    clock = Clock((Jump(1000, 4_000_000, 5_000_000), Jump(2000, -1_000_000, 9_000_000)))
    assert [clock.find_shift(position) for position in (0, 999, 1000, 1999, 5000)] == [
        *(0, 0, 4_000_000, 4_000_000, -1_000_000)
    ]
    millisecond = Fraction(1, 1000)
    assert [clock.find_file_time(time, millisecond) for time in (4000, 6000, 9500)] == [4000, 2000, 10500]


@pytest.mark.parametrize(
    ("matrix", "shown_as"),
    [
        ((65536, 0, 0, 0, 65536, 0, 0, 0, 1 << 30), lambda picture: picture),
        (QUARTER, lambda picture: np.rot90(picture, -1)),
        ((0, -65536, 0, 65536, 0, 0, 0, 0, 1 << 30), lambda picture: np.rot90(picture, 1)),
        ((-65536, 0, 0, 0, -65536, 0, 0, 0, 1 << 30), lambda picture: np.rot90(picture, 2)),
        (MIRROR, lambda picture: picture[:, ::-1]),
        ((0, 65536, 0, 65536, 0, 0, 0, 0, 1 << 30), lambda picture: picture.transpose(1, 0, 2)),
    ],
)
def test_a_matrix_is_obeyed_as_a_whole(matrix: tuple[int, ...], shown_as: Callable[[Pixels], Pixels]) -> None:
    picture = np.arange(2 * 3 * 4, dtype=np.uint8).reshape(2, 3, 4)
    geometry = parse_matrix(matrix)
    assert np.array_equal(geometry.show(picture), shown_as(picture))
    assert geometry.compute_decoded_size(geometry.compute_shown_size(Size(3, 2))) == Size(3, 2)
    assert not geometry.tilt


def test_another_angle_stays_a_mark_of_the_file(tmp_path: Path) -> None:
    tilted = (56756, 32768, 0, -32768, 56756, 0, 0, 0, 1 << 30)  # 30 degrees
    source = with_matrix(tmp_path, tilted)
    target, _ = made_of(source, tmp_path / "out.mp4")
    assert source_info.read_info(target).geometry.tilt == source_info.read_info(source).geometry.tilt == tilted
    _, said = made_of(source, tmp_path / "out.ts")
    assert any("angle" in line for line in said)


@pytest.mark.parametrize(
    ("work", "size"),
    [
        (ScalingOptions(NEAREST.model, size=Size(64, 96)), Size(64, 96)),
        (ScalingOptions(NEAREST.model, lines=96), Size(96, 144)),  # of an upright picture the width
    ],
)
def test_a_size_is_that_of_the_picture_as_it_is_shown(tmp_path: Path, work: ScalingOptions, size: Size) -> None:
    target, _ = made_of(with_matrix(tmp_path, QUARTER), tmp_path / "out.mp4", work)
    assert source_info.read_info(target).size == size


def test_a_height_means_square_pixels(tmp_path: Path) -> None:
    source = clip(tmp_path / "in.mkv", pictures(3, Size(72, 58)), aspect=Fraction(64, 45))
    target, _ = made_of(source, tmp_path / "out.mkv", ScalingOptions(NEAREST.model, lines=108))
    info = source_info.read_info(target)
    assert (info.size, info.pixel_aspect) == (Size(190, 108), 1)


def test_a_crop_of_the_codec_at_the_left_is_exact(tmp_path: Path) -> None:
    """FFmpeg rounds it to what suits its memory, unless it is told not to."""
    plain = clip(tmp_path / "plain.mkv", pictures(6))
    source = tmp_path / "in.mkv"
    with av.open(str(plain)) as container, av.open(str(source), "w") as made:
        copy = made.add_stream_from_template(container.streams.video[0], opaque=True)
        cut = av.bitstream.BitStreamFilterContext(
            "h264_metadata=crop_left=6:crop_right=4", container.streams.video[0], copy
        )
        for packet in container.demux(video=0):
            for one in cut.filter(packet if packet.size else None):
                one.stream = copy
                made.mux(one)
    target, _ = made_of(source, tmp_path / "out.mkv")
    expected = [picture[:, 6:-4].repeat(2, 0).repeat(2, 1) for picture in pictures(6)]
    assert all(differ(a, b) < 4 for a, b in zip(expected, shown(target), strict=True))


def test_of_several_videos_the_one_marked_as_default_is_enlarged(tmp_path: Path) -> None:
    plain = clip(tmp_path / "plain.mkv", pictures(6))
    with av.open(str(plain)) as container, av.open(str(tmp_path / "in.mkv"), "w") as made:
        copies = [made.add_stream_from_template(container.streams.video[0], opaque=True) for _ in range(2)]
        copies[0].disposition, copies[1].disposition = Disposition(0), Disposition.default
        for packet in container.demux(video=0):
            for copy in copies if packet.size else ():
                one = av.Packet(bytes(packet))
                one.stream, one.time_base, one.is_keyframe = copy, packet.time_base, packet.is_keyframe
                one.pts, one.dts = packet.pts, packet.dts
                made.mux(one)
    target, _ = made_of(tmp_path / "in.mkv", tmp_path / "out.mkv")
    with open_input(target) as container:
        assert [stream.width for stream in container.streams.video] == [SIZE.width, SIZE.width * 2]
    with closing(VideoSource(target, paced=False)) as source:  # the enlarged one is still the one that is shown
        assert source.size == SIZE.times(2)
    assert next(read_video_frames(target))[1].shape == (SIZE.height * 2, SIZE.width * 2, 3)


def test_a_cover_is_not_taken_for_the_video_by_any_command(tmp_path: Path) -> None:
    """It comes first in the file, and is of another size."""
    png.write_png(tmp_path / "cover.png", pictures(1, Size(20, 20))[0])
    with (
        av.open(str(clip(tmp_path / "plain.mp4", pictures(6)))) as container,
        av.open(str(tmp_path / "in.mp4"), "w") as made,
    ):
        cover = made.add_mux_stream("png", width=20, height=20)
        cover.disposition = Disposition.attached_pic
        copy = made.add_stream_from_template(container.streams.video[0], opaque=True)
        picture = av.Packet((tmp_path / "cover.png").read_bytes())
        picture.stream, picture.pts, picture.dts, picture.is_keyframe = cover, 0, 0, True
        picture.time_base = Fraction(1, 90000)
        made.mux(picture)
        for packet in container.demux(video=0):
            if packet.size:
                packet.stream = copy
                made.mux(packet)
    with closing(VideoSource(tmp_path / "in.mp4", paced=False)) as source:
        assert source.size == SIZE
    assert len([shape for _, seen in read_video_frames(tmp_path / "in.mp4") if (shape := seen.shape)[1] == 48]) == 6
    assert source_info.read_info(tmp_path / "in.mp4").size == SIZE


@pytest.mark.parametrize(
    ("aperture", "crop"),
    [
        ((704, 1, 576, 1, 0, 1, 0, 1), (8, 0, 8, 0)),
        ((7035, 10, 576, 1, 1, 4, 0, 1), (8, 0, 8, 0)),  # parts of pixels, as DV has them
        ((720, 1, 480, 1, 0, 1, -48, 1), (0, 0, 0, 96)),
        ((720, 1, 480, 1, 0, 1, -49, 1), (0, 0, 0, 0)),  # beyond the picture
        ((720, 0, 480, 1, 0, 1, 0, 1), (0, 0, 0, 0)),
        ((0, 1, 480, 1, 0, 1, 0, 1), (0, 0, 0, 0)),
        ((1440, 2, 1152, 2, 0, 1, 0, 1), (0, 0, 0, 0)),  # all of it
    ],
)
def test_a_clean_aperture_becomes_whole_pixels(aperture: tuple[int, ...], crop: tuple[int, ...]) -> None:
    assert compute_aperture_crop(720, 576, aperture) == crop


def test_transparency_of_vp9_is_told_and_its_mark_is_gone(tmp_path: Path) -> None:
    def mark(made: av.container.OutputContainer) -> None:
        made.streams.video[0].metadata["alpha_mode"] = "1"

    source = rebuild(clip(tmp_path / "plain.mkv", pictures(3)), tmp_path / "in.mkv", mark)
    target, said = made_of(source, tmp_path / "out.mkv")
    assert any("transparency is not kept" in line for line in said)
    with open_input(target) as container:
        assert not [key for key in container.streams.video[0].metadata if key.lower() == "alpha_mode"]


def test_the_segments_of_a_joined_stream_are_the_same_alone(tmp_path: Path) -> None:
    source = joined(tmp_path, 5000, 4999)
    whole = segments.plan_segments(source_info.read_info(source), QUICK.segment_s)
    assert len(whole.clock.jumps) == 1 and len(whole.segments) > 2 and whole.frames == 2 * FRAMES
