"""The rows for a terminal."""

from __future__ import annotations

from collections.abc import Sequence

from live_sr.bench.report import Report
from live_sr.bench.rows import Figures, Row

COLUMNS = ("fps", "p50", "p95", "p99", "worst", "upscale", "rest")


def mode_name(pace: float | None) -> str:
    return f"fed at {pace:g} fps" if pace else "free-running"


def told(report: Report) -> str:
    """A table for each mode, and why what is missing is missing."""
    lines = [report.title]
    if report.interrupted:
        lines.append("interrupted: these are the figures until then")
    for mode in dict.fromkeys(row.pace for row in report.rows):
        rows = [row for row in report.rows if row.pace == mode and row.figures]
        if rows:
            lines += ["", *_table(rows, mode)]
    lines += _missing(report.rows)
    lines += _floors(report.rows)
    return "\n".join(lines)


def _table(rows: Sequence[Row], mode: float | None) -> list[str]:
    """`rest` is the part of the median latency that is not the engine's; `spread` of fps, or of p50 when paced."""
    several = any(row.figures and row.figures.rounds > 1 for row in rows)
    floors = any(row.times_floor for row in rows)
    device = list(dict.fromkeys(stage for row in rows if row.figures for stage in row.figures.device_ms))
    waits = "" if mode else "; latency then includes waiting for the engine"
    head = f"{'model':18}{'engine':18}{'input':>10}" + "".join(f"{name:>8}" for name in COLUMNS)
    head += f"{'spread':>15}" if several else ""
    head += "".join(f"{name:>{len(name) + 2}}" for name in device)
    head += f"{'floor':>8}{'×floor':>8}" if floors else ""
    lines = [f"{mode_name(mode)}{waits}; ms from the source to the display, which here only counts", head]
    for row in rows:
        if row.figures is not None:
            lines.append(_line(row, row.figures, mode, several, device, floors))
    return lines


def _line(row: Row, figures: Figures, mode: float | None, several: bool, device: list[str], floors: bool) -> str:
    t = figures.latency_ms
    upscale = figures.stages_ms["upscale"].p50.median
    rest = sum(tail.p50.median for stage, tail in figures.stages_ms.items() if stage != "upscale")
    line = (
        f"{f'{row.model} x{row.scale}':18}{f'{row.engine} {row.precision}':18}{row.size:>10}{figures.fps.median:8.1f}"
    )
    for value in (t.p50.median, t.p95.median, t.p99.median, t.max.median, upscale, rest):
        line += f"{value:8.2f}"
    if several:
        spread = t.p50 if mode else figures.fps
        digits = 2 if mode else 1
        line += f"{f'{spread.min:.{digits}f}–{spread.max:.{digits}f}':>15}"
    for stage in device:
        tail = figures.device_ms.get(stage)
        line += f"{f'{tail.p50.median:.3f}' if tail else '':>{len(stage) + 2}}"
    if floors:
        known = row.floor is not None and row.times_floor is not None
        line += f"{row.floor.ms:8.2f}{row.times_floor:8.1f}" if known and row.floor else ""
    return line


def _missing(rows: Sequence[Row]) -> list[str]:
    """Each combination once, whatever its modes."""
    lines = []
    for row in rows:
        words = f"  {row.label} at {row.size}: {row.reason}"
        if row.reason and words not in lines:
            lines.append(words)
    return ["", "not measured, or not to the end:", *lines] if lines else []


def _floors(rows: Sequence[Row]) -> list[str]:
    """What the floors were made of."""
    lines = []
    for row in rows:
        if row.floor is None:
            continue
        f = row.floor
        if f.reason:
            words = f"  no floor on the {f.device} for {row.engine} {row.precision}".rstrip() + f": {f.reason}"
        else:
            rate = f", {row.precision} {f.rate / 1e9:.0f} billion operations/s" if f.rate else ""
            words = f"  {f.device}, {row.size} x{row.scale}: copies {f.bandwidth / 1e9:.1f} GB/s{rate}"
        if words not in lines:
            lines.append(words)
    head = (
        "floor: the longer of bytes / copies and 2 · multiply-adds / operations; ×floor: how often it fits in upscale"
    )
    return ["", head, *lines] if lines else []
