"""What games need to run for us: their programs, a display, libraries of ours loaded before them, and an end."""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from live_sr.errors import LiveSRError, MissingPart

SEARCH_PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/games"  # where Debian puts games
# without -noreset it starts anew when its last window closes, and a game that opens one meanwhile fails
XVFB = ("-screen", "0", "1280x720x24", "-nolisten", "tcp", "-noreset")


def find_program(name: str, packages: str = "dsda-doom freedoom xvfb") -> str:
    """The path of an installed program. Raises MissingPart with the Debian packages that bring it."""
    found = shutil.which(name, path=SEARCH_PATH)
    if found is None:
        raise MissingPart(f"{name} is not installed", f"Debian: apt install {packages}")
    return found


def end_process(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that leads a group of its own, and all processes of that group."""
    kill_group = getattr(os, "killpg", None)
    for how in ("SIGTERM", "SIGKILL"):  # by name: Windows has no SIGKILL and no groups, and its games are not recorded
        with suppress(ProcessLookupError):
            if kill_group is not None:
                kill_group(process.pid, signal.Signals[how])
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


@contextmanager
def open_display() -> Iterator[str]:
    """The DISPLAY of the environment, or an Xvfb on a free number that runs until the end of the `with` statement."""
    if os.environ.get("DISPLAY"):
        yield os.environ["DISPLAY"]
        return
    answer_end, server_end = os.pipe()
    server = subprocess.Popen(
        [find_program("Xvfb"), "-displayfd", str(server_end), *XVFB],
        pass_fds=(server_end,),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(server_end)
    try:
        with os.fdopen(answer_end, "rb") as answer:
            number = answer.readline().strip().decode()
        if not number:
            raise LiveSRError("Xvfb did not start", "set DISPLAY to a running X server")
        yield f":{number}"
    finally:
        end_process(server)


def compile_preload(library: Path, *sources: Path) -> None:
    """Compiles C files into a library for LD_PRELOAD. Raises LiveSRError."""
    compiler = find_program("gcc", "gcc libc6-dev")
    command = [compiler, "-O2", "-shared", "-fPIC", "-o", str(library), *map(str, sources), "-ldl"]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        why = next((line for line in done.stderr.splitlines() if "error" in line), f"it ended with {done.returncode}")
        raise LiveSRError(f"gcc cannot compile {sources[0].name}: {why}", "Debian: apt install gcc libc6-dev")
