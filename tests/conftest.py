"""Fixtures that several test files share."""

from __future__ import annotations

import signal
import sys
from collections.abc import Iterable, Iterator
from importlib.util import find_spec
from pathlib import Path

import pytest
import pytest_timeout
from gstreamer_install import Gst, install_element
from overlay_process import OverlayProcess, StartOverlay
from patience import clock, until
from screens import HD, Game, Screen
from software_card import DRIVERS, LOADER_VARIABLES

import live_sr.engines  # noqa: F401  keeps OpenVINO from sending statistics, whichever test imports it first
from live_sr.pipeline.frame import Size

# What only the extras install. Tests that need one of them are skipped without it.
OF_EXTRAS = {
    *("torch", "safetensors", "spandrel", "ncnn", "piq", "flip_evaluator", "tqdm"),
    *("onnx", "onnxruntime", "matplotlib", "PIL", "pynvml", "importlinter", "jeepney", "wgpu"),
    *("fastapi", "uvicorn", "python_multipart", "prometheus_client"),
}


class ModuleOfTests(pytest.Module):
    """Skipped as a whole where a package that it imports is not installed."""

    def collect(self) -> Iterable[pytest.Item | pytest.Collector]:
        try:
            return super().collect()
        except self.CollectError as error:
            cause = error.__cause__
            package = (cause.name or "").partition(".")[0] if isinstance(cause, ModuleNotFoundError) else ""
            if package not in OF_EXTRAS:
                raise
            pytest.skip(f"{package} is not installed", allow_module_level=True)


def pytest_pycollect_makemodule(module_path: Path, parent: pytest.Collector) -> pytest.Module:
    module: pytest.Module = ModuleOfTests.from_parent(parent, path=module_path)
    return module


def pytest_runtest_setup(item: pytest.Item) -> None:
    needed = [name for mark in item.iter_markers("needs") for name in mark.args]
    for name in (*needed, *(["torch"] if item.get_closest_marker("torch") else [])):
        if name not in sys.modules and find_spec(name) is None:
            pytest.skip(f"{name} is not installed")


def pytest_sessionstart() -> None:
    clock()  # runs from the beginning: some tests count the threads before and after


def pytest_timeout_set_timer(item: pytest.Item, settings: pytest_timeout.Settings) -> bool | None:
    """Counts a test's longest time on the patient clock. None where there is no such signal: it is the wall's then."""
    if not hasattr(signal, "SIGALRM"):
        return None
    end = clock() + settings.timeout

    def check(*_: object) -> None:
        if clock() < end:
            signal.setitimer(signal.ITIMER_REAL, max(1.0, end - clock()))
        else:
            pytest_timeout.timeout_sigalrm(item, settings)

    def cancel() -> None:
        signal.setitimer(signal.ITIMER_REAL, 0)
        signal.signal(signal.SIGALRM, signal.SIG_DFL)

    item.cancel_timeout = cancel  # type: ignore[attr-defined]  # pytest-timeout calls it
    signal.signal(signal.SIGALRM, check)
    signal.setitimer(signal.ITIMER_REAL, settings.timeout)
    return True


@pytest.fixture(scope="session")
def _screens() -> Iterator[dict[tuple[Size, str], Screen]]:
    """The screens that run, by size and window manager: each serves the tests one after another."""
    running: dict[tuple[Size, str], Screen] = {}
    yield running
    for screen in running.values():
        screen.__exit__()


@pytest.fixture
def screen(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _screens: dict[tuple[Size, str], Screen]
) -> Iterator[Screen]:
    """An empty screen of 1280x720 with openbox, to which DISPLAY points.

    An indirect parameter is another size, or the name of another window manager ("": none). What a test starts with
    `screen.run` or as ToyWindow or Game is ended after it.
    """
    wanted: Size | str = getattr(request, "param", HD)
    kind = (HD, wanted) if isinstance(wanted, str) else (wanted, "openbox")
    if kind in _screens and not _screens[kind].alive:
        _screens.pop(kind).__exit__()
    if kind not in _screens:
        _screens[kind] = Screen(kind[0], manager=kind[1]).__enter__()
    screen = _screens[kind]
    for name in ("DISPLAY", "HOME", "XDG_RUNTIME_DIR", "SDL_AUDIODRIVER"):
        monkeypatch.setenv(name, screen.env[name])
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    yield screen
    screen.clear()


@pytest.fixture
def game(screen: Screen) -> Iterator[Game]:
    """A real game that moves by itself, in a window of 640x400."""
    with Game(screen) as game:
        yield game


PICTURE_ALONE = 'hud.level = "off"\noverlay.pointer = "view"\nengine.budget_ms = 0\n'
"""Settings with which nothing is drawn over the picture, and the chosen model stays on a busy machine."""


@pytest.fixture
def start_overlay(screen: Screen, tmp_path: Path) -> Iterator[StartOverlay]:
    """Starts `live-sr run` with these arguments and settings; returns once it is visible, unless `visible` is off."""
    started: list[OverlayProcess] = []

    def start(*arguments: str, settings: str = "", visible: bool = True) -> OverlayProcess:
        (tmp_path / "config.toml").write_text(settings or PICTURE_ALONE)
        over = OverlayProcess(screen, tmp_path, *arguments)
        started.append(over)
        if visible:
            until(lambda: over.rect or over.process.poll() is not None, "the overlay is shown")
            assert over.process.poll() is None, over.output
        return over

    yield start
    for over in started:
        over.kill()


@pytest.fixture(scope="session")
def gst(tmp_path_factory: pytest.TempPathFactory) -> Gst:
    """GStreamer with our element, in a home folder of its own."""
    return install_element(tmp_path_factory.mktemp("gstreamer"))


@pytest.fixture(scope="module")
def software_driver() -> Iterator[None]:
    """Has Vulkan's loader ask Mesa's software driver alone, whatever graphics card there is."""
    from live_sr.engines.webgpu import adapters

    with pytest.MonkeyPatch.context() as patch:
        for variable in LOADER_VARIABLES:
            patch.setenv(variable, str(DRIVERS[0]))
        adapters.list_adapters.cache_clear()
        yield
