"""Captures what a Wayland desktop shares: one PipeWire video stream, in memory that both sides map.

The desktop writes a picture when the game has drawn, into one of a few buffers, and this side copies the newest. DMA
buffers, which stay on the graphics card, are not asked for.
"""

from __future__ import annotations

import ctypes
import logging
import os
import struct
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from time import monotonic, perf_counter_ns

import numpy as np

from live_sr.capture import libpipewire, pipewire_pods
from live_sr.capture.libpipewire import SpaBuffer, StreamBuffer, TimeSpec, load_library
from live_sr.capture.pipewire_pods import VideoFormat
from live_sr.errors import MissingPart, SourceClosed, SourceLost
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, Stamps, reuse_or_allocate

OPAQUE = np.uint32(0xFF000000)  # alpha of a BGRA pixel read as one little-endian word
OLDEST_NS = 1_000_000_000  # a desktop that claims an older picture counts its time from something else
PAUSE_S = 0.5  # a change of the format pauses a stream for a moment; a longer pause is a loss

log = logging.getLogger(__name__)


class PipeWireSource:
    """Frames of one PipeWire stream of a screen or a window. One thread opens, uses and closes it.

    What the callbacks write is guarded by the lock of the library's loop.
    """

    def __init__(self, node: int, descriptor: int) -> None:
        """`node`: the stream's id. `descriptor`: an open connection to PipeWire, which this source closes.

        Raises MissingPart if the library is not installed whole, and SourceLost when PipeWire refuses.
        """
        self._pipewire = load_library()
        self._loop: int | None = self._pipewire.pw_thread_loop_new(b"live-sr", None)
        self._context: int | None = None
        self._stream: int | None = None
        # guarded by the loop's lock:
        self._state = libpipewire.CONNECTING
        self._problem = ""
        self._format: VideoFormat | None = None
        self._buffer: int | None = None  # the newest one with a picture: a pw_buffer that is ours until it is queued
        self._arrived_ns = 0
        self._paused_at: float | None = None  # when a stream that had run was paused
        self._size = Size(1, 1)
        if not self._loop:
            os.close(descriptor)
            raise SourceLost("PipeWire's library cannot start a thread", "close other programs")
        try:
            self._connect(node, descriptor)
        except BaseException:
            self.close()
            raise

    @property
    def size(self) -> Size:
        return self._size

    @property
    def was_linked(self) -> bool:
        """Whether the other side has ever been there, and agreed on a format."""
        return self._format is not None

    @property
    def broken(self) -> bool:
        """Whether the other side has gone, or was not there."""
        return self._state < libpipewire.CONNECTING

    def next_frame(self, timeout_s: float, into: Pixels | None = None) -> Frame[Pixels] | None:
        """See FrameSource. `stamps.seen` is when the desktop says that the picture was drawn, else when it came."""
        if self._loop is None:
            raise SourceClosed("the capture of this window was closed")
        end = TimeSpec()
        self._pipewire.pw_thread_loop_get_time(self._loop, ctypes.byref(end), int(timeout_s * 1e9))
        with self._locked():
            while True:
                self._raise_if_lost()
                frame = self._take(into)
                if frame is not None:
                    return frame
                if self._pipewire.pw_thread_loop_timed_wait_full(self._loop, ctypes.byref(end)):
                    return None

    def close(self) -> None:
        """Ends the library's thread and its connection. May be called twice."""
        if self._loop is None:
            return
        self._pipewire.pw_thread_loop_stop(self._loop)
        if self._stream:
            self._pipewire.pw_stream_destroy(self._stream)
        if self._context:
            self._pipewire.pw_context_destroy(self._context)  # and its connection
        self._pipewire.pw_thread_loop_destroy(self._loop)
        self._loop = self._context = self._stream = self._buffer = None

    def _connect(self, node: int, descriptor: int) -> None:
        pipewire = self._pipewire
        self._context = pipewire.pw_context_new(pipewire.pw_thread_loop_get_loop(self._loop), None, 0)
        if not self._context:  # its settings are missing
            os.close(descriptor)
            raise MissingPart("PipeWire's library cannot start", "install PipeWire: sudo apt install pipewire")
        pipewire.pw_thread_loop_start(self._loop)
        with self._locked():
            core = pipewire.pw_context_connect_fd(self._context, descriptor, None, 0)
            if not core:  # which has closed the descriptor
                raise SourceLost("PipeWire does not answer", "log in again")
            properties = pipewire.pw_properties_new_string(b"media.type=Video media.category=Capture media.role=Screen")
            self._stream = pipewire.pw_stream_new(core, b"live-sr", properties)
            self._events = libpipewire.StreamEvents(
                version=libpipewire.EVENTS_VERSION,
                state_changed=libpipewire.StateChanged(self._on_state),
                param_changed=libpipewire.ParamChanged(self._on_param),
                remove_buffer=libpipewire.RemoveBuffer(self._on_remove_buffer),
                process=libpipewire.Process(self._on_process),
            )
            self._hook = libpipewire.Hook()
            pipewire.pw_stream_add_listener(self._stream, ctypes.byref(self._hook), ctypes.byref(self._events), None)
            flags = libpipewire.AUTOCONNECT | libpipewire.MAP_BUFFERS | libpipewire.DONT_RECONNECT
            pods = _PodArray([pipewire_pods.make_format_offer()])
            failed = pipewire.pw_stream_connect(
                self._stream, libpipewire.INPUT, node, flags, pods.pointers, len(pods.pointers)
            )
        if failed < 0:
            raise SourceLost(f"PipeWire refuses the desktop's picture: {os.strerror(-failed)}", "log in again")

    @contextmanager
    def _locked(self) -> Iterator[None]:
        self._pipewire.pw_thread_loop_lock(self._loop)
        try:
            yield
        finally:
            self._pipewire.pw_thread_loop_unlock(self._loop)

    def _raise_if_lost(self) -> None:
        if self._state in (libpipewire.ERROR, libpipewire.UNCONNECTED):
            why = f" ({self._problem})" if self._problem else ""
            raise SourceLost(f"the desktop has ended the picture of the window{why}", "choose the window again")
        if self._paused_at is not None and monotonic() - self._paused_at > PAUSE_S:
            raise SourceLost("the desktop has paused the picture of the window", "bring the game back to the screen")

    def _take(self, into: Pixels | None) -> Frame[Pixels] | None:
        """The held buffer's picture, copied; the buffer is given back. None: there is none.

        It holds the lock while it copies, because the library takes the memory away when the format changes.
        """
        if self._buffer is None or self._format is None:
            return None
        address, self._buffer = self._buffer, None
        buffer = ctypes.cast(address, ctypes.POINTER(StreamBuffer)).contents.buffer.contents
        try:
            pixels = copy_picture(buffer, self._format, into)
            if pixels is None:
                return None
            self._size = Size(pixels.shape[1], pixels.shape[0])
            return Frame(pixels, Stamps(find_drawn_ns(buffer, self._arrived_ns), perf_counter_ns()))
        finally:
            self._pipewire.pw_stream_queue_buffer(self._stream, address)

    # Called on the library's thread, which holds the loop's lock

    def _on_state(self, _: int, old: int, state: int, problem: bytes | None) -> None:
        log.debug("stream: %d to %d %s", old, state, problem)
        self._state, self._problem = state, (problem or b"").decode(errors="replace")
        paused = state == libpipewire.PAUSED and old == libpipewire.STREAMING
        self._paused_at = monotonic() if paused else None
        self._pipewire.pw_thread_loop_signal(self._loop, False)

    def _on_param(self, _: int, parameter: int, pod: int | None) -> None:
        if parameter != pipewire_pods.PARAM_FORMAT or not pod:
            return
        length = 8 + struct.unpack("<I", ctypes.string_at(pod, 4))[0]
        try:
            self._format = pipewire_pods.parse_format(ctypes.string_at(pod, length))
        except ValueError as error:
            self._state, self._problem = libpipewire.ERROR, str(error)
            return
        log.debug("stream: %s", self._format)
        pods = _PodArray(pipewire_pods.make_buffer_requirements())
        self._pipewire.pw_stream_update_params(self._stream, pods.pointers, len(pods.pointers))

    def _on_remove_buffer(self, _: int, address: int) -> None:
        if address == self._buffer:
            self._buffer = None

    def _on_process(self, _: int) -> None:
        """Keeps the newest buffer that has a picture, and gives the others back."""
        while address := self._pipewire.pw_stream_dequeue_buffer(self._stream):
            buffer = ctypes.cast(address, ctypes.POINTER(StreamBuffer)).contents.buffer.contents
            unneeded = address
            if has_picture(buffer):
                unneeded, self._buffer, self._arrived_ns = self._buffer, address, perf_counter_ns()
            if unneeded is not None:
                self._pipewire.pw_stream_queue_buffer(self._stream, unneeded)
        self._pipewire.pw_thread_loop_signal(self._loop, False)


