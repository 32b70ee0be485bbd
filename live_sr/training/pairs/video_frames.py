"""Reads the frames of videos for training, and finds those that teach something new."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from pathlib import Path

import cv2
import numpy as np
from av.error import FFmpegError

from live_sr.errors import UsageError
from live_sr.imaging.container_crop import read_crop
from live_sr.imaging.degradation import Picture
from live_sr.imaging.video_colour import FrameReader
from live_sr.imaging.video_file import find_main_video, open_input
from live_sr.pipeline.frame import make_black
from live_sr.training.pairs.pair_folder import FLAT_CONTRAST, Grey

PLACE_S = 20  # a video is split into places of this many seconds, like a recording
THUMBNAIL = (64, 36)


def name_place(video: Path, seconds: float) -> str:
    """The name of the place that a moment of a video belongs to."""
    return f"{video.stem}-{int(seconds // PLACE_S):03}"


def make_thumbnail(picture: Picture) -> Grey:
    """Grey, 36x64, 0..255."""
    grey = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)
    return np.asarray(cv2.resize(grey, THUMBNAIL, interpolation=cv2.INTER_AREA), np.float32)


def read_video_frames(path: Path) -> Iterator[tuple[float, Picture]]:
    """Yields seconds since the first frame and BGR pictures, to the end or to damage in the file. Raises UsageError."""
    try:
        container = open_input(path)
    except (FFmpegError, OSError) as error:
        raise UsageError(f"{path} cannot be played: {error.strerror}", "choose a video file") from None
    with container:
        stream = find_main_video(container)
        if stream is None:
            raise UsageError(f"{path} has no video in it", "choose a video file")
        stream.thread_type = "AUTO"
        rate = float(stream.average_rate or 30)
        reader = FrameReader(read_crop(path, stream.index))
        begun: float | None = None
        try:
            for number, frame in enumerate(container.decode(stream)):
                time = number / rate if frame.time is None else frame.time
                begun = time if begun is None else begun
                pixels = make_black(reader.find_size(frame))
                reader.read(frame, pixels)
                yield time - begun, np.ascontiguousarray(pixels[..., :3])
        except FFmpegError:
            pass
        if begun is None:
            raise UsageError(f"{path} has no picture that can be decoded", "choose another video file")


class NoveltyFilter:
    """Rejects frames that teach nothing new: those that look like the last kept one, and those in a fade.

    Works on thumbnails. least_change: mean difference from the last kept frame, of 255; a still scene with a blinking
    light stays below it. A fade is a run of `memory` frames in which brightness and contrast both only rise or only
    fall, and change by more than the share `fading`.
    """

    def __init__(self, least_change: float = 2.0, memory: int = 9, fading: float = 0.1) -> None:
        self._least_change = least_change
        self._fading = fading
        self._kept: Grey | None = None
        self._levels: deque[tuple[float, float]] = deque(maxlen=memory)

    def passes(self, frame: Picture, wanted: bool) -> bool:
        """Call it with every frame in turn. Only a `wanted` frame can pass; it is then the last kept one."""
        thumb = make_thumbnail(frame)
        self._levels.append((float(thumb.mean()), float(thumb.std())))
        if not wanted or thumb.std() < FLAT_CONTRAST or self._fades():
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


class SceneDetector:
    """Finds one frame of every scene, `settled` frames after the cut: by then the codec has recovered from it.

    A cut is a change of the thumbnail by more than `sudden` levels of 255, and by more than `times` the usual change
    before and after it.
    """

    def __init__(self, sudden: float = 12.0, times: float = 1.7, settled: int = 3) -> None:
        self._sudden, self._times, self._settled = sudden, times, settled
        self._last: Grey | None = None
        self._changes: deque[float] = deque(maxlen=12 + settled)
        self._seen = 0

    def wanted(self, frame: Picture) -> bool:
        """Call it with every frame in turn. Whether this is the frame of a scene."""
        thumb = make_thumbnail(frame)
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
