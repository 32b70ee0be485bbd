"""Turns enlarged frames into a segment file: resizes, converts, encodes and writes them."""

from __future__ import annotations

from pathlib import Path

from av.video.frame import VideoFrame

from live_sr.imaging import video_colour as colour
from live_sr.pipeline.frame import Pixels, get_size
from live_sr.upscale.video.encode import Encoder, SegmentSettings
from live_sr.upscale.video.segment_file import FrameCounts, SegmentWriter
from live_sr.upscale.video.source_info import VideoInfo


class SegmentEncoder:
    """Encodes one segment, on one thread. End it with `finish` or `abandon`.

    Raises EngineError, or LiveSRError for a full disk.
    """

    def __init__(self, info: VideoInfo, settings: SegmentSettings, path: Path) -> None:
        self._time_base = info.time_base
        self._size = settings.size
        self._resize = settings.scaling.make_resizer()
        self._resized: Pixels | None = None
        self._converter = colour.OutputConverter(settings.colours.resolve_matrix(settings.size), settings.pixel_format)
        self._encoder = Encoder(settings, info.time_base, info.rate)
        self._writer = SegmentWriter(path)
        self._frame: VideoFrame | None = None
        self._frames = self._duplicates = self._duration = 0

    def add(self, time: int, duration: int, pixels: Pixels | None) -> None:
        """Adds a frame; `pixels` is no longer needed when this returns. None repeats the frame before."""
        if pixels is not None:
            if get_size(pixels) != self._size:
                self._resized = pixels = self._resize(pixels, self._size, self._resized)
            self._frame = self._converter.convert(pixels)
        assert self._frame is not None
        self._frame.pts, self._frame.time_base, self._frame.duration = time, self._time_base, duration
        self._frames += 1
        self._duplicates += pixels is None
        self._duration = duration
        self._write(self._frame)

    def finish(self, broken: int, mended: int) -> FrameCounts:
        if self._frames:
            self._write(None)
        counts = FrameCounts(self._frames, self._duplicates, broken, mended)
        self._writer.finish(self._encoder.extradata, self._duration, counts)
        return counts

    def abandon(self) -> None:
        self._writer.abandon()

    def _write(self, frame: VideoFrame | None) -> None:
        for data, time, key in self._encoder.encode(frame):
            self._writer.add(data, time, key)
