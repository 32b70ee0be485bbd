"""Measure `live-sr run` over real windows: shown frames per second, how soon it follows, what it holds after a while.

    python tools/measure_live.py [--seconds 60] [--json FILE]

Starts its own Xvfb, window manager and game (Debian: xvfb openbox xdotool chocolate-doom freedoom), and needs the test
extra. Frame rate: Chocolate Doom at 480x300, upscaled x2 to a screen of 960x600, game, X server and live-sr on the same
cores. Following: from the moment a window was resized (or restored) until the screen shows its picture.
"""

import argparse
import csv
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import psutil

ROOT = Path(__file__).resolve().parent.parent
sys.path[:0] = [str(ROOT), str(ROOT / "tests")]

from screens import Game, Screen, ToyWindow, until  # noqa: E402  # after the path is set
from test_live import Overlay, expected, picture, psnr  # noqa: E402

from live_sr.frame import Size, size_of  # noqa: E402
from live_sr.hardware import processor_name  # noqa: E402

GAME, SMALL_SCREEN = Size(480, 300), Size(960, 600)
WARM_UP_S = 10.0
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class Steady:
    """A minute over a real game. Milliseconds from the frame being seen until it was handed to the X server."""

    seconds: float
    shown_fps: float
    p50_ms: float
    p95_ms: float
    show_p50_ms: float
    cpu_on: float  # per cent of one core
    cpu_off: float  # with the overlay switched off
    memory_before_mb: float
    memory_after_mb: float
    threads: int
    handles: int


@dataclass(frozen=True)
class Follow:
    """Seconds, median and worst of some tries, the measuring capture included."""

    what: str
    median_s: float
    worst_s: float


def steady(seconds: float) -> Steady:
    with Screen(SMALL_SCREEN) as screen, Game(screen, GAME) as game, TemporaryDirectory() as folder:
        game.plays()
        over = Overlay(screen, Path(folder), "--window", "chocolate doom", "--log", "log.csv", "--hud", "line")
        until(lambda: over.rect, "the overlay is shown")
        time.sleep(WARM_UP_S)
        process = psutil.Process(over.process.pid)
        process.cpu_percent()
        begun, before = time.perf_counter(), process.memory_info().rss
        time.sleep(seconds)
        ended, after = time.perf_counter(), process.memory_info().rss
        cpu_on, threads, handles = process.cpu_percent(), process.num_threads(), process.num_fds()
        subprocess.run(["xdotool", "key", "ctrl+alt+o"], env=screen.env, check=True)
        time.sleep(1)
        process.cpu_percent()
        time.sleep(min(seconds, WARM_UP_S))
        cpu_off = process.cpu_percent()
        subprocess.run(["xdotool", "key", "ctrl+alt+q"], env=screen.env, check=True)
        over.end()
        with (Path(folder) / "log.csv").open() as log:
            rows = [row for row in csv.DictReader(log) if begun <= float(row["CPUStartTime"]) <= ended]
    totals = [float(row["MsTotal"]) for row in rows]
    cuts = statistics.quantiles(totals, n=20)
    return Steady(
        seconds=seconds,
        shown_fps=len(rows) / (ended - begun),
        p50_ms=cuts[9],
        p95_ms=cuts[18],
        show_p50_ms=statistics.median(float(row["MsShow"]) for row in rows),
        cpu_on=cpu_on,
        cpu_off=cpu_off,
        memory_before_mb=before / MEGABYTE,
        memory_after_mb=after / MEGABYTE,
        threads=threads,
        handles=handles,
    )


def following() -> list[Follow]:
    with Screen(Size(1280, 720)) as screen, TemporaryDirectory() as folder:
        toy = ToyWindow(screen, Size(240, 136), title="A game")
        toy.draw(0)
        over = Overlay(screen, Path(folder), "--window", "a game", "--model", "nearest", "--hud", "off")
        until(lambda: over.rect, "the overlay is shown")

        def until_shown(seed: int) -> float:
            begun = time.perf_counter()
            after = expected(toy.draw(seed), "nearest")
            until(lambda: psnr(picture(screen, size_of(after)), after) > 40, "the new picture", pause_s=0.002)
            return time.perf_counter() - begun

        resized, restored = [], []
        for turn in range(20):
            toy.resize(Size(200 + 16 * (turn % 7), 120 + 8 * (turn % 5)))
            resized.append(until_shown(turn))
        for turn in range(5):
            toy.minimise()
            until(lambda: over.rect is None, "the overlay hides")
            toy.map()
            restored.append(until_shown(100 + turn))
        over.process.terminate()
        over.end()
    return [
        Follow(what, statistics.median(times), max(times))
        for what, times in (("resized and moved on", resized), ("restored", restored))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the steady state (60)")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    args = parser.parse_args()
    print(f"{processor_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}; {platform.platform(terse=True)}")
    s = steady(args.seconds)
    print(f"Chocolate Doom {GAME} -> {SMALL_SCREEN}, {s.seconds:.0f} s: {s.shown_fps:.1f} fps shown,", end=" ")
    print(f"latency p50 {s.p50_ms:.1f} ms, p95 {s.p95_ms:.1f} ms, of which show p50 {s.show_p50_ms:.2f} ms;", end=" ")
    print(f"{s.threads} threads, {s.handles} handles,", end=" ")
    print(f"resident {s.memory_before_mb:.1f} -> {s.memory_after_mb:.1f} MB;", end=" ")
    print(f"{s.cpu_on:.0f} % of a core, with the overlay switched off {s.cpu_off:.1f} %")
    follows = following()
    for f in follows:
        print(f"window {f.what}: its picture is on the screen after {f.median_s:.2f} s (worst {f.worst_s:.2f} s)")
    if args.json:
        data = {"schema": 1, "steady": asdict(s), "following": [asdict(f) for f in follows]}
        args.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
