"""The live program with the engine for graphics cards, on Mesa's software driver, up to the pixels on the screen."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from overlay_process import StartOverlay, grab_middle, wait_until_shown
from patience import until
from screens import HD, Screen, ToyWindow
from software_card import NEEDS_DRIVER

from live_sr.engines.filters.engine import resize
from live_sr.engines.webgpu import reference
from live_sr.models.cellnet_weights import read_weights
from live_sr.models.resolve import resolve
from live_sr.pipeline.frame import Pixels, Size, get_size

pytestmark = NEEDS_DRIVER

SETTINGS = """
hud.level = "off"
overlay.pointer = "view"
engine.adapter = "llvmpipe"
engine.precision = "fp32"
engine.budget_ms = 0
"""


def compute_picture(small: Pixels) -> Pixels:
    """What the screen should show: the picture by the network in NumPy, as large as fits."""
    card = resolve("turbo").get_card(2)
    assert card is not None
    large = reference.draw([read_weights(card.onnx.with_suffix(".safetensors"))], small)
    return resize(large, get_size(small).fit_into(HD)).copy()


def test_the_screen_shows_what_the_network_makes_of_a_window_of_any_size(
    screen: Screen, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    toy = ToyWindow(screen, Size(64, 48), title="A game")
    before = toy.draw(3)
    over = start_overlay(
        *("--window", "a game", "--model", "turbo", "--engine", "webgpu", "--log", "frames.csv"), settings=SETTINGS
    )
    assert over.rect == (0, 0, *HD)
    wait_until_shown(screen, compute_picture(before))
    for seed, size in enumerate((Size(63, 47), Size(80, 36), Size(64, 48)), 4):
        toy.resize(size)
        before = toy.draw(seed)
        wait_until_shown(screen, compute_picture(before))
    assert "turbo x2, webgpu fp32" in (tmp_path / "frames.csv").read_text()


def test_the_card_draws_the_screen_as_the_processor_does_without_the_picture_coming_back(
    screen: Screen, start_overlay: StartOverlay, tmp_path: Path
) -> None:
    toy = ToyWindow(screen, Size(64, 36), title="A game")
    over = start_overlay(
        *("--window", "a game", "--model", "turbo", "--engine", "webgpu", "--log", "frames.csv", "--verbose"),
        settings=SETTINGS.replace('"off"', '"detail"') + 'overlay.present = "gpu"\nhud.corner = "bottom-left"\n',
    )
    for seed, size in enumerate((Size(64, 36), Size(63, 47)), 4):
        toy.resize(size)
        expected = compute_picture(toy.draw(seed))

        def is_shown(expected: Pixels = expected) -> bool:
            """To a level, where the HUD does not lie over it."""
            shown = grab_middle(screen, get_size(expected)).astype(np.int16)
            above = slice(None, shown.shape[0] // 4)
            return int(np.abs(shown[above, :, :3] - expected[above, :, :3]).max()) <= 1

        until(is_shown, f"the picture of {size} is shown")
    assert "turbo x2, webgpu fp32" in (tmp_path / "frames.csv").read_text()
    assert "draws the window in " in over.output
    assert "main memory" not in over.output
