"""Measure what a recording adds to `live-sr run`: processor time of the whole program, with and without, in turns.

    python -m tools.benchmarks.recording [--rounds 8] [--setting 'recording.fps = 0' ...] [--json FILE]
    python -m tools.benchmarks.recording --picture [--rounds 8]

Starts its own Xvfb and window manager (Debian: xvfb openbox xdotool), and needs the test extra. The game is the bundled
recording of Freedoom, played again and again at 480x270 and upscaled x2 to a screen of 960x540. A turn lasts as long as
the clip, so that the turns with and without a recording meet the same pictures. Per cent are of one core.

With --picture it measures instead, without a screen, what one of these pictures costs: the least of the rounds, which
other programs on the machine change little.
"""

import argparse
import json
import os
import platform
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TypeVar

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from overlay_process import OverlayProcess, upscale_to_screen  # noqa: E402  # after the path is set
from patience import until  # noqa: E402
from screens import Screen  # noqa: E402

from live_sr.app.demo import CLIP  # noqa: E402
from live_sr.imaging.video_frame_pool import FramePool  # noqa: E402
from live_sr.imaging.video_writer import VideoWriter  # noqa: E402
from live_sr.pipeline.frame import Size  # noqa: E402
from live_sr.system.hardware import get_processor_name  # noqa: E402

T = TypeVar("T")

SCREEN = Size(960, 540)
PICTURES = 60  # of the clip, to measure one
WARM_UP_S = 10.0  # until the engine is chosen
SETTLE_S = 1.5  # until a recording has begun, or ended and written its file

PLAYER = """
import sys, time
import av
from PyQt6.QtCore import Qt, QTimer
from PyQt6.QtGui import QImage, QPainter
from PyQt6.QtWidgets import QApplication, QWidget
with av.open(sys.argv[1]) as clip:
    stream = clip.streams.video[0]
    rate = float(stream.average_rate)
    pictures = [picture.to_ndarray(format="bgra") for picture in clip.decode(stream)]
height, width = pictures[0].shape[:2]
images = [QImage(one.data, width, height, QImage.Format.Format_RGB32) for one in pictures]
class Player(QWidget):
    number = 0
    def paintEvent(self, event):
        QPainter(self).drawImage(0, 0, images[self.number % len(images)])
    def go_on(self):
        self.number = int((time.monotonic() - begun) * rate)
        self.update()
application = QApplication(["player", "-platform", "xcb"])
player = Player()
player.setWindowTitle("A played clip")
player.setFixedSize(width, height)
player.show()
begun = time.monotonic()
timer = QTimer()
timer.setTimerType(Qt.TimerType.PreciseTimer)
timer.timeout.connect(player.go_on)
timer.start(round(1000 / rate))
application.exec()
"""


@dataclass(frozen=True)
class Turn:
    """Per cent of one core: the whole program while it records and while it does not, and the recording's thread."""

    recording: float
    plain: float
    thread: float


@dataclass(frozen=True)
class Figures:
    """added: median of the turns' differences. thread: the share of the recording's own thread; the rest is the copy
    of the picture in the encoder's colours, and what other threads lose by it."""

    added: float
    least: float
    most: float
    thread: float
    plain: float
    pictures_per_s: float
    megabits_per_s: float
    turns: list[Turn]


def measure(rounds: int, settings: str) -> Figures:
    clip_s = _measure_clip()
    with Screen(SCREEN) as screen, TemporaryDirectory() as folder:
        screen.run(sys.executable, "-c", PLAYER, str(CLIP))
        Path(folder, "config.toml").write_text(f"engine.budget_ms = 0\n{settings}")
        over = OverlayProcess(screen, Path(folder), "--window", "a played clip", "--wait")
        until(lambda: over.rect, "the overlay is shown")
        time.sleep(WARM_UP_S)

        def take_turn() -> dict[int, float]:
            """Begins or ends a recording; returns per cent of a core for each thread afterwards."""
            subprocess.run(["xdotool", "key", "ctrl+alt+r"], env=screen.env, check=True)
            time.sleep(SETTLE_S)
            begun, before = time.monotonic(), read_threads(over.process.pid)
            time.sleep(clip_s)
            ended, after = time.monotonic(), read_threads(over.process.pid)
            return {thread: (ns - before.get(thread, 0)) / (ended - begun) / 1e7 for thread, ns in after.items()}

        turns = []
        for _ in range(rounds):
            recording, plain = take_turn(), take_turn()
            own = sum(share for thread, share in recording.items() if thread not in plain)
            turns.append(Turn(sum(recording.values()), sum(plain.values()), own))
        subprocess.run(["xdotool", "key", "ctrl+alt+q"], env=screen.env, check=True)
        over.wait_for_exit()
        files = [_measure_file(path) for path in Path(folder, "recordings").glob("*.mkv")]
    added = [turn.recording - turn.plain for turn in turns]
    return Figures(
        added=statistics.median(added),
        least=min(added),
        most=max(added),
        thread=statistics.median(turn.thread for turn in turns),
        plain=statistics.median(turn.plain for turn in turns),
        pictures_per_s=statistics.median(pictures for pictures, _ in files),
        megabits_per_s=statistics.median(megabits for _, megabits in files),
        turns=turns,
    )


