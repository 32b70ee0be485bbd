"""The two Windows captures, with fakes of their libraries and of user32.

The fakes are as small as possible, and behave as the libraries' source says.
"""

from __future__ import annotations

import ctypes
import sys
import threading
import time
from collections.abc import Callable
from ctypes import wintypes
from types import ModuleType, SimpleNamespace
from typing import Any

import numpy as np
import pytest

from live_sr.capture import dxgi
from live_sr.capture.dxgi import DxgiSource
from live_sr.capture.wgc import WgcSource
from live_sr.errors import LiveSRError, MissingPart, SourceClosed, SourceLost
from live_sr.pipeline.frame import Pixels, Rect, Size, make_black
from live_sr.system import win32

GAME_WINDOW = 1234
Reference = Any  # what ctypes.byref returns, which has no public type


class FakeUser32:
    """One screen with one window, which has a title bar and a client area of 64x48."""

    def __init__(self) -> None:
        self.open, self.iconic, self.x = True, False, 100

    def IsWindow(self, window: int) -> int:  # noqa: N802 (Windows' name, as those below)
        return int(self.open)

    def IsIconic(self, window: int) -> int:  # noqa: N802
        return int(self.iconic)

    def GetClientRect(self, window: int, rect: Reference) -> int:  # noqa: N802
        self._fill(rect, 0, 0, 64, 48)
        return int(self.open)

    def ClientToScreen(self, window: int, point: Reference) -> int:  # noqa: N802
        corner = ctypes.cast(point, ctypes.POINTER(wintypes.POINT)).contents
        corner.x, corner.y = self.x, 50
        return int(self.open)

    def GetWindowRect(self, window: int, rect: Reference) -> int:  # noqa: N802
        self._fill(rect, self.x - 8, 20, 80, 86)
        return int(self.open)

    def DwmGetWindowAttribute(self, window: int, _what: int, rect: Reference, _size: int) -> int:  # noqa: N802
        self._fill(rect, self.x - 1, 20, 66, 79)
        return 0

    def EnumDisplayMonitors(self, _dc: None, _clip: None, visit: Callable[..., int], data: int) -> int:  # noqa: N802
        return visit(1, None, None, data)

    def GetMonitorInfoW(self, _monitor: int, info: Reference) -> int:  # noqa: N802
        monitor = ctypes.cast(info, ctypes.POINTER(win32.MonitorInfo)).contents
        monitor.szDevice = "DISPLAY1"
        self._fill(ctypes.byref(monitor.rcMonitor), 0, 0, 640, 480)
        return 1

    @staticmethod
    def _fill(rect: Reference, x: int, y: int, width: int, height: int) -> None:
        filled = ctypes.cast(rect, ctypes.POINTER(wintypes.RECT)).contents
        filled.left, filled.top, filled.right, filled.bottom = x, y, x + width, y + height


class FakeCamera:
    """A fake of dxcam's camera, which owns its buffer. `updates`: what the next calls of `grab` find."""

    def __init__(self) -> None:
        self.updates: list[tuple[int, int] | Exception | None] = []  # (grey level, frames accumulated)
        self.regions: list[object] = []
        self.released = 0
        self._duplicator = SimpleNamespace(latest_frame_time=0.0, accumulated_frames=0)
        self._buffer = np.zeros((48, 64, 4), np.uint8)

    def grab(self, region: object = None, copy: bool = True, new_frame_only: bool = True) -> Pixels | None:
        self.regions.append(region)
        update = self.updates.pop(0) if self.updates else None
        if isinstance(update, Exception):
            raise update
        if update is None:
            return None
        self._buffer[...], self._duplicator.accumulated_frames = update
        self._duplicator.latest_frame_time = time.perf_counter() - 0.005
        return self._buffer

    def _recover_output(self) -> None:
        raise AssertionError("would sleep until the screen is back")

    def lose_access(self) -> None:
        self._recover_output()

    def release(self) -> None:
        self.released += 1


