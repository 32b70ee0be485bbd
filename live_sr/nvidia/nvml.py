"""Reads load, clocks, memory, temperature and power of NVIDIA GPUs from the driver, through pynvml.

A call can take milliseconds, so none is made on a thread that frames wait for: `GpuMonitor` has a thread of its own.
"""

from __future__ import annotations

import threading
from collections import deque
from collections.abc import Callable
from contextlib import closing, suppress
from dataclasses import dataclass
from typing import Any, Protocol

from live_sr.errors import MissingPart

GET = "pip install nvidia-ml-py"
RESTART = "start the computer again"
EVERY_S = 1.0
REOPEN_S = 10.0  # after a GPU was lost: its driver may come back
STEADY = 5  # readings in a row that must call for advice before it is given
SLOW_CLOCK = 0.5  # of the highest clock
AT_WORK = 5  # per cent of load; below it a low clock is normal

# What the driver calls clocks event reasons (formerly throttle reasons), by bit; the values are those of nvml.h.
AT_REST, POWER_LIMIT, SLOWDOWN, TOO_HOT, POWER_BRAKE = (
    "at rest",
    "power limit",
    "slowed down",
    "too hot",
    "power supply",
)
REASONS = (
    (0x01, AT_REST),
    (0x02, "clock set by a program"),
    (0x04, POWER_LIMIT),
    (0x08, SLOWDOWN),  # by the hardware, for heat or power, which may have their own bits as well
    (0x10, "kept to the clock of another GPU"),
    (0x20 | 0x40, TOO_HOT),
    (0x80, POWER_BRAKE),
    (0x100, "clock set by the display"),
)


@dataclass(frozen=True)
class GpuState:
    """An NVIDIA GPU at one moment; None or "": the driver does not report it.

    load: per cent of the driver's last sample (1/6 to 1 s) in which anything ran on the GPU, including the game.
    clock_mhz: of its processors. state: 0 (fastest) to 15. held_back: why the clock is not higher, from REASONS.
    cuda: the newest version that the driver supports. capability: such as "8.9".
    """

    name: str
    driver: str = ""
    cuda: str = ""
    capability: str = ""
    load: int | None = None
    clock_mhz: int | None = None
    max_clock_mhz: int | None = None
    used_bytes: int | None = None
    total_bytes: int | None = None
    celsius: int | None = None
    watts: float | None = None
    limit_watts: float | None = None
    state: int | None = None
    held_back: tuple[str, ...] = ()

    @property
    def clocks(self) -> str:
        """ "210 of 2520 MHz"."""
        return _format_share(self.clock_mhz, self.max_clock_mhz, "MHz")

    @property
    def memory(self) -> str:
        """ "3.1 of 12.0 GB", in units of 2^30 bytes, as GPUs are sold."""
        used, total = (None if n is None else f"{n / 2**30:.1f}" for n in (self.used_bytes, self.total_bytes))
        return _format_share(used, total, "GB")

    @property
    def power(self) -> str:
        """ "120 of 200 W"."""
        used, limit = (None if n is None else f"{n:.0f}" for n in (self.watts, self.limit_watts))
        return _format_share(used, limit, "W")

    @property
    def advice(self) -> str:
        """What keeps it slow, and what to do about it, as a clause; empty if nothing does, or if the GPU is idle."""
        if TOO_HOT in self.held_back:
            heat = f" at {self.celsius} °C" if self.celsius is not None else ""
            return f"the GPU is too hot{heat} and slows down: free its fans of dust, or cap the game's frame rate"
        if POWER_BRAKE in self.held_back or SLOWDOWN in self.held_back:
            return "the GPU slows down because it gets too little power: check its power cables and the power supply"
        if not self.clock_mhz or not self.max_clock_mhz or (self.load or 0) < AT_WORK:
            return ""
        if self.clock_mhz >= SLOW_CLOCK * self.max_clock_mhz:
            return ""
        if POWER_LIMIT in self.held_back:
            return f"the GPU runs at {self.clocks}, at its power limit: plug the computer in, or cap the frame rate"
        return f"the GPU runs at {self.clocks}: set its power mode to maximum performance"


