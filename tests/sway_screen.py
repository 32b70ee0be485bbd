"""sway without a screen, with its Xwayland: for tests on a real Wayland desktop, with real keys and a real pointer."""

from __future__ import annotations

import json
import os
import select
import shutil
import subprocess
import sys
import tempfile
import time
from functools import cache
from pathlib import Path
from typing import Any

import cv2
import numpy as np
from patience import until
from screens import HD, Screen

from live_sr.pipeline.frame import Pixels
from live_sr.system.wayland import Descriptor, WaylandConnection

PROGRAMS = {"sway": "sway", "swaymsg": "sway", "grim": "grim", "Xwayland": "xwayland"}
OUTPUT = "HEADLESS-1"
# sway refuses root: as a user of its own namespace, with a name, without which Xwayland lets nobody in
AS_DAEMON = ("unshare", "--user", "--map-user=1", "--map-group=1")
CONFIGURATION = f"""\
output {OUTPUT} resolution {HD} position 0 0
default_border none
for_window [title=".*"] floating enable
focus_follows_mouse no
exec env > {{folder}}/inner
"""
KEYMAP = """\
xkb_keymap {
  xkb_keycodes { include "evdev+aliases(qwerty)" }; xkb_types { include "complete" };
  xkb_compat { include "complete" }; xkb_symbols { include "pc+us+inet(evdev)" };
};
"""
CODES = {"ctrl": 29, "alt": 56, "h": 35, "o": 24, "c": 46}  # as in linux/input-event-codes.h
MASKS = {"ctrl": 4, "alt": 8}
LEFT_BUTTON = 0x110
CREATE, KEYMAP_REQUEST, KEY, MODIFIERS = 0, 0, 1, 2  # of zwp_virtual_keyboard_manager_v1 and zwp_virtual_keyboard_v1
MOTION_ABSOLUTE, BUTTON, FRAME = 1, 2, 4  # of zwlr_virtual_pointer_v1


def find_obstacle() -> str:
    """Why sway cannot be started here; empty if it can."""
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    if missing:
        return f"these packages are missing: {' '.join(missing)}"
    return "" if choose_user() is not None else "sway refuses root, and no other user can be mapped here"


@cache
def choose_user() -> tuple[str, ...] | None:
    """What must stand before sway's command; None if it cannot run here."""
    if os.geteuid():
        return ()
    if subprocess.run([*AS_DAEMON, "true"], capture_output=True).returncode == 0:
        return AS_DAEMON
    version = subprocess.run(["sway", "--version"], capture_output=True, text=True).stdout.split()
    newer = len(version) > 2 and tuple(map(int, version[2].split("-")[0].split("."))) >= (1, 8)
    return () if newer else None


class SwayScreen(Screen):
    """A session of sway on one output of 1280x720, on which windows are where they ask to be."""

    def __init__(self) -> None:
        super().__init__(HD, manager="")

    def start_server(self, server: str) -> str:
        """Starts sway in the place of `server`; returns the display of its Xwayland."""
        folder = Path(self.env["XDG_RUNTIME_DIR"])
        configuration = folder / "sway.conf"
        configuration.write_text(CONFIGURATION.format(folder=folder))
        self.env |= {"WLR_BACKENDS": "headless", "WLR_RENDERER": "pixman", "WLR_LIBINPUT_NO_DEVICES": "1"}
        self.env |= {"XDG_CURRENT_DESKTOP": "sway", "XDG_SESSION_TYPE": "wayland"}
        self.env.pop("DISPLAY", None)
        self.run(*(choose_user() or ()), "sway", "--config", str(configuration))
        inner = folder / "inner"
        names = ("DISPLAY", "WAYLAND_DISPLAY", "SWAYSOCK")

        def read_variables() -> dict[str, str] | None:
            text = inner.read_text() if inner.exists() else ""
            found = dict(line.split("=", 1) for line in text.splitlines() if line.startswith(names))
            return found if len(found) == len(names) and text.endswith("\n") else None

        self.env |= until(read_variables, "sway has started")
        return self.env["DISPLAY"]

    @property
    def socket(self) -> str:
        return str(Path(self.env["XDG_RUNTIME_DIR"], self.env["WAYLAND_DISPLAY"]))

    def ask(self, *words: str) -> Any:
        """Sends a command, or a request such as `-t get_outputs`; returns the answer."""
        done = subprocess.run(
            ["swaymsg", "--raw", *words], env=self.env, capture_output=True, text=True, check=True, timeout=60
        )
        return json.loads(done.stdout)

    def grab(self) -> Pixels:
        """What a monitor would show."""
        with tempfile.NamedTemporaryFile(suffix=".png") as file:
            subprocess.run(["grim", "-l", "0", file.name], env=self.env, check=True, timeout=60)
            picture = cv2.imread(file.name, cv2.IMREAD_COLOR)
        return np.dstack([picture, np.full(picture.shape[:2], 255, np.uint8)])


