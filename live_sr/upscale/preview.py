"""Shows the current frame of a long job as a thumbnail file."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from time import monotonic

from live_sr.errors import LiveSRError
from live_sr.imaging import png
from live_sr.pipeline.contracts import Resize
from live_sr.pipeline.frame import Pixels, Size, get_size

THUMBNAIL_SIZE = Size(640, 360)
REFRESH_S = 5.0


class Preview:
    """A thumbnail file, rewritten every few seconds. If it cannot be written, the job goes on without it."""

    def __init__(
        self, path: Path, resize: Resize, notify: Callable[[str], None], clock: Callable[[], float] = monotonic
    ) -> None:
        self._path = path
        self._resize = resize
        self._notify = notify
        self._clock = clock
        self._due: float | None = clock()

    def show(self, pixels: Pixels) -> None:
        now = self._clock()
        if self._due is None or now < self._due:
            return
        self._due = now + REFRESH_S
        size = get_size(pixels)
        if size.width > THUMBNAIL_SIZE.width or size.height > THUMBNAIL_SIZE.height:
            size = size.fit_into(THUMBNAIL_SIZE)
        try:
            png.write_png(self._path, self._resize(pixels, size, None))
        except LiveSRError as error:
            self._due = None
            self._notify(f"the preview cannot be written: {error.message}")
