"""What NVIDIA's driver tells of its cards: load, clocks, memory, heat and power. The one file that imports pynvml.

A call can take milliseconds, so none is made on a thread that frames wait for: `Gauge` reads on its own.
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
REOPEN_S = 10.0  # after a card was lost: its driver may come back
STEADY = 5  # so many readings in a row must call for an advice before it is given
SLOW = 0.5  # of the highest clock
AT_WORK = 5  # per cent of load; below it a low clock is as it should be

# What the driver calls clocks event reasons (throttle reasons before), by bit; the values are nvml.h's.
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
    (0x08, SLOWDOWN),  # by the hardware: for heat or power, which then may have their own bits as well
    (0x10, "kept to the clock of another card"),
    (0x20 | 0x40, TOO_HOT),
    (0x80, POWER_BRAKE),
    (0x100, "clock set by the display"),
)


@dataclass(frozen=True)
class Gpu:
    """A card at one moment; None or "": it does not tell.

    load: per cent of the driver's last sample (1/6 to 1 s) in which anything ran on it, the game's work included.
    clock_mhz: of its processors. state: 0 (fastest) to 15. held_back: why the clock is not higher, of REASONS.
    cuda: the newest version that the driver serves. capability: such as "8.9".
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
        return _of(self.clock_mhz, self.max_clock_mhz, "MHz")

    @property
    def memory(self) -> str:
        """ "3.1 of 12.0 GB", as the makers of cards count."""
        used, total = (None if n is None else f"{n / 2**30:.1f}" for n in (self.used_bytes, self.total_bytes))
        return _of(used, total, "GB")

    @property
    def power(self) -> str:
        """ "120 of 200 W"."""
        used, limit = (None if n is None else f"{n:.0f}" for n in (self.watts, self.limit_watts))
        return _of(used, limit, "W")

    @property
    def advice(self) -> str:
        """What keeps it slow and what to do about it, as a clause; empty if nothing does, or it has nothing to do."""
        if TOO_HOT in self.held_back:
            heat = f" at {self.celsius} °C" if self.celsius is not None else ""
            return f"the card is too hot{heat} and slows down: free its fans of dust, or cap the game's frame rate"
        if POWER_BRAKE in self.held_back or SLOWDOWN in self.held_back:
            return "the card slows down for want of power: check its power cables and the power supply"
        if not self.clock_mhz or not self.max_clock_mhz or (self.load or 0) < AT_WORK:
            return ""
        if self.clock_mhz >= SLOW * self.max_clock_mhz:
            return ""
        if POWER_LIMIT in self.held_back:
            return f"the card runs at {self.clocks}, at its power limit: plug the computer in, or cap the frame rate"
        return f"the card runs at {self.clocks}: set its power mode to maximum performance"


def _of(now: object | None, most: object | None, unit: str) -> str:
    if now is None:
        return "" if most is None else f"{most} {unit}"
    return f"{now} {unit}" if most is None else f"{now} of {most} {unit}"


@dataclass(frozen=True)
class Readings:
    """Every NVIDIA card, in the driver's order; where there is none, `why` is a clause and `remedy` may help."""

    gpus: tuple[Gpu, ...] = ()
    why: str = ""
    remedy: str = ""

    def card(self, name: str = "") -> Gpu | None:
        """The card of that name, else the first: CUDA may count cards in another order."""
        return next((gpu for gpu in self.gpus if gpu.name == name), self.gpus[0] if self.gpus else None)


class Library(Protocol):
    """The driver's library, opened."""

    def readings(self) -> Readings:
        """Never raises."""
        ...

    def close(self) -> None: ...


class Nvml:
    """The driver's library, opened once and shut down. From any thread."""

    def __init__(self) -> None:
        """Raises MissingPart with the reason why NVIDIA's driver cannot be asked."""
        try:
            import pynvml
        except ImportError:
            raise MissingPart("nvidia-ml-py is not installed, which asks NVIDIA's driver", GET) from None
        try:
            pynvml.nvmlInit()
        except pynvml.NVMLError as error:
            raise MissingPart(*_told(error)) from None

    def readings(self) -> Readings:
        """All cards as they are now. Never raises."""
        import pynvml

        try:
            cards = [_read(pynvml.nvmlDeviceGetHandleByIndex(i)) for i in range(pynvml.nvmlDeviceGetCount())]
        except pynvml.NVMLError as error:
            return Readings((), *_told(error))
        return Readings(tuple(cards)) if cards else Readings((), "NVIDIA's driver sees no card")

    def close(self) -> None:
        import pynvml

        with suppress(pynvml.NVMLError):  # the driver is gone: there is nothing left to shut down
            pynvml.nvmlShutdown()


def readings() -> Readings:
    """All cards as they are now, for those who ask once. Never raises: without NVIDIA it says why."""
    try:
        library = Nvml()
    except MissingPart as error:
        return Readings((), error.message, error.remedy)
    with closing(library):
        return library.readings()


