"""The pictures that a Wayland compositor reads: memory that it shares with this program."""

from __future__ import annotations

import mmap
import os
from collections.abc import Callable
from functools import partial
from typing import Any

import numpy as np
from PyQt6.QtGui import QImage

from live_sr.overlay.surface import wrap_pixels
from live_sr.pipeline.frame import Pixels, Size
from live_sr.system.wayland import Descriptor, EventArguments, WaylandConnection

COUNT = 3  # one is on screen, one waits for the screen's refresh, one is being painted
CREATE_POOL, CREATE_BUFFER, DESTROY_POOL, DESTROY_BUFFER = 0, 0, 1, 0  # requests of wl_shm, wl_shm_pool and wl_buffer
linux_os: Any = os  # the types for Windows lack what is used of it
XRGB8888 = 1  # as QImage's Format_RGB32


class LayerBuffers:
    """Buffers of one size. A buffer is taken, painted and attached, and comes back when the compositor has done with
    it. Belongs to the GUI thread."""

    def __init__(self, wayland: WaylandConnection, shm: int, size: Size, on_free: Callable[[], None]) -> None:
        """`shm`: the compositor's wl_shm. `on_free` is called whenever a buffer comes back."""
        self._wayland = wayland
        self._on_free = on_free
        self.size = size
        length = size.width * size.height * 4
        file = linux_os.memfd_create("live-sr")
        try:
            os.ftruncate(file, length * COUNT)
            memory = mmap.mmap(file, length * COUNT)
            pool = wayland.new_id()
            wayland.request(shm, CREATE_POOL, pool, Descriptor(file), length * COUNT)
        finally:
            os.close(file)
        self._pixels: dict[int, Pixels] = {}
        self._images: dict[int, QImage] = {}
        for number in range(COUNT):
            buffer = wayland.new_id()
            wayland.handlers[buffer] = partial(self._release, buffer)
            wayland.request(pool, CREATE_BUFFER, buffer, number * length, *size, size.width * 4, XRGB8888)
            pixels = np.frombuffer(memory, np.uint8, length, number * length)
            self._pixels[buffer] = pixels.reshape(size.height, size.width, 4)
            self._images[buffer] = wrap_pixels(self._pixels[buffer])
        wayland.request(pool, DESTROY_POOL)  # the buffers keep what they need of it
        self._free = list(self._images)

    def take(self) -> tuple[int, QImage] | None:
        """A buffer to attach, and the image to paint it with. None: the compositor still holds all of them."""
        if not self._free:
            return None
        buffer = self._free.pop(0)
        return buffer, self._images[buffer]

    def close(self) -> None:
        """Gives the memory back; nothing may paint any more."""
        for buffer in self._images:
            self._wayland.handlers.pop(buffer, None)
            self._wayland.request(buffer, DESTROY_BUFFER)
        self._images.clear()
        self._pixels.clear()
        self._free.clear()

    def _release(self, buffer: int, _number: int, _arguments: EventArguments) -> None:
        self._free.append(buffer)
        self._on_free()
