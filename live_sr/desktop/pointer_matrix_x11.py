"""Changes on X11 how far the pointer moves, for as long as this program runs.

The X server multiplies the movements of each device, and the places that a tablet or a virtual machine reports, with
the matrix of the device's property "Coordinate Transformation Matrix". It does not restore it when a program ends. So
the device keeps its own matrix in a second property, and a process of its own, `python -m` this module, restores
everything as soon as its standard input ends: with the program, whatever ended it. The next start does the same.
"""

from __future__ import annotations

import signal
import struct
import sys
from contextlib import suppress
from typing import Any

from Xlib import X, error
from Xlib.display import Display
from Xlib.ext import xinput

from live_sr.desktop.guard_process import GuardProcess
from live_sr.pipeline.frame import Rect

MATRIX = "Coordinate Transformation Matrix"
SAVED = "live-sr: Coordinate Transformation Matrix"
Matrix = tuple[float, ...]
"""Nine numbers, row by row. It acts on places from 0 to 1 across the desktop."""


class DeviceMatrices:
    """The matrices of all pointer devices. Uses the connection of its maker, who handles its errors."""

    def __init__(self, display: Any) -> None:
        self._display = display
        self._matrix, self._saved, self._float = (display.get_atom(name) for name in (MATRIX, SAVED, "FLOAT"))

    def squeeze(self, picture: Rect, game: Rect, desktop: Rect) -> None:
        """Makes every device act on the game's rectangle as it would on the picture's. May be called again."""
        for device in self._list_devices():
            own = self._read(device.deviceid, self._saved)
            if own is None:
                own = self._read(device.deviceid, self._matrix)
                if own is None:
                    continue
                self._write(device.deviceid, self._saved, own)
            change = compute_matrix(picture, game, *_find_ranges(device, desktop))
            self._write(device.deviceid, self._matrix, _multiply(change, own))

    def restore(self) -> None:
        """Gives every device its own matrix back."""
        for device in self._list_devices():
            self.restore_device(device.deviceid)
            self._display.xinput_delete_device_property(device.deviceid, self._saved)

    def restore_device(self, device: int) -> Matrix | None:
        """Gives one device its own matrix back, and returns the changed one; None if it was not changed."""
        own, changed = self._read(device, self._saved), self._read(device, self._matrix)
        if own is None:
            return None
        self._write(device, self._matrix, own)
        return changed

    def change_device(self, device: int, matrix: Matrix) -> None:
        self._write(device, self._matrix, matrix)

    def find_synthetic(self) -> int:
        """The device of XTEST, which moves the pointer for programs; 0 if there is none."""
        return next((device.deviceid for device in self._list_devices() if "XTEST" in device.name), 0)

    def _list_devices(self) -> list[Any]:
        found = self._display.xinput_query_device(xinput.AllDevices).devices
        return [device for device in found if device.use == xinput.SlavePointer]

    def _read(self, device: int, name: int) -> Matrix | None:
        try:
            found = self._display.xinput_get_device_property(device, name, self._float, 0, 9)
        except error.XError:  # it was unplugged meanwhile
            return None
        if found.type != self._float or found.value is None or len(found.value[1]) != 9:
            return None
        return struct.unpack("=9f", struct.pack("=9I", *found.value[1]))

    def _write(self, device: int, name: int, matrix: Matrix) -> None:
        bits = list(struct.unpack("=9I", struct.pack("=9f", *matrix)))
        self._display.xinput_change_device_property(device, name, self._float, X.PropModeReplace, (32, bits))


def compute_matrix(picture: Rect, game: Rect, x_range: tuple[float, float], y_range: tuple[float, float]) -> Matrix:
    """The matrix that carries places on the picture over to the game.

    x_range, y_range: where the device's 0 is on the desktop, and how many pixels its 1 is away from there.
    """
    (x0, x1), (y0, y1) = x_range, y_range
    across, down = game.width / picture.width, game.height / picture.height
    return (
        *(across, 0.0, (game.x - across * picture.x + (across - 1) * x0) / x1),
        *(0.0, down, (game.y - down * picture.y + (down - 1) * y0) / y1),
        *(0.0, 0.0, 1.0),
    )


def _find_ranges(device: Any, desktop: Rect) -> tuple[tuple[float, float], tuple[float, float]]:
    """See compute_matrix. For a device whose axes have no range the server counts in pixels, from -1 on."""
    ranges = [(-1.0, 1.0), (-1.0, 1.0)]
    for axis in device.classes:
        if axis.type == xinput.ValuatorClass and axis.number in (0, 1) and axis.max > axis.min:
            ranges[axis.number] = (0.0, float(desktop.size[axis.number]))
    return ranges[0], ranges[1]


def _multiply(a: Matrix, b: Matrix) -> Matrix:
    return tuple(sum(a[3 * row + k] * b[3 * k + column] for k in range(3)) for row in range(3) for column in range(3))


def start_guard(display: str) -> GuardProcess:
    """Starts the process that restores the matrices when this program ends."""
    return GuardProcess("live_sr.desktop.pointer_matrix_x11", display)


def main() -> None:
    """Waits for the end of standard input, then restores the matrices of the display that the argument names."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, signal.SIG_IGN)
    sys.stdin.buffer.read()
    with suppress(error.DisplayError, error.ConnectionClosedError, OSError):
        display = Display(sys.argv[1])
        display.xinput_query_version()
        DeviceMatrices(display).restore()
        display.sync()


if __name__ == "__main__":
    main()
