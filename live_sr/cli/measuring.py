"""Commands that measure: bench, evaluate."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr import typed
from live_sr.cli.settings import PRECISIONS

if TYPE_CHECKING:
    from live_sr.cli.settings import Commands


def add_to(commands: Commands) -> None:
    _bench_flags(commands.add_parser("bench", help="measure frame rate and latency, without a window"))
    _evaluate_flags(commands.add_parser("evaluate", help="measure the quality of networks and filters on pictures"))


def _bench_flags(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag("--source", default="pattern", metavar="pattern|FILE", help="a test pattern, or a video")
    flag("--size", type=typed.size, action="append", metavar="WxH", help="of the pattern (480x270); may be repeated")
    flag(
        "--model", "--models", type=typed.names, default=("fast",), metavar="NAME,...", help="networks, filters (fast)"
    )
    flag("--scale", "--scales", type=typed.scales, default=(2,), metavar="N,...", help="2, 3, 4 (2)")
    flag(
        "--engine",
        "--engines",
        type=typed.names,
        default=("auto",),
        metavar="NAME,...",
        help="engines, and to compare with: eager, compile, onnxruntime, ncnn (the best that runs here)",
    )
    flag(
        "--precision",
        "--precisions",
        type=typed.names,
        default=("auto",),
        metavar="NAME,...",
        help="fp32, bf16, fp16, or auto: the fastest that is safe",
    )
    flag("--seconds", type=float, default=5.0, help="of each run, after the warm-up (5)")
    flag("--free", action="store_true", help="run as fast as it goes: throughput (this, and --pace 60)")
    flag("--pace", type=float, action="append", metavar="FPS", help="feed at a game's rate: latency; may be repeated")
    flag("--rounds", type=int, default=1, help="repeat all runs so often, interleaved; medians and spread (1)")
    flag("--roofline", action="store_true", help="the least time that this machine's copies and multiplications allow")
    flag("--json", type=Path, metavar="FILE", help="write the figures to a file")
    flag("--csv", type=Path, metavar="FILE", help="the same as comma-separated values")
    flag("--html", type=Path, metavar="FILE", help="a page with plots, to look at offline")
    flag("--submit-file", type=Path, metavar="FILE", help="a small file to share: says what the machine is, not whose")
    flag("--compare", type=Path, nargs=2, metavar=("A.json", "B.json"), help="run nothing: two files of --json")
    parser.set_defaults(command=_bench)


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


def _bench(a: argparse.Namespace) -> int:
    from live_sr import bench

    options = bench.BenchOptions(
        source=a.source,
        sizes=tuple(a.size or (bench.PATTERN_SIZE,)),
        models=a.model,
        scales=a.scale,
        engines=a.engine,
        precisions=a.precision,
        seconds=a.seconds,
        modes=bench.modes(a.pace, a.free),
        rounds=a.rounds,
        roofline=a.roofline,
        json=a.json,
        csv=a.csv,
        html=a.html,
        submit_file=a.submit_file,
        compare=(a.compare[0], a.compare[1]) if a.compare else None,
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
