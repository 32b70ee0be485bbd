"""Upscale a clip in one process, then on a Ray cluster of this machine with a worker killed in mid-run, and compare.

    python -m tools.stress.ray_worker_loss                     a clip of noise and movement that is made for it
    python -m tools.stress.ray_worker_loss --clip FILE --model quality --workers 3 --kills 2

Prints what each took and whether the files are the same, bit for bit; the exit code is 0 only if they are.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import numpy as np
import psutil

from live_sr.errors import LiveSRError
from live_sr.models.resolve import resolve
from live_sr.upscale.options import EncodingOptions, ScalingOptions
from live_sr.upscale.video.job import SegmentRunner, TranscodeJob, prepare_job, run_in_process, upscale_video
from live_sr.upscale.video.ray_cluster import RayCluster, open_cluster
from live_sr.upscale.video.segments import Segment
from live_sr.upscale.video.transcode import TranscodeCallbacks

TITLE = "ray::live-sr segment"  # what Ray calls the process of a task


def make_clip(path: Path, seconds: int, size: tuple[int, int] = (160, 96)) -> Path:
    """Noise that moves, a key frame every second, and a tone."""
    random = np.random.default_rng(1)
    wide = random.integers(0, 256, (size[1], size[0] * 3, 3)).astype(np.uint8)
    with av.open(str(path), "w") as container:
        video = container.add_stream("libx264", rate=25, options={"g": "25", "bf": "2", "sc_threshold": "0"})
        video.width, video.height, video.pix_fmt = *size, "yuv420p"
        sound = container.add_stream("aac", rate=48000, layout="mono")
        for number in range(25 * seconds):
            picture = np.ascontiguousarray(wide[:, number * 2 % size[0] :][:, : size[0]])
            container.mux(video.encode(av.VideoFrame.from_ndarray(picture, "rgb24")))
        tone = np.sin(np.arange(48000 * seconds, dtype=np.float32) / 20)[np.newaxis]
        frame = av.AudioFrame.from_ndarray(tone, "fltp", "mono")
        frame.sample_rate, frame.time_base, frame.pts = 48000, Fraction(1, 48000), 0
        container.mux(sound.encode(frame))
        for stream in (video, sound):
            container.mux(stream.encode(None))
    return path


class ClipJob:
    """A clip, and what is to be done with it."""

    def __init__(self, clip: Path, work: ScalingOptions, segment_s: float = 1.0) -> None:
        self.clip, self.scaling = clip, work
        self.encoding = EncodingOptions(preset="veryfast", segment_s=segment_s)

    def prepared(self) -> TranscodeJob:
        return prepare_job(self.clip, Path("made.mkv"), self.scaling, self.encoding)

    def alone(self, target: Path) -> str:
        """In this process; the digest of what came out."""
        return self._made(target, run_in_process)

    def there(self, target: Path, ours: RayCluster, done: list[int]) -> str:
        """On a cluster, which puts the numbers of finished segments into `done`."""

        def run(
            job: TranscodeJob,
            segments: Sequence[Segment],
            get_path: Callable[[Segment], Path],
            callbacks: TranscodeCallbacks,
        ) -> None:
            ours.run(job.info, job.settings, segments, get_path, lambda segment, counts: done.append(segment.number))

        return self._made(target, run)

    def _made(self, target: Path, run: SegmentRunner) -> str:
        upscale_video(self.clip, target, self.scaling, self.encoding, notify=lambda words: None, run=run)
        return hashlib.sha256(target.read_bytes()).hexdigest()


class WorkerKiller(threading.Thread):
    """Kills workers of this process's Ray while they make a segment, `kills` of them, one after another."""

    def __init__(self, kills: int) -> None:
        super().__init__(daemon=True)
        self.killed: list[int] = []
        self.stop = threading.Event()
        self._kills = kills

    def run(self) -> None:
        while len(self.killed) < self._kills and not self.stop.wait(0.05):
            for process in psutil.Process().children(recursive=True):
                if _is_busy(process):
                    with suppress(psutil.Error):
                        process.kill()
                        self.killed.append(process.pid)
                    break


def _is_busy(process: psutil.Process) -> bool:
    try:
        return TITLE in " ".join(process.cmdline())
    except psutil.Error:
        return False


def main() -> int:
    shape = argparse.ArgumentDefaultsHelpFormatter
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0], formatter_class=shape)
    parser.add_argument("--clip", type=Path, help="a video file")
    parser.add_argument("--model", default="fast", help="as for `live-sr upscale`")
    parser.add_argument("--workers", type=int, default=2, help="processes of the cluster")
    parser.add_argument("--kills", type=int, default=1, help="how many of them get lost")
    parser.add_argument("--seconds", type=int, default=8, help="length of the clip that is made")
    args = parser.parse_args()
    try:
        with tempfile.TemporaryDirectory() as folder:
            clip = args.clip or make_clip(Path(folder, "clip.mkv"), args.seconds)
            return compare(ClipJob(clip, ScalingOptions(resolve(args.model))), Path(folder), args.workers, args.kills)
    except LiveSRError as error:
        print(f"try_ray: {error.message}; {error.remedy}", file=sys.stderr)
        return error.exit_code


def compare(job: ClipJob, folder: Path, workers: int, kills: int) -> int:
    begun = time.monotonic()
    alone = job.alone(folder / "alone.mkv")
    print(f"one process: {time.monotonic() - begun:.1f} s", flush=True)
    killer = WorkerKiller(kills)
    done: list[int] = []
    begun = time.monotonic()
    with open_cluster("", job.scaling.engine, workers) as ours:
        print(f"Ray with {workers} workers: started in {time.monotonic() - begun:.1f} s", flush=True)
        begun = time.monotonic()
        killer.start()
        there = job.there(folder / "there.mkv", ours, done)
        killer.stop.set()
        killer.join()
        print(f"  {len(done)} segments in {time.monotonic() - begun:.1f} s, {len(killer.killed)} workers killed")
    same = alone == there
    print(f"the videos are {'the same, bit for bit' if same else 'DIFFERENT'}: {alone[:16]} {there[:16]}")
    return 0 if same and len(killer.killed) == kills else 1


if __name__ == "__main__":
    sys.exit(main())
