"""Measure `live-sr upscale` of a video: against the engine alone, and against dumping every frame into a file.

    python -m tools.benchmarks.upscale [--seconds 60] [--model fast] [--preset medium] [--json FILE]

Makes a 480x270 H.264 clip of the bundled recording with two tracks of sound and one of subtitles (needs imageio-ffmpeg,
for its ffmpeg), and in one run measures frames per second of: the engine alone, on frames that are decoded already; the
decoder and the encoder alone; `live-sr upscale` in a process of its own, with its memory at a quarter of the way and at
its end; and the way by files, with the same engine and the same settings of x264: ffmpeg writes every frame as a PNG,
each is read, enlarged and written again, ffmpeg encodes them and copies the sound. Then compares all streams of the
source and of what was made: packets, times, durations, names. Ends with 1 where they differ.
"""

import argparse
import json
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from fractions import Fraction
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import av
import cv2
import imageio_ffmpeg
import numpy as np
import psutil

from live_sr.app.demo import CLIP
from live_sr.imaging import video_colour as colour
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Frame, Pixels, get_size, make_black
from live_sr.upscale.options import EncodingOptions, ScalingOptions
from live_sr.upscale.video import job as video
from live_sr.upscale.video.mux import CONTAINER_TAGS
from live_sr.upscale.video.segment_encoder import SegmentEncoder

ROOT = Path(__file__).resolve().parents[2]


FFMPEG = [imageio_ffmpeg.get_ffmpeg_exe(), "-v", "error", "-nostdin", "-y"]
KEPT_FRAMES = 48  # decoded frames that the engine goes round
MEGABYTE = 1 << 20
SUBTITLES = "1\n00:00:01,000 --> 00:00:03,000\nHello\n\n2\n00:00:04,000 --> 00:00:05,500\nWorld\n"


@dataclass(frozen=True)
class UpscaleFigures:
    """Frames per second, but for those that say otherwise."""

    model: str
    preset: str
    cores: int
    frames: int
    engine: float
    decoder: float
    encoder: float
    ours: float
    by_files: float
    quarter_mb: float
    end_mb: float
    peak_mb: float
    dumped_mb: float

    @property
    def all_cores_busy(self) -> float:
        """What these cores can give where nothing waits: every part alone kept all of them busy."""
        return 1 / (1 / self.engine + 1 / self.decoder + 1 / self.encoder)


def make_clip(path: Path, seconds: float) -> None:
    words = path.with_suffix(".srt")
    words.write_text(SUBTITLES)
    tones = [f for tone in (440, 660) for f in ("-f", "lavfi", "-i", f"sine={tone}:r=48000")]
    names = ["-metadata", "title=A clip", "-metadata:s:a:0", "language=eng", "-metadata:s:a:1", "language=deu"]
    maps = ["-map", "0:v", "-map", "1:a", "-map", "2:a", "-map", "3:s"]
    codecs = ["-c:v", "libx264", "-crf", "20", "-g", "120", "-c:a", "aac", "-c:s", "srt", "-pix_fmt", "yuv420p"]
    sources = ["-stream_loop", "-1", "-i", str(CLIP), *tones, "-i", str(words)]
    filters = ["-vf", "scale=480:270,fps=30", "-t", f"{seconds:g}"]
    subprocess.run([*FFMPEG, *sources, *maps, *names, *filters, *codecs, str(path)], check=True)


def measure_engine(job: video.TranscodeJob, pictures: list[Pixels], seconds: float) -> float:
    engine = video.make_warm_engine(job.info, job.settings)
    into = make_black(get_size(pictures[0]).times(engine.scale))
    begun, count = time.perf_counter(), 0
    while time.perf_counter() - begun < seconds:
        engine.upscale(Frame(pictures[count % len(pictures)]), into)
        count += 1
    rate = count / (time.perf_counter() - begun)
    engine.close()
    return rate


def measure_decoder(job: video.TranscodeJob, keep: list[Pixels]) -> float:
    """Frames per second decoded and made BGRA; puts the first ones into `keep`."""
    reader = colour.InputConverter(job.info.matrix_tags, job.info.size, job.info.geometry)
    picture, count = make_black(job.info.size), 0
    begun = time.perf_counter()
    with av.open(str(job.info.path)) as container:
        container.streams.video[0].thread_type = "AUTO"
        for frame in container.decode(video=0):
            reader.convert(frame, picture)
            count += 1
            if len(keep) < KEPT_FRAMES:
                keep.append(picture.copy())
    return count / (time.perf_counter() - begun)


