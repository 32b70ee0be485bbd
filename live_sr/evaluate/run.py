"""Runs an evaluation: every model upscales a frame before the next frame is read."""

from __future__ import annotations

import importlib.util
import logging
import statistics
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path

import numpy as np

from live_sr import __version__
from live_sr.engines import engine_choice
from live_sr.engines.options import EngineOptions
from live_sr.errors import LiveSRError, MissingPart, UnknownModel, UsageError
from live_sr.evaluate import metrics, results
from live_sr.evaluate.candidate import Candidate
from live_sr.evaluate.crop_selection import CropSelection, SelectedCrops
from live_sr.evaluate.datasets import Dataset, FramePair, open_datasets
from live_sr.evaluate.metrics import BgrImage, MakeAccumulator, MetricAccumulator, crop_border
from live_sr.evaluate.results import EvaluationRow
from live_sr.evaluate.tracker import open_tracker
from live_sr.models.resolve import Model, resolve
from live_sr.system.atomic_file import check_writable, write
from live_sr.system.hardware import Machine
from live_sr.terminal import Progress, print_result

log = logging.getLogger(__name__)

INSTALL_HINT = 'pip install "live-sr[evaluate]" or "live-sr[evaluate-all]" adds the missing packages'


@dataclass(frozen=True)
class EvaluationOptions:
    """What to measure and where to write it. limit: frames of each dataset. cost: the plot's x-axis, ms or macs."""

    sets: tuple[Path, ...]
    videos: tuple[tuple[Path, Path], ...] = ()
    models: tuple[str, ...] = ("fast", "bicubic")
    scales: tuple[int, ...] = (2,)
    engine: EngineOptions = field(default_factory=EngineOptions)
    degrade: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    limit: int | None = None
    json: Path | None = None
    csv: Path | None = None
    plot: Path | None = None
    cost: str = "ms"
    sheet: Path | None = None
    track: str | None = None


def run(options: EvaluationOptions) -> int:
    """Measures, prints a table and writes the requested files. Returns the exit code. Raises LiveSRError."""
    evaluation = Evaluation(options)
    machine = Machine.detect(results.PACKAGES)
    print_result(
        f"{machine.processor}, {machine.cores} cores, load {machine.load:.1f}; {machine.system}, {machine.date}"
    )
    with open_tracker(options.track, _list_parameters(options, machine)) as tracker:
        try:
            for scale in options.scales:
                evaluation.run(scale)
        finally:
            evaluation.progress.close()
        if not evaluation.rows:
            raise LiveSRError("nothing could be measured", "the notes above say why")
        found = results.add_means(evaluation.rows)
        print_result(results.format_results(found))
        tracker.log_rows(found)
        tracker.log_files(_write_outputs(options, machine, evaluation, found))
    return 0


class Evaluation:
    """Collects rows, crops and notes. Raises LiveSRError for options that cannot work."""

    def __init__(self, options: EvaluationOptions) -> None:
        self._options = options
        self._engines = options.engine
        self._datasets = open_datasets(options.sets, options.videos, options.degrade)
        if options.limit is not None and options.limit < 1:
            raise UsageError(f"--limit {options.limit} leaves nothing to measure", "at least 1")
        engine_choice.choose_engine(self._engines)
        self._models = {name: _resolve(name, self._engines.cache) for name in options.models}
        _check_outputs(options)
        self.rows: list[EvaluationRow] = []
        self.crops: list[SelectedCrops] = []
        self.notes: list[str] = []
        self.progress = Progress("evaluate")
        self._metrics = self._load_metrics(metrics.choose_metrics(options.metrics))

    def run(self, scale: int) -> None:
        """Measures every candidate on every dataset at that scale."""
        candidates = list(self._build_candidates(scale))
        try:
            for dataset in self._datasets:
                self._measure(dataset, scale, candidates)
        finally:
            for candidate in candidates:
                candidate.close()

    def _load_metrics(self, wanted: Sequence[metrics.Metric]) -> dict[str, MakeAccumulator]:
        """The metrics that are installed; a note names the others."""
        there: dict[str, MakeAccumulator] = {}
        lacking: dict[str, list[str]] = {}
        for metric in wanted:
            try:
                there[metric.name] = metric.load()
            except LiveSRError as error:
                lacking.setdefault(error.message, []).append(metric.name)
        if lacking:
            reasons = "; ".join(f"{', '.join(names)}: {why}" for why, names in lacking.items())
            self._note(f"left out: {reasons}; {INSTALL_HINT}")
        return there

    def _build_candidates(self, scale: int) -> Iterator[Candidate]:
        names: set[str] = set()
        last: LiveSRError | None = None
        for name, model in self._models.items():
            try:
                if isinstance(model, LiveSRError):
                    raise model
                candidate = Candidate(model, scale, self._engines)
            except LiveSRError as error:
                last = error
                self._note(f"without {name} x{scale}: {error.message}")
                continue
            if candidate.name in names:  # two files may hold the same name
                candidate.name += f" ({Path(name).name})"
            names.add(candidate.name)
            yield candidate
        if last is not None and not names:
            raise last

    def _measure(self, dataset: Dataset, scale: int, candidates: Sequence[Candidate]) -> None:
        runs = [DatasetRun(candidate, self._metrics) for candidate in candidates]
        selection = CropSelection(scale) if self._options.sheet is not None else None
        for number, pair in enumerate(islice(dataset.read(scale), self._options.limit)):
            how = f" {dataset.degrade}" if dataset.degrade else ""
            self.progress.describe(f"{dataset.name}{how} x{scale}, {len(runs)} models")
            turn = number % max(1, len(runs))  # the first one finds cold caches, so each is first in turn
            for one in [*runs[turn:], *runs[:turn]]:
                try:
                    one.upscale(pair)
                except LiveSRError as error:
                    self._note(f"without {one.candidate.name} on {dataset.name}: {error.message}")
                    runs.remove(one)
            for one in runs:
                one.measure(pair)
            if selection is not None and runs:
                selection.consider(pair, {one.candidate.name: one.image for one in runs})
            self.progress.step()
        found = [one.make_row(dataset, scale) for one in runs]
        self.rows += found
        if selection is not None and found:
            self.crops.append(selection.select(found[0].group))

    def _note(self, sentence: str) -> None:
        log.warning(sentence)
        self.notes.append(sentence)


