"""Compare two revisions of live-sr over real games, in turns: latency on the screen and in the log, and its processor.

    python -m tools.benchmarks.live_against OLD NEW [--rounds 3] [--seconds 12] [--cases doom-x2,doom-x4,bubble-x2]
                                                    [--setting 'overlay.pointer = "view"' ...] [--json FILE]

OLD and NEW are anything that git knows. Each is checked out into a temporary folder. Starts its own Xvfb, window
manager and games (Debian: xvfb openbox xdotool chocolate-doom freedoom frozen-bubble), and needs the test extra.

Latency on the screen is measured from outside: a watcher reads one row of pixels of the game's window and the row of
the X server's screen that shows it, a thousand times a second. Each new row on the screen is compared with the last
rows of the game, and its age is that of the most similar one.
"""

from __future__ import annotations

import argparse
import csv
import json
import os
import statistics
import sys
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory

import numpy as np
import psutil
from Xlib import X
from Xlib.display import Display
from Xlib.xobject.drawable import Window

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from overlay_process import OverlayProcess  # noqa: E402  # after the path is set
from patience import until  # noqa: E402
from screens import Game, Screen  # noqa: E402

from live_sr.pipeline.frame import Pixels, Size  # noqa: E402
from live_sr.system.hardware import get_processor_name  # noqa: E402
from tools.benchmarks.against import check_out  # noqa: E402
from tools.benchmarks.games import GAMES, start_game  # noqa: E402

WARM_UP_S = 10.0
LOOK_S = 0.001
OLDEST_S = 0.5  # a row of the game that is compared with the screen's
LOOKS = 30  # at the whole window, to find the row that changes most
ALIKE = 1.1  # rows are equally similar up to this ratio of their squared errors


@dataclass(frozen=True)
class LiveCase:
    game: str
    size: Size
    scale: int


CASES = {
    "doom-x2": LiveCase("doom", Size(480, 300), 2),
    "doom-x4": LiveCase("doom", Size(480, 300), 4),
    "bubble-x2": LiveCase("frozen-bubble", Size(640, 480), 2),
}


@dataclass(frozen=True)
class LiveFigures:
    """Of one run. fps: how often the row on the screen changed. Milliseconds. cpu: per cent of one core."""

    case: str
    revision: str
    fps: float
    screen_p50: float
    screen_p99: float
    log_p50: float
    log_p99: float
    cpu: float


