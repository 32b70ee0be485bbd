"""Makes frames small, and damages them as a video or a stream does.

Knows the kinds of `degradation`, and two more: `light` is its milder second-order degradation, `stream` a shrunk
picture that went through H.264. Results are written without loss.
"""

from __future__ import annotations

import zlib
from contextlib import suppress
from fractions import Fraction
from pathlib import Path

import av
import cv2
import numpy as np
from av.video.reformatter import Interpolation

from live_sr.errors import LiveSRError, UsageError
from live_sr.imaging.degradation import LIGHT, Picture, degrade_second_order, shrink
from live_sr.imaging.picture_file import READABLE, is_picture, read_picture
from live_sr.terminal import print_result
from live_sr.training.pairs.options import DegradeOptions

# Without these, FFmpeg's conversions lose two levels of brightness on the way to YUV and back (measured).
EXACT_CONVERSION = Interpolation.BICUBIC | Interpolation.ACCURATE_RND | Interpolation.FULL_CHR_H_INT
STREAM_CRF = (20, 36)  # from a good recording to a stream that saves bandwidth


def degrade(large: Picture, scale: int, kind: str, seed: int) -> Picture:
    """`shrink` with all KINDS: BGR uint8 (H, W, 3) to (H // scale, W // scale, 3).

    At an even scale a point sample cannot be in the middle of its block (see `shrink`). Here the seed decides on which
    side of the middle it is, so that a network trained on many frames learns no shift.
    """
    rng = np.random.default_rng(seed)
    if kind == "light":
        return degrade_second_order(large, scale, rng, LIGHT)
    if kind == "stream":
        small = shrink(large, scale, str(rng.choice(("box", "bicubic"))), seed)
        return compress_h264(small, int(rng.integers(STREAM_CRF[0], STREAM_CRF[1] + 1)))
    if kind == "point":
        mirrored = np.s_[:: rng.choice((1, -1)), :: rng.choice((1, -1))]
        return np.ascontiguousarray(shrink(large[mirrored], scale, kind)[mirrored])
    return shrink(large, scale, kind, seed)


def compress_h264(picture: Picture, crf: int) -> Picture:
    """The picture after H.264 at this CRF (0 best, 51 worst): one key frame, chroma at half the resolution."""
    height, width = picture.shape[:2]
    even = np.pad(picture, ((0, height % 2), (0, width % 2), (0, 0)), "edge")
    encoder = av.CodecContext.create("libx264", "w")
    encoder.width, encoder.height, encoder.pix_fmt = even.shape[1], even.shape[0], "yuv420p"
    encoder.time_base = Fraction(1, 30)
    encoder.thread_count = 1
    encoder.options = {"crf": str(crf), "preset": "veryfast", "tune": "zerolatency"}
    decoder = av.CodecContext.create("h264", "r")
    frame = av.VideoFrame.from_ndarray(even, "bgr24").reformat(format="yuv420p", interpolation=EXACT_CONVERSION)
    packets = [*encoder.encode(frame), *encoder.encode(None)]
    (done,) = [frame for packet in (*packets, None) for frame in decoder.decode(packet)]
    return np.ascontiguousarray(convert_to_bgr(done)[:height, :width])


def convert_to_bgr(frame: av.VideoFrame) -> Picture:
    """A decoded frame as BGR uint8 (H, W, 3)."""
    return np.asarray(frame.reformat(format="bgr24", interpolation=EXACT_CONVERSION).to_ndarray(), np.uint8)


def list_pictures(place: Path) -> list[Path]:
    """The picture itself, or the pictures of a folder in the order of their names. Raises UsageError."""
    if place.is_file():
        return [place]
    if not place.is_dir():
        raise UsageError(f"there is no file or folder {place}", "give a picture or a folder of pictures")
    found = sorted(path for path in place.iterdir() if is_picture(path))
    if not found:
        raise UsageError(f"{place} holds no pictures ({', '.join(READABLE)})", "give another folder")
    return found


def write_picture(path: Path, picture: Picture) -> None:
    """Lossless PNG or WebP, by the suffix; written to a temporary file first. Raises LiveSRError."""
    lossless = (cv2.IMWRITE_WEBP_QUALITY, 101) if path.suffix == ".webp" else ()  # above 100 means lossless
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


def crop_to_multiple(picture: Picture, scale: int) -> Picture:
    """The middle of a picture, with sides that are multiples of `scale`. Raises UsageError if nothing is left."""
    height, width = (side // scale * scale for side in picture.shape[:2])
    if not height or not width:
        raise UsageError(
            f"a picture of {picture.shape[1]}x{picture.shape[0]} is too small for --scale {scale}", "leave it out"
        )
    top, left = (picture.shape[0] - height) // 2, (picture.shape[1] - width) // 2
    return np.ascontiguousarray(picture[top : top + height, left : left + width])


def derive_seed(name: str, seed: int) -> int:
    """The seed of one picture: the same in every run, whatever else is in its folder."""
    return zlib.crc32(f"{seed} {name}".encode())


def run(options: DegradeOptions) -> int:
    """`live-sr pairs degrade`: the exit code; prints what was written. Raises LiveSRError."""
    written = 0
    for path in list_pictures(options.frames):
        large = crop_to_multiple(read_picture(path), options.scale)
        target = options.out / f"{path.stem}.{options.format}"
        if target.resolve() == path.resolve():
            raise UsageError(f"{path} would be overwritten", "choose another --out")
        write_picture(target, degrade(large, options.scale, options.kind, derive_seed(path.stem, options.seed)))
        written += 1
    print_result(f"{options.out}: {written} pictures, {options.kind}, {options.scale} times smaller")
    return 0
