"""The contest: every model on every frame, one frame through all of them before the next."""

from __future__ import annotations

import importlib.util
import statistics
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from live_sr import assembly, backends, chaining
from live_sr.errors import LiveSRError, MissingPart, ModelError, UsageError
from live_sr.hardware import Machine
from live_sr.quality import metrics, rows, sets
from live_sr.quality.contender import Contender
from live_sr.quality.files import write
from live_sr.quality.metrics import MakeTally, Picture, Tally, inner
from live_sr.quality.rows import Row
from live_sr.quality.showcase import Exhibit, Showcase

GET = 'pip install "live-sr[evaluate]" or "live-sr[evaluate-all]" adds what is not installed'


@dataclass(frozen=True)
class Options:
    """What to measure, and where to write it; `limit`: frames of each set. `cost` is the plot's axis: ms or macs."""

    sets: tuple[Path, ...]
    videos: tuple[tuple[Path, Path], ...] = ()
    models: tuple[str, ...] = ("fast", "bicubic")
    scales: tuple[int, ...] = (2,)
    engine: str = "auto"
    precision: str = "auto"
    degrade: tuple[str, ...] = ()
    metrics: tuple[str, ...] = ()
    limit: int | None = None
    json: Path | None = None
    csv: Path | None = None
    plot: Path | None = None
    cost: str = "ms"
    sheet: Path | None = None


def main(options: Options) -> int:
    """Measures, prints a table, writes what was asked for. Raises LiveSRError when there is nothing to tell."""
    contest = Contest(options)
    machine = Machine.here(rows.PACKAGES)
    print(f"{machine.processor}, {machine.cores} cores, load {machine.load:.1f}; {machine.system}, {machine.date}")
    for scale in options.scales:
        contest.at(scale)
    tell_progress("")
    if not contest.rows:
        raise LiveSRError("nothing could be measured", "the notes above say why")
    found = rows.with_means(contest.rows)
    print(rows.table(found))
    if options.json is not None:
        write(options.json, rows.as_json(machine, found, contest.notes))
    if options.csv is not None:
        write(options.csv, rows.as_csv(found))
    if options.plot is not None:
        from live_sr.quality import plot

        write(options.plot, plot.png(found, options.cost))
    if options.sheet is not None:
        from live_sr.quality import sheet

        html = options.sheet.suffix.lower() in (".html", ".htm")
        write(options.sheet, sheet.html(contest.exhibits, found) if html else sheet.png(contest.exhibits, found))
    for path in (options.json, options.csv, options.plot, options.sheet):
        if path is not None:
            print(f"written to {path}")
    return 0


