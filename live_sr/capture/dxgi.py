"""Windows desktop duplication through dxcam 0.3: a window's or a rectangle's part of one screen.

Written against dxcam's source and never run (docs/never-run-here.md). Two of its private names are used, because its
public ones do not do for a live picture; tests/signatures.toml pins both, and 0.4 changes the API (hence <0.4):
- `_recover_output`: after a change of mode or a locked screen, `grab` would sleep in there for as long as it takes,
  deaf to a stop. Here the loss is told at once instead, and the pipeline reopens.
- `_duplicator`: knows when the frame was presented. `latest_frame_time` is filled by dxcam's own thread only.
"""

from __future__ import annotations

import logging
import time
from collections.abc import Callable, Sequence
from typing import Protocol

from live_sr import win32
from live_sr.capture.crop import Box, Output, inside, on_output, opaque, output_of, seen_ns
from live_sr.errors import LiveSRError, MissingPart, SourceClosed, SourceLost, UsageError
from live_sr.frame import Frame, Pixels, Rect, Size, Stamps

STEP_S = (
    0.001  # between two looks for a new frame. `sleep` is that exact: Python uses a high-resolution timer since 3.11
)

UNSUPPORTED = 0x887A0004
REASONS = {  # by HRESULT, from the documentation of IDXGIOutput1::DuplicateOutput and AcquireNextFrame
    UNSUPPORTED: "this graphics adapter cannot duplicate the screen (common on laptops with two adapters)",
    0x887A0005: "the graphics adapter was restarted or removed",
    0x887A0022: "too many programs are duplicating this screen",
    0x887A0026: "the screen's mode changed",
    0x887A0028: "the session is disconnected",
    0x80070005: "Windows shows its lock screen or asks for an administrator's consent",
    0x80070057: "the graphics adapter does not drive this screen",
}
USE_WGC = 'set backend = "wgc" in [capture] of config.toml'
log = logging.getLogger(__name__)


class Duplicator(Protocol):
    """What is used of dxcam's DXGIDuplicator."""

    accumulated_frames: int

    @property
    def latest_frame_time(self) -> float: ...


class Camera(Protocol):
    """What is used of dxcam's DXCamera."""

    _duplicator: Duplicator
    _recover_output: Callable[[], None]

    def grab(self, region: Box | None = None, copy: bool = True, new_frame_only: bool = True) -> Pixels | None: ...

    def release(self) -> None: ...


class DxOutput(Protocol):
    """What is used of dxcam's Output."""

    @property
    def devicename(self) -> str: ...


class Factory(Protocol):
    """What is used of dxcam's DXFactory: its outputs, adapter by adapter."""

    outputs: Sequence[Sequence[DxOutput]]


