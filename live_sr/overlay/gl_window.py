"""The window that is painted by OpenGL: for machines with a GPU."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

from PyQt6.QtCore import QCoreApplication, QEvent, pyqtSignal
from PyQt6.QtGui import QOffscreenSurface, QOpenGLContext, QResizeEvent, QSurfaceFormat
from PyQt6.QtOpenGL import (
    QOpenGLFunctions_2_1,
    QOpenGLVersionFunctionsFactory,
    QOpenGLVersionProfile,
    QOpenGLWindow,
)

from live_sr.errors import EngineError
from live_sr.overlay.cursor import CursorLayer, DrawnCursor
from live_sr.overlay.gl_texture import Texture, TextureFiller
from live_sr.overlay.surface import (
    FIRST_SIZE,
    TITLE,
    FrameFeed,
    ImagePainter,
    Mode,
    Vsync,
    begin_painting,
    get_physical_size,
    make_window_flags,
)
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Rect, Revision, Size

RENDERER = 0x1F01  # GL_RENDERER, from the OpenGL registry (gl.xml)
SWAP_INTERVALS: dict[Vsync, int] = {"off": 0, "on": 1, "adaptive": -1}  # -1: EXT_swap_control_tear


def make_surface_format(vsync: Vsync = "off") -> QSurfaceFormat:
    """OpenGL 2.1, opaque. Without vsync a swap waits for nothing; with it only the GUI thread waits."""
    form = QSurfaceFormat()
    form.setRenderableType(QSurfaceFormat.RenderableType.OpenGL)
    form.setVersion(2, 1)
    form.setAlphaBufferSize(0)
    form.setDepthBufferSize(0)
    form.setSwapInterval(SWAP_INTERVALS[vsync])
    return form


def find_functions(context: QOpenGLContext) -> QOpenGLFunctions_2_1 | None:
    """The functions of OpenGL 2.1 in the current context. None: it does not have them."""
    profile = QOpenGLVersionProfile()
    profile.setVersion(2, 1)
    found = QOpenGLVersionFunctionsFactory.get(profile, context)
    return found if isinstance(found, QOpenGLFunctions_2_1) else None


def query_renderer() -> str:
    """The name of the OpenGL renderer, such as "NVIDIA GeForce RTX 3060/PCIe/SSE2"; empty without OpenGL 2.1."""
    context, surface = QOpenGLContext(), QOffscreenSurface()
    context.setFormat(make_surface_format())
    if not context.create() or context.isOpenGLES():
        return ""
    surface.setFormat(context.format())
    surface.create()
    if not surface.isValid() or not context.makeCurrent(surface):
        return ""
    gl = find_functions(context)
    name = gl.glGetString(RENDERER) if gl is not None else None
    context.doneCurrent()
    return str(name or "")


class GLWindow(QOpenGLWindow):
    """Fulfils `Surface`: one texture upload a picture, and a swap that waits for nothing."""

    resized = pyqtSignal()
    closed = pyqtSignal()
    compares_device_pictures = places_itself = False

    def __init__(
        self,
        mode: Mode,
        vsync: Vsync = "off",
        aspect: float | None = None,
        *,
        interop: TextureFiller | None = None,
    ) -> None:
        """aspect: the ratio of width to height that pictures get; None: their own. interop: None if OpenGL does not run
        on the GPU that upscales; then pictures come through main memory."""
        super().__init__()
        self._aspect = aspect
        self.setFormat(make_surface_format(vsync))
        self._waits_for_refresh = vsync != "off"
        self.setFlags(make_window_flags(mode))
        self.setTitle(TITLE)
        if mode == "cover":
            self.setProperty("_q_showWithoutActivating", True)  # what WA_ShowWithoutActivating is to a QWindow
        self.resize(*FIRST_SIZE)
        self.create()  # its number is needed before it is visible
        self.feed = FrameFeed()
        self.shows_device_pictures = interop is not None
        self._hud: ImagePainter | None = None
        self._cursor = CursorLayer()
        self._texture = Texture(interop)
        self._report_failure: Callable[[str], None] = lambda why: None

    def on_device_failure(self, report: Callable[[str], None]) -> None:
        self._report_failure = report

    def set_hud(self, hud: ImagePainter | None) -> None:
        self._hud = hud
        self.update()

    def show_cursor(self, cursor: DrawnCursor | None) -> None:
        if not self._cursor.change(cursor) or not self.is_ready():
            return
        if self._waits_for_refresh:
            self.update()  # with the next frame: a swap of its own would hold that up by a refresh
        else:
            self._paint_now()

    def find_picture(self) -> Rect | None:
        return self._texture.find_place(self.get_room(), self._aspect)

    def get_room(self) -> Size:
        return get_physical_size(self)

    def place(self, rect: Rect) -> None:
        ratio = self.devicePixelRatio()
        self.setGeometry(*(round(value / ratio) for value in rect))

    def is_ready(self) -> bool:
        return self.isExposed()

    def present(self) -> None:
        self.feed.present(self._paint_now)

    def present_here(self) -> bool:
        return False

    def _paint_now(self) -> None:
        self.update()
        # What update() asks for comes with the event loop, on X11 milliseconds later; this is the same event, now.
        QCoreApplication.sendEvent(self, QEvent(QEvent.Type.UpdateRequest))

    def refresh(self) -> None:
        self.update()

    # Qt calls these

    def initializeGL(self) -> None:  # noqa: N802
        context = self.context()
        gl = find_functions(context) if context is not None else None
        if context is not None and gl is not None:
            self._texture.create(gl)
            context.aboutToBeDestroyed.connect(self._destroy_texture)

    def _destroy_texture(self) -> None:
        self.makeCurrent()
        self._texture.destroy()
        self.doneCurrent()

    def paintGL(self) -> None:  # noqa: N802
        frame = self.feed.take_newest()
        if frame is not None:
            self._fill(frame.pixels, frame.revision)
        self._texture.draw(self.get_room(), self._aspect)
        if self._hud is not None or self._cursor.rect is not None:
            painter = begin_painting(self)
            if self._hud is not None:
                self._hud.paint(painter, self.get_room())
            self._cursor.paint(painter)
            painter.end()
        self.feed.end_paint()

    def _fill(self, picture: DisplayPicture, revision: Revision | None) -> None:
        if not picture.on_device:
            self._texture.fill(picture.to_host(), revision)
            return
        try:
            self._texture.fill_on_device(picture)
        except EngineError as error:
            self._report_failure(error.message)
            with suppress(EngineError):  # the GPU itself is lost: another engine makes the next picture without it
                self._texture.fill(picture.to_host())

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        super().resizeEvent(event)
        self.resized.emit()

    def event(self, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.DevicePixelRatioChange:
            self.resized.emit()
        if event is not None and event.type() == QEvent.Type.Close:
            self.closed.emit()
        return super().event(event)
