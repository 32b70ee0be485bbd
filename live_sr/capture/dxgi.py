"""Captures a window or a rectangle of one screen by Windows desktop duplication, through dxcam 0.3.

Written against dxcam's source and never run (docs/never-run-here.md). It uses two of dxcam's private names, because the
public ones do not suffice for a live picture. tests/signatures.toml pins both; dxcam 0.4 changes the API (hence <0.4):
- `_recover_output`: after a change of the display mode, or while the screen is locked, `grab` sleeps in this method
  until the screen is back, and no stop request gets through. It is replaced by one that raises SourceLost at once; the
  pipeline then reopens the source.
- `_duplicator`: knows when the frame was presented. The public `latest_frame_time` is set only by dxcam's own thread.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from live_sr.capture.win_geometry import Box, Output, choose_seen_ns, contains, copy_opaque, find_output, to_output_box
from live_sr.errors import LiveSRError, MissingPart, SourceClosed, SourceLost, UsageError
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Stamps
from live_sr.system import win32

# Between two polls for a new frame. `sleep` is that precise: Python uses a high-resolution timer since 3.11.
POLL_INTERVAL_S = 0.001

UNSUPPORTED = 0x887A0004
REASONS = {  # by HRESULT, from the documentation of IDXGIOutput1::DuplicateOutput and AcquireNextFrame
    UNSUPPORTED: "this graphics adapter cannot duplicate the screen (common on laptops with two adapters)",
    0x887A0005: "the graphics adapter was restarted or removed",
    0x887A0022: "too many programs are duplicating this screen",
    0x887A0026: "the display mode of the screen changed",
    0x887A0028: "the session is disconnected",
    0x80070005: "Windows shows its lock screen or asks for an administrator's consent",
    0x80070057: "the graphics adapter does not drive this screen",
}
USE_WGC = 'set backend = "wgc" in [capture] of config.toml'
log = logging.getLogger(__name__)


class DxDuplicator(Protocol):
    """The part of dxcam's DXGIDuplicator that is used."""

    accumulated_frames: int

    @property
    def latest_frame_time(self) -> float: ...


class DxCamera(Protocol):
    """The part of dxcam's DXCamera that is used."""

    _duplicator: DxDuplicator
    _recover_output: Callable[[], None]

    def grab(self, region: Box | None = None, copy: bool = True, new_frame_only: bool = True) -> Pixels | None: ...

    def release(self) -> None: ...


class DxOutput(Protocol):
    """The part of dxcam's Output that is used."""

    @property
    def devicename(self) -> str: ...


class DxFactory(Protocol):
    """The part of dxcam's DXFactory that is used. `outputs`: one list for each graphics adapter."""

    outputs: Sequence[Sequence[DxOutput]]


