"""Record real games, and measure what upscaling only what has changed saves over them.

    python -m tools.benchmarks.games record FOLDER [--games doom,openttd] [--frames 150]
    python -m tools.benchmarks.games measure FOLDER [--scale 2] [--engines openvino,native] [--json FILE]

`record` starts its own Xvfb and window manager, lets each game show itself, and writes FOLDER/NAME.mkv without loss.
(Debian: xvfb openbox xdotool chocolate-doom freedoom openttd openttd-opengfx frozen-bubble pingus supertux scummvm
beneath-a-steel-sky.) A game that is not installed is left out.

`measure` gives every frame of a recording to every engine twice, as a whole frame and as what has changed, in random
order, and compares the pictures to the bit. It prints milliseconds of processor time for a frame, of all threads, so
that other work on the machine matters less, and the ratio to the first row. The times by the clock include waiting for
a core.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import av
import numpy as np

ROOT = Path(__file__).resolve().parents[2]
sys.path.insert(0, str(ROOT / "tests"))

from patience import until  # noqa: E402  # after the path is set
from screens import Screen  # noqa: E402

from live_sr.bench.sequence import read_sequence  # noqa: E402
from live_sr.capture.x11 import X11Source  # noqa: E402
from live_sr.desktop.window_picker import find_windows  # noqa: E402
from live_sr.desktop.x11 import X11Desktop  # noqa: E402
from live_sr.engines import region_factory  # noqa: E402
from live_sr.engines.options import EngineOptions  # noqa: E402
from live_sr.models.resolve import resolve  # noqa: E402
from live_sr.pipeline.contracts import Engine  # noqa: E402
from live_sr.pipeline.frame import Frame, Pixels, Size, get_size  # noqa: E402
from live_sr.system import paths  # noqa: E402
from live_sr.system.hardware import get_processor_name  # noqa: E402

SCREEN = Size(1024, 768)
FIRST = 3  # frames that are not measured: their pictures are allocated
LONGEST_S = 40.0  # of a recording: a menu changes rarely
WAD = "/usr/share/games/doom/freedoom1.wad"
DOOM = ("chocolate-doom", "-iwad", WAD, "-window", "-nosound")


@dataclass(frozen=True)
class GameCase:
    """A game: its program, a part of its window's title, how long it starts, and keys that are pressed in turn."""

    command: tuple[str, ...]
    title: str
    start_s: float = 8.0
    keys: tuple[str, ...] = ()
    fps: float = 60.0  # the most frames that are taken


GAMES = {
    "setup-menu": GameCase(("chocolate-doom-setup",), "setup", 3.0, keys=("Down", "Down", "Down", "Up", "Up", "Up")),
    "frozen-bubble": GameCase(("frozen-bubble", "--no-sound"), "bubble", 8.0),
    "openttd": GameCase(("openttd", "-r", "640x480", "-s", "null", "-m", "null", "-v", "sdl"), "openttd", 12.0),
    "sky": GameCase(
        ("scummvm", "--path=/usr/share/scummvm/beneath-a-steel-sky", "--auto-detect", "-e", "null", "--no-fullscreen"),
        "sky",
        10.0,
    ),
    "pingus": GameCase(("pingus", "-g", "640x480", "-w", "--disable-sound"), "pingus", 8.0),
    "supertux": GameCase(
        ("supertux2", "--geometry", "640x360", "--window", "--disable-sound", "--disable-music"), "supertux", 15.0
    ),
    "doom": GameCase((*DOOM, "-geometry", "480x300", "-timedemo", "demo1"), "doom", 4.0, fps=35.0),
}


@dataclass(frozen=True)
class GameFigures:
    """One way to draw a recording. cpu_ms: mean processor time of a frame, of all threads, p50 and p99 by the clock.

    ratio: of cpu_ms to that of the first way. drawn: mean share of the picture.
    """

    game: str
    size: str
    scale: int
    frames: int
    engine: str
    changed_regions: bool
    cpu_ms: float
    p50_ms: float
    p99_ms: float
    drawn: float
    ratio: float


def record(folder: Path, names: list[str], count: int) -> None:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        try:
            with Screen(SCREEN) as screen:
                written = record_game(screen, GAMES[name], folder / f"{name}.mkv", count)
            print(f"{name}: {written} frames, {(folder / f'{name}.mkv').stat().st_size / 1e6:.2f} MB", flush=True)
        except (OSError, TimeoutError) as error:
            print(f"{name}: left out ({error})", flush=True)


def start_game(screen: Screen, game: GameCase) -> int:
    """Returns its window, once it shows itself. Raises OSError or TimeoutError if the game does not run."""
    path_of_games = f"{screen.env.get('PATH', '')}:/usr/games"
    screen.run(*game.command, PATH=path_of_games, LIBGL_ALWAYS_SOFTWARE="1", SDL_AUDIODRIVER="dummy")
    desktop = X11Desktop(screen.display)
    try:
        until(lambda: find_windows(desktop.list_windows(), game.title, 0), f"the window of {game.command[0]}")
        time.sleep(game.start_s)
        return int(find_windows(desktop.list_windows(), game.title, 0)[0].id)
    finally:
        desktop.close()


def record_game(screen: Screen, game: GameCase, path: Path, count: int) -> int:
    """Writes up to `count` different frames. Raises OSError or TimeoutError if the game does not run."""
    source = X11Source(start_game(screen, game), display=screen.display)
    try:
        if game.keys:
            screen.run("sh", "-c", f"while sleep 0.2; do xdotool key --delay 200 {' '.join(game.keys)}; done")
        return write_lossless(path, take_frames(source, count, game.fps))
    finally:
        source.close()