class DatasetRun:
    """One candidate on one dataset."""

    def __init__(self, candidate: Candidate, makers: dict[str, MakeAccumulator]) -> None:
        self.candidate = candidate
        self.image: BgrImage = np.zeros((0, 0, 3), np.uint8)  # its result for the newest frame
        self._accumulators: dict[str, MetricAccumulator] = {name: make() for name, make in makers.items()}
        self._took: list[int] = []

    def upscale(self, pair: FramePair) -> None:
        self.image, took = self.candidate.upscale(pair.small)
        self._took.append(took)

    def measure(self, pair: FramePair) -> None:
        """Called after all candidates have upscaled the frame: metrics use every core and would disturb the timing."""
        shown, target = crop_border(self.image), crop_border(pair.target)
        for accumulator in self._accumulators.values():
            accumulator.add(shown, target, pair.sequence)

    def make_row(self, dataset: Dataset, scale: int) -> EvaluationRow:
        by, means = self.candidate, {name: accumulator.mean() for name, accumulator in self._accumulators.items()}
        return EvaluationRow(
            set=dataset.name,
            name=by.name,
            scale=scale,
            engine=by.engine,
            precision=by.precision,
            degrade=dataset.degrade,
            frames=len(self._took),
            scores={name: None if mean is None else round(mean, 5) for name, mean in means.items()},
            ms=round(statistics.median(self._took) / 1e6, 3),
            parameters=by.cost.parameters,
            macs_per_pixel=by.cost.macs_per_pixel,
            is_filter=by.is_filter,
        )


def _list_parameters(options: EvaluationOptions, machine: Machine) -> dict[str, object]:
    """What tells one evaluation from another."""
    sets = [str(path) for path in (*options.sets, *(path for pair in options.videos for path in pair))]
    return {
        "sets": ", ".join(sets),
        "models": ", ".join(options.models),
        "scales": ", ".join(map(str, options.scales)),
        "degrade": ", ".join(options.degrade),
        "limit": options.limit,
        "engine": options.engine.backend,
        "precision": options.engine.precision,
        "processor": machine.processor,
        "version": __version__,
    }


def _write_outputs(
    options: EvaluationOptions, machine: Machine, evaluation: Evaluation, rows: list[EvaluationRow]
) -> list[Path]:
    """Writes each requested file, even if another one cannot be written. Raises the first LiveSRError."""
    written: list[Path] = []
    failure: LiveSRError | None = None
    outputs: tuple[tuple[Path | None, Callable[[], bytes]], ...] = (
        (options.json, lambda: results.format_json(machine, rows, evaluation.notes)),
        (options.csv, lambda: results.format_csv(rows)),
        (options.plot, lambda: _render_plot(rows, options.cost)),
        (options.sheet, lambda: _render_sheet(options.sheet, evaluation.crops, rows)),
    )
    for path, render in outputs:
        if path is None:
            continue
        try:
            write(path, render())
            print_result(f"written to {path}")
            written.append(path)
        except LiveSRError as error:
            failure = failure or error
    if failure is not None:
        raise failure
    return written


def _render_plot(rows: list[EvaluationRow], cost: str) -> bytes:
    from live_sr.evaluate import plot  # which needs matplotlib

    return plot.render_png(rows, cost)


def _render_sheet(path: Path | None, crops: list[SelectedCrops], rows: list[EvaluationRow]) -> bytes:
    from live_sr.evaluate import contact_sheet

    html = path is not None and path.suffix.lower() in (".html", ".htm")
    return contact_sheet.render_html(crops, rows) if html else contact_sheet.render_png(crops, rows)


def _resolve(name: str, cache: Path | None) -> Model | LiveSRError:
    """The model, or the error why it cannot be used: then the others are measured. Raises UnknownModel."""
    try:
        return resolve(name, cache=cache)
    except UnknownModel:
        raise
    except LiveSRError as error:
        return error


def _check_outputs(options: EvaluationOptions) -> None:
    """Finds outputs that cannot be written before hours of work. Raises LiveSRError."""
    if options.plot is not None and importlib.util.find_spec("matplotlib") is None:
        raise MissingPart("--plot draws with matplotlib, which is not installed", 'pip install "live-sr[evaluate]"')
    for flag, path in (("--json", options.json), ("--csv", options.csv)):
        if path is not None and path.is_dir():
            raise UsageError(f"{flag} cannot write {path}: it is a folder", "give the name of a file")
    for flag, path, endings in (
        ("--plot", options.plot, (".png",)),
        ("--sheet", options.sheet, (".png", ".html", ".htm")),
    ):
        if path is not None and path.suffix.lower() not in endings:
            raise UsageError(f"{flag} cannot write {path}", f"end its name in {' or '.join(endings)}")
    for path in (options.json, options.csv, options.plot, options.sheet):
        if path is not None:
            check_writable(path)
