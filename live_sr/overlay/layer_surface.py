"""The overlay as a surface of the Wayland compositor's own, above all windows, through which every click passes.

For compositors with wlr-layer-shell (sway, Hyprland and others of wlroots, KDE Plasma), where a window of XWayland
would keep the clicks that are meant for a Wayland window below it.
"""

from __future__ import annotations

import logging
from collections.abc import Callable

from PyQt6.QtCore import QObject, QSocketNotifier, QTimer, pyqtSignal
from PyQt6.QtGui import QImage, QPainter

from live_sr.overlay.cursor import CursorLayer, DrawnCursor
from live_sr.overlay.layer_buffers import LayerBuffers
from live_sr.overlay.surface import TITLE, FrameFeed, ImagePainter, compute_placement, paint_picture, wrap_pixels
from live_sr.pipeline.frame import Pixels, Rect, Size, get_size
from live_sr.system.wayland import LAYER_SHELL, EventArguments, WaylandConnection, WaylandLost, WaylandOutput

VIEWPORTER = "wp_viewporter"
# requests, as in the protocols' XML files
CREATE_SURFACE, CREATE_REGION = 0, 1
DESTROY, ATTACH, SET_INPUT_REGION, COMMIT, SET_BUFFER_SCALE, DAMAGE_BUFFER = 0, 1, 5, 6, 8, 9
GET_LAYER_SURFACE, SET_ANCHOR, SET_EXCLUSIVE_ZONE, ACK_CONFIGURE, DESTROY_LAYER = 0, 1, 2, 6, 7
GET_VIEWPORT, SET_DESTINATION = 1, 2
REOPEN_MS = 500  # after the compositor has closed it, which it does again and again while it has no screen
OVERLAY, ALL_EDGES, OVER_PANELS = 3, 15, -1
CONFIGURE = 0  # event of zwlr_layer_surface_v1; the other one says that the compositor has closed it

log = logging.getLogger(__name__)


def open_layer_surface(aspect: float | None = None) -> tuple[LayerSurface | None, str]:
    """The surface and a sentence; None and a clause that says why there can be none. Needs a QApplication."""
    try:
        wayland = WaylandConnection()
        outputs = wayland.list_outputs()
    except WaylandLost as error:
        return None, error.message
    if not outputs or LAYER_SHELL not in wayland.globals:
        wayland.close()
        return None, "this desktop has no layer shell" if outputs else "this desktop has no screen"
    why = "painted by the CPU, on a layer of the compositor that lets every click through"
    return LayerSurface(wayland, outputs, aspect), why


