"""Captures the game's own window, covered or not, by Windows.Graphics.Capture through windows-capture 2.

Written against the package's source (Python and Rust) and never run (docs/never-run-here.md).
"""

from __future__ import annotations

import logging
import threading
import time
from typing import NamedTuple, Protocol

from live_sr.capture.win_geometry import Box, choose_seen_ns, compute_client_box, copy_opaque
from live_sr.errors import MissingPart, SourceClosed, SourceLost
from live_sr.pipeline.frame import Frame, Pixels, Size, Stamps, get_size
from live_sr.system import win32

log = logging.getLogger(__name__)


class WgcFrame(Protocol):
    """The part of windows_capture's Frame that is used. Its texture stays readable while the frame is referenced."""

    frame_buffer: Pixels  # (height, width, 4) BGRA with gaps between the rows
    timespan: int  # in units of 100 ns, of the performance counter's clock


class WgcControl(Protocol):
    """The part of windows_capture's CaptureControl that is used."""

    def is_finished(self) -> bool: ...

    def stop(self) -> None: ...


class CaptureOptions(NamedTuple):
    """Options of a capture session; None leaves the system's default."""

    cursor_capture: bool | None
    draw_border: bool | None
    minimum_update_interval: int | None  # ms


# The library refuses to start with an option that this Windows does not know, so the newest are dropped first:
OPTIONS_TO_TRY = (
    CaptureOptions(False, False, 1),  # Windows 11 24H2, which otherwise delivers at most 60 frames a second
    CaptureOptions(False, False, None),  # Windows 11
    CaptureOptions(False, None, None),  # Windows 10 2004: it draws a yellow border around the game
    CaptureOptions(None, None, None),  # older: the pointer is in the picture, too
)
REFUSED = "not supported"  # the end of the library's message about an option that this Windows does not know


class WgcSource:
    """The client area of one window. Raises SourceClosed when the window is gone, SourceLost while it is minimised.

    The library calls back on a thread of its own for each new frame; only the newest is kept.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._changed = threading.Condition()
        # guarded by _changed:
        self._newest_frame: WgcFrame | None = None
        self._finished_frame: WgcFrame | None = None
        self._window_closed = False
        # the source thread's:
        self._check_window()
        rect = win32.get_client_rect(window)
        self._size = rect.size if rect else Size(1, 1)
        self._control = self._start()

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        with self._changed:
            if self._newest_frame is None and not self._window_closed:
                self._changed.wait(timeout_s)
            arrived, self._newest_frame = self._newest_frame, None
        self._check_window()
        if arrived is None:
            self._check_thread()
            return None
        frame = self._extract(arrived, into)
        with self._changed:
            # The texture is unmapped on the thread that drops the last reference. On this thread that could wait for
            # the GPU while holding Python's lock; on the library's thread (in `on_frame_arrived`) it never waits.
            self._finished_frame = arrived
        return frame

    def close(self) -> None:
        try:
            self._control.stop()  # joins the library's thread
        except Exception as error:  # the library raises what ended its thread: reported before, or irrelevant now
            log.debug("the capture had ended: %s", error)
        with self._changed:
            self._newest_frame = self._finished_frame = None

    def _check_window(self) -> None:
        """Raises SourceClosed when the window is gone, SourceLost while it is minimised."""
        with self._changed:
            closed = self._window_closed
        if closed or not win32.is_window(self._window):
            raise SourceClosed("the game's window was closed")
        if win32.is_minimised(self._window):
            raise SourceLost("the game's window is minimised")

    def _check_thread(self) -> None:
        """Raises SourceLost when the library's thread has ended by itself."""
        if not self._control.is_finished():
            return
        try:
            self._control.stop()
        except Exception as error:  # the library has no class for its errors
            raise SourceLost(f"the capture of the window ended: {error}") from error
        raise SourceLost("the capture of the window ended")

    def _extract(self, arrived: WgcFrame, into: Pixels | None) -> Frame[Pixels] | None:
        stamps = Stamps(seen=choose_seen_ns(arrived.timespan * 100, time.perf_counter_ns()))
        box = self._find_client_box(get_size(arrived.frame_buffer))
        if box is None:
            return None
        left, top, right, bottom = box
        pixels = copy_opaque(arrived.frame_buffer[top:bottom, left:right], into)
        stamps.captured = time.perf_counter_ns()
        self._size = get_size(pixels)
        return Frame(pixels, stamps)

    def _find_client_box(self, frame: Size) -> Box | None:
        client = win32.get_client_rect(self._window)
        bounds = win32.get_frame_bounds(self._window)
        window = win32.get_window_rect(self._window)
        if client is None or bounds is None or window is None:  # the window was closed just now
            return None
        return compute_client_box(client, bounds, window, frame)

    def _start(self) -> WgcControl:
        """Starts a capture with the first of OPTIONS_TO_TRY that this Windows supports."""
        try:
            import windows_capture  # noqa: F401  (first, so that below only the library's own failures are caught)
        except (ImportError, OSError) as error:
            raise MissingPart(f"windows-capture cannot be used: {error}", "pip install windows-capture") from error
        refusal = ""
        for options in OPTIONS_TO_TRY:
            try:
                return self._start_with(options)
            except Exception as error:  # the library has no class for its errors
                refusal = str(error)
                if REFUSED not in refusal:
                    raise SourceLost(f"the window cannot be captured: {refusal}") from error
        raise MissingPart(f"windows-capture cannot start: {refusal}", "live-sr needs Windows 10 1903 or newer for it")

    def _start_with(self, options: CaptureOptions) -> WgcControl:
        import windows_capture

        capture = windows_capture.WindowsCapture(
            cursor_capture=options.cursor_capture,
            draw_border=options.draw_border,
            minimum_update_interval=options.minimum_update_interval,
            window_hwnd=self._window,
        )

        def on_frame_arrived(frame: WgcFrame, _control: object) -> None:
            with self._changed:
                self._newest_frame, self._finished_frame = frame, None
                self._changed.notify()

        def on_closed() -> None:
            with self._changed:
                self._window_closed = True
                self._changed.notify()

        capture.event(on_frame_arrived)  # the library recognizes the two by their names
        capture.event(on_closed)
        control: WgcControl = capture.start_free_threaded()
        return control
