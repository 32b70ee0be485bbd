"""Measure `live-sr run` over real windows: shown frames per second, how soon it follows, what it holds after a while.

    python -m tools.benchmarks.live [--seconds 60] [--setting 'overlay.pointer = "view"' ...] [--json FILE]

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

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from overlay_process import (  # noqa: E402  # after the path is set
    OverlayProcess,
    compute_psnr,
    grab_middle,
    upscale_to_screen,
)
from patience import until  # noqa: E402
from screens import Game, Screen, ToyWindow  # noqa: E402

from live_sr.pipeline.frame import Size, get_size  # noqa: E402
from live_sr.system.hardware import get_processor_name  # noqa: E402

GAME, SMALL_SCREEN = Size(480, 300), Size(960, 600)
WARM_UP_S = 10.0
MEGABYTE = 1 << 20


@dataclass(frozen=True)
class SteadyFigures:
    """A minute over a real game. Milliseconds from the frame being seen until it was handed to the X server."""

    seconds: float
    shown_fps: float
    p50_ms: float
    p95_ms: float
    show_p50_ms: float
    cpu_on: float  # per cent of one core
    cpu_recording: float  # how much more while it records, median of three turns
    cpu_off: float  # with the overlay switched off
    cpu_hidden: float  # while another program is active, so that the overlay is hidden
    memory_before_mb: float
    memory_after_mb: float
    threads: int
    handles: int


@dataclass(frozen=True)
class FollowFigures:
    """Seconds, median and worst of some tries, the measuring capture included."""

    what: str
    median_s: float
    worst_s: float


def measure_steady_state(seconds: float, settings: str) -> SteadyFigures:
    with Screen(SMALL_SCREEN) as screen, Game(screen, GAME) as game, TemporaryDirectory() as folder:
        game.wait_for_demo()
        # the same model from beginning to end
        Path(folder, "config.toml").write_text(f"engine.budget_ms = 0\n{settings}")
        over = OverlayProcess(screen, Path(folder), "--window", "chocolate doom", "--log", "log.csv", "--hud", "line")
        until(lambda: over.rect, "the overlay is shown")
        time.sleep(WARM_UP_S)
        process = psutil.Process(over.process.pid)
        process.cpu_percent()
        begun, before = time.perf_counter(), process.memory_info().rss
        time.sleep(seconds)
        ended, after = time.perf_counter(), process.memory_info().rss
        cpu_on, threads, handles = process.cpu_percent(), process.num_threads(), process.num_fds()

        def measure_after(*command: str) -> float:
            """Per cent of a core, from a second after that command of xdotool on."""
            subprocess.run(["xdotool", *command], env=screen.env, check=True)
            time.sleep(1)
            process.cpu_percent()
            time.sleep(min(seconds, WARM_UP_S))
            return float(process.cpu_percent())

        # in turns, because the scenes of the game differ; each key press begins or ends a recording
        turns = [(measure_after("key", "ctrl+alt+r"), measure_after("key", "ctrl+alt+r")) for _ in range(3)]
        cpu_recording = statistics.median(recording - plain for recording, plain in turns)
        cpu_off = measure_after("key", "ctrl+alt+o")
        other = ToyWindow(screen, Size(200, 100), title="Another program")
        cpu_hidden = measure_after("key", "ctrl+alt+o", "windowactivate", "--sync", str(other.id))
        subprocess.run(["xdotool", "key", "ctrl+alt+q"], env=screen.env, check=True)
        over.wait_for_exit()
        with (Path(folder) / "log.csv").open() as log:
            rows = [row for row in csv.DictReader(log) if begun <= float(row["CPUStartTime"]) <= ended]
    totals = [float(row["MsTotal"]) for row in rows]
    cuts = statistics.quantiles(totals, n=20)
    return SteadyFigures(
        seconds=seconds,
        shown_fps=len(rows) / (ended - begun),
        p50_ms=cuts[9],
        p95_ms=cuts[18],
        show_p50_ms=statistics.median(float(row["MsShow"]) for row in rows),
        cpu_on=cpu_on,
        cpu_recording=cpu_recording,
        cpu_off=cpu_off,
        cpu_hidden=cpu_hidden,
        memory_before_mb=before / MEGABYTE,
        memory_after_mb=after / MEGABYTE,
        threads=threads,
        handles=handles,
    )


def measure_following() -> list[FollowFigures]:
    with Screen(Size(1280, 720)) as screen, TemporaryDirectory() as folder:
        toy = ToyWindow(screen, Size(240, 136), title="A game")
        toy.draw(0)
        (Path(folder) / "config.toml").write_text('overlay.pointer = "view"\n')  # no cursor over the picture
        over = OverlayProcess(screen, Path(folder), "--window", "a game", "--model", "nearest", "--hud", "off")
        until(lambda: over.rect, "the overlay is shown")

        def until_shown(seed: int) -> float:
            begun = time.perf_counter()
            after = upscale_to_screen(toy.draw(seed), "nearest")
            until(
                lambda: compute_psnr(grab_middle(screen, get_size(after)), after) > 40, "the new picture", pause_s=0.002
            )
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
        over.wait_for_exit()
    return [
        FollowFigures(what, statistics.median(times), max(times))
        for what, times in (("resized and moved on", resized), ("restored", restored))
    ]


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=60.0, help="of the steady state (60)")
    parser.add_argument("--setting", action="append", default=[], help="a line of config.toml for the steady state")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{get_processor_name()}, {os.cpu_count()} cores, load {load:.1f}; {platform.platform(terse=True)}")
    s = measure_steady_state(args.seconds, "".join(f"{line}\n" for line in args.setting))
    print(f"Chocolate Doom {GAME} -> {SMALL_SCREEN}, {s.seconds:.0f} s: {s.shown_fps:.1f} fps shown,", end=" ")
    print(f"latency p50 {s.p50_ms:.1f} ms, p95 {s.p95_ms:.1f} ms, of which show p50 {s.show_p50_ms:.2f} ms;", end=" ")
    print(f"{s.threads} threads, {s.handles} handles,", end=" ")
    print(f"resident {s.memory_before_mb:.1f} -> {s.memory_after_mb:.1f} MB;", end=" ")
    print(f"{s.cpu_on:.0f} % of a core, recording {s.cpu_recording:+.0f} %,", end=" ")
    print(f"with the overlay switched off {s.cpu_off:.1f} %, hidden by another program {s.cpu_hidden:.1f} %")
    follows = measure_following()
    for f in follows:
        print(f"window {f.what}: its picture is on the screen after {f.median_s:.2f} s (worst {f.worst_s:.2f} s)")
    if args.json:
        data = {"schema": 1, "steady": asdict(s), "following": [asdict(f) for f in follows]}
        args.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
