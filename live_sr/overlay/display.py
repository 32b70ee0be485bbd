"""The display: frames from the upscale thread, painted by a window of the GUI thread."""

from __future__ import annotations

from time import perf_counter_ns

from PyQt6.QtCore import QObject, Qt, pyqtSignal

from live_sr.overlay.surface import Surface
from live_sr.overlay.triple_buffer import TripleBuffer
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame
from live_sr.pipeline.latency import Latency


class QtDisplay(QObject):
    """Fulfils `contracts.Display`: frames from the upscale thread, painted by the GUI thread, whose object it is.

    A window that any thread can paint is painted by the upscale thread, so that nothing waits for the event loop.

    Fills `stamps.shown` when the window has handed the picture to the compositor, and reports it to `latency`. While
    the window is not on screen, a frame costs no more than a lock; the window opens on the newest frame.
    """

    _posted = pyqtSignal()

    def __init__(self, window: Surface, latency: Latency) -> None:
        super().__init__()
        self._window = window
        self._latency = latency
        self._buffer: TripleBuffer[DisplayPicture] = TripleBuffer(latency)
        window.feed.take, window.feed.report = self._buffer.take, self._report_shown
        # PyQt6's stubs leave out the second argument.
        self._posted.connect(self._present, Qt.ConnectionType.QueuedConnection)  # type: ignore[call-arg]

    def show(self, frame: Frame[DisplayPicture]) -> Frame[DisplayPicture] | None:
        """Keeps this frame and gives back one that may be written again; never blocks. None: the first two times."""
        given_back, is_first = self._buffer.put(frame)
        if not self._window.present_here() and is_first:
            self._posted.emit()
        return given_back

    def _present(self) -> None:
        if not self._window.is_ready():
            self._buffer.ignore_drops()
        elif self._buffer.has_waiting():
            self._window.present()

    def _report_shown(self, frame: Frame[DisplayPicture]) -> None:
        frame.stamps.shown = perf_counter_ns()
        self._latency.record_shown(frame.stamps)
