"""The sound of Windows, read from a stand-in for its sound system: objects with tables of methods, as COM has them."""

from __future__ import annotations

import ctypes
from collections.abc import Callable, Iterator
from ctypes import CFUNCTYPE, POINTER, Structure, c_long, c_ulong, c_void_p, cast
from typing import Any

import numpy as np
import pytest

from live_sr.capture import sound_wasapi
from live_sr.capture.sound_wasapi import WasapiSound
from live_sr.capture.wasapi_interfaces import (
    AUDCLNT_BUFFERFLAGS_SILENT,
    AUDIO_CLIENT,
    CAPTURE_CLIENT,
    DEVICE,
    ENUMERATOR,
    WaveFormat,
)
from live_sr.errors import MissingPart, SourceLost
from live_sr.pipeline.sound import RATE, Samples
from live_sr.system.com import Interface

DEVICE_LOST = -0x7776FFFC  # AUDCLNT_E_DEVICE_INVALIDATED, 0x88890004


class Object(Structure):
    """A COM object: a pointer to its table of methods."""

    _fields_ = (("table", c_void_p),)


class StandIn:
    """A COM object whose methods are those of a Python object, with the types of the interface."""

    def __init__(self, interface: Interface, methods: dict[str, Callable[..., int]]) -> None:
        self.references = 1
        kept = [CFUNCTYPE(c_long)(lambda: 0)] * 2 + [CFUNCTYPE(c_ulong, c_void_p)(self.release)]
        for name, types in interface.methods:
            method = methods.get(name, lambda *arguments: -1)
            kept.append(CFUNCTYPE(c_long, c_void_p, *types)(lambda this, *arguments, m=method: m(*arguments)))
        self.kept = kept
        self.table = (c_void_p * len(kept))(*(cast(one, c_void_p).value for one in kept))
        self.object = Object(ctypes.addressof(self.table))

    def release(self, this: int) -> int:
        self.references -= 1
        return self.references

    def give(self, address: int) -> int:
        """Writes its address where a caller wants it."""
        cast(address, POINTER(c_void_p))[0] = ctypes.addressof(self.object)
        return 0


class SoundSystem:
    """An output that plays these packets: samples, flags and time in 100 ns."""

    def __init__(self) -> None:
        self.packets: list[tuple[Samples, int, int]] = []
        self.name = ctypes.create_unicode_buffer("speakers")
        self.failing: dict[str, int] = {}
        self.form = WaveFormat()
        self.made: list[StandIn] = []
        self.initialized = 0
        self.freed = 0

    # ole32

    def CoInitializeEx(self, reserved: None, how: int) -> int:  # noqa: N802  # Windows' name
        self.initialized += 1
        return 0

    def CoUninitialize(self) -> None:  # noqa: N802
        self.initialized -= 1

    def CoTaskMemFree(self, memory: c_void_p) -> None:  # noqa: N802
        self.freed += 1

    def CoCreateInstance(self, clsid: Any, outer: None, context: int, iid: Any, into: Any) -> int:  # noqa: N802
        if "CoCreateInstance" in self.failing:
            return self.failing["CoCreateInstance"]
        into._obj.value = self.make(ENUMERATOR, GetDefaultAudioEndpoint=self.get_endpoint)
        return 0

    # the objects

    def make(self, interface: Interface, **methods: Callable[..., int]) -> int:
        made = StandIn(interface, methods)
        self.made.append(made)
        return ctypes.addressof(made.object)

    def put(self, address: int, value: int) -> int:
        cast(address, POINTER(c_void_p))[0] = value
        return 0

    def get_endpoint(self, flow: int, role: int, into: int) -> int:
        if "GetDefaultAudioEndpoint" in self.failing:
            return self.failing["GetDefaultAudioEndpoint"]
        return self.put(into, self.make(DEVICE, Activate=self.activate, GetId=self.get_id))

    def get_id(self, into: int) -> int:
        return self.put(into, ctypes.addressof(self.name))

    def activate(self, iid: int, context: int, parameters: None, into: int) -> int:
        assert ctypes.string_at(iid, 16) == AUDIO_CLIENT.iid.bytes_le
        client = self.make(AUDIO_CLIENT, Initialize=self.initialize, GetService=self.get_service, Start=lambda: 0)
        return self.put(into, client)

    def initialize(self, mode: int, flags: int, duration: int, period: int, form: int, session: None) -> int:
        self.form = WaveFormat.from_buffer_copy(ctypes.string_at(form, ctypes.sizeof(WaveFormat)))
        return 0

    def get_service(self, iid: int, into: int) -> int:
        assert ctypes.string_at(iid, 16) == CAPTURE_CLIENT.iid.bytes_le
        methods = {"GetBuffer": self.get_buffer, "ReleaseBuffer": self.release_buffer, "GetNextPacketSize": self.size}
        return self.put(into, self.make(CAPTURE_CLIENT, **methods))

    def size(self, into: Any) -> int:
        into[0] = len(self.packets[0][0]) if self.packets else 0
        return self.failing.get("GetNextPacketSize", 0)

    def get_buffer(self, data: int, number: Any, flags: Any, position: Any, time: Any) -> int:
        samples, flags[0], time[0] = self.packets[0]
        number[0] = len(samples)
        return self.put(data, samples.ctypes.data)

    def release_buffer(self, number: int) -> int:
        assert number == len(self.packets.pop(0)[0])
        return 0


