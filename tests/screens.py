"""Starts an X server with a window manager, a real game on it, and a window that a test controls.

For tests (through the fixtures in conftest.py) and for scripts:

    with Screen(Size(1920, 1080)) as screen, Game(screen) as game:
        ...  # screen.display, screen.env; game.window, game.pid

Each program runs in a process group of its own, which is ended by its id. The kernel ends it when the thread that
started it ends, as when a test run is killed: so start programs on a thread that lasts.
"""

from __future__ import annotations

import ctypes
import os
import select
import shutil
import signal
import subprocess
import sys
import tempfile
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Self

import numpy as np
from patience import LONG_S, clock, until
from toy_window import make_noise
from Xlib import X, protocol
from Xlib.display import Display

from live_sr.capture.x11 import X11Source
from live_sr.desktop.window_picker import find_windows
from live_sr.desktop.x11 import X11Desktop
from live_sr.errors import SourceLost
from live_sr.pipeline.desktop_contracts import WindowInfo
from live_sr.pipeline.frame import Pixels, Rect, Size

if TYPE_CHECKING:
    import pytest

HD, DOOM, SMALL = Size(1280, 720), Size(640, 400), Size(320, 200)


def find_program(name: str, package: str) -> str:
    """The path of a program. Raises FileNotFoundError with how to install it, so that tests fail, not skip."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/games")
    if path is None:
        raise FileNotFoundError(f"{name} is missing: sudo apt install {package}")
    return path


_libc = ctypes.CDLL(None)


def _end_with_us() -> None:
    """Runs in a new process before its program: asks for SIGKILL when the parent ends."""
    pr_set_pdeathsig = 1
    _libc.prctl(pr_set_pdeathsig, signal.SIGKILL)


def end(process: subprocess.Popen[str]) -> None:
    """Ends a process and its children. It must have been started in a group of its own."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(TimeoutError):
            until(lambda: process.poll() is not None, "its end", 5.0)
            break
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


def forget_extensions(monkeypatch: pytest.MonkeyPatch) -> None:
    """For a test on another kind of X server: python-xlib keeps the numbers of a server's extensions for all others."""
    monkeypatch.setattr(protocol.display.Display, "event_classes", protocol.event.event_class.copy())
    monkeypatch.setattr(protocol.display.Display, "extension_major_opcodes", {})


