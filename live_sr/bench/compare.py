"""Compares two reports: the ratio of the times of each combination, and whether it is outside the spread."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from live_sr.bench.report import BenchReport
from live_sr.bench.results import BenchRow, Spread
from live_sr.bench.table import describe_mode
from live_sr.terminal import format_table

COLUMNS = ("combination", "input", "mode", "A ms", "B ms", "B / A", "spread", "")


@dataclass(frozen=True)
class Ratio:
    """The second time divided by the first: of the medians, and its range over the rounds."""

    median: float
    min: float
    max: float
    rounds: int  # of the report that has fewer

    @property
    def verdict(self) -> str:
        """FASTER or SLOWER only if every round of one report is faster than every round of the other."""
        if self.rounds < 2:
            return "one round: no spread"
        if self.min > 1:
            return "SLOWER"
        return "FASTER" if self.max < 1 else "within the spread"


def get_frame_time(row: BenchRow) -> Spread | None:
    """In ms: the median latency of a paced row, the time for a frame of a free-running one. None: not measured."""
    if row.figures is None:
        return None
    if row.pace is not None:
        return row.figures.latency_ms.p50
    fps = row.figures.fps
    return Spread(1000 / fps.median, 1000 / fps.max, 1000 / fps.min) if fps.min > 0 else None


def compute_ratio(one: BenchRow, other: BenchRow) -> Ratio | None:
    """None where either has no figures."""
    a, b = get_frame_time(one), get_frame_time(other)
    if a is None or b is None or one.figures is None or other.figures is None or not (a.min > 0 and a.median > 0):
        return None
    rounds = min(one.figures.rounds, other.figures.rounds)
    return Ratio(b.median / a.median, b.min / a.max, b.max / a.min, rounds)


def format_comparison(one: BenchReport, other: BenchReport, names: Sequence[str]) -> str:
    lines = [f"A: {names[0]}: {one.title}", f"B: {names[1]}: {other.title}"]
    differing = list_differences(one, other)
    if differing:
        lines.append(f"not the same: {'; '.join(differing)}")
    theirs = {row.key: row for row in other.rows}
    pairs = [(row, theirs[row.key]) for row in one.rows if row.key in theirs]
    lines += ["", "ms: the median latency where frames are paced, the time for a frame where it runs freely"]
    lines += format_table([COLUMNS, *(_make_cells(*pair) for pair in pairs)], "<><>>>><")
    ours = {row.key for row in one.rows}
    for name, rows, keys in (("A", one.rows, set(theirs)), ("B", other.rows, ours)):
        lines += [
            f"only in {name}: {row.label}, {row.size}, {describe_mode(row.pace)}" for row in rows if row.key not in keys
        ]
    return "\n".join(lines)


def list_differences(one: BenchReport, other: BenchReport) -> list[str]:
    """The differences between the machines and the methods, which make the comparison doubtful."""
    a, b = one.machine, other.machine
    pairs: list[tuple[str, object, object]] = [
        ("processor", a.processor, b.processor),
        ("cores", a.cores, b.cores),
        ("system", a.system, b.system),
        ("cards", _describe_gpus(one), _describe_gpus(other)),
        ("source", one.source, other.source),
        ("seconds", one.seconds, other.seconds),
        ("live-sr", a.live_sr, b.live_sr),
    ]
    pairs += [
        (package, a.packages.get(package, "none"), b.packages.get(package, "none"))
        for package in sorted({*a.packages, *b.packages})
    ]
    return [f"{what} {x or 'none'} and {y or 'none'}" for what, x, y in pairs if x != y]


def _describe_gpus(report: BenchReport) -> str:
    return ", ".join(f"{gpu.name} (driver {gpu.driver})" for gpu in report.before)


def _make_cells(one: BenchRow, other: BenchRow) -> list[str]:
    cells = [one.label, one.size, describe_mode(one.pace)]
    ratio = compute_ratio(one, other)
    a, b = get_frame_time(one), get_frame_time(other)
    if ratio is None or a is None or b is None:
        return [*cells, "", "", "", "", one.reason or other.reason or "no figures"]
    numbers = [f"{a.median:.2f}", f"{b.median:.2f}", f"{ratio.median:.2f}", f"{ratio.min:.2f}–{ratio.max:.2f}"]
    return [*cells, *numbers, ratio.verdict]
