"""The commands that measure: bench, evaluate."""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import TYPE_CHECKING

from live_sr.cli import argument_types
from live_sr.cli.shared_flags import (
    PRECISIONS,
    add_config_flag,
    add_track_flags,
    get_track_place,
    load_settings,
    make_overrides,
)

if TYPE_CHECKING:
    from live_sr.cli.shared_flags import Commands


def add_commands(commands: Commands) -> None:
    _add_bench_flags(commands.add_parser("bench", help="measure frame rate and latency, without a window"))
    _add_evaluate_flags(commands.add_parser("evaluate", help="measure the quality of networks and filters on pictures"))


def _add_bench_flags(parser: argparse.ArgumentParser) -> None:
    flag = parser.add_argument
    flag(
        "--source",
        default="pattern",
        metavar="pattern|FILE",
        help="a test pattern, or a video, of which 512 MB of frames are kept",
    )
    flag(
        "--size",
        type=argument_types.parse_size,
        action="append",
        metavar="WxH",
        help="size of the pattern (480x270); may be repeated",
    )
    flag(
        "--model",
        "--models",
        type=argument_types.parse_names,
        default=("fast",),
        metavar="NAME,...",
        help="networks, filters (fast)",
    )
    flag("--scale", "--scales", type=argument_types.parse_scales, default=(2,), metavar="N,...", help="2, 3, 4 (2)")
    flag(
        "--engine",
        "--engines",
        type=argument_types.parse_names,
        metavar="NAME,...",
        help="engines, or for comparison eager, compile, onnxruntime, ncnn (as in the settings)",
    )
    flag(
        "--precision",
        "--precisions",
        type=argument_types.parse_names,
        metavar="NAME,...",
        help="fp32, bf16, fp16, or auto: the fastest that is safe (as in the settings)",
    )
    flag(
        "--changed-regions",
        action="store_true",
        help="run every network also as in the live window, where only what has changed is drawn",
    )
    flag("--seconds", type=float, default=5.0, help="length of each run after the warm-up (5)")
    flag("--free", action="store_true", help="run as fast as possible: throughput (default: --free and --pace 60)")
    flag(
        "--pace", type=float, action="append", metavar="FPS", help="feed frames at this rate: latency; may be repeated"
    )
    flag(
        "--rounds", type=int, default=1, help="how often to repeat all runs, interleaved; reports median and spread (1)"
    )
    flag(
        "--roofline", action="store_true", help="also measure the lower bound that memory bandwidth and arithmetic set"
    )
    flag("--json", type=Path, metavar="FILE", help="write the figures to a file")
    flag("--csv", type=Path, metavar="FILE", help="write them as comma-separated values")
    flag("--html", type=Path, metavar="FILE", help="write a page with plots")
    flag(
        "--submit-file",
        type=Path,
        metavar="FILE",
        help="write a small file to share; it describes the machine, not its owner",
    )
    flag(
        "--compare",
        type=Path,
        nargs=2,
        metavar=("A.json", "B.json"),
        help="compare two files of --json and run nothing",
    )
    add_config_flag(parser)
    parser.set_defaults(command=_run_bench)


def _add_evaluate_flags(parser: argparse.ArgumentParser) -> None:
    parser.add_argument(
        "sets",
        type=Path,
        nargs="*",
        metavar="SET_DIR",
        help="a folder with lr/ and hr/, or of large frames, or a video of them",
    )
    parser.add_argument("--video", type=Path, nargs=2, action="append", default=[], metavar=("LR", "HR"))
    parser.add_argument(
        "--models",
        type=argument_types.parse_names,
        default=("fast", "bicubic"),
        metavar="A,...",
        help="networks, filters, model files",
    )
    parser.add_argument("--scale", type=argument_types.parse_scales, default=(2,), metavar="N,...", help="2, 3, 4 (2)")
    parser.add_argument("--engine", metavar="NAME", help="the engine for networks (as in the settings)")
    parser.add_argument("--precision", choices=PRECISIONS, help="auto: the fastest that is safe (as in the settings)")
    parser.add_argument(
        "--degrade",
        type=argument_types.parse_names,
        default=(),
        metavar="KIND,...",
        help="how to shrink large frames: box, bicubic, lanczos, point, realesrgan",
    )
    parser.add_argument(
        "--metrics", type=argument_types.parse_names, default=(), metavar="NAME,...", help="all, or some by name"
    )
    parser.add_argument("--limit", type=int, metavar="N", help="use only the first N frames of each set")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the figures to a file")
    parser.add_argument("--csv", type=Path, metavar="FILE", help="write them as comma-separated values")
    parser.add_argument("--plot", type=Path, metavar="FILE.png", help="draw quality against cost")
    parser.add_argument(
        "--cost", choices=("ms", "macs"), default="ms", help="cost axis of the plot: time or multiply-adds"
    )
    parser.add_argument("--sheet", type=Path, metavar="FILE.png|.html", help="write crops side by side")
    add_track_flags(parser)
    add_config_flag(parser)
    parser.set_defaults(command=_run_evaluate)


def _run_bench(a: argparse.Namespace) -> int:
    from live_sr import bench
    from live_sr.engines.options import EngineOptions

    engine = EngineOptions.from_settings(load_settings(a))
    options = bench.BenchOptions(
        source=a.source,
        sizes=tuple(a.size or (bench.PATTERN_SIZE,)),
        models=a.model,
        scales=a.scale,
        engines=a.engine or (engine.backend,),
        precisions=a.precision or (engine.precision,),
        engine=engine,
        seconds=a.seconds,
        modes=bench.choose_modes(a.pace, a.free),
        rounds=a.rounds,
        roofline=a.roofline,
        changed_regions=a.changed_regions,
        json=a.json,
        csv=a.csv,
        html=a.html,
        submit_file=a.submit_file,
        compare=(a.compare[0], a.compare[1]) if a.compare else None,
    )
    return bench.run_bench(options)


def _run_evaluate(a: argparse.Namespace) -> int:
    from live_sr.engines.options import EngineOptions
    from live_sr.evaluate import run as quality

    settings = load_settings(a, make_overrides(engine=a.engine, precision=a.precision))
    options = quality.EvaluationOptions(
        sets=tuple(a.sets),
        videos=tuple((small, large) for small, large in a.video),
        models=a.models,
        scales=a.scale,
        engine=EngineOptions.from_settings(settings),
        degrade=a.degrade,
        metrics=a.metrics,
        limit=a.limit,
        json=a.json,
        csv=a.csv,
        plot=a.plot,
        cost=a.cost,
        sheet=a.sheet,
        track=get_track_place(a),
    )
    return quality.run(options)
