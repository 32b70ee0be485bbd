"""Compare two revisions of live-sr: milliseconds of processor time for a frame, in turns on this machine.

    python -m tools.benchmarks.against OLD NEW [--model fast] [--scale 2] [--size 480x270] [--rounds 15] [--threads 0]
                                               [--engine auto] [--video FILE [--preset veryfast]]

OLD and NEW are anything that git knows, such as v0.2.0, HEAD~3 or main. Each is checked out into a temporary folder and
runs in a process of its own, with the engine that it chooses itself, or the one that is named. The processes take
turns, so that what else runs on the machine meets both. The frames are of the bundled recording, each another one, and
drawn whole.

With --video, each turn is one `live-sr upscale` of that file, from the start of its work to the finished file; all
threads count, those of the decoder and of x264 too.
"""

import argparse
import os
import statistics
import subprocess
import sys
from pathlib import Path
from tempfile import TemporaryDirectory

ROOT = Path(__file__).resolve().parents[2]
FRAMES = 8  # of a turn

# Runs in the checkout of a revision. It asks for nothing that an earlier revision does not have.
CHILD = """
import sys, time
from contextlib import suppress
import cv2, numpy as np
from live_sr.app.demo import CLIP
from live_sr.engines import factory
from live_sr.engines.factory import EngineOptions  # where earlier revisions have it
with suppress(ImportError):
    from live_sr.engines.options import EngineOptions
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Frame, Size, make_black
model, backend, scale, width, height, threads, frames = *sys.argv[1:3], *map(int, sys.argv[3:])
video = sorted(CLIP.glob("*"))[0] if CLIP.is_dir() else CLIP
reader, pictures = cv2.VideoCapture(str(video)), []
while len(pictures) < frames:
    read, picture = reader.read()
    if not read:
        break
    pictures.append(np.dstack((cv2.resize(picture, (width, height)), np.full((height, width), 255, np.uint8))))
assert pictures, f"{video} has no frames"
engine = factory.make_engine(resolve(model), scale, EngineOptions(backend, threads=threads))
engine.warm_up(Size(width, height))
into = make_black(Size(width * scale, height * scale))
print(engine.info, flush=True)
for _ in sys.stdin:
    begun, passed = time.process_time(), time.perf_counter()
    for number in range(frames):
        engine.upscale(Frame(np.ascontiguousarray(pictures[number % len(pictures)])), into)
    work, wall = time.process_time() - begun, time.perf_counter() - passed
    print(work * 1000 / frames, wall * 1000 / frames, flush=True)
engine.close()
"""

# As above, for a video. The first turn warms up: it may compile engines, and try them.
CHILD_OF_VIDEOS = """
import sys, time
from pathlib import Path
from live_sr.models.resolve import resolve
from live_sr.upscale.options import EncodingOptions, ScalingOptions
from live_sr.upscale.video import job
model, scale, clip, preset = sys.argv[1], int(sys.argv[2]), Path(sys.argv[3]), sys.argv[5]
target = Path(sys.argv[4], f"{Path.cwd().name}.mkv")
scaling, encoding = ScalingOptions(resolve(model), scale=scale), EncodingOptions(preset=preset)
prepared = job.prepare_job(clip, target, scaling, encoding)
engine = job.make_warm_engine(prepared.info, prepared.settings)
print(engine.info, flush=True)
engine.close()
for _ in sys.stdin:
    begun, passed = time.process_time(), time.perf_counter()
    frames = job.upscale_video(clip, target, scaling, encoding, notify=lambda said: None).frames
    work, wall = time.process_time() - begun, time.perf_counter() - passed
    target.unlink()
    print(work * 1000 / frames, wall * 1000 / frames, flush=True)
"""


def check_out(name: str, folder: Path) -> Path:
    """Writes the files of a revision to `folder`, which it makes, and returns it. Raises SystemExit."""
    archive = subprocess.run(["git", "archive", name], cwd=ROOT, check=False, capture_output=True)
    if archive.returncode:
        raise SystemExit(f"git does not know the revision {name}: name a commit, branch or tag")
    folder.mkdir()
    subprocess.run(["tar", "-x"], cwd=folder, input=archive.stdout, check=True)
    return folder


class Checkout:
    """A checkout, and the process that measures it."""

    def __init__(self, name: str, folder: Path, code: str, arguments: list[str]) -> None:
        self.name = name
        check_out(name, folder)
        self._process = subprocess.Popen(
            [sys.executable, "-c", code, *arguments],
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self.engine = self._read()

    def measure(self) -> tuple[float, float]:
        """Milliseconds a frame: of the processor, and on the wall."""
        assert self._process.stdin is not None
        self._process.stdin.write("\n")
        self._process.stdin.flush()
        work, wall = map(float, self._read().split())
        return work, wall

    def close(self) -> None:
        self._process.communicate()

    def _read(self) -> str:
        assert self._process.stdout is not None
        line = self._process.stdout.readline().strip()
        if not line:
            raise SystemExit(f"{self.name} cannot be measured; its error is above")
        return line


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("old", metavar="OLD")
    parser.add_argument("new", metavar="NEW")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--scale", type=int, default=2)
    parser.add_argument("--size", default="480x270", help="of the frames (480x270)")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--threads", type=int, default=0, help="0: as many as the engine takes by itself")
    parser.add_argument("--engine", default="auto", help="such as openvino (auto)")
    parser.add_argument("--video", type=Path, metavar="FILE", help="upscale this video instead")
    parser.add_argument("--preset", default="veryfast", help="of x264, for --video (veryfast)")
    args = parser.parse_args()
    code, frames = CHILD, f"{FRAMES} frames of {args.size}"
    arguments = [args.model, args.engine, str(args.scale), *args.size.split("x"), str(args.threads), str(FRAMES)]
    with TemporaryDirectory() as folder:
        if args.video:
            code, frames = CHILD_OF_VIDEOS, f"{args.video.name}, x264 {args.preset}"
            arguments = [args.model, str(args.scale), str(args.video.absolute()), folder, args.preset]
        places = ((args.old, "old"), (args.new, "new"))
        both = [Checkout(name, Path(folder) / place, code, arguments) for name, place in places]
        for revision in both:
            revision.measure()
        rounds = [[revision.measure() for revision in both] for _ in range(args.rounds)]
        for revision in both:
            revision.close()
    load = f", load {os.getloadavg()[0]:.1f}" if hasattr(os, "getloadavg") else ""
    what = f"{args.model} x{args.scale}, {args.rounds} rounds of {frames}"
    print(f"{what}; {os.cpu_count()} cores{load}")
    for number, revision in enumerate(both):
        work, wall = (statistics.median(turn[number][kind] for turn in rounds) for kind in (0, 1))
        print(f"{revision.name}: {work:.2f} ms of the processor, {wall:.2f} ms on the wall ({revision.engine})")
    for kind, where in enumerate(("of the processor", "on the wall")):
        ratios = [new[kind] / old[kind] for old, new in rounds]
        least, most = min(ratios), max(ratios)
        print(f"new : old, {where}: {statistics.median(ratios):.2f} ({least:.2f} to {most:.2f} in single rounds)")


if __name__ == "__main__":
    main()