@pytest.fixture
def user32(monkeypatch: pytest.MonkeyPatch) -> FakeUser32:
    fake = FakeUser32()
    monkeypatch.setattr(win32, "load_library", lambda name: fake)
    return fake


@pytest.fixture
def camera(monkeypatch: pytest.MonkeyPatch, user32: FakeUser32) -> FakeCamera:
    fake, library = FakeCamera(), ModuleType("dxcam")
    library.__factory = SimpleNamespace(outputs=[[SimpleNamespace(devicename="DISPLAY1")]])
    library.create = lambda **options: fake
    monkeypatch.setitem(sys.modules, "dxcam", library)
    return fake


def test_duplication_copies_the_windows_part_of_the_screen_and_follows_it(
    user32: FakeUser32, camera: FakeCamera
) -> None:
    source = DxgiSource(GAME_WINDOW)
    into = make_black(source.size)
    camera.updates = [(7, 1), None]
    before = time.perf_counter_ns()
    frame = source.next_frame(0.0, into)
    assert frame is not None and frame.pixels is into
    assert (into[..., :3] == 7).all() and (into[..., 3] == 255).all()
    assert before - 6_000_000 < frame.stamps.seen < before < frame.stamps.captured
    user32.x = 200
    assert source.next_frame(0.0, into) is None
    assert camera.regions == [(100, 50, 164, 98), (200, 50, 264, 98)]
    source.close()
    assert camera.released == 1


def test_the_black_update_before_the_first_picture_is_not_shown(camera: FakeCamera) -> None:
    source = DxgiSource(region=Rect(0, 0, 64, 48))
    camera.updates = [(0, 0), (9, 1), (9, 0)]
    frame = source.next_frame(0.1)
    assert frame is not None and frame.pixels[0, 0, 0] == 9
    assert source.next_frame(0.0) is not None  # the pointer moved, which the pipeline recognizes


def com_error(hresult: int) -> Exception:
    error = Exception("COM")
    error.hresult = hresult  # type: ignore[attr-defined]
    return error


@pytest.mark.parametrize(
    ("raised", "kind", "sentence"),
    [
        (com_error(0x887A0026 - 2**32), SourceLost, "display mode.*changed"),  # as ctypes gives it: signed
        (com_error(0x80070005 - 2**32), SourceLost, "lock screen"),
        (com_error(0x887A0004 - 2**32), MissingPart, "cannot duplicate the screen"),
        (ValueError("Invalid Region: Region should be in 32x32"), SourceLost, "Invalid Region"),
    ],
)
def test_what_duplication_raises_becomes_a_sentence(
    camera: FakeCamera, raised: Exception, kind: type[LiveSRError], sentence: str
) -> None:
    source = DxgiSource(GAME_WINDOW)
    camera.updates = [raised]
    with pytest.raises(kind, match=sentence) as error:
        source.next_frame(0.0)
    assert type(error.value) is kind and error.value.remedy


def test_a_lost_screen_raises_at_once_instead_of_sleeping(camera: FakeCamera) -> None:
    DxgiSource(GAME_WINDOW)
    with pytest.raises(SourceLost, match="lock screen"):
        camera.lose_access()


def test_a_rectangle_is_tried_before_it_is_chosen(camera: FakeCamera) -> None:
    assert dxgi.unavailable_reason(Rect(0, 0, 64, 48)) == ""
    assert camera.released == 1
    assert "partly outside" in dxgi.unavailable_reason(Rect(600, 0, 64, 48))


