"""Make frames small and spoil them, as they arrive from a video or a stream.

    python tools/degrade.py FRAMES --kind realesrgan --scale 4 --out DIR
    python tools/degrade.py shot.png --kind stream --scale 2 --out DIR --seed 7

FRAMES is a picture or a folder of pictures. The kinds of live_sr.degradation, and two more: `light` is its milder
second-order degradation, `stream` a shrunk picture that went through H.264. What comes out is lossless.
"""

from __future__ import annotations

import argparse
import sys
import zlib
from collections.abc import Iterator
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation

from live_sr import degradation
from live_sr.degradation import LIGHT, Picture, second_order, shrink
from live_sr.errors import LiveSRError, UsageError

KINDS = (*degradation.KINDS, "light", "stream")
# How often "mixture" draws each: what videos and pictures are mostly shrunk by first
MIXTURE = {"box": 0.4, "bicubic": 0.25, "point": 0.2, "lanczos": 0.15}
READ = (".png", ".webp", ".bmp", ".jpg", ".jpeg")
FORMATS = ("png", "webp")
# Without these, FFmpeg's conversions lose two levels of brightness on the way to YUV and back (measured).
EXACT = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
STREAM_CRF = (20, 36)  # libx264's quality: from a good recording to a stream that saves


def degraded(large: Picture, scale: int, kind: str, seed: int) -> Picture:
    """`shrink` with all KINDS: BGR uint8 (H, W, 3) to (H // scale, W // scale, 3).

    At an even scale a point sample cannot be in the middle of its block (see `shrink`). Here the seed decides on which
    side of it, so that a network that is trained on many frames learns no shift.
    """
    random = np.random.default_rng(seed)
    if kind == "light":
        return second_order(large, scale, random, LIGHT)
    if kind == "stream":
        small = shrink(large, scale, str(random.choice(("box", "bicubic"))), seed)
        return through_h264(small, int(random.integers(STREAM_CRF[0], STREAM_CRF[1] + 1)))
    if kind == "point":
        mirrored = np.s_[:: random.choice((1, -1)), :: random.choice((1, -1))]
        return np.ascontiguousarray(shrink(large[mirrored], scale, kind)[mirrored])
    return shrink(large, scale, kind, seed)


def through_h264(picture: Picture, crf: int) -> Picture:
    """The picture after H.264 at this quality (0 to 51, worst last): one key frame, chroma at half the resolution."""
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.thread_count = 1
    encoder.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    frame = av.VideoFrame.from_ndarray(even, "bgr24").reformat(format="yuv420p", interpolation=EXACT)
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    (done,) = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    return np.ascontiguousarray(bgr(done)[:height, :width])


def bgr(frame: av.VideoFrame) -> Picture:
    """A decoded frame as BGR uint8 (H, W, 3)."""
    return np.asarray(frame.reformat(format="bgr24", interpolation=EXACT).to_ndarray(), np.uint8)


def pictures_in(place: Path) -> list[Path]:
    """The picture itself, or those of a folder by name. Raises UsageError."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise UsageError(f"there is no {place}", "give a picture or a folder of pictures")
    found = sorted(path for path in place.iterdir() if path.suffix.lower() in READ)
    if not found:
        raise UsageError(f"{place} holds no pictures ({', '.join(READ)})", "give another folder")
    return found


def read(path: Path) -> Picture:
    """BGR uint8 (H, W, 3); transparency is dropped. Raises UsageError."""
    try:
        data = np.fromfile(path, np.uint8)
    except OSError as error:
        raise UsageError(f"{path} cannot be read: {error.strerror}", "leave it out") from None
    picture = cv2.imdecode(data, cv2.IMREAD_COLOR) if data.size else None
    if picture is None:
        raise UsageError(f"{path} is not a readable picture", "leave it out")
    return np.asarray(picture, np.uint8)


def write(path: Path, picture: Picture) -> None:
    """Lossless PNG or WebP by the name: to a temporary file first. Raises LiveSRError."""
    lossless = (cv2.IMWRITE_WEBP_QUALITY, 101) if path.suffix == ".webp" else ()  # above 100 it is
    done, data = cv2.imencode(path.suffix, picture, lossless)
    part = path.with_suffix(".part")
    try:
        if not done:
            raise OSError(0, f"a picture of {picture.shape[1]}x{picture.shape[0]} cannot be a {path.suffix} file")
        path.parent.mkdir(parents=True, exist_ok=True)
        part.write_bytes(data.tobytes())
        part.replace(path)
    except OSError as error:
        with suppress(OSError):
            part.unlink()
        raise LiveSRError(f"{path} cannot be written: {error.strerror}", "choose another --out") from None


def cropped(picture: Picture, scale: int) -> Picture:
    """Its middle, whose sides are multiples of `scale`. Raises UsageError for less than one such block."""
    height, width = (side // scale * scale for side in picture.shape[:2])
    if not height or not width:
        raise UsageError(
            f"a picture of {picture.shape[1]}x{picture.shape[0]} is too small for --scale {scale}", "leave it out"
        )
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def seed_of(name: str, seed: int) -> int:
    """A picture's own seed: the same in every run, whatever lies beside it in the folder."""
    return zlib.crc32(f"{seed} {name}".encode())


def results(options: argparse.Namespace) -> Iterator[Path]:
    for path in pictures_in(options.frames):
        large = cropped(read(path), options.scale)
        target = options.out / f"{path.stem}.{options.format}"
        if target.resolve() == path.resolve():
            raise UsageError(f"{path} would be overwritten", "choose another --out")
        write(target, degraded(large, options.scale, options.kind, seed_of(path.stem, options.seed)))
        yield target


def arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.split("\n")[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("frames", type=Path, metavar="FRAMES", help="a picture or a folder of pictures")
    parser.add_argument("--kind", choices=KINDS, default="realesrgan", help="what happens to them")
    parser.add_argument("--scale", type=int, choices=(1, 2, 3, 4), default=4, help="how many times smaller they become")
    parser.add_argument("--out", type=Path, required=True, help="folder for the results")
    parser.add_argument("--seed", type=int, default=0, help="another seed, another result of the random kinds")
    parser.add_argument("--format", choices=FORMATS, default="png", help="webp is smaller and slower to write")
    return parser.parse_args()


def main() -> int:
    options = arguments()
    try:
        written = sum(1 for _ in results(options))
    except LiveSRError as error:
        print(f"degrade: {error.message}; {error.remedy}", file=sys.stderr)
        return error.exit_code
    print(f"{options.out}: {written} pictures, {options.kind}, {options.scale} times smaller")
    return 0


if __name__ == "__main__":
    sys.exit(main())
