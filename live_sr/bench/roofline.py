"""The roofline floor of each row: how long the device's own copies and multiplications take, measured here."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Protocol

import numpy as np

from live_sr import backends
from live_sr.bench.results import FrameCost, RooflineFloor
from live_sr.errors import LiveSRError, MissingPart, reason

MEASURE_S = 0.25  # seconds of repetition for each figure
TORCH_ENGINES = ("eager", "compile", "torch")  # run on the GPU where PyTorch can use one
CACHE_LINE = 64  # bytes; each thread starts on a cache line of its own


class RooflineDevice(Protocol):
    """Measures the two rates that a floor is computed from. Both methods raise LiveSRError where they cannot."""

    def measure_bandwidth(self, moved: int) -> float:
        """Bytes read plus bytes written per second, by a copy of `moved` / 2 bytes."""
        ...

    def measure_rate(self, precision: str) -> float:
        """Operations per second in that precision, two for each multiply-add."""
        ...


def compute_floor(cost: FrameCost, bandwidth: float, rate: float) -> tuple[float, str]:
    """The shortest time for a frame in ms, and what sets it: "copy" or "compute".

        max(bytes / bandwidth, 2 * multiply-adds / rate)

    The roofline of Williams, Waterman and Patterson (2009) for one frame: whatever the program, it must read the small
    picture and write the large one once, and do the network's multiply-adds; at best both at the same time. `bytes` are
    those of the two BGRA pictures: 4 * width * height * (1 + scale²). What a network keeps between its layers is left
    out, since it may stay in caches, and so is the bus to a card. bandwidth: of a copy, in bytes read and written per
    second. rate: in operations per second, where a multiply-add is two. Without multiply-adds (a filter, a network
    whose cost is not known) the copy alone counts.
    """
    copy = cost.bytes / bandwidth * 1000
    compute = 2 * cost.macs / rate * 1000 if cost.macs and rate else 0.0
    return (compute, "compute") if compute > copy else (copy, "copy")


class Roofline:
    """Computes the floors of rows.

    Every round measures the devices again and the best rate counts, because a rate that was measured while another
    program used the machine would make the floor too high.
    """

    def __init__(self, devices: dict[str, RooflineDevice] | None = None) -> None:
        usual: dict[str, RooflineDevice] = {"processor": ProcessorRates(), "card": GpuRates()}
        self._devices = usual if devices is None else devices
        self._best: dict[tuple[str, int | str], float] = {}
        self._measured: set[tuple[str, int | str]] = set()  # in this round

    def begin_round(self) -> None:
        """Every rate is measured again at its next use."""
        self._measured.clear()

    def find_floor(self, engine: str, precision: str, cost: FrameCost) -> RooflineFloor:
        """Never raises: where the device cannot be measured, the floor holds the reason."""
        backend = backends.find_engine(engine)
        if backend is not None and backend.on_card:
            return RooflineFloor("card", reason="the rates of this graphics card are not measured")
        on_gpu = backend.on_gpu if backend is not None else engine in TORCH_ENGINES and torch_has_gpu()
        name = "card" if on_gpu else "processor"
        device = self._devices[name]
        try:
            bandwidth = self._measure((name, cost.bytes), lambda: device.measure_bandwidth(cost.bytes))
            rate = self._measure((name, precision), lambda: device.measure_rate(precision)) if cost.macs else 0.0
        except (LiveSRError, ImportError, OSError) as error:
            return RooflineFloor(name, reason=reason(error))
        ms, bound = compute_floor(cost, bandwidth, rate)
        return RooflineFloor(name, ms, bandwidth, rate, bound)

    def _measure(self, key: tuple[str, int | str], measure: Callable[[], float]) -> float:
        if key not in self._measured:
            self._best[key] = max(measure(), self._best.get(key, 0.0))
            self._measured.add(key)
        return self._best[key]


class ProcessorRates:
    """Copies with numpy on one thread per core, multiplies with OpenVINO as the engine does."""

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads or os.cpu_count() or 1

    def measure_bandwidth(self, moved: int) -> float:
        """Each thread copies its part of a buffer of `moved` / 2 bytes in one call to numpy."""
        part = max(CACHE_LINE, moved // 2 // self._threads)
        pairs = [(np.ones(part, np.uint8), np.zeros(part, np.uint8)) for _ in range(self._threads)]
        if part < 1 << 16 or self._threads == 1:  # handing it to a thread would take longer than copying it
            whole = np.ones(max(CACHE_LINE, moved // 2), np.uint8)
            into = np.zeros_like(whole)
            return 2 * len(whole) / measure_shortest_s(lambda: np.copyto(into, whole))
        with ThreadPoolExecutor(self._threads) as pool:

            def copy() -> None:
                for _ in pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs):
                    pass

            return 2 * part * self._threads / measure_shortest_s(copy)

    def measure_rate(self, precision: str) -> float:
        from live_sr.engines.openvino import peak_rate

        return peak_rate.measure_operations_per_second(precision or "fp32", MEASURE_S)


class GpuRates:
    """Uses PyTorch on the NVIDIA GPU that it finds."""

    def measure_bandwidth(self, moved: int) -> float:
        from live_sr.engines.torch_cuda import peak_rate

        return peak_rate.measure_bytes_per_second(moved, MEASURE_S)

    def measure_rate(self, precision: str) -> float:
        from live_sr.engines.torch_cuda import peak_rate

        return peak_rate.measure_operations_per_second(precision or "fp16", MEASURE_S)


def torch_has_gpu() -> bool:
    try:
        from live_sr.engines.torch_cuda import peak_rate
    except (ImportError, OSError):
        return False
    try:
        peak_rate.check_cuda()
    except MissingPart:
        return False
    return True


def measure_shortest_s(work: Callable[[], object], seconds: float = MEASURE_S) -> float:
    """The shortest of many runs of `work`, in seconds: what the device can do when nothing disturbs it."""
    work()  # fills pages and caches
    end = perf_counter() + seconds
    least = float("inf")
    while True:
        begun = perf_counter()
        work()
        now = perf_counter()
        least = min(least, now - begun)
        if now > end:
            return max(least, 1e-9)
