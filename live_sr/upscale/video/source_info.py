"""Reads what a video file contains, before any frame is upscaled."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

from av.codec.context import Flags
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.rational import AVRational
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from live_sr.errors import UsageError
from live_sr.imaging import container_crop
from live_sr.imaging import video_colour as colour
from live_sr.imaging.colour_profile import HDR_TRANSFERS
from live_sr.imaging.video_colour import ColourTags
from live_sr.imaging.video_file import TERMINAL, find_main_video, open_input
from live_sr.imaging.video_geometry import Geometry, read_geometry
from live_sr.pipeline.frame import Size
from live_sr.upscale.video.clock import STEADY, Clock, PacketClock

DEFAULT_RATE = Fraction(30)  # frames per second, for a file that has neither times nor a rate
MAX_PACKETS = 300  # in which a first frame must be found


@dataclass(frozen=True)
class VideoInfo:
    """A file's video stream, as plain values that are the same on every machine that can read the file.

    stream: its index in the file. size and pixel_aspect: of the picture as it is shown, with `geometry` applied; aspect
    0 where the file does not say it. rate: average frames per second, as the file says. transparent: the file has
    transparency, even if the decoder does not return it. clock: corrects the times of the file's packets. file_bytes
    and mtime_ns: to recognise whether the file has changed.
    """

    path: Path
    stream: int
    codec: str
    size: Size
    pixel_format: str
    time_base: Fraction
    rate: Fraction
    pixel_aspect: Fraction
    colours: ColourTags
    geometry: Geometry
    interlaced: bool
    transparent: bool
    file_bytes: int
    mtime_ns: int
    clock: Clock = STEADY

    @property
    def decoded_size(self) -> Size:
        """The size before the picture is cut and turned."""
        return self.geometry.compute_decoded_size(self.size)

    @property
    def matrix_tags(self) -> ColourTags:
        """The colour tags, with the matrix that players assume where the file has none. Raises UsageError."""
        return self.colours.resolve_matrix(self.decoded_size)


@contextmanager
def open_source(path: Path) -> Iterator[InputContainer]:
    """Opens the file and closes it afterwards. Raises UsageError where it is missing, empty, or of unknown format."""
    try:
        if path.stat().st_size == 0:
            raise UsageError(f"{path} is empty", "choose another file")
        container = open_input(path, {"fflags": "+genpts"})  # an AVI may lack the times of its frames
    except FFmpegError as error:
        raise UsageError(
            f"{path} is no video, or its header is damaged: {error.strerror}",
            "choose another file; a recording that was cut off may be repaired with a tool for its format",
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "correct the path") from None
    try:
        yield container
    finally:
        container.close()


def read_info(path: Path) -> VideoInfo:
    """Reads the file's headers and decodes one frame. Raises UsageError with what is wrong with the file."""
    with open_source(path) as container:
        if container.format.name == TERMINAL:
            raise UsageError(f"{path} is text, not a video", "choose a video file")
        stream = find_main_video(container)
        if stream is None:
            raise UsageError(f"{path} has no video in it", "choose a video file")
        frame = _decode_first_frame(container, stream)
        if frame is None:
            raise UsageError(f"{path} has no frame that can be decoded", "choose another video file")
        facts = path.stat()
        geometry = read_geometry(frame, container_crop.read_crop(path, stream.index))
        return VideoInfo(
            path=path,
            stream=stream.index,
            codec=stream.codec.canonical_name,
            size=geometry.compute_shown_size(Size(frame.width, frame.height)),
            pixel_format=frame.format.name,
            time_base=to_fraction(stream.time_base) or Fraction(1, 90000),
            rate=to_fraction(stream.average_rate) or to_fraction(stream.guessed_rate) or DEFAULT_RATE,
            pixel_aspect=geometry.compute_shown_aspect(to_fraction(stream.sample_aspect_ratio)),
            colours=colour.read_colour_tags(frame),
            geometry=geometry,
            interlaced=frame.interlaced_frame,
            transparent=colour.has_alpha(frame.format.name) or _says_alpha(stream),
            file_bytes=facts.st_size,
            mtime_ns=facts.st_mtime_ns,
        )


def to_fraction(ratio: Fraction | AVRational | None) -> Fraction:
    """A ratio of PyAV 18 (Fraction or None) or 19 (AVRational, which may be 0/0). 0 where the file has none."""
    return Fraction(ratio.numerator, ratio.denominator) if ratio else Fraction(0)


def demux_packets(info: VideoInfo, key: int | None) -> Iterator[tuple[VideoStream, Packet[VideoStream]]]:
    """The video's packets from the key frame at time `key` on (None: all), each with its stream, which decodes it.

    Their times are corrected by the video's clock. The last packet is empty; it makes the decoder return the frames
    that it still holds. Raises FFmpegError where reading fails.
    """
    for use_seek in (True, False):
        with open_source(info.path) as container:
            stream = container.streams.video[0]
            for stream in container.streams.video:
                if stream.index == info.stream:
                    break
            # One frame at a time. With several, PyAV ends the flush at a damaged packet and loses the frames after it
            # without an error. Whether a damaged frame is marked as such would also vary from run to run.
            stream.thread_type = "SLICE"
            stream.codec_context.flags |= Flags.unaligned  # or a crop at the left is rounded to what suits the memory
            if key is not None and use_seek:
                container.seek(info.clock.find_file_time(key, info.time_base), stream=stream)
            found = key is None
            clock = PacketClock(info.clock)
            for packet in container.demux(stream):
                clock.correct(packet)
                found = found or (packet.pts == key and packet.is_keyframe)
                if found:
                    yield stream, packet
                elif use_seek and (packet.pts is None or packet.pts > (key or 0)):
                    break  # the seek went too far; read from the start instead
            if found:
                return


def check_supported(info: VideoInfo, allow_8bit: bool) -> None:
    """Raises UsageError for a video that cannot be shown with 8 bits a channel."""
    hdr = HDR_TRANSFERS.get(info.colours.transfer)
    if hdr:
        raise UsageError(
            f"{info.path} is HDR ({hdr}), and the engines work with 8 bits a channel, which cannot hold it",
            "tone-map it to SDR first, for example with FFmpeg's filters zscale and tonemap",
        )
    bits = colour.get_bit_depth(info.pixel_format)
    if bits > 8 and not allow_8bit:
        raise UsageError(
            f"{info.path} has {bits} bits a channel, and the engines work with 8",
            "add --allow-8bit to get a video of 8 bits a channel; smooth skies may show bands then",
        )
    _ = info.matrix_tags


def _says_alpha(stream: VideoStream) -> bool:
    """Whether WebM's mark of transparency is there; FFmpeg's own decoders of VP8 and VP9 leave that out."""
    return any(key.lower() == "alpha_mode" and value == "1" for key, value in stream.metadata.items())


def _decode_first_frame(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    stream.codec_context.flags |= Flags.unaligned
    try:
        for tried, packet in enumerate(container.demux(stream)):
            try:
                frames = stream.decode(packet)
            except FFmpegError:
                frames = []  # damaged; a later packet may work
            if frames:
                return frames[0]
            if tried > MAX_PACKETS:
                break
    except FFmpegError:
        pass  # the file ends here
    return None
