"""Record the README's animation: Chocolate Doom upscaled by `live-sr run`, while the split view's divider moves.

    python -m tools.demo_animation [--out docs/demo.webp]

Starts its own Xvfb, window manager and game (Debian: xvfb openbox xdotool chocolate-doom freedoom). Every picture of
the animation is a screenshot of that screen, in the order and at the pace in which they were taken.
"""

import argparse
import subprocess
import sys
import time
from pathlib import Path

import mss
import numpy as np
import numpy.typing as npt
import pyvips

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT / "tests")]

from screens import Screen  # noqa: E402  # after the path is set

from live_sr.pipeline.frame import Size  # noqa: E402

GAME = Size(320, 200)  # what Doom draws, one pixel of the window for each
SCREEN = Size(800, 500)
SETTINGS = "screenblocks 10\nshow_messages 0\naspect_ratio_correct 0\n"
BEGIN_S = 17.5  # of the game's recorded demo: from here on it is outdoors, and bright
FRAME_S = 0.07
LEFT, RIGHT = "ctrl+alt+comma", "ctrl+alt+period"
MOVES = [None] * 8 + [RIGHT] * 8 + [None] * 8 + [LEFT] * 16 + [None] * 8 + [RIGHT] * 8

Pictures = list[npt.NDArray[np.uint8]]  # RGB, (height, width, 3)


def play_game(screen: Screen) -> None:
    """A demo that comes with Freedoom. Named on the command line, it is not interrupted by the keys pressed here."""
    settings = Path(screen.env["HOME"], "doom.cfg")
    settings.write_text(SETTINGS)
    levels, files = "/usr/share/games/doom/freedoom1.wad", ("-config", str(settings), "-extraconfig", str(settings))
    shown = ("-window", "-nosound", "-nogui", "-geometry", str(GAME))
    screen.run("/usr/games/chocolate-doom", "-iwad", levels, *files, *shown, "-playdemo", "demo1")


def upscale(screen: Screen) -> None:
    command = (sys.executable, "-m", "live_sr", "run", "--window", "chocolate doom", "--wait", "--scale", "4")
    screen.run(*command, "--config", str(ROOT / "config.toml"), PYTHONPATH=str(ROOT))


def press(screen: Screen, key: str) -> None:
    subprocess.run(["xdotool", "key", key], env=screen.env, check=True)


def record(screen: Screen) -> Pictures:
    """A screenshot every FRAME_S seconds, each after one of MOVES."""
    pictures = []
    with mss.MSS(display=screen.display) as camera:
        due = time.perf_counter()
        for key in MOVES:
            if key:
                press(screen, key)
            due += FRAME_S
            time.sleep(max(0.0, due - time.perf_counter()))
            pictures.append(np.array(camera.grab(camera.monitors[0]))[..., 2::-1])
    return pictures


def write(pictures: Pictures, out: Path, quality: int) -> None:
    """An endless WebP animation."""
    strip = pyvips.Image.new_from_array(np.concatenate(pictures), interpretation="srgb").copy()
    strip.set_type(pyvips.GValue.gint_type, "page-height", pictures[0].shape[0])
    strip.set_type(pyvips.GValue.array_int_type, "delay", [round(FRAME_S * 1000)] * len(pictures))
    strip.set_type(pyvips.GValue.gint_type, "loop", 0)
    strip.webpsave(str(out), Q=quality, effort=4)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "demo.webp", help="the file (docs/demo.webp)")
    parser.add_argument("--quality", type=int, default=70, help="of the WebP pictures, 0 to 100 (70)")
    args = parser.parse_args()
    with Screen(SCREEN) as screen:
        play_game(screen)
        begin = time.perf_counter() + BEGIN_S
        upscale(screen)
        time.sleep(BEGIN_S / 2)
        press(screen, "ctrl+alt+x")
        time.sleep(begin - time.perf_counter())
        pictures = record(screen)
    write(pictures, args.out, args.quality)
    print(f"{args.out}: {len(pictures)} pictures, {args.out.stat().st_size / 1e6:.2f} MB")


if __name__ == "__main__":
    main()
