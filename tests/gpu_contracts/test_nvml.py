"""What NVIDIA's driver is asked, against a stand-in for its library under the real pynvml; and without any driver."""

from __future__ import annotations

import ast
import inspect
import re
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pynvml
import pytest
from patience import until, wait

from live_sr.errors import MissingPart
from live_sr.nvidia import nvml
from live_sr.nvidia.nvml import GpuMonitor, GpuReadings, GpuState, Nvml

SUCCESS = 0
BUSY = {
    "nvmlDeviceGetName": b"NVIDIA GeForce RTX 4070",
    "nvmlSystemGetDriverVersion": b"610.12",
    "nvmlSystemGetCudaDriverVersion_v2": 13010,
    "nvmlDeviceGetCudaComputeCapability": (8, 9),
    "nvmlDeviceGetUtilizationRates": {"gpu": 97, "memory": 40},
    "nvmlDeviceGetClockInfo": 2505,
    "nvmlDeviceGetMaxClockInfo": 2520,
    "nvmlDeviceGetMemoryInfo": {"total": 12 << 30, "used": 3 << 30, "free": 9 << 30},
    "nvmlDeviceGetTemperatureV": {"temperature": 61},
    "nvmlDeviceGetPowerUsage": 120_400,
    "nvmlDeviceGetEnforcedPowerLimit": 200_000,
    "nvmlDeviceGetPerformanceState": 0,
    "nvmlDeviceGetCurrentClocksEventReasons": 0x4,
}
SEEN = GpuState(
    name="NVIDIA GeForce RTX 4070",
    driver="610.12",
    cuda="13.1",
    capability="8.9",
    load=97,
    clock_mhz=2505,
    max_clock_mhz=2520,
    used_bytes=3 << 30,
    total_bytes=12 << 30,
    celsius=61,
    watts=120.4,
    limit_watts=200.0,
    state=0,
    held_back=("power limit",),
)
DEAF = GpuState("NVIDIA GPU")


class Driver:
    """libnvidia-ml: C functions by name. An answer that is an int below 0 is that error; what has none is not there."""

    def __init__(self, answers: dict[str, Any], cards: int = 1, init: int = SUCCESS) -> None:
        self.answers = answers
        self.cards = cards
        self.init = init
        self.opened = 0
        self.closed = 0
        self.threads: set[int] = set()
        self.nvmlErrorString = lambda code: b"An error of the driver's own"

    def __getattr__(self, name: str) -> Callable[..., int]:
        if name not in self.answers:
            raise AttributeError(name)

        def function(*arguments: Any) -> int:
            return self._fill(self.answers[name], arguments)

        return function

    def nvmlInitWithFlags(self, flags: int) -> int:  # noqa: N802  # the library's names
        self.opened += self.init == SUCCESS
        return self.init

    def nvmlShutdown(self) -> int:  # noqa: N802
        self.closed += 1
        return SUCCESS

    def nvmlDeviceGetCount_v2(self, count: Any) -> int:  # noqa: N802
        self.threads.add(threading.get_ident())
        count._obj.value = self.cards
        return SUCCESS

    def nvmlDeviceGetHandleByIndex_v2(self, index: Any, handle: Any) -> int:  # noqa: N802
        return SUCCESS

    def _fill(self, answer: Any, arguments: tuple[Any, ...]) -> int:
        """Into the pointers, as C does."""
        pointers = [argument._obj for argument in arguments if hasattr(argument, "_obj")]
        if isinstance(answer, int) and answer < 0:
            return -answer
        if isinstance(answer, bytes):
            next(a for a in arguments if hasattr(a, "raw")).value = answer
        elif isinstance(answer, tuple):
            for pointer, value in zip(pointers, answer, strict=True):
                pointer.value = value
        elif isinstance(answer, dict):
            for field, value in answer.items():
                setattr(pointers[-1], field, value)
        else:
            pointers[-1].value = answer
        return SUCCESS


@pytest.fixture
def install(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Driver], Driver]]:
    def put(driver: Driver) -> Driver:
        monkeypatch.setattr(pynvml, "nvmlLib", driver)
        monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
        return driver

    yield put


@pytest.fixture
def driverless(monkeypatch: pytest.MonkeyPatch) -> None:
    """No driver, also on a machine that has one."""

    def absent(*arguments: object) -> None:
        raise OSError("libnvidia-ml.so.1: cannot open shared object file")

    monkeypatch.setattr(pynvml, "nvmlLib", None)
    monkeypatch.setattr(pynvml, "_nvmlGetFunctionPointer_cache", {})
    monkeypatch.setattr(pynvml, "CDLL", absent)


