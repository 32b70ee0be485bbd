"""Writes what `check_torch_tensorrt` found: a page to read (.md), and everything as data (.json)."""

from __future__ import annotations

import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from live_sr import __version__
from live_sr.system.hardware import get_processor_name

Result = dict[str, Any]
UNNAMED = "none named"  # in place of a compute capability: the engine that torch-tensorrt itself would return
USUAL = (960, 540)  # the size for which the page shows every compute capability


@dataclass(frozen=True)
class Run:
    """One run of the check. control: the graph that must be refused. builds: of the networks. bytes: of the venv."""

    versions: dict[str, str]
    control: Result
    builds: Sequence[Result]
    bytes: int
    seconds: float
    cores: int


def find_problem(build: Result) -> str:
    """Why a build of a network is not as it should be, or an empty string."""
    if "refused" in build:
        return str(build["refused"])
    for capability, engine in build["engines"].items():
        if "refused" in engine:
            return f"{capability}: {engine['refused']}"
    width, height, scale = build["width"], build["height"], build["scale"]
    ends = [[f"uint8 1x{height * by}x{width * by}x4"] for by in (1, scale)]
    found = [build["network"].get("inputs"), build["network"].get("outputs")]
    return "" if found == ends else f"it goes from {found[0]} to {found[1]}, not from picture to picture"


def count_engines(builds: Iterable[Result]) -> int:
    """How many were compiled."""
    return sum("bytes" in engine for build in builds for engine in build["engines"].values())


def describe_build(build: Result) -> str:
    return "{model} x{scale} {precision} {width}x{height}".format_map(build)


def write_report(folder: Path, run: Run) -> Path:
    """Writes both files, and returns the page's path."""
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    folder.mkdir(parents=True, exist_ok=True)
    page = folder / f"torch-tensorrt-rtx-{day}.md"
    data = {
        "schema": 1,
        "date": day,
        "live_sr": __version__,
        "machine": {"processor": get_processor_name(), "cores": run.cores},
        "versions": run.versions,
        "venv_bytes": run.bytes,
        "seconds": round(run.seconds),
        "control": run.control,
        "builds": list(run.builds),
    }
    for path, text in ((page, format_page(day, run)), (page.with_suffix(".json"), format_data(data))):
        part = path.with_name(path.name + ".part")
        part.write_text(text, encoding="utf-8")
        part.replace(path)
    return page


def format_data(data: dict[str, Any]) -> str:
    """JSON with one build a line."""
    builds = ",\n  ".join(json.dumps(build) for build in data["builds"])
    head = json.dumps(data | {"builds": []}, indent=1)
    return head.replace('"builds": []', f'"builds": [\n  {builds}\n ]') + "\n"


def format_page(day: str, run: Run) -> str:
    problems = [(describe_build(build), why) for build in run.builds if (why := find_problem(build))]
    counted = f"{count_engines(run.builds)} engines from {len(run.builds)} builds"
    verdict = f"{len(problems)} builds have problems; compiled: {counted}" if problems else f"{counted}, none refused"
    lines = [
        f"# torch-tensorrt-rtx without a GPU, {day}",
        "",
        f"**{verdict}.** Written in {run.seconds / 60:.0f} minutes by `python3 tools/gpu/check_torch_tensorrt.py` of "
        f"live-sr {__version__}, on {run.cores} cores ({get_processor_name()}). The packages take "
        f"{run.bytes / 1e9:.1f} GB.",
        "",
        *format_table(["package", "version"], run.versions.items()),
        "",
        "- **Ran**: our own export and build (`make` in `live_sr/engines/tensorrt/build.py`), torch-tensorrt's "
        "conversion, the real compiler of TensorRT-RTX.",
        "- **Replaced**: what PyTorch says of the GPU, and moves to it (`tools/gpu/torch_tensorrt_worker.py`).",
        "- **Did not run**: loading the engine, compiling it just in time, pictures. These need a driver.",
        "- **Control**: a graph that reorders uint8 before it casts it must be refused. "
        + (f"It was: “{run.control['refused']}”" if "refused" in run.control else "**It was not.**"),
        "",
        "torch-tensorrt names no compute capability, and has no setting for it; its engines are for Ampere and newer. "
        "The engines for named ones were compiled from the same network with the same settings, but for the detailed "
        "log that lists the kernels.",
    ]
    if problems:
        lines += ["", "## Problems", "", *format_table(["build", "why"], problems)]
    lines += ["", "## By compute capability", "", *format_capabilities(run.builds)]
    lines += ["", "## Kernels", "", *format_kernels(run.builds)]
    lines += ["", "## By size of the frames", "", *format_sizes(run.builds)]
    return "\n".join(lines) + "\n"


