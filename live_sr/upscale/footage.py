"""What a video file holds, read before any work begins."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path

import av
from av.container import InputContainer
from av.error import FFmpegError
from av.packet import Packet
from av.stream import Disposition
from av.video.frame import VideoFrame
from av.video.stream import VideoStream

from live_sr.errors import UsageError
from live_sr.frame import Size
from live_sr.upscale import colour
from live_sr.upscale.colour import Colours

USUAL_RATE = Fraction(30)  # frames per second, for a file that tells neither times nor a rate
TRIES = 300  # packets among which a picture must be found


@dataclass(frozen=True)
class Footage:
    """The pictures of a file: plain values, the same wherever the file can be read.

    stream: its index in the file. rate: frames per second on average, as told. aspect: of a pixel, 0 for not told.
    rotation: degrees by which a player turns the picture. bytes and changed_ns tell whether the file is still the same.
    """

    path: Path
    stream: int
    size: Size
    pixels: str
    time_base: Fraction
    rate: Fraction
    aspect: Fraction
    colours: Colours
    rotation: int
    interlaced: bool
    bytes: int
    changed_ns: int


@contextmanager
def opened(path: Path) -> Iterator[InputContainer]:
    """The file, closed afterwards. Raises UsageError for one that is missing, empty or of no known kind."""
    try:
        if path.stat().st_size == 0:
            raise UsageError(f"{path} is empty", "choose another file")
        # titles are in any encoding; an AVI may leave out when a picture is shown
        container = av.open(str(path), metadata_errors="replace", container_options={"fflags": "+genpts"})
    except FFmpegError as error:
        raise UsageError(
            f"{path} is no video, or it is damaged where a player begins to read: {error.strerror}",
            "choose another file; one whose recording was cut off may be mended with a tool for its kind",
        ) from None
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "correct the path") from None
    try:
        yield container
    finally:
        container.close()


def read(path: Path) -> Footage:
    """Looks into the file and decodes one picture. Raises UsageError with what is wrong with it."""
    with opened(path) as container:
        if container.format.name == "tty":  # which draws any text in a terminal's font
            raise UsageError(f"{path} is text, not a video", "choose a video file")
        stream = _pictures(container)
        if stream is None:
            raise UsageError(f"{path} has no video in it", "choose a video file")
        frame = _first(container, stream)
        if frame is None:
            raise UsageError(f"{path} has no picture that can be decoded", "choose another video file")
        facts = path.stat()
        return Footage(
            path=path,
            stream=stream.index,
            size=Size(frame.width, frame.height),
            pixels=frame.format.name,
            time_base=stream.time_base or Fraction(1, 90000),
            rate=stream.average_rate or stream.guessed_rate or USUAL_RATE,
            aspect=stream.sample_aspect_ratio or Fraction(0),
            colours=_colours(frame),
            rotation=frame.rotation,
            interlaced=frame.interlaced_frame,
            bytes=facts.st_size,
            changed_ns=facts.st_mtime_ns,
        )


def packets(footage: Footage, key: int | None) -> Iterator[tuple[VideoStream, Packet[VideoStream]]]:
    """The packets of the pictures from the key frame of that time on (None: all), each with its stream, a decoder.

    The last one is empty: it asks the decoder for what it still holds. Raises FFmpegError where reading fails.
    """
    for search in (True, False):
        with opened(footage.path) as container:
            stream = container.streams.video[0]
            for stream in container.streams.video:
                if stream.index == footage.stream:
                    break
            stream.thread_type = "AUTO"
            if key is not None and search:
                container.seek(key, stream=stream)
            found = key is None
            for packet in container.demux(stream):
                found = found or (packet.pts == key and packet.is_keyframe)
                if found:
                    yield stream, packet
                elif search and (packet.pts is None or packet.pts > (key or 0)):
                    break  # the search went too far; look from the beginning
            if found:
                return


def check(footage: Footage, allow_8bit: bool) -> None:
    """Raises UsageError for what 8 bits a channel cannot show."""
    hdr = colour.TRANSFERS_HDR.get(footage.colours.transfer)
    if hdr:
        raise UsageError(
            f"{footage.path} is HDR ({hdr}), and the engines work with 8 bits a channel, which cannot hold it",
            "tone-map it to SDR first, for example with FFmpeg's filters zscale and tonemap",
        )
    bits = colour.depth(footage.pixels)
    if bits > 8 and not allow_8bit:
        raise UsageError(
            f"{footage.path} has {bits} bits a channel, and the engines work with 8",
            "add --allow-8bit to get a video of 8 bits a channel; smooth skies may show bands then",
        )
    footage.colours.read_at(footage.size)


def _pictures(container: InputContainer) -> VideoStream | None:
    """The video: the first that is not a cover or thumbnail."""
    still = Disposition.attached_pic | Disposition.timed_thumbnails
    return next((s for s in container.streams.video if not s.disposition & still), None)


def _first(container: InputContainer, stream: VideoStream) -> VideoFrame | None:
    try:
        for tried, packet in enumerate(container.demux(stream)):
            try:
                frames = stream.decode(packet)
            except FFmpegError:
                frames = []  # damaged; a later one may do
            if frames:
                return frames[0]
            if tried > TRIES:
                break
    except FFmpegError:
        pass  # it ends here
    return None


def _colours(frame: VideoFrame) -> Colours:
    # RGB is made into YUV of the usual range
    full = not frame.format.is_rgb and (frame.color_range == 2 or frame.format.name.startswith("yuvj"))
    return Colours(frame.colorspace, frame.color_primaries, frame.color_trc, full)