class DxgiSource:
    """A game's window, followed as it moves, or a fixed rectangle; both in physical pixels of the desktop.

    Raises SourceClosed when the window is gone, SourceLost while it cannot be captured, MissingPart when this machine
    cannot duplicate the screen. Open it after QApplication: importing dxcam sets the process' DPI awareness.
    """

    def __init__(self, window: int | None = None, *, region: Rect | None = None) -> None:
        if (window is None) == (region is None):
            raise UsageError("either a window or a region is to be captured", "give one of --window and --region")
        self._window = window
        self._region = region
        rect = self._rect()
        self._output = output_of(rect, _outputs())
        self._camera = _camera(self._output)
        self._camera._recover_output = _lost_access
        self._size = rect.size
        self._begun = False

    @property
    def size(self) -> Size:
        return self._size

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        """dxcam asks Windows without waiting, so this asks again every millisecond until `timeout_s` has passed."""
        deadline = time.perf_counter() + timeout_s
        while True:
            rect = self._rect()
            if not inside(rect, self._output.rect):
                raise SourceLost(f"the game's picture left the screen {self._output.name}")  # reopening finds it
            view = self._grab(on_output(rect, self._output))
            if view is not None:
                stamp = round(self._camera._duplicator.latest_frame_time * 1e9)
                stamps = Stamps(seen=seen_ns(stamp, time.perf_counter_ns()))
                pixels = opaque(view, into)  # `view` is dxcam's own buffer, which the next grab overwrites
                stamps.captured = time.perf_counter_ns()
                self._size = rect.size
                return Frame(pixels, stamps)
            if time.perf_counter() >= deadline:
                return None
            time.sleep(STEP_S)

    def close(self) -> None:
        """dxcam keeps one camera for each output: without the release the next source would get this one again."""
        try:
            self._camera.release()
        except Exception as error:  # a COM error of a screen that is gone, after which there is nothing to release
            log.debug("dxcam's camera was not released: %s", error)

    def _rect(self) -> Rect:
        if self._region is not None:
            return self._region
        window = self._window or 0
        if not win32.alive(window):
            raise SourceClosed("the game's window was closed")
        if win32.minimised(window):
            raise SourceLost("the game's window is minimised")
        rect = win32.client_rect(window)
        if rect is None or not rect.width or not rect.height:
            raise SourceLost("the game's window shows no picture")
        return rect

    def _grab(self, box: Box) -> Pixels | None:
        try:
            view = self._camera.grab(box, copy=False, new_frame_only=True)
        except LiveSRError:
            raise  # from _lost_access
        except Exception as error:  # comtypes' COMError, or ValueError when the screen is smaller than a moment ago
            raise _told(error) from error
        if view is None:
            return None
        # A duplication's first update may come before any picture, and is black then. Later ones without a picture are
        # the pointer's, with the picture as it was: the pipeline sees that it repeats the last.
        self._begun = self._begun or self._camera._duplicator.accumulated_frames > 0
        return view if self._begun else None


def obstacle(rect: Rect) -> str:
    """Why this rectangle of the desktop cannot be duplicated now, or an empty string; it is tried, for 0.1 s or so."""
    try:
        DxgiSource(region=rect).close()
    except (SourceLost, MissingPart) as error:
        return error.message
    return ""


def _outputs() -> list[Output]:
    """dxcam's outputs. It lists them once, at its import; where they lie is asked anew, as that may have changed."""
    try:
        import dxcam
    except (ImportError, OSError) as error:
        raise MissingPart(f"dxcam cannot be used: {error}", 'pip install "dxcam>=0.3,<0.4"') from error
    except Exception as error:  # importing dxcam asks every adapter for its outputs
        raise _told(error) from error
    factory: Factory = dxcam.__factory
    rects = {screen.name: screen.rect for screen in win32.screens()}
    return [
        Output(device, number, output.devicename, rects[output.devicename])
        for device, outputs in enumerate(factory.outputs)
        for number, output in enumerate(outputs)
        if output.devicename in rects
    ]


def _camera(output: Output) -> Camera:
    import dxcam

    try:
        camera: Camera = dxcam.create(
            device_idx=output.device,
            output_idx=output.number,
            output_color="BGRA",  # as Windows has it: no conversion
            max_buffer_len=2,  # for dxcam's own thread, which is not used
            backend="dxgi",
            processor_backend="numpy",
        )
    except Exception as error:  # comtypes' COMError mostly
        raise _told(error) from error
    return camera


def _lost_access() -> None:
    raise SourceLost("the screen cannot be captured now: its mode changed, or Windows shows its lock screen")


def _told(error: Exception) -> LiveSRError:
    """What dxcam or COM raised, as a sentence."""
    hresult = getattr(error, "hresult", None)
    code = hresult & 0xFFFFFFFF if isinstance(hresult, int) else 0
    if code == UNSUPPORTED:
        return MissingPart(REASONS[code], f"{USE_WGC}, or let Windows run Python on the adapter that drives the screen")
    reason = REASONS.get(code) or f"desktop duplication failed: {error}"
    return SourceLost(reason, USE_WGC)
