"""KWin, the compositor of KDE Plasma, in a window that fills an Xvfb, with its Xwayland, D-Bus and PipeWire.

KWin draws without a graphics card only as a window of X11 or of another compositor, and takes what is typed and clicked
there for a real keyboard and pointer.
"""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import numpy as np
from gnome_screen import BUS_CONFIGURATION
from patience import until
from screens import HD, Screen, find_program

from live_sr.pipeline.frame import Pixels

PROGRAMS = {
    "kwin_wayland": "kwin-wayland",
    "Xvfb": "xvfb",
    "Xwayland": "xwayland",
    "dbus-daemon": "dbus-daemon",
    "pipewire": "pipewire",
    "wireplumber": "wireplumber",
    "xdotool": "xdotool",
}
SOCKET = "wayland-of-tests"


def find_obstacle() -> str:
    """Why KWin cannot be started here; empty if it can."""
    missing = sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})
    return f"these packages are missing: {' '.join(missing)}" if missing else ""


class KwinScreen(Screen):
    """A session of KWin on one output of 1280x720."""

    def __init__(self) -> None:
        super().__init__(HD, manager="")
        self._outside = ""  # the display of Xvfb

    def start_server(self, server: str) -> str:
        """Starts everything; returns the display of KWin's Xwayland."""
        self._outside = super().start_server(server)
        folder = Path(self.env["XDG_RUNTIME_DIR"])
        bus, configuration, inner = folder / "bus", folder / "bus.conf", folder / "inner"
        configuration.write_text(BUS_CONFIGURATION.format(path=bus))
        self.env |= {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}", "LIBGL_ALWAYS_SOFTWARE": "1"}
        self.env |= {"XDG_CURRENT_DESKTOP": "KDE", "XDG_SESSION_TYPE": "wayland"}
        self.env.pop("DISPLAY", None)
        self.run(find_program("dbus-daemon", "dbus-daemon"), f"--config-file={configuration}", "--nofork")
        until(bus.exists, "D-Bus has started")
        self.run(find_program("pipewire", "pipewire"))
        until((folder / "pipewire-0").exists, "PipeWire has started")
        self.run(find_program("wireplumber", "wireplumber"))
        compositor = self.run(
            *(str(self._copy_compositor()), "--x11-display", self._outside),
            *("--width", str(HD.width), "--height", str(HD.height)),
            *("--xwayland", "--socket", SOCKET, "--no-lockscreen", "--no-global-shortcuts"),
            self._write_script(inner),
        )

        def read_variables() -> dict[str, str] | None:
            if compositor.poll() is not None:
                raise RuntimeError(f"KWin has ended: {self.log.read_text()[-500:]}")
            lines = inner.read_text().splitlines() if inner.exists() else []
            return dict(line.split("=", 1) for line in lines) if len(lines) == 2 else None

        found = until(read_variables, "KWin has started")
        self.env |= {**found, "WAYLAND_DISPLAY": SOCKET}
        return self.env["DISPLAY"]

    def _copy_compositor(self) -> Path:
        """Without its file capabilities, which a container may refuse."""
        copy = Path(self._folder.name, "kwin_wayland")
        shutil.copyfile(find_program("kwin_wayland", "kwin-wayland"), copy)
        copy.chmod(0o755)
        return copy

    def _write_script(self, inner: Path) -> str:
        """What KWin starts when it is ready: it tells the display and the key of Xwayland."""
        script = Path(self._folder.name, "inner.sh")
        script.write_text(f'#!/bin/sh\nenv | grep -E "^(DISPLAY|XAUTHORITY)=" > {inner}\nexec sleep infinity\n')
        script.chmod(0o755)
        return str(script)

    def grab(self) -> Pixels:
        """What a monitor would show."""
        picture = np.array(self.read_framebuffer())
        picture[..., 3] = 255
        return picture

    def hand(self, *words: str) -> None:
        """Moves, clicks or types, with the words of xdotool, as the player does."""
        subprocess.run(["xdotool", *words], env={**self.env, "DISPLAY": self._outside}, check=True)

    def click(self, x: int, y: int) -> None:
        """Moves there as a hand does, and clicks."""
        self.hand("mousemove", str(x - 3), str(y), "mousemove", str(x), str(y), "click", "1")
