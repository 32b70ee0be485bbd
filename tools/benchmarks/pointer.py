"""Measure how soon the game's cursor is drawn on the picture after the pointer has moved, on the screen itself.

    python -m tools.benchmarks.pointer [--moves 150] [--fps 30] [--setting 'model.name = "bicubic"' ...] [--json FILE]

Starts its own Xvfb and window manager (Debian: xvfb openbox xdotool), and needs the test extra. A toy game of 640x360
draws at that rate, and live-sr shows it at 1280x720. XTEST moves the pointer, and the memory of the X server's screen,
which a monitor would show, is read until the cursor is there. Three kinds of movement: leaps in a row, a leap after a
second's rest, and a stroke, 250 steps a second, during which the age of the place is measured where the cursor is seen.
"""

import argparse
import csv
import json
import os
import platform
import random
import statistics
import sys
import time
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from overlay_process import OverlayProcess  # noqa: E402  # after the path is set
from patience import until  # noqa: E402
from pointer_hand import Hand, PointerToy  # noqa: E402
from screens import HD, Screen  # noqa: E402

from live_sr.pipeline.frame import Size  # noqa: E402
from live_sr.system.hardware import get_processor_name  # noqa: E402

GAME = Size(640, 360)
LEAP_PX = (100, 300)
REST_S = 1.0
STEP_S = 0.004
STROKE_PX = 900
LOOK_S = 0.0003
GIVE_UP_S = 2.0
CURSOR = Size(16, 24)  # within this of its tip, the toy's arrow is red at twice its size


@dataclass(frozen=True)
class Delays:
    """Milliseconds."""

    movement: str
    count: int
    p50_ms: float
    p95_ms: float
    worst_ms: float

    @classmethod
    def of(cls, movement: str, seconds: list[float]) -> "Delays":
        cuts = statistics.quantiles(seconds, n=20)
        return cls(movement, len(seconds), *(value * 1000 for value in (cuts[9], cuts[18], max(seconds))))


class Watcher:
    """Moves the hand and watches the cursor, whose places are those of the screen."""

    def __init__(self, screen: Screen, hand: Hand) -> None:
        self._screen = screen
        self._hand = hand
        self._place = (HD.width // 2, HD.height // 2)
        hand.put(*self._place)
        until(lambda: self._is_red(*self._place), "the cursor is drawn")

    def measure_leap(self) -> float:
        """Seconds from a movement until the cursor is seen at its end."""
        x, y = self._choose_place()
        begun = time.perf_counter()
        self._hand.push(x - self._place[0], y - self._place[1])
        self._place = (x, y)
        while not self._is_red(x, y):
            if time.perf_counter() - begun > GIVE_UP_S:
                raise TimeoutError(f"the cursor does not come to {x}, {y}")
            time.sleep(LOOK_S)
        return time.perf_counter() - begun

    def measure_stroke(self) -> list[float]:
        """For each step of a movement to the right, how long ago the pointer left the place that is seen, in seconds.

        A place that is up to date is no time ago.
        """
        y = self._place[1]
        self._leap_to(HD.width // 20, y)
        ages, times = [], {self._place[0]: time.perf_counter()}
        while self._place[0] < HD.width // 20 + STROKE_PX:
            self._hand.push(4, 0)
            now = time.perf_counter()
            self._place = (self._place[0] + 4, y)
            times[self._place[0]] = now
            time.sleep(STEP_S)
            seen = self._find_tip(y)
            later = [at for place, at in times.items() if seen is not None and place > seen + 2]
            ages.append(time.perf_counter() - min(later) if later else 0.0)
        return ages

    def _leap_to(self, x: int, y: int) -> None:
        self._hand.push(x - self._place[0], y - self._place[1])
        self._place = (x, y)
        until(lambda: self._is_red(x, y), "the cursor is drawn", pause_s=LOOK_S)

    def _choose_place(self) -> tuple[int, int]:
        while True:
            x, y = (at + random.choice((-1, 1)) * random.randint(*LEAP_PX) for at in self._place)
            if 0 <= x < HD.width - CURSOR.width and 0 <= y < HD.height - CURSOR.height:
                return x, y

    def _is_red(self, x: int, y: int) -> bool:
        return bool(self._find_red(x, y, CURSOR).any())

    def _find_tip(self, y: int) -> int | None:
        columns = np.nonzero(self._find_red(0, y, Size(HD.width, CURSOR.height)).any(0))[0]
        return int(columns[0]) if len(columns) else None

    def _find_red(self, x: int, y: int, size: Size) -> np.ndarray:
        part = self._screen.read_framebuffer()[y : y + size.height, x : x + size.width].astype(int)
        return (part[..., 2] > 150) & (part[..., 0] < 90) & (part[..., 1] < 90)


def measure(moves: int, fps: int, settings: str) -> tuple[list[Delays], float]:
    """The delays, and milliseconds from one frame of the overlay to the next."""
    with Screen(HD) as screen, TemporaryDirectory() as folder:
        toy, hand = PointerToy(screen, GAME), Hand(screen)
        toy.command("play", fps)
        # the same model from beginning to end
        (Path(folder) / "config.toml").write_text(f"engine.budget_ms = 0\n{settings}")
        over = OverlayProcess(screen, Path(folder), "--window", "a game", "--log", "log.csv", "--hud", "off")
        until(lambda: hand.saved > 0 or over.process.poll() is not None, "the pointer is held")
        watcher = Watcher(screen, hand)
        time.sleep(REST_S)
        leaps, rested = [], []
        begun = time.perf_counter()
        for _ in range(moves):
            leaps.append(watcher.measure_leap())
            time.sleep(random.uniform(0.03, 0.1))
        for _ in range(moves // 6):
            time.sleep(REST_S)
            rested.append(watcher.measure_leap())
        strokes = [age for _ in range(3) for age in watcher.measure_stroke()]
        ended = time.perf_counter()
        hand.close()
        over.process.terminate()
        over.wait_for_exit()
        with (Path(folder) / "log.csv").open() as log:
            shown = sum(begun <= float(row["CPUStartTime"]) <= ended for row in csv.DictReader(log))
    kinds = {"leaps": leaps, "leaps after a rest": rested, "strokes": strokes}
    return [Delays.of(name, seconds) for name, seconds in kinds.items()], (ended - begun) * 1000 / shown


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--moves", type=int, default=150, help="leaps in a row (150)")
    parser.add_argument("--fps", type=int, default=30, help="of the game (30)")
    parser.add_argument("--setting", action="append", default=[], help="a line of config.toml")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{get_processor_name()}, {os.cpu_count()} cores, load {load:.1f}; {platform.platform(terse=True)}")
    found, frame_ms = measure(args.moves, args.fps, "".join(f"{line}\n" for line in args.setting))
    print(f"game {GAME} at {args.fps} fps -> {HD}: {frame_ms:.1f} ms from one frame of the overlay to the next")
    for d in found:
        print(f"{d.movement} ({d.count}): p50 {d.p50_ms:.1f} ms, p95 {d.p95_ms:.1f} ms, worst {d.worst_ms:.1f} ms")
    if args.json:
        data = {"schema": 1, "frame_ms": frame_ms, "delays": [asdict(d) for d in found]}
        args.json.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
