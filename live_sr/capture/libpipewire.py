"""Binds libpipewire-0.3 through ctypes, as far as `capture/pipewire.py` needs it.

PipeWire's own library is on every desktop that has a portal for screen capture, so nothing has to be compiled or
installed. The structures are those of spa/buffer/buffer.h and pipewire/stream.h, whose layout belongs to the library's
stable interface.
"""

from __future__ import annotations

import ctypes
import functools

from live_sr.errors import MissingPart

NAME = "libpipewire-0.3.so.0"
# pw_stream_state
ERROR, UNCONNECTED, CONNECTING, PAUSED, STREAMING = -1, 0, 1, 2, 3
INPUT = 0  # the direction of a stream that receives
# pw_stream_flags. Without DONT_RECONNECT, the session manager gives a stream whose window is gone another source: a
# webcam.
AUTOCONNECT, MAP_BUFFERS, DONT_RECONNECT = 1 << 0, 1 << 2, 1 << 7
CORRUPTED = 1 << 0  # flag of a chunk: the buffer has no picture, only a moved cursor
EVENTS_VERSION = 2

_void, _int, _uint, _text = ctypes.c_void_p, ctypes.c_int, ctypes.c_uint32, ctypes.c_char_p
StateChanged = ctypes.CFUNCTYPE(None, _void, _int, _int, _text)
ParamChanged = ctypes.CFUNCTYPE(None, _void, _uint, _void)
RemoveBuffer = ctypes.CFUNCTYPE(None, _void, _void)
Process = ctypes.CFUNCTYPE(None, _void)


class Chunk(ctypes.Structure):
    """spa_chunk: which part of a buffer's memory is the picture."""

    _fields_ = (("offset", _uint), ("size", _uint), ("stride", ctypes.c_int32), ("flags", ctypes.c_int32))


class Data(ctypes.Structure):
    """spa_data: memory of a buffer."""

    _fields_ = (
        *(("type", _uint), ("flags", _uint), ("fd", ctypes.c_int64), ("mapoffset", _uint), ("maxsize", _uint)),
        *(("data", _void), ("chunk", ctypes.POINTER(Chunk))),
    )


class Meta(ctypes.Structure):
    """spa_meta: what a buffer says about its picture."""

    _fields_ = (("type", _uint), ("size", _uint), ("data", _void))


class SpaBuffer(ctypes.Structure):
    """spa_buffer."""

    _fields_ = (
        *(("n_metas", _uint), ("n_datas", _uint)),
        *(("metas", ctypes.POINTER(Meta)), ("datas", ctypes.POINTER(Data))),
    )


class StreamBuffer(ctypes.Structure):
    """pw_buffer; newer versions of the library have more fields at its end."""

    _fields_ = (("buffer", ctypes.POINTER(SpaBuffer)), ("user_data", _void), ("size", ctypes.c_uint64))


class StreamEvents(ctypes.Structure):
    """pw_stream_events: what the library calls, on its thread, with the loop's lock held."""

    _fields_ = (
        *(("version", _uint), ("destroy", _void), ("state_changed", StateChanged), ("control_info", _void)),
        *(("io_changed", _void), ("param_changed", ParamChanged), ("add_buffer", _void)),
        *(("remove_buffer", RemoveBuffer), ("process", Process), ("drained", _void), ("command", _void)),
        ("trigger_done", _void),
    )


class Hook(ctypes.Structure):
    """spa_hook, whose content only the library knows."""

    _fields_ = (("content", ctypes.c_uint64 * 6),)


class TimeSpec(ctypes.Structure):
    _fields_ = (("seconds", ctypes.c_long), ("nanoseconds", ctypes.c_long))


@functools.cache
def load_library() -> ctypes.CDLL:
    """The library, initialised, its functions with their types. Raises MissingPart."""
    try:
        library = ctypes.CDLL(NAME)
    except OSError:
        raise MissingPart(f"{NAME} is missing", "install PipeWire: sudo apt install libpipewire-0.3-0") from None
    out = ctypes.POINTER(TimeSpec)
    for name, result, *arguments in (
        ("pw_init", None, _void, _void),
        ("pw_thread_loop_new", _void, _text, _void),
        ("pw_thread_loop_get_loop", _void, _void),
        ("pw_thread_loop_start", _int, _void),
        ("pw_thread_loop_stop", None, _void),
        ("pw_thread_loop_destroy", None, _void),
        ("pw_thread_loop_lock", None, _void),
        ("pw_thread_loop_unlock", None, _void),
        ("pw_thread_loop_signal", None, _void, ctypes.c_bool),
        ("pw_thread_loop_get_time", _int, _void, out, ctypes.c_int64),
        ("pw_thread_loop_timed_wait_full", _int, _void, out),
        ("pw_context_new", _void, _void, _void, ctypes.c_size_t),
        ("pw_context_destroy", None, _void),
        ("pw_context_connect_fd", _void, _void, _int, _void, ctypes.c_size_t),
        ("pw_properties_new_string", _void, _text),
        ("pw_stream_new", _void, _void, _text, _void),
        ("pw_stream_destroy", None, _void),
        ("pw_stream_add_listener", None, _void, ctypes.POINTER(Hook), ctypes.POINTER(StreamEvents), _void),
        ("pw_stream_connect", _int, _void, _int, _uint, _int, ctypes.POINTER(_void), _uint),
        ("pw_stream_update_params", _int, _void, ctypes.POINTER(_void), _uint),
        ("pw_stream_dequeue_buffer", _void, _void),
        ("pw_stream_queue_buffer", _int, _void, _void),
    ):
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    library.pw_init(None, None)
    return library