class VirtualInput:
    """A keyboard and a pointer, plugged in as long as this is open. Every method returns when sway has handled it."""

    def __init__(self, screen: SwayScreen) -> None:
        self._wayland = wayland = WaylandConnection(screen.socket)
        seat = wayland.bind("wl_seat", 1)
        keyboards = wayland.bind("zwp_virtual_keyboard_manager_v1", 1)
        pointers = wayland.bind("zwlr_virtual_pointer_manager_v1", 1)
        self._keyboard = wayland.new_id()
        wayland.request(keyboards, CREATE, seat, self._keyboard)
        self._pointer = wayland.new_id()
        wayland.request(pointers, CREATE, seat, self._pointer)
        with tempfile.TemporaryFile() as file:
            file.write(KEYMAP.encode() + b"\0")
            file.flush()
            wayland.request(self._keyboard, KEYMAP_REQUEST, 1, Descriptor(file.fileno()), len(KEYMAP) + 1)
            wayland.roundtrip()
        self.move_away()

    def close(self) -> None:
        self._wayland.close()

    def move_away(self) -> None:
        """Into a corner: sway draws the pointer into its pictures."""
        self._move(HD.width - 1, HD.height - 1)

    def click(self, x: int, y: int) -> None:
        """Moves there as a hand does, clicks, and stays.

        Xwayland loses the press of a pointer that has not moved within the window, and one that leaves at once.
        """
        self._move(x - 3, y)
        self._move(x, y)
        for state in (1, 0):
            self._wayland.request(self._pointer, BUTTON, self._now(), LEFT_BUTTON, state)
            self._wayland.request(self._pointer, FRAME)
            self._wayland.roundtrip()

    def _move(self, x: int, y: int) -> None:
        self._wayland.request(self._pointer, MOTION_ABSOLUTE, self._now(), x, y, *HD)
        self._wayland.request(self._pointer, FRAME)
        self._wayland.roundtrip()

    def hold(self, *keys: str) -> None:
        """Presses keys, the modifiers first."""
        mask = 0
        for key in keys:
            mask |= MASKS.get(key, 0)
            self._send(key, 1, mask)

    def let_go(self, *keys: str) -> None:
        """Releases keys which are all that is held."""
        held = sum(MASKS.get(key, 0) for key in keys)
        for key in reversed(keys):
            held -= MASKS.get(key, 0)
            self._send(key, 0, held)

    def press(self, *keys: str) -> None:
        self.hold(*keys)
        self.let_go(*keys)

    def _send(self, key: str, state: int, mask: int) -> None:
        self._wayland.request(self._keyboard, KEY, self._now(), CODES[key], state)
        self._wayland.request(self._keyboard, MODIFIERS, mask, 0, 0, 0)
        self._wayland.roundtrip()

    def _now(self) -> int:
        return int(time.monotonic() * 1000) & 0xFFFFFFFF


CLICKED_WINDOW = """
import sys
from PyQt6.QtWidgets import QApplication, QWidget
class Window(QWidget):
    def mousePressEvent(self, event):
        print(round(event.position().x()), round(event.position().y()), flush=True)
application = QApplication(["toy", "-platform", sys.argv[1]])
window = Window()
window.setWindowTitle("A menu")
window.resize(400, 300)
window.show()
print("shown", flush=True)
application.exec()
"""


class ClickedWindow:
    """A window of 400x300 that tells where it is clicked."""

    def __init__(self, screen: SwayScreen, platform: str) -> None:
        """`platform`: "wayland" or "xcb"."""
        self._screen = screen
        self._process = screen.talk(sys.executable, "-c", CLICKED_WINDOW, platform)
        assert self._read() == "shown"
        self.corner = until(self._find_corner, "the window is on the screen")

    def find_click(self) -> tuple[int, int] | None:
        """Where the next click landed; None if there is none within a second."""
        pipe = self._process.stdout
        assert pipe is not None
        if not select.select([pipe], [], [], 1.0)[0]:
            return None
        x, y = map(int, pipe.readline().split())
        return x, y

    def _find_corner(self) -> tuple[int, int] | None:
        for node in _walk(self._screen.ask("-t", "get_tree")):
            if node.get("name") == "A menu" and node["rect"]["width"] == 400:
                return node["rect"]["x"], node["rect"]["y"]
        return None

    def _read(self) -> str:
        pipe = self._process.stdout
        assert pipe is not None
        until(lambda: bool(select.select([pipe], [], [], 0.1)[0]), "an answer of the window", pause_s=0)
        return pipe.readline().strip()


def _walk(node: dict[str, Any]) -> list[dict[str, Any]]:
    below = [*node.get("nodes", []), *node.get("floating_nodes", [])]
    return [node, *(found for one in below for found in _walk(one))]
