"""Windows.Graphics.Capture of the game's own window, covered or not, through windows-capture 2.

Written against the package's source (Python and Rust) and never run (docs/never-run-here.md).
"""

from __future__ import annotations

import logging
import threading
import time
from typing import NamedTuple, Protocol

from live_sr import win32
from live_sr.capture.crop import Box, client_box, opaque, seen_ns
from live_sr.errors import MissingPart, SourceClosed, SourceLost
from live_sr.frame import Frame, Pixels, Size, Stamps, size_of

log = logging.getLogger(__name__)


class Arrived(Protocol):
    """What is used of windows_capture's Frame. Its texture is its own, readable for as long as this is referenced."""

    frame_buffer: Pixels  # (height, width, 4) BGRA with gaps between the rows
    timespan: int  # 100 ns of the performance counter


class Control(Protocol):
    """What is used of windows_capture's CaptureControl."""

    def is_finished(self) -> bool: ...

    def stop(self) -> None: ...


class Wish(NamedTuple):
    """Options of a capture session; None leaves what the system does by itself."""

    cursor_capture: bool | None
    draw_border: bool | None
    minimum_update_interval: int | None  # ms


# The library refuses to start when a Windows does not know an option, so the newest are given up first:
WISHES = (
    Wish(False, False, 1),  # Windows 11 24H2, which would otherwise deliver 60 frames a second at most
    Wish(False, False, None),  # Windows 11
    Wish(False, None, None),  # Windows 10 2004: with a yellow border round the game
    Wish(None, None, None),  # before: with the pointer in the picture, too
)
REFUSED = "not supported"  # ends the library's message for an option that this Windows does not know


class WgcSource:
    """The client area of one window. Raises SourceClosed when the window is gone, SourceLost while it is minimised.

    The library calls back on its own thread with each new frame; only the newest is kept.
    """

    def __init__(self, window: int) -> None:
        self._window = window
        self._changed = threading.Condition()
        # guarded by _changed:
        self._newest: Arrived | None = None
        self._used: Arrived | None = None
        self._gone = False
        # the source thread's:
        self._look()
        rect = win32.client_rect(window)
        self._size = rect.size if rect else Size(1, 1)
        self._control = self._start()

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        with self._changed:
            if self._newest is None and not self._gone:
                self._changed.wait(timeout_s)
            arrived, self._newest = self._newest, None
        self._look()
        if arrived is None:
            self._ask_the_thread()
            return None
        frame = self._cut(arrived, into)
        with self._changed:
            # Its texture is unmapped where its last reference goes. On this thread that could wait for the graphics
            # card while holding Python's lock; on the library's own thread (in `arrived`, below) it never waits.
            self._used = arrived
        return frame

    def close(self) -> None:
        try:
            self._control.stop()  # joins the library's thread
        except Exception as error:  # the library raises what ended its thread; by now that is told, or of no interest
            log.debug("the capture had ended: %s", error)
        with self._changed:
            self._newest = self._used = None

    def _look(self) -> None:
        """Raises what the window's state asks for."""
        with self._changed:
            gone = self._gone
        if gone or not win32.alive(self._window):
            raise SourceClosed("the game's window was closed")
        if win32.minimised(self._window):
            raise SourceLost("the game's window is minimised")

    def _ask_the_thread(self) -> None:
        """Raises SourceLost when the library's thread has ended by itself."""
        if not self._control.is_finished():
            return
        try:
            self._control.stop()
        except Exception as error:  # the library has no class for its errors
            raise SourceLost(f"the capture of the window ended: {error}") from error
        raise SourceLost("the capture of the window ended")

    def _cut(self, arrived: Arrived, into: Pixels | None) -> Frame[Pixels] | None:
        stamps = Stamps(seen=seen_ns(arrived.timespan * 100, time.perf_counter_ns()))
        box = self._box(size_of(arrived.frame_buffer))
        if box is None:
            return None
        left, top, right, bottom = box
        pixels = opaque(arrived.frame_buffer[top:bottom, left:right], into)
        stamps.captured = time.perf_counter_ns()
        self._size = size_of(pixels)
        return Frame(pixels, stamps)

    def _box(self, frame: Size) -> Box | None:
        client = win32.client_rect(self._window)
        bounds = win32.frame_bounds(self._window)
        window = win32.window_rect(self._window)
        if client is None or bounds is None or window is None:  # it was closed just now
            return None
        return client_box(client, bounds, window, frame)

    def _start(self) -> Control:
        """The capture with the first of the WISHES that this Windows grants."""
        try:
            import windows_capture  # noqa: F401  (told here, so that below only the library's own failures are)
        except (ImportError, OSError) as error:
            raise MissingPart(f"windows-capture cannot be used: {error}", "pip install windows-capture") from error
        refusal = ""
        for wish in WISHES:
            try:
                return self._start_with(wish)
            except Exception as error:  # the library has no class for its errors
                refusal = str(error)
                if REFUSED not in refusal:
                    raise SourceLost(f"the window cannot be captured: {refusal}") from error
        raise MissingPart(f"windows-capture cannot start: {refusal}", "it needs Windows 10 1903 or newer")

    def _start_with(self, wish: Wish) -> Control:
        import windows_capture

        capture = windows_capture.WindowsCapture(
            cursor_capture=wish.cursor_capture,
            draw_border=wish.draw_border,
            minimum_update_interval=wish.minimum_update_interval,
            window_hwnd=self._window,
        )

        def on_frame_arrived(frame: Arrived, _control: object) -> None:
            with self._changed:
                self._newest, self._used = frame, None
                self._changed.notify()

        def on_closed() -> None:
            with self._changed:
                self._gone = True
                self._changed.notify()

        capture.event(on_frame_arrived)  # the library knows the two by their names
        capture.event(on_closed)
        control: Control = capture.start_free_threaded()
        return control
