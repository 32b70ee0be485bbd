"""AMD FidelityFX Super Resolution 1: EASU enlarges along edges, then RCAS sharpens.

The algorithm is AMD's (Timothy Lottes, 2021, published under the MIT licence in ffx_fsr1.h). This is not a translation
of that shader. It is the same mathematics, arranged for arrays and for whole scales, where all output pixels of one
phase lie at the same place between their input pixels:

- edge direction and strength are computed once per input pixel, and blended between pixels per phase;
- the rotated and stretched distance of a tap is a quadratic form of the direction, so a tap needs no rotation;
- the approximated Lanczos-2 base 25/16 (2/5 x² - 1)² - 9/16 is (x² - 1)(x² - 4) / 4, of which the 4 cancels out.

It takes about 35 ms for 480x270 -> 960x540 and 120 ms for x4 on one core (Zen 5, numpy). That is a reference for
comparing pictures, and too slow for 60 fps: FSR 1 is made for a GPU.
"""

from __future__ import annotations

from math import floor

import numpy as np
import numpy.typing as npt

from live_sr.pipeline.frame import Pixels, Size

Plane = npt.NDArray[np.float32]  # (rows, columns)
Planes = npt.NDArray[np.float32]  # (3, rows, columns): blue, green, red in 0..1

TAPS = ((0, -1), (1, -1), (-1, 0), (0, 0), (1, 0), (2, 0), (-1, 1), (0, 1), (1, 1), (2, 1), (0, 2), (1, 2))
"""(x, y) from the nearest input pixel above and to the left: a 4x4 square without its corners."""
STRIP_ROWS = 24  # input rows processed at a time: their data stays in the second-level cache
BORDER = 2  # input pixels repeated around the picture, for the taps of its edge pixels
LOBE_LIMIT = 0.25 - 1 / 16  # RCAS: the most negative weight of a neighbour
TINY = 1e-6


class Fsr1:
    """EASU and RCAS for pictures of one size. It allocates all its buffers when it is created.

    sharpness: of RCAS, 0..1. 1 is what AMD calls 0 stops, and each stop halves it. 0 leaves RCAS out.
    """

    def __init__(self, size: Size, scale: int, sharpness: float = 0.87) -> None:
        large = size.times(scale)
        self._large = np.empty((3, large.height + 2, large.width + 2), np.float32)  # with a border of 1
        self._easu = Easu(size, scale)
        self._rcas = Rcas(large, sharpness)

    def draw(self, pixels: Pixels, into: Pixels) -> None:
        """BGRA (H, W, 4) -> BGRA (H * scale, W * scale, 4)."""
        self._easu.enlarge(pixels, self._large)
        _repeat_edge(self._large, 1)
        self._rcas.sharpen(self._large, into)


