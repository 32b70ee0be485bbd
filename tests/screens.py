"""A screen of one's own with a window manager, a real game on it, and a window that does as it is told.

For tests (through the fixtures of conftest.py) and for scripts:

    with Screen(Size(1920, 1080)) as screen, Game(screen) as game:
        ...  # screen.display, screen.env; game.window, game.pid

Everything runs in process groups of its own, which are ended by their id, and by the kernel when the thread that
started them ends (as in a test run that is killed): start them on a thread that lasts.
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
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Self, TypeVar

import numpy as np
from toy_window import pattern
from Xlib import X
from Xlib.display import Display

from live_sr.capture.x11 import X11Source
from live_sr.contracts import WindowInfo
from live_sr.errors import SourceLost
from live_sr.frame import Pixels, Size
from live_sr.overlay.desktop_x11 import X11Desktop
from live_sr.overlay.picker import find_windows

HD, DOOM, SMALL = Size(1280, 720), Size(640, 400), Size(320, 200)
START_S = 60.0  # for anything to come up on a busy machine
T = TypeVar("T")


def until(find: Callable[[], T | None], what: str, timeout_s: float = START_S, pause_s: float = 0.02) -> T:
    """What `find` returns once that is not None or False. Raises TimeoutError with `what` was waited for."""
    end = time.monotonic() + timeout_s
    while True:
        found = find()
        if found is not None and found is not False:
            return found
        if time.monotonic() > end:
            raise TimeoutError(f"{what}: not within {timeout_s:.0f} s")
        time.sleep(pause_s)


def program(name: str, package: str) -> str:
    """The path of a program. Raises FileNotFoundError with how to get it: a test that needs it fails, never skips."""
    path = shutil.which(name, path=f"{os.environ.get('PATH', os.defpath)}:/usr/games")
    if path is None:
        raise FileNotFoundError(f"{name} is missing: sudo apt install {package}")
    return path


_libc = ctypes.CDLL(None)


def _end_with_us() -> None:
    """In a new process, before its program begins: ask for SIGKILL when its parent is gone."""
    pr_set_pdeathsig = 1
    _libc.prctl(pr_set_pdeathsig, signal.SIGKILL)


def end(process: subprocess.Popen[str]) -> None:
    """Ends a process that was started in a group of its own, with its children."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            break
    for pipe in (process.stdin, process.stdout, process.stderr):
        if pipe is not None:
            with suppress(BrokenPipeError):
                pipe.close()


class Screen:
    """An Xvfb on a free display number, with openbox unless `manager` is off, and a home folder of its own."""

    def __init__(self, size: Size = HD, *, manager: bool = True) -> None:
        self.size = size
        self.display = ""
        self._manager = manager
        self._running: list[subprocess.Popen[str]] = []

    def __enter__(self) -> Self:
        server = program("Xvfb", "xvfb")
        manager = program("openbox", "openbox") if self._manager else ""
        self._folder = tempfile.TemporaryDirectory(prefix="live-sr-screen-")
        home, runtime = Path(self._folder.name, "home"), Path(self._folder.name, "runtime")
        home.mkdir()
        runtime.mkdir(mode=0o700)
        self.env = {**os.environ, "HOME": str(home), "XDG_RUNTIME_DIR": str(runtime), "SDL_AUDIODRIVER": "dummy"}
        for name in ("WAYLAND_DISPLAY", "XAUTHORITY", "XDG_CONFIG_HOME", "XDG_DATA_HOME"):
            self.env.pop(name, None)
        try:
            self.display = self.env["DISPLAY"] = self._serve(server)
            if manager:
                self.run(manager)
                until(self._managed, "openbox manages the windows")
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

    def run(self, *command: str, **env: str) -> subprocess.Popen[str]:
        """Starts a program on this screen; it is ended with it. What it says is kept in `log`."""
        with self.log.open("a") as log:
            process = subprocess.Popen(
                command,
                env={**self.env, **env},
                stdout=log,
                stderr=log,
                text=True,
                start_new_session=True,
                preexec_fn=_end_with_us,
            )
        self._running.append(process)
        return process

    def talk(self, *command: str) -> subprocess.Popen[str]:
        """Like `run`, with its standard input and output as pipes."""
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
        """Ends what was started here, but server and window manager."""
        while len(self._running) > self._lasting:
            end(self._running.pop())

    @property
    def server(self) -> subprocess.Popen[str]:
        return self._running[0]

    @property
    def alive(self) -> bool:
        return bool(self._running) and all(p.poll() is None for p in self._running[: self._lasting])

    @property
    def log(self) -> Path:
        return Path(self._folder.name, "log")

    def _serve(self, server: str) -> str:
        """Starts the server and returns its display, which it chooses itself and tells once it is ready."""
        told, tell = os.pipe()
        try:
            with self.log.open("a") as log:
                process = subprocess.Popen(
                    [
                        *(server, "-displayfd", str(tell), "-screen", "0", f"{self.size}x24"),
                        *("-nolisten", "tcp", "-noreset", "+extension", "COMPOSITE", "+extension", "RANDR"),
                        *("+extension", "GLX"),
                    ],
                    env=self.env,
                    stdout=log,
                    stderr=log,
                    text=True,
                    start_new_session=True,
                    preexec_fn=_end_with_us,
                    pass_fds=(tell,),
                )
            self._running.append(process)
            os.close(tell)
            tell = -1
            number = b""
            deadline = time.monotonic() + START_S
            while not number.endswith(b"\n"):
                ready = select.select([told], [], [], max(0.0, deadline - time.monotonic()))[0]
                part = os.read(told, 64) if ready else b""
                if not part:
                    raise TimeoutError(f"Xvfb did not start: {self.log.read_text()[-500:]}")
                number += part
            return f":{int(number)}"
        finally:
            os.close(told)
            if tell >= 0:
                os.close(tell)

    def _managed(self) -> bool:
        display = Display(self.display)
        try:
            name = display.intern_atom("_NET_SUPPORTING_WM_CHECK")
            return display.screen().root.get_full_property(name, X.AnyPropertyType) is not None
        finally:
            display.close()


