"""The plots of the HTML report, as SVG in the colours of the page."""

from __future__ import annotations

import io
import math
import re
from collections.abc import Iterable, Sequence
from typing import Any

import matplotlib as mpl
import matplotlib.patches
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, NullLocator

from live_sr.bench.results import CURVE_PERCENTILES, BenchRow, BenchStatistics, Spread

INCHES = 5.4  # width: the letters stay legible where a phone shows it 340 points wide
MAX_LINES = 8  # in one plot; more rows make more plots
# The page decides about two greys. matplotlib needs colours, so these stand for them and are replaced at the end.
INK, FAINT = "#010203", "#040506"
VARIABLES = {INK: "var(--ink)", FAINT: "var(--line)"}
# Of medium brightness, so that they stand out from white and from black
COLOURS = ("#2f7fd0", "#dd7a1f", "#2f9e6b", "#c2549a", "#8468d6", "#c04a45", "#1d9fb3", "#8f8a1f")
STAGE_COLOURS = {"capture": "#8f8a1f", "wait": "#9a9a9a", "upscale": "#2f7fd0", "show": "#dd7a1f"}
GPU_STAGE_COLOURS = {"copy in": "#8f8a1f", "compute": "#2f7fd0", "copy out": "#dd7a1f"}
STYLE: dict[Any, Any] = {  # matplotlib's own names and values
    "svg.fonttype": "path",
    "svg.hashsalt": "live-sr",  # the same report makes the same file
    "font.size": 10.5,
    "text.color": INK,
    "axes.labelcolor": INK,
    "axes.edgecolor": FAINT,
    "xtick.color": INK,
    "ytick.color": INK,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.axisbelow": True,
    "grid.color": FAINT,
    "grid.linewidth": 0.6,
    "legend.frameon": False,
}


def plot_stages(rows: Sequence[BenchRow], title: str, *, on_gpu: bool = False) -> str:
    """A bar of the median stage times for each row, in the order in which a frame passes them; a tick at the p99."""
    with mpl.rc_context(STYLE):
        colours = GPU_STAGE_COLOURS if on_gpu else STAGE_COLOURS
        figure, panel = _make_figure(title, 1.25 + 0.46 * len(rows))
        for number, row in enumerate(rows):
            if row.figures is None:
                continue
            _draw_bar(panel, number, row.figures, colours, on_gpu)
            label = f"{row.label}, {row.size}"
            panel.annotate(label, (0, number - 0.2), (1, 2), textcoords="offset points", fontsize=9.5, va="bottom")
        panel.set_ylim(len(rows) - 0.4, -0.75)
        panel.yaxis.set_major_locator(NullLocator())
        panel.spines["left"].set_visible(False)
        panel.grid(True, axis="x")
        panel.set_xlabel("ms, medians" if on_gpu else "ms, medians of the stages; the tick is the 99th percentile")
        panel.set_xlim(left=0)
        handles = [mpl.patches.Patch(color=colour, label=stage) for stage, colour in colours.items()]
        figure.legend(handles=handles, loc="outside lower center", ncols=len(colours), fontsize=9.5, handlelength=1)
        return _render_svg(figure, title)


def plot_throughput(rows: Sequence[BenchRow], title: str) -> str:
    """Frames per second against the multiply-adds of a frame, a line for each engine and precision."""
    with mpl.rc_context(STYLE):
        figure, panel = _make_figure(title, 3.9)
        for number, (name, marks) in enumerate(_group_series(rows).items()):
            x, y = [mark[0] for mark in marks], [mark[1].median for mark in marks]
            around = [[m.median - m.min for _, m in marks], [m.max - m.median for _, m in marks]]
            colour = COLOURS[number % len(COLOURS)]
            dashed = "-" if number < len(COLOURS) else "--"
            panel.errorbar(x, y, around, color=colour, fmt="o", markersize=5, capsize=2, linestyle=dashed, label=name)
        panel.set_xscale("log")
        panel.set_yscale("log")
        for axis, ends in ((panel.xaxis, panel.get_xlim()), (panel.yaxis, panel.get_ylim())):
            decades = math.log10(ends[1] / ends[0])
            digits = range(2, 10) if decades < 0.7 else (2, 5) if decades < 1.5 else ()
            axis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
            axis.set_minor_formatter(FuncFormatter(lambda value, _, digits=digits: _format_minor_tick(value, digits)))
        panel.grid(True, which="major")
        panel.set_xlabel("billion multiply-adds a frame")
        panel.set_ylabel("frames per second")
        figure.legend(loc="outside lower center", ncols=2, fontsize=9.5)
        return _render_svg(figure, title)


