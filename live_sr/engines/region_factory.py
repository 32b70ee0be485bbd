"""Makes engines for the live window, which draw only what has changed since the frame before."""

from __future__ import annotations

from functools import partial
from time import perf_counter_ns

from live_sr import backends
from live_sr.engines import factory
from live_sr.engines.factory import MakeEngine
from live_sr.engines.options import EngineOptions
from live_sr.engines.regions.engine import ChangedRegionsEngine
from live_sr.engines.regions.on_device import DeviceRegionsEngine, DeviceWindowsEngine
from live_sr.engines.regions.windows import EngineWindows
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.engines.tiling.requirements import read_requirements
from live_sr.models.resolve import Kind, Model
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import BuildMonitor, DeviceRegionEngine, DeviceWindowEngine


def make_engine(model: Model, scale: int, options: EngineOptions, watch: BuildMonitor | None = None) -> Engine:
    """As `factory.make_engine`. With `options.changed_regions`, it draws only what has changed, where that is exact.

    Not with pictures queued on a GPU: a call then takes the time of another picture, so costs cannot be measured.
    """
    requirements = _find_requirements(model, scale, options)
    engine = factory.make_engine(model, scale, options, watch)
    if requirements is None:
        return engine
    if not backends.is_on_graphics_card(engine.info.engine):
        windows = EngineWindows(partial(factory.make_engine, model, scale, options))
        return ChangedRegionsEngine(engine, windows, requirements, watch=watch)
    if isinstance(engine, DeviceRegionEngine):
        return DeviceRegionsEngine(engine, engine, requirements, watch=watch, read_ns=perf_counter_ns)
    if isinstance(engine, DeviceWindowEngine) and not options.queue:
        return DeviceWindowsEngine(engine, engine, requirements, watch=watch, read_ns=perf_counter_ns)
    return engine


def find_quick_maker(options: EngineOptions) -> MakeEngine | None:
    """As `factory.find_quick_maker`. On a processor, whole frames are drawn while the engines for windows are built."""
    quick = factory.find_quick_maker(options)
    if quick is None and options.changed_regions and not factory.builds_slowly(options):
        return partial(factory.make_engine, options=options)
    return quick


def _find_requirements(model: Model, scale: int, options: EngineOptions) -> TileRequirements | None:
    """What tells how far a change is seen in the picture. None: whole frames are drawn.

    Published networks may look at the whole picture or use the frames before. Filters, except fsr, take no longer than
    comparing.
    """
    card = model.get_card(scale)
    if not options.changed_regions or card is None or model.kind is Kind.PUBLISHED:
        return None
    requirements = read_requirements(card)
    if requirements is None or not requirements.exact or requirements.fixed_size is not None:
        return None
    return requirements