class FakeSession:
    """A fake of windows_capture: it recognizes handlers by name, and rejects options that Windows does not know."""

    def __init__(self, refused: tuple[str, ...] = ()) -> None:
        self.refused, self.options, self.stopped, self.failure = refused, {}, 0, ""
        self.handlers: dict[str, Callable[..., None]] = {}

    def WindowsCapture(self, **options: object) -> FakeSession:  # noqa: N802 (the library's name)
        self.options = options
        return self

    def event(self, handler: Callable[..., None]) -> None:
        self.handlers[handler.__name__] = handler

    def start_free_threaded(self) -> FakeSession:
        for option in self.refused:
            if self.options[option] is not None:
                raise Exception(f"Graphics capture error: {option} is not supported by the Graphics Capture API")
        return self

    def is_finished(self) -> bool:
        return bool(self.failure)

    def stop(self) -> None:
        self.stopped += 1
        if self.failure:
            raise Exception(self.failure)

    def deliver(self, level: int) -> None:
        texture = np.full((79, 80, 4), level, np.uint8)  # 66 wide, in rows of 80
        self.handlers["on_frame_arrived"](SimpleNamespace(frame_buffer=texture[:, :66], timespan=0), None)


@pytest.fixture
def session(monkeypatch: pytest.MonkeyPatch, user32: FakeUser32) -> FakeSession:
    fake = FakeSession()
    library = ModuleType("windows_capture")
    library.WindowsCapture = fake.WindowsCapture
    monkeypatch.setitem(sys.modules, "windows_capture", library)
    return fake


def test_the_windows_own_capture_delivers_the_newest_frames_client_area(session: FakeSession) -> None:
    source = WgcSource(GAME_WINDOW)
    assert source.next_frame(0.0) is None
    session.deliver(3)
    session.deliver(4)
    frame = source.next_frame(0.1, make_black(Size(64, 48)))
    assert frame is not None and frame.pixels.shape == (48, 64, 4)
    assert (frame.pixels[..., :3] == 4).all() and (frame.pixels[..., 3] == 255).all()
    assert source.next_frame(0.0) is None
    threading.Timer(0.02, session.deliver, (5,)).start()
    frame = source.next_frame(5.0)
    assert frame is not None and frame.pixels[0, 0, 0] == 5
    source.close()
    assert session.stopped == 1


@pytest.mark.parametrize(
    ("refused", "granted"),
    [
        ((), (False, False, 1)),
        (("minimum_update_interval",), (False, False, None)),
        (("minimum_update_interval", "draw_border"), (False, None, None)),
        (("minimum_update_interval", "draw_border", "cursor_capture"), (None, None, None)),
    ],
)
def test_options_that_an_older_windows_does_not_know_are_given_up(
    session: FakeSession, refused: tuple[str, ...], granted: tuple[bool | None, bool | None, int | None]
) -> None:
    session.refused = refused
    WgcSource(GAME_WINDOW)
    names = ("cursor_capture", "draw_border", "minimum_update_interval")
    assert tuple(session.options[name] for name in names) == granted
    assert session.options["window_hwnd"] == GAME_WINDOW


def test_the_end_of_the_librarys_thread_is_reported_with_its_reason(session: FakeSession) -> None:
    source = WgcSource(GAME_WINDOW)
    session.failure = "the device was removed"
    with pytest.raises(SourceLost, match="the device was removed"):
        source.next_frame(0.0)
    source.close()


def test_a_window_that_closes_ends_its_capture(session: FakeSession) -> None:
    source = WgcSource(GAME_WINDOW)
    session.handlers["on_closed"]()
    with pytest.raises(SourceClosed):
        source.next_frame(0.0)


@pytest.mark.parametrize("open_source", [DxgiSource, WgcSource], ids=["dxgi", "wgc"])
def test_minimised_is_a_loss_and_closed_is_the_end(
    user32: FakeUser32, camera: FakeCamera, session: FakeSession, open_source: type[DxgiSource] | type[WgcSource]
) -> None:
    source = open_source(GAME_WINDOW)
    user32.iconic = True
    with pytest.raises(SourceLost, match="minimised") as lost:
        source.next_frame(0.0)
    assert not isinstance(lost.value, SourceClosed)
    user32.open = False
    with pytest.raises(SourceClosed):
        source.next_frame(0.0)
    with pytest.raises(SourceClosed):
        open_source(GAME_WINDOW)
