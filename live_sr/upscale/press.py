"""Enlarged pictures into one segment's file: resized where an exact size was asked for, converted, encoded, written."""

from __future__ import annotations

from pathlib import Path

from av.video.frame import VideoFrame

from live_sr.frame import Pixels, size_of
from live_sr.upscale import colour
from live_sr.upscale.encode import Encoder, Recipe
from live_sr.upscale.footage import Footage
from live_sr.upscale.segmentfile import SegmentWriter, Tally


class Press:
    """One segment, on one thread. `finish` or `abandon` ends it. Raises EngineError, or LiveSRError for a full disk."""

    def __init__(self, footage: Footage, made: Recipe, path: Path) -> None:
        self._time_base = footage.time_base
        self._size = made.size
        self._resize = made.work.resizer()
        self._resized: Pixels | None = None
        self._converter = colour.Writer(made.colours.read_at(made.size), made.pixels)
        self._encoder = Encoder(made, footage.time_base, footage.rate)
        self._writer = SegmentWriter(path)
        self._frame: VideoFrame | None = None
        self._frames = self._duplicates = self._duration = 0

    def add(self, time: int, duration: int, pixels: Pixels | None) -> None:
        """A picture, which is no longer needed on return; None: the one before once more."""
        if pixels is not None:
            if size_of(pixels) != self._size:
                self._resized = pixels = self._resize(pixels, self._size, self._resized)
            self._frame = self._converter.write(pixels)
        assert self._frame is not None
        self._frame.pts, self._frame.time_base, self._frame.duration = time, self._time_base, duration
        self._frames += 1
        self._duplicates += pixels is None
        self._duration = duration
        self._write(self._frame)

    def finish(self, broken: int, mended: int) -> Tally:
        if self._frames:
            self._write(None)
        tally = Tally(self._frames, self._duplicates, broken, mended)
        self._writer.finish(self._encoder.extradata, self._duration, tally)
        return tally

    def abandon(self) -> None:
        self._writer.abandon()

    def _write(self, frame: VideoFrame | None) -> None:
        for data, time, key in self._encoder.encode(frame):
            self._writer.add(data, time, key)