class Screen:
    """Xvfb on a free display number, with a home folder of its own.

    `manager`: the command of a window manager; "": none.
    """

    def __init__(self, size: Size = HD, *, manager: str = "openbox") -> None:
        self.size = size
        self.display = ""
        self._manager = manager
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        server = find_program("Xvfb", "xvfb")
        name, *arguments = self._manager.split() or [""]
        manager = [find_program(name, name), *arguments] if name else []
        self._folder = tempfile.TemporaryDirectory(prefix="live-sr-screen-")
        home, runtime = Path(self._folder.name, "home"), Path(self._folder.name, "runtime")
        home.mkdir()
        runtime.mkdir(mode=0o700)
        self.env = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "SDL_AUDIODRIVER": "dummy"}
        # nobody listens there: programs of a test do not reach the D-Bus of whoever runs it
        self.env["DBUS_SESSION_BUS_ADDRESS"] = f"unix:path={runtime / 'bus'}"
        for name in ("WAYLAND_DISPLAY", "XAUTHORITY", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            self.env.pop(name, None)
        try:
            self.display = self.env["DISPLAY"] = self.start_server(server)
            if manager:
                self.run(*manager)
                until(self._has_window_manager, f"{self._manager} has started")
            self._lasting = len(self._running)
        except BaseException:
            self.__exit__()
            raise
        return self

    def __exit__(self, *_: object) -> None:
        for process in reversed(self._running):
            end(process)
        self._running.clear()
        with suppress(OSError):
            self._folder.cleanup()

    def run(self, *command: str, log: Path | None = None, **env: str) -> subprocess.Popen[str]:
        """Starts a program, which ends with the screen. Its output goes to a file: `log`, or the screen's own."""
        with (log or self.log).open("a") as output:
            process = subprocess.Popen(
                command,
                env={**self.env, **env},
                stdout=output,
                stderr=output,
                text=True,
                start_new_session=True,
                preexec_fn=_end_with_us,
            )
        self._running.append(process)
        return process

    def talk(self, *command: str) -> subprocess.Popen[str]:
        """Like `run`, with pipes for standard input and output."""
        process = subprocess.Popen(
            command,
            env=self.env,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
            start_new_session=True,
            preexec_fn=_end_with_us,
        )
        self._running.append(process)
        return process

    def clear(self) -> None:
        """Ends all programs except the server and the window manager."""
        while len(self._running) > self._lasting:
            end(self._running.pop())

    def read_framebuffer(self) -> Pixels:
        """What a monitor would show: screenshots lack the server's own cursor. The file is in the format of xwd."""
        data = np.memmap(Path(self._folder.name, "Xvfb_screen0"), np.uint8, "r")
        header = data[:100].view(">u4")  # [0]: its length, [12]: bytes a row, [19]: colours of 12 bytes after it
        rows = data[header[0] + 12 * header[19] :][: header[12] * self.size.height]
        return rows.reshape(self.size.height, -1, 4)[:, : self.size.width]

    @property
    def server(self) -> subprocess.Popen[str]:
        return self._running[0]

    @property
    def has_manager(self) -> bool:
        return bool(self._manager)

    @property
    def alive(self) -> bool:
        return bool(self._running) and all(p.poll() is None for p in self._running[: self._lasting])

    @property
    def log(self) -> Path:
        return Path(self._folder.name, "log")

    def start_server(self, server: str) -> str:
        """Starts the server and returns its display, which it chooses itself and writes to a pipe once it is ready."""
        reading_end, writing_end = os.pipe()
        try:
            with self.log.open("a") as log:
                process = subprocess.Popen(
                    [
                        *(server, "-displayfd", str(writing_end), "-screen", "0", f"{self.size}x24"),
                        *("-nolisten", "tcp", "-noreset", "+extension", "COMPOSITE", "+extension", "RANDR"),
                        *("-fbdir", self._folder.name),
                        *("+extension", "GLX"),
                    ],
                    env=self.env,
                    stdout=log,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                    preexec_fn=_end_with_us,
                    pass_fds=(writing_end,),
                )
            self._running.append(process)
            os.close(writing_end)
            writing_end = -1
            number = b""
            end_at = clock() + LONG_S
            while not number.endswith(b"\n"):
                ready = select.select([reading_end], [], [], 0.1)[0]
                part = os.read(reading_end, 64) if ready else b""
                if (ready and not part) or clock() > end_at:
                    raise TimeoutError(f"Xvfb did not start: {self.log.read_text()[-500:]}")
                number += part
            return f":{int(number)}"
        finally:
            os.close(reading_end)
            if writing_end >= 0:
                os.close(writing_end)

    def _has_window_manager(self) -> bool:
        display = Display(self.display)
        try:
            name = display.intern_atom("_NET_SUPPORTING_WM_CHECK")
            return display.screen().root.get_full_property(name, X.AnyPropertyType) is not None
        finally:
            display.close()


class ToyWindow:
    """A window in a process of its own. Each method returns once the window has done what it asks for."""

    def __init__(
        self,
        screen: Screen,
        size: Size = SMALL,
        *,
        at: tuple[int, int] = (40, 60),
        title: str = "Toy",
        depth: int = 24,
        border: int = 0,
        override: bool = False,
    ) -> None:
        """`override`: the window manager ignores it, and it starts above the others."""
        self.size = size
        numbers = (*at, *size, depth, border, int(override))
        script = str(Path(__file__).with_name("toy_window.py"))
        self._process = screen.talk(sys.executable, script, *(str(n) for n in numbers), title)
        self.pid = self._process.pid
        self.id = int(read_toy(self._process))

    def draw(self, seed: int) -> Pixels:
        """Draws noise, and returns the pixels that a capture of it must have."""
        self._send("draw", seed)
        expected = make_noise(*self.size, seed)
        expected[..., 3] = 255
        return expected

    def play_halves(self, count: int) -> None:
        """Draws pictures of one colour each, 30 a second: the upper half, and a moment later the lower one."""
        self._send("play_halves", count)

    def resize(self, size: Size) -> None:
        self._send("resize", *size)
        self.size = size

    def move(self, x: int, y: int) -> None:
        self._send("move", x, y)

    def minimise(self) -> None:
        """Minimises it through the window manager, as a user would."""
        self._send("minimise")

    def unmap(self) -> None:
        self._send("unmap")

    def map(self) -> None:
        """Shows it, or restores it when it is minimised."""
        self._send("map")

    def raise_to_top(self) -> None:
        self._send("raise_to_top")

    def show_full_screen(self, colour: int) -> None:
        """Hides the window and opens one of one colour over the whole screen, as SDL 1.2 does."""
        self._send("show_full_screen", colour)

    def recreate(self) -> None:
        """Closes the window and opens another one, without a title."""
        self._send("recreate")

    def set_shadow(self, left: int, right: int, top: int, bottom: int) -> None:
        """Declares margins of the window as its own shadow."""
        self._send("set_shadow", left, right, top, bottom)

    def open_dialog(self, rect: Rect, colour: int) -> None:
        """Opens a window of one colour, 0xRRGGBB, that is transient for this one."""
        self._send("open_dialog", *rect, colour)

    def open_menu(self, rect: Rect, colour: int) -> None:
        """Opens a window of one colour that no window manager handles."""
        self._send("open_menu", *rect, colour)

    def paint_other(self, colour: int) -> None:
        """Gives the newest dialog or menu another colour."""
        self._send("paint_other", colour)

    def close_other(self) -> None:
        """Closes the newest dialog or menu."""
        self._send("close_other")

    def destroy(self) -> None:
        self._send("destroy")

    def kill(self) -> None:
        """Ends its process, as a crash would."""
        end(self._process)

    def _send(self, command: str, *numbers: int) -> None:
        command_toy(self._process, command, *numbers)


def command_toy(process: subprocess.Popen[str], command: str, *numbers: int) -> None:
    """Has a toy window's process do something. Returns once it has."""
    assert process.stdin is not None
    print(command, *numbers, file=process.stdin, flush=True)
    answer = read_toy(process)
    if answer != "ok":
        raise RuntimeError(f"the toy window says: {answer}")


def read_toy(process: subprocess.Popen[str]) -> str:
    """The next line of a toy window's process."""
    assert process.stdout is not None
    stdout = [process.stdout]
    until(lambda: bool(select.select(stdout, [], [], 0.1)[0]), "an answer of the toy window", pause_s=0)
    answer = process.stdout.readline().strip()
    if not answer:
        raise RuntimeError("the toy window's process has ended")
    return answer


class Game:
    """Chocolate Doom with Freedoom, playing its attract demos by itself at 35 frames a second."""

    TITLE = "Chocolate Doom"

    def __init__(self, screen: Screen, size: Size = DOOM) -> None:
        """`size`: 8:5, the game's only aspect ratio."""
        self._screen = screen
        self._size = size

    def __enter__(self) -> Self:
        name = find_program("chocolate-doom", "chocolate-doom freedoom")
        levels = Path("/usr/share/games/doom/freedoom1.wad")
        if not levels.exists():
            raise FileNotFoundError(f"{levels} is missing: sudo apt install freedoom")
        # without this, the game narrows its window to 4:3, as its 320x200 pixels were shown on old monitors
        settings = Path(self._screen.env["HOME"], "doom-extra.cfg")
        settings.write_text("aspect_ratio_correct 0\n")
        self._process = self._screen.run(
            *(name, "-iwad", str(levels), "-extraconfig", str(settings), "-window", "-nosound", "-nogui"),
            *("-geometry", str(self._size)),
        )
        self.pid = self._process.pid
        desktop = X11Desktop(self._screen.display)
        try:
            self.info: WindowInfo = until(lambda: self._find_moving_window(desktop), "the game draws")
        except BaseException:
            self.close()
            raise
        finally:
            desktop.close()
        self.window = self.info.id
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def close(self) -> None:
        end(self._process)

    def wait_for_demo(self) -> None:
        """Returns when the demo moves, after the title picture, which stays for about five seconds."""
        source = X11Source(self.window, display=self._screen.display)
        pictures: set[bytes] = set()

        def is_moving() -> bool:
            frame = source.next_frame(0.1)
            if frame is not None:
                pictures.add(frame.pixels.tobytes())
            return len(pictures) >= 8

        try:
            until(is_moving, "the demo plays", pause_s=0)
        finally:
            source.close()

    def _find_window(self, desktop: X11Desktop) -> WindowInfo | None:
        if self._process.poll() is not None:
            raise RuntimeError(f"the game has ended: {self._screen.log.read_text()[-500:]}")
        found = [w for w in find_windows(desktop.list_windows(), self.TITLE, self.pid) if w.rect.size == self._size]
        return found[0] if found else None

    def _find_moving_window(self, desktop: X11Desktop) -> WindowInfo | None:
        """The game's window once it plays. It is searched each time: SDL may open another one while the game starts."""
        found = self._find_window(desktop)
        return found if found is not None and self._is_moving(found.id) else None

    def _is_moving(self, window: int) -> bool:
        """Whether two successive pictures differ and are not black as at the start."""
        try:
            source = X11Source(window, display=self._screen.display)
            try:
                one, other = (until(lambda: source.next_frame(0.1), "a frame", pause_s=0) for _ in range(2))
            finally:
                source.close()
        except SourceLost:
            return False
        if not other.pixels[..., :3].any():
            return False
        return one.pixels.shape != other.pixels.shape or bool(np.any(one.pixels != other.pixels))
