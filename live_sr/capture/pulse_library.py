"""libpulse, with the types of its header: the client library of PulseAudio, which PipeWire answers too."""

from __future__ import annotations

import ctypes
from ctypes import CFUNCTYPE, POINTER, Structure, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p
from typing import Any

from live_sr.errors import MissingPart

CType = Any  # ctypes has no public name for "a C type"

CONTEXT_READY, CONTEXT_FAILED, CONTEXT_TERMINATED = 4, 5, 6
STREAM_READY, STREAM_FAILED, STREAM_TERMINATED = 2, 3, 4
NO_AUTOSPAWN = 1  # do not start a server
FLOAT32LE = 5
INTERPOLATE_TIMING, AUTO_TIMING_UPDATE, DONT_MOVE, ADJUST_LATENCY = 0x2, 0x8, 0x200, 0x2000
DEFAULT = 0xFFFFFFFF  # of a buffer attribute


class SampleSpec(Structure):
    _fields_ = (("format", c_int), ("rate", c_uint32), ("channels", c_uint8))


class ChannelMap(Structure):
    _fields_ = (("channels", c_uint8), ("map", c_int * 32))


class Volumes(Structure):
    _fields_ = (("channels", c_uint8), ("values", c_uint32 * 32))


class BufferAttributes(Structure):
    _fields_ = tuple((name, c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


class SinkInputInfo(Structure):
    """What plays: the first fields of pa_sink_input_info."""

    _fields_ = (
        ("index", c_uint32),
        ("name", c_char_p),
        ("owner_module", c_uint32),
        ("client", c_uint32),
        ("sink", c_uint32),
        ("sample_spec", SampleSpec),
        ("channel_map", ChannelMap),
        ("volume", Volumes),
        ("buffer_usec", c_uint64),
        ("sink_usec", c_uint64),
        ("resample_method", c_char_p),
        ("driver", c_char_p),
        ("mute", c_int),
        ("proplist", c_void_p),
    )


class SinkInfo(Structure):
    """Where it plays to: the first fields of pa_sink_info."""

    _fields_ = (
        ("name", c_char_p),
        ("index", c_uint32),
        ("description", c_char_p),
        ("sample_spec", SampleSpec),
        ("channel_map", ChannelMap),
        ("owner_module", c_uint32),
        ("volume", Volumes),
        ("mute", c_int),
        ("monitor_source", c_uint32),
        ("monitor_source_name", c_char_p),
    )


ON_SINK_INPUT = CFUNCTYPE(None, c_void_p, POINTER(SinkInputInfo), c_int, c_void_p)
ON_SINK = CFUNCTYPE(None, c_void_p, POINTER(SinkInfo), c_int, c_void_p)

# name: (result, arguments), as in pulse/mainloop.h, context.h, stream.h, introspect.h and proplist.h
SIGNATURES: dict[str, tuple[CType, tuple[CType, ...]]] = {
    "pa_mainloop_new": (c_void_p, ()),
    "pa_mainloop_free": (None, (c_void_p,)),
    "pa_mainloop_get_api": (c_void_p, (c_void_p,)),
    "pa_mainloop_prepare": (c_int, (c_void_p, c_int)),
    "pa_mainloop_poll": (c_int, (c_void_p,)),
    "pa_mainloop_dispatch": (c_int, (c_void_p,)),
    "pa_context_new": (c_void_p, (c_void_p, c_char_p)),
    "pa_context_connect": (c_int, (c_void_p, c_char_p, c_int, c_void_p)),
    "pa_context_disconnect": (None, (c_void_p,)),
    "pa_context_unref": (None, (c_void_p,)),
    "pa_context_get_state": (c_int, (c_void_p,)),
    "pa_context_get_sink_input_info_list": (c_void_p, (c_void_p, ON_SINK_INPUT, c_void_p)),
    "pa_context_get_sink_info_by_index": (c_void_p, (c_void_p, c_uint32, ON_SINK, c_void_p)),
    "pa_context_get_sink_info_by_name": (c_void_p, (c_void_p, c_char_p, ON_SINK, c_void_p)),
    "pa_operation_unref": (None, (c_void_p,)),
    "pa_proplist_gets": (c_char_p, (c_void_p, c_char_p)),
    "pa_stream_new": (c_void_p, (c_void_p, c_char_p, POINTER(SampleSpec), c_void_p)),
    "pa_stream_connect_record": (c_int, (c_void_p, c_char_p, POINTER(BufferAttributes), c_int)),
    "pa_stream_disconnect": (c_int, (c_void_p,)),
    "pa_stream_unref": (None, (c_void_p,)),
    "pa_stream_get_state": (c_int, (c_void_p,)),
    "pa_stream_readable_size": (c_size_t, (c_void_p,)),
    "pa_stream_peek": (c_int, (c_void_p, POINTER(c_void_p), POINTER(c_size_t))),
    "pa_stream_drop": (c_int, (c_void_p,)),
    "pa_stream_get_latency": (c_int, (c_void_p, POINTER(c_uint64), POINTER(c_int))),
}


def load_library() -> ctypes.CDLL:
    """Raises MissingPart if it is not installed."""
    try:
        library = ctypes.CDLL("libpulse.so.0")
    except OSError:
        raise MissingPart("libpulse is not installed", "install it (Debian: libpulse0)") from None
    for name, (result, arguments) in SIGNATURES.items():
        function = getattr(library, name)
        function.restype, function.argtypes = result, arguments
    return library
