"""Writes pictures into a video file while they are made: the fastest encoder here, and a file that survives a crash."""

from __future__ import annotations

import logging
from fractions import Fraction
from pathlib import Path
from typing import cast

import av
import numpy as np
from av.audio.frame import AudioFrame
from av.audio.stream import AudioStream
from av.container import OutputContainer
from av.error import FFmpegError
from av.video.codeccontext import VideoCodecContext
from av.video.frame import VideoFrame
from av.video.reformatter import Interpolation, VideoReformatter
from av.video.stream import VideoStream

from live_sr.imaging.video_codecs import AUTO_CODECS, CODECS, HARDWARE_CODECS, VideoCodec
from live_sr.imaging.video_colour import tag_encoder
from live_sr.imaging.video_file import open_output
from live_sr.imaging.video_frame_pool import COLOURS, PIXEL_FORMAT, PooledFrame, get_plane
from live_sr.pipeline.frame import Size
from live_sr.pipeline.sound import RATE, Samples, make_silence

LESS_QUALITY = 4  # than `upscale` has by default, in the codec's own scale
TIME_BASE = Fraction(1, 1000)
NOMINAL_RATE = 60  # pictures a second, which encoders want to know; each picture has a time of its own
# x264: rate control would look at each picture before it is encoded, which is a fifth of its time with this preset, and
# dct-decimate looks for blocks with so little in them that they can be left out, which is a sixth.
# MPEG-4: every picture by itself, because looking for motion takes half as long again.
LIVE_OPTIONS = {
    "libx264": {"preset": "ultrafast", "qp": "26", "x264-params": "merange=4:no-dct-decimate=1"},
    "mpeg4": {"qmin": "6", "qmax": "6", "g": "1"},
}
MPEG4 = VideoCodec("mpeg4", 6, 31, "", (), lambda quality, preset, threads: LIVE_OPTIONS["mpeg4"])
"""0.6 of the processor time of x264 at its fastest, in a larger file: 1.4 times as large, more where little moves."""
ONE_THREAD = 1920 * 1200  # pixels that one thread of x264 encodes in time; a second one makes it no cheaper
# What a crash leaves is a file that plays up to half a second before it.
CRASH_SAFE = {"cluster_time_limit": "500", "flush_packets": "1", "max_interleave_delta": "500000"}
SOUND_CODEC, SOUND_FRAME = "libopus", RATE // 50  # which takes 20 ms at once
SOUND_BITS = 160_000  # a second
# Half the time of Opus's defaults; at this rate nobody hears a difference.
FASTEST_OPUS = {"compression_level": "0", "application": "lowdelay"}

log = logging.getLogger(__name__)


class VideoWriter:
    """A Matroska file, as large as its first picture. Used by one thread."""

    def __init__(self, path: Path, size: Size, *, sound: bool = False, fastest: bool = False) -> None:
        """`size`: even numbers. `sound`: whether the file has sound. `fastest`: MPEG-4 in place of x264's H.264.

        Raises FFmpegError, OSError or ValueError, as the other methods do.
        """
        codec = choose_encoder(size, fastest=fastest)
        self._size = size
        self._last_ms = -1
        self._pixel_format = codec.formats[0][1]
        self._reformatter = VideoReformatter()
        self._container = open_output(path, "matroska", CRASH_SAFE)
        try:
            self._stream = cast(VideoStream, self._container.add_stream(codec.name, rate=NOMINAL_RATE))
            configure(self._stream.codec_context, codec, size)
            self._sound = SoundTrack(self._container) if sound else None
        except BaseException:
            self._container.close()
            raise

    def add_sound(self, samples: Samples) -> None:
        """Appends to the sound, which begins at time 0. Only in a file with sound."""
        assert self._sound is not None
        self._sound.add(samples)

    def add(self, picture: PooledFrame, time_ms: int) -> None:
        """Encodes a frame. One of another size is fitted into the size of the first, on black.

        The frame may be used again afterwards.
        """
        frame = self._convert(self._fit(picture))
        self._last_ms = max(time_ms, self._last_ms + 1)
        frame.pts, frame.time_base = self._last_ms, TIME_BASE
        self._container.mux(self._stream.encode(frame))

    def close(self) -> None:
        try:
            self._container.mux(self._stream.encode(None))
            if self._sound is not None:
                self._sound.end()
        finally:
            self._container.close()

    def _convert(self, frame: VideoFrame) -> VideoFrame:
        if self._pixel_format == PIXEL_FORMAT:
            return frame
        return self._reformatter.reformat(frame, format=self._pixel_format, threads=1)

    def _fit(self, picture: VideoFrame) -> VideoFrame:
        size = Size(picture.width, picture.height)
        if size == self._size:
            return picture
        width, height = round_to_even(size.fit_into(self._size))
        small = self._reformatter.reformat(
            picture, width=width, height=height, interpolation=Interpolation.BICUBIC, threads=1
        )
        whole = VideoFrame(*self._size, PIXEL_FORMAT)
        top, left = (self._size.height - height) // 4, (self._size.width - width) // 4  # in pixels of the chroma
        for number, (black, step) in enumerate(((16, 2), (128, 1), (128, 1))):
            source, target = get_plane(small, number), get_plane(whole, number)
            target[:] = black
            rows, columns = source.shape
            target[top * step : top * step + rows, left * step : left * step + columns] = source
        return whole