class RowWatcher(threading.Thread):
    """Notes when a row of the game's window changes, and when the row of the screen does that shows it."""

    def __init__(self, screen: Screen, window: int, case: LiveCase) -> None:
        super().__init__(daemon=True)
        self._screen, self._window, self._case = screen, window, case
        self._found = threading.Event()
        self._ended = threading.Event()
        self.game: list[tuple[float, Pixels]] = []
        self.shown: list[tuple[float, Pixels]] = []

    def run(self) -> None:
        display = Display(self._screen.display)
        window = display.create_resource_object("window", self._window)
        case = self._case
        height = self._find_busy_row(window)
        self._found.set()
        framebuffer = self._screen.read_framebuffer()
        shown_row = framebuffer[height * case.scale + case.scale // 2, :, :3]
        last_game, last_shown = b"", b""
        while not self._ended.is_set():
            row = window.get_image(0, height, case.size.width, 1, X.ZPixmap, 0xFFFFFFFF).data
            if row != last_game:
                last_game = row
                self.game.append((time.perf_counter(), np.frombuffer(row, np.uint8).reshape(-1, 4)[:, :3]))
            shown = shown_row.tobytes()
            if shown != last_shown:
                last_shown = shown
                self.shown.append((time.perf_counter(), np.frombuffer(shown, np.uint8).reshape(-1, 3)))
            time.sleep(LOOK_S)
        display.close()

    def _find_busy_row(self, window: Window) -> int:
        """The row of the window that changes most often."""
        width, height = self._case.size
        changes, last = np.zeros(height, int), None
        for _ in range(LOOKS):
            data = window.get_image(0, 0, width, height, X.ZPixmap, 0xFFFFFFFF).data
            pixels = np.frombuffer(data, np.uint32).reshape(height, width)
            if last is not None:
                changes += (pixels != last).any(1)
            last = pixels
            time.sleep(2 / LOOKS)
        return int(changes.argmax())

    def is_watching(self) -> bool:
        """Whether it has chosen the row."""
        return self._found.is_set()

    def close(self) -> None:
        self._ended.set()
        self.join()

    def list_delays(self) -> list[float]:
        """Seconds from the game's row to the screen's, for each row that the screen showed."""
        scale, delays = self._case.scale, []
        for seen, row in self.shown:
            small = row.reshape(-1, scale, 3).astype(np.float32).mean(1)
            known = [(float(np.square(game - small).sum()), at) for at, game in self.game if 0 <= seen - at < OLDEST_S]
            if known:
                least = min(known)[0]
                delays.append(seen - max(at for error, at in known if error <= least * ALIKE))
        return delays


@contextmanager
def play(screen: Screen, case: LiveCase) -> Iterator[tuple[int, str]]:
    """Starts the game; yields its window and a part of its title."""
    if case.game == "doom":  # its attract demos at 35 frames a second
        with Game(screen, case.size) as game:
            game.wait_for_demo()
            yield game.window, game.TITLE
    else:
        yield start_game(screen, GAMES[case.game]), GAMES[case.game].title


def measure(name: str, revision: str, checkout: Path, seconds: float, settings: str) -> LiveFigures:
    case = CASES[name]
    screen_size = Size(case.size.width * case.scale, case.size.height * case.scale)
    with Screen(screen_size) as screen, play(screen, case) as (window, title), TemporaryDirectory() as folder:
        # the same model from beginning to end
        Path(folder, "config.toml").write_text(f"engine.budget_ms = 0\n{settings}")
        arguments = f"--model fast --scale {case.scale} --hud off --log log.csv".split()
        over = OverlayProcess(screen, Path(folder), "--window", title, *arguments, checkout=checkout)
        until(lambda: over.rect, "the overlay is shown")
        time.sleep(WARM_UP_S)
        process = psutil.Process(over.process.pid)
        watcher = RowWatcher(screen, window, case)
        watcher.start()
        until(watcher.is_watching, "the row that changes most is found")
        begun, used = time.perf_counter(), sum(process.cpu_times()[:2])
        time.sleep(seconds)
        ended, used = time.perf_counter(), sum(process.cpu_times()[:2]) - used
        watcher.close()
        over.process.terminate()
        over.wait_for_exit()
        with Path(folder, "log.csv").open() as log:
            totals = [
                float(row["MsTotal"]) for row in csv.DictReader(log) if begun <= float(row["CPUStartTime"]) <= ended
            ]
    seen, logged = (statistics.quantiles(some, n=100) for some in (watcher.list_delays(), totals))
    return LiveFigures(
        case=name,
        revision=revision,
        fps=len(watcher.shown) / seconds,
        screen_p50=seen[49] * 1000,
        screen_p99=seen[98] * 1000,
        log_p50=logged[49],
        log_p99=logged[98],
        cpu=100 * used / (ended - begun),
    )


HEADER = """\
| game | revision | fps | on the screen p50 | p99 ms | in the log p50 | p99 ms | CPU, % of a core |
|---|---|---|---|---|---|---|---|"""


def print_table(found: list[LiveFigures], names: list[str], revisions: list[str]) -> None:
    """Medians of the rounds."""
    print(HEADER)
    for name in names:
        for revision in revisions:
            rounds = [one for one in found if (one.case, one.revision) == (name, revision)]
            fields = ("fps", "screen_p50", "screen_p99", "log_p50", "log_p99", "cpu")
            medians = [statistics.median(getattr(one, field) for one in rounds) for field in fields]
            print(f"| {name} | {revision} | {' | '.join(f'{value:.1f}' for value in medians)} |")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--seconds", type=float, default=12.0, help="of each run (12)")
    parser.add_argument("--cases", default=",".join(CASES), help="names, with commas")
    parser.add_argument("--setting", action="append", default=[], help="a line of config.toml")
    parser.add_argument("--json", type=Path, help="write the figures of every run to a file")
    args = parser.parse_args()
    names, found = args.cases.split(","), list[LiveFigures]()
    if unknown := set(names) - set(CASES):
        parser.error(f"there is no case {', '.join(sorted(unknown))}: use some of {', '.join(CASES)}")
    print(f"{get_processor_name()}, {os.cpu_count()} cores, load {os.getloadavg()[0]:.1f}", flush=True)
    with TemporaryDirectory() as folder:
        revisions = {
            name: check_out(name, Path(folder, place)) for name, place in ((args.old, "old"), (args.new, "new"))
        }
        for _ in range(args.rounds):
            for name in names:
                for revision, checkout in revisions.items():
                    figures = measure(name, revision, checkout, args.seconds, "".join(f"{s}\n" for s in args.setting))
                    found.append(figures)
                    print(figures, file=sys.stderr, flush=True)
    print_table(found, names, list(revisions))
    if args.json is not None:
        args.json.write_text(json.dumps([asdict(one) for one in found], indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
