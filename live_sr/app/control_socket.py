"""`live-sr ctl ACTION`: carries out the action of a hotkey in a running `live-sr run`, over a local socket.

For desktops where no program hears keys that go to another one's windows: Wayland compositors can start a command for
a key. A request is a line, `press ACTION` or `release ACTION`; the answer is `ok`, or a sentence.
"""

from __future__ import annotations

import logging
import os
import socket
import struct
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from live_sr.config import HotkeySettings
from live_sr.errors import LiveSRError, UsageError, did_you_mean, reason
from live_sr.system import paths

if TYPE_CHECKING:
    from live_sr.app.controls import Controls
    from live_sr.overlay.event_loop import EventLoop  # brings Qt, which the client does not need

ANSWER_S = 5.0  # the longest wait for a running live-sr that is busy
LONGEST = 200  # bytes of a request
SUFFIX = ".control"
CREDENTIALS = "3i"  # struct ucred: process, user, group

linux_os: Any = os  # the types for Windows lack what is used of these two
linux_socket: Any = socket

log = logging.getLogger(__name__)


class ControlSocket:
    """Listens for requests on the GUI thread, and answers those of this user only."""

    def __init__(self, loop: EventLoop, controls: Controls) -> None:
        """Raises OSError, or LiveSRError, if there can be no socket."""
        self._loop = loop
        self._controls = controls
        self._path = open_folder() / f"{os.getpid()}{SUFFIX}"
        self._path.unlink(missing_ok=True)  # of a process that had the same number and crashed
        self._listening = socket.socket(_get_family())
        self._listening.setblocking(False)
        self._listening.bind(str(self._path))
        self._listening.listen()
        self._stop_listening = loop.call_when_readable(self._listening.fileno(), self._accept)

    def close(self) -> None:
        self._stop_listening()
        self._listening.close()
        self._path.unlink(missing_ok=True)

    def _accept(self) -> None:
        with suppress(OSError):
            asking, _ = self._listening.accept()
            if not _is_of_this_user(asking):
                asking.close()
                return
            asking.setblocking(False)
            stop: list[Callable[[], None]] = []
            stop.append(self._loop.call_when_readable(asking.fileno(), lambda: self._answer(asking, stop[0])))

    def _answer(self, asking: socket.socket, stop: Callable[[], None]) -> None:
        stop()
        with suppress(OSError), asking:
            words = asking.recv(LONGEST).decode(errors="replace").split()
            asking.sendall(self._carry_out(words).encode())

    def _carry_out(self, words: list[str]) -> str:
        what, action = words if len(words) == 2 else ("", "")
        if what not in ("press", "release") or action not in self._controls.actions:
            return f"there is no action {action}.{did_you_mean(action, self._controls.actions)}"
        # later, so that the answer is out before an action that ends the program
        self._loop.post(partial(self._controls.press if what == "press" else self._controls.release, action))
        return "ok"


def open_control_socket(loop: EventLoop, controls: Controls) -> ControlSocket | None:
    """None where there can be no such socket; the hotkeys work without."""
    try:
        return ControlSocket(loop, controls)
    except (LiveSRError, OSError) as error:
        log.debug("no `live-sr ctl`: %s", reason(error))
        return None


def send(action: str, *, release: bool = False, pid: int | None = None) -> None:
    """Asks the newest live-sr of this user that runs, or the process `pid`. Raises LiveSRError or UsageError."""
    folder = open_folder()
    if pid is not None:
        candidates = [folder / f"{pid}{SUFFIX}"]
    else:
        candidates = sorted(folder.glob(f"*{SUFFIX}"), key=_get_time, reverse=True)
    for path in candidates:
        answer = _ask(path, f"{'release' if release else 'press'} {action}")
        if answer == "ok":
            return
        if answer is not None:
            known = ", ".join(HotkeySettings.model_fields)
            raise UsageError(answer or "live-sr ended before it answered", f"the actions are {known}")
    which = "" if pid is None else f" with the process number {pid}"
    raise LiveSRError(f"no live-sr{which} is running", "start `live-sr run` first")


def open_folder() -> Path:
    """The folder of the sockets; it is made if missing, for this user only. Raises LiveSRError."""
    folder = paths.require_folder(paths.get_runtime_folder(), "the socket of `live-sr ctl`")
    try:
        folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    except OSError as error:
        raise LiveSRError(f"{folder} cannot be made: {error.strerror}", "set XDG_RUNTIME_DIR to your folder") from None
    return folder


def _ask(path: Path, request: str) -> str | None:
    """The answer; None if no live-sr listens there, whose socket is then removed."""
    with socket.socket(_get_family()) as asked:
        asked.settimeout(ANSWER_S)
        try:
            asked.connect(str(path))
            asked.sendall(f"{request}\n".encode())
            return asked.recv(LONGEST + 100).decode(errors="replace")
        except (ConnectionRefusedError, FileNotFoundError):
            path.unlink(missing_ok=True)
            return None
        except OSError as error:
            raise LiveSRError(f"live-sr does not answer: {error.strerror or error}", "try again") from None


def _get_time(path: Path) -> float:
    with suppress(OSError):
        return path.stat().st_mtime
    return 0.0


def _get_family() -> Any:
    """Raises LiveSRError on Windows, whose Python has no such sockets, and where hotkeys are heard everywhere."""
    if not hasattr(socket, "AF_UNIX"):
        raise LiveSRError("`live-sr ctl` is for Linux", "use the hotkeys")
    return linux_socket.AF_UNIX


def _is_of_this_user(asking: socket.socket) -> bool:
    """Whether the program at the other end belongs to the user who runs this one."""
    credentials = asking.getsockopt(linux_socket.SOL_SOCKET, linux_socket.SO_PEERCRED, struct.calcsize(CREDENTIALS))
    return bool(struct.unpack(CREDENTIALS, credentials)[1] == linux_os.getuid())