def test_a_card_is_read_whole(install: Callable[[Driver], Driver]) -> None:
    driver = install(Driver(BUSY))
    assert nvml.read_gpus() == GpuReadings((SEEN,))
    assert (driver.opened, driver.closed) == (1, 1)


def test_several_cards_are_told_in_order(install: Callable[[Driver], Driver]) -> None:
    install(Driver(BUSY, cards=3))
    found = nvml.read_gpus()
    assert len(found.gpus) == 3
    assert found.find() == found.find("another name") == found.find(SEEN.name) == SEEN


@pytest.mark.parametrize("error", ["NOT_SUPPORTED", "NO_PERMISSION", "UNKNOWN", "INVALID_ARGUMENT"])
def test_what_a_card_does_not_tell_is_left_out(error: str, install: Callable[[Driver], Driver]) -> None:
    install(Driver(dict.fromkeys(BUSY, -getattr(pynvml, f"NVML_ERROR_{error}"))))
    assert nvml.read_gpus() == GpuReadings((DEAF,))
    assert (DEAF.clocks, DEAF.memory, DEAF.power, DEAF.advice) == ("", "", "", "")


def test_a_driver_without_the_newer_names_is_asked_by_the_older(install: Callable[[Driver], Driver]) -> None:
    old = dict(BUSY)
    del old["nvmlDeviceGetTemperatureV"], old["nvmlDeviceGetCurrentClocksEventReasons"]
    old |= {"nvmlDeviceGetTemperature": 61, "nvmlDeviceGetCurrentClocksThrottleReasons": 0x4}
    install(Driver(old))
    assert nvml.read_gpus().gpus == (SEEN,)


@pytest.mark.parametrize(
    ("init", "why"),
    [
        ("DRIVER_NOT_LOADED", "NVIDIA's driver is not running"),
        ("NO_PERMISSION", "NVIDIA's driver refuses this user"),
        ("LIB_RM_VERSION_MISMATCH", "NVIDIA's driver was replaced while it ran"),
        ("TIMEOUT", "NVIDIA's driver does not answer: Timeout"),
        ("INVALID_STATE", "NVIDIA's driver does not answer: An error of the driver's own"),
    ],
)
def test_a_driver_that_cannot_be_asked_is_a_reason(init: str, why: str, install: Callable[[Driver], Driver]) -> None:
    install(Driver(BUSY, init=getattr(pynvml, f"NVML_ERROR_{init}")))
    assert nvml.read_gpus().why == why
    with pytest.raises(MissingPart):
        Nvml()


@pytest.mark.parametrize("error", ["GPU_IS_LOST", "RESET_REQUIRED", "DRIVER_NOT_LOADED"])
def test_a_card_that_is_lost_in_mid_run_is_a_reason(error: str, install: Callable[[Driver], Driver]) -> None:
    install(Driver(BUSY | {"nvmlDeviceGetUtilizationRates": -getattr(pynvml, f"NVML_ERROR_{error}")}))
    found = nvml.read_gpus()
    assert found.gpus == ()
    assert found.why


def test_a_driver_without_a_card_is_a_reason(install: Callable[[Driver], Driver]) -> None:
    install(Driver(BUSY, cards=0))
    assert nvml.read_gpus() == GpuReadings((), "NVIDIA's driver sees no GPU")


def test_without_a_driver_it_says_so(driverless: None) -> None:
    assert nvml.read_gpus() == GpuReadings((), "NVIDIA's driver is not installed")


def test_without_its_package_it_says_how_to_get_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pynvml", None)
    found = nvml.read_gpus()
    assert re.fullmatch("nvidia-ml-py, .*, is not installed", found.why)
    assert found.remedy == "pip install nvidia-ml-py"


# Words


@pytest.mark.parametrize(
    ("what", "gpu", "advice"),
    [
        ("as it should be", SEEN, ""),
        (
            "slow at work",
            GpuState("RTX", load=40, clock_mhz=210, max_clock_mhz=2520, state=8),
            "the GPU runs at 210 of 2520 MHz: set its power mode to maximum performance",
        ),
        ("slow because nothing is to be done", GpuState("RTX", load=0, clock_mhz=210, max_clock_mhz=2520, state=8), ""),
        ("somewhat slower", GpuState("RTX", load=40, clock_mhz=1500, max_clock_mhz=2520), ""),
        (
            "a laptop on its battery",
            GpuState("RTX", load=90, clock_mhz=700, max_clock_mhz=2520, held_back=(nvml.POWER_LIMIT,)),
            "the GPU runs at 700 of 2520 MHz, at its power limit: plug the computer in, or cap the frame rate",
        ),
        (
            "hot",
            GpuState(
                "RTX", load=99, clock_mhz=1200, max_clock_mhz=2520, celsius=91, held_back=("slowed down", "too hot")
            ),
            "the GPU is too hot at 91 °C and slows down: free its fans of dust, or cap the game's frame rate",
        ),
        (
            "want of power",
            GpuState("RTX", load=99, held_back=("power supply",)),
            "the GPU slows down because it gets too little power: check its power cables and the power supply",
        ),
    ],
)
def test_what_keeps_a_card_slow_has_a_remedy(what: str, gpu: GpuState, advice: str) -> None:
    assert gpu.advice == advice, what