class LayerSurface(QObject):
    """Fulfils `Surface`: covers the whole screen of the game. `closed` says that there is no compositor any more."""

    resized = pyqtSignal()
    closed = pyqtSignal()
    shows_device_pictures = compares_device_pictures = False
    places_itself = True

    def __init__(self, wayland: WaylandConnection, outputs: list[WaylandOutput], aspect: float | None = None) -> None:
        """`outputs`: one at least. `aspect`: the ratio of width to height that pictures get; None: their own."""
        super().__init__()
        self._aspect = aspect
        self._wayland = wayland
        self._compositor = wayland.bind("wl_compositor", 4)
        self._shm = wayland.bind("wl_shm", 1)
        self._shell = wayland.bind(LAYER_SHELL, 1)
        self._viewporter = wayland.bind(VIEWPORTER, 1) if VIEWPORTER in wayland.globals else None
        self._outputs = outputs
        self._output = outputs[0]
        self._objects: list[tuple[int, int]] = []  # of the open surface, each with its request that destroys it
        self._surface = 0
        self._buffers: LayerBuffers | None = None
        self._visible = False
        self._late = False  # there was something to paint, and no buffer
        self.feed = FrameFeed()
        self._hud: ImagePainter | None = None
        self._cursor = CursorLayer()
        self._pixels: Pixels | None = None  # on screen; `_image` only points to them
        self._image = QImage()
        self._repaint = QTimer(self)
        self._repaint.setSingleShot(True)
        self._repaint.timeout.connect(self.present)
        self._return = QTimer(self)
        self._return.setSingleShot(True)
        self._return.setInterval(REOPEN_MS)
        self._return.timeout.connect(lambda: self._talk(self._go_to_screen))
        self._notifier = QSocketNotifier(wayland.fileno(), QSocketNotifier.Type.Read, self)  # type: ignore[call-overload]  # PyQt6 stubs
        self._notifier.activated.connect(lambda *_: self._talk(self._wayland.dispatch))

    def on_device_failure(self, report: Callable[[str], None]) -> None:
        """There is none: it shows nothing from a GPU's memory."""

    def set_hud(self, hud: ImagePainter | None) -> None:
        self._hud = hud
        self.refresh()

    def show_cursor(self, cursor: DrawnCursor | None) -> None:
        if self._cursor.change(cursor):
            self.present()

    def find_picture(self) -> Rect | None:
        if self._pixels is None:
            return None
        return compute_placement(get_size(self._pixels), self.get_room(), self._aspect)

    def get_room(self) -> Size:
        return self._buffers.size if self._buffers is not None else self._output.size

    def place(self, rect: Rect) -> None:
        """Goes to the screen that begins where this rectangle of the desktop does."""
        nearest = _find_nearest(self._outputs, rect.x, rect.y)
        if nearest is not self._output:
            self._output = nearest
            if self._visible:
                self._talk(self._reopen)
            self.resized.emit()

    def winId(self) -> int:  # noqa: N802 (Qt's name)
        return 0

    def setVisible(self, visible: bool) -> None:  # noqa: N802 (Qt's name)
        if visible != self._visible:
            self._visible = visible
            self._talk(self._reopen)

    def is_ready(self) -> bool:
        return self._visible and self._buffers is not None

    def present(self) -> None:
        if self.is_ready():
            self.feed.present(lambda: self._talk(self._paint))

    def present_here(self) -> bool:
        return False

    def refresh(self) -> None:
        self._repaint.start()

    def _reopen(self) -> None:
        """Takes the surface off the screen, and opens it again where it belongs."""
        self._take_down()
        if self._visible and not self._return.isActive():
            self._open(self._output)

    def _go_to_screen(self) -> None:
        """Opens the surface on one of the screens that are there now; without one, looks again later."""
        outputs = self._wayland.list_outputs()
        if not outputs:
            self._return.start()
            return
        self._outputs, self._output = outputs, _find_nearest(outputs, self._output.x, self._output.y)
        self._reopen()
        self.resized.emit()

    def _take_down(self) -> None:
        if self._buffers is not None:
            self._buffers.close()
            self._buffers = None
        for number, destroy in reversed(self._objects):
            self._wayland.request(number, destroy)
        self._objects = []

    def _open(self, output: WaylandOutput) -> None:
        """The compositor answers with the size, and only then may there be a picture."""
        wayland = self._wayland
        self._surface = surface = wayland.new_id()
        wayland.request(self._compositor, CREATE_SURFACE, surface)
        region = wayland.new_id()
        wayland.request(self._compositor, CREATE_REGION, region)
        wayland.request(surface, SET_INPUT_REGION, region)  # an empty one
        wayland.request(region, DESTROY)
        layer = wayland.new_id()
        wayland.handlers[layer] = lambda number, arguments: self._configure(layer, number, arguments)
        wayland.request(self._shell, GET_LAYER_SURFACE, layer, surface, output.id, OVERLAY, TITLE)
        wayland.request(layer, SET_ANCHOR, ALL_EDGES)
        wayland.request(layer, SET_EXCLUSIVE_ZONE, OVER_PANELS)
        wayland.request(surface, COMMIT)
        self._objects = [(surface, DESTROY), (layer, DESTROY_LAYER)]

    def _configure(self, layer: int, number: int, arguments: EventArguments) -> None:
        if (layer, DESTROY_LAYER) not in self._objects:  # of a surface that is gone
            return
        if number != CONFIGURE:
            self._take_down()  # its screen was unplugged, or has come back
            self._return.start()
            return
        serial, logical = arguments.read_number(), Size(arguments.read_number(), arguments.read_number())
        self._wayland.request(layer, ACK_CONFIGURE, serial)
        size = self._fit_buffers(logical)
        if self._buffers is None or self._buffers.size != size:
            if self._buffers is not None:
                self._buffers.close()
            self._buffers = LayerBuffers(self._wayland, self._shm, size, self._paint_late)
            self.resized.emit()
        self.refresh()

    def _fit_buffers(self, logical: Size) -> Size:
        """The size of the pictures for a surface of that size: that of the screen, if the compositor can tell."""
        output, wayland = self._output, self._wayland
        if self._viewporter is None:
            wayland.request(self._surface, SET_BUFFER_SCALE, output.scale)
            return Size(logical.width * output.scale, logical.height * output.scale)
        if len(self._objects) == 2:
            viewport = wayland.new_id()
            wayland.request(self._viewporter, GET_VIEWPORT, viewport, self._surface)
            self._objects.append((viewport, DESTROY))
        wayland.request(self._objects[2][0], SET_DESTINATION, *logical)
        return output.size

    def _paint_late(self) -> None:
        """A buffer has come back."""
        if self._late:
            self.refresh()

    def _paint(self) -> None:
        taken = self._buffers.take() if self._buffers is not None else None
        self._late = taken is None
        if taken is None or self._buffers is None:
            return
        buffer, target = taken
        self._take_newest()
        room = self._buffers.size
        painter = QPainter(target)
        paint_picture(painter, self._image, room, self._aspect)
        if self._hud is not None:
            self._hud.paint(painter, room)
        self._cursor.paint(painter)
        painter.end()
        self._wayland.request(self._surface, ATTACH, buffer, 0, 0)
        self._wayland.request(self._surface, DAMAGE_BUFFER, 0, 0, *room)
        self._wayland.request(self._surface, COMMIT)

    def _take_newest(self) -> None:
        frame = self.feed.take_newest()
        if frame is not None:
            self._pixels = frame.pixels.to_host()
            self._image = wrap_pixels(self._pixels)

    def _talk(self, work: Callable[[], None]) -> None:
        """Does what makes requests, and sends them. Without a compositor there is nothing to be seen any more."""
        try:
            work()
            self._wayland.flush()
        except WaylandLost as error:
            log.warning("the overlay is gone: %s", error.message)
            self._notifier.setEnabled(False)
            self._return.stop()
            self._visible = False
            self.closed.emit()


def _find_nearest(outputs: list[WaylandOutput], x: int, y: int) -> WaylandOutput:
    """The screen that begins nearest to that point of the desktop."""
    return min(outputs, key=lambda one: abs(one.x - x) + abs(one.y - y))
