"""Makes large pictures small: with a named kernel, or with the damage that photographs and streams suffer.

A network is good at what it was trained on, so every figure in decibels is reported with the name of its kernel. The
result depends only on the picture and the seed.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import pi

import cv2
import numpy as np
import numpy.typing as npt

from live_sr.errors import UsageError, did_you_mean

Picture = npt.NDArray[np.uint8]
"""BGR, shape (height, width, 3), uint8."""

Values = npt.NDArray[np.float32]
"""The same in 0..255 as float32, or the weights of a filter."""

KINDS = ("box", "bicubic", "lanczos", "point", "realesrgan")

Range = tuple[float, float]


def shrink(large: Picture, scale: int, kind: str, seed: int = 0) -> Picture:
    """Shrinks a picture (H, W, 3) to (H // scale, W // scale, 3) by one of KINDS. H and W are multiples of `scale`.

    box         the mean of each block: what supersampling renders
    bicubic     Keys' cubic with a = -0.5, widened by `scale` against aliasing (as Pillow and MATLAB do)
    lanczos     Lanczos of three lobes, widened likewise
    point       one pixel of each block, row and column scale // 2, which is what a GPU's nearest filter takes. At an
                odd scale it is the middle; at an even one it lies half a large pixel right of and below the middle,
                so that the picture seems moved by 1 / (2 * scale) of its own pixels to the left and up
    realesrgan  `second_order` with the figures of its paper

    Only realesrgan depends on `seed`. Raises UsageError for an unknown kind or a size that is no multiple of `scale`.
    """
    if kind not in KINDS:
        raise UsageError(f'no degradation is called "{kind}"', f"choose {', '.join(KINDS)}.{did_you_mean(kind, KINDS)}")
    height, width = large.shape[:2]
    if scale < 1 or height % scale or width % scale or not large.size:
        raise UsageError(
            f"a picture of {width}x{height} cannot be made {scale} times smaller", "crop it to a multiple first"
        )
    if kind == "box":
        return np.asarray(cv2.resize(large, (width // scale, height // scale), interpolation=cv2.INTER_AREA), np.uint8)
    if kind == "point":
        return np.ascontiguousarray(large[scale // 2 :: scale, scale // 2 :: scale])
    if kind == "realesrgan":
        return degrade_second_order(large, scale, np.random.default_rng(seed))
    return _shrink_with_kernel(
        large, scale, _cubic if kind == "bicubic" else _lanczos, radius=2 if kind == "bicubic" else 3
    )


# Kernels that are widened against aliasing


def _cubic(x: Values) -> Values:
    """Keys 1981, equation 4, with a = -0.5."""
    x = np.abs(x)
    near, far = 1.5 * x**3 - 2.5 * x**2 + 1, -0.5 * x**3 + 2.5 * x**2 - 4 * x + 2
    return np.where(x < 1, near, np.where(x < 2, far, 0)).astype(np.float32)


def _lanczos(x: Values) -> Values:
    """sinc(x) sinc(x / 3) within three lobes (Duchon 1979)."""
    return np.where(np.abs(x) < 3, np.sinc(x) * np.sinc(x / 3), 0).astype(np.float32)


def _shrink_with_kernel(large: Picture, scale: int, kernel: Callable[[Values], Values], radius: int) -> Picture:
    """Filters with a separable kernel of that radius, in small pixels, and samples the middle of every block.

    The phase is the same for every block, so each weight is one strided slice: first down, then across. Edges are
    mirrored.
    """
    height, width = large.shape[0] // scale, large.shape[1] // scale
    margin = (radius * scale * 2 - scale + 1) // 2
    taps = 2 * margin + scale
    middle = (taps - 1) / 2
    weights = kernel(((np.arange(taps) - middle) / scale).astype(np.float32))
    weights /= weights.sum()
    padded = cv2.copyMakeBorder(large, margin, margin, margin, margin, cv2.BORDER_REFLECT).astype(np.float32)
    down = np.zeros((height, padded.shape[1], 3), np.float32)
    for row, weight in enumerate(weights):
        down += weight * padded[row : row + height * scale : scale]
    small = np.zeros((height, width, 3), np.float32)
    for column, weight in enumerate(weights):
        small += weight * down[:, column : column + width * scale : scale]
    return _round_to_uint8(small)


def _round_to_uint8(values: Values) -> Picture:
    return np.asarray(np.clip(np.rint(values), 0, 255), np.uint8)


# The second-order degradation of Real-ESRGAN


@dataclass(frozen=True)
class DegradationRound:
    """Blur, resize, noise, JPEG: the classical degradation. Two in a row make the second-order one.

    Values are drawn uniformly from their range. Deviations of blur are in pixels, of noise in levels of 255.
    """

    sigma: Range
    """Standard deviation of the blur."""
    resize: tuple[float, float, float]
    """Probabilities of enlarging, of shrinking, and of keeping the size."""
    factor: Range
    """Smallest and largest factor, of the large picture in the first round, of the small one in the second."""
    gaussian: Range
    """Standard deviation of Gaussian noise."""
    poisson: Range
    """Factor of Poisson (shot) noise."""
    jpeg: Range
    """Quality of the JPEG, 0 to 100."""
    blur: float = 1.0
    """Probability of any blur."""
    noise: float = 1.0
    """Probability of any noise, of one kind or the other."""
    sinc: float = 0.1
    """Probability that the blur is a sinc filter, which rings."""
    grey: float = 0.4
    """Probability that the noise is the same in all three channels."""
    generalised: Range = (0.5, 4.0)
    """Shape of the generalised Gaussian: flatter than a Gaussian above 1, more peaked below."""
    plateau: Range = (1.0, 2.0)
    """Shape of the plateau kernel."""


@dataclass(frozen=True)
class RealESRGANSettings:
    """Two rounds, and the probability of the last sinc filter."""

    first: DegradationRound
    second: DegradationRound
    last_sinc: float


# Wang, Xie, Dong, Shan: Real-ESRGAN (ICCV workshops 2021, arXiv 2107.10833), section 4.1; the probabilities and factors
# of the resizes, which the paper does not print, from the settings that its authors published with it
# (options/train_realesrgan_x4plus.yml).
PAPER = RealESRGANSettings(
    first=DegradationRound((0.2, 3.0), (0.2, 0.7, 0.1), (0.15, 1.5), (1, 30), (0.05, 3.0), (30, 95)),
    second=DegradationRound((0.2, 1.5), (0.3, 0.4, 0.3), (0.3, 1.2), (1, 25), (0.05, 2.5), (30, 95), blur=0.8),
    last_sinc=0.8,
)

# Our own choice for games watched as a video or a stream: little blur, hardly any noise (nobody photographs the
# screen), sizes near the original, and the blocks and ringing of a codec at a low bit rate.
LIGHT = RealESRGANSettings(
    first=DegradationRound((0.2, 1.2), (0.1, 0.4, 0.5), (0.5, 1.2), (1, 6), (0.05, 0.5), (60, 95), blur=0.5, noise=0.4),
    second=DegradationRound(
        (0.2, 0.8), (0.15, 0.25, 0.6), (0.6, 1.2), (1, 5), (0.05, 0.4), (25, 85), blur=0.3, noise=0.3
    ),
    last_sinc=0.4,
)

# Kernel, whether it is isotropic, and its probability: Gaussian 0.7, generalised 0.15, plateau 0.15 as in the paper,
# the shares of the isotropic ones as in the authors' settings.
KERNELS = (
    ("gaussian", True, 0.45),
    ("gaussian", False, 0.25),
    ("generalised", True, 0.12),
    ("generalised", False, 0.03),
    ("plateau", True, 0.12),
    ("plateau", False, 0.03),
)

RESIZES = (cv2.INTER_AREA, cv2.INTER_LINEAR, cv2.INTER_CUBIC)


def degrade_second_order(
    large: Picture, scale: int, rng: np.random.Generator, settings: RealESRGANSettings = PAPER
) -> Picture:
    """Blur, resize, noise and JPEG, all of them twice, with a sinc filter before or after the last JPEG.

    (H, W, 3) becomes (H // scale, W // scale, 3). Nothing is shifted: all resizes keep pixel centres.
    """
    height, width = large.shape[0] // scale, large.shape[1] // scale
    first, second = settings.first, settings.second
    picture = _apply_round(large.astype(np.float32), large.shape[:2], first, rng)
    picture = _compress_jpeg(picture, first.jpeg, rng)
    picture = _apply_round(picture, (height, width), second, rng)
    last = _choose_last_kernel(settings.last_sinc, rng)
    compressed_last = rng.random() < 0.5
    if not compressed_last:
        picture = _compress_jpeg(picture, second.jpeg, rng)
    picture = _apply_kernel(_resize(picture, (height, width), rng), last)
    if compressed_last:
        picture = _compress_jpeg(picture, second.jpeg, rng)
    return _round_to_uint8(picture)


def _apply_round(
    picture: Values, base: tuple[int, int], settings: DegradationRound, rng: np.random.Generator
) -> Values:
    """Blurs, resizes to about `base` (height, width), and adds noise."""
    if rng.random() < settings.blur:
        picture = _apply_kernel(picture, _choose_blur_kernel(settings, rng))
    least, largest = settings.factor
    direction = rng.choice(3, p=settings.resize)
    factor = (rng.uniform(1, largest), rng.uniform(least, 1), 1.0)[direction]
    size = (max(1, round(base[0] * factor)), max(1, round(base[1] * factor)))
    picture = _resize(picture, size, rng)
    if rng.random() < settings.noise:
        picture = np.clip(picture + _make_noise(picture, settings, rng), 0, 255)
    return picture


def _apply_kernel(picture: Values, kernel: Values) -> Values:
    return np.asarray(cv2.filter2D(picture, -1, kernel, borderType=cv2.BORDER_REFLECT_101), np.float32)


def _resize(picture: Values, size: tuple[int, int], rng: np.random.Generator) -> Values:
    """Resizes to (height, width), by area, bilinear or bicubic, each with the same probability."""
    how = RESIZES[rng.integers(len(RESIZES))]
    if picture.shape[:2] == size:
        return picture
    return np.asarray(np.clip(cv2.resize(picture, (size[1], size[0]), interpolation=how), 0, 255), np.float32)


def _make_noise(picture: Values, settings: DegradationRound, rng: np.random.Generator) -> Values:
    """Noise to add: Gaussian or Poisson, each with the same probability; (H, W, 1) if it is grey, else (H, W, 3)."""
    grey = rng.random() < settings.grey
    if rng.random() < 0.5:
        shape = (*picture.shape[:2], 1 if grey else 3)
        return rng.standard_normal(shape, np.float32) * np.float32(rng.uniform(*settings.gaussian))
    light = cv2.cvtColor(picture, cv2.COLOR_BGR2GRAY)[..., None] if grey else picture
    light = np.clip(np.rint(light), 0, 255)
    return np.asarray((rng.poisson(light) - light) * rng.uniform(*settings.poisson), np.float32)


def _compress_jpeg(picture: Values, quality: Range, rng: np.random.Generator) -> Values:
    level = round(rng.uniform(*quality))
    _, data = cv2.imencode(".jpg", _round_to_uint8(picture), (cv2.IMWRITE_JPEG_QUALITY, level))
    return np.asarray(cv2.imdecode(data, cv2.IMREAD_COLOR), np.float32)


# Its kernels


def _choose_kernel_side(rng: np.random.Generator) -> int:
    """One of 7, 9, ... 21."""
    return 2 * int(rng.integers(3, 11)) + 1


def _choose_blur_kernel(settings: DegradationRound, rng: np.random.Generator) -> Values:
    side = _choose_kernel_side(rng)
    if rng.random() < settings.sinc:
        return make_sinc_kernel(rng.uniform(pi / 3 if side < 13 else pi / 5, pi), side)  # the bounds are the authors'
    kind, isotropic, _ = KERNELS[rng.choice(len(KERNELS), p=[probability for *_, probability in KERNELS])]
    along = rng.uniform(*settings.sigma)
    across = along if isotropic else rng.uniform(*settings.sigma)
    shape = rng.uniform(*{"plateau": settings.plateau, "generalised": settings.generalised}.get(kind, (1, 1)))
    return make_blur_kernel(along, across, rng.uniform(-pi, pi), side, shape, flat=kind == "plateau")


def _choose_last_kernel(probability: float, rng: np.random.Generator) -> Values:
    side = _choose_kernel_side(rng)
    if rng.random() < probability:
        return make_sinc_kernel(rng.uniform(pi / 3, pi), side)
    return np.ones((1, 1), np.float32)


def make_blur_kernel(
    along: float, across: float, angle: float, side: int, shape: float = 1.0, *, flat: bool = False
) -> Values:
    """exp(-q ** shape / 2), or with `flat` 1 / (1 + q ** shape); q is the squared distance in deviations.

    Equations 2 to 4 of the Real-ESRGAN paper (generalised Gaussian and plateau kernels after Liu et al. 2020). Returns
    (side, side) of sum 1; `along` and `across` are deviations in pixels on axes turned by `angle` radians.
    """
    y, x = np.mgrid[:side, :side] - (side - 1) / 2
    turned = x * np.cos(angle) + y * np.sin(angle), y * np.cos(angle) - x * np.sin(angle)
    q = (turned[0] / along) ** 2 + (turned[1] / across) ** 2
    kernel = 1 / (1 + q**shape) if flat else np.exp(-0.5 * q**shape)
    return np.asarray(kernel / kernel.sum(), np.float32)


def make_sinc_kernel(cutoff: float, side: int) -> Values:
    """The ideal isotropic low-pass filter: cutoff / (2 pi r) J1(cutoff r), Real-ESRGAN's equation 6.

    `cutoff` in radians a pixel, at most pi. Returns (side, side) of sum 1; cut off at the square's edge, it rings.
    """
    y, x = np.mgrid[:side, :side] - side // 2
    squares, where = np.unique(x * x + y * y, return_inverse=True)
    r = np.sqrt(squares[1:])
    values = np.concatenate([[cutoff**2 / (4 * pi)], cutoff / (2 * pi * r) * compute_bessel_j1(cutoff * r)])
    kernel = values[where].reshape(side, side)
    return np.asarray(kernel / kernel.sum(), np.float32)


def compute_bessel_j1(x: npt.NDArray[np.float64]) -> npt.NDArray[np.float64]:
    """The Bessel function of the first kind and order 1 by Bessel's integral; exact to 1e-12 for x up to 60."""
    angles = (np.arange(64) + 0.5) * pi / 64
    return np.asarray(np.cos(angles - x[:, None] * np.sin(angles)).mean(1))
