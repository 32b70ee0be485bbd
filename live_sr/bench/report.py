"""A report: the machine, the method and the rows. Written as JSON or CSV, and read from JSON."""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Any

from live_sr.bench.results import (
    PERCENTILES,
    BenchRow,
    BenchStatistics,
    FrameCost,
    PercentileSpreads,
    RooflineFloor,
    Spread,
)
from live_sr.errors import LiveSRError, UsageError
from live_sr.nvidia.nvml import GpuState
from live_sr.pipeline.latency import STAGES
from live_sr.system.atomic_file import check_writable, choose_part_path
from live_sr.system.hardware import Machine

SCHEMA = 2
DIGITS = 4  # decimals of what is written


@dataclass(frozen=True)
class BenchReport:
    """source: "pattern" or "video". before, after: the NVIDIA GPUs at the start and at the end of the runs."""

    machine: Machine
    source: str
    seconds: float
    warm_up_s: float
    rounds: int
    before: tuple[GpuState, ...]
    after: tuple[GpuState, ...]
    interrupted: bool
    rows: tuple[BenchRow, ...]

    @property
    def system(self) -> str:
        """Name and version only: the rest may hold a name that somebody gave to a kernel of their own."""
        found = re.match(r"([A-Za-z]+)-(\d+(?:\.\d+)?)", self.machine.system)
        return f"{found[1]} {found[2]}" if found else self.machine.system.partition("-")[0]

    @property
    def title(self) -> str:
        """The machine in one line."""
        m = self.machine
        cards = "".join(f"; {gpu.name}, driver {gpu.driver}" for gpu in self.before)
        return f"{m.processor}, {m.cores} cores, load {m.load:.1f}{cards}; {self.system}, {m.date}"


def format_json(report: BenchReport) -> str:
    """JSON with one line for each row."""
    told = _round_floats(asdict(report))
    rows = ",\n".join(json.dumps(row, separators=(",", ":")) for row in told.pop("rows"))
    head = json.dumps({"schema": SCHEMA, **told}, indent=1)
    return f'{head[:-2]},\n "rows": [\n{rows}\n]}}\n'


def read_report(path: Path) -> BenchReport:
    """Raises UsageError for a missing file, or one that is not a report of this version."""
    remedy = "give files that `live-sr bench --json` of this version wrote"
    try:
        told = json.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "correct the path") from None
    except ValueError:
        raise UsageError(f"{path} is not JSON", remedy) from None
    schema = told.get("schema") if isinstance(told, dict) else None
    if schema != SCHEMA:
        raise UsageError(
            f"{path} is no benchmark of schema {SCHEMA}" + (f", but of {schema}" if schema else ""), remedy
        )
    try:
        return _parse_report(told)
    except (KeyError, TypeError, AttributeError, ValueError) as error:
        raise UsageError(f"{path} is not a whole benchmark: {type(error).__name__} {error}", remedy) from None


def format_csv(report: BenchReport) -> str:
    """A line for each row, in the columns of `make_columns`; unknown values are empty."""
    file = io.StringIO()
    stages = list(dict.fromkeys(s for row in report.rows if row.figures for s in row.figures.device_ms))
    writer = csv.writer(file, lineterminator="\n")
    header, *_ = [make_columns(row, stages) for row in report.rows] or [make_columns(None, stages)]
    writer.writerow(header)
    for row in report.rows:
        writer.writerow(_round_floats(list(make_columns(row, stages).values())))
    return file.getvalue()


