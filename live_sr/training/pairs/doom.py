"""Plays recorded input in dsda-doom, which writes every frame into a pipe."""

from __future__ import annotations

import os
import struct
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO

from live_sr.errors import LiveSRError, UsageError
from live_sr.training.pairs.game_process import end_process, find_program

TICS = 35  # the game's own rate, frames a second


# How the game draws: no text about the demo on the screen, and every frame into our pipe.
SETTINGS = """\
videomode "OpenGL"
screenblocks {blocks}
usegamma {gamma}
gl_usegamma {gamma}
show_messages 0
hudadd_demoprogressbar 0
uncapped_framerate 0
cap_fps {fps}
cap_videocommand "cat >/dev/fd/{pipe}"
cap_soundcommand "cat >/dev/null"
cap_muxcommand "true"
cap_remove_tempfiles 1
"""


@dataclass(frozen=True)
class DoomPlayback:
    """What dsda-doom plays. demo: a file, or the name of a demo inside the levels' file `wad`; size: (width, height).

    blocks: 10 with the status bar, 11 without; gamma: the game's own brightness, 0 to 4; first: the first frame that
    the caller keeps, for the error message.
    """

    demo: str
    wad: Path
    size: tuple[int, int]
    blocks: int
    gamma: int
    first: int = 0


def read_demo(demo: str, wad: Path) -> bytes:
    """The recorded input of a player: a file, or a part of the levels' file. Raises UsageError.

    A WAD begins with its kind, the number of its parts and where their table is: offset, size, name in 16 bytes each.
    """
    if Path(demo).is_file():
        return Path(demo).read_bytes()
    levels = wad.read_bytes()
    count, table = struct.unpack_from("<ii", levels, 4)
    for row in range(count):
        at, length, name = struct.unpack_from("<ii8s", levels, table + 16 * row)
        if name.rstrip(b"\0").decode("ascii").lower() == demo.lower():
            return levels[at : at + length]
    raise UsageError(f"{demo} is neither a file nor in {wad}", "give a .lmp file, or a demo like demo1")


@contextmanager
def play(options: DoomPlayback, display: str) -> Iterator[BinaryIO]:
    """The running game: a pipe of its frames, RGB bytes, one after another.

    A caller that finds too few of them raises EOFError, which becomes a LiveSRError with the last words of the game.
    """
    with tempfile.TemporaryDirectory(prefix="record-clip-") as home:
        read, write = os.pipe()
        settings = Path(home, "dsda.cfg")
        settings.write_text(SETTINGS.format(blocks=options.blocks, gamma=options.gamma, fps=TICS, pipe=write))
        width, height = options.size
        demo = Path(home, "clip.lmp")
        demo.write_bytes(read_demo(options.demo, options.wad))
        command = [
            *(find_program("dsda-doom"), "-config", str(settings), "-iwad", str(options.wad), "-timedemo", str(demo)),
            *("-viddump", "unused.mkv", "-geometry", f"{width}x{height}w", "-nosound", "-vidmode", "gl"),
        ]
        with Path(home, "log").open("wb") as log:
            process = subprocess.Popen(
                command,
                cwd=home,
                env={**os.environ, "DISPLAY": display, "HOME": home, "SDL_AUDIODRIVER": "dummy"},
                stdout=log,
                stderr=log,
                pass_fds=(write,),
                start_new_session=True,
            )
        os.close(write)
        try:
            with os.fdopen(read, "rb") as frames:
                yield frames
        except EOFError:
            output = Path(home, "log").read_text(errors="replace")[-500:]
            what = f"dsda-doom ended before frame {options.first + 1}; it said: {output}"
            raise LiveSRError(what, "give a longer demo, or one of these levels") from None
        finally:
            end_process(process)