def _format_share(now: object | None, most: object | None, unit: str) -> str:
    if now is None:
        return "" if most is None else f"{most} {unit}"
    return f"{now} {unit}" if most is None else f"{now} of {most} {unit}"


@dataclass(frozen=True)
class GpuReadings:
    """Every NVIDIA GPU, in the driver's order. Without one, `why` is the reason, as a clause, and `remedy` may help."""

    gpus: tuple[GpuState, ...] = ()
    why: str = ""
    remedy: str = ""

    def find(self, name: str = "") -> GpuState | None:
        """The GPU of that name, else the first one: CUDA may list GPUs in another order."""
        return next((gpu for gpu in self.gpus if gpu.name == name), self.gpus[0] if self.gpus else None)


class NvmlLibrary(Protocol):
    """The driver's library, once it is open."""

    def read(self) -> GpuReadings:
        """Never raises."""
        ...

    def close(self) -> None: ...


class Nvml:
    """Fulfils `NvmlLibrary`. May be used on any thread."""

    def __init__(self) -> None:
        """Raises MissingPart with the reason why NVIDIA's driver cannot be queried."""
        try:
            import pynvml
        except ImportError:
            raise MissingPart("nvidia-ml-py, which queries NVIDIA's driver, is not installed", GET) from None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise MissingPart(*_describe_error(error)) from None

    def read(self) -> GpuReadings:
        """All GPUs as they are now. Never raises."""
        import pynvml

        try:
            gpus = [_read_gpu(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            return GpuReadings((), *_describe_error(error))
        return GpuReadings(tuple(gpus)) if gpus else GpuReadings((), "NVIDIA's driver sees no GPU")

    def close(self) -> None:
        import pynvml

        with suppress(pynvml.NVMLError):  # the driver is gone: there is nothing left to shut down
            pynvml.nvmlShutdown()


def read_gpus() -> GpuReadings:
    """All GPUs as they are now, for a single query. Never raises: without NVIDIA the result says why."""
    try:
        library = Nvml()
    except MissingPart as error:
        return GpuReadings((), error.message, error.remedy)
    with closing(library):
        return library.read()


def _describe_error(error: Any) -> tuple[str, str]:
    """An NVMLError as a clause and a remedy."""
    import pynvml

    known = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: ("NVIDIA's driver is not installed", ""),
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: ("NVIDIA's driver is not running", RESTART),
        pynvml.NVML_ERROR_NO_PERMISSION: ("NVIDIA's driver refuses this user", ""),
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: ("NVIDIA's driver was replaced while it ran", RESTART),
        pynvml.NVML_ERROR_GPU_IS_LOST: ("the NVIDIA GPU does not answer any more", RESTART),
        pynvml.NVML_ERROR_RESET_REQUIRED: ("the NVIDIA GPU must be reset", RESTART),
    }
    return known.get(error.value, (f"NVIDIA's driver does not answer: {error}", ""))


def _query(*calls: Callable[[], Any]) -> Any:
    """The result of the first call that this GPU and driver support; None if they support none of them.

    Raises NVMLError if the GPU or driver is gone.
    """
    import pynvml

    unknown = (
        pynvml.NVML_ERROR_NOT_SUPPORTED,
        pynvml.NVML_ERROR_NO_PERMISSION,
        pynvml.NVML_ERROR_FUNCTION_NOT_FOUND,
        pynvml.NVML_ERROR_INVALID_ARGUMENT,
        pynvml.NVML_ERROR_NO_DATA,
        pynvml.NVML_ERROR_NOT_READY,
        pynvml.NVML_ERROR_ARGUMENT_VERSION_MISMATCH,
        pynvml.NVML_ERROR_DEPRECATED,
        pynvml.NVML_ERROR_UNKNOWN,
    )
    for call in calls:
        try:
            return call()
        except pynvml.NVMLError as error:
            if error.value not in unknown:
                raise
    return None


def _read_gpu(handle: Any) -> GpuState:
    """`handle`: of pynvml. Raises NVMLError if the GPU is gone. What newer drivers have renamed is queried twice."""
    import pynvml

    cuda = _query(lambda: pynvml.nvmlSystemGetCudaDriverVersion_v2())
    capability = _query(lambda: pynvml.nvmlDeviceGetCudaComputeCapability(handle))
    load = _query(lambda: pynvml.nvmlDeviceGetUtilizationRates(handle))
    memory = _query(lambda: pynvml.nvmlDeviceGetMemoryInfo(handle))
    used_mw = _query(lambda: pynvml.nvmlDeviceGetPowerUsage(handle))
    limit_mw = _query(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(handle))
    state = _query(lambda: pynvml.nvmlDeviceGetPerformanceState(handle))
    bits = _query(
        lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(handle),
        lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(handle),
    )
    return GpuState(
        name=_query(lambda: pynvml.nvmlDeviceGetName(handle)) or "NVIDIA GPU",
        driver=_query(lambda: pynvml.nvmlSystemGetDriverVersion()) or "",
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        capability=".".join(str(part) for part in capability or ()),
        load=None if load is None else load.gpu,
        clock_mhz=_query(lambda: pynvml.nvmlDeviceGetClockInfo(handle, pynvml.NVML_CLOCK_SM)),
        max_clock_mhz=_query(lambda: pynvml.nvmlDeviceGetMaxClockInfo(handle, pynvml.NVML_CLOCK_SM)),
        used_bytes=None if memory is None else memory.used,
        total_bytes=None if memory is None else memory.total,
        celsius=_query(
            lambda: pynvml.nvmlDeviceGetTemperatureV(handle, pynvml.NVML_TEMPERATURE_GPU),
            lambda: pynvml.nvmlDeviceGetTemperature(handle, pynvml.NVML_TEMPERATURE_GPU),
        ),
        watts=None if used_mw is None else used_mw / 1000,
        limit_watts=None if limit_mw is None else limit_mw / 1000,
        state=None if state == pynvml.NVML_PSTATE_UNKNOWN else state,
        held_back=tuple(words for bit, words in REASONS if (bits or 0) & bit),
    )


class GpuMonitor:
    """Reads the GPUs once a second on a thread of its own, which also opens the library and shuts it down.

    Without NVIDIA the thread ends at once. `latest` and `advice` may be used on any thread and never wait.
    """

    def __init__(self, open_: Callable[[], NvmlLibrary] = Nvml, every_s: float = EVERY_S) -> None:
        self._open = open_
        self._every_s = every_s
        self._stop = threading.Event()
        self._newest: deque[GpuReadings] = deque(maxlen=STEADY)  # appended to by the thread only
        self._thread = threading.Thread(target=self._run, name="live-sr gpu monitor", daemon=True)
        self._thread.start()

    @property
    def latest(self) -> GpuReadings:
        """Empty before the first reading."""
        newest = tuple(self._newest)
        return newest[-1] if newest else GpuReadings()

    def advice(self, name: str = "") -> str:
        """What the GPU of that name needs, once it has needed it for some seconds."""
        gpus = [each.find(name) for each in tuple(self._newest)]
        steady = len(gpus) == STEADY and all(gpu is not None and gpu.advice for gpu in gpus)
        return gpus[-1].advice if steady and gpus[-1] is not None else ""

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _run(self) -> None:
        try:
            while True:
                with closing(self._open()) as library:
                    self._read_until_lost(library)
                if self._stop.wait(REOPEN_S):
                    return
        except MissingPart as error:
            self._newest.append(GpuReadings((), error.message, error.remedy))

    def _read_until_lost(self, library: NvmlLibrary) -> None:
        """Until the stop, or until no GPU answers."""
        while not self._stop.is_set():
            found = library.read()
            self._newest.append(found)
            if not found.gpus:
                return
            self._stop.wait(self._every_s)