def measure_encoder(job: video.TranscodeJob, pictures: list[Pixels], folder: Path) -> float:
    large = [np.asarray(cv2.resize(p, job.settings.size, interpolation=cv2.INTER_CUBIC), np.uint8) for p in pictures]
    encoder = SegmentEncoder(job.info, job.settings, folder / "alone.segment")
    step = round(1 / job.info.rate / job.info.time_base)
    begun = time.perf_counter()
    for number in range(4 * len(large)):
        encoder.add(number * step, step, large[number % len(large)])
    encoder.finish(0, 0)
    return 4 * len(large) / (time.perf_counter() - begun)


def run_child(a: argparse.Namespace) -> int:
    """Ours, in a process of its own: prints seconds and its largest memory."""
    begun = time.perf_counter()
    scaling, encoding = ScalingOptions(model=resolve(a.model), scale=2), EncodingOptions(preset=a.preset)
    counts = video.upscale_video(a.clip, a.target, scaling, encoding, notify=lambda told: None)
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
    print(json.dumps({"frames": counts.frames, "seconds": time.perf_counter() - begun, "peak_mb": peak}))
    return 0


def measure_upscale(
    a: argparse.Namespace, clip: Path, target: Path, seconds: float
) -> tuple[dict[str, float], float, float]:
    """What the child told, and its memory a quarter of `seconds` in and at its end, in MB."""
    flags = ["--clip", str(clip), "--target", str(target), "--model", a.model, "--preset", a.preset]
    process = subprocess.Popen([sys.executable, "-m", "tools.benchmarks.upscale", *flags], stdout=subprocess.PIPE)
    watched, begun = psutil.Process(process.pid), time.perf_counter()
    held: list[tuple[float, float]] = []
    while process.poll() is None:
        held.append((time.perf_counter() - begun, watched.memory_info().rss / MEGABYTE))
        time.sleep(0.1)
    assert process.stdout is not None
    told = json.loads(process.stdout.read())
    later = [mb for at, mb in held if at >= held[-1][0] / 4 and mb]
    return told, later[0], later[-2]


def measure_by_files(job: video.TranscodeJob, target: Path, folder: Path) -> tuple[float, float]:
    """Seconds, and MB on the disk."""
    begun = time.perf_counter()
    small, large = folder / "small", folder / "large"
    small.mkdir()
    large.mkdir()
    source = str(job.info.path)
    subprocess.run([*FFMPEG, "-i", source, "-fps_mode", "passthrough", str(small / "%06d.png")], check=True)
    engine = video.make_warm_engine(job.info, job.settings)
    into: Pixels | None = None
    for path in sorted(small.iterdir()):
        read = cv2.imread(str(path))
        assert read is not None
        done = engine.upscale(Frame(cv2.cvtColor(read, cv2.COLOR_BGR2BGRA).astype(np.uint8, copy=False)), into)
        assert done is not None
        into = done.pixels
        cv2.imwrite(str(large / path.name), into[..., :3])
    engine.close()
    settings = [f for key, value in job.settings.options for f in (f"-{key}", value)]
    pictures = ["-framerate", str(job.info.rate), "-i", str(large / "%06d.png"), "-i", source]
    maps = ["-map", "0:v", "-map", "1:a", "-map", "1:s", "-c:a", "copy", "-c:s", "copy"]
    codec = ["-c:v", job.settings.codec, *settings, "-pix_fmt", job.settings.pixel_format]
    subprocess.run([*FFMPEG, *pictures, *maps, *codec, str(target)], check=True)
    dumped = sum(path.stat().st_size for where in (small, large) for path in where.iterdir())
    return time.perf_counter() - begun, dumped / MEGABYTE


Facts = dict[str, Any]


def list_differences(source: Path, made: Path, scale: int = 2) -> list[str]:
    """What is not as it was, in sentences: streams, names, times, and every packet that is no picture."""
    was, now = _read_facts(source), _read_facts(made)
    told: list[str] = []

    def same(what: str, one: object, other: object) -> None:
        if one != other:
            told.append(f"{what}: {one} became {other}")

    same("kinds of stream", [s["type"] for s in was], [s["type"] for s in now])
    for number, (one, other) in enumerate(zip(was, now, strict=False)):
        for key in one:
            if key == "size":
                same(f"stream {number} size", tuple(scale * side for side in one[key]), other[key])
            elif not (one["type"] == "video" and key in ("packets", "codec")):
                same(f"stream {number} {key}", one[key], other[key])
    return told


