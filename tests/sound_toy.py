"""A game that flashes and beeps at the same moments, and prints when it really did.

    python sound_toy.py [SECONDS BETWEEN TWO FLASHES]

Its window is black, and white for a while from each flash on. The sound goes through libpulse-simple, and is written so
much earlier as the sound system takes to play it. One line for each flash: when the window was drawn and when the beep
was heard, in seconds of `time.perf_counter`.
"""

from __future__ import annotations

import ctypes
import os
import sys
import threading
import time
from ctypes import POINTER, Structure, byref, c_char_p, c_int, c_size_t, c_uint8, c_uint32, c_uint64, c_void_p

import numpy as np
from Xlib import Xatom
from Xlib.display import Display

RATE, BLOCK, FLASH_S = 48_000, 480, 0.2


class SampleSpec(Structure):
    _fields_ = (("format", c_int), ("rate", c_uint32), ("channels", c_uint8))


class BufferAttributes(Structure):
    _fields_ = tuple((name, c_uint32) for name in ("maxlength", "tlength", "prebuf", "minreq", "fragsize"))


class Beeper(threading.Thread):
    """Plays a tone for the first FLASH_S of each period of `period_s` after `begun`."""

    def __init__(self, begun: float, period_s: float) -> None:
        super().__init__(daemon=True)
        self._begun, self._period_s = begun, period_s
        self._lib = ctypes.CDLL("libpulse-simple.so.0")
        new = self._lib.pa_simple_new
        new.restype = c_void_p
        new.argtypes = [c_char_p, c_char_p, c_int, c_char_p, c_char_p, c_void_p, c_void_p, c_void_p, POINTER(c_int)]
        self._lib.pa_simple_write.argtypes = [c_void_p, c_void_p, c_size_t, POINTER(c_int)]
        self._lib.pa_simple_get_latency.restype = c_uint64
        self._lib.pa_simple_get_latency.argtypes = [c_void_p, POINTER(c_int)]
        attributes = BufferAttributes(0xFFFFFFFF, RATE // 10 * 4, 0xFFFFFFFF, 0xFFFFFFFF, 0xFFFFFFFF)
        error = c_int()
        spec = SampleSpec(5, RATE, 1)
        self._stream = new(None, b"toy", 1, None, b"beeps", byref(spec), None, byref(attributes), byref(error))
        assert self._stream, f"no sound system: {error.value}"

    def run(self) -> None:
        error = c_int()
        while True:
            heard = time.perf_counter() + self._lib.pa_simple_get_latency(self._stream, byref(error)) / 1e6
            t = heard - self._begun + np.arange(BLOCK) / RATE
            tone = np.where((t % self._period_s < FLASH_S) & (t > 0), 0.5 * np.sin(2 * np.pi * 880 * t), 0)
            samples = tone.astype(np.float32)
            self._lib.pa_simple_write(self._stream, samples.ctypes.data, samples.nbytes, byref(error))


def main() -> None:
    period_s = float(sys.argv[1]) if len(sys.argv) > 1 else 1.0
    display = Display()
    screen = display.screen()
    window = screen.root.create_window(10, 10, 240, 136, 0, screen.root_depth, background_pixel=screen.black_pixel)
    window.set_wm_name("A beeping game")
    window.change_property(display.get_atom("_NET_WM_PID"), Xatom.CARDINAL, 32, [os.getpid()])
    window.map()
    black, white = (window.create_gc(foreground=pixel) for pixel in (screen.black_pixel, screen.white_pixel))
    begun = time.perf_counter()
    Beeper(begun, period_s).start()
    number = 0
    while True:
        for gc, at in ((white, 0.0), (black, FLASH_S)):
            time.sleep(max(0.0, begun + (number + 1) * period_s + at - time.perf_counter()))
            window.fill_rectangle(gc, 0, 0, 240, 136)
            display.sync()
            if gc is white:
                print(time.perf_counter(), begun + (number + 1) * period_s, flush=True)
        number += 1


if __name__ == "__main__":
    main()