def take_frames(source: X11Source, count: int, fps: float) -> Iterator[Pixels]:
    """Different frames of one size, at most so many a second."""
    last: Pixels | None = None
    end = time.monotonic() + LONGEST_S
    while count and time.monotonic() < end:
        begun = time.monotonic()
        frame = source.next_frame(0.1)
        if frame is None or (last is not None and np.array_equal(frame.pixels, last)):
            continue
        if last is not None and frame.pixels.shape != last.shape:
            continue
        last = frame.pixels.copy()
        count -= 1
        yield last
        time.sleep(max(0.0, 1 / fps - (time.monotonic() - begun)))


def write_lossless(path: Path, frames: Iterator[Pixels]) -> int:
    """H.264 of RGB without loss; returns how many frames there were."""
    written = 0
    with av.open(str(path), "w") as container:
        stream = container.add_stream("libx264rgb", rate=30, options={"qp": "0", "preset": "veryfast"})
        for pixels in frames:
            if not written:
                stream.width, stream.height = get_size(pixels)
                stream.pix_fmt = "bgr24"
            picture = av.VideoFrame.from_ndarray(np.ascontiguousarray(pixels[..., :3]), "bgr24")
            container.mux(stream.encode(picture))
            written += 1
        container.mux(stream.encode(None))
    return written


def measure(folder: Path, names: list[str], engines: list[str], scale: int, limit: int) -> list[GameFigures]:
    """Measures recordings and prints a row for each engine, with whole frames and with changed regions."""
    found = []
    for name in names:
        path = folder / f"{name}.mkv"
        if not path.is_file():
            print(f"{name}: there is no recording", file=sys.stderr)
            continue
        for one in measure_game(path, engines, scale, limit):
            found.append(one)
            print(format_row(one), flush=True)
    return found


def measure_game(path: Path, names: list[str], scale: int, limit: int, model: str = "fast") -> list[GameFigures]:
    """Every frame through every engine in both ways, in random order. Raises SystemExit where their pictures differ."""
    frames = read_sequence(path)[:limit]
    network = resolve(model, scale)
    ways = [(name, changed) for name in names for changed in (False, True)]
    engines: dict[tuple[str, bool], Engine] = {}
    for name, changed in ways:
        options = EngineOptions(name, cache=paths.get_cache_folder(), changed_regions=changed)
        engines[name, changed] = region_factory.make_engine(network, scale, options)
        engines[name, changed].warm_up(get_size(frames[0]))
    random = np.random.default_rng(0)
    shown: dict[tuple[str, bool], list[Pixels]] = {way: [] for way in ways}
    spent: dict[tuple[str, bool], list[tuple[float, float, float]]] = {way: [] for way in ways}
    for number, pixels in enumerate(frames):
        for at in random.permutation(len(ways)):
            way = ways[at]
            frame = Frame(pixels.copy())
            into = shown[way].pop(0) if len(shown[way]) == 3 else None
            begun, cpu = time.perf_counter(), time.process_time()
            done = engines[way].upscale(frame, into)
            cpu, wall = time.process_time() - cpu, time.perf_counter() - begun
            assert done is not None
            shown[way].append(done.pixels)
            if number >= FIRST:
                spent[way].append((cpu * 1000, wall * 1000, frame.stamps.drawn))
        for name in names:
            if not np.array_equal(shown[name, False][-1], shown[name, True][-1]):
                raise SystemExit(f"{path.name}, {name}: frame {number} differs from the whole frame")
    for engine in engines.values():
        engine.close()
    first = np.mean([cpu for cpu, _, _ in spent[ways[0]]])
    found = []
    for way in ways:
        cpu_ms, wall_ms, drawn = (np.array(column) for column in zip(*spent[way], strict=True))
        p50, p99 = np.percentile(wall_ms, (50, 99))
        found.append(
            GameFigures(
                path.stem,
                str(get_size(frames[0])),
                scale,
                len(frames),
                f"{engines[way].info.engine} {engines[way].info.precision}",
                way[1],
                float(cpu_ms.mean()),
                float(p50),
                float(p99),
                float(drawn.mean()),
                float(cpu_ms.mean() / first),
            )
        )
    return found


def format_row(one: GameFigures) -> str:
    way = "changed regions" if one.changed_regions else "whole frames"
    figures = f"{one.drawn:.0%} | {one.cpu_ms:.2f} | {one.ratio:.2f} | {one.p50_ms:.1f} | {one.p99_ms:.1f}"
    return f"| {one.game}, {one.size} x{one.scale} | {one.engine}, {way} | {figures} |"


HEADER = """\
| game | engine | drawn | CPU ms a frame | ratio | p50 ms | p99 ms |
|---|---|---|---|---|---|---|"""


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("action", choices=("record", "measure"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--games", default=",".join(GAMES), help="names, with commas")
    parser.add_argument("--frames", type=int, default=150)
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--engines", default="openvino,native", help="names, with commas; ratios are to the first")
    parser.add_argument("--json", type=Path)
    a = parser.parse_args()
    games = a.games.split(",")
    if a.action == "record":
        record(a.folder, games, a.frames)
        return 0
    print(f"{get_processor_name()}\n{HEADER}", flush=True)
    figures = measure(a.folder, games, a.engines.split(","), a.scale, a.frames)
    if a.json is not None:
        a.json.write_text(json.dumps([asdict(one) for one in figures], indent=1) + "\n")
    return 0


if __name__ == "__main__":
    with suppress(KeyboardInterrupt):
        sys.exit(main())
