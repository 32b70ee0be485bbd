"""Draws a game's dialogs and menus over its captured picture, where they lie over the game on the screen."""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterator, Sequence
from time import perf_counter_ns

import numpy as np
import numpy.typing as npt

from live_sr.capture.x11_picture import RedirectedWindow
from live_sr.errors import LiveSRError
from live_sr.pipeline.desktop_contracts import Popups, StackedWindow
from live_sr.pipeline.frame import Pixels, Rect, get_size
from live_sr.system import xcb

RETRY_NS = 100_000_000  # between two tries to capture a window that could not be
OPAQUE = np.uint32(0xFF000000)


class PopupLayers:
    """Belongs to the source's thread, and shares its connection. A window that cannot be captured is left out."""

    def __init__(self, connection: xcb.Connection, list_popups: Callable[[], Popups]) -> None:
        self._connection = connection
        self._list_popups = list_popups
        self._wanted = Popups()
        self._layers: dict[int, _Layer] = {}  # by their windows, lowest first
        self._retry_ns = 0  # when to try again to capture what is missing; 0: all are there

    def update(self) -> bool:
        """Follows what the game has opened, moved and closed; returns whether the picture changes by that."""
        wanted = self._list_popups()
        if wanted == self._wanted and not 0 < self._retry_ns < perf_counter_ns():
            return False
        moved, self._wanted = wanted.game != self._wanted.game, wanted
        before = {number: layer.rect for number, layer in self._layers.items()}
        for number in before.keys() - {window.id for window in wanted.windows}:
            self._layers.pop(number).picture.release()
        self._layers = dict(self._open_layers(wanted.windows))
        self._plan_retry()
        now = {number: layer.rect for number, layer in self._layers.items()}
        return list(now.items()) != list(before.items()) or (moved and bool(now))

    def draw_over(self, pixels: Pixels) -> None:
        """Draws them into a picture of the game; what reaches outside of it is cut off."""
        game = self._wanted.game
        if game is None:
            return
        for number, layer in list(self._layers.items()):
            try:
                layer.draw_over(pixels, layer.rect.x - game.x, layer.rect.y - game.y)
            except xcb.XError:  # closed, minimised or resized just now
                self._layers.pop(number).picture.release()
                self._plan_retry()

    def close(self) -> None:
        for layer in self._layers.values():
            layer.picture.close()
        self._layers.clear()

    def _open_layers(self, windows: Sequence[StackedWindow]) -> Iterator[tuple[int, _Layer]]:
        for window in windows:
            layer = self._layers.get(window.id)
            try:
                layer = layer or _Layer(self._connection, window.id, self._has_compositor())
                if layer.rect != window.rect:
                    layer.place(window.rect)
                yield window.id, layer
            except (xcb.XError, LiveSRError):
                if layer is not None:
                    layer.picture.release()

    def _plan_retry(self) -> None:
        missing = len(self._layers) < len(self._wanted.windows)
        self._retry_ns = perf_counter_ns() + RETRY_NS if missing else 0

    def _has_compositor(self) -> bool:
        """Whether transparent parts of windows are transparent on the screen."""
        name = b"_NET_WM_CM_S0"
        atom = struct.pack(f"=Hxx{len(name)}s{-len(name) % 4}x", len(name), name)
        selection = self._connection.query(xcb.Request(xcb.INTERN_ATOM, atom, reply=True))[8:12]
        owner = self._connection.query(xcb.Request(xcb.GET_SELECTION_OWNER, selection, reply=True))
        return bool(struct.unpack_from("=I", owner, 8)[0])


class _Layer:
    """One window over the game. `rect`: what is seen of it on the desktop. Raises XError."""

    def __init__(self, connection: xcb.Connection, window: int, blends: bool) -> None:
        """`blends`: to respect the alpha channel of a window that has one."""
        self._connection = connection
        self._get_geometry = xcb.Request(xcb.GET_GEOMETRY, struct.pack("=I", window), reply=True)
        self._blends = blends
        self._transparent = False
        self.rect = Rect(0, 0, 0, 0)
        self.picture = RedirectedWindow(connection, window)

    def place(self, rect: Rect) -> None:
        """`rect` may leave out margins, as a window manager's frame has. Raises LiveSRError for no memory."""
        geometry = self._connection.query(self._get_geometry)
        x, y = struct.unpack_from("=hh", geometry, 12)
        self._transparent = self._blends and geometry[1] == 32  # bits per pixel, with an alpha channel
        self.picture.prepare(Rect(rect.x - x, rect.y - y, *rect.size))
        self.rect = rect

    def draw_over(self, pixels: Pixels, x: int, y: int) -> None:
        words = self.picture.fetch()
        whole = Rect(0, 0, *get_size(pixels))
        shown = Rect(x, y, words.shape[1], words.shape[0]).intersect(whole)
        if not shown.width or not shown.height:
            return
        top, left = shown.y - y, shown.x - x
        words = words[top : top + shown.height, left : left + shown.width]
        under = pixels[shown.y : shown.y + shown.height, shown.x : shown.x + shown.width]
        if self._transparent:
            _blend(words, under)
        else:
            np.bitwise_or(words, OPAQUE, out=under.view(np.uint32)[..., 0])


def _blend(words: npt.NDArray[np.uint32], under: Pixels) -> None:
    """Lays pixels whose colours are premultiplied by their alpha over opaque ones."""
    over = np.ascontiguousarray(words)[..., None].view(np.uint8)
    rest = under * (255 - over[..., 3:].astype(np.uint16))
    under[...] = np.minimum(over + (rest + 127) // 255, 255)
    under[..., 3] = 255