class DxgiSource:
    """A game's window, which it follows as it moves, or a fixed rectangle; both in physical pixels of the desktop.

    Raises SourceClosed when the window is gone, SourceLost while it cannot be captured, and MissingPart when this
    machine cannot duplicate the screen. Open it after QApplication: importing dxcam sets the DPI awareness of the
    process.
    """

    def __init__(self, window: int | None = None, *, region: Rect | None = None) -> None:
        if (window is None) == (region is None):
            raise UsageError("capturing needs either a window or a region", "give one of --window and --region")
        self._window = window
        self._region = region
        rect = self._find_rect()
        self._output = find_output(rect, _list_outputs())
        self._camera = _open_camera(self._output)
        self._camera._recover_output = _raise_access_lost
        self._size = rect.size
        self._has_picture = False  # whether the duplication has delivered a picture since it began

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        """See FrameSource. dxcam cannot wait for a frame, so this polls every millisecond until the timeout."""
        deadline = time.perf_counter() + timeout_s
        while True:
            rect = self._find_rect()
            if not contains(self._output.rect, rect):  # the source is reopened, and finds the new screen
                raise SourceLost(f"the game's picture left the screen {self._output.name}")
            view = self._grab(to_output_box(rect, self._output))
            if view is not None:
                stamp = round(self._camera._duplicator.latest_frame_time * 1e9)
                stamps = Stamps(seen=choose_seen_ns(stamp, time.perf_counter_ns()))
                pixels = copy_opaque(view, into)  # `view` is dxcam's own buffer, which the next grab overwrites
                stamps.captured = time.perf_counter_ns()
                self._size = rect.size
                return Frame(pixels, stamps)
            if time.perf_counter() >= deadline:
                return None
            time.sleep(POLL_INTERVAL_S)

    def close(self) -> None:
        """Releases the camera: dxcam keeps one for each output, and would give this one to the next source."""
        try:
            self._camera.release()
        except Exception as error:  # a COM error: the screen is gone, and nothing is left to release
            log.debug("dxcam's camera was not released: %s", error)

    def _find_rect(self) -> Rect:
        if self._region is not None:
            return self._region
        window = self._window or 0
        if not win32.is_window(window):
            raise SourceClosed("the game's window was closed")
        if win32.is_minimised(window):
            raise SourceLost("the game's window is minimised")
        rect = win32.get_client_rect(window)
        if rect is None or not rect.width or not rect.height:
            raise SourceLost("the game's window shows no picture")
        return rect

    def _grab(self, box: Box) -> Pixels | None:
        try:
            view = self._camera.grab(box, copy=False, new_frame_only=True)
        except LiveSRError:
            raise  # from _raise_access_lost
        except Exception as error:  # comtypes' COMError, or ValueError when the screen is smaller than a moment ago
            raise _describe_error(error) from error
        if view is None:
            return None
        # The first update of a duplication may come before any picture, and is black. Later updates without a new
        # picture are movements of the pointer and repeat the last picture, which the pipeline recognizes.
        self._has_picture = self._has_picture or self._camera._duplicator.accumulated_frames > 0
        return view if self._has_picture else None


def unavailable_reason(rect: Rect) -> str:
    """Why this rectangle of the desktop cannot be duplicated now, or an empty string. Tries it, for about 0.1 s."""
    try:
        DxgiSource(region=rect).close()
    except (SourceLost, MissingPart) as error:
        return error.message
    return ""


def _list_outputs() -> list[Output]:
    """The outputs that dxcam listed at its import, with their rectangles as Windows has them now."""
    try:
        import dxcam
    except (ImportError, OSError) as error:
        raise MissingPart(f"dxcam cannot be used: {error}", 'pip install "dxcam>=0.3,<0.4"') from error
    except Exception as error:  # importing dxcam asks every adapter for its outputs
        raise _describe_error(error) from error
    factory: DxFactory = dxcam.__factory
    rects = {screen.name: screen.rect for screen in win32.list_screens()}
    return [
        Output(device, number, output.devicename, rects[output.devicename])
        for device, outputs in enumerate(factory.outputs)
        for number, output in enumerate(outputs)
        if output.devicename in rects
    ]


def _open_camera(output: Output) -> DxCamera:
    import dxcam

    try:
        camera: DxCamera = dxcam.create(
            device_idx=output.device,
            output_idx=output.number,
            output_color="BGRA",  # Windows' own format: no conversion
            max_buffer_len=2,  # for dxcam's own thread, which is not used
            backend="dxgi",
            processor_backend="numpy",
        )
    except Exception as error:  # comtypes' COMError mostly
        raise _describe_error(error) from error
    return camera


def _raise_access_lost() -> None:
    raise SourceLost("the screen cannot be captured now: the display mode changed, or Windows shows its lock screen")


def _describe_error(error: Exception) -> LiveSRError:
    """Turns an error of dxcam or COM into one with a sentence for the user."""
    hresult = getattr(error, "hresult", None)
    code = hresult & 0xFFFFFFFF if isinstance(hresult, int) else 0
    if code == UNSUPPORTED:
        return MissingPart(REASONS[code], f"{USE_WGC}, or let Windows run Python on the adapter that drives the screen")
    reason = REASONS.get(code) or f"desktop duplication failed: {error}"
    return SourceLost(reason, USE_WGC)