class ToyWindow:
    """A window in a process of its own; every method returns when the window is as it was told to be."""

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
        """`override`: no window manager touches it, and it starts on top of the others."""
        self.size = size
        numbers = (*at, *size, depth, border, int(override))
        script = str(Path(__file__).with_name("toy_window.py"))
        self._process = screen.talk(sys.executable, script, *(str(n) for n in numbers), title)
        self.pid = self._process.pid
        self.id = int(self._answer())

    def draw(self, seed: int) -> Pixels:
        """Draws noise, and returns what a capture of it has to be."""
        self._tell("draw", seed)
        expected = pattern(*self.size, seed)
        expected[..., 3] = 255
        return expected

    def resize(self, size: Size) -> None:
        self._tell("resize", *size)
        self.size = size

    def move(self, x: int, y: int) -> None:
        self._tell("move", x, y)

    def minimise(self) -> None:
        """As its user would: through the window manager."""
        self._tell("minimise")

    def unmap(self) -> None:
        self._tell("unmap")

    def map(self) -> None:
        """Shows it, or restores it from being minimised."""
        self._tell("map")

    def above(self) -> None:
        self._tell("above")

    def destroy(self) -> None:
        self._tell("destroy")

    def kill(self) -> None:
        """Ends its process, as a crash would."""
        end(self._process)

    def _tell(self, command: str, *numbers: int) -> None:
        assert self._process.stdin is not None
        print(command, *numbers, file=self._process.stdin, flush=True)
        answer = self._answer()
        if answer != "ok":
            raise RuntimeError(f"the toy window says: {answer}")

    def _answer(self) -> str:
        assert self._process.stdout is not None
        answer = self._process.stdout.readline().strip()
        if not answer:
            raise RuntimeError("the toy window's process has ended")
        return answer


class Game:
    """Chocolate Doom with Freedoom, playing its attract demos by itself at 35 frames a second."""

    TITLE = "Chocolate Doom"

    def __init__(self, screen: Screen, size: Size = DOOM) -> None:
        """`size`: of 8:5, which is what the game keeps to."""
        self._screen = screen
        self._size = size

    def __enter__(self) -> Self:
        name = program("chocolate-doom", "chocolate-doom freedoom")
        levels = Path("/usr/share/games/doom/freedoom1.wad")
        if not levels.exists():
            raise FileNotFoundError(f"{levels} is missing: sudo apt install freedoom")
        # or it narrows its window to 4:3, as if the pixels of 320x200 were those of an old monitor
        settings = Path(self._screen.env["HOME"], "doom-extra.cfg")
        settings.write_text("aspect_ratio_correct 0\n")
        self._process = self._screen.run(
            *(name, "-iwad", str(levels), "-extraconfig", str(settings), "-window", "-nosound", "-nogui"),
            *("-geometry", str(self._size)),
        )
        self.pid = self._process.pid
        desktop = X11Desktop(self._screen.display)
        try:
            self.info: WindowInfo = until(lambda: self._drawn(desktop), "the game draws")
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

    def plays(self) -> None:
        """Returns when the title picture, which is up for some five seconds, has given way to the moving demo."""
        source = X11Source(self.window, display=self._screen.display)
        pictures: set[bytes] = set()

        def moving() -> bool:
            frame = source.next_frame(0.1)
            if frame is not None:
                pictures.add(frame.pixels.tobytes())
            return len(pictures) >= 8

        try:
            until(moving, "the demo plays", pause_s=0)
        finally:
            source.close()

    def _found(self, desktop: X11Desktop) -> WindowInfo | None:
        if self._process.poll() is not None:
            raise RuntimeError(f"the game has ended: {self._screen.log.read_text()[-500:]}")
        found = [w for w in find_windows(desktop.windows(), self.TITLE, self.pid) if w.rect.size == self._size]
        return found[0] if found else None

    def _drawn(self, desktop: X11Desktop) -> WindowInfo | None:
        """The game's window once it plays. Found anew each time: SDL may make another one while the game starts."""
        found = self._found(desktop)
        return found if found is not None and self._moves(found.id) else None

    def _moves(self, window: int) -> bool:
        """Whether two pictures differ, and are no longer the start's black."""
        try:
            source = X11Source(window, display=self._screen.display)
            try:
                one, other = source.next_frame(1.0), source.next_frame(1.0)
            finally:
                source.close()
        except SourceLost:
            return False
        if one is None or other is None or not other.pixels[..., :3].any():
            return False
        return one.pixels.shape != other.pixels.shape or bool(np.any(one.pixels != other.pixels))
