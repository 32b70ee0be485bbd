"""The sound of a game on Linux, from PulseAudio or PipeWire: what the output plays that the game plays to."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_int, c_size_t, c_uint64, c_void_p
from time import monotonic, perf_counter_ns
from typing import Any

import numpy as np

from live_sr.capture import pulse_library as pulse
from live_sr.errors import MissingPart, SourceLost
from live_sr.pipeline.sound import RATE, Samples, SoundBlock, make_silence

CONNECT_S = 3.0
LOOK_S = 1.0  # between two looks at where the game plays to: the player may choose another output
FRAGMENT_S = 0.02  # how much sound comes at once
SAMPLE_BYTES = 8  # left and right


class PulseSound:
    """Fulfils `contracts.SoundSource`.

    It hears the monitor of the sink that the game's process plays to, or of the default sink while the game plays
    nothing; with it everything else that plays there. It never hears a microphone: the stream may not be moved.
    """

    def __init__(self, find_pid: Callable[[], int]) -> None:
        """`find_pid`: the game's process now; 0: not known. Raises MissingPart if there is no sound system."""
        self._pulse = pulse.load_library()
        self._find_pid = find_pid
        self._game_sink: int | None = None
        self._wanted = b""  # the name of the monitor to hear
        self._heard = b""  # the one that the stream hears
        self._stream: Any = None
        self._look_at = 0.0
        # libpulse keeps pointers to these
        self._on_sink_input, self._on_sink = pulse.ON_SINK_INPUT(self._see_input), pulse.ON_SINK(self._see_sink)
        self._loop = self._pulse.pa_mainloop_new()
        self._context = self._pulse.pa_context_new(self._pulse.pa_mainloop_get_api(self._loop), b"live-sr")
        try:
            self._connect()
        except BaseException:
            self.close()
            raise

    def read(self, timeout_s: float) -> SoundBlock | None:
        end = monotonic() + timeout_s
        while True:
            if monotonic() >= self._look_at:
                self._look()
            if self._wanted != self._heard:
                self._hear(self._wanted)
            block = self._take()
            left = end - monotonic()
            if block is not None or left <= 0:
                return block
            self._turn(left)

    def close(self) -> None:
        self._hear(b"")
        self._pulse.pa_context_disconnect(self._context)
        self._pulse.pa_context_unref(self._context)
        self._pulse.pa_mainloop_free(self._loop)

    def _connect(self) -> None:
        end = monotonic() + CONNECT_S
        self._pulse.pa_context_connect(self._context, None, pulse.NO_AUTOSPAWN, None)
        while (state := self._pulse.pa_context_get_state(self._context)) != pulse.CONTEXT_READY:
            if state in (pulse.CONTEXT_FAILED, pulse.CONTEXT_TERMINATED) or monotonic() > end:
                raise MissingPart("neither PulseAudio nor PipeWire answers", "start one of them, and record again")
            self._turn(0.1)

    def _turn(self, seconds: float) -> None:
        """Waits for the server, at most that long, and handles what it sent."""
        loop = self._loop
        prepared = self._pulse.pa_mainloop_prepare(loop, round(seconds * 1e6))
        if prepared >= 0 and self._pulse.pa_mainloop_poll(loop) >= 0:
            self._pulse.pa_mainloop_dispatch(loop)

    # Which monitor

    def _look(self) -> None:
        """Asks where the game plays to; the answers come while waiting."""
        self._look_at = monotonic() + LOOK_S
        if self._pulse.pa_context_get_state(self._context) != pulse.CONTEXT_READY:
            raise SourceLost("the sound system ended")
        self._game_sink = None
        self._ask(self._pulse.pa_context_get_sink_input_info_list(self._context, self._on_sink_input, None))

    def _ask(self, operation: Any) -> None:
        if operation:
            self._pulse.pa_operation_unref(operation)

    def _see_input(self, context: Any, info: Any, end: int, data: Any) -> None:
        """Called with each thing that plays, and then with `end`."""
        if not end:
            owner = self._pulse.pa_proplist_gets(info[0].proplist, b"application.process.id")
            if owner is not None and owner == str(self._find_pid()).encode():
                self._game_sink = info[0].sink
        elif self._game_sink is not None:
            index = self._game_sink
            self._ask(self._pulse.pa_context_get_sink_info_by_index(self._context, index, self._on_sink, None))
        else:
            name = b"@DEFAULT_SINK@"
            self._ask(self._pulse.pa_context_get_sink_info_by_name(self._context, name, self._on_sink, None))

    def _see_sink(self, context: Any, info: Any, end: int, data: Any) -> None:
        if not end:
            self._wanted = info[0].monitor_source_name or b""

    # The stream

    def _hear(self, monitor: bytes) -> None:
        """Replaces the stream with one of that monitor, or with none."""
        if self._stream is not None:
            self._pulse.pa_stream_disconnect(self._stream)
            self._pulse.pa_stream_unref(self._stream)
            self._stream = None
        self._heard = monitor
        if not monitor:
            return
        spec = pulse.SampleSpec(pulse.FLOAT32LE, RATE, 2)
        self._stream = self._pulse.pa_stream_new(self._context, b"recording", byref(spec), None)
        fragment = round(FRAGMENT_S * RATE) * SAMPLE_BYTES
        attributes = pulse.BufferAttributes(*[pulse.DEFAULT] * 4, fragment)
        flags = pulse.INTERPOLATE_TIMING | pulse.AUTO_TIMING_UPDATE | pulse.DONT_MOVE | pulse.ADJUST_LATENCY
        self._pulse.pa_stream_connect_record(self._stream, monitor, byref(attributes), flags)

    def _take(self) -> SoundBlock | None:
        """All that has come; None if nothing has."""
        if self._stream is None:
            return None
        state = self._pulse.pa_stream_get_state(self._stream)
        if state in (pulse.STREAM_FAILED, pulse.STREAM_TERMINATED):  # its sink is gone; the next look finds another
            self._wanted = b""
            self._hear(b"")
        if state != pulse.STREAM_READY or not self._pulse.pa_stream_readable_size(self._stream):
            return None
        delay = self._measure_delay_ns()
        time_ns = perf_counter_ns() - (delay or 0)
        parts = []
        while (part := self._take_part()) is not None:
            parts.append(part)
        return SoundBlock(np.concatenate(parts), time_ns) if parts and delay is not None else None

    def _measure_delay_ns(self) -> int | None:
        """How long ago the next sample was heard; below zero: it will be. None: not known yet."""
        microseconds, ahead = c_uint64(), c_int()
        if self._pulse.pa_stream_get_latency(self._stream, byref(microseconds), byref(ahead)) < 0:
            return None
        return int(microseconds.value) * (-1000 if ahead.value else 1000)

    def _take_part(self) -> Samples | None:
        data, size = c_void_p(), c_size_t()
        if self._pulse.pa_stream_peek(self._stream, byref(data), byref(size)) < 0 or not size.value:
            return None
        number = size.value // SAMPLE_BYTES
        if data.value:
            part = np.frombuffer(ctypes.string_at(data.value, number * SAMPLE_BYTES), np.float32).reshape(number, 2)
        else:  # a hole
            part = make_silence(number)
        self._pulse.pa_stream_drop(self._stream)
        return part
