"""The report for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from live_sr.bench.report import BenchReport
from live_sr.bench.results import BenchRow, BenchStatistics
from live_sr.terminal import format_table

COLUMNS = ("model", "engine", "input", "fps", "p50", "p95", "p99", "worst", "upscale", "rest", "cpu")


def describe_mode(pace: float | None) -> str:
    return f"fed at {pace:g} fps" if pace else "free-running"


def format_report(report: BenchReport) -> str:
    """A table for each mode, the reasons for missing rows, and the rates behind the roofline floors."""
    lines = [report.title]
    if report.interrupted:
        lines.append("interrupted: these are the figures until then")
    for mode in dict.fromkeys(row.pace for row in report.rows):
        rows = [row for row in report.rows if row.pace == mode and row.figures]
        if rows:
            lines += ["", *_format_mode(rows, mode)]
    lines += _format_missing(report.rows)
    lines += _format_floors(report.rows)
    return "\n".join(lines)


def _format_mode(rows: Sequence[BenchRow], mode: float | None) -> list[str]:
    """`rest`: the median latency without the engine. `cpu`: processor time for a frame, of all threads.

    `spread`: of fps, or of the p50 where frames are paced.
    """
    changed = any(row.changed_regions for row in rows)
    several = any(row.figures and row.figures.rounds > 1 for row in rows)
    floors = any(row.times_floor for row in rows)
    device = list(dict.fromkeys(stage for row in rows if row.figures for stage in row.figures.device_ms))
    head = [
        *COLUMNS,
        *(["drawn"] if changed else []),
        *(["spread"] if several else []),
        *device,
        *(["floor", "×floor"] if floors else []),
    ]
    cells = [_make_cells(row, row.figures, changed, several, device, floors) for row in rows if row.figures is not None]
    waits = "" if mode else "; includes the wait for the engine"
    title = f"{describe_mode(mode)}; latency in ms from the source to a display that only counts{waits}"
    return [title, *format_table([head, *cells], "<<>")]


def _make_cells(
    row: BenchRow, figures: BenchStatistics, changed: bool, several: bool, device: list[str], floors: bool
) -> list[str]:
    latency = figures.latency_ms
    upscale = figures.stages_ms["upscale"].p50.median
    rest = sum(spreads.p50.median for stage, spreads in figures.stages_ms.items() if stage != "upscale")
    times = (latency.p50.median, latency.p95.median, latency.p99.median, latency.max.median, upscale, rest)
    cells = [f"{row.model} x{row.scale}", _name_engine(row), row.size, f"{figures.fps.median:.1f}"]
    cells += [f"{ms:.2f}" for ms in times]
    cells.append(f"{figures.cpu_ms.median:.2f}" if figures.cpu_ms is not None else "")
    if changed:
        cells.append(f"{figures.drawn:.0%}")
    if several:
        spread, digits = (latency.p50, 2) if row.pace else (figures.fps, 1)
        cells.append(f"{spread.min:.{digits}f}–{spread.max:.{digits}f}")
    for stage in device:
        spreads = figures.device_ms.get(stage)
        cells.append(f"{spreads.p50.median:.3f}" if spreads else "")
    if floors:
        known = row.floor is not None and row.times_floor is not None
        cells += [f"{row.floor.ms:.2f}", f"{row.times_floor:.1f}"] if known and row.floor else ["", ""]
    return cells


def _name_engine(row: BenchRow) -> str:
    name = f"{row.engine} {row.precision}".rstrip()
    return f"{name}, changed regions" if row.changed_regions else name


def _format_missing(rows: Sequence[BenchRow]) -> list[str]:
    """Each combination once, whatever its modes."""
    lines = dict.fromkeys(f"  {row.label} at {row.size}: {row.reason}" for row in rows if row.reason)
    return ["", "not measured, or not to the end:", *lines] if lines else []


def _format_floors(rows: Sequence[BenchRow]) -> list[str]:
    """The rates that the floors were computed from."""
    lines = []
    for row in rows:
        floor = row.floor
        if floor is None:
            continue
        if floor.reason:
            what = f"{row.engine} {row.precision}".rstrip()
            line = f"  no floor on the {floor.device} for {what}: {floor.reason}"
        else:
            rate = f", {row.precision} {floor.rate / 1e9:.0f} billion operations/s" if floor.rate else ""
            line = f"  {floor.device}, {row.size} x{row.scale}: copies {floor.bandwidth / 1e9:.1f} GB/s{rate}"
        if line not in lines:
            lines.append(line)
    head = "floor: the longer of bytes / copy rate and 2 · multiply-adds / operation rate; ×floor: upscale / floor"
    return ["", head, *lines] if lines else []
