"""`live-sr bench`: frame rate and latency of the real pipeline, without a window."""

from __future__ import annotations

import dataclasses
import json
import statistics
import sys
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from time import monotonic

from live_sr import assembly, backends
from live_sr.contracts import Engine, FrameSource, Job
from live_sr.counting import CountingDisplay
from live_sr.errors import LiveSRError, UsageError
from live_sr.frame import Pixels, Size
from live_sr.hardware import Machine
from live_sr.latency import Latency, Percentiles, Report
from live_sr.pipeline import WAIT_S, Pipeline

PATTERN_SIZE = Size(480, 270)
WARM_UP_S = 1.0  # of running, after the engine is built
PACKAGES = ("openvino", "numpy", "opencv-python-headless", "opencv-python", "torch", "onnxruntime")


@dataclass(frozen=True)
class BenchOptions:
    """Every combination of model, scale and engine is run. `pace` None: free-running, for throughput."""

    source: str = "pattern"
    size: Size = PATTERN_SIZE
    models: tuple[str, ...] = ("fast",)
    scales: tuple[int, ...] = (2,)
    engines: tuple[str, ...] = ("auto",)
    precision: str = "auto"
    seconds: float = 5.0
    pace: float | None = None
    rounds: int = 1
    json: Path | None = None


@dataclass(frozen=True)
class Run:
    """What one combination did, over all its rounds: the median round by latency, rates as medians of the rounds."""

    model: str
    scale: int
    engine: str
    precision: str
    size: str
    seconds: float
    frames: int
    fps: float
    dropped: int
    latency_ms: Percentiles
    stages_ms: dict[str, Percentiles]


def main(options: BenchOptions) -> int:
    """Runs, prints a table, writes the JSON. Raises LiveSRError."""
    check(options)
    sides = [(m, s, e) for m in options.models for s in options.scales for e in options.engines]
    machine = Machine.here(PACKAGES)
    print(f"{machine.processor}, {machine.cores} cores, load {machine.load:.1f}; {machine.system}, {machine.date}")
    kept: dict[tuple[str, int, str], list[Run]] = {side: [] for side in sides}
    for number in range(options.rounds):  # interleaved: the machine's moods meet all sides alike
        for at, side in enumerate(sides):
            tell_progress(f"round {number + 1} of {options.rounds}, {at + 1} of {len(sides)}: {side[0]} x{side[1]}")
            kept[side].append(one_run(options, *side))
    tell_progress("")
    runs = [median_of(rounds) for rounds in kept.values()]
    print(table(runs, options.pace))
    if options.json is not None:
        write_json(options.json, machine, runs)
        print(f"written to {options.json}")
    return 0


def check(options: BenchOptions) -> None:
    """Raises UsageError for figures that cannot be meant."""
    for what, figure, least in (("--seconds", options.seconds, 0.1), ("--rounds", options.rounds, 1)):
        if not figure >= least:
            raise UsageError(f"{what} {figure:g} is too little to measure anything", f"at least {least:g}")
    if options.pace is not None and not 1 <= options.pace <= 1000:
        raise UsageError(f"no game draws {options.pace:g} frames a second", "a --pace from 1 to 1000, or none")


def one_run(options: BenchOptions, model: str, scale: int, engine_name: str) -> Run:
    engine_options = assembly.EngineOptions(engine_name, options.precision, cache=backends.cache_folder())
    open_source = source_opener(options)
    engine = assembly.make_engine(model, scale, engine_options)
    try:
        first = open_source()
        size = first.size
        first.close()
        engine.warm_up(size)
        report = measured(open_source, engine, options.seconds, free=options.pace is None)
        job = engine.job
    finally:
        engine.close()
    return as_run(job, size, report)


def measured(open_source: Callable[[], FrameSource], engine: Engine, seconds: float, *, free: bool) -> Report:
    """The pipeline for some seconds after a warm-up; less if the source ends before."""
    latency = Latency(capacity=100_000)
    pipeline: Pipeline[Pixels] = Pipeline(
        open_source, engine, CountingDisplay(latency), latency, reopen=False, every_frame=free
    )
    pipeline.start()
    try:
        if not ended_within(pipeline, WARM_UP_S):
            latency.reset()
            ended_within(pipeline, seconds)
        report = latency.report()
    finally:
        pipeline.stop()
    if not report.shown:
        raise UsageError("not a single frame was measured", "give it more --seconds, or a longer source")
    return report


def ended_within(pipeline: Pipeline[Pixels], seconds: float) -> bool:
    end = monotonic() + seconds
    while (left := end - monotonic()) > 0:
        if pipeline.wait(min(left, WAIT_S)):
            return True
    return False


def source_opener(options: BenchOptions) -> Callable[[], FrameSource]:
    if options.source == "pattern":
        from live_sr.capture.pattern import PatternSource

        return partial(PatternSource, options.size, fps=options.pace)
    from live_sr.capture.video import VideoSource

    paced = options.pace is not None
    return partial(VideoSource, Path(options.source), loop=True, paced=paced, fps=options.pace)


def as_run(job: Job, size: Size, report: Report) -> Run:
    return Run(
        model=job.model,
        scale=job.scale,
        engine=job.engine,
        precision=job.precision,
        size=str(size),
        seconds=round(report.seconds, 3),
        frames=report.shown,
        fps=round(report.shown_fps, 2),
        dropped=report.dropped,
        latency_ms=report.total,
        stages_ms=report.stages,
    )


def median_of(rounds: Sequence[Run]) -> Run:
    by_latency = sorted(rounds, key=lambda run: run.latency_ms.p50)
    middle = by_latency[len(rounds) // 2]
    return dataclasses.replace(middle, fps=statistics.median(run.fps for run in rounds))


def table(runs: Sequence[Run], pace: float | None) -> str:
    """For the terminal. `rest` is the part of the median latency that is not the engine's."""
    how = f"fed at {pace:g} fps" if pace else "free-running; latency then includes waiting for the engine"
    lines = [f"{how}; ms from the source to the display, which here only counts"]
    columns = "".join(f"{name:>8}" for name in ("fps", "p50", "p95", "p99", "worst", "upscale", "rest"))
    lines.append(f"{'model':16}{'engine':16}{'input':>10}{columns}")
    for r in runs:
        t, upscale = r.latency_ms, r.stages_ms["upscale"].p50
        rest = sum(p.p50 for stage, p in r.stages_ms.items() if stage != "upscale")
        lines.append(
            f"{f'{r.model} x{r.scale}':16}{f'{r.engine} {r.precision}':16}{r.size:>10}{r.fps:8.1f}"
            f"{t.p50:8.2f}{t.p95:8.2f}{t.p99:8.2f}{t.max:8.2f}{upscale:8.2f}{rest:8.2f}"
        )
    return "\n".join(lines)


def write_json(path: Path, machine: Machine, runs: Sequence[Run]) -> None:
    data = {"schema": 1, "machine": dataclasses.asdict(machine), "runs": [dataclasses.asdict(run) for run in runs]}
    if path.is_dir():
        raise LiveSRError(f"{path} cannot be written: it is a folder", "choose another --json file")
    part = path.with_name(path.name + ".part")
    try:
        part.write_text(json.dumps(data, indent=1) + "\n", encoding="utf-8")
        part.replace(path)
    except OSError as error:
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another --json file") from None


def tell_progress(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{words:70}\r", end="", file=sys.stderr, flush=True)