class Easu:
    """Enlarges with a Lanczos-like kernel that is turned and stretched along the edge under it."""

    def __init__(self, size: Size, scale: int) -> None:
        self._scale = scale
        width, height = size
        self._small = np.empty((3, height + 2 * BORDER, width + 2 * BORDER), np.float32)
        self._luma = np.empty(self._small.shape[1:], np.float32)
        self._edges = np.empty((6, height + 2, width + 2), np.float32)  # with a border of 1
        self._work = np.empty((10, min(STRIP_ROWS, height), width), np.float32)
        self._colours = np.empty((4, 3, min(STRIP_ROWS, height), width), np.float32)

    def enlarge(self, pixels: Pixels, large: Planes) -> None:
        """BGRA (H, W, 4) -> the inside of `large` (3, H * scale + 2, W * scale + 2), without its border of 1."""
        height = pixels.shape[0]
        inner = self._small[:, BORDER:-BORDER, BORDER:-BORDER]
        np.multiply(pixels[..., :3].transpose(2, 0, 1), np.float32(1 / 255), out=inner)
        _repeat_edge(self._small, BORDER)
        self._find_edges()
        scale = self._scale
        for top in range(0, height, STRIP_ROWS):
            bottom = min(top + STRIP_ROWS, height)
            for row in range(scale):
                for column in range(scale):
                    out = large[:, 1 + top * scale + row : 1 + bottom * scale : scale, 1 + column : -1 : scale]
                    self._draw_phase(top, bottom, row, column, out)

    def _find_edges(self) -> None:
        """Computes directions and strengths.

        The direction is twice the slope of the brightness. The strength of one axis is 0 where the brightness has an
        extremum, and 1 where it goes on rising or falling; the squares of both axes are added.
        """
        luma = self._luma
        blue, green, red = self._small
        np.add(blue, red, out=luma)
        np.multiply(luma, np.float32(0.5), out=luma)
        np.add(luma, green, out=luma)
        centre = luma[1:-1, 1:-1]
        strength, steepest, other = self._edges[2], self._edges[3], self._edges[4]
        sides = ((luma[1:-1, :-2], luma[1:-1, 2:]), (luma[:-2, 1:-1], luma[2:, 1:-1]))
        for axis, (before, after) in enumerate(sides):
            slope, share = self._edges[axis], strength if axis == 0 else self._edges[5]
            np.subtract(after, before, out=slope)
            np.abs(np.subtract(after, centre, out=steepest), out=steepest)
            np.abs(np.subtract(centre, before, out=other), out=other)
            np.maximum(steepest, other, out=steepest)
            np.maximum(steepest, TINY, out=steepest)
            np.divide(np.abs(slope, out=share), steepest, out=share)
            np.minimum(share, 1, out=share)
            np.multiply(share, share, out=share)
        np.add(strength, self._edges[5], out=strength)

    def _draw_phase(self, top: int, bottom: int, row: int, column: int, out: Planes) -> None:
        """Draws output pixel (row, column) of every input pixel from row `top` to `bottom` into `out`."""
        (y0, fy), (x0, fx) = _locate_phase(row, self._scale), _locate_phase(column, self._scale)
        height, width = bottom - top, self._work.shape[2]
        form, (lobe, limit, near, far, weight) = self._work[:3, :height], self._work[5:, :height]
        corners = self._edges[:3, top + y0 + 1 :, x0 + 1 :][:, : height + 1, : width + 1]
        _blend(corners, fy, fx, form, near)
        _shape_kernel(form, lobe, limit, self._work[3:5, :height])
        total, one, low, high = self._colours[:, :, :height]
        weight_sum = self._work[3, :height]
        total[...] = 0
        weight_sum[...] = 0
        for x, y in TAPS:
            colours = self._small[:, top + y0 + y + BORDER :, x0 + x + BORDER :][:, :height, :width]
            ox, oy = np.float32(x - fx), np.float32(y - fy)
            np.multiply(form[0], ox * ox, out=near)  # the squared distance
            near += np.multiply(form[1], ox * oy, out=far)
            near += np.multiply(form[2], oy * oy, out=far)
            np.minimum(near, limit, out=near)
            np.multiply(near, lobe, out=weight)
            weight -= 1
            weight *= weight
            np.subtract(near, 4, out=far)
            near -= 1
            weight *= near
            weight *= far
            weight_sum += weight
            total += np.multiply(colours, weight, out=one)
            if x in (0, 1) and y in (0, 1):
                first = (x, y) == (0, 0)
                np.copyto(low, colours) if first else np.minimum(low, colours, out=low)
                np.copyto(high, colours) if first else np.maximum(high, colours, out=high)
        total /= weight_sum
        np.maximum(total, low, out=total)  # stay between the four nearest pixels, so that nothing rings
        np.minimum(total, high, out=out)


class Rcas:
    """Contrast-adaptive sharpening: subtracts the four neighbours as far as every channel stays in 0..1."""

    def __init__(self, size: Size, sharpness: float) -> None:
        self._sharpness = np.float32(sharpness)
        self._work = np.empty((4, 3, min(STRIP_ROWS, size.height), size.width), np.float32)

    def sharpen(self, large: Planes, into: Pixels) -> None:
        """The inside of `large` (3, H + 2, W + 2) -> BGRA (H, W, 4)."""
        height = into.shape[0]
        into[..., 3] = 255
        for top in range(0, height, STRIP_ROWS):
            bottom = min(top + STRIP_ROWS, height)
            picture = large[:, top : bottom + 2]
            levels, low, high, lobes = self._work[:, :, : bottom - top]
            if self._sharpness == 0:
                np.copyto(levels, picture[:, 1:-1, 1:-1])
            else:
                self._sharpen_strip(picture, levels, low, high, lobes)
            levels *= 255
            levels += 0.5
            np.clip(levels, 0, 255, out=levels)
            np.copyto(into[top:bottom, :, :3].transpose(2, 0, 1), levels, casting="unsafe")

    def _sharpen_strip(self, picture: Planes, around: Planes, low: Planes, high: Planes, lobes: Planes) -> None:
        """Draws the sharpened inside of `picture` into `around`. The other buffers are overwritten."""
        centre = picture[:, 1:-1, 1:-1]
        neighbours = (picture[:, :-2, 1:-1], picture[:, 1:-1, :-2], picture[:, 1:-1, 2:], picture[:, 2:, 1:-1])
        np.copyto(around, neighbours[0])
        np.copyto(low, centre)
        np.copyto(high, centre)
        for index, side in enumerate(neighbours):
            np.minimum(low, side, out=low)
            np.maximum(high, side, out=high)
            if index:
                around += side
        # -low / (4 high) keeps the result above 0, (1 - high) / (4 low - 4) below 1
        np.subtract(1, high, out=lobes)
        np.maximum(high, TINY, out=high)
        np.divide(low, high, out=high)
        np.subtract(low, 1, out=low)
        np.minimum(low, -TINY, out=low)
        lobes /= low
        np.negative(high, out=high)
        np.maximum(lobes, high, out=lobes)
        lobe = np.max(lobes, axis=0, out=low[0])
        lobe *= 0.25
        np.clip(lobe, -LOBE_LIMIT, 0, out=lobe)
        lobe *= self._sharpness
        around *= lobe
        around += centre
        lobe *= 4
        lobe += 1
        around /= lobe


