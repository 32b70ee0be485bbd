"""Fixtures that several test files share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from screens import Game, Screen

from live_sr.frame import Size


@pytest.fixture(scope="session")
def _screens() -> Iterator[dict[Size, Screen]]:
    """The screens that run, by size: a server and its window manager serve the tests one after another."""
    running: dict[Size, Screen] = {}
    yield running
    for screen in running.values():
        screen.__exit__()


@pytest.fixture
def screen(
    request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch, _screens: dict[Size, Screen]
) -> Iterator[Screen]:
    """An empty screen of 1280x720, or of the size an indirect parameter gives, to which DISPLAY points.

    What a test starts with `screen.run` or as ToyWindow or Game is ended after it.
    """
    size: Size = getattr(request, "param", Size(1280, 720))
    if size in _screens and not _screens[size].alive:
        _screens.pop(size).__exit__()
    if size not in _screens:
        _screens[size] = Screen(size).__enter__()
    screen = _screens[size]
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
