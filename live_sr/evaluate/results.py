"""The results: one row for each dataset and model, as table, JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from live_sr.evaluate.metrics import METRICS, Metric
from live_sr.system.hardware import Machine
from live_sr.terminal import format_table

MEAN = "mean"  # the name of the rows over all datasets
_OPENCV = ("opencv-python-headless", "opencv-python")
PACKAGES = ("openvino", "numpy", *_OPENCV, "torch", "spandrel", "ncnn", "piq", "flip-evaluator", "brisque")


@dataclass(frozen=True)
class EvaluationRow:
    """One model on one dataset. scores: by metric, None where it could not be measured.

    name: the model, with "x4 then /2" where its result was averaged down. degrade: None for pairs that a game rendered.
    ms: the median per frame. macs_per_pixel: multiply-adds per input pixel; this and parameters are None if unknown.
    """

    set: str
    name: str
    scale: int
    engine: str
    precision: str
    degrade: str | None
    frames: int
    scores: Mapping[str, float | None]
    ms: float
    parameters: int | None
    macs_per_pixel: int | None
    is_filter: bool

    def flatten(self) -> dict[str, object]:
        """As in JSON and CSV: each score is a field beside the others."""
        whole: dict[str, object] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            whole |= value if field.name == "scores" else {field.name: value}
        return whole

    @property
    def group(self) -> tuple[int, str, str]:
        """Identifies rows that may be compared: the same pictures at the same scale."""
        return self.scale, self.degrade or "", self.set


def add_means(rows: Sequence[EvaluationRow]) -> list[EvaluationRow]:
    """The rows, followed by the mean over the datasets of each model that was measured on all of them."""
    sets: dict[tuple[int, str | None], set[str]] = {}
    models: dict[tuple[object, ...], list[EvaluationRow]] = {}
    for row in rows:
        sets.setdefault((row.scale, row.degrade), set()).add(row.set)
        models.setdefault((row.scale, row.degrade, row.name, row.engine, row.precision), []).append(row)
    means = []
    for ours in models.values():
        there = sets[ours[0].scale, ours[0].degrade]
        if len(there) > 1 and {row.set for row in ours} == there:
            means.append(average_rows(ours))
    return [*rows, *means]


def average_rows(rows: Sequence[EvaluationRow]) -> EvaluationRow:
    """Every dataset has the same weight, however many frames it has."""
    scores: dict[str, float | None] = {}
    for name in rows[0].scores:
        figures = [figure for row in rows if (figure := row.scores[name]) is not None]
        scores[name] = round(float(np.mean(figures)), 5) if len(figures) == len(rows) else None
    return dataclasses.replace(
        rows[0],
        set=MEAN,
        frames=sum(row.frames for row in rows),
        scores=scores,
        ms=round(float(np.mean([row.ms for row in rows])), 3),
    )


def group_rows(rows: Iterable[EvaluationRow]) -> list[list[EvaluationRow]]:
    """Lists of rows that may be compared, in the order of `rows`."""
    found: dict[tuple[int, str, str], list[EvaluationRow]] = {}
    for row in rows:
        found.setdefault(row.group, []).append(row)
    return list(found.values())


def describe_group(rows: Sequence[EvaluationRow]) -> str:
    """Of a group."""
    first = rows[0]
    how = f"shrunk by {first.degrade}" if first.degrade else "rendered small"
    return f"{first.set} x{first.scale}, {how}, {first.frames} frame{'s' if first.frames > 1 else ''}"


def list_measured(rows: Iterable[EvaluationRow]) -> list[Metric]:
    """The metrics that have a figure in any row."""
    rows = list(rows)
    return [m for m in METRICS if any(row.scores.get(m.name) is not None for row in rows)]


def find_best(metric: Metric, rows: Sequence[EvaluationRow]) -> float | None:
    """Of a group."""
    figures = [figure for row in rows if (figure := row.scores.get(metric.name)) is not None]
    return (max if metric.higher else min)(figures) if figures else None


def format_results(rows: Sequence[EvaluationRow]) -> str:
    """For the terminal. The best of each column is marked with *."""
    metrics = list_measured(rows)
    heads = [m.name + (" +" if m.higher else " -") for m in metrics]
    lines = ["* best of its column; + higher is better, - lower is better"]
    for group in group_rows(rows):
        fastest = min(row.ms for row in group)
        table = [["model", "engine", *heads, "ms ", "parameters", "MAC/pixel"]]
        for row in group:
            scores = [_format_cell(row.scores.get(m.name), find_best(m, group), m.digits) for m in metrics]
            scores.append(_format_cell(row.ms, fastest, 2))
            costs = [format_count(row.parameters), format_count(row.macs_per_pixel)]
            table.append([row.name, f"{row.engine} {row.precision}", *scores, *costs])
        lines += ["", describe_group(group), *format_table(table, "<<>")]
    return "\n".join([*lines, *_format_gains(rows)])


def _format_gains(rows: Sequence[EvaluationRow]) -> list[str]:
    """A table of each network's PSNR-Y above the best filter of each dataset, where filters were measured beside it."""
    gains: dict[tuple[int, str], dict[str, dict[str, float]]] = {}  # by scale and degradation, model, dataset
    for group in group_rows(row for row in rows if row.set != MEAN):
        best = find_best(METRICS[0], [row for row in group if row.is_filter])
        for row in group:
            score = row.scores.get(METRICS[0].name)
            if best is not None and score is not None and not row.is_filter:
                gains.setdefault(row.group[:2], {}).setdefault(row.name, {})[row.set] = score - best
    lines: list[str] = []
    for (scale, degrade), models in gains.items():
        sets = list(dict.fromkeys(name for model in models.values() for name in model))
        table = [["model", *sets, "mean", "worst"]]
        for name, model in models.items():
            figures = [model.get(one) for one in sets]
            known = [figure for figure in figures if figure is not None]
            figures += [float(np.mean(known)), min(known)] if len(known) == len(sets) else [None, None]
            table.append([name, *("-" if figure is None else f"{figure:+.2f}" for figure in figures)])
        how = f", shrunk by {degrade}" if degrade else ""
        lines += ["", f"PSNR-Y above the best filter, x{scale}{how}", *format_table(table, "<>")]
    return lines


def _format_cell(figure: float | None, best: float | None, digits: int) -> str:
    if figure is None:
        return "- "
    return f"{figure:.{digits}f}{'*' if figure == best else ' '}"


def format_count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}".replace(",", " ")


def format_json(machine: Machine, rows: Sequence[EvaluationRow], notes: Sequence[str]) -> bytes:
    """Schema 1; `notes` are the sentences about what could not be measured."""
    data = {
        "schema": 1,
        "machine": dataclasses.asdict(machine),
        "notes": list(notes),
        "rows": [row.flatten() for row in rows],
    }
    return (json.dumps(data, indent=1) + "\n").encode()


def format_csv(rows: Sequence[EvaluationRow]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0].flatten()))
    writer.writeheader()
    writer.writerows(row.flatten() for row in rows)
    return text.getvalue().encode()
