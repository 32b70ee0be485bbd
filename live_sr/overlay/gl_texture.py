"""The texture that holds the newest picture of an OpenGL window."""

from __future__ import annotations

from typing import Protocol

from PyQt6 import sip
from PyQt6.QtCore import QRect, QRectF
from PyQt6.QtOpenGL import QOpenGLFunctions_2_1, QOpenGLTextureBlitter

from live_sr.errors import EngineError
from live_sr.overlay.surface import compute_placement
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Pixels, Rect, Revision, Size, get_size

# The OpenGL registry's numbers (gl.xml); PyQt6 has the functions but not the constants.
TEXTURE_2D = 0x0DE1
RGBA8 = 0x8058
BGRA = 0x80E1
UNSIGNED_INT_8_8_8_8_REV = 0x8367  # with BGRA: the order in memory is B G R A, which drivers copy without a shuffle
MIN_FILTER, MAG_FILTER = 0x2801, 0x2800
UNPACK_ROW_LENGTH = 0x0CF2
WRAP_S, WRAP_T = 0x2802, 0x2803
NEAREST, LINEAR = 0x2600, 0x2601
CLAMP_TO_EDGE = 0x812F
COLOR_BUFFER_BIT = 0x4000
BLEND, SCISSOR_TEST, DEPTH_TEST = 0x0BE2, 0x0C11, 0x0B71


class TextureFiller(Protocol):
    """Copies pictures from the GPU's memory into OpenGL textures, as `gl_interop.InteropTexture` does.

    Every method needs the current context of the window.
    """

    def fill(self, texture: int, picture: DisplayPicture) -> bool:
        """Copies a picture into the texture of that name, which has its size, and releases the picture.

        The texture gets the bytes B G R A in this order. False: the picture was empty, and the texture is as it was.
        Raises EngineError; the picture is then not released.
        """
        ...

    def close(self) -> None:
        """Before the texture is deleted or given another size. It may be filled again later."""
        ...


class Texture:
    """The newest picture, as OpenGL draws it. Every method needs the current context of the window.

    One texture is for pictures from main memory, two are for pictures that CUDA copies. All come with blue first:
    OpenGL swaps red and blue while it copies from main memory, and while it draws what CUDA copied. No texture is
    deleted before the end, since PyQt 6.11 keeps the list given to glDeleteTextures, and the garbage collector crashes
    on it.
    """

    def __init__(self, interop: TextureFiller | None) -> None:
        self._gl: QOpenGLFunctions_2_1 | None = None
        self._blitter = QOpenGLTextureBlitter()
        self._uploaded = self._copied = self._other = 0  # their names in OpenGL
        self._sizes: dict[int, Size] = {}
        self._revision: Revision | None = None  # of the uploaded picture
        self._newest = 0  # the texture to draw; 0: there is no picture yet
        self._interop = interop

    @property
    def size(self) -> Size | None:
        """Of the newest picture; None: there is none yet."""
        return self._sizes.get(self._newest)

    def find_place(self, room: Size, aspect: float | None) -> Rect | None:
        """Where the newest picture is drawn. Pictures from main memory have been made as large as fits before.

        None: there is none yet.
        """
        size = self.size
        return compute_placement(size, room, aspect, fill=self._newest != self._uploaded) if size is not None else None

    def create(self, gl: QOpenGLFunctions_2_1) -> None:
        self._gl = gl
        self._blitter.create()
        self._uploaded, self._copied, self._other = (self._generate(gl) for _ in range(3))

    def destroy(self) -> None:
        if self._gl is not None:
            self._close_interop()  # before the texture that is registered with it
            self._blitter.destroy()
            self._gl.glDeleteTextures(3, [self._uploaded, self._copied, self._other])
            self._gl = None

    def _close_interop(self) -> None:
        if self._interop is not None:
            self._interop.close()

    def fill(self, pixels: Pixels, revision: Revision | None = None) -> None:
        """Copies the picture; its memory is not read after the return. The texture takes the size of the picture.

        Of a picture whose revision says what has changed since the one in the texture, only that is copied.
        """
        gl = self._gl
        if gl is None:
            return
        size = get_size(pixels)
        changes = revision.list_changes_since(self._revision) if revision is not None else None
        if self._sizes.get(self._uploaded) != size:
            self._allocate(gl, self._uploaded, size, sip.voidptr(pixels.ctypes.data, pixels.nbytes))
        else:
            gl.glBindTexture(TEXTURE_2D, self._uploaded)
            for rect in changes if changes is not None else [Rect(0, 0, *size)]:
                self._upload(gl, rect, pixels)
        self._revision = revision
        self._newest = self._uploaded

    @staticmethod
    def _upload(gl: QOpenGLFunctions_2_1, rect: Rect, pixels: Pixels) -> None:
        """Copies a part of the picture into the bound texture."""
        part = rect.cut_from(pixels)
        address = sip.voidptr(part.ctypes.data, pixels.strides[0] * (rect.height - 1) + rect.width * 4)
        gl.glPixelStorei(UNPACK_ROW_LENGTH, pixels.shape[1])
        gl.glTexSubImage2D(TEXTURE_2D, 0, *rect, BGRA, UNSIGNED_INT_8_8_8_8_REV, address)
        gl.glPixelStorei(UNPACK_ROW_LENGTH, 0)

    def fill_on_device(self, picture: DisplayPicture) -> None:
        """Copies a picture that is in the GPU's memory, and releases it. Raises EngineError."""
        gl = self._gl
        if gl is None:
            picture.release()
            return
        if self._interop is None:
            raise EngineError("OpenGL does not run on the GPU that upscales", "show pictures from main memory")
        number = self._copied
        if self._sizes.get(number) != picture.size:  # the other one: if this fails, the present picture stays
            number = self._other
            self._allocate(gl, number, picture.size, None)
        filled = False
        try:
            filled = self._interop.fill(number, picture)
        finally:
            if not filled and number == self._other:
                self._interop.close()  # the texture, which may get another size, is registered with it
        if filled:
            if number == self._other:
                self._copied, self._other = self._other, self._copied
            self._newest = number

    def draw(self, room: Size, aspect: float | None) -> None:
        """Draws the picture in its place, and black around it; only black while there is none."""
        gl = self._gl
        if gl is None:
            return
        gl.glViewport(0, 0, *room)
        for state in (BLEND, SCISSOR_TEST, DEPTH_TEST):  # the HUD's painter may have changed these
            gl.glDisable(state)
        gl.glClearColor(0, 0, 0, 1)
        gl.glClear(COLOR_BUFFER_BIT)
        place = self.find_place(room, aspect)
        if place is None:
            return
        smooth = NEAREST if place.size == self.size else LINEAR
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
    def _generate(gl: QOpenGLFunctions_2_1) -> int:
        made = gl.glGenTextures(1)
        return made if isinstance(made, int) else int(made[0])
