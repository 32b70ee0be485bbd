"""An opened graphics adapter, which all engines of this process share, with the shaders that are compiled for it."""

from __future__ import annotations

import threading
from collections.abc import Callable
from typing import Any

import wgpu

from live_sr.engines.webgpu import adapters
from live_sr.engines.webgpu.adapters import Adapter
from live_sr.engines.webgpu.arithmetic import SHADER_F16, Arithmetic
from live_sr.errors import EngineError, reason

ERRORS = (wgpu.GPUError, RuntimeError, AttributeError)
"""What wgpu raises where a device has failed. An AttributeError where its own thread has ended with the device."""


LOST = "Parent device is lost"  # what wgpu-native says of a call that it gets too late


def describe_failure(error: Exception) -> str:
    """What wgpu says, without the calls that led to it."""
    if isinstance(error, AttributeError) and error.obj is None and error.name == "get_token":
        return LOST  # wgpu 0.32 has no sentence for it: its thread, which waits for results, has ended with the device
    return reason(error).splitlines()[-1].strip()


class Gpu:
    """A device of wgpu. Any thread may use it."""

    def __init__(self, adapter: Adapter) -> None:
        """Raises one of ERRORS."""
        self.adapter = adapter
        limits = dict.fromkeys(("max-storage-buffer-binding-size", "max-buffer-size"), adapter.buffer_bytes)
        features = [SHADER_F16] if SHADER_F16 in adapter.features else []
        self.device: Any = adapter.handle.request_device_sync(required_features=features, required_limits=limits)
        self._compiling = threading.Lock()
        self._lock = threading.Lock()
        # guarded by _lock:
        self._pipelines: dict[object, Any] = {}
        self._choices: dict[object, Arithmetic] = {}

    @property
    def is_lost(self) -> bool:
        """Whether the device takes no more work."""
        try:
            self.device.create_buffer(size=4, usage=wgpu.BufferUsage.STORAGE).destroy()
        except wgpu.GPUOutOfMemoryError:
            return False
        except ERRORS:
            return True
        return False

    @property
    def shader_count(self) -> int:
        """How many shaders are compiled."""
        with self._lock:
            return len(self._pipelines)

    def get_pipeline(self, source: str) -> Any:
        """The compute pipeline of a shader, compiled at the first call. Raises one of ERRORS."""

        def compile_it() -> Any:
            stage = {"module": self.device.create_shader_module(code=source), "entry_point": "main"}
            return self.device.create_compute_pipeline(layout="auto", compute=stage)

        return self.get_shared(source, compile_it)

    def get_shared(self, key: object, compile_it: Callable[[], Any]) -> Any:
        """What `compile_it` returned at the first call with that key. Raises what it raises.

        One is compiled at a time. Who wants something that is compiled already does not wait for that.
        """
        with self._lock:
            known = self._pipelines.get(key)
        if known is not None:
            return known
        with self._compiling:
            with self._lock:
                known = self._pipelines.get(key)
            if known is None:
                known = compile_it()
                with self._lock:
                    self._pipelines[key] = known
        return known

    def find_choice(self, key: object) -> Arithmetic | None:
        """What `keep_choice` was last called with for this key."""
        with self._lock:
            return self._choices.get(key)

    def keep_choice(self, key: object, arithmetic: Arithmetic) -> None:
        with self._lock:
            self._choices[key] = arithmetic

    def create_buffer(self, size: int, usage: int) -> Any:
        """A buffer of zeros. Raises EngineError where it cannot be that large, or one of ERRORS."""
        if size > self.adapter.buffer_bytes:
            most = self.adapter.buffer_bytes >> 20
            what = f"a picture this large needs more memory in one piece than {self.adapter.name} gives: {most} MB"
            raise EngineError(what, "use tiles, such as --tile 512, or another engine")
        try:
            return self.device.create_buffer(size=size, usage=usage)
        except wgpu.GPUOutOfMemoryError:
            what = f"{self.adapter.name} has not enough free memory for a picture this large"
            raise EngineError(what, "close other programs, or use tiles, such as --tile 512") from None


_lock = threading.Lock()
_opened: dict[str, Gpu] = {}  # guarded by _lock; by the name that was asked for


def open_gpu(wanted: str) -> Gpu:
    """The adapter of that name or "auto", opened at the first call, and when it was lost.

    Raises MissingPart or EngineError.
    """
    with _lock:
        known = _opened.get(wanted)
        if known is not None and known.is_lost:
            _forget(wanted)
        if wanted not in _opened:
            adapter = adapters.find_adapter(wanted)
            try:
                _opened[wanted] = Gpu(adapter)
            except ERRORS as error:
                raise EngineError(
                    f"{adapter} cannot be opened: {describe_failure(error)}", "update its driver"
                ) from error
        return _opened[wanted]


def reopen_gpu(wanted: str, lost: Gpu) -> Gpu:
    """The adapter opened anew, after `lost` has failed. Raises MissingPart or EngineError."""
    with _lock:
        if _opened.get(wanted) is lost:
            _forget(wanted)
    return open_gpu(wanted)


def _forget(wanted: str) -> None:
    """Called with the lock held."""
    del _opened[wanted]
    adapters.list_adapters.cache_clear()  # a driver that was reset has new ones