@pytest.fixture
def system(monkeypatch: pytest.MonkeyPatch) -> Iterator[SoundSystem]:
    system = SoundSystem()
    monkeypatch.setattr(sound_wasapi, "load_library", lambda name: system)
    yield system
    assert system.initialized == 0 and all(one.references == 0 for one in system.made), "all is given back"


def make_samples(seed: int, number: int = 480) -> Samples:
    return np.random.default_rng(seed).uniform(-1, 1, (number, 2)).astype(np.float32)


def test_what_the_output_plays_is_heard_with_its_time(system: SoundSystem) -> None:
    source = WasapiSound(lambda: 0)
    first, second = make_samples(1), make_samples(2)
    system.packets += [(first, 0, 5_000_000), (second, 0, 5_100_000)]
    block = source.read(0.1)
    assert block is not None and block.time_ns == 500_000_000
    assert np.array_equal(block.samples, np.concatenate([first, second]))
    assert source.read(0.02) is None, "nothing plays"
    assert (system.form.nSamplesPerSec, system.form.nChannels, system.form.wBitsPerSample) == (RATE, 2, 32)
    source.close()


def test_a_packet_that_is_marked_as_silent_is_silence(system: SoundSystem) -> None:
    source = WasapiSound(lambda: 0)
    system.packets.append((make_samples(1), AUDCLNT_BUFFERFLAGS_SILENT, 1))
    block = source.read(0.1)
    assert block is not None and len(block.samples) == 480 and not block.samples.any()
    source.close()


def test_another_default_output_is_followed(system: SoundSystem, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sound_wasapi, "LOOK_S", 0)
    source = WasapiSound(lambda: 0)
    before = len(system.made)
    source.read(0)
    assert all(one.references for one in system.made[:before]), "the same output is kept"
    system.name = ctypes.create_unicode_buffer("headphones")
    source.read(0)
    assert not any(one.references for one in system.made[:before])
    system.packets.append((make_samples(1), 0, 1))
    assert source.read(0.1) is not None
    source.close()
    assert system.freed > 2, "the names too"


def test_an_output_that_is_unplugged_is_lost(system: SoundSystem) -> None:
    source = WasapiSound(lambda: 0)
    system.failing["GetNextPacketSize"] = DEVICE_LOST
    with pytest.raises(SourceLost, match="GetNextPacketSize failed with 0x88890004"):
        source.read(0.1)
    source.close()


@pytest.mark.parametrize("call", ["CoCreateInstance", "GetDefaultAudioEndpoint"])
def test_without_an_output_one_sentence_says_so(system: SoundSystem, call: str) -> None:
    system.failing[call] = DEVICE_LOST
    with pytest.raises(MissingPart, match="no sound output answers"):
        WasapiSound(lambda: 0)
