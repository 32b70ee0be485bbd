"""Runs all combinations in interleaved rounds, and prints and writes the results."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from functools import partial
from time import monotonic

from live_sr.bench import compare, measure, options, submission, table
from live_sr.bench.baselines import registry
from live_sr.bench.options import BenchCase, BenchOptions
from live_sr.bench.report import BenchReport, format_csv, format_json, read_report, write_text
from live_sr.bench.results import BenchRound, BenchRow, BenchStatistics, FrameCost
from live_sr.bench.roofline import Roofline
from live_sr.errors import EngineError, LiveSRError, UsageError, reason
from live_sr.nvidia import nvml
from live_sr.pipeline.contracts import EngineInfo
from live_sr.pipeline.engine_contracts import BuildMonitor, KeepingEngine
from live_sr.pipeline.frame import Size
from live_sr.system.hardware import Machine
from live_sr.terminal import Progress, print_result

PACKAGES = (
    *("numpy", "openvino", "onnxruntime", "torch", "ncnn", "wgpu", "opencv-python-headless", "opencv-python"),
    *("tensorrt", "torch-tensorrt", "torch-tensorrt-rtx", "tensorrt-rtx-cu13-libs", "cuda-bindings", "triton"),
)
BUILD_S = 1.0  # assumed for building an engine, in the first estimate of the time left


@dataclass
class CaseResults:
    """A case, and what became of it so far."""

    case: BenchCase
    size: Size
    info: EngineInfo | None = None
    build_s: float = 0.0
    rounds: dict[float | None, list[BenchRound]] = field(default_factory=dict)
    failure: Exception | None = None


def run_bench(wanted: BenchOptions) -> int:
    """Runs the cases, prints tables and writes files; or compares two reports. Returns the exit code.

    Raises LiveSRError. Ctrl-C ends the runs: what was measured until then is printed and written, and then
    KeyboardInterrupt is raised again.
    """
    if wanted.compare is not None:
        one, other = (read_report(path) for path in wanted.compare)
        print_result(compare.format_comparison(one, other, tuple(path.name for path in wanted.compare)))
        return 0
    options.check_options(wanted)
    cases = options.list_cases(wanted)
    native = read_source_size(wanted)
    results = [CaseResults(case, case.size or native) for case in cases]
    report = run_benchmark(wanted, results)
    output_report(report, wanted)
    if report.interrupted:
        raise KeyboardInterrupt
    if not any(row.figures for row in report.rows):
        raise choose_failure(results)
    return 0


def run_benchmark(wanted: BenchOptions, results: list[CaseResults]) -> BenchReport:
    """Runs every case; after Ctrl-C, the report holds what was measured until then."""
    machine, before = Machine.detect(PACKAGES), nvml.read_gpus().gpus
    step_s = len(wanted.modes) * (wanted.seconds + measure.WARM_UP_S) + BUILD_S
    progress = Progress("bench", len(results) * wanted.rounds, unit="runs", step_s=step_s)
    interrupted = False
    roofline = Roofline() if wanted.roofline else None
    try:
        run_rounds(wanted, results, progress, roofline)
    except KeyboardInterrupt:
        interrupted = True
    progress.close()
    after = nvml.read_gpus().gpus
    rows = [row for result in results for row in make_rows(result, wanted.modes)]
    if interrupted:
        rows = [row for row in rows if row.figures or row.reason]
    elif roofline is not None:
        rows = add_floors(rows, roofline)
    return BenchReport(
        machine=machine,
        source="pattern" if wanted.source == "pattern" else "video",
        seconds=wanted.seconds,
        warm_up_s=measure.WARM_UP_S,
        rounds=wanted.rounds,
        before=before,
        after=after,
        interrupted=interrupted,
        rows=tuple(rows),
    )


def run_rounds(wanted: BenchOptions, results: list[CaseResults], progress: Progress, roofline: Roofline | None) -> None:
    """Runs all cases once in each round.

    Each round starts with another case, so that a load that comes and goes on this machine affects all cases alike.
    """
    for number in range(wanted.rounds):
        for result in options.rotate(results, number):
            doing = f"round {number + 1} of {wanted.rounds}, {result.case}"
            progress.describe(doing, at_once=True)
            if result.failure is None:
                try:
                    run_case(wanted, result, number, partial(_describe_part, progress, doing))
                except Exception as error:  # the case becomes a row with this reason; the others run
                    result.failure = error
            progress.step()
        if roofline is not None:
            progress.describe("measuring the roofline")
            roofline.begin_round()
            for result in results:
                if result.info is not None:
                    roofline.find_floor(
                        result.info.engine, result.info.precision, compute_cost(result.case, result.size)
                    )


def _describe_part(progress: Progress, doing: str, part: str) -> None:
    progress.describe(f"{doing}: {part}")


def run_case(wanted: BenchOptions, result: CaseResults, number: int, report: Callable[[str], None]) -> None:
    """Builds the engine once and runs it in every mode. Raises whatever the engine and the source raise."""
    case = result.case
    begun = monotonic()
    report("building")
    engine_options = replace(
        wanted.engine, backend=case.engine, precision=case.precision, changed_regions=case.changed_regions
    )
    engine = registry.make_engine(case.model, case.scale, engine_options, BuildMonitor(report))
    try:
        if case.changed_regions and not isinstance(engine, KeepingEngine):
            raise UsageError(f"{engine.info} always draws whole frames", "leave out --changed-regions")
        engine.warm_up(result.size)
        if result.info is None:
            result.build_s = monotonic() - begun
            result.info = name_engine(engine.info, case)
        for mode in options.rotate(wanted.modes, number):
            report(table.describe_mode(mode))
            opener = measure.make_source_opener(wanted, result.size, mode)
            done = measure.measure_round(opener, engine, wanted.seconds, free=mode is None)
            result.rounds.setdefault(mode, []).append(done)
    finally:
        engine.close()


def name_engine(job: EngineInfo, case: BenchCase) -> EngineInfo:
    """A peer by the name that it was wanted for: PyTorch is "torch" to itself."""
    return replace(job, engine=case.engine) if registry.find_baseline(case.engine) else job


def make_rows(result: CaseResults, modes: tuple[float | None, ...]) -> list[BenchRow]:
    """One row for each mode. A case that failed in a later round keeps its earlier rounds, beside the reason."""
    case = result.case
    precision = case.precision.removeprefix("auto")
    job = result.info or EngineInfo(case.model.name, case.scale, case.engine, precision)
    why = reason(result.failure) if result.failure else ""
    cost = compute_cost(case, result.size) if result.info else None
    made = []
    for mode in modes:
        rounds = result.rounds.get(mode)
        figures = BenchStatistics.from_rounds(rounds) if rounds else None
        where = (job.model, job.scale, str(result.size), job.engine, job.precision)
        row = BenchRow(*where, pace=mode, build_s=result.build_s, cost=cost, figures=figures, reason=why)
        made.append(replace(row, changed_regions=case.changed_regions))
    return made


def compute_cost(case: BenchCase, size: Size) -> FrameCost:
    card = case.model.get_card(case.scale)
    pixels = size.width * size.height
    macs = card.macs_per_pixel * pixels if card and card.macs_per_pixel else None
    return FrameCost(macs, 4 * pixels * (1 + case.scale**2))


def add_floors(rows: list[BenchRow], roofline: Roofline) -> list[BenchRow]:
    """The rows with their roofline floors, from the rates that the rounds measured."""
    return [
        replace(row, floor=roofline.find_floor(row.engine, row.precision, row.cost))
        if row.figures and row.cost
        else row
        for row in rows
    ]


def read_source_size(wanted: BenchOptions) -> Size:
    """The size of the frames where the pattern's is not wanted for. Raises what the source raises, before any run."""
    source = measure.make_source_opener(wanted, None, None)()
    try:
        return source.size
    finally:
        source.close()


def output_report(report: BenchReport, wanted: BenchOptions) -> None:
    """The table, then each file that is wanted for, even if another one cannot be written. Raises LiveSRError."""
    print_result(table.format_report(report))
    failure: LiveSRError | None = None
    for path, text in (
        (wanted.json, format_json),
        (wanted.csv, format_csv),
        (wanted.html, render_html),
        (wanted.submit_file, submission.format_submission),
    ):
        if path is None:
            continue
        try:
            write_text(path, text(report))
            print_result(f"written to {path}")
        except LiveSRError as error:
            failure = failure or error
    if failure is not None:
        raise failure


def render_html(report: BenchReport) -> str:
    from live_sr.bench import html_report  # which needs matplotlib

    return html_report.render_html(report)


def choose_failure(results: list[CaseResults]) -> LiveSRError:
    """The error that ends the command when nothing could be measured."""
    failure = next((result.failure for result in results if result.failure is not None), None)
    if isinstance(failure, LiveSRError):
        return failure
    return EngineError(reason(failure) if failure else "nothing was measured", "see the reasons above")