class Contest:
    """Rows, crops and notes, as they come. Raises LiveSRError for options that cannot be met."""

    def __init__(self, options: Options) -> None:
        self._options = options
        self._engines = assembly.EngineOptions(options.engine, options.precision, cache=backends.cache_folder())
        self._sets = sets.open_sets(options.sets, options.videos, options.degrade)
        if options.limit is not None and options.limit < 1:
            raise UsageError(f"--limit {options.limit} leaves nothing to measure", "at least 1")
        assembly.engine_choice(self._engines)
        for model in options.models:
            _check_known(model)
        _check_outputs(options)
        self.rows: list[Row] = []
        self.exhibits: list[Exhibit] = []
        self.notes: list[str] = []
        self._metrics = self._loaded(metrics.chosen(options.metrics))

    def at(self, scale: int) -> None:
        """Every set at that scale."""
        contenders = list(self._built(scale))
        try:
            for shots in self._sets:
                self._measure(shots, scale, contenders)
        finally:
            for contender in contenders:
                contender.close()

    def _loaded(self, wanted: Sequence[metrics.Metric]) -> dict[str, MakeTally]:
        """Those that can be had, and a sentence about the others."""
        there: dict[str, MakeTally] = {}
        lacking: dict[str, list[str]] = {}
        for metric in wanted:
            try:
                there[metric.name] = metric.load()
            except LiveSRError as error:
                lacking.setdefault(error.message, []).append(metric.name)
        if lacking:
            reasons = "; ".join(f"{', '.join(names)}: {why}" for why, names in lacking.items())
            self._note(f"left out: {reasons}; {GET}")
        return there

    def _built(self, scale: int) -> Iterator[Contender]:
        names: set[str] = set()
        last: LiveSRError | None = None
        for model in self._options.models:
            try:
                contender = Contender(model, scale, self._engines)
            except LiveSRError as error:
                last = error
                self._note(f"without {model} x{scale}: {error.message}")
                continue
            if contender.name in names:  # two files may call themselves alike
                contender.name += f" ({Path(model).name})"
            names.add(contender.name)
            yield contender
        if last is not None and not names:
            raise last

    def _measure(self, shots: sets.Shots, scale: int, contenders: Sequence[Contender]) -> None:
        trials = [Trial(contender, self._metrics) for contender in contenders]
        showcase = Showcase(scale) if self._options.sheet is not None else None
        for number, shot in enumerate(sets.limited(shots.shots(scale), self._options.limit)):
            tell_progress(f"{shots.name} {shots.degrade or ''} x{scale}: frame {number + 1}, {len(trials)} models")
            turn = number % max(1, len(trials))  # who comes first finds cold caches: each in its turn
            for trial in [*trials[turn:], *trials[:turn]]:
                try:
                    trial.draw(shot)
                except LiveSRError as error:
                    self._note(f"without {trial.contender.name} on {shots.name}: {error.message}")
                    trials.remove(trial)
            for trial in trials:
                trial.judge(shot)
            if showcase is not None and trials:
                showcase.consider(shot, {trial.contender.name: trial.picture for trial in trials})
        found = [trial.row(shots, scale) for trial in trials]
        self.rows += found
        if showcase is not None and found:
            self.exhibits.append(showcase.exhibit(found[0].group))

    def _note(self, sentence: str) -> None:
        tell_progress("")
        print(f"note: {sentence}", file=sys.stderr)
        self.notes.append(sentence)


class Trial:
    """One contender on one set."""

    def __init__(self, contender: Contender, makers: dict[str, MakeTally]) -> None:
        self.contender = contender
        self.picture: Picture = np.zeros((0, 0, 3), np.uint8)  # the newest
        self._tallies: dict[str, Tally] = {name: make() for name, make in makers.items()}
        self._took: list[int] = []

    def draw(self, shot: sets.Shot) -> None:
        self.picture, took = self.contender.enlarge(shot.small)
        self._took.append(took)

    def judge(self, shot: sets.Shot) -> None:
        """After all have drawn: metrics use every core, and would disturb the clock."""
        shown, target = inner(self.picture), inner(shot.target)
        for tally in self._tallies.values():
            tally.add(shown, target, shot.place)

    def row(self, shots: sets.Shots, scale: int) -> Row:
        by, means = self.contender, {name: tally.mean() for name, tally in self._tallies.items()}
        return Row(
            set=shots.name,
            name=by.name,
            scale=scale,
            engine=by.engine,
            precision=by.precision,
            degrade=shots.degrade,
            frames=len(self._took),
            scores={name: None if mean is None else round(mean, 5) for name, mean in means.items()},
            ms=round(statistics.median(self._took) / 1e6, 3),
            parameters=by.facts.parameters,
            macs_per_pixel=by.facts.macs_per_pixel,
        )


def _check_known(model: str) -> None:
    """Names are known and files are there; whether they work is seen later. Raises ModelError."""
    if model not in assembly.models() and not chaining.is_chain(model) and not Path(model).expanduser().is_file():
        assembly.scales(model)  # tells an unknown name
        raise ModelError(f"there is no model file {model}", "correct its path")


def _check_outputs(options: Options) -> None:
    """Before hours of work: that no output is a folder, and endings are known. Raises UsageError, MissingPart."""
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


def tell_progress(words: str) -> None:
    if sys.stderr.isatty():
        print(f"\r{words:76}\r", end="", file=sys.stderr, flush=True)
