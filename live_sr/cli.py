"""The command line. Parses, and imports a command's module only when that command runs."""

from __future__ import annotations

import argparse
import io
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from live_sr import __version__, typed
from live_sr.errors import LiveSRError, UsageError
from live_sr.frame import Size

PRECISIONS = ("auto", "fp32", "bf16", "fp16")


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


def _evaluate(a: argparse.Namespace) -> int:
    from live_sr.quality import run as quality

    options = quality.Options(
        sets=tuple(a.sets),
        videos=tuple((small, large) for small, large in a.video),
        models=a.models,
        scales=a.scale,
        engine=a.engine,
        precision=a.precision,
        degrade=a.degrade,
        metrics=a.metrics,
        limit=a.limit,
        json=a.json,
        csv=a.csv,
        plot=a.plot,
        cost=a.cost,
        sheet=a.sheet,
    )
    return quality.main(options)


def _doctor(a: argparse.Namespace) -> int:
    from live_sr import doctor

    return doctor.main(as_json=a.json, config=_config_path(None))


def _record(a: argparse.Namespace) -> int:
    from live_sr import recording
    from live_sr.app.run import Request

    return recording.run(
        Request(a.window, a.pid, a.region, a.monitor, seconds=a.seconds),
        recording.Order(a.out, a.every, a.count),
        _config_path(a.config),
        {"capture": {"backend": a.capture}} if a.capture else {},
    )


def _models(a: argparse.Namespace) -> int:
    from live_sr import collection

    match a.action:
        case "show":
            return collection.show(a.name)
        case "add":
            return collection.add(a.files, a.name, a.scale, replace=a.replace)
        case "remove":
            return collection.remove(a.name, a.scale)
    return collection.show_list()


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


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="live-sr", description="Neural super-resolution on a live game window.")
    parser.add_argument("--version", action="version", version=f"live-sr {__version__}")
    commands = parser.add_subparsers(title="commands", required=True, metavar="COMMAND")

    run = commands.add_parser("run", help="upscale a game's window while it runs")
    _subject_flags(run)
    run.add_argument("--wait", action="store_true", help="wait for the window to appear, and to come back once closed")
    run.add_argument("--log", type=Path, metavar="FILE.csv", help="write one row for each shown frame")
    run.add_argument("--seconds", type=typed.seconds, help="end after so many seconds")
    run.add_argument("--capture", metavar="NAME", help="x11, dxgi, wgc or mss")
    _picture_flags(run)
    run.set_defaults(command=_run)

    demo = commands.add_parser("demo", help="see it work on a bundled recording of a game")
    demo.add_argument("--seconds", type=typed.seconds, help="end after so many seconds")
    demo.add_argument("--output", type=Path, default=Path("demo.png"), help="picture left behind (demo.png)")
    demo.add_argument("--no-window", action="store_true", help="do not open a window even if there is a screen")
    _picture_flags(demo)
    demo.set_defaults(command=_demo)

    bench = commands.add_parser("bench", help="measure frame rate and latency, without a window")
    bench.add_argument("--source", default="pattern", metavar="pattern|FILE", help="a test pattern, or a video")
    bench.add_argument(
        "--size", type=typed.size, default=Size(480, 270), metavar="WxH", help="of the pattern (480x270)"
    )
    bench.add_argument("--model", default="fast", metavar="NAME,...", help="networks or filters (fast)")
    bench.add_argument("--scale", type=typed.scales, default=(2,), metavar="N,...", help="2, 3, 4 (2)")
    bench.add_argument("--engine", default="auto", metavar="NAME,...", help="engines (the best that runs here)")
    bench.add_argument("--precision", default="auto", choices=PRECISIONS, help="auto: the fastest that is safe")
    bench.add_argument("--seconds", type=float, default=5.0, help="of each run, after the warm-up (5)")
    bench.add_argument("--pace", type=float, metavar="FPS", help="feed at a game's rate and measure latency")
    bench.add_argument("--rounds", type=int, default=1, help="repeat all runs so often, interleaved; medians (1)")
    bench.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    bench.set_defaults(command=_bench)

    _evaluate_flags(commands.add_parser("evaluate", help="measure the quality of networks and filters on pictures"))

    doctor = commands.add_parser("doctor", help="what is here, what was chosen and why, how to get the rest")
    doctor.add_argument("--json", action="store_true", help="as JSON")
    doctor.set_defaults(command=_doctor)
    _record_command(commands.add_parser("record", help="save frames of a game while it is played, to train with"))
    _models_command(commands.add_parser("models", help="the models there are; add and remove your own"))
    return parser