def measure_picture(rounds: int) -> None:
    """Prints the processor time for one picture, of the conversion and with each preset, and the size of the file."""
    with av.open(str(CLIP)) as clip:
        small = [
            frame.to_ndarray(format="bgra") for frame, _ in zip(clip.decode(video=0), range(PICTURES), strict=False)
        ]
    pictures = [upscale_to_screen(np.ascontiguousarray(one), "fast", room=SCREEN) for one in small]
    pool = FramePool(PICTURES)
    frames = [pool.convert(one) for one in pictures]
    converted = min(_measure_each(pictures, lambda one: pool.give_back(pool.convert(one))) for _ in range(rounds))
    print(f"conversion: {converted:.2f} ms a picture")
    costs: dict[str, list[float]] = {"small": [], "fastest": []}
    sizes = {}
    for _ in range(rounds):
        for preset, spent in costs.items():
            with TemporaryDirectory() as folder:
                path = Path(folder, "a.mkv")
                file = VideoWriter(path, SCREEN, fastest=preset == "fastest")
                times_ms = iter(range(0, 34 * PICTURES, 33))
                spent.append(_measure_each(frames, lambda one: file.add(one, next(times_ms))))  # noqa: B023
                file.close()
                sizes[preset] = path.stat().st_size * 8 * 30 / PICTURES / 1e6
    for preset, spent in costs.items():
        whole = converted + min(spent)
        print(f"{preset}: {min(spent):.2f} ms a picture, {whole * 3:.1f} % of a core with the conversion", end=" ")
        print(f"and {sizes[preset]:.1f} Mbit/s at 30 pictures a second")


def _measure_each(given: list[T], work: Callable[[T], object]) -> float:
    """Milliseconds of the processor for each."""
    begun = time.process_time_ns()
    for one in given:
        work(one)
    return (time.process_time_ns() - begun) / len(given) / 1e6


def read_threads(process: int) -> dict[int, int]:
    """The processor time of each thread, in nanoseconds."""
    found = {}
    for thread in Path(f"/proc/{process}/task").iterdir():
        try:
            found[int(thread.name)] = int((thread / "schedstat").read_text().split()[0])
        except OSError:  # it has just ended
            continue
    return found


def _measure_clip() -> float:
    """Seconds."""
    with av.open(str(CLIP)) as clip:
        stream = clip.streams.video[0]
        rate = stream.average_rate
        assert rate is not None
        return float(stream.frames / rate)


def _measure_file(path: Path) -> tuple[float, float]:
    """Pictures a second, and Mbit/s."""
    with av.open(str(path)) as file:
        pictures = sum(1 for packet in file.demux(file.streams.video[0]) if packet.size)
        seconds = float(file.duration or 0) / av.time_base
    return pictures / seconds, path.stat().st_size * 8 / seconds / 1e6


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--rounds", type=int, default=8, help="turns with and without a recording (8)")
    parser.add_argument("--setting", action="append", default=[], help="a line of config.toml")
    parser.add_argument("--json", type=Path, help="write the figures to a file")
    parser.add_argument("--picture", action="store_true", help="measure one picture, without a screen")
    args = parser.parse_args()
    load = os.getloadavg()[0]
    print(f"{get_processor_name()}, {os.cpu_count()} cores, load {load:.1f}; {platform.platform(terse=True)}")
    if args.picture:
        measure_picture(args.rounds)
        return
    f = measure(args.rounds, "".join(f"{line}\n" for line in args.setting))
    print(f"recording adds {f.added:.1f} % of a core (median of {args.rounds}, {f.least:.1f} to {f.most:.1f})", end=" ")
    print(f"to {f.plain:.1f} %, of which its own thread {f.thread:.1f} %", end=" ")
    print(f"({f.thread * 10 / f.pictures_per_s:.1f} ms a picture);", end=" ")
    print(f"{f.pictures_per_s:.1f} pictures a second, {f.megabits_per_s:.1f} Mbit/s")
    if args.json:
        args.json.write_text(json.dumps({"schema": 1, **asdict(f)}, indent=1) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
