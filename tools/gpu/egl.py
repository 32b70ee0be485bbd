"""OpenGL without a screen, through EGL: just enough to copy pictures into a texture and to read one back.

    with Context() as gl:           # current on this thread until the end
        number = gl.create_texture(Size(960, 540))
        pixels = gl.read(number, Size(960, 540))

For tools/gpu_day.py; the overlay uses Qt's OpenGL. Only ctypes, since a GPU server may have no other package.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from typing import Self

from live_sr.errors import MissingPart
from live_sr.pipeline.frame import Pixels, Size, make_black

# The numbers of the EGL and OpenGL registries (egl.xml, gl.xml)
PLATFORM_DEVICE, CUDA_DEVICE = 0x313F, 0x323A
OPENGL_API, NONE = 0x30A2, 0x3038
SURFACE_TYPE, RENDERABLE_TYPE, PBUFFER_BIT, OPENGL_BIT = 0x3033, 0x3040, 0x0001, 0x0008
RENDERER, TEXTURE_2D, RGBA8, RGBA, BGRA = 0x1F01, 0x0DE1, 0x8058, 0x1908, 0x80E1
FRAMEBUFFER, COLOR_ATTACHMENT0 = 0x8D40, 0x8CE0
UNSIGNED_BYTE, MIN_FILTER, MAG_FILTER, NEAREST, NO_ERROR = 0x1401, 0x2801, 0x2800, 0x2600, 0

Pointer = ctypes.c_void_p


class EglContext:
    """An OpenGL context on CUDA's first GPU, or else on what EGL offers, such as Mesa's software renderer."""

    def __init__(self) -> None:
        self._scrap = 0  # a texture of one pixel
        try:
            self._egl = ctypes.CDLL("libEGL.so.1")
        except OSError:
            raise MissingPart("there is no EGL here", "sudo apt install libegl1") from None
        for name in ("eglGetProcAddress", "eglGetDisplay", "eglCreateContext"):
            getattr(self._egl, name).restype = Pointer

    def __enter__(self) -> Self:
        for display in self._list_displays():
            if display and self._egl.eglInitialize(Pointer(display), None, None) and self._make_current(display):
                self.renderer = ctypes.string_at(self._call("glGetString", Pointer, RENDERER)).decode()
                return self
        raise MissingPart("EGL offers no OpenGL here", "install the driver's EGL, or Mesa's: sudo apt install libegl1")

    def __exit__(self, *_: object) -> None:
        self._egl.eglMakeCurrent(self._display, None, None, None)
        self._egl.eglDestroyContext(self._display, self._context)

    def create_texture(self, size: Size) -> int:
        """A new RGBA8 texture, black."""
        number = ctypes.c_uint()
        self._call("glGenTextures", None, 1, ctypes.byref(number))
        self._call("glBindTexture", None, TEXTURE_2D, number)
        for key in (MIN_FILTER, MAG_FILTER):
            self._call("glTexParameteri", None, TEXTURE_2D, key, NEAREST)
        nothing = make_black(size)
        self._call(
            "glTexImage2D", None, TEXTURE_2D, 0, RGBA8, *size, 0, BGRA, UNSIGNED_BYTE, Pointer(nothing.ctypes.data)
        )
        return number.value

    def upload(self, number: int, pixels: Pixels) -> None:
        """Copies a picture from main memory into the texture."""
        height, width, _ = pixels.shape
        self._call("glBindTexture", None, TEXTURE_2D, number)
        where = Pointer(pixels.ctypes.data)
        self._call("glTexSubImage2D", None, TEXTURE_2D, 0, 0, 0, width, height, BGRA, UNSIGNED_BYTE, where)

    def read(self, number: int, size: Size) -> Pixels:
        """The bytes of the texture, in their order, which is BGRA if CUDA copied the picture."""
        pixels = make_black(size)
        self._call("glBindTexture", None, TEXTURE_2D, number)
        self._call("glGetTexImage", None, TEXTURE_2D, 0, RGBA, UNSIGNED_BYTE, Pointer(pixels.ctypes.data))
        if self._call("glGetError", ctypes.c_uint) != NO_ERROR:
            raise MissingPart("the texture cannot be read", "another OpenGL driver")
        return pixels

    def wait_for_texture(self, number: int) -> None:
        """Returns when the texture is complete: copies a pixel of it and waits for the copy."""
        if not self._scrap:
            self._scrap = self.create_texture(Size(1, 1))
            framebuffer = ctypes.c_uint()
            self._call("glGenFramebuffers", None, 1, ctypes.byref(framebuffer))
            self._call("glBindFramebuffer", None, FRAMEBUFFER, framebuffer)
        self._call("glFramebufferTexture2D", None, FRAMEBUFFER, COLOR_ATTACHMENT0, TEXTURE_2D, number, 0)
        self._call("glBindTexture", None, TEXTURE_2D, self._scrap)
        self._call("glCopyTexSubImage2D", None, TEXTURE_2D, 0, 0, 0, 0, 0, 1, 1)
        self._call("glFinish", None)

    def _list_displays(self) -> Iterator[int]:
        """CUDA's first GPU, the other devices, then EGL's own choice."""
        query = self._egl.eglGetProcAddress(b"eglQueryDevicesEXT")
        of_device = self._egl.eglGetProcAddress(b"eglGetPlatformDisplayEXT")
        if query and of_device:
            devices, count = (Pointer * 16)(), ctypes.c_int()
            ctypes.CFUNCTYPE(ctypes.c_uint, ctypes.c_int, Pointer, Pointer)(query)(16, devices, ctypes.byref(count))
            opened = ctypes.CFUNCTYPE(Pointer, ctypes.c_uint, Pointer, Pointer)(of_device)
            found = [device for device in devices[: count.value] if device is not None]
            for device in sorted(found, key=self._not_cuda):
                yield opened(PLATFORM_DEVICE, device, None)
        yield self._egl.eglGetDisplay(None)

    def _not_cuda(self, device: int) -> bool:
        ask = self._egl.eglGetProcAddress(b"eglQueryDeviceAttribEXT")
        number = ctypes.c_ssize_t(-1)
        kind = ctypes.CFUNCTYPE(ctypes.c_uint, Pointer, ctypes.c_int, Pointer)
        return not (ask and kind(ask)(device, CUDA_DEVICE, ctypes.byref(number)) and number.value == 0)

    def _make_current(self, display: int) -> bool:
        wanted = (ctypes.c_int * 5)(SURFACE_TYPE, PBUFFER_BIT, RENDERABLE_TYPE, OPENGL_BIT, NONE)
        config, count = Pointer(), ctypes.c_int()
        self._display = Pointer(display)
        if not self._egl.eglChooseConfig(self._display, wanted, ctypes.byref(config), 1, ctypes.byref(count)):
            return False
        self._egl.eglBindAPI(OPENGL_API)
        self._context = Pointer(self._egl.eglCreateContext(self._display, config, None, None))
        return bool(self._context and self._egl.eglMakeCurrent(self._display, None, None, self._context))

    def _call(self, name: str, result: type[ctypes.c_uint] | type[ctypes.c_void_p] | None, *arguments: object) -> int:
        found = ctypes.CFUNCTYPE(result)(self._egl.eglGetProcAddress(name.encode()))
        return found(*arguments) or 0