def plot_percentiles(rows: Sequence[BenchRow], title: str, interval_ms: float) -> str:
    """Latency by percentile on a stretched axis: the step from 90 to 99 is as wide as that from 99 to 99.9."""
    with mpl.rc_context(STYLE):
        figure, panel = _make_figure(title, 3.7 + 0.2 * len(rows))
        shown = [(at, place) for at in CURVE_PERCENTILES if (place := _compute_position(at)) is not None]
        for row, colour in zip(rows, COLOURS, strict=False):
            if row.figures is not None:
                by = dict(zip(CURVE_PERCENTILES, row.figures.curve_ms, strict=True))
                panel.plot([place for _, place in shown], [by[at] for at, _ in shown], color=colour, label=row.label)
        panel.axhline(interval_ms, color=INK, linewidth=0.8, linestyle=":")
        panel.annotate("one frame", (3, interval_ms), (0, 2), textcoords="offset points", fontsize=9, ha="right")
        ticks = [at for at in (0, 50, 90, 99, 99.9) if _compute_position(at) is not None]
        panel.set_xticks([_compute_position(at) or 0.0 for at in ticks], [f"{at:g}" for at in ticks])
        panel.set_xlabel("percentile of the frames")
        panel.set_ylabel("ms from source to display")
        panel.set_ylim(bottom=0)
        panel.grid(True)
        figure.legend(loc="outside lower center", ncols=1, fontsize=9.5)
        return _render_svg(figure, title)


def split_rows(rows: Sequence[BenchRow]) -> list[Sequence[BenchRow]]:
    """Groups of at most MAX_LINES rows: by size, and where a size has more rows than that, by model."""
    made: list[Sequence[BenchRow]] = []
    for size in dict.fromkeys(row.size for row in rows):
        alike = [row for row in rows if row.size == size]
        groups = [alike]
        if len(alike) > MAX_LINES:
            groups = [[row for row in alike if row.model == model] for model in dict.fromkeys(r.model for r in alike)]
        made += [group[at : at + MAX_LINES] for group in groups for at in range(0, len(group), MAX_LINES)]
    return made


def _draw_bar(panel: Axes, number: int, figures: BenchStatistics, colours: dict[str, str], on_gpu: bool) -> None:
    at = 0.0
    for stage, tail in (figures.device_ms if on_gpu else figures.stages_ms).items():
        panel.barh(number, tail.p50.median, left=at, height=0.36, color=colours.get(stage, COLOURS[4]))
        at += tail.p50.median
    if not on_gpu:
        p99 = figures.latency_ms.p99.median
        panel.plot([p99, p99], [number - 0.18, number + 0.18], color=INK, linewidth=1.6)


def _group_series(rows: Sequence[BenchRow]) -> dict[str, list[tuple[float, Spread]]]:
    """Points by engine and precision, cheapest first, without the rows whose cost is unknown."""
    found: dict[str, list[tuple[float, Spread]]] = {}
    for row in rows:
        if row.figures is not None and row.cost is not None and row.cost.macs:
            mark = (row.cost.macs / 1e9, row.figures.fps)
            found.setdefault(f"{row.engine} {row.precision}".rstrip(), []).append(mark)
    return {name: sorted(marks, key=lambda mark: mark[0]) for name, marks in found.items()}


def _compute_position(percentile: float) -> float | None:
    """The number of nines, as a position on the axis; None for 100."""
    return -math.log10(1 - percentile / 100) if percentile < 100 else None


def _format_minor_tick(value: float, digits: Iterable[int]) -> str:
    """A label only where the first digit is one of `digits`: shorter axes have more of them."""
    first = round(value / 10 ** math.floor(math.log10(value)))
    return f"{value:g}" if first in digits else ""


def _make_figure(title: str, inches: float) -> tuple[Figure, Axes]:
    figure = Figure(figsize=(INCHES, inches), layout="constrained")
    FigureCanvasSVG(figure)
    panel = figure.add_subplot()
    panel.set_title(title, fontsize=11, loc="left")
    return figure, panel


def _render_svg(figure: Figure, title: str) -> str:
    """SVG to be put inside a page: without a prolog or metadata, and as wide as its container."""
    file = io.StringIO()
    nothing = dict.fromkeys(("Date", "Creator", "Format", "Type"))
    figure.savefig(file, format="svg", transparent=True, metadata=nothing)
    text = file.getvalue()
    text = text[text.index("<svg") :]
    head, _, rest = text.partition(">")
    box = re.search(r'viewBox="[^"]+"', head)
    assert box is not None
    rest = re.sub(r"<metadata>.*?</metadata>", "", rest, flags=re.DOTALL)
    for colour, variable in VARIABLES.items():
        rest = rest.replace(colour, variable)
    words = title.replace("&", "and").replace('"', "").replace("<", "")
    return f'<svg {box[0]} width="100%" role="img" aria-label="{words}">{rest}'