def _record_command(record: argparse.ArgumentParser) -> None:
    _subject_flags(record)
    record.add_argument("--out", type=Path, required=True, metavar="DIR", help="folder for the pictures")
    record.add_argument("--every", type=typed.seconds, default=0.5, metavar="SECONDS", help="between two frames (0.5)")
    record.add_argument("--count", type=typed.number, metavar="N", help="end after so many frames were saved")
    record.add_argument("--seconds", type=typed.seconds, help="end after so many seconds")
    record.add_argument("--capture", metavar="NAME", help="x11, dxgi, wgc or mss")
    record.add_argument("--config", type=Path, metavar="FILE", help="settings (config.toml)")
    record.set_defaults(command=_record)


def _models_command(models: argparse.ArgumentParser) -> None:
    actions = models.add_subparsers(dest="action", metavar="ACTION")
    actions.add_parser("list", help="all there are, and what runs them here")
    show = actions.add_parser("show", help="what is known of one")
    show.add_argument("name", metavar="NAME")
    add = actions.add_parser("add", help="try a model and keep it among yours")
    add.add_argument("files", nargs="+", type=Path, metavar="FILE.onnx")
    add.add_argument("--name", help="what to call it (what its card or its file's name says)")
    add.add_argument("--scale", type=int, choices=(2, 3, 4), help="how much it enlarges, where the file does not tell")
    add.add_argument("--replace", action="store_true", help="in the place of one of yours with the same name")
    remove = actions.add_parser("remove", help="delete one of yours")
    remove.add_argument("name", metavar="NAME")
    remove.add_argument("--scale", type=int, choices=(2, 3, 4), help="only this one (all)")
    models.set_defaults(command=_models)


def _subject_flags(parser: argparse.ArgumentParser) -> None:
    what = parser.add_mutually_exclusive_group()
    what.add_argument("--window", metavar="TITLE", help="the window whose title or process contains this")
    what.add_argument("--pid", type=int, help="the window of this process")
    what.add_argument("--region", type=typed.region, metavar="X,Y,W,H", help="a part of the desktop, in pixels")
    what.add_argument("--monitor", type=int, metavar="N", help="a whole monitor, counted from 1")


def _evaluate_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sets", type=Path, nargs="*", metavar="SET_DIR", help="lr/ and hr/ in it; or large frames, or a video of them"
    )
    parser.add_argument("--video", type=Path, nargs=2, action="append", default=[], metavar=("LR", "HR"))
    parser.add_argument(
        "--models",
        type=typed.names,
        default=("fast", "bicubic"),
        metavar="A,...",
        help="networks, filters, model files",
    )
    parser.add_argument("--scale", type=typed.scales, default=(2,), metavar="N,...", help="2, 3, 4 (2)")
    parser.add_argument("--engine", default="auto", metavar="NAME", help="the engine for networks")
    parser.add_argument("--precision", default="auto", choices=PRECISIONS, help="auto: the fastest that is safe")
    parser.add_argument(
        "--degrade",
        type=typed.names,
        default=(),
        metavar="KIND,...",
        help="shrink large frames: box, bicubic, lanczos, point, realesrgan",
    )
    parser.add_argument("--metrics", type=typed.names, default=(), metavar="NAME,...", help="all, or some by name")
    parser.add_argument("--limit", type=int, metavar="N", help="the first N frames of each set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="the same as comma-separated values")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw quality against cost")
    parser.add_argument("--cost", choices=("ms", "macs"), default="ms", help="of the plot: time, or multiply-adds")
    parser.add_argument("--sheet", type=Path, metavar="FILE.png|.html", help="crops side by side, to look at")
    parser.set_defaults(command=_evaluate)


def _picture_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument("--model", metavar="NAME", help="a network, a filter, or a model file")
    parser.add_argument("--scale", type=typed.scale, metavar="N|fit", help="2, 3, 4, or fit")
    parser.add_argument("--engine", metavar="NAME", help="openvino or filters")
    parser.add_argument("--precision", choices=PRECISIONS, help="auto: the fastest that is safe")
    parser.add_argument("--mode", choices=("cover", "beside"), help="over the game, or a window of its own")
    parser.add_argument("--hud", choices=("off", "line", "detail"), help="how much the HUD shows")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings (config.toml)")


if __name__ == "__main__":
    sys.exit(main())
