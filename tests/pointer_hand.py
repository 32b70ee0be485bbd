"""A game that tells what the pointer does to it, and a hand that moves the pointer."""

from __future__ import annotations

import subprocess
import sys
import threading
from pathlib import Path

from patience import until
from screens import Screen
from Xlib import X
from Xlib.display import Display
from Xlib.ext import xinput

from live_sr.desktop.pointer_matrix_x11 import MATRIX, SAVED
from live_sr.pipeline.frame import Rect, Size

AT = (60, 90)  # of the game's window


class PointerToy:
    """A game that tells what the pointer does to it, and has the focus."""

    def __init__(self, screen: Screen, size: Size, at: tuple[int, int] = AT) -> None:
        self.screen = screen
        script = str(Path(__file__).with_name("pointer_toy.py"))
        self._process = screen.talk(sys.executable, script, *(str(n) for n in (*at, *size)), "A game")
        self._lines: list[str] = []
        threading.Thread(target=self._collect, daemon=True).start()
        self.id = int(until(lambda: self._lines[0] if self._lines else None, "the toy's window"))
        until(lambda: is_viewable(screen, self.id), "the toy is seen")
        self.focus()
        self.rect = find_rect(screen, self.id)

    def focus(self) -> None:
        subprocess.run(["xdotool", "windowfocus", "--sync", str(self.id)], env=self.screen.env, check=True)

    def command(self, *words: object) -> None:
        assert self._process.stdin is not None
        done = self._lines.count("ok")
        print(*words, file=self._process.stdin, flush=True)
        until(lambda: self._lines.count("ok") > done, f"the toy has done {words}")

    def events(self, kind: str) -> list[tuple[int, int, int]]:
        """Button, x and y of all events of that kind so far."""
        rows = (line.split() for line in list(self._lines))
        return [(int(row[1]), int(row[2]), int(row[3])) for row in rows if row[0] == kind]

    @property
    def newest(self) -> int:
        """The dialog or menu that was opened last."""
        return self.events("opened")[-1][0]

    def _collect(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self._lines.append(line.strip())


class Hand:
    """Moves the pointer as devices do: by parts of a way, as a mouse, or to a place, as a tablet."""

    def __init__(self, screen: Screen) -> None:
        self._display = Display(screen.display)
        self._root = self._display.screen().root
        self._display.xinput_query_version()

    def push(self, dx: int, dy: int) -> None:
        self._display.xtest_fake_input(X.MotionNotify, True, x=dx, y=dy)
        self._display.sync()

    def put(self, x: int, y: int) -> None:
        self._display.xtest_fake_input(X.MotionNotify, False, x=x, y=y)
        self._display.sync()

    def press(self, button: int = 1) -> None:
        self._display.xtest_fake_input(X.ButtonPress, button)
        self._display.sync()

    def release(self, button: int = 1) -> None:
        self._display.xtest_fake_input(X.ButtonRelease, button)
        self._display.sync()

    def click(self, button: int = 1) -> None:
        self.press(button)
        self.release(button)

    @property
    def place(self) -> tuple[int, int]:
        found = self._root.query_pointer()
        return found.root_x, found.root_y

    @property
    def matrices(self) -> list[tuple[int, ...]]:
        """Of all pointer devices, as the bits of their numbers."""
        matrix, number = self._display.get_atom(MATRIX), self._display.get_atom("FLOAT")
        devices = self._display.xinput_query_device(xinput.AllDevices).devices
        return [
            tuple(self._display.xinput_get_device_property(d.deviceid, matrix, number, 0, 9).value[1])
            for d in devices
            if d.use == xinput.SlavePointer
        ]

    @property
    def acceleration(self) -> tuple[int, int, int]:
        found = self._display.get_pointer_control()
        return found.accel_num, found.accel_denom, found.threshold

    @property
    def saved(self) -> int:
        """How many devices keep a matrix of their own aside."""
        name, number = self._display.get_atom(SAVED), self._display.get_atom("FLOAT")
        devices = self._display.xinput_query_device(xinput.AllDevices).devices
        return sum(
            self._display.xinput_get_device_property(d.deviceid, name, number, 0, 9).type == number for d in devices
        )

    def close(self) -> None:
        self._display.close()


def is_viewable(screen: Screen, window: int) -> bool:
    display = Display(screen.display)
    try:
        state = display.create_resource_object("window", window).get_attributes().map_state
    finally:
        display.close()
    return bool(state == X.IsViewable)


def find_rect(screen: Screen, window: int) -> Rect:
    display = Display(screen.display)
    try:
        client = display.create_resource_object("window", window)
        size, corner = client.get_geometry(), display.screen().root.translate_coords(client, 0, 0)
        return Rect(corner.x, corner.y, size.width, size.height)
    finally:
        display.close()


PLAIN = (0x3F800000, 0, 0, 0, 0x3F800000, 0, 0, 0, 0x3F800000)
"""The matrix of a pointer device that nobody has changed, as the bits of its numbers."""


def wait_for_hold(hand: Hand, toy: PointerToy) -> None:
    """Until the pointer is on the game, and every device acts on the picture: the first move of the pointer, after
    which XTEST's device gets its matrix, comes last."""

    def is_held() -> bool:
        (x, y), rect = hand.place, toy.rect
        on_game = rect.x <= x < rect.x + rect.width and rect.y <= y < rect.y + rect.height
        return hand.saved > 0 and on_game and PLAIN not in hand.matrices

    until(is_held, "the pointer is held")


def find_picture(size: Size, monitor: Rect, aspect: float | None = None) -> Rect:
    """Where the overlay shows a game of that size on a monitor."""
    fitted = size.with_aspect(aspect).fit_into(monitor.size)
    return Rect(
        monitor.x + (monitor.width - fitted.width) // 2, monitor.y + (monitor.height - fitted.height) // 2, *fitted
    )


def click(toy: PointerToy, hand: Hand, button: int = 1) -> None:
    """Clicks, and waits until the game has got it: window managers hold a click back until they have seen it."""
    done = len(toy.events("release"))
    hand.click(button)
    until(lambda: len(toy.events("release")) > done, "the click arrives", 10.0)
