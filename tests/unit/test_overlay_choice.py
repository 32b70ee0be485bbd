"""How the picture is shown on a Wayland desktop, by what its XWayland and its compositor can do."""

from __future__ import annotations

import socket
import struct
import threading
from pathlib import Path

import pytest

from live_sr.app.overlay_choice import let_clicks_through
from live_sr.config import OverlaySettings, Settings
from live_sr.desktop.xwayland import describe_release, describe_scaling
from live_sr.pipeline.desktop_contracts import Monitor
from live_sr.pipeline.frame import Rect, Size
from live_sr.system.wayland import WaylandConnection, WaylandLost, WaylandOutput, has_global


@pytest.mark.parametrize(
    ("release", "has_layer", "wanted", "mode", "present", "words"),
    [
        (12401014, False, {}, "cover", "auto", ""),
        (12401000, True, {}, "cover", "auto", ""),
        (12201009, True, {}, "cover", "layer", "XWayland 22.1.9 lets no click through"),
        (12201009, False, {}, "beside", "auto", "a window beside the game; XWayland 24.1"),
        (12201009, False, {"mode": "beside"}, "beside", "auto", ""),
        (12201009, True, {"present": "layer"}, "cover", "layer", ""),
    ],
)
def test_clicks_reach_the_wayland_window_below(
    release: int, has_layer: bool, wanted: dict[str, str], mode: str, present: str, words: str
) -> None:
    settings = Settings(overlay=OverlaySettings.model_validate(wanted))
    chosen, note = let_clicks_through(settings, release, has_layer=has_layer)
    assert (chosen.overlay.mode, chosen.overlay.present) == (mode, present)
    assert words in note
    assert bool(note) == bool(words)


@pytest.mark.parametrize(("release", "words"), [(12401014, "24.1.14"), (12201009, "22.1.9"), (12302000, "23.2.0")])
def test_a_release_is_told_as_people_write_it(release: int, words: str) -> None:
    assert describe_release(release) == words


@pytest.mark.parametrize(
    ("outputs", "monitors", "words"),
    [
        ([(0, 0, 2560, 1440)], [(0, 0, 1280, 720)], "drawn with 1280x720 pixels and enlarged to 2560x1440"),
        ([(0, 0, 1280, 720)], [(0, 0, 1280, 720)], ""),
        ([(0, 0, 1280, 720), (1280, 0, 3840, 2160)], [(0, 0, 1280, 720), (1280, 0, 2560, 1440)], "to 3840x2160"),
        ([(0, 0, 2560, 1440)], [(0, 0, 2560, 1440)], ""),
        ([(0, 0, 2560, 1440)], [], ""),
        ([], [(0, 0, 1280, 720)], ""),
    ],
)
def test_a_scaled_screen_is_noticed(
    outputs: list[tuple[int, ...]], monitors: list[tuple[int, int, int, int]], words: str
) -> None:
    screens = [WaylandOutput(x=x, y=y, size=Size(width, height)) for x, y, width, height in outputs]
    told = describe_scaling(screens, [Monitor("one", Rect(*place)) for place in monitors])
    assert words in told
    assert bool(told) == bool(words)


def test_no_compositor_is_an_error_with_a_sentence(tmp_path: Path) -> None:
    with pytest.raises(WaylandLost, match="no Wayland compositor answers"):
        WaylandConnection(str(tmp_path / "nothing"))


@pytest.mark.parametrize("variables", [{}, {"WAYLAND_DISPLAY": "wayland-7"}])
def test_nothing_is_offered_without_a_compositor(variables: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WAYLAND_DISPLAY", "XDG_RUNTIME_DIR"):
        monkeypatch.delenv(name, raising=False)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    assert not has_global("wl_compositor")


@pytest.mark.parametrize(
    ("answer", "message"),
    [
        (b"", "has ended the connection"),
        (struct.pack("=IIIII", 1, 28 << 16, 3, 0, 4) + b"no!\0" + bytes(4), "refused a request of object 3: no!"),
    ],
    ids=["silence", "error"],
)
def test_what_a_compositor_refuses_is_a_sentence(answer: bytes, message: str, tmp_path: Path) -> None:
    path = str(tmp_path / "wayland")
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(path)
        listening.listen()

        def serve() -> None:
            asking, _ = listening.accept()
            with asking:
                asking.recv(1000)
                asking.sendall(answer)

        server = threading.Thread(target=serve)
        server.start()
        with pytest.raises(WaylandLost, match=message):
            WaylandConnection(path)
        server.join()