def _read_facts(path: Path) -> list[Facts]:
    with av.open(str(path)) as container:
        streams: list[Facts] = []
        packets: dict[int, list[tuple[Fraction, Fraction, bytes]]] = {s.index: [] for s in container.streams}
        for packet in container.demux():
            if packet.size:
                unit = packet.time_base
                assert packet.pts is not None
                row = (packet.pts * unit, (packet.duration or 0) * unit, bytes(packet))
                packets[packet.stream_index].append(row)
        for stream in container.streams:
            index = packets[stream.index]
            facts: Facts = {
                "type": stream.type,
                "codec": stream.codec_context.name,
                "names": {k: v for k, v in stream.metadata.items() if k.lower() != "encoder"},
                "marks": stream.disposition,
                "times": sorted(time for time, _, _ in index),
                "packets": [data for _, _, data in index],
            }
            if isinstance(stream, av.VideoStream):
                context = stream.codec_context
                facts["size"] = (context.width, context.height)
                facts["rate"], facts["aspect"] = stream.average_rate, stream.sample_aspect_ratio
                facts["colours"] = (context.colorspace, context.color_primaries, context.color_trc)
            streams.append(facts)
        whole: Facts = {
            "type": container.format.name,
            "names": {k: v for k, v in container.metadata.items() if k.lower() not in CONTAINER_TAGS},
            "duration": container.duration,
            "chapters": container.chapters(),
        }
        return [whole, *streams]


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=60.0, help="of the clip (60)")
    parser.add_argument("--model", default="fast")
    parser.add_argument("--preset", default="")
    parser.add_argument("--json", type=Path, metavar="FILE")
    parser.add_argument("--keep", type=Path, metavar="FILE.mkv", help="keep what was made")
    for hidden in ("--clip", "--target"):
        parser.add_argument(hidden, type=Path, help=argparse.SUPPRESS)
    a = parser.parse_args()
    if a.target:
        return run_child(a)
    with TemporaryDirectory() as name:
        folder = Path(name)
        clip, made = folder / "clip.mkv", a.keep or folder / "made.mkv"
        make_clip(clip, a.seconds)
        job = video.prepare_job(
            clip, made, ScalingOptions(model=resolve(a.model), scale=2), EncodingOptions(preset=a.preset)
        )
        pictures: list[Pixels] = []
        decoder = measure_decoder(job, pictures)
        engine = measure_engine(job, pictures, 8)
        encoder = measure_encoder(job, pictures, folder)
        told, quarter, end = measure_upscale(a, clip, made, a.seconds)
        engine = (engine + measure_engine(job, pictures, 8)) / 2  # before and after, as the machine may be shared
        files_s, dumped = measure_by_files(job, folder / "files.mkv", folder)
        figures = UpscaleFigures(
            model=a.model,
            preset=dict(job.settings.options).get("preset", ""),
            cores=os.cpu_count() or 1,
            frames=int(told["frames"]),
            engine=engine,
            decoder=decoder,
            encoder=encoder,
            ours=told["frames"] / told["seconds"],
            by_files=told["frames"] / files_s,
            quarter_mb=quarter,
            end_mb=end,
            peak_mb=told["peak_mb"],
            dumped_mb=dumped,
        )
        wrong = list_differences(clip, made)
    print_figures(figures, print)
    print(*(wrong or ["every stream is as it was"]), sep="\n")
    if a.json:
        a.json.write_text(json.dumps({**asdict(figures), "differences": wrong}, indent=1))
    return 1 if wrong else 0


def print_figures(f: UpscaleFigures, notify: Callable[[str], object]) -> None:
    notify(f"{f.model} x2, x264 {f.preset}, {f.frames} frames, {f.cores} cores")
    notify(f"alone: engine {f.engine:.1f} fps, decoder {f.decoder:.1f}, encoder {f.encoder:.1f}")
    notify(f"live-sr upscale {f.ours:.1f} fps: {f.ours / f.engine:.2f} of the engine")
    notify(f"  {f.ours / f.all_cores_busy:.2f} of {f.all_cores_busy:.1f} fps, what the cores give if none ever waits")
    notify(
        f"by files {f.by_files:.1f} fps and {f.dumped_mb:.0f} MB on the disk: {f.ours / f.by_files:.1f} times as long"
    )
    notify(f"memory {f.quarter_mb:.0f} MB a quarter of the way, {f.end_mb:.0f} at the end, {f.peak_mb:.0f} at most")


if __name__ == "__main__":
    sys.exit(main())
