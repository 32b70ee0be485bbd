"""Checks and measures everything that needs an NVIDIA GPU, in one command and within ten minutes.

    python3 tools/gpu_day.py                      writes docs/benchmarks/DATE-GPU.md and .json
    python3 tools/gpu_day.py --out FOLDER --rtx FOLDER_OF_THE_UNPACKED_WHEELS

It needs numpy, torch with CUDA, safetensors and cuda-bindings, but none of live-sr's other packages and no screen;
with TensorRT-RTX's two wheels and onnx it also tries the rtx engine, with torch-tensorrt the tensorrt engine.
OpenGL comes from the driver's EGL. The parts are independent: if one fails, the report says so, the others go on, and
the exit code is 1. Measurements are compared side by side, in turns.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import sys
import time
import traceback
from collections.abc import Callable
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[1]
sys.path[:0] = [str(ROOT)]

from live_sr.nvidia import driver  # noqa: E402
from tools.gpu.checks import CHECKS  # noqa: E402  # found through the path above
from tools.gpu.timing import TIMINGS  # noqa: E402

Part = Callable[[], tuple[list[str], object]]
"""-> lines of Markdown, and the same as data. Raises AssertionError if a check finds an error."""


def main() -> int:
    parser = argparse.ArgumentParser(description="Check and measure live-sr on the NVIDIA GPU of this machine.")
    parser.add_argument("--out", type=Path, default=Path(os.environ.get("OUT", ROOT / "docs" / "benchmarks")))
    parser.add_argument("--rtx", type=Path, help="folder with TensorRT-RTX's unpacked wheels (installed)")
    parser.add_argument("--minutes", type=float, default=10.0, help="start no further part after this time (10)")
    parser.add_argument("--only", action="append", metavar="PART", help=f"of {', '.join((*CHECKS, *TIMINGS))}")
    options = parser.parse_args()
    why = driver.unavailable_reason()
    if why:
        print(f"gpu_day: nothing can be measured: {why}\n  run it on a machine with a GTX 16xx, an RTX or newer")
        return 6
    if options.rtx:
        sys.path.insert(0, str(options.rtx))
        os.environ["PYTHONPATH"] = os.pathsep.join(filter(None, (str(options.rtx), os.environ.get("PYTHONPATH"))))
    parts: dict[str, Part] = {**CHECKS, **TIMINGS}
    chosen = {name: part for name, part in parts.items() if not options.only or name in options.only}
    return write_report(options.out, *run_parts(chosen, options.minutes))


def run_parts(parts: dict[str, Part], minutes: float) -> tuple[list[str], dict[str, Any], bool]:
    """The lines of the report, its data, and whether every part succeeded."""
    device = driver.find_device()
    assert device is not None
    capability = ".".join(map(str, device.capability))
    day = datetime.now(UTC).strftime("%Y-%m-%d")
    lines = [f"# {device.name}, {day}", "", f"Compute capability {capability}. Written by `python3 tools/gpu_day.py`."]
    data: dict[str, Any] = {"schema": 1, "date": day, "device": dataclasses.asdict(device), "parts": {}}
    begun, succeeded = time.monotonic(), True
    for name, part in parts.items():
        if time.monotonic() - begun > 60 * minutes:
            lines += ["", f"## {name}", "", "Not run: no time was left."]
            continue
        print(f"gpu_day: {name}", flush=True)
        start = time.monotonic()
        try:
            said, figures = part()
        except Exception as error:  # whatever it is, the other parts can still run
            succeeded = False
            said, figures = [f"**Failed**: {type(error).__name__}: {error}"], {"failed": traceback.format_exc()}
            traceback.print_exc()
        lines += ["", f"## {name}", "", *said]
        data["parts"][name] = {"seconds": round(time.monotonic() - start, 1), "figures": figures}
        print("\n".join(said), flush=True)
    return lines, data, succeeded


def write_report(folder: Path, lines: list[str], data: dict[str, Any], succeeded: bool) -> int:
    folder.mkdir(parents=True, exist_ok=True)
    words = "".join(c if c.isalnum() else "-" for c in data["device"]["name"].lower())
    stem = folder / f"{data['date']}-{words}"
    for suffix, text in ((".md", "\n".join(lines) + "\n"), (".json", json.dumps(data, indent=1, default=str) + "\n")):
        part = Path(f"{stem}{suffix}.part")
        part.write_text(text, encoding="utf-8")
        part.replace(f"{stem}{suffix}")
        print(f"gpu_day: written {stem}{suffix}")
    return 0 if succeeded else 1


if __name__ == "__main__":
    sys.exit(main())
