"""Checks what a run wants before it says that it starts: the model, the precision, the monitor."""

from __future__ import annotations

from live_sr.app.output_monitor import check_output_monitor
from live_sr.config import Settings
from live_sr.engines import engine_choice, factory
from live_sr.engines.live.build_request import Selection
from live_sr.engines.options import EngineOptions
from live_sr.models.resolve import resolve
from live_sr.pipeline.desktop_contracts import Desktop


def check_settings(settings: Settings, desktop: Desktop) -> None:
    """Raises LiveSRError for an unknown monitor, model or engine, and for a precision that the engine lacks."""
    check_output_monitor(settings.overlay.monitor, desktop.list_monitors())
    selection = resolve_selection(settings)
    options = EngineOptions.from_settings(settings, live=True)
    engine_choice.choose_engine(options)
    if options.precision != "auto":  # an engine that fails for another reason is replaced while the game runs
        scale = selection.scale or selection.model.default_scale
        factory.make_engine(selection.model, scale, options).close()


def resolve_selection(settings: Settings) -> Selection:
    """The model of the settings. Raises ModelError for one that is unknown or damaged."""
    scale = None if settings.model.scale == "fit" else settings.model.scale
    options = EngineOptions.from_settings(settings, live=True)
    model = resolve(settings.model.name, scale, cache=options.cache)
    model.verify(scale)
    return Selection(model, scale)
