"""The picture of one X11 window, which the server keeps while the window is covered, and how it is transferred."""

from __future__ import annotations

import struct

import numpy as np
import numpy.typing as npt

from live_sr.errors import MissingPart, SourceLost
from live_sr.pipeline.frame import Rect
from live_sr.system import xcb

_Z_PIXMAP, _ALL_PLANES = 2, 0xFFFFFFFF
_REDIRECT_AUTOMATIC = 0  # the server still paints the window on the screen
_DAMAGE_NON_EMPTY = 3  # one event for each picture that differs from the last fetched one, not one for each draw call


class RedirectedWindow:
    """Composite keeps the window's picture, DAMAGE reports when it changes, and MIT-SHM transfers a part of it.

    Raises XError, such as when the window is gone, and ConnectionBroken.
    """

    def __init__(self, connection: xcb.Connection, window: int) -> None:
        self._connection = connection
        self._window = window
        self._segment: xcb.SharedMemory | None = None
        self._segment_id = 0
        redirect = struct.pack("=IBxxx", window, _REDIRECT_AUTOMATIC)
        connection.execute(xcb.Request(1, redirect, xcb.COMPOSITE))
        damage, self._pixmap = connection.generate_id(), connection.generate_id()
        connection.execute(xcb.Request(1, struct.pack("=IIBxxx", damage, window, _DAMAGE_NON_EMPTY), xcb.DAMAGE))
        self._stop = (
            xcb.Request(2, struct.pack("=I", damage), xcb.DAMAGE),
            xcb.Request(3, redirect, xcb.COMPOSITE),
        )
        self._clear_damage = xcb.Request(3, struct.pack("=III", damage, 0, 0), xcb.DAMAGE)  # DamageSubtract
        self._name_pixmap = xcb.Request(6, struct.pack("=II", window, self._pixmap), xcb.COMPOSITE)
        self._free_pixmap = xcb.Request(xcb.FREE_PIXMAP, struct.pack("=I", self._pixmap))

    @property
    def is_prepared(self) -> bool:
        return self._segment is not None

    def prepare(self, part: Rect) -> None:
        """Sets which part of the window `fetch` transfers; 0, 0 is the corner of its border.

        Raises SourceLost without memory, and MissingPart when the server cannot share memory with this program.
        """
        length = part.width * part.height * 4
        if self._segment is None or self._segment.size < length:
            self._allocate_segment(length)
        assert self._segment is not None
        self._words = self._segment.view_words(part.width * part.height).reshape(part.height, part.width)
        image_format = (_ALL_PLANES, _Z_PIXMAP)
        body = struct.pack("=IhhHHIBxxxII", self._pixmap, *part, *image_format, self._segment_id, 0)
        self._get_image = xcb.Request(4, body, xcb.MIT_SHM, reply=True)

    def clear_damage(self) -> None:
        """From now on, the next change is reported."""
        self._connection.send(self._clear_damage)

    def fetch(self) -> npt.NDArray[np.uint32]:
        """The picture as it is now, BGRA pixels in shared memory, which the next `fetch` overwrites.

        It names the window's pixmap anew for each picture, which costs no round trip. A name from before a resize or an
        unmapping of the window would stand for a stale picture.
        """
        self.clear_damage()  # before the picture: what is drawn afterwards causes a new event
        self._connection.send(self._name_pixmap)
        request_number = self._connection.send(self._get_image, checked=True)
        self._connection.send(self._free_pixmap)
        self._connection.wait_for_reply(request_number)
        return self._words

    def release(self) -> None:
        """Ends what the server does for it, which the end of the connection does as well. The window may be gone."""
        for request in self._stop:
            self._connection.send(request)
        if self._segment is not None:
            self._detach()
        self.close()

    def close(self) -> None:
        """Frees the shared memory. May be called twice, also when the connection is closed."""
        if self._segment is not None:
            self._segment.close()
            self._segment = None

    def _allocate_segment(self, length: int) -> None:
        if self._segment is not None:
            self._detach()
            self._segment.close()
        self._segment_id = self._connection.generate_id()
        try:
            self._segment = xcb.SharedMemory(length)
            attach = struct.pack("=IIBxxx", self._segment_id, self._segment.id, 0)
            self._connection.execute(xcb.Request(1, attach, xcb.MIT_SHM))
        except OSError as error:
            raise SourceLost(f"there is no shared memory for the picture: {error.strerror}", "") from None
        except xcb.XError:
            raise MissingPart(
                "the X server cannot share memory with this program",
                'run it on the machine (and in the container) of the X server, or set backend = "mss" under [capture]',
            ) from None

    def _detach(self) -> None:
        self._connection.send(xcb.Request(2, struct.pack("=I", self._segment_id), xcb.MIT_SHM))