class SoundTrack:
    """The sound of a file: Opus."""

    def __init__(self, container: OutputContainer) -> None:
        self._container = container
        self._stream = cast(AudioStream, container.add_stream(SOUND_CODEC, rate=RATE, options=FASTEST_OPUS))
        self._stream.codec_context.layout = "stereo"
        self._stream.codec_context.bit_rate = SOUND_BITS
        self._waiting = make_silence(0)
        self._written = 0  # samples

    def add(self, samples: Samples) -> None:
        self._waiting = np.concatenate([self._waiting, samples])
        whole = len(self._waiting) // SOUND_FRAME * SOUND_FRAME
        for start in range(0, whole, SOUND_FRAME):
            self._encode(self._waiting[start : start + SOUND_FRAME])
        self._waiting = self._waiting[whole:]

    def end(self) -> None:
        self._encode(self._waiting)
        self._container.mux(self._stream.encode(None))

    def _encode(self, samples: Samples) -> None:
        if len(samples):
            frame = AudioFrame.from_ndarray(samples.reshape(1, -1), "flt", "stereo")
            frame.sample_rate, frame.pts, frame.time_base = RATE, self._written, Fraction(1, RATE)
            self._container.mux(self._stream.encode(frame))
            self._written += len(samples)


def choose_encoder(size: Size, *, fastest: bool = False) -> VideoCodec:
    """A hardware encoder for H.264 that opens here, or x264; before that MPEG-4 if it is to be the `fastest`.

    The log names it, and says why not the others.
    """
    wanted = [codec for codec in HARDWARE_CODECS if codec.name in AUTO_CODECS] + [MPEG4] * fastest
    codec = next((codec for codec in wanted if _opens(codec, size)), CODECS["libx264"])
    log.info("the recording is encoded by %s", codec.name)
    return codec


def _opens(codec: VideoCodec, size: Size) -> bool:
    """Whether that encoder can be used here. One that wants its pictures on the device, vaapi, cannot."""
    if codec.name not in av.codecs_available or codec.device:
        return False
    context = cast(VideoCodecContext, av.CodecContext.create(codec.name, "w"))
    configure(context, codec, size)
    try:
        context.open()
    except (FFmpegError, OSError, ValueError) as error:
        log.debug("the recording is not encoded by %s: %s", codec.name, error)
        return False
    return True


def configure(context: VideoCodecContext, codec: VideoCodec, size: Size) -> None:
    """Applies the fastest preset and the colours to an encoder that is not open yet."""
    threads = 1 if size.width * size.height <= ONE_THREAD else 2
    context.width, context.height = size
    context.pix_fmt = codec.formats[0][1]
    context.time_base, context.framerate = TIME_BASE, Fraction(NOMINAL_RATE)
    context.thread_count, context.thread_type = threads, "SLICE"
    preset = codec.presets[0] if codec.presets else ""
    options = codec.options(f"{codec.quality + LESS_QUALITY:g}", preset, threads)
    context.options = LIVE_OPTIONS.get(codec.name, options)
    tag_encoder(context, COLOURS)


def round_to_even(size: Size) -> Size:
    """The largest size not above it that 4:2:0 can store."""
    return Size(max(2, size.width // 2 * 2), max(2, size.height // 2 * 2))