def _blend(planes: Planes, fy: np.float32, fx: np.float32, out: Planes, work: Plane) -> None:
    """Interpolates between each pixel of `planes` (3, H + 1, W + 1) and the next ones into `out` (3, H, W)."""
    shares = ((0, 0, (1 - fx) * (1 - fy)), (1, 0, fx * (1 - fy)), (0, 1, (1 - fx) * fy), (1, 1, fx * fy))
    height, width = work.shape
    for plane, blended in zip(planes, out, strict=True):
        for x, y, share in shares:
            part = plane[y : y + height, x : x + width]
            if x or y:
                blended += np.multiply(part, share, out=work)
            else:
                np.multiply(part, share, out=blended)


def _shape_kernel(form: Planes, lobe: Plane, limit: Plane, work: Planes) -> None:
    """Replaces slope x, slope y and strength in `form` by a, b and c.

    The squared distance of a tap at (x, y) is then a x² + b x y + c y². A tap beyond the squared distance
    `limit` = 1 / `lobe` has no weight.
    """
    slope_x, slope_y, strength = form
    strength *= 0.5
    strength *= strength
    length, stretch = work
    np.multiply(slope_x, slope_x, out=length)
    length += np.multiply(slope_y, slope_y, out=stretch)
    flat = length < 1 / 32768
    np.copyto(length, 1, where=flat)
    np.copyto(slope_x, 1, where=flat)
    np.copyto(slope_y, 0, where=flat)
    np.sqrt(length, out=length)
    slope_x /= length
    slope_y /= length
    # along the edge's normal: 1 to sqrt 2 (on the diagonal); along the edge: 1 to 1/2
    np.maximum(np.abs(slope_x, out=length), np.abs(slope_y, out=stretch), out=stretch)
    np.divide(1, stretch, out=stretch)
    stretch -= 1
    stretch *= strength
    stretch += 1
    stretch *= stretch
    np.multiply(strength, -0.29, out=lobe)
    lobe += 0.5
    np.divide(1, lobe, out=limit)
    squeeze = np.multiply(strength, -0.5, out=strength)
    squeeze += 1
    squeeze *= squeeze
    # (a, b, c) of the rotation by (slope_x, slope_y) and these two factors, in place of the three planes
    xx = np.multiply(slope_x, slope_x, out=length)
    xy = np.multiply(slope_x, slope_y, out=slope_x)
    stretch -= squeeze  # a = xx stretch + yy squeeze = xx (stretch - squeeze) + squeeze, since xx + yy = 1
    np.multiply(xy, stretch, out=slope_y)
    slope_y *= 2
    np.multiply(xx, stretch, out=slope_x)  # a - squeeze
    stretch += squeeze
    stretch -= slope_x  # c = stretch + squeeze - a
    slope_x += squeeze
    np.copyto(strength, stretch)


def _locate_phase(phase: int, scale: int) -> tuple[int, np.float32]:
    """The input pixel before an output pixel, relative to the one it belongs to, and its distance from that pixel."""
    centre = (phase + 0.5) / scale - 0.5
    return floor(centre), np.float32(centre - floor(centre))


def _repeat_edge(planes: Planes, border: int) -> None:
    """Fills the outermost `border` pixels of every plane with the pixels next to them."""
    planes[:, :border] = planes[:, border : border + 1]
    planes[:, -border:] = planes[:, -border - 1 : -border]
    planes[:, :, :border] = planes[:, :, border : border + 1]
    planes[:, :, -border:] = planes[:, :, -border - 1 : -border]
