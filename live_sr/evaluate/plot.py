"""Plots quality against cost."""

from __future__ import annotations

import io
from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.text import Annotation

from live_sr.backends import FILTER_ENGINE
from live_sr.errors import UsageError
from live_sr.evaluate.metrics import Metric
from live_sr.evaluate.results import MEAN, EvaluationRow, group_rows, list_measured

TITLES = {
    "psnr_y": "PSNR-Y, dB",
    "ssim_y": "SSIM-Y",
    "ms_ssim": "MS-SSIM-Y",
    "haarpsi": "HaarPSI",
    "flip": "FLIP (less is better)",
    "lpips": "LPIPS (less is better)",
    "dists": "DISTS (less is better)",
    "brisque": "BRISQUE (less is better)",
    "vmaf": "VMAF",
    "flicker": "flicker, levels (less is better)",
}
AXES = {"ms": "ms per frame", "macs": "multiply-adds per input pixel"}
PANELS = ("psnr_y", "flip", "haarpsi", "ssim_y")  # two at most, the first that were measured
PANEL_INCHES = (6.4, 4.6)
NETWORK, FILTER, FRONT = "#1f5fbf", "#8a8a8a", "#9db8dc"
# Offsets of a label from its mark: right, left, above, below, then diagonally and farther; in points
LABEL_OFFSETS = [(9, -3), (-9, -3), (0, 9), (0, -15), (8, 7), (8, -13), (-8, 7), (-8, -13), (0, 20), (0, -26), (16, 16)]
LABEL_OFFSETS += [(16, -22), (-16, 16), (-16, -22)]


