"""Frames of videos for training: read one after another, without those that teach nothing new."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import av
import cv2
import numpy as np
from aligned import FLAT, Grey
from av.error import FFmpegError
from degrade import bgr

from live_sr.degradation import Picture
from live_sr.errors import UsageError

STRETCH_S = 20  # a video is cut into places of this many seconds, as a recording is
THUMB = (64, 36)


def place_at(video: Path, seconds: float) -> str:
    """The place that a moment of a video belongs to."""
    return f"{video.stem}-{int(seconds // STRETCH_S):03}"


def thumbnail(picture: Picture) -> Grey:
    """Grey, 36x64, 0..255."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, THUMB, interpolation=cv2.INTER_AREA), np.float32)


def video_frames(path: Path) -> Iterator[tuple[float, Picture]]:
    """Seconds since the first and BGR pictures, to the end or to where the file is damaged. Raises UsageError."""
    try:
        container = av.open(str(path), metadata_errors="replace")
    except (FFmpegError, OSError) as error:
        raise UsageError(f"{path} cannot be played: {error.strerror}", "choose a video file") from None
    with container:
        if not container.streams.video or container.format.name == "tty":  # which draws any text in a terminal's font
            raise UsageError(f"{path} has no video in it", "choose a video file")
        stream = container.streams.video[0]
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or 30)
        begun: float | None = None
        try:
            for number, frame in enumerate(container.decode(stream)):
                time = number / rate if frame.time is None else frame.time
                begun = time if begun is None else begun
                yield time - begun, bgr(frame)
        except FFmpegError:
            pass
        if begun is None:
            raise UsageError(f"{path} has no picture that can be decoded", "choose another video file")


class Sieve:
    """Finds frames that teach nothing new: those that look like the last one that was kept, and fades.

    least_change: mean difference from the last kept frame, of 255; a still scene with a blinking light has less.
    memory: frames that a fade is known by, in which brightness and contrast both go one way and change by the share
    `fading`. Works on thumbnails.
    """

    def __init__(self, least_change: float = 2.0, memory: int = 9, fading: float = 0.1) -> None:
        self._least_change = least_change
        self._fading = fading
        self._kept: Grey | None = None
        self._levels: deque[tuple[float, float]] = deque(maxlen=memory)

    def passes(self, frame: Picture, wanted: bool) -> bool:
        """To be asked of every frame in turn. Only a `wanted` one can pass, and is then the last kept."""
        thumb = thumbnail(frame)
        self._levels.append((float(thumb.mean()), float(thumb.std())))
        if not wanted or thumb.std() < FLAT or self._fades():
            return False
        if self._kept is not None and np.abs(thumb - self._kept).mean() < self._least_change:
            return False
        self._kept = thumb
        return True

    def _fades(self) -> bool:
        levels = np.array(self._levels)
        steps, change = np.diff(levels, axis=0), np.abs(levels[-1] - levels[0])
        one_way = ((steps >= 0).all(0) | (steps <= 0).all(0)).all()
        return bool(one_way and (change > self._fading * levels.max(0)).all())


class Scenes:
    """Finds one frame of every scene: `settled` frames after its first, when a codec has made up for the cut.

    A cut is a change of the thumbnail by `sudden` levels or more that is `times` what is usual before and after it.
    """

    def __init__(self, sudden: float = 12.0, times: float = 1.7, settled: int = 3) -> None:
        self._sudden, self._times, self._settled = sudden, times, settled
        self._last: Grey | None = None
        self._changes: deque[float] = deque(maxlen=12 + settled)
        self._seen = 0

    def wanted(self, frame: Picture) -> bool:
        """To be asked of every frame in turn."""
        thumb = thumbnail(frame)
        if self._last is not None:
            self._changes.append(float(np.abs(thumb - self._last).mean()))
        self._last = thumb
        self._seen += 1
        if self._seen <= self._settled + 1:
            return self._seen == self._settled + 1
        *before, change = list(self._changes)[: -self._settled]
        after = list(self._changes)[-self._settled :]
        usual = max(float(np.median(before)) if before else 0.0, float(np.median(after)))
        return change > max(self._sudden, self._times * usual)
