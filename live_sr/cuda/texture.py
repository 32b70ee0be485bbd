"""From a picture on the card into a texture of OpenGL's, without main memory between."""

from __future__ import annotations

from contextlib import suppress

from live_sr.cuda.calls import CudaLike
from live_sr.cuda.slots import Picture
from live_sr.errors import EngineError
from live_sr.frame import Size


class CardTexture:
    """Fills a texture on the GUI thread, its OpenGL context current in every call.

    The texture is two-dimensional, GL_RGBA8, without mipmaps. It gets the bytes B G R A in this order, so whoever draws
    it swaps red and blue. Raises EngineError when CUDA and this context do not go together; both work on, and the
    picture, which is then not released, has to go through main memory.
    """

    def __init__(self) -> None:
        self._cuda: CudaLike | None = None  # of the newest picture; streams and textures are the whole process's
        self._stream = 0
        self._registered: tuple[int, Size] | None = None
        self._resource: object = None

    def fill(self, texture: int, picture: Picture) -> bool:
        """Copy a picture into the texture of that name, which has its size, and release the picture.

        Returns at once: on the card, the copy waits for the picture, and what OpenGL draws next waits for the copy.
        False: the picture was empty, and the texture is as it was.
        """
        gl, size = picture.cuda.gl, picture.size
        picture.cuda.use()
        self._ready(picture.cuda, texture, size)
        stream = self._stream

        def copy(address: int, pitch: int) -> None:
            array = gl.mapped(self._resource, stream)
            try:
                gl.fill(array, address, pitch, size, stream)
            finally:
                gl.unmap(self._resource, stream)

        held = picture.read(copy, stream)
        picture.release()
        return held

    def _ready(self, cuda: CudaLike, texture: int, size: Size) -> None:
        """There is a stream to copy on, and the texture is registered, when it returns."""
        if self._cuda is None:
            cuda.gl.check()
            self._stream = cuda.stream()
        self._cuda = cuda
        if self._registered != (texture, size):
            self._unregister(cuda)
            self._resource = cuda.gl.register(texture)
            self._registered = (texture, size)

    def _unregister(self, cuda: CudaLike) -> None:
        if self._registered is not None:
            self._registered = None
            cuda.gl.unregister(self._resource)

    def close(self) -> None:
        """Before the texture is deleted or given another size, or its context goes. It may be filled again later."""
        if self._cuda is not None:
            with suppress(EngineError):  # what cannot be given back goes with the texture
                self._cuda.use()
                self._unregister(self._cuda)
                self._cuda.end_stream(self._stream)
            self._cuda = None
