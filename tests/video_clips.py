"""Small videos for tests, and what becomes of them."""

from collections.abc import Sequence
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from live_sr.imaging import video_colour as colour
from live_sr.imaging.video_file import open_input
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Pixels, Size
from live_sr.upscale.options import EncodingOptions, ScalingOptions
from live_sr.upscale.video import job as video
from live_sr.upscale.video import source_info
from live_sr.upscale.video.job import OutputOptions

SIZE = Size(48, 32)
FRAMES = 30
NEAREST = ScalingOptions(model=resolve("nearest"), scale=2)
QUICK = EncodingOptions(preset="ultrafast", segment_s=0.3)
LOSSLESS = EncodingOptions(codec="ffv1", segment_s=0.3)


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
                interpolation=colour.EXACT_CONVERSION,
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
    source: Path,
    target: Path,
    work: ScalingOptions = NEAREST,
    encoding: EncodingOptions = QUICK,
    **output_options: object,
) -> tuple[Path, list[str]]:
    """The target, and what was said."""
    said: list[str] = []
    video.upscale_video(source, target, work, encoding, OutputOptions(**output_options), notify=said.append)  # type: ignore[arg-type]
    return target, said


def decoded(path: Path) -> tuple[list[Fraction], list[Pixels]]:
    """Times in seconds and pictures."""
    found = source_info.read_info(path)
    reader = colour.InputConverter(found.matrix_tags, found.size, found.geometry)
    times, shown = [], []
    with open_input(path) as container:
        for frame in container.decode(container.streams[found.stream]):
            picture = np.empty((found.size.height, found.size.width, 4), np.uint8)
            reader.convert(frame, picture)
            times.append(frame.pts * frame.time_base)
            shown.append(picture)
    return times, shown
