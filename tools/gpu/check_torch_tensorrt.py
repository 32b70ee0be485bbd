"""Builds the shipped networks with torch-tensorrt and the compiler of TensorRT-RTX, on a machine without a GPU.

    python3 tools/gpu/check_torch_tensorrt.py                        writes docs/benchmarks/torch-tensorrt-rtx-DATE.md
                                                                     and .json, with some ten minutes of work for two
                                                                     cores beside the downloads
    python3 tools/gpu/check_torch_tensorrt.py --venv FOLDER --keep   keeps the 6 GB for the next time
    python3 tools/gpu/check_torch_tensorrt.py --models fast --sizes 960x540

It makes a virtual environment of its own and installs the pinned packages into it; it needs Python and a network, and
none of live-sr's packages. Our own export and build run there unchanged, until the engine would be loaded, which needs
NVIDIA's driver. Exit codes: 0, everything compiled; 2, a wrong flag; 6, the compiler refused something; 8, something is
missing, such as room on the disk or a network.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any

ROOT = Path(__file__).resolve().parents[2]
sys.path[:0] = [str(ROOT)]

if sys.version_info < (3, 11):  # noqa: UP036  # what follows needs it
    print("check_torch_tensorrt: this needs Python 3.11 or newer", file=sys.stderr)
    sys.exit(8)

from live_sr.errors import EngineError, LiveSRError, MissingPart, UsageError  # noqa: E402
from live_sr.models import zoo  # noqa: E402  # found through the path above
from tools.gpu.torch_tensorrt_report import Run, count_engines, describe_build, find_problem, write_report  # noqa: E402

REQUIREMENTS = ("torch==2.14.1", "torch-tensorrt-rtx==2.14.0", "safetensors>=0.4,<1", "onnx>=1.17,<2", "numpy>=1.26,<3")
VENV_BYTES = 10_000_000_000  # installed they have 6 GB; while pip unpacks them they take more

PRECISIONS = ("fp16", "fp32")
SIZES = ("480x270", "487x273", "960x540", "1280x720", "1920x1080")
CAPABILITIES = ("SM75", "SM80", "SM86", "SM89", "SM120")
CONTROL = {
    "kind": "reordered uint8",
    "model": "fast",
    "scale": 2,
    "precision": "fp16",
    "width": 64,
    "height": 32,
}
"""A graph that must be refused."""

Job = dict[str, Any]
Result = dict[str, Any]


def main() -> int:
    try:
        run(parse_arguments())
    except LiveSRError as error:
        print(f"check_torch_tensorrt: {error.message}", file=sys.stderr)
        if error.remedy:
            print(f"  {error.remedy}", file=sys.stderr)
        return error.exit_code
    return 0


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description="Build the shipped networks with torch-tensorrt-rtx, without a GPU.")
    parser.add_argument("--venv", type=Path, metavar="FOLDER", help="where to install 6 GB (a temporary folder)")
    parser.add_argument("--keep", action="store_true", help="leave the packages in FOLDER for the next time")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "benchmarks", help="folder of the report")
    parser.add_argument("--models", default="", help="such as fast,quality (all that live-sr ships)")
    parser.add_argument("--sizes", default=",".join(SIZES), help=f"of the frames ({','.join(SIZES)})")
    return parser.parse_args()


def run(options: argparse.Namespace) -> None:
    """Raises LiveSRError."""
    jobs = list_jobs([name for name in options.models.split(",") if name], options.sizes.split(","))
    begun = time.monotonic()
    with open_venv(options.venv, options.keep) as (python, installed):
        versions, results = run_jobs([str(python), str(ROOT / "tools/gpu/torch_tensorrt_worker.py")], jobs)
    control, *builds = results
    done = Run(versions, control, builds, installed, time.monotonic() - begun, os.cpu_count() or 1)
    try:
        say(f"written {write_report(options.out, done)}")
    except OSError as error:
        raise LiveSRError(f"the report cannot be written: {error}", "name another folder: --out FOLDER") from error
    judge(control, builds)


def judge(control: Result, builds: Sequence[Result]) -> None:
    """Raises EngineError if something was refused that should compile, or the other way round."""
    if "refused" not in control:
        raise EngineError(
            "TensorRT-RTX compiled a graph that it should refuse, so that the other results prove little",
            "find another one for tools/gpu/torch_tensorrt_worker.py that it refuses",
        )
    problems = sum(bool(find_problem(build)) for build in builds)
    if problems:
        raise EngineError(f"{problems} of {len(builds)} builds are not as they should be", "the report says why")


def say(words: str) -> None:
    print(f"check_torch_tensorrt: {words}", flush=True)


def list_jobs(models: Sequence[str], sizes: Sequence[str]) -> list[Job]:
    """The graph that must be refused, then every network, scale, precision and size. Raises LiveSRError."""
    for model in models:
        if model not in zoo.list_names():
            raise zoo.make_unknown_error(model, zoo.list_names())
    pixels = []
    for size in sizes:
        found = re.fullmatch(r"([1-9]\d*)x([1-9]\d*)", size)
        if found is None:
            raise UsageError(f'"{size}" is no size of frames', "write it as 960x540")
        pixels.append((int(found[1]), int(found[2])))
    networks = [
        {
            "kind": "network",
            "model": card.name,
            "scale": card.scale,
            "precision": precision,
            "width": width,
            "height": height,
        }
        for card in zoo.list_cards()
        if not models or card.name in models
        for precision in PRECISIONS
        for width, height in pixels
    ]
    return [CONTROL, *networks]


@contextmanager
def open_venv(folder: Path | None, keep: bool) -> Iterator[tuple[Path, int]]:
    """The Python of a virtual environment with REQUIREMENTS, and its size in bytes.

    folder: an environment that is there is used and stays; one that is made here is removed afterwards, unless `keep`.
    None: a temporary folder. Raises LiveSRError.
    """
    with ExitStack() as stack:
        found = folder is not None and (folder / "pyvenv.cfg").is_file()
        if folder is not None and not found and folder.exists() and not (folder.is_dir() and is_empty(folder)):
            raise UsageError(f"{folder} has something else in it", "name a folder that is empty or does not exist")
        check_room(folder or Path(tempfile.gettempdir()), 0 if found else VENV_BYTES)
        folder = folder or Path(tempfile.mkdtemp(prefix="torch-tensorrt-"))
        if not found:
            if not keep:
                stack.callback(shutil.rmtree, folder, ignore_errors=True)
            make_venv(folder)
        python = folder / ("Scripts/python.exe" if os.name == "nt" else "bin/python")
        install(python)
        yield python, sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())
        if keep:
            say(f"the packages stay in {folder}")


def is_empty(folder: Path) -> bool:
    return next(folder.iterdir(), None) is None


def check_room(folder: Path, needed: int) -> None:
    """Raises MissingPart if the disk of `folder`, which need not exist yet, has not so many bytes free."""
    place = next(parent for parent in (folder.absolute(), *folder.absolute().parents) if parent.is_dir())
    free = shutil.disk_usage(place).free
    if free < needed:
        raise MissingPart(
            f"the disk of {place} has {free / 1e9:.1f} GB free, and the packages take {needed / 1e9:.1f} GB",
            "free some, or name a folder on another disk: --venv FOLDER",
        )


def make_venv(folder: Path) -> None:
    done = subprocess.run([sys.executable, "-m", "venv", folder], capture_output=True, text=True, check=False)
    if done.returncode:
        lines = (done.stdout + done.stderr).strip().splitlines() or ["it does not say why"]
        raise MissingPart(f"Python cannot make a virtual environment: {lines[0]}", "Debian has it in python3-venv")


def install(python: Path) -> None:
    say(f"installing {', '.join(REQUIREMENTS)}: 6 GB, some minutes")
    pip = [str(python), "-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries=2", "--timeout=30"]
    try:
        done = subprocess.run([*pip, *REQUIREMENTS], capture_output=True, text=True, check=False)
    except OSError as error:
        raise MissingPart(
            f"{python} does not run: {error.strerror}", "remove the folder, and run this again"
        ) from error
    if done.returncode:
        errors = [line for line in done.stderr.splitlines() if line.startswith("ERROR:")] or ["ERROR: unknown"]
        raise MissingPart(
            f"pip cannot install {REQUIREMENTS[0]} and {REQUIREMENTS[1]}: {errors[0].removeprefix('ERROR:').strip()}",
            "check the network, and `pip config list`",
        )


def run_jobs(worker: Sequence[str], jobs: Sequence[Job]) -> tuple[dict[str, str], list[Result]]:
    """The versions of the packages, and a result for each job. A worker that dies of a job is started for the next.

    Raises MissingPart if it does not even start.
    """
    versions: dict[str, str] = {}
    results: list[Result] = []
    while len(results) < len(jobs):
        before = len(results)
        last_words = ""
        with tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace") as errors:
            for answer in run_worker(worker, jobs[before:], errors):
                if "versions" in answer:
                    versions = answer["versions"]
                    continue
                results.append(answer)
                say(f"{len(results)}/{len(jobs)} {describe(answer)}")
            errors.seek(0)
            last_words = next((line.strip() for line in reversed(errors.readlines()) if line.strip()), "")
        if not versions:
            raise MissingPart(f"torch-tensorrt does not start: {last_words}", "remove the folder, and run this again")
        if len(results) < len(jobs):
            results.append(
                jobs[len(results)]
                | {
                    "refused": f"the process ended while it compiled: {last_words}",
                    "seconds": {},
                    "network": {},
                    "engines": {},
                }
            )
            say(f"{len(results)}/{len(jobs)} {describe(results[-1])}")
    return versions, results


def run_worker(worker: Sequence[str], jobs: Sequence[Job], errors: Any) -> Iterator[dict[str, Any]]:
    """What one worker answers, until it ends."""
    request = json.dumps({"jobs": jobs, "capabilities": CAPABILITIES})
    with subprocess.Popen(
        worker, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=errors, encoding="utf-8"
    ) as process:
        assert process.stdin is not None and process.stdout is not None
        try:
            with process.stdin as stdin:
                stdin.write(request)
        except BrokenPipeError:
            return
        for line in process.stdout:
            yield json.loads(line)


def describe(result: Result) -> str:
    if result["kind"] != "network":
        return f"{result['kind']}: {result.get('refused', 'compiled, which it should not')}"
    return f"{describe_build(result)}: {find_problem(result) or f'{count_engines([result])} engines'}"


if __name__ == "__main__":
    sys.exit(main())
