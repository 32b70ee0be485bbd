"""The floor under each row: what the device's own copies and multiplications would take, measured here and now."""

from __future__ import annotations

import os
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from time import perf_counter
from typing import Protocol

import numpy as np

from live_sr import assembly
from live_sr.bench.rows import Cost, Floor
from live_sr.errors import LiveSRError, MissingPart, reason

MEASURE_S = 0.25  # of repeating, for each figure
WHERE_TORCH_IS = ("eager", "compile", "torch")  # on the card where PyTorch can use one
BLOCK = 64  # bytes of a cache line: each thread begins on one


class Device(Protocol):
    """What a floor is made of. Raises LiveSRError where it cannot be measured."""

    def bandwidth(self, moved: int) -> float:
        """Bytes read plus bytes written per second, by a copy of `moved` / 2 bytes."""
        ...

    def rate(self, precision: str) -> float:
        """Operations per second in that precision, two for each multiply-add."""
        ...


def floor(cost: Cost, bandwidth: float, rate: float) -> tuple[float, str]:
    """The least milliseconds for a frame, and what sets it: "copy" or "compute".

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
    """Floors of rows. Every round measures the devices anew, and the best that was seen counts: a floor that was
    measured while something else had the machine would be none.
    """

    def __init__(self, devices: dict[str, Device] | None = None) -> None:
        usual: dict[str, Device] = {"processor": Processor(), "card": Card()}
        self._devices = usual if devices is None else devices
        self._best: dict[tuple[str, int | str], float] = {}
        self._measured: set[tuple[str, int | str]] = set()  # in this round

    def next_round(self) -> None:
        self._measured.clear()

    def under(self, engine: str, precision: str, cost: Cost) -> Floor:
        """Never raises for what cannot be measured: the floor then has the reason."""
        name = (
            "card" if engine in assembly.ON_CARDS or (engine in WHERE_TORCH_IS and torch_has_a_card()) else "processor"
        )
        device = self._devices[name]
        try:
            bandwidth = self._figure((name, cost.bytes), lambda: device.bandwidth(cost.bytes))
            rate = self._figure((name, precision), lambda: device.rate(precision)) if cost.macs else 0.0
        except (LiveSRError, ImportError, OSError) as error:
            return Floor(name, reason=reason(error))
        ms, bound = floor(cost, bandwidth, rate)
        return Floor(name, ms, bandwidth, rate, bound)

    def _figure(self, key: tuple[str, int | str], measure: Callable[[], float]) -> float:
        if key not in self._measured:
            self._best[key] = max(measure(), self._best.get(key, 0.0))
            self._measured.add(key)
        return self._best[key]


class Processor:
    """Copies by numpy on one thread per core, multiplications through OpenVINO as the engine does them."""

    def __init__(self, threads: int = 0) -> None:
        self._threads = threads or os.cpu_count() or 1

    def bandwidth(self, moved: int) -> float:
        """Each thread copies its part of a buffer as large as half the bytes, in one call to numpy."""
        part = max(BLOCK, moved // 2 // self._threads)
        pairs = [(np.ones(part, np.uint8), np.zeros(part, np.uint8)) for _ in range(self._threads)]
        if part < 1 << 16 or self._threads == 1:  # handing it to a thread would take longer than to copy it
            whole = np.ones(max(BLOCK, moved // 2), np.uint8)
            into = np.zeros_like(whole)
            return 2 * len(whole) / least_s(lambda: np.copyto(into, whole))
        with ThreadPoolExecutor(self._threads) as pool:

            def copy() -> None:
                for _ in pool.map(lambda pair: np.copyto(pair[1], pair[0]), pairs):
                    pass

            return 2 * part * self._threads / least_s(copy)

    def rate(self, precision: str) -> float:
        from live_sr.engine import rate_openvino

        return rate_openvino.operations_per_second(precision or "fp32", MEASURE_S)


class Card:
    """Through PyTorch, on the NVIDIA card that it finds."""

    def bandwidth(self, moved: int) -> float:
        from live_sr.engine import rate_torch

        return rate_torch.bytes_per_second(moved, MEASURE_S)

    def rate(self, precision: str) -> float:
        from live_sr.engine import rate_torch

        return rate_torch.operations_per_second(precision or "fp16", MEASURE_S)


def torch_has_a_card() -> bool:
    try:
        from live_sr.engine import rate_torch
    except (ImportError, OSError):
        return False
    try:
        rate_torch.check()
    except MissingPart:
        return False
    return True


def least_s(work: Callable[[], object], seconds: float = MEASURE_S) -> float:
    """The least time of many tries: a floor is what the device can do when nothing disturbs it."""
    work()  # pages and caches
    end = perf_counter() + seconds
    least = float("inf")
    while True:
        begun = perf_counter()
        work()
        now = perf_counter()
        least = min(least, now - begun)
        if now > end:
            return max(least, 1e-9)
