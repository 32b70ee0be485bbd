"""What `live-sr evaluate --track` keeps in MLflow: the table, each of its figures, and the files that were written."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

from live_sr.evaluate.results import EvaluationRow
from live_sr.system.tracking import TrackedRun, describe_viewing, make_key
from live_sr.terminal import print_result

RUN_NAME = "evaluate"
TABLE = "evaluation.json"


class EvaluationTracker:
    """Gives the results to their run in MLflow; without one, it does nothing."""

    def __init__(self, run: TrackedRun | None) -> None:
        self._run = run

    def log_rows(self, rows: Sequence[EvaluationRow]) -> None:
        """The whole table, and each of its figures, so that evaluations can be compared."""
        if self._run is None:
            return
        figures: dict[str, float] = {}
        for row in rows:
            place = f"{row.name} x{row.scale}", " ".join(filter(None, (row.set, row.degrade)))
            measured = {**row.scores, "ms": row.ms}
            figures |= {make_key(name, *place): value for name, value in measured.items() if value is not None}
        self._run.log_metrics(figures)
        self._run.log_table(TABLE, [row.flatten() for row in rows])

    def log_files(self, files: Sequence[Path]) -> None:
        if self._run is not None:
            for file in files:
                self._run.log_file(file)


@contextmanager
def open_tracker(where: str | None, parameters: Mapping[str, object]) -> Iterator[EvaluationTracker]:
    """The tracker that --track asks for. Raises LiveSRError where nothing can be kept."""
    if where is None:
        yield EvaluationTracker(None)
        return
    with TrackedRun.begin(where, RUN_NAME, parameters) as run:
        yield EvaluationTracker(run)
    print_result(f"tracked: {describe_viewing(run.address)}")