def render_png(rows: Sequence[EvaluationRow], cost: str) -> bytes:
    """Panels for each kind of dataset and scale: of the means, or of the only dataset. Raises UsageError."""
    averaged = {(row.scale, row.degrade) for row in rows if row.set == MEAN}
    shown = group_rows(row for row in rows if row.set == MEAN or (row.scale, row.degrade) not in averaged)
    there = list_measured(rows)
    metrics = [m for name in PANELS for m in there if m.name == name][:2] or there[:1]
    if not metrics:
        raise UsageError("there is no figure of quality to plot", "measure psnr_y")
    contents = [(group, metric) for group in shown for metric in metrics]
    across = min(2, len(contents))
    down = -(-len(contents) // across)
    figure = Figure(figsize=(PANEL_INCHES[0] * across, PANEL_INCHES[1] * down), dpi=110, layout="constrained")
    FigureCanvasAgg(figure)
    labels: list[tuple[Axes, list[Annotation]]] = []
    for number, (group, metric) in enumerate(contents):
        panel = figure.add_subplot(down, across, number + 1)
        label_axes(panel, metric, group[0], cost)
        labels.append((panel, draw_models(panel, metric, group, cost)))
    figure.legend(handles=make_legend(cost), loc="outside lower center", ncols=3, frameon=False, fontsize=8.5)
    figure.draw_without_rendering()  # which computes the positions of the marks
    for panel, texts in labels:
        place_labels(panel, texts)
    file = io.BytesIO()
    figure.savefig(file, format="png")
    return file.getvalue()


def make_legend(cost: str) -> list[Line2D]:
    dot = Line2D([], [], color=FILTER, marker="D", markersize=5, linestyle="", label="filter")
    line = Line2D([], [], color=FILTER, linewidth=0.9, linestyle="--", label="filter")
    return [
        Line2D([], [], color=NETWORK, marker="o", linestyle="", label="network"),
        dot if cost == "ms" else line,
        Line2D([], [], color=FRONT, label="nothing cheaper is better"),
    ]


def label_axes(panel: Axes, metric: Metric, first: EvaluationRow, cost: str) -> None:
    where = "mean of the sets" if first.set == MEAN else first.set
    panel.set_title(f"{where}, x{first.scale}, {f'shrunk by {first.degrade}' if first.degrade else 'rendered small'}")
    panel.set_xlabel(AXES[cost])
    panel.set_ylabel(TITLES[metric.name])
    panel.set_xscale("log")
    panel.xaxis.set_major_formatter(lambda x, _: f"{x:g}" if x < 1e4 or cost == "ms" else f"{x / 1000:g} k")
    panel.grid(True, which="major", color="#e4e4e4", linewidth=0.7)
    panel.set_axisbelow(True)
    panel.spines[["top", "right"]].set_visible(False)
    panel.margins(x=0.16, y=0.14)
    if not metric.higher:
        panel.invert_yaxis()  # up is better in every panel


def draw_models(panel: Axes, metric: Metric, group: Sequence[EvaluationRow], cost: str) -> list[Annotation]:
    """Marks and the Pareto front; lines where a cost is unknown. Returns the marks' labels, not yet placed."""
    labels: list[Annotation] = []
    marks: list[tuple[float, float]] = []
    lines: list[tuple[float, str]] = []
    for row in group:
        y, x = row.scores.get(metric.name), row.ms if cost == "ms" else row.macs_per_pixel
        if y is None:
            continue
        if x is None:
            lines.append((y, row.name))
            continue
        colour, mark, size = (FILTER, "D", 5.5) if row.engine == FILTER_ENGINE.name else (NETWORK, "o", 6.5)
        panel.plot([x], [y], mark, color=colour, markersize=size, zorder=3)
        labels.append(panel.annotate(row.name, (x, y), (9, -3), textcoords="offset points", fontsize=8.5))
        marks.append((x, y))
    frontier = find_pareto_front(marks, metric.higher)
    panel.plot([x for x, _ in frontier], [y for _, y in frontier], color=FRONT, linewidth=1.4, zorder=2)
    for number, (y, name) in enumerate(sorted(lines)):
        panel.axhline(y, color=FILTER, linewidth=0.9, linestyle="--", zorder=1)
        at = (0.995 - 0.13 * (number % 4), y)  # neighbours beside each other, for lines may lie close
        panel.annotate(
            name, at, xycoords=("axes fraction", "data"), fontsize=8, color="#555555", ha="right", va="bottom"
        )
    return labels


def find_pareto_front(marks: Sequence[tuple[float, float]], higher: bool) -> list[tuple[float, float]]:
    """The marks to which no other is both cheaper and better, sorted by cost."""
    kept: list[tuple[float, float]] = []
    for x, y in sorted(marks, key=lambda mark: (mark[0], -mark[1] if higher else mark[1])):
        if not kept or (y > kept[-1][1] if higher else y < kept[-1][1]):
            kept.append((x, y))
    return kept


def place_labels(panel: Axes, labels: Sequence[Annotation]) -> None:
    """Puts each label where it overlaps marks, earlier labels and the edges least; the first such offset wins."""
    taken = []
    frame = panel.get_window_extent()
    reach = 5.0  # pixels about a mark
    for label in labels:
        x, y = panel.transData.transform(label.xy)
        taken.append((x - reach, y - reach, x + reach, y + reach))
    for label in labels:
        tries: list[tuple[float, int, tuple[int, int], tuple[float, float, float, float]]] = []
        for dx, dy in LABEL_OFFSETS:
            label.set_position((dx, dy))
            label.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
            box = label.get_window_extent()
            met = sum(
                max(0.0, min(box.x1, x1) - max(box.x0, x0)) * max(0.0, min(box.y1, y1) - max(box.y0, y0))
                for x0, y0, x1, y1 in taken
            )
            outside = max(0.0, box.x1 - frame.x1) + max(0.0, frame.x0 - box.x0)
            outside += max(0.0, box.y1 - frame.y1) + max(0.0, frame.y0 - box.y0)
            tries.append((met + 20 * outside, len(tries), (dx, dy), (box.x0, box.y0, box.x1, box.y1)))
        _, _, (dx, dy), edges = min(tries)
        label.set_position((dx, dy))
        label.set_horizontalalignment("left" if dx > 0 else "right" if dx < 0 else "center")
        taken.append(edges)
