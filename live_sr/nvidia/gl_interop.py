"""Copies pictures from CUDA's memory into OpenGL textures, without a way through main memory."""

from __future__ import annotations

from contextlib import suppress

from live_sr.errors import EngineError
from live_sr.nvidia.cuda_api import CudaLike
from live_sr.nvidia.cuda_picture import CudaPicture
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Size


class InteropTexture:
    """Fills textures on the GUI thread; the OpenGL context must be current in every call.

    A texture is two-dimensional, GL_RGBA8, without mipmaps. It gets the bytes B G R A in this order, so whoever draws
    it must swap red and blue. Raises EngineError if CUDA and this context do not work together. Both can still be used,
    but the picture, which is then not released, has to go through main memory.
    """

    def __init__(self) -> None:
        self._cuda: CudaLike | None = None  # of the newest picture; streams and textures belong to the process
        self._stream = 0
        self._registered: tuple[int, Size] | None = None
        self._resource: object = None

    def fill(self, texture: int, picture: DisplayPicture) -> bool:
        """Copies a picture into the texture of that name, which has its size, and releases the picture.

        Returns at once: on the GPU, the copy waits for the picture, and what OpenGL draws next waits for the copy.
        False: the picture was empty, and the texture is as it was.
        """
        if not isinstance(picture, CudaPicture):
            raise EngineError("the picture is not in the memory of CUDA", "show it from main memory")
        gl, size = picture.cuda.gl, picture.size
        picture.cuda.make_current()
        self.prepare(picture.cuda, texture, size)
        stream = self._stream

        def copy(address: int, pitch: int) -> None:
            array = gl.map_texture(self._resource, stream)
            try:
                gl.copy_to_texture(array, address, pitch, size, stream)
            finally:
                gl.unmap_texture(self._resource, stream)

        held = picture.read(copy, stream)
        picture.release()
        return held

    def prepare(self, cuda: CudaLike, texture: int, size: Size) -> None:
        """Creates a stream to copy on and registers the texture, unless that was done before. Raises EngineError."""
        if self._cuda is None:
            cuda.gl.check_device()
            self._stream = cuda.create_stream()
        self._cuda = cuda
        if self._registered != (texture, size):
            self._unregister(cuda)
            self._resource = cuda.gl.register_texture(texture)
            self._registered = (texture, size)

    def _unregister(self, cuda: CudaLike) -> None:
        if self._registered is not None:
            self._registered = None
            cuda.gl.unregister_texture(self._resource)

    def close(self) -> None:
        """Call it before the texture is deleted or gets another size. The texture may be filled again later."""
        if self._cuda is not None:
            with suppress(EngineError):  # what cannot be unregistered goes with the texture
                self._cuda.make_current()
                self._unregister(self._cuda)
                self._cuda.destroy_stream(self._stream)
            self._cuda = None
