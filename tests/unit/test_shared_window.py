"""A native Wayland window as the game: what is told where it cannot be, and where live-sr's own window may go."""

from __future__ import annotations

import pytest

from live_sr import backends
from live_sr.app.run import RunOptions, choose_target
from live_sr.app.shared_window import find_shared_monitor
from live_sr.capture import libpipewire
from live_sr.capture.select import select_shared
from live_sr.errors import MissingPart, UsageError, WindowNotFound
from live_sr.pipeline.desktop_contracts import Desktop, Monitor, WindowInfo
from live_sr.pipeline.frame import Rect
from live_sr.system.platform import get_platform

pytestmark = pytest.mark.skipif(get_platform() != "linux", reason="Wayland is Linux's")

LEFT, RIGHT = Rect(0, 0, 1920, 1080), Rect(1920, 0, 1280, 720)


class EmptyDesktop:
    """Has a monitor, and no window of X11."""

    def list_windows(self) -> list[WindowInfo]:
        return []

    def list_monitors(self) -> list[Monitor]:
        return [Monitor("one", LEFT, primary=True)]


@pytest.fixture
def desktop(monkeypatch: pytest.MonkeyPatch) -> Desktop:
    """Of a Wayland session without D-Bus."""
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.setenv("WAYLAND_DISPLAY", "wayland-987")
    for name in ("DBUS_SESSION_BUS_ADDRESS", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    return EmptyDesktop()  # type: ignore[return-value]


def test_without_the_extra_one_sentence_says_how_to_get_it(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda module: module != "jeepney")
    with pytest.raises(MissingPart, match="jeepney is not installed") as caught:
        choose_target(RunOptions(), desktop, "pipewire")
    assert 'pip install "live-sr[wayland]"' in caught.value.message


@pytest.mark.needs("jeepney")
def test_without_pipewires_library_one_sentence_says_so(desktop: Desktop, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(libpipewire, "NAME", "libpipewire-of-nowhere.so.0")
    libpipewire.load_library.cache_clear()
    with pytest.raises(MissingPart, match=r"libpipewire-of-nowhere\.so\.0 is missing .*apt install"):
        choose_target(RunOptions(), desktop, "pipewire")
    libpipewire.load_library.cache_clear()


@pytest.mark.parametrize("options", [RunOptions(window="doom"), RunOptions(pid=1), RunOptions()])
def test_a_game_that_x11_does_not_have_is_missed_with_the_reason_against_wayland(
    options: RunOptions, desktop: Desktop, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(backends, "is_installed", lambda module: module != "jeepney")
    with pytest.raises(WindowNotFound, match="there is no window") as caught:
        choose_target(options, desktop, "auto")
    assert "native Wayland windows cannot be seen: jeepney is not installed" in caught.value.remedy


@pytest.mark.parametrize("capture", ["x11", "mss"])
def test_the_desktop_is_not_asked_when_another_capture_is_wanted(capture: str, desktop: Desktop) -> None:
    with pytest.raises(WindowNotFound) as caught:
        choose_target(RunOptions(window="doom"), desktop, capture)
    assert "Wayland" not in caught.value.remedy


def test_on_x11_it_is_not_offered(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("DISPLAY", ":987")
    monkeypatch.delenv("WAYLAND_DISPLAY", raising=False)
    pipewire = next(b for b in backends.CAPTURE if b.name == "pipewire")
    monkeypatch.setattr(backends, "is_installed", lambda module: True)
    assert "it is for Wayland sessions" in pipewire.unavailable_reason()


@pytest.mark.parametrize(
    ("shared", "monitors", "expected"),
    [(LEFT, [LEFT, RIGHT], LEFT), (RIGHT, [LEFT, RIGHT], RIGHT), (None, [RIGHT], RIGHT),
     (Rect(0, 0, 640, 360), [LEFT], LEFT)],
)  # fmt: skip
def test_a_shared_monitor_is_found_on_x11(shared: Rect | None, monitors: list[Rect], expected: Rect) -> None:
    assert find_shared_monitor(shared, [Monitor(str(rect), rect) for rect in monitors]) == expected


@pytest.mark.parametrize("shared", [None, Rect(1920, 0, 640, 360)])
def test_a_shared_monitor_whose_place_is_in_doubt_is_refused(shared: Rect | None) -> None:
    with pytest.raises(UsageError, match="does not say which"):
        find_shared_monitor(shared, [Monitor("left", LEFT), Monitor("right", RIGHT)])


@pytest.mark.parametrize("is_window", [True, False])
def test_of_a_whole_monitor_the_overlay_is_seen(is_window: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(backends.Backend, "unavailable_reason", lambda *_: "")
    selected = select_shared(is_window=is_window)
    assert (selected.backend.name, selected.backend.sees_overlay) == ("pipewire", not is_window)
    assert selected.backend.overlay_can_hide == is_window
