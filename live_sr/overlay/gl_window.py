"""The window that shows pictures through OpenGL, for machines with a graphics card."""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress

import numpy as np
from PyQt6 import sip
from PyQt6.QtCore import QCoreApplication, QEvent, QRect, QRectF, pyqtSignal
from PyQt6.QtGui import QOffscreenSurface, QOpenGLContext, QPainter, QResizeEvent, QSurfaceFormat
from PyQt6.QtOpenGL import (
    QOpenGLFunctions_2_1,
    QOpenGLTextureBlitter,
    QOpenGLVersionFunctionsFactory,
    QOpenGLVersionProfile,
    QOpenGLWindow,
)

from live_sr.cuda.shown import Shown, in_main_memory
from live_sr.cuda.slots import Picture
from live_sr.cuda.texture import CardTexture
from live_sr.errors import EngineError
from live_sr.frame import Pixels, Size, size_of
from live_sr.overlay.presenting import TITLE, Feed, Mode, Sheet, Take, Tell, Vsync, flags, physical, placed

# The OpenGL registry's numbers (gl.xml); PyQt6 has the functions but not the constants.
RENDERER = 0x1F01
TEXTURE_2D = 0x0DE1
RGBA8 = 0x8058
BGRA = 0x80E1
UNSIGNED_INT_8_8_8_8_REV = 0x8367  # with BGRA: the order in memory is B G R A, which drivers copy without a shuffle
MIN_FILTER, MAG_FILTER = 0x2801, 0x2800
WRAP_S, WRAP_T = 0x2802, 0x2803
NEAREST, LINEAR = 0x2600, 0x2601
CLAMP_TO_EDGE = 0x812F
COLOR_BUFFER_BIT = 0x4000
SWAP_INTERVALS: dict[Vsync, int] = {"off": 0, "on": 1, "adaptive": -1}  # -1: EXT_swap_control_tear
BLEND, SCISSOR_TEST, DEPTH_TEST = 0x0BE2, 0x0C11, 0x0B71


def surface_format(vsync: Vsync = "off") -> QSurfaceFormat:
    """OpenGL 2.1, opaque. Without vsync a swap waits for nothing; else the GUI thread waits in it, and nobody else."""
    form = QSurfaceFormat()
    form.setRenderableType(QSurfaceFormat.RenderableType.OpenGL)
    form.setVersion(2, 1)
    form.setAlphaBufferSize(0)
    form.setDepthBufferSize(0)
    form.setSwapInterval(SWAP_INTERVALS[vsync])
    return form


def functions(context: QOpenGLContext) -> QOpenGLFunctions_2_1 | None:
    """The calls of OpenGL 2.1 in the current context, or None if it has not got them."""
    profile = QOpenGLVersionProfile()
    profile.setVersion(2, 1)
    found = QOpenGLVersionFunctionsFactory.get(profile, context)
    return found if isinstance(found, QOpenGLFunctions_2_1) else None


def renderer_name() -> str:
    """What draws OpenGL here, such as "NVIDIA GeForce RTX 3060/PCIe/SSE2"; empty: there is no desktop OpenGL 2.1."""
    context, surface = QOpenGLContext(), QOffscreenSurface()
    context.setFormat(surface_format())
    if not context.create() or context.isOpenGLES():
        return ""
    surface.setFormat(context.format())
    surface.create()
    if not surface.isValid() or not context.makeCurrent(surface):
        return ""
    gl = functions(context)
    name = gl.glGetString(RENDERER) if gl is not None else None
    context.doneCurrent()
    return str(name or "")


