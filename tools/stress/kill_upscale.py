"""Kill `live-sr upscale` at random moments, let it resume, and compare the results bit by bit.

    python -m tools.stress.kill_upscale [--kills 10] [--clip FILE] [--model fast] [--out mkv,mp4] [--seed 1]

Makes a short clip of the bundled recording, with sound. Upscales it once undisturbed and takes the time. Then, for each
kind of file, as often as asked: starts the same, sends SIGKILL at a random moment of that time, starts again with
--resume, and kills that too, until one comes to its end; its file must be the undisturbed one's, byte by byte, and
nothing else may be left in the folder. Ends with 1 where one differs.
"""

import argparse
import hashlib
import random
import subprocess
import sys
import time
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory

import av
import numpy as np

from live_sr.app.demo import CLIP
from live_sr.models.resolve import resolve
from live_sr.upscale import main as upscale
from live_sr.upscale.options import EncodingOptions, ScalingOptions, UpscaleOptions
from live_sr.upscale.video import job_folder

ROOT = Path(__file__).resolve().parents[2]


LEAST_S = 0.3  # of a process's life: interpreters take as long to begin


def make_clip(path: Path, frames: int) -> None:
    """The first frames of the bundled recording at 240x136 with a tone, a key frame every half second."""
    with av.open(str(CLIP)) as source, av.open(str(path), "w") as made:
        pictures = made.add_stream("libx264", rate=30, options={"crf": "18", "preset": "veryfast"})
        pictures.width, pictures.height, pictures.pix_fmt, pictures.gop_size = 240, 136, "yuv420p", 15
        sound = made.add_stream("aac", rate=48000, layout="mono")
        for number, frame in enumerate(source.decode(video=0)):
            if number >= frames:
                break
            small = frame.reformat(240, 136, "yuv420p")
            small.pts, small.time_base = number, Fraction(1, 30)
            made.mux(pictures.encode(small))
            tone = np.sin(np.arange(1600) * (0.05 + number / 4000)).astype(np.float32)[np.newaxis] * 0.3
            piece = av.AudioFrame.from_ndarray(tone, format="fltp", layout="mono")
            piece.sample_rate, piece.pts, piece.time_base = 48000, number * 1600, Fraction(1, 48000)
            made.mux(sound.encode(piece))
        made.mux(pictures.encode(None))
        made.mux(sound.encode(None))


def run_child(a: argparse.Namespace) -> int:
    work = ScalingOptions(model=resolve(a.model), scale=2)
    encoding = EncodingOptions(segment_s=0.5, codec=a.codec, preset=a.preset)
    return upscale(UpscaleOptions((a.clip,), a.target, work, encoding, resume=a.resume))


def build_command(a: argparse.Namespace, clip: Path, target: Path, *, resume: bool) -> list[str]:
    flags = ["--clip", str(clip), "--model", a.model, "--codec", a.codec, "--preset", a.preset, "--target", str(target)]
    return [sys.executable, "-m", "tools.stress.kill_upscale", *flags, *(["--resume"] if resume else [])]


def compute_digest(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()


def run_interrupted(a: argparse.Namespace, clip: Path, target: Path, takes_s: float, rng: random.Random) -> list[int]:
    """How many segments were complete each time that it was killed, until it came to its end."""
    kills: list[int] = []
    while True:
        process = subprocess.Popen(
            build_command(a, clip, target, resume=True), stdout=subprocess.DEVNULL, stderr=subprocess.PIPE
        )
        try:
            _, told = process.communicate(timeout=None if len(kills) > 6 else LEAST_S + rng.random() * takes_s)
        except subprocess.TimeoutExpired:
            process.kill()
            process.communicate()
            kills.append(len(list(job_folder.get_job_folder(target).glob("*.segment"))))
            continue
        if process.returncode:
            sys.exit(f"it ended with {process.returncode}: {told.decode()}")
        if kills:
            return kills
        target.unlink()  # it was faster than the rng: once more


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--kills", type=int, default=10, metavar="N", help="interrupted jobs of each kind (10)")
    parser.add_argument("--clip", type=Path, help="a video of your own")
    parser.add_argument("--frames", type=int, default=240, help="of the clip that is made otherwise (240)")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--codec", default="libx264")
    parser.add_argument("--preset", default="")
    parser.add_argument("--out", default="mkv,mp4", help="kinds of file (mkv,mp4)")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--target", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--resume", action="store_true", help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.target:
        return run_child(a)
    rng = random.Random(a.seed)
    wrong = 0
    with TemporaryDirectory() as folder:
        source = a.clip or Path(folder) / "clip.mp4"
        if a.clip is None:
            make_clip(source, a.frames)
        for kind in a.out.split(","):
            whole = Path(folder) / kind / f"whole.{kind}"
            begun = time.monotonic()
            subprocess.run(build_command(a, source, whole, resume=False), check=True)
            takes_s = time.monotonic() - begun
            for turn in range(a.kills):
                target = Path(folder) / kind / f"turn{turn}" / f"made.{kind}"
                kills = run_interrupted(a, source, target, takes_s, rng)
                same = compute_digest(target) == compute_digest(whole)
                left = [path.name for path in target.parent.iterdir() if path != target]
                wrong += not same or bool(left)
                what = "identical" if same else "DIFFERENT"
                print(f"{kind} {turn + 1}: killed with {kills} segments done, {what}, left: {left}")
    print("all identical" if not wrong else f"{wrong} are wrong")
    return 1 if wrong else 0


if __name__ == "__main__":
    sys.exit(main())
