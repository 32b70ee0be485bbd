"""The pointer on X11: barriers of XFixes hold it, XFixes hides it, and XInput's matrices make it slower.

The server takes barriers and hiding back when this program's connection ends. `pointer_matrix_x11` restores the rest.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress

from Xlib import X, error
from Xlib.display import Display
from Xlib.ext import xfixes, xinput, xtest
from Xlib.protocol import request

from live_sr.desktop.guard_process import GuardProcess
from live_sr.desktop.pointer_matrix_x11 import DeviceMatrices, start_guard
from live_sr.desktop.pointer_reports_x11 import PointerReports
from live_sr.desktop.x11_errors import GONE, NO_SERVER, raise_display_lost
from live_sr.desktop.x11_requests import CreateBarrier, DestroyBarrier, QueryVersion
from live_sr.errors import DisplayLost, MissingPart
from live_sr.pipeline.desktop_contracts import PointerState
from live_sr.pipeline.frame import Rect

OVERHANG = 50  # pixels that barriers are longer than the area, so that no pointer slips through a corner
JUMP_PX = 8  # between two looks at the pointer, without a device's movement: this far, a program has put it
_FARTHEST = 0xFFFF  # of a barrier's coordinates


class X11Pointer:
    """Implements `contracts.Pointer` for X11, with a connection of its own."""

    def __init__(self, display: str | None = None) -> None:
        """`display`: in the form of DISPLAY, which is used for None. Raises DisplayLost and MissingPart."""
        try:
            self._display = Display(display)
        except NO_SERVER:
            raise DisplayLost("no X server answers", "start live-sr from a desktop session") from None
        self._display.set_error_handler(lambda *_: None)  # for requests without a reply
        self._root = self._display.screen().root
        self._barriers: list[int] = []
        self._hidden = False
        self._last = (0.0, 0.0)  # where it was seen
        self._guard: GuardProcess | None = None
        self._focus: tuple[Sequence[int], int, bool] = ((), 0, False)  # windows asked for, focused window, the answer
        with raise_display_lost():
            self._start()

    @property
    def motion_file(self) -> int:
        return self._reports.file

    def read(self) -> PointerState:
        with raise_display_lost():
            x, y, pressed, moved = self._reports.read()
            before, self._last = self._last, (x, y)
            if self._hidden and not moved and max(abs(x - before[0]), abs(y - before[1])) > JUMP_PX:
                self._settle(x, y)
            return PointerState(x, y, pressed, self._reports.shape)

    def has_focus(self, windows: Sequence[int]) -> bool:
        """Whether the focus is on such a window, on one within it, or on one around it, as a window manager's frame.

        Without a window manager the focus is where the pointer is, and so it is the game's once the pointer is held.
        """
        with raise_display_lost():
            focus = self._reports.focus
            if self._focus[:2] != (windows, focus):
                self._focus = (windows, focus, any(self._is_related(focus, window) for window in windows))
            return self._focus[2]

    def is_grabbed(self) -> bool:
        """Asks by taking the pointer and giving it back in one go, which is the only way to ask."""
        with raise_display_lost():
            asked = request.GrabPointer(
                *(self._display.display, True),
                owner_events=True,
                grab_window=self._root,
                event_mask=0,
                pointer_mode=X.GrabModeAsync,
                keyboard_mode=X.GrabModeAsync,
                confine_to=X.NONE,
                cursor=X.NONE,
                time=X.CurrentTime,
            )
            self._display.ungrab_pointer(X.CurrentTime)
            asked.reply()
            return bool(asked.status == X.AlreadyGrabbed)

    def hold(self, area: Rect, game: Rect, picture: Rect) -> None:
        with raise_display_lost():
            if self._guard is None:
                self._guard = start_guard(self._display.get_display_name())
            self._remove_barriers()
            for line in compute_barriers(area, self._desktop):
                self._add_barrier(line)
            self._matrices.squeeze(picture, game, self._desktop)
            if not self._hidden:
                self._root.xfixes_hide_cursor()
                self._reports.report_motion(True)
                self._hidden = True
            self._display.sync()

    def free(self) -> None:
        with raise_display_lost():
            self._remove_barriers()
            if self._hidden:
                self._root.xfixes_show_cursor()
                self._reports.report_motion(False)
                self._hidden = False
                self._matrices.restore()
            self._display.sync()

    def move(self, x: int, y: int) -> None:
        """By XTEST: after a move in the usual way, the server counts XTEST's own next movement from a wrong place, if
        its device has a matrix (findings/xserver-xtest-jumps-after-a-warp.sh)."""
        with raise_display_lost():
            changed = self._matrices.restore_device(self._synthetic)
            xtest.fake_input(self._display, X.MotionNotify, root=self._root, x=x, y=y)
            if changed is not None:
                self._matrices.change_device(self._synthetic, changed)
            self._display.sync()
            self._last = (x, y)

    def close(self) -> None:
        with suppress(DisplayLost, error.ConnectionClosedError, OSError):
            self.free()
            self._display.close()
        self._reports.close()
        if self._guard is not None:
            self._guard.close()
            self._guard = None

    def _start(self) -> None:
        for name in (xfixes.extname, xinput.extname, xtest.extname):
            if not self._display.has_extension(name):
                raise MissingPart(f"this X server lacks the {name} extension", 'set pointer = "view" under [overlay]')
        self._display.xinput_query_version()
        version = QueryVersion(
            display=self._display.display,
            opcode=self._display.display.get_extension_major(xfixes.extname),
            major_version=5,
            minor_version=0,
        )
        if version.major_version < 5:
            raise MissingPart("this X server has no pointer barriers", 'set pointer = "view" under [overlay]')
        masters = self._display.xinput_query_device(xinput.AllMasterDevices).devices
        master = next(device.deviceid for device in masters if device.use == xinput.MasterPointer)
        self._matrices = DeviceMatrices(self._display)
        self._matrices.restore()  # what a program that was killed together with its guard has left
        self._synthetic = self._matrices.find_synthetic()
        self._reports = PointerReports(self._display.get_display_name(), self._root.id, master)

    def _settle(self, x: float, y: float) -> None:
        """Moves the pointer to where it is, so that movements by XTEST go on from there: see `move`.

        Programs put it on whole pixels. A place with parts of a pixel is a hand's, which would lose them.
        """
        if not (x.is_integer() and y.is_integer()):
            return
        self._display.grab_server()  # no other program moves it between the question and the move
        try:
            there = self._root.query_pointer()
            if (there.root_x, there.root_y) == (int(x), int(y)):  # else it has gone on since it was read
                self.move(int(x), int(y))
        finally:
            self._display.ungrab_server()
            self._display.flush()

    @property
    def _desktop(self) -> Rect:
        size = self._root.get_geometry()
        return Rect(0, 0, size.width, size.height)

    def _is_related(self, focused: int, window: int) -> bool:
        if focused in (X.PointerRoot, window):
            return True
        return self._lies_within(focused, window) or self._lies_within(window, focused)

    def _lies_within(self, inner: int, outer: int) -> bool:
        """Whether one window is below another one in the tree; nothing counts as within the root."""
        with suppress(*GONE):
            while inner not in (X.NONE, X.PointerRoot, outer, self._root.id):
                parent = self._display.create_resource_object("window", inner).query_tree().parent
                inner = parent.id if parent else X.NONE
            return bool(inner == outer != self._root.id)
        return False

    def _add_barrier(self, line: tuple[int, int, int, int]) -> None:
        number = self._display.display.allocate_resource_id()
        CreateBarrier(
            display=self._display.display,
            opcode=self._display.display.get_extension_major(xfixes.extname),
            barrier=number,
            window=self._root,
            **dict(zip(("x1", "y1", "x2", "y2"), line, strict=True)),
            directions=0,
            count=0,
        )
        self._barriers.append(number)

    def _remove_barriers(self) -> None:
        opcode = self._display.display.get_extension_major(xfixes.extname)
        for number in self._barriers:
            DestroyBarrier(display=self._display.display, opcode=opcode, barrier=number)
            self._display.display.free_resource_id(number)
        self._barriers.clear()


def compute_barriers(area: Rect, desktop: Rect) -> list[tuple[int, int, int, int]]:
    """The lines x1, y1, x2, y2 around the area, left out where the desktop ends.

    A barrier lies on the left or upper edge of its pixels: the one to the right begins where the area ends.
    """
    left, top, right, bottom = area.x, area.y, area.x + area.width, area.y + area.height
    xs, ys = (
        tuple(min(max(0, at), _FARTHEST) for at in (low - OVERHANG, high + OVERHANG))
        for low, high in ((left, right), (top, bottom))
    )
    upright = [(x, ys[0], x, ys[1]) for x in (left, right) if 0 < x < desktop.width]
    level = [(xs[0], y, xs[1], y) for y in (top, bottom) if 0 < y < desktop.height]
    return upright + level
