"""Record the clip that `live-sr demo` plays: Freedoom, drawn by dsda-doom's OpenGL renderer, frame for frame.

    python tools/record_clip.py                          live_sr/demo/freedoom.mp4, from a demo inside Freedoom
    python tools/record_clip.py --demo mine.lmp --first 0 --output mine.mp4

Needs dsda-doom and Freedoom (Debian: dsda-doom, freedoom) and, without a DISPLAY, an Xvfb (xvfb). The game plays a demo
back as fast as it can draw and hands every frame to its video dump: a slow machine loses none.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import struct
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from fractions import Fraction
from pathlib import Path
from typing import BinaryIO

import av
import numpy as np

TICS = 35  # the game's own rate, frames a second
CLIP = Path(__file__).resolve().parent.parent / "live_sr" / "demo" / "freedoom.mp4"
PATH = f"{os.environ.get('PATH', os.defpath)}:/usr/games"  # where Debian puts games

# What FFmpeg's conversion of RGB makes, so that players turn it back the same way: BT.601, limited range.
COLOURS = "colorprim=smpte170m:transfer=smpte170m:colormatrix=smpte170m"

# How the game draws: with its status bar, brighter than its default, no words about the demo; every frame to our pipe.
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


class CannotRecord(Exception):
    """What is missing or went wrong, as a sentence."""


def program(name: str) -> str:
    found = shutil.which(name, path=PATH)
    if found is None:
        raise CannotRecord(f"{name} is not installed (Debian: apt install dsda-doom freedoom xvfb)")
    return found


def end(process: subprocess.Popen[bytes]) -> None:
    """Ends a process that was started in a group of its own, and what it started."""
    for how in (signal.SIGTERM, signal.SIGKILL):
        with suppress(ProcessLookupError):
            os.killpg(process.pid, how)
        with suppress(subprocess.TimeoutExpired):
            process.wait(5)
            return


def inputs(demo: str, wad: Path) -> bytes:
    """The recorded input of a player: a file, or a part of the levels' file.

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
    raise CannotRecord(f"{demo} is neither a file nor in {wad}")


@contextmanager
def screen() -> Iterator[str]:
    """The caller's DISPLAY, else an Xvfb on a free number that lasts as long as this."""
    if os.environ.get("DISPLAY"):
        yield os.environ["DISPLAY"]
        return
    told, tell = os.pipe()
    server = subprocess.Popen(
        [program("Xvfb"), "-displayfd", str(tell), "-screen", "0", "1280x720x24", "-nolisten", "tcp"],
        pass_fds=(tell,),
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )
    os.close(tell)
    try:
        with os.fdopen(told, "rb") as answer:
            number = answer.readline().strip().decode()
        if not number:
            raise CannotRecord("Xvfb did not start")
        yield f":{number}"
    finally:
        end(server)


@contextmanager
def game(options: argparse.Namespace, display: str) -> Iterator[BinaryIO]:
    """The running game; its frames as RGB bytes, one after another."""
    with tempfile.TemporaryDirectory(prefix="record-clip-") as home:
        read, write = os.pipe()
        settings = Path(home, "dsda.cfg")
        settings.write_text(SETTINGS.format(blocks=options.blocks, gamma=options.gamma, fps=TICS, pipe=write))
        width, height = options.size
        demo = Path(home, "clip.lmp")
        demo.write_bytes(inputs(options.demo, options.wad))
        command = [
            *(program("dsda-doom"), "-config", str(settings), "-iwad", str(options.wad), "-timedemo", str(demo)),
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
            said = Path(home, "log").read_text(errors="replace")[-500:]
            raise CannotRecord(
                f"the game ended before frame {options.first + options.frames}; it said: {said}"
            ) from None
        finally:
            end(process)


def record(options: argparse.Namespace) -> None:
    """Reads the stretch of frames that was asked for and encodes it."""
    width, height = options.size
    length = width * height * 3
    unfinished = options.output.with_suffix(".part.mp4")
    with ExitStack() as stack:
        stack.callback(unfinished.unlink, missing_ok=True)
        display = stack.enter_context(screen())
        container = stack.enter_context(av.open(str(unfinished), "w", options={"movflags": "+faststart"}))
        stream = container.add_stream("libx264", rate=TICS)
        stream.width, stream.height, stream.pix_fmt = width, height, options.pixels
        stream.time_base = Fraction(1, TICS)
        stream.options = {"crf": str(options.crf), "preset": "veryslow", "x264-params": COLOURS}
        frames = stack.enter_context(game(options, display))
        for number in range(options.first + options.frames):
            raw = frames.read(length)
            if len(raw) < length:
                raise EOFError
            if number < options.first:
                continue
            picture = av.VideoFrame.from_ndarray(np.frombuffer(raw, np.uint8).reshape(height, width, 3), format="rgb24")
            picture.pts = number - options.first
            container.mux(stream.encode(picture))
        container.mux(stream.encode(None))
        container.close()
        unfinished.replace(options.output)


def size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f'"{text}" is not a size; write it like 480x270')
    return int(found[1]), int(found[2])


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--demo", default="demo4", help="a demo inside the levels' file, or a .lmp file")
    parser.add_argument("--wad", type=Path, default=Path("/usr/share/games/doom/freedoom1.wad"), help="the levels")
    parser.add_argument("--first", type=int, default=1680, help="first frame of the demo to keep")
    parser.add_argument("--frames", type=int, default=TICS * 6, help=f"how many to keep, {TICS} a second")
    parser.add_argument("--size", type=size, default=(480, 270), metavar="WxH", help="of the game's picture")
    parser.add_argument("--blocks", type=int, default=10, help="10: with the status bar, 11: without")
    parser.add_argument("--gamma", type=int, default=2, help="the game's own brightness, 0 to 4")
    parser.add_argument("--crf", type=float, default=23.5, help="libx264's quality; lower is better and larger")
    parser.add_argument("--pixels", default="yuv444p", help="yuv444p keeps the colours' sharpness, yuv420p is smaller")
    parser.add_argument("--output", type=Path, default=CLIP, help="where to write it")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    try:
        if not options.wad.is_file():
            raise CannotRecord(f"there is no {options.wad} (Debian: apt install freedoom)")
        record(options)
    except CannotRecord as error:
        print(f"record_clip: {error}", file=sys.stderr)
        return 1
    seconds = options.frames / TICS
    print(f"{options.output}: {options.frames} frames, {seconds:.1f} s, {options.output.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
