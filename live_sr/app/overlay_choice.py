"""Decides how the picture is shown: over the game or beside it, and on which kind of surface."""

from __future__ import annotations

from live_sr.backends import Backend
from live_sr.config import Settings
from live_sr.pipeline.desktop_contracts import Desktop
from live_sr.system.platform import detect_session
from live_sr.system.wayland import LAYER_SHELL, has_global


def choose_overlay(settings: Settings, capture: Backend, desktop: Desktop) -> tuple[Settings, list[str]]:
    """The settings that can be carried out here, and a sentence for each thing that the player should know."""
    settings, own = _avoid_self_capture(settings, capture)
    clicks = scaling = ""
    if detect_session() == "xwayland":
        from live_sr.desktop.xwayland import describe_scaling, read_outputs, read_server_release

        if capture.sees_wayland:
            settings, clicks = let_clicks_through(settings, read_server_release(), has_layer=has_global(LAYER_SHELL))
        if settings.overlay.present != "layer":
            scaling = describe_scaling(read_outputs(), desktop.list_monitors())
    return settings, [note for note in (own, clicks, scaling) if note]


def let_clicks_through(settings: Settings, release: int, *, has_layer: bool) -> tuple[Settings, str]:
    """The settings with which clicks reach a native Wayland window below the picture, and a sentence if they changed.

    `release`: of XWayland, such as 12401014. `has_layer`: whether the compositor has layers, which never keep a click.
    """
    from live_sr.desktop.xwayland import LETS_CLICKS_THROUGH, describe_release

    overlay = settings.overlay
    if overlay.mode != "cover" or overlay.present == "layer" or release >= LETS_CLICKS_THROUGH:
        return settings, ""
    keeps = f"XWayland {describe_release(release)} lets no click through an overlay to a Wayland window"
    if has_layer:
        return _change(settings, present="layer"), f"{keeps}, so the picture is on a layer of the desktop's compositor"
    return _change(settings, mode="beside"), (
        f"{keeps}, so the picture is shown in a window beside the game; XWayland 24.1 and newer can do it"
    )


def _avoid_self_capture(settings: Settings, capture: Backend) -> tuple[Settings, str]:
    """An overlay over the game goes beside it where the capture would see it and cannot be kept from that, as mss."""
    if capture.overlay_can_hide or settings.overlay.mode != "cover":
        return settings, ""
    return _change(settings, mode="beside"), (
        f"{capture.name} would capture an overlay that covers the game, so the picture is shown in a window beside it"
    )


def _change(settings: Settings, **overlay: str) -> Settings:
    return settings.model_copy(update={"overlay": settings.overlay.model_copy(update=overlay)})