def make_columns(row: BenchRow | None, device_stages: list[str]) -> dict[str, object]:
    figures, floor = (row.figures, row.floor) if row else (None, None)
    told: dict[str, object] = {
        f.name: getattr(row, f.name, None)
        for f in fields(BenchRow)
        if f.name not in ("cost", "figures", "floor", "reason")
    }
    cost = row.cost if row else None
    told |= {"macs": cost.macs if cost else None, "bytes": cost.bytes if cost else None}
    for name in ("rounds", "seconds", "frames", "dropped"):
        told[name] = getattr(figures, name, None)
    told |= _make_spread_columns("fps", figures.fps if figures else None)
    for name in PERCENTILES:
        told |= _make_spread_columns(f"{name}_ms", getattr(figures.latency_ms, name) if figures else None)
    told |= _make_spread_columns("cpu_ms", figures.cpu_ms if figures else None)
    told["drawn"] = figures.drawn if figures else None
    for stage in STAGES:
        told[f"{stage}_p50_ms"] = figures.stages_ms[stage].p50.median if figures else None
    for stage in device_stages:
        there = figures.device_ms.get(stage) if figures else None
        told[f"card_{stage.replace(' ', '_')}_p50_ms"] = there.p50.median if there else None
    told |= {"floor_ms": floor.ms if floor and floor.ms else None, "times_floor": row.times_floor if row else None}
    return {**told, "reason": row.reason if row else None}


def check_folder(path: Path) -> None:
    """Finds out before long work whether a file could be written there. Raises LiveSRError."""
    if not path.parent.is_dir():
        raise LiveSRError(f"{path} cannot be written: there is no such folder", "choose another one, or make it")
    check_writable(path)


def write_text(path: Path, text: str) -> None:
    """Whole or not at all. Raises LiveSRError."""
    if path.is_dir():
        raise LiveSRError(f"{path} cannot be written: it is a folder", "choose another file")
    part = choose_part_path(path)
    try:
        part.write_text(text, encoding="utf-8", newline="\n")
        part.replace(path)
    except OSError as error:
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another file") from None


def _make_spread_columns(name: str, spread: Spread | None) -> dict[str, object]:
    values = (spread.median, spread.min, spread.max) if spread else (None, None, None)
    return dict(zip((name, f"{name}_min", f"{name}_max"), values, strict=True))


def _round_floats(data: Any) -> Any:
    """Rounds every float in a structure of JSON types to DIGITS decimals."""
    if isinstance(data, float):
        return round(data, DIGITS)
    if isinstance(data, dict):
        return {key: _round_floats(value) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_round_floats(value) for value in data]
    return data


def _parse_report(data: Mapping[str, Any]) -> BenchReport:
    return BenchReport(
        machine=Machine(**data["machine"]),
        source=data["source"],
        seconds=data["seconds"],
        warm_up_s=data["warm_up_s"],
        rounds=data["rounds"],
        before=tuple(_parse_gpu(one) for one in data["before"]),
        after=tuple(_parse_gpu(one) for one in data["after"]),
        interrupted=data["interrupted"],
        rows=tuple(_parse_row(row) for row in data["rows"]),
    )


def _parse_gpu(data: Mapping[str, Any]) -> GpuState:
    return GpuState(**{**data, "held_back": tuple(data["held_back"])})


def _parse_row(data: Mapping[str, Any]) -> BenchRow:
    parts = {"cost": FrameCost, "floor": RooflineFloor}
    made = {name: kind(**data[name]) if data[name] else None for name, kind in parts.items()}
    return BenchRow(**{**data, **made, "figures": _parse_statistics(data["figures"]) if data["figures"] else None})


def _parse_statistics(data: Mapping[str, Any]) -> BenchStatistics:
    stages = {
        name: {s: _parse_percentiles(tail) for s, tail in data[name].items()} for name in ("stages_ms", "device_ms")
    }
    return BenchStatistics(
        **{
            **data,
            **stages,
            "fps": Spread(**data["fps"]),
            "latency_ms": _parse_percentiles(data["latency_ms"]),
            "curve_ms": tuple(data["curve_ms"]),
            "cpu_ms": Spread(**data["cpu_ms"]) if data.get("cpu_ms") else None,
        }
    )


def _parse_percentiles(data: Mapping[str, Any]) -> PercentileSpreads:
    return PercentileSpreads(**{name: Spread(**spread) for name, spread in data.items()})
