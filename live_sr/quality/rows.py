"""The figures: one row for each set and model, as table, JSON and CSV."""

from __future__ import annotations

import csv
import dataclasses
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np

from live_sr.hardware import Machine
from live_sr.quality.metrics import METRICS, Metric

MEAN = "mean"  # what the rows over all sets are called
_OPENCV = ("opencv-python-headless", "opencv-python")
PACKAGES = ("openvino", "numpy", *_OPENCV, "torch", "spandrel", "ncnn", "piq", "flip-evaluator", "brisque")


@dataclass(frozen=True)
class Row:
    """One model on one set. scores: by metric, None where it could not be measured.

    name: the model, with "x4 then /2" where its result was averaged down. degrade: None for pairs that a game rendered.
    ms: the median per frame. macs_per_pixel: multiply-adds per input pixel; this and parameters None if not known.
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

    def flat(self) -> dict[str, object]:
        """As the JSON and the CSV have it: the scores between the others."""
        whole: dict[str, object] = {}
        for field in dataclasses.fields(self):
            value = getattr(self, field.name)
            whole |= value if field.name == "scores" else {field.name: value}
        return whole

    @property
    def group(self) -> tuple[int, str, str]:
        """What may be compared: the same pictures at the same scale."""
        return self.scale, self.degrade or "", self.set


def with_means(rows: Sequence[Row]) -> list[Row]:
    """The rows, and after them one for each model that was measured on every set of its kind: the mean of the sets."""
    sets: dict[tuple[int, str | None], set[str]] = {}
    models: dict[tuple[object, ...], list[Row]] = {}
    for row in rows:
        sets.setdefault((row.scale, row.degrade), set()).add(row.set)
        models.setdefault((row.scale, row.degrade, row.name, row.engine, row.precision), []).append(row)
    means = []
    for ours in models.values():
        there = sets[ours[0].scale, ours[0].degrade]
        if len(there) > 1 and {row.set for row in ours} == there:
            means.append(mean_of(ours))
    return [*rows, *means]


def mean_of(rows: Sequence[Row]) -> Row:
    """Every set weighs the same, however many frames it has."""
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


def groups(rows: Iterable[Row]) -> list[list[Row]]:
    """Rows that may be compared, together; in the order in which they came."""
    found: dict[tuple[int, str, str], list[Row]] = {}
    for row in rows:
        found.setdefault(row.group, []).append(row)
    return list(found.values())


def title(rows: Sequence[Row]) -> str:
    """Of a group."""
    first = rows[0]
    how = f"shrunk by {first.degrade}" if first.degrade else "rendered small"
    return f"{first.set} x{first.scale}, {how}, {first.frames} frame{'s' if first.frames > 1 else ''}"


def measured(rows: Iterable[Row]) -> list[Metric]:
    """Those with a figure in any row."""
    rows = list(rows)
    return [m for m in METRICS if any(row.scores.get(m.name) is not None for row in rows)]


def best(metric: Metric, rows: Sequence[Row]) -> float | None:
    """Of a group."""
    figures = [figure for row in rows if (figure := row.scores.get(metric.name)) is not None]
    return (max if metric.higher else min)(figures) if figures else None


def table(rows: Sequence[Row]) -> str:
    """For the terminal; the best of each column is marked with *."""
    metrics = measured(rows)
    names = max((len(row.name) for row in rows), default=0) + 2
    engines = max((len(f"{row.engine} {row.precision}") for row in rows), default=0) + 1
    heads = [f"{m.name + (' +' if m.higher else ' -'):>11}" for m in metrics]
    tail = f"{'ms':>10}{'parameters':>12}{'MAC/pixel':>11}"
    lines = ["* the best of its column; + more is better, - less is"]
    for group in groups(rows):
        lines += ["", title(group), f"{'':{names}}{'':{engines}}{''.join(heads)}{tail}"]
        fastest = min(row.ms for row in group)
        for row in group:
            cells = [cell(row.scores.get(m.name), best(m, group), m.digits, 11) for m in metrics]
            cells += [cell(row.ms, fastest, 2, 10), f"{count(row.parameters):>11} ", f"{count(row.macs_per_pixel):>10}"]
            lines.append(f"{row.name:{names}}{f'{row.engine} {row.precision}':{engines}}{''.join(cells)}")
    return "\n".join(lines)


def cell(figure: float | None, top: float | None, digits: int, width: int) -> str:
    if figure is None:
        return f"{'-':>{width - 1}} "
    return f"{figure:{width - 1}.{digits}f}{'*' if figure == top else ' '}"


def count(number: int | None) -> str:
    return "-" if number is None else f"{number:,}".replace(",", " ")


def as_json(machine: Machine, rows: Sequence[Row], notes: Sequence[str]) -> bytes:
    """Schema 1; `notes` are the sentences that were told about what could not be measured."""
    data = {
        "schema": 1,
        "machine": dataclasses.asdict(machine),
        "notes": list(notes),
        "rows": [row.flat() for row in rows],
    }
    return (json.dumps(data, indent=1) + "\n").encode()


def as_csv(rows: Sequence[Row]) -> bytes:
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, list(rows[0].flat()))
    writer.writeheader()
    writer.writerows(row.flat() for row in rows)
    return text.getvalue().encode()