class GLOverlayWindow(QOpenGLWindow):
    """One texture upload a picture, and a swap that waits for nothing."""

    resized = pyqtSignal()
    closed = pyqtSignal()

    def __init__(self, mode: Mode, vsync: Vsync = "off", *, on_card: bool = False) -> None:
        """on_card: OpenGL runs on the NVIDIA card, so a picture in its memory can be shown from there."""
        super().__init__()
        self.setFormat(surface_format(vsync))
        self.setFlags(flags(mode))
        self.setTitle(TITLE)
        if mode == "cover":
            self.setProperty("_q_showWithoutActivating", True)  # what WA_ShowWithoutActivating is to a QWindow
        self.resize(960, 540)
        self.create()  # its number is wanted before it is visible
        self._feed = Feed()
        self._hud: Sheet | None = None
        self._presenting = False
        self._texture = Texture()
        self._on_card = on_card
        self._trouble: Callable[[str], None] = lambda why: None

    @property
    def takes_cards(self) -> bool:
        return self._on_card

    def on_trouble(self, tell: Callable[[str], None]) -> None:
        self._trouble = tell

    @property
    def frames_shown(self) -> int:
        return self._feed.count

    def feed(self, take: Take, shown: Tell) -> None:
        self._feed.take, self._feed.shown = take, shown

    def set_hud(self, hud: Sheet | None) -> None:
        self._hud = hud
        self.update()

    def room(self) -> Size:
        return physical(self.width(), self.height(), self.devicePixelRatio())

    def ready(self) -> bool:
        return self.isExposed()

    def present(self) -> None:
        self._presenting = True
        self.update()
        # What update() asks for comes with the event loop, on X11 milliseconds later; this is the same event, now.
        QCoreApplication.sendEvent(self, QEvent(QEvent.Type.UpdateRequest))
        self._presenting = False
        self._feed.tell()

    def refresh(self) -> None:
        self.update()

    # Qt calls these

    def initializeGL(self) -> None:  # noqa: N802
        context = self.context()
        gl = functions(context) if context is not None else None
        if context is not None and gl is not None:
            self._texture.create(gl)
            context.aboutToBeDestroyed.connect(self._destroyed)

    def _destroyed(self) -> None:
        self.makeCurrent()
        self._texture.destroy()
        self.doneCurrent()

    def paintGL(self) -> None:  # noqa: N802
        frame = self._feed.newest()
        if frame is not None:
            self._fill(frame.pixels)
        self._texture.draw(self.room())
        if self._hud is not None:
            painter = QPainter(self)
            ratio = self.devicePixelRatio()
            if ratio != 1:
                painter.scale(1 / ratio, 1 / ratio)  # from here on physical pixels
            self._hud.paint(painter, self.room())
            painter.end()
        if not self._presenting:
            self._feed.tell()

    def _fill(self, picture: Shown) -> None:
        if isinstance(picture, np.ndarray):
            self._texture.fill(picture)
            return
        try:
            self._texture.fill_on_card(picture)
        except EngineError as error:
            self._trouble(error.message)
            with suppress(EngineError):  # the card itself is lost: the relay makes the next picture without it
                self._texture.fill(in_main_memory(picture))

    def resizeEvent(self, event: QResizeEvent | None) -> None:  # noqa: N802
        super().resizeEvent(event)
        self.resized.emit()

    def event(self, event: QEvent | None) -> bool:
        if event is not None and event.type() == QEvent.Type.DevicePixelRatioChange:
            self.resized.emit()
        if event is not None and event.type() == QEvent.Type.Close:
            self.closed.emit()
        return super().event(event)


