"""The command line. Parses, and imports a command's module only when that command runs."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from live_sr import __version__
from live_sr.errors import LiveSRError, UsageError
from live_sr.frame import Rect, Size

PRECISIONS = ("auto", "fp32", "bf16", "fp16")
LARGEST = 16384  # pixels a side, of what can be benchmarked


def main(argv: Sequence[str] | None = None) -> int:
    """Runs one command; the exit code. Failures that we name are printed as a sentence and a remedy."""
    arguments = _parser().parse_args(argv)
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(line_buffering=True)  # a note is for now, also where the output goes to a file
    try:
        return int(arguments.command(arguments))
    except LiveSRError as error:
        print(f"live-sr: {error.message}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
        return error.exit_code
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:  # what reads our output has seen enough
        sys.stdout = None
        return 0


def _run(a: argparse.Namespace) -> int:
    from live_sr.app import run as app

    return app.run(
        app.Request(a.window, a.pid, a.region, a.monitor, wait=a.wait, log=a.log, seconds=a.seconds),
        _config_path(a.config),
        _overrides(a),
    )


def _demo(a: argparse.Namespace) -> int:
    from live_sr import demonstration

    return demonstration.run(
        _config_path(a.config), _overrides(a), seconds=a.seconds, output=a.output, window=not a.no_window
    )


def _bench(a: argparse.Namespace) -> int:
    from live_sr import bench

    options = bench.BenchOptions(
        source=a.source,
        size=a.size,
        models=tuple(a.model.split(",")),
        scales=a.scale,
        engines=tuple(a.engine.split(",")),
        precision=a.precision,
        seconds=a.seconds,
        pace=a.pace,
        rounds=a.rounds,
        json=a.json,
    )
    return bench.main(options)


def _doctor(a: argparse.Namespace) -> int:
    from live_sr import doctor

    return doctor.main(as_json=a.json, config=_config_path(None))


def _config_path(given: Path | None) -> Path | None:
    from live_sr import backends, config

    if given is not None and not given.is_file():
        raise UsageError(f"there is no settings file {given}", "correct --config, or leave it out for the defaults")
    return given or config.find((Path.cwd(), backends.config_folder()))


def _overrides(a: argparse.Namespace) -> dict[str, dict[str, Any]]:
    """What the flags change, in the shape of config.toml."""
    flags = {
        "model": {"name": a.model, "scale": a.scale},
        "engine": {"backend": a.engine, "precision": a.precision},
        "capture": {"backend": getattr(a, "capture", None)},
        "overlay": {"mode": a.mode},
        "hud": {"level": a.hud},
    }
    given = {s: {k: v for k, v in values.items() if v is not None} for s, values in flags.items()}
    return {section: values for section, values in given.items() if values}


def _size(text: str) -> Size:
    width, _, height = text.lower().partition("x")
    if not (width.isdigit() and height.isdigit() and int(width) > 0 and int(height) > 0):
        raise argparse.ArgumentTypeError(f'"{text}" is not a size; write it like 480x270')
    if max(int(width), int(height)) > LARGEST:
        raise argparse.ArgumentTypeError(f'"{text}" is too large; at most {LARGEST} pixels a side')
    return Size(int(width), int(height))


def _region(text: str) -> Rect:
    try:
        x, y, width, height = (int(part) for part in text.split(","))
    except ValueError:
        raise argparse.ArgumentTypeError(f'"{text}" is not a region; write it as X,Y,WIDTH,HEIGHT') from None
    if width < 1 or height < 1:
        raise argparse.ArgumentTypeError(f'"{text}" is empty; width and height must be at least 1')
    return Rect(x, y, width, height)


def _seconds(text: str) -> float:
    try:
        seconds = float(text)
    except ValueError:
        seconds = 0.0
    if not 0 < seconds < 1e6:
        raise argparse.ArgumentTypeError(f'"{text}" is not a time; give seconds, more than 0')
    return seconds


def _scale(text: str) -> int | str:
    if text == "fit":
        return "fit"
    if text.lstrip("x") not in ("2", "3", "4"):
        raise argparse.ArgumentTypeError(f'"{text}" is not a scale; one of 2, 3, 4, fit')
    return int(text.lstrip("x"))


def _scales(text: str) -> tuple[int, ...]:
    parts = [part.strip().lstrip("x") for part in text.split(",")]
    if any(part not in ("2", "3", "4") for part in parts):
        raise argparse.ArgumentTypeError(f'"{text}" is not a list of scales; write it like 2,4')
    return tuple(int(part) for part in parts)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="live-sr", description="Neural super-resolution on a live game window.")
    parser.add_argument("--version", action="version", version=f"live-sr {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="upscale a game's window while it runs")
    what = run.add_mutually_exclusive_group()
    what.add_argument("--window", metavar="TITLE", help="the window whose title or process contains this")
    what.add_argument("--pid", type=int, help="the window of this process")
    what.add_argument("--region", type=_region, metavar="X,Y,W,H", help="a part of the desktop, in pixels")
    what.add_argument("--monitor", type=int, metavar="N", help="a whole monitor, counted from 1")
    run.add_argument("--wait", action="store_true", help="wait for the window to appear, and to come back once closed")
    run.add_argument("--log", type=Path, metavar="FILE.csv", help="write one row for each shown frame")
    run.add_argument("--seconds", type=_seconds, help="end after so many seconds")
    run.add_argument("--capture", metavar="NAME", help="x11, dxgi, wgc or mss")
    _picture_flags(run)
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="see it work on a bundled recording of a game")
    demo.add_argument("--seconds", type=_seconds, help="end after so many seconds")
    demo.add_argument("--output", type=Path, default=Path("demo.png"), help="picture left behind (demo.png)")
    demo.add_argument("--no-window", action="store_true", help="do not open a window even if there is a screen")
    _picture_flags(demo)
    demo.set_defaults(command=_demo)

    bench = commands.add_parser("bench", help="measure frame rate and latency, without a window")
    bench.add_argument("--source", default="pattern", metavar="pattern|FILE", help="a test pattern, or a video")
    bench.add_argument("--size", type=_size, default=Size(480, 270), metavar="WxH", help="of the pattern (480x270)")
    bench.add_argument("--model", default="fast", metavar="NAME,...", help="networks or filters (fast)")
    bench.add_argument("--scale", type=_scales, default=(2,), metavar="N,...", help="2, 3, 4 (2)")
    bench.add_argument("--engine", default="auto", metavar="NAME,...", help="engines (the best that runs here)")
    bench.add_argument("--precision", default="auto", choices=PRECISIONS, help="auto: the fastest that is safe")
    bench.add_argument("--seconds", type=float, default=5.0, help="of each run, after the warm-up (5)")
    bench.add_argument("--pace", type=float, metavar="FPS", help="feed at a game's rate and measure latency")
    bench.add_argument("--rounds", type=int, default=1, help="repeat all runs so often, interleaved; medians (1)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    bench.set_defaults(command=_bench)

    doctor = commands.add_parser("doctor", help="what is here, what was chosen and why, how to get the rest")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(command=_doctor)
    return parser


def _picture_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="a network or filter")
    parser.add_argument("--scale", type=_scale, metavar="N|fit", help="2, 3, 4, or fit")
    parser.add_argument("--engine", metavar="NAME", help="openvino or filters")
    parser.add_argument("--precision", choices=PRECISIONS, help="auto: the fastest that is safe")
    parser.add_argument("--mode", choices=("cover", "beside"), help="over the game, or a window of its own")
    parser.add_argument("--hud", choices=("off", "line", "detail"), help="how much the HUD shows")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (config.toml)")


if __name__ == "__main__":
    sys.exit(main())