def test_figures_for_people() -> None:
    assert (SEEN.clocks, SEEN.memory, SEEN.power) == ("2505 of 2520 MHz", "3.0 of 12.0 GB", "120 of 200 W")
    assert GpuState("RTX", total_bytes=8 << 30).memory == "8.0 GB"
    assert GpuState("RTX", clock_mhz=900).clocks == "900 MHz"


@pytest.mark.parametrize("bit", range(9))
def test_every_reason_of_the_driver_has_a_word(bit: int) -> None:
    assert sum(1 << bit & bits > 0 for bits, _ in nvml.REASONS) == 1
    assert pynvml.nvmlClocksEventReasonAll & (1 << bit)


# The monitor


class Library:
    """Answers with a list; the last one stays."""

    def __init__(self, *answers: GpuReadings) -> None:
        self.answers = list(answers)
        self.asked = 0
        self.enough = threading.Event()
        self.closed = False

    def read(self) -> GpuReadings:
        self.asked += 1
        if self.asked >= 2 * nvml.STEADY:
            self.enough.set()
        return self.answers.pop(0) if len(self.answers) > 1 else self.answers[0]

    def close(self) -> None:
        self.closed = True


SLEEPY = GpuReadings((GpuState("RTX", load=40, clock_mhz=210, max_clock_mhz=2520),))


def test_the_monitor_reads_on_a_thread_of_its_own_and_ends(install: Callable[[Driver], Driver]) -> None:
    driver = install(Driver(BUSY))
    monitor = GpuMonitor(every_s=0.001)
    while not monitor.latest.gpus:
        threading.Event().wait(0.001)
    monitor.close()
    assert monitor.latest == GpuReadings((SEEN,))
    assert threading.get_ident() not in driver.threads
    assert (driver.opened, driver.closed) == (1, 1)
    assert not any(thread.name == "live-sr gpu monitor" for thread in threading.enumerate())


def test_the_monitor_advises_what_holds_and_not_what_dips() -> None:
    for answers, advice in (
        ([SLEEPY], SLEEPY.gpus[0].advice),
        ([SLEEPY, SLEEPY, SLEEPY, GpuReadings((SEEN,))], ""),
    ):
        library = Library(*answers)
        monitor = GpuMonitor(lambda library=library: library, every_s=0.0)
        assert wait(library.enough)
        monitor.close()
        assert monitor.advice() == advice
        assert library.closed


def test_without_nvidia_the_monitors_thread_ends_at_once(driverless: None) -> None:
    monitor = GpuMonitor()
    until(
        lambda: "live-sr gpu monitor" not in {thread.name for thread in threading.enumerate()}, "the end of its thread"
    )
    assert monitor.latest.why == "NVIDIA's driver is not installed"
    assert monitor.advice() == ""
    monitor.close()


def test_a_lost_card_is_looked_for_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nvml, "REOPEN_S", 0.001)
    libraries = [Library(GpuReadings((), "the NVIDIA GPU does not answer any more")), Library(SLEEPY)]
    opened = iter(libraries)
    monitor = GpuMonitor(lambda: next(opened), every_s=0.001)
    assert wait(libraries[1].enough)
    assert monitor.latest == SLEEPY
    monitor.close()
    assert all(library.closed for library in libraries)


# Against the real package


def test_every_call_fits_the_signature_in_the_real_package() -> None:
    tree = ast.parse(Path(nvml.__file__).read_text("utf-8"))
    called = [
        node
        for node in ast.walk(tree)
        if isinstance(node, ast.Call) and ast.unparse(node.func).startswith("pynvml.nvml")
    ]
    assert len(called) >= 18
    for node in called:
        function = inspect.unwrap(getattr(pynvml, ast.unparse(node.func).removeprefix("pynvml.")))
        inspect.signature(function).bind(*node.args)


def test_every_name_it_uses_is_in_the_real_package() -> None:
    tree = ast.parse(Path(nvml.__file__).read_text("utf-8"))
    names = {n.attr for n in ast.walk(tree) if isinstance(n, ast.Attribute) and ast.unparse(n.value) == "pynvml"}
    assert names
    assert [name for name in names if not hasattr(pynvml, name)] == []