def choose_usual(builds: Sequence[Result]) -> tuple[str, list[Result], list[str]]:
    """The builds for one size, which is described, and the compute capabilities that they have engines for."""
    sizes = list(dict.fromkeys((build["width"], build["height"]) for build in builds))
    width, height = USUAL if USUAL in sizes else sizes[0]
    chosen = [build for build in builds if (build["width"], build["height"]) == (width, height)]
    capabilities = list(dict.fromkeys(name for build in chosen for name in build["engines"]))
    return f"Frames of {width}×{height}.", chosen, capabilities


def format_capabilities(builds: Sequence[Result]) -> list[str]:
    """A table of the builds for one size: seconds, and megabytes by compute capability."""
    size, chosen, capabilities = choose_usual(builds)
    head = ["network", "layers", "export", "convert", "compile", *capabilities]
    rows = [
        [
            "{model} ×{scale} {precision}".format_map(build),
            str(build["network"].get("layers", "–")),
            *(format_seconds(build["seconds"].get(name)) for name in ("export", "convert")),
            format_seconds(build["engines"].get(UNNAMED, {}).get("seconds")),
            *(format_bytes(build["engines"].get(name, {})) for name in capabilities),
        ]
        for build in chosen
    ]
    words = f"{size} Times in seconds (compiling: with no capability named), engines in MB."
    return [words, "", *format_table(head, rows)]


def format_kernels(builds: Sequence[Result]) -> list[str]:
    """A table of the builds for one size: kernels and megabytes that they move, by named compute capability."""
    size, chosen, capabilities = choose_usual(builds)
    named = [name for name in capabilities if name != UNNAMED]
    rows = [
        [
            "{model} ×{scale} {precision}".format_map(build),
            *(format_engine_kernels(build["engines"].get(name, {})) for name in named),
        ]
        for build in chosen
    ]
    words = f"{size} Kernels, and the MB that they read and write for a frame if nothing stays in the GPU's cache."
    return [words, "", *format_table(["network", *named], rows)]


def format_sizes(builds: Sequence[Result]) -> list[str]:
    """A table of the engines with no compute capability named: megabytes, and seconds to compile, by size."""
    sizes = list(dict.fromkeys("{width}×{height}".format_map(build) for build in builds))
    cells: dict[str, dict[str, str]] = {}
    for build in builds:
        engine = build["engines"].get(UNNAMED, {})
        cell = format_bytes(engine) + (f" in {format_seconds(engine['seconds'])}" if "seconds" in engine else "")
        row = cells.setdefault("{model} ×{scale} {precision}".format_map(build), {})
        row["{width}×{height}".format_map(build)] = cell
    rows = [[name, *(row.get(size, "–") for size in sizes)] for name, row in cells.items()]
    return [
        "Engines in MB and seconds to compile, with no compute capability named.",
        "",
        *format_table(["network", *sizes], rows),
    ]


def format_table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(cell.replace("|", "\\|") for cell in line) + " |" for line in lines]


def format_bytes(engine: dict[str, Any]) -> str:
    if "refused" in engine:
        return "refused"
    return f"{engine['bytes'] / 1e6:.2f}" if engine else "–"


def format_engine_kernels(engine: dict[str, Any]) -> str:
    return f"{engine['kernels']}, {engine['moved'] / 1e6:.0f}" if "kernels" in engine else "–"


def format_seconds(seconds: float | None) -> str:
    return "–" if seconds is None else f"{seconds:.1f}"