class Texture:
    """The newest picture on the graphics card. Every method needs the current context of the window.

    One texture is for pictures from main memory, two for those that CUDA copies: pictures come with blue first, which
    OpenGL puts right while it copies from main memory, and while it draws what CUDA copied. None is deleted before the
    end: PyQt 6.11 remembers the list given to glDeleteTextures, and the garbage collector then crashes on it.
    """

    def __init__(self) -> None:
        self._gl: QOpenGLFunctions_2_1 | None = None
        self._blitter = QOpenGLTextureBlitter()
        self._uploaded = self._copied = self._other = 0  # their numbers
        self._sizes: dict[int, Size] = {}
        self._newest = 0  # the one to draw; 0: there is no picture yet
        self._card = CardTexture()

    def create(self, gl: QOpenGLFunctions_2_1) -> None:
        self._gl = gl
        self._blitter.create()
        self._uploaded, self._copied, self._other = (self._made(gl) for _ in range(3))

    def destroy(self) -> None:
        if self._gl is not None:
            self._card.close()  # before the texture that it knows
            self._blitter.destroy()
            self._gl.glDeleteTextures(3, [self._uploaded, self._copied, self._other])
            self._gl = None

    def fill(self, pixels: Pixels) -> None:
        """Copies the picture; its memory is not read after the return. Another size makes the texture anew."""
        gl = self._gl
        if gl is None:
            return
        size = size_of(pixels)
        address = sip.voidptr(pixels.ctypes.data, pixels.nbytes)
        if self._sizes.get(self._uploaded) != size:
            self._allocate(gl, self._uploaded, size, address)
        else:
            gl.glBindTexture(TEXTURE_2D, self._uploaded)
            gl.glTexSubImage2D(TEXTURE_2D, 0, 0, 0, *size, BGRA, UNSIGNED_INT_8_8_8_8_REV, address)
        self._newest = self._uploaded

    def fill_on_card(self, picture: Picture) -> None:
        """Copies a picture that is in the card's memory, and releases it. Raises EngineError."""
        gl = self._gl
        if gl is None:
            picture.release()
            return
        number = self._copied
        if self._sizes.get(number) != picture.size:  # into the other one: the present stays if this comes to nothing
            number = self._other
            self._allocate(gl, number, picture.size, None)
        filled = False
        try:
            filled = self._card.fill(number, picture)
        finally:
            if not filled and number == self._other:
                self._card.close()  # it knows the texture, which may be given another size
        if filled:
            if number == self._other:
                self._copied, self._other = self._other, self._copied
            self._newest = number

    def draw(self, room: Size) -> None:
        """The picture where it belongs in the window, black around it; only black while there is none."""
        gl = self._gl
        if gl is None:
            return
        gl.glViewport(0, 0, *room)
        for state in (BLEND, SCISSOR_TEST, DEPTH_TEST):  # the HUD's painter leaves these as it likes
            gl.glDisable(state)
        gl.glClearColor(0, 0, 0, 1)
        gl.glClear(COLOR_BUFFER_BIT)
        if not self._newest:
            return
        size = self._sizes[self._newest]
        place = placed(size, room)
        smooth = NEAREST if place.size == size else LINEAR
        gl.glBindTexture(TEXTURE_2D, self._newest)
        gl.glTexParameteri(TEXTURE_2D, MIN_FILTER, smooth)
        gl.glTexParameteri(TEXTURE_2D, MAG_FILTER, smooth)
        where = QOpenGLTextureBlitter.targetTransform(QRectF(QRect(*place)), QRect(0, 0, *room))
        self._blitter.bind()
        self._blitter.setRedBlueSwizzle(self._newest == self._copied)
        self._blitter.blit(self._newest, where, QOpenGLTextureBlitter.Origin.OriginTopLeft)
        self._blitter.release()

    def _allocate(self, gl: QOpenGLFunctions_2_1, number: int, size: Size, address: sip.voidptr | None) -> None:
        gl.glBindTexture(TEXTURE_2D, number)
        for key in (WRAP_S, WRAP_T):
            gl.glTexParameteri(TEXTURE_2D, key, CLAMP_TO_EDGE)
        gl.glTexImage2D(TEXTURE_2D, 0, RGBA8, *size, 0, BGRA, UNSIGNED_INT_8_8_8_8_REV, address)
        self._sizes[number] = size

    @staticmethod
    def _made(gl: QOpenGLFunctions_2_1) -> int:
        made = gl.glGenTextures(1)
        return made if isinstance(made, int) else int(made[0])
