"""All combinations in interleaved rounds, and what is told of them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from time import monotonic

from live_sr import assembly, nvml
from live_sr.bench import compare, measure, options, peers, submission, table
from live_sr.bench.options import BenchOptions, Subject
from live_sr.bench.progress import Progress
from live_sr.bench.report import Report, as_csv, as_json, read, write
from live_sr.bench.roofline import Roofline
from live_sr.bench.rows import Cost, Figures, Round, Row
from live_sr.contracts import Job, Watch
from live_sr.errors import EngineError, LiveSRError, reason
from live_sr.frame import Size
from live_sr.hardware import Machine

PACKAGES = (
    *("numpy", "openvino", "onnxruntime", "torch", "ncnn", "opencv-python-headless", "opencv-python"),
    *("tensorrt", "torch-tensorrt", "onnxruntime-ep-nv-tensorrt-rtx", "cuda-bindings", "triton"),
)
BUILD_S = 1.0  # what building an engine may take, for the first guess of the time


@dataclass
class Side:
    """A subject, and what became of it so far."""

    subject: Subject
    size: Size
    job: Job | None = None
    build_s: float = 0.0
    rounds: dict[float | None, list[Round]] = field(default_factory=dict)
    failure: Exception | None = None


def main(asked: BenchOptions) -> int:
    """Runs, prints tables, writes files; or compares two reports. Raises LiveSRError.

    Ctrl-C ends the runs, and what was measured until then is told and written as ever before it is passed on.
    """
    if asked.compare is not None:
        one, other = (read(path) for path in asked.compare)
        print(compare.told(one, other, tuple(path.name for path in asked.compare)))
        return 0
    options.check(asked)
    native = source_size(asked)
    sides = [Side(subject, subject.size or native) for subject in options.subjects(asked)]
    report = reported(asked, sides)
    tell(report, asked)
    if report.interrupted:
        raise KeyboardInterrupt
    if not any(row.figures for row in report.rows):
        raise first_failure(sides)
    return 0


def reported(asked: BenchOptions, sides: list[Side]) -> Report:
    """Everything run, or as much of it as there was until Ctrl-C."""
    machine, before = Machine.here(PACKAGES), nvml.readings().gpus
    progress = Progress(len(sides) * asked.rounds, len(asked.modes) * (asked.seconds + measure.WARM_UP_S) + BUILD_S)
    interrupted = False
    roofline = Roofline() if asked.roofline else None
    try:
        run_all(asked, sides, progress, roofline)
    except KeyboardInterrupt:
        interrupted = True
    progress.end()
    after = nvml.readings().gpus
    rows = [row for side in sides for row in rows_of(side, asked.modes)]
    if interrupted:
        rows = [row for row in rows if row.figures or row.reason]
    elif roofline is not None:
        rows = with_floors(rows, roofline)
    return Report(
        machine=machine,
        source="pattern" if asked.source == "pattern" else "video",
        seconds=asked.seconds,
        warm_up_s=measure.WARM_UP_S,
        rounds=asked.rounds,
        before=before,
        after=after,
        interrupted=interrupted,
        rows=tuple(rows),
    )


def run_all(asked: BenchOptions, sides: list[Side], progress: Progress, roofline: Roofline | None) -> None:
    """Every round has all sides in it, begun with another one, so that the machine's moods meet all of them alike."""
    for number in range(asked.rounds):
        for side in options.rotated(sides, number):
            progress.step(f"round {number + 1} of {asked.rounds}, {side.subject}")
            if side.failure is None:
                try:
                    turn(asked, side, number, progress.detail)
                except Exception as error:  # it becomes a row with this reason, and the others go on
                    side.failure = error
        if roofline is not None:
            progress.detail("the machine's own rates")
            roofline.next_round()
            for side in sides:
                if side.job is not None:
                    roofline.under(side.job.engine, side.job.precision, cost_of(side.subject, side.size))


def turn(asked: BenchOptions, side: Side, number: int, tell: Callable[[str], None]) -> None:
    """Build once, then every mode. Raises whatever the engine and the source raise."""
    subject = side.subject
    begun = monotonic()
    tell("building")
    engine = peers.make(subject.model, subject.scale, subject.engine, subject.precision, Watch(tell))
    try:
        engine.warm_up(side.size)
        if side.job is None:
            side.build_s = monotonic() - begun
            side.job = named(engine.job, subject)
        for mode in options.rotated(asked.modes, number):
            tell(table.mode_name(mode))
            opener = measure.source_opener(asked, side.size, mode)
            done = measure.measured(opener, engine, asked.seconds, free=mode is None)
            side.rounds.setdefault(mode, []).append(done)
    finally:
        engine.close()


def named(job: Job, subject: Subject) -> Job:
    """A peer by the name that it was asked for: PyTorch is "torch" to itself."""
    return replace(job, engine=subject.engine) if peers.find(subject.engine) else job


def rows_of(side: Side, modes: tuple[float | None, ...]) -> list[Row]:
    """One for each mode; what failed later keeps the rounds it has, with the reason."""
    subject = side.subject
    job = side.job or Job(subject.model, subject.scale, subject.engine, subject.precision.removeprefix("auto"))
    why = reason(side.failure) if side.failure else ""
    cost = cost_of(subject, side.size) if side.job else None
    made = []
    for mode in modes:
        rounds = side.rounds.get(mode)
        figures = Figures.of(rounds) if rounds else None
        where = (job.model, job.scale, str(side.size), job.engine, job.precision)
        made.append(Row(*where, pace=mode, build_s=side.build_s, cost=cost, figures=figures, reason=why))
    return made


def cost_of(subject: Subject, size: Size) -> Cost:
    card = assembly.about(subject.model, subject.scale)
    pixels = size.width * size.height
    macs = card.macs_per_pixel * pixels if card and card.macs_per_pixel else None
    return Cost(macs, 4 * pixels * (1 + subject.scale**2))


def with_floors(rows: list[Row], roofline: Roofline) -> list[Row]:
    """What was measured in the last round is not measured again."""
    return [
        replace(row, floor=roofline.under(row.engine, row.precision, row.cost)) if row.figures and row.cost else row
        for row in rows
    ]


def source_size(asked: BenchOptions) -> Size:
    """The size of the frames where the pattern's is not asked for. Raises what the source raises, before any run."""
    source = measure.source_opener(asked, None, None)()
    try:
        return source.size
    finally:
        source.close()


def tell(report: Report, asked: BenchOptions) -> None:
    """The table, then each file that is asked for, even if another one cannot be written. Raises LiveSRError."""
    print(table.told(report))
    failure: LiveSRError | None = None
    for path, text in (
        (asked.json, as_json),
        (asked.csv, as_csv),
        (asked.html, html),
        (asked.submit_file, submission.as_json),
    ):
        if path is None:
            continue
        try:
            write(path, text(report))
            print(f"written to {path}")
        except LiveSRError as error:
            failure = failure or error
    if failure is not None:
        raise failure


def html(report: Report) -> str:
    from live_sr.bench import page  # which needs matplotlib

    return page.html(report)


def first_failure(sides: list[Side]) -> LiveSRError:
    """What to end with when there is not one figure."""
    failure = next((side.failure for side in sides if side.failure is not None), None)
    if isinstance(failure, LiveSRError):
        return failure
    return EngineError(reason(failure) if failure else "nothing was measured", "see the reasons above")
