"""The sound of a game on Windows: what the default output plays, by WASAPI's loopback."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from ctypes import byref, c_uint32, c_uint64, c_void_p, wintypes
from time import monotonic, perf_counter_ns, sleep

import numpy as np

from live_sr.capture.wasapi_interfaces import (
    AUDCLNT_BUFFERFLAGS_SILENT,
    AUDCLNT_BUFFERFLAGS_TIMESTAMP_ERROR,
    AUDCLNT_STREAMFLAGS_AUTOCONVERTPCM,
    AUDCLNT_STREAMFLAGS_LOOPBACK,
    AUDCLNT_STREAMFLAGS_SRC_DEFAULT_QUALITY,
    AUDIO_CLIENT,
    CAPTURE_CLIENT,
    CLSCTX_ALL,
    CLSID_MM_DEVICE_ENUMERATOR,
    COINIT_MULTITHREADED,
    CONSOLE,
    DEVICE,
    ENUMERATOR,
    RENDER,
    SHARED,
    WAVE_FORMAT_IEEE_FLOAT,
    WaveFormat,
)
from live_sr.errors import MissingPart, SourceLost
from live_sr.pipeline.sound import RATE, Samples, SoundBlock, make_silence
from live_sr.system.com import ComError, ComObject, check, make_guid
from live_sr.system.win32 import load_library

PAUSE_S = 0.01  # between two looks for sound; loopback wakes nobody
LOOK_S = 1.0  # between two looks for another default output
BUFFER_100NS = 2_000_000  # 0.2 s
SAMPLE_BYTES = 8  # left and right
FLAGS = AUDCLNT_STREAMFLAGS_LOOPBACK | AUDCLNT_STREAMFLAGS_AUTOCONVERTPCM | AUDCLNT_STREAMFLAGS_SRC_DEFAULT_QUALITY


class WasapiSound:
    """Fulfils `contracts.SoundSource`. While nothing plays, Windows gives nothing."""

    def __init__(self, find_pid: Callable[[], int]) -> None:
        """`find_pid` is not used: everything is heard that the output plays. Raises MissingPart where there is none."""
        self._ole32 = load_library("ole32")
        self._initialized = self._ole32.CoInitializeEx(None, COINIT_MULTITHREADED) >= 0
        self._objects: list[ComObject] = []
        self._look_at = 0.0
        try:
            self._enumerator = self._create_enumerator()
            self._listen()
        except ComError as error:
            self.close()
            raise MissingPart(f"no sound output answers: {error}", "choose one in the settings of Windows") from None

    def read(self, timeout_s: float) -> SoundBlock | None:
        end = monotonic() + timeout_s
        try:
            if monotonic() >= self._look_at:
                self._follow_default()
            while (block := self._take()) is None and (left := end - monotonic()) > 0:
                sleep(min(PAUSE_S, left))
        except ComError as error:
            raise SourceLost(f"the sound output is gone: {error}") from None
        return block

    def close(self) -> None:
        self._release()
        if self._initialized:
            self._ole32.CoUninitialize()

    def _create_enumerator(self) -> ComObject:
        pointer = c_void_p()
        clsid, iid = make_guid(CLSID_MM_DEVICE_ENUMERATOR), ENUMERATOR.guid
        check("CoCreateInstance", self._ole32.CoCreateInstance(clsid, None, CLSCTX_ALL, iid, byref(pointer)))
        return self._keep(ComObject(ENUMERATOR, pointer))

    def _keep(self, made: ComObject) -> ComObject:
        """Notes that it is to be released."""
        self._objects.append(made)
        return made

    def _release(self) -> None:
        while self._objects:
            self._objects.pop().release()

    def _listen(self) -> None:
        """Begins to hear the default output."""
        device = self._keep(self._enumerator.fetch("GetDefaultAudioEndpoint", DEVICE, RENDER, CONSOLE))
        self._device_id = self._read_id(device)
        client = self._keep(device.fetch("Activate", AUDIO_CLIENT, AUDIO_CLIENT.guid, CLSCTX_ALL, None))
        form = WaveFormat(WAVE_FORMAT_IEEE_FLOAT, 2, RATE, RATE * SAMPLE_BYTES, SAMPLE_BYTES, 32, 0)
        client.call("Initialize", SHARED, FLAGS, BUFFER_100NS, 0, byref(form), None)
        self._capture = self._keep(client.fetch("GetService", CAPTURE_CLIENT, CAPTURE_CLIENT.guid))
        client.call("Start")
        self._look_at = monotonic() + LOOK_S

    def _read_id(self, device: ComObject) -> str:
        text = c_void_p()
        device.call("GetId", byref(text))
        try:
            return ctypes.wstring_at(text.value) if text.value else ""
        finally:
            self._ole32.CoTaskMemFree(text)

    def _follow_default(self) -> None:
        """Hears another output if the player has chosen one."""
        self._look_at = monotonic() + LOOK_S
        with self._enumerator.fetch("GetDefaultAudioEndpoint", DEVICE, RENDER, CONSOLE) as device:
            if self._read_id(device) == self._device_id:
                return
        self._release()
        self._enumerator = self._create_enumerator()
        self._listen()

    def _take(self) -> SoundBlock | None:
        """All that has come; None if nothing has."""
        parts: list[SoundBlock] = []
        while (part := self._take_packet()) is not None:
            parts.append(part)
        return SoundBlock(np.concatenate([part.samples for part in parts]), parts[0].time_ns) if parts else None

    def _take_packet(self) -> SoundBlock | None:
        size, number, flags = c_uint32(), c_uint32(), wintypes.DWORD()
        data, position, time_100ns = c_void_p(), c_uint64(), c_uint64()
        self._capture.call("GetNextPacketSize", byref(size))
        if not size.value:
            return None
        self._capture.call("GetBuffer", byref(data), byref(number), byref(flags), byref(position), byref(time_100ns))
        samples = self._copy(data.value, number.value, silent=bool(flags.value & AUDCLNT_BUFFERFLAGS_SILENT))
        self._capture.call("ReleaseBuffer", number)
        if flags.value & AUDCLNT_BUFFERFLAGS_TIMESTAMP_ERROR:
            return SoundBlock(samples, perf_counter_ns() - len(samples) * 1_000_000_000 // RATE)
        return SoundBlock(samples, time_100ns.value * 100)  # Python's clock is the same performance counter

    def _copy(self, address: int | None, number: int, *, silent: bool) -> Samples:
        if silent or not address:
            return make_silence(number)
        return np.frombuffer(ctypes.string_at(address, number * SAMPLE_BYTES), np.float32).reshape(number, 2)
