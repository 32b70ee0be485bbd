"""VMAF, Netflix's metric for video, through the ffmpeg that imageio-ffmpeg brings (built with libvmaf)."""

from __future__ import annotations

import os
import re
import subprocess

import imageio_ffmpeg
import numpy as np

from live_sr.errors import LiveSRError, MissingPart
from live_sr.evaluate.metrics import BgrImage, MakeAccumulator

CHUNK = 48 << 20  # bytes of pictures that are collected for one run of ffmpeg
SIDE = 32  # pixels; libvmaf refuses less than about half of that
SCORE = re.compile(r"VMAF score: ([\d.]+)")
# Each input picture is the shown one above its target, so that one pipe carries both.
GRAPH = (
    "split[a][b];[a]crop=iw:ih/2:0:0,format=yuv420p[shown];[b]crop=iw:ih/2:0:ih/2,format=yuv420p[target];"
    "[shown][target]libvmaf=n_threads={threads}"
)


def make_vmaf() -> MakeAccumulator:
    """The default model of libvmaf (vmaf_v0.6.1), 0..100; a still that equals its target has 97.4.

    Raises MissingPart when this ffmpeg has no libvmaf.
    """
    program = imageio_ffmpeg.get_ffmpeg_exe()
    told = subprocess.run([program, "-hide_banner", "-filters"], capture_output=True, text=True, check=False).stdout
    if " libvmaf " not in told:
        raise MissingPart(f"{program} is built without libvmaf")
    return lambda: Vmaf(program)


class Vmaf:
    """Measures neighbouring frames of one sequence as a video, a single one as a still. Every frame counts the same."""

    def __init__(self, program: str) -> None:
        self._program = program
        self._sequence = ""
        self._waiting: list[BgrImage] = []  # of one sequence and size
        self._sum = 0.0
        self._frames = 0

    def add(self, shown: BgrImage, target: BgrImage, sequence: str) -> None:
        if min(shown.shape[:2]) < SIDE:
            return
        both = np.concatenate([shown, target])
        held = self._waiting
        if held and (
            sequence != self._sequence or both.shape != held[0].shape or (len(held) + 1) * both.nbytes > CHUNK
        ):
            self._measure()
        self._sequence = sequence
        self._waiting.append(both)

    def mean(self) -> float | None:
        self._measure()
        return self._sum / self._frames if self._frames else None

    def _measure(self) -> None:
        frames, self._waiting = self._waiting, []
        if not frames:
            return
        height, width = frames[0].shape[:2]
        source = ["-f", "rawvideo", "-pix_fmt", "bgr24", "-s", f"{width}x{height}", "-r", "30", "-i", "pipe:0"]
        graph = GRAPH.format(threads=os.cpu_count() or 1)
        command = [self._program, "-hide_banner", "-nostats", *source, "-lavfi", graph, "-f", "null", "-"]
        done = subprocess.run(command, input=b"".join(f.tobytes() for f in frames), capture_output=True, check=False)
        said = done.stderr.decode(errors="replace")
        score = SCORE.search(said)
        if score is None:
            raise LiveSRError(f"ffmpeg could not measure VMAF: {said.strip().splitlines()[-1]}", "leave vmaf out")
        self._sum += float(score[1]) * len(frames)
        self._frames += len(frames)