def _told(error: Any) -> tuple[str, str]:
    """An NVMLError as a clause and a remedy."""
    import pynvml

    known = {
        pynvml.NVML_ERROR_LIBRARY_NOT_FOUND: ("NVIDIA's driver is not installed", ""),
        pynvml.NVML_ERROR_DRIVER_NOT_LOADED: ("NVIDIA's driver is not running", RESTART),
        pynvml.NVML_ERROR_NO_PERMISSION: ("NVIDIA's driver may not be asked by this user", ""),
        pynvml.NVML_ERROR_LIB_RM_VERSION_MISMATCH: ("NVIDIA's driver was replaced while it ran", RESTART),
        pynvml.NVML_ERROR_GPU_IS_LOST: ("the NVIDIA card does not answer any more", RESTART),
        pynvml.NVML_ERROR_RESET_REQUIRED: ("the NVIDIA card must be reset", RESTART),
    }
    return known.get(error.value, (f"NVIDIA's driver does not answer: {error}", ""))


def _asked(*calls: Callable[[], Any]) -> Any:
    """What the first of the calls tells that this card and driver know; None if they know none of them.

    Raises NVMLError when the card or driver is gone.
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


def _read(card: Any) -> Gpu:
    """`card`: a handle of pynvml's. Raises NVMLError when it is gone. What newer drivers renamed is asked twice."""
    import pynvml

    cuda = _asked(lambda: pynvml.nvmlSystemGetCudaDriverVersion_v2())
    capability = _asked(lambda: pynvml.nvmlDeviceGetCudaComputeCapability(card))
    load = _asked(lambda: pynvml.nvmlDeviceGetUtilizationRates(card))
    memory = _asked(lambda: pynvml.nvmlDeviceGetMemoryInfo(card))
    used_mw = _asked(lambda: pynvml.nvmlDeviceGetPowerUsage(card))
    limit_mw = _asked(lambda: pynvml.nvmlDeviceGetEnforcedPowerLimit(card))
    state = _asked(lambda: pynvml.nvmlDeviceGetPerformanceState(card))
    bits = _asked(
        lambda: pynvml.nvmlDeviceGetCurrentClocksEventReasons(card),
        lambda: pynvml.nvmlDeviceGetCurrentClocksThrottleReasons(card),
    )
    return Gpu(
        name=_asked(lambda: pynvml.nvmlDeviceGetName(card)) or "NVIDIA card",
        driver=_asked(lambda: pynvml.nvmlSystemGetDriverVersion()) or "",
        cuda=f"{cuda // 1000}.{cuda % 1000 // 10}" if cuda else "",
        capability=".".join(str(part) for part in capability or ()),
        load=None if load is None else load.gpu,
        clock_mhz=_asked(lambda: pynvml.nvmlDeviceGetClockInfo(card, pynvml.NVML_CLOCK_SM)),
        max_clock_mhz=_asked(lambda: pynvml.nvmlDeviceGetMaxClockInfo(card, pynvml.NVML_CLOCK_SM)),
        used_bytes=None if memory is None else memory.used,
        total_bytes=None if memory is None else memory.total,
        celsius=_asked(
            lambda: pynvml.nvmlDeviceGetTemperatureV(card, pynvml.NVML_TEMPERATURE_GPU),
            lambda: pynvml.nvmlDeviceGetTemperature(card, pynvml.NVML_TEMPERATURE_GPU),
        ),
        watts=None if used_mw is None else used_mw / 1000,
        limit_watts=None if limit_mw is None else limit_mw / 1000,
        state=None if state == pynvml.NVML_PSTATE_UNKNOWN else state,
        held_back=tuple(words for bit, words in REASONS if (bits or 0) & bit),
    )


class Gauge:
    """Reads the cards once a second on a thread of its own, which also opens the library and shuts it down.

    Without NVIDIA the thread ends at once. `latest` and `advice` may be asked from any thread and never wait.
    """

    def __init__(self, open_: Callable[[], Library] = Nvml, every_s: float = EVERY_S) -> None:
        self._open = open_
        self._every_s = every_s
        self._stop = threading.Event()
        self._newest: deque[Readings] = deque(maxlen=STEADY)  # appended to by the thread only
        self._thread = threading.Thread(target=self._work, name="live-sr gauge", daemon=True)
        self._thread.start()

    @property
    def latest(self) -> Readings:
        """Empty before the first."""
        newest = tuple(self._newest)
        return newest[-1] if newest else Readings()

    def advice(self, name: str = "") -> str:
        """What the card of that name needs; only what held for some seconds, so that no short dip is told."""
        cards = [each.card(name) for each in tuple(self._newest)]
        steady = len(cards) == STEADY and all(card is not None and card.advice for card in cards)
        return cards[-1].advice if steady and cards[-1] is not None else ""

    def close(self) -> None:
        self._stop.set()
        self._thread.join()

    def _work(self) -> None:
        try:
            while True:
                with closing(self._open()) as library:
                    self._read_on(library)
                if self._stop.wait(REOPEN_S):
                    return
        except MissingPart as error:
            self._newest.append(Readings((), error.message, error.remedy))

    def _read_on(self, library: Library) -> None:
        """Until told to stop, or until no card answers."""
        while not self._stop.is_set():
            found = library.readings()
            self._newest.append(found)
            if not found.gpus:
                return
            self._stop.wait(self._every_s)
