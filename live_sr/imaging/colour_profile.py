"""Makes an ICC profile of what a picture says about its colours in other words.

PNG has gAMA, cHRM and cICP for that, AVIF has nclx. The profile is of version 2 of the ICC's format: a matrix from RGB
to XYZ and a curve.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

Point = tuple[float, float]  # x and y of CIE 1931
Chromaticities = tuple[Point, Point, Point, Point]  # white, red, green, blue

D65 = (0.3127, 0.329)
D50_XYZ = np.array([0.9642, 1.0, 0.8249])
SRGB: Chromaticities = (D65, (0.64, 0.33), (0.3, 0.6), (0.15, 0.06))
PRIMARIES: dict[int, Chromaticities] = {  # by their numbers in ITU-T H.273
    1: SRGB,
    4: ((0.310, 0.316), (0.67, 0.33), (0.21, 0.71), (0.14, 0.08)),
    5: (D65, (0.64, 0.33), (0.29, 0.60), (0.15, 0.06)),
    6: (D65, (0.63, 0.34), (0.31, 0.595), (0.155, 0.07)),
    9: (D65, (0.708, 0.292), (0.17, 0.797), (0.131, 0.046)),
    11: ((0.314, 0.351), (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
    12: (D65, (0.68, 0.32), (0.265, 0.69), (0.15, 0.06)),
}
GAMMAS = {4: 2.2, 5: 2.8, 8: 1.0}
SRGB_CURVE = 13
HDR_TRANSFERS = {16: "PQ", 18: "HLG"}  # transfer functions, by their numbers in ITU-T H.273
VIDEO_CURVES = (1, 6, 14, 15)  # of cameras; they are shown with the curve of sRGB, or nearly
BRADFORD = np.array([[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]])
CURVE_STEPS = 1024
XYZ_LIMIT = 1 << 15  # of the numbers in a profile, which have 16 bits before the point


@dataclass(frozen=True)
class ColourSpace:
    """What the levels of a picture mean. gamma: the exponent from levels to light, 0 for the curve of sRGB."""

    chromaticities: Chromaticities = SRGB
    gamma: float = 0.0

    @property
    def is_srgb(self) -> bool:
        return not self.gamma and bool(np.allclose(self.chromaticities, SRGB, atol=0.002))


def find_colour_space(primaries: int, transfer: int) -> ColourSpace | None:
    """The colour space for two code points of H.273; 2 is unspecified. None where it is not known here."""
    found = SRGB if primaries == 2 else PRIMARIES.get(primaries)
    if found is None or transfer not in (2, SRGB_CURVE, *VIDEO_CURVES, *GAMMAS):
        return None
    return ColourSpace(found, GAMMAS.get(transfer, 0.0))


def make_profile(space: ColourSpace, *, grey: bool) -> bytes:
    """The bytes of an ICC profile for RGB, or for grey. Raises ValueError for impossible chromaticities."""
    curve = _make_curve(space.gamma)
    text = b"Made of the picture's own colour tags"
    tags = {
        b"desc": b"desc" + bytes(4) + struct.pack(">I", len(text) + 1) + text + bytes(1 + 4 + 4 + 2 + 1 + 67),
        b"cprt": b"text" + bytes(4) + b"Public domain" + bytes(1),
        b"wtpt": _make_xyz(D50_XYZ),
    }
    if grey:
        tags[b"kTRC"] = curve
    else:
        matrix = _compute_matrix(space.chromaticities)
        for at, name in enumerate((b"r", b"g", b"b")):
            tags[name + b"XYZ"] = _make_xyz(matrix[:, at])
            tags[name + b"TRC"] = curve
    return _join(tags, b"GRAY" if grey else b"RGB ")


def _compute_matrix(chromaticities: Chromaticities) -> npt.NDArray[np.float64]:
    """From linear RGB to XYZ, adapted to the white D50 of profiles."""
    if any(not 0 < y <= 1 or not 0 <= x <= 1 for x, y in chromaticities):
        raise ValueError("impossible chromaticities")
    white, *primaries = (np.array([x / y, 1.0, (1 - x - y) / y]) for x, y in chromaticities)
    columns = np.stack(primaries, axis=1)
    try:
        matrix = columns * np.linalg.solve(columns, white)
    except np.linalg.LinAlgError:
        raise ValueError("primaries on one line") from None
    cones = np.diag((BRADFORD @ D50_XYZ) / (BRADFORD @ white))
    adapted: npt.NDArray[np.float64] = np.linalg.inv(BRADFORD) @ cones @ BRADFORD @ matrix
    if not np.abs(adapted).max() < XYZ_LIMIT:
        raise ValueError("primaries nearly on one line")
    return adapted


def _make_xyz(values: npt.NDArray[np.float64]) -> bytes:
    return b"XYZ " + bytes(4) + struct.pack(">3i", *(round(float(value) * 65536) for value in values))


def _make_curve(gamma: float) -> bytes:
    if gamma:
        return b"curv" + bytes(4) + struct.pack(">IH", 1, max(1, min(65535, round(gamma * 256)))) + bytes(2)
    levels = np.linspace(0, 1, CURVE_STEPS)
    light = np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4)
    values: bytes = np.rint(light * 65535).astype(">u2").tobytes()
    return b"curv" + bytes(4) + struct.pack(">I", CURVE_STEPS) + values


def _join(tags: dict[bytes, bytes], space: bytes) -> bytes:
    """The header, the table and the data of a profile; equal data is stored once."""
    table, data = b"", b""
    places: dict[bytes, int] = {}
    start = 128 + 4 + 12 * len(tags)
    for name, value in tags.items():
        if value not in places:
            places[value] = start + len(data)
            data += value + bytes(-len(value) % 4)
        table += name + struct.pack(">II", places[value], len(value))
    length = start + len(data)
    white = struct.pack(">3i", *(round(float(value) * 65536) for value in D50_XYZ))
    header = struct.pack(">I4sI", length, b"", 0x02100000) + b"mntr" + space + b"XYZ "
    header += struct.pack(">6H", 2026, 1, 1, 0, 0, 0) + b"acsp" + bytes(28) + white
    return header.ljust(128, b"\0") + struct.pack(">I", len(tags)) + table + data
