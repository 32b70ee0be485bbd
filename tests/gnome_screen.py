"""GNOME's compositor without a monitor, with PipeWire and D-Bus, and native Wayland windows that a test controls."""

from __future__ import annotations

import re
import shutil
import socket
import sys
from contextlib import suppress
from pathlib import Path

from patience import until
from screens import HD, SMALL, Screen, command_toy, end, find_program, read_toy
from toy_window import make_noise

from live_sr.pipeline.frame import Pixels, Size

BUS_CONFIGURATION = """\
<!DOCTYPE busconfig PUBLIC "-//freedesktop//DTD D-Bus Bus Configuration 1.0//EN"
 "http://www.freedesktop.org/standards/dbus/1.0/busconfig.dtd">
<busconfig>
  <type>session</type><listen>unix:path={path}</listen>
  <policy context="default"><allow send_destination="*"/><allow receive_sender="*"/><allow own="*"/></policy>
</busconfig>
"""


PROGRAMS = {
    "mutter": "mutter",
    "Xwayland": "xwayland",
    "dbus-daemon": "dbus-daemon",
    "pipewire": "pipewire",
    "pw-link": "pipewire-bin",
    "wireplumber": "wireplumber",
    "Xvfb": "xvfb",
}


def list_missing_programs() -> list[str]:
    """The Debian packages that are missing here for a GnomeScreen."""
    return sorted({package for program, package in PROGRAMS.items() if shutil.which(program) is None})


class GnomeScreen(Screen):
    """A Wayland session of GNOME's compositor, with Xwayland, D-Bus and PipeWire."""

    def __init__(self, monitors: int = 1) -> None:
        """`monitors`: of 1280x720, side by side."""
        super().__init__(HD, manager="")
        self._monitors = monitors

    @property
    def bus(self) -> str:
        return self.env["DBUS_SESSION_BUS_ADDRESS"]

    def start_server(self, server: str) -> str:
        """Starts everything in the place of `server`; returns the display of Xwayland."""
        folder = Path(self.env["XDG_RUNTIME_DIR"])
        bus, log = folder / "bus", self.log.with_name("mutter.log")
        configuration = folder / "bus.conf"
        configuration.write_text(BUS_CONFIGURATION.format(path=bus))
        self.env |= {"DBUS_SESSION_BUS_ADDRESS": f"unix:path={bus}", "XDG_SESSION_TYPE": "wayland"}
        self.env |= {"LIBGL_ALWAYS_SOFTWARE": "1", "GSETTINGS_BACKEND": "memory"}
        self.run(find_program("dbus-daemon", "dbus-daemon"), f"--config-file={configuration}", "--nofork")
        until(bus.exists, "D-Bus has started")
        self.run(find_program("pipewire", "pipewire"))
        until((folder / "pipewire-0").exists, "PipeWire has started")
        self.run(find_program("wireplumber", "wireplumber"))
        _provide_socket_folder()
        compositor = self.run(
            *(find_program("mutter", "mutter"), "--headless", "--wayland"),
            *("--wayland-display=wayland-of-tests", *["--virtual-monitor", str(HD)] * self._monitors),
            log=log,
        )

        def find_display() -> re.Match[str] | None:
            if compositor.poll() is not None:
                raise RuntimeError(f"mutter has ended: {log.read_text()[-500:]}")
            return re.search(r"public X11 display (:\d+)", log.read_text())

        told = until(find_display, "mutter has started")
        until((folder / "wayland-of-tests").exists, "mutter's socket")
        self.env["WAYLAND_DISPLAY"] = "wayland-of-tests"
        authority = until(lambda: next(folder.glob(".mutter-Xwaylandauth*"), None), "the key of Xwayland")
        self.env["XAUTHORITY"] = str(authority)
        return told[1]

    def connect_to_pipewire(self) -> int:
        """A descriptor, which belongs to the caller."""
        with socket.socket(socket.AF_UNIX) as remote:
            remote.connect(str(Path(self.env["XDG_RUNTIME_DIR"], "pipewire-0")))
            return remote.detach()


class WaylandToy:
    """A native Wayland window in a process of its own."""

    def __init__(self, screen: GnomeScreen, size: Size = SMALL, title: str = "Toy") -> None:
        self.size = size
        script = str(Path(__file__).with_name("wayland_toy.py"))
        self._process = screen.talk(sys.executable, script, title, *map(str, size))
        assert read_toy(self._process) == "ok"

    def draw(self, seed: int) -> Pixels:
        """Draws noise, and returns the pixels that a capture of it must have."""
        command_toy(self._process, "draw", seed)
        expected = make_noise(*self.size, seed)
        expected[..., 3] = 255
        return expected

    def resize(self, size: Size) -> None:
        command_toy(self._process, "resize", *size)
        self.size = size

    def play(self, fps: int) -> None:
        """Paints all the time, and the time of the painting into the first pixels."""
        command_toy(self._process, "play", fps)

    def close(self) -> None:
        end(self._process)


def _provide_socket_folder() -> None:
    """Makes the folder of X's sockets as a system does when it starts; mutter refuses one that not all may write to."""
    folder = Path("/tmp/.X11-unix")
    with suppress(FileExistsError):
        folder.mkdir()
        folder.chmod(0o1777)
