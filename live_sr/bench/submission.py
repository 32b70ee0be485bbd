"""A report as a small file to share, without personal data. `submission.schema.json` describes the format."""

from __future__ import annotations

import json
from typing import Any

from live_sr.bench.report import DIGITS, BenchReport
from live_sr.bench.results import BenchRow, BenchStatistics, Spread
from live_sr.models import zoo
from live_sr.models.resolve import FILTERS

SCHEMA = 1


def format_submission(report: BenchReport) -> str:
    """JSON without spaces. Host names, paths, serial numbers and the names of the user's own models are left out.

    Rows that failed are left out, because their reasons may name files.
    """
    machine = report.machine
    public = {*FILTERS, *zoo.list_names()}
    private = [name for name in dict.fromkeys(row.model for row in report.rows if row.figures) if name not in public]
    own = {name: f"own-{n + 1}" for n, name in enumerate(private)}
    told = {
        "schema": SCHEMA,
        "kind": "live-sr bench",
        "live_sr": machine.live_sr,
        "date": machine.date,
        "machine": {
            "processor": machine.processor,
            "cores": machine.cores,
            "load": machine.load,
            "system": report.system,
            "python": ".".join(machine.python.split(".")[:2]),
            "packages": machine.packages,
            "cards": [
                {"name": gpu.name, "driver": gpu.driver, "capability": gpu.capability, "memory": gpu.total_bytes}
                for gpu in report.before
            ],
        },
        "clocks_mhz": [[gpu.clock_mhz for gpu in when] for when in (report.before, report.after)],
        "source": report.source,
        "seconds": report.seconds,
        "rows": [_make_row(row, row.figures, own) for row in report.rows if row.figures],
    }
    return json.dumps(told, separators=(",", ":")) + "\n"


def _make_row(row: BenchRow, figures: BenchStatistics, own: dict[str, str]) -> dict[str, Any]:
    """A spread is [median, minimum, maximum]."""
    told: dict[str, Any] = {
        "model": own.get(row.model, row.model),
        "scale": row.scale,
        "size": row.size,
        "engine": row.engine,
        "precision": row.precision,
        "pace": row.pace,
        "macs": row.cost.macs if row.cost else None,
        "rounds": figures.rounds,
        "frames": figures.frames,
        "dropped": figures.dropped,
        "fps": _make_spread(figures.fps),
        "p50_ms": _make_spread(figures.latency_ms.p50),
        "p95_ms": _make_spread(figures.latency_ms.p95),
        "p99_ms": _make_spread(figures.latency_ms.p99),
        "worst_ms": _make_spread(figures.latency_ms.max),
        "stages_ms": {stage: _make_spread(tail.p50) for stage, tail in figures.stages_ms.items()},
    }
    if figures.device_ms:
        told["device_ms"] = {stage: _make_spread(tail.p50) for stage, tail in figures.device_ms.items()}
    if row.floor and row.floor.ms:
        told["floor_ms"] = round(row.floor.ms, DIGITS)
    return told


def _make_spread(spread: Spread) -> list[float]:
    return [round(value, DIGITS) for value in (spread.median, spread.min, spread.max)]