class _PodArray:
    """Pods as the library takes them: an array of pointers. They live as long as this object."""

    def __init__(self, pods: Sequence[bytes]) -> None:
        self._buffers = [ctypes.create_string_buffer(pod, len(pod)) for pod in pods]
        self.pointers = (ctypes.c_void_p * len(pods))(*(ctypes.addressof(buffer) for buffer in self._buffers))


def has_picture(buffer: SpaBuffer) -> bool:
    """Whether there are pixels in it. A desktop also sends buffers in which only the cursor has moved."""
    if not buffer.n_datas:
        return False
    data = buffer.datas[0]
    chunk = data.chunk.contents
    return bool(data.data and chunk.size and not chunk.flags & libpipewire.CORRUPTED)


def copy_picture(buffer: SpaBuffer, shape: VideoFormat, into: Pixels | None) -> Pixels | None:
    """The part of a buffer that is the window, as BGRA; None if the buffer is too small for what it says."""
    data = buffer.datas[0]
    chunk = data.chunk.contents
    stride = chunk.stride if chunk.stride > 0 else shape.size.width * 4
    crop = find_crop(buffer, shape.size)
    if crop.x * 4 + crop.width * 4 > stride or stride % 4 or (chunk.offset + stride * shape.size.height) > data.maxsize:
        return None
    words = np.ctypeslib.as_array(
        (ctypes.c_uint32 * (stride // 4 * shape.size.height)).from_address(data.data + chunk.offset)
    ).reshape(shape.size.height, stride // 4)[crop.y : crop.y + crop.height, crop.x : crop.x + crop.width]
    pixels = reuse_or_allocate(into, crop.size)
    if shape.pixels in (pipewire_pods.BGRX, pipewire_pods.BGRA):
        np.bitwise_or(words, OPAQUE, out=pixels.view(np.uint32)[..., 0])
        return pixels
    colours = words.view(np.uint8).reshape(crop.height, crop.width, 4)
    pixels[..., :3], pixels[..., 3] = colours[..., 2::-1], 255
    return pixels


def find_crop(buffer: SpaBuffer, size: Size) -> Rect:
    """Where in a picture of `size` the window is: GNOME's pictures of a window are as large as its monitor."""
    raw = _read_meta(buffer, pipewire_pods.META_CROP, pipewire_pods.CROP_BYTES)
    whole = Rect(0, 0, *size)
    if raw is None:
        return whole
    crop = Rect(*struct.unpack("<iiII", raw)).intersect(whole)
    return crop if crop.width and crop.height else whole


def find_drawn_ns(buffer: SpaBuffer, arrived_ns: int) -> int:
    """When the picture was drawn, by the desktop's word, if that can be so; else when it arrived."""
    raw = _read_meta(buffer, pipewire_pods.META_HEADER, pipewire_pods.HEADER_BYTES)
    drawn = struct.unpack_from("<q", raw, 8)[0] if raw is not None else 0
    return drawn if arrived_ns - OLDEST_NS < drawn <= arrived_ns else arrived_ns


def _read_meta(buffer: SpaBuffer, kind: int, size: int) -> bytes | None:
    for index in range(buffer.n_metas):
        meta = buffer.metas[index]
        if meta.type == kind and meta.size >= size and meta.data:
            return ctypes.string_at(meta.data, size)
    return None
