"""What a cursor of Windows looks like: its bitmaps, as pixels with alpha."""

from __future__ import annotations

from ctypes import Structure, byref, c_void_p, create_string_buffer, sizeof, wintypes

import numpy as np
import numpy.typing as npt

from live_sr.pipeline.desktop_contracts import CursorShape
from live_sr.pipeline.frame import Pixels
from live_sr.system import win32

DIB_RGB_COLORS = 0
_BITS = 32  # a pixel, as asked for: B G R A
HIDDEN = CursorShape(np.zeros((1, 1, 4), np.uint8), (0, 0))


class IconInfo(Structure):
    """ICONINFO."""

    _fields_ = (
        ("fIcon", wintypes.BOOL),
        ("xHotspot", wintypes.DWORD),
        ("yHotspot", wintypes.DWORD),
        ("hbmMask", wintypes.HBITMAP),
        ("hbmColor", wintypes.HBITMAP),
    )


class Bitmap(Structure):
    """BITMAP."""

    _fields_ = (
        ("bmType", wintypes.LONG),
        ("bmWidth", wintypes.LONG),
        ("bmHeight", wintypes.LONG),
        ("bmWidthBytes", wintypes.LONG),
        ("bmPlanes", wintypes.WORD),
        ("bmBitsPixel", wintypes.WORD),
        ("bmBits", c_void_p),
    )


class BitmapInfo(Structure):
    """BITMAPINFO: BITMAPINFOHEADER and one colour. A negative height means that the upper row comes first."""

    _fields_ = (
        ("biSize", wintypes.DWORD),
        ("biWidth", wintypes.LONG),
        ("biHeight", wintypes.LONG),
        ("biPlanes", wintypes.WORD),
        ("biBitCount", wintypes.WORD),
        ("biCompression", wintypes.DWORD),
        ("biSizeImage", wintypes.DWORD),
        ("biXPelsPerMeter", wintypes.LONG),
        ("biYPelsPerMeter", wintypes.LONG),
        ("biClrUsed", wintypes.DWORD),
        ("biClrImportant", wintypes.DWORD),
        ("bmiColors", wintypes.DWORD),
    )


def fetch_shape(cursor: int | None) -> CursorShape:
    """The first picture of a cursor, by its handle; HIDDEN for none, and for one that is gone."""
    user32, gdi32 = win32.load_library("user32"), win32.load_library("gdi32")
    info = IconInfo()
    if not cursor or not user32.GetIconInfo(cursor, byref(info)):
        return HIDDEN
    try:
        mask = _read_bitmap(info.hbmMask)
        colour = _read_bitmap(info.hbmColor) if info.hbmColor else None
    finally:
        for bitmap in filter(None, (info.hbmMask, info.hbmColor)):
            gdi32.DeleteObject(bitmap)
    if mask is None:
        return HIDDEN
    return CursorShape(compose_cursor(mask, colour), (int(info.xHotspot), int(info.yHotspot)))


def _read_bitmap(bitmap: int) -> Pixels | None:
    """The pixels of a bitmap, BGRA; None if Windows does not give them."""
    user32, gdi32 = win32.load_library("user32"), win32.load_library("gdi32")
    shape = Bitmap()
    if not gdi32.GetObjectW(bitmap, sizeof(shape), byref(shape)):
        return None
    width, height = int(shape.bmWidth), int(shape.bmHeight)
    info = BitmapInfo()
    info.biSize, info.biWidth, info.biHeight = BitmapInfo.bmiColors.offset, width, -height
    info.biPlanes, info.biBitCount = 1, _BITS
    data = create_string_buffer(width * height * 4)
    screen = user32.GetDC(None)
    try:
        read = gdi32.GetDIBits(screen, bitmap, 0, height, data, byref(info), DIB_RGB_COLORS)
    finally:
        user32.ReleaseDC(None, screen)
    return np.frombuffer(data.raw, np.uint8).reshape(height, width, 4) if read == height else None


def compose_cursor(mask: Pixels, colour: Pixels | None) -> Pixels:
    """A cursor of Windows as BGRA, premultiplied by alpha.

    mask: 0 where the cursor covers the screen, 255 where the screen shows through. Without `colour` it is twice as
    high, and its lower half says what is drawn. Where the screen shows through and something is drawn, Windows inverts
    the screen, as for the cursor over text; here that becomes white with a black rim.
    """
    if colour is None:
        half = mask.shape[0] // 2
        mask, colour = mask[:half], mask[half:]
    elif colour[..., 3].any():
        alpha = colour[..., 3:].astype(np.uint16)
        return np.concatenate([(colour[..., :3] * alpha + 127) // 255, alpha], axis=2).astype(np.uint8)
    covers = mask[..., 0] == 0
    inverts = ~covers & colour[..., :3].any(axis=2)
    out = np.zeros((*covers.shape, 4), np.uint8)
    out[covers, :3], out[covers, 3] = colour[covers, :3], 255
    out[_grow(inverts) & ~covers, 3] = 255
    out[inverts, :3] = 255
    return out


def _grow(where: npt.NDArray[np.bool_]) -> npt.NDArray[np.bool_]:
    """These pixels and their eight neighbours."""
    padded = np.pad(where, 1)
    height, width = where.shape
    out = np.zeros_like(where)
    for dy in range(3):
        for dx in range(3):
            out |= padded[dy : dy + height, dx : dx + width]
    return out
