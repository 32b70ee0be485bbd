"""Record the clip that `live-sr demo` plays: Freedoom, drawn by dsda-doom's OpenGL renderer, frame for frame.

    python -m tools.datasets.demo_clip                 the demo inside Freedoom that `live-sr demo` shows
    python -m tools.datasets.demo_clip --demo mine.lmp --first 0 --output mine.mp4

Needs dsda-doom and Freedoom (Debian: dsda-doom, freedoom) and, without a DISPLAY, an Xvfb (xvfb). The game plays a demo
back as fast as it can draw and hands every frame to its video dump: a slow machine loses none.
"""

from __future__ import annotations

import argparse
import re
import sys
from contextlib import ExitStack
from fractions import Fraction
from pathlib import Path

import av
import numpy as np

from live_sr.errors import LiveSRError, UsageError
from live_sr.training.pairs.doom import TICS, DoomPlayback, play
from live_sr.training.pairs.game_process import open_display

CLIP = Path(__file__).resolve().parents[2] / "live_sr" / "app" / "demo_clip" / "freedoom.mp4"
# What FFmpeg's conversion of RGB makes, so that players turn it back the same way: BT.601, limited range.
COLOURS = "colorprim=smpte170m:transfer=smpte170m:colormatrix=smpte170m"


def record(options: argparse.Namespace) -> None:
    """Reads the stretch of frames that was asked for and encodes it."""
    width, height = options.size
    length = width * height * 3
    unfinished = options.output.with_suffix(".part.mp4")
    with ExitStack() as stack:
        stack.callback(unfinished.unlink, missing_ok=True)
        display = stack.enter_context(open_display())
        container = stack.enter_context(av.open(str(unfinished), "w", options={"movflags": "+faststart"}))
        stream = container.add_stream("libx264", rate=TICS)
        stream.width, stream.height, stream.pix_fmt = width, height, options.pixels
        stream.time_base = Fraction(1, TICS)
        stream.options = {"crf": str(options.crf), "preset": "veryslow", "x264-params": COLOURS}
        playback = DoomPlayback(
            options.demo, options.wad, options.size, options.blocks, options.gamma, options.first + options.frames - 1
        )
        frames = stack.enter_context(play(playback, display))
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


def parse_size(text: str) -> tuple[int, int]:
    found = re.fullmatch(r"(\d+)x(\d+)", text)
    if found is None:
        raise argparse.ArgumentTypeError(f'"{text}" is not a size; write it like 480x270')
    return int(found[1]), int(found[2])


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--demo", default="demo4", help="a demo inside the levels' file, or a .lmp file")
    parser.add_argument("--wad", type=Path, default=Path("/usr/share/games/doom/freedoom1.wad"), help="the levels")
    parser.add_argument("--first", type=int, default=1680, help="first frame of the demo to keep")
    parser.add_argument("--frames", type=int, default=TICS * 6, help=f"how many to keep, {TICS} a second")
    parser.add_argument("--size", type=parse_size, default=(480, 270), metavar="WxH", help="of the game's picture")
    parser.add_argument("--blocks", type=int, default=10, help="10: with the status bar, 11: without")
    parser.add_argument("--gamma", type=int, default=2, help="the game's own brightness, 0 to 4")
    parser.add_argument("--crf", type=float, default=23.5, help="libx264's quality; lower is better and larger")
    parser.add_argument("--pixels", default="yuv444p", help="yuv444p keeps the colours' sharpness, yuv420p is smaller")
    parser.add_argument("--output", type=Path, default=CLIP, help="where to write it")
    return parser.parse_args()


def main() -> int:
    options = parse_arguments()
    try:
        if not options.wad.is_file():
            raise UsageError(f"there is no {options.wad}", "Debian: apt install freedoom; or give --wad")
        record(options)
    except LiveSRError as error:
        print(f"demo_clip: {error.message}\n  {error.remedy}", file=sys.stderr)
        return error.exit_code
    seconds = options.frames / TICS
    print(f"{options.output}: {options.frames} frames, {seconds:.1f} s, {options.output.stat().st_size / 1e6:.2f} MB")
    return 0


if __name__ == "__main__":
    sys.exit(main())
