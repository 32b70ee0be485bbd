"""Where a filter runs: on the graphics card if it draws the same picture there, else on the processor."""

from __future__ import annotations

import logging
from typing import cast

from live_sr.backends import Backend
from live_sr.engines import trial
from live_sr.engines.graph_choice import open_trial_memory
from live_sr.engines.loading import make_filter
from live_sr.engines.options import EngineOptions
from live_sr.engines.trial import TrialResult
from live_sr.errors import LiveSRError
from live_sr.pipeline.contracts import Engine
from live_sr.pipeline.engine_contracts import TriedEngine
from live_sr.system import hardware

FILTER_DEVIATION = 1  # level of 255 by which a filter on a graphics card may differ from that on the processor

log = logging.getLogger(__name__)


def choose_filter(backend: Backend, name: str, scale: int, options: EngineOptions) -> Engine:
    """The filter on the graphics card if it draws the same picture, and is faster or asked for; else on the processor.

    Raises MissingPart.
    """
    spare = make_filter(name, scale)
    if not backend.filter_path:
        return spare
    forced = options.backend == backend.name
    make = backend.load_filters()
    engine = cast(Engine, make(name, scale, adapter=options.adapter, redraws_lost=options.redraws_lost))
    try:
        result = _try_filter(engine, spare, forced=forced)
    except LiveSRError as error:  # the card
        result = TrialResult(False, error.message)
    log.log(logging.WARNING if forced and not result.won else logging.DEBUG, "%s: %s", engine.info, result.says)
    (spare if result.won else engine).close()
    return engine if result.won else spare


def _try_filter(engine: Engine, spare: Engine, *, forced: bool) -> TrialResult:
    """Whether the filter on the card is used; if it is asked for, it need not be faster. Raises LiveSRError."""
    assert isinstance(engine, TriedEngine) and isinstance(spare, TriedEngine)
    memory = open_trial_memory()
    gain = 0.0 if forced else trial.NEEDED_GAIN
    what = f"the filter {spare.info.model} x{spare.scale}"
    key = f"{engine.build} against {spare.build}, {what}, {hardware.get_processor_name()}, {gain}"
    with memory.running:
        result = memory.find(key)
        if result is None:
            result = trial.compare(engine, spare, needed_gain=gain, max_deviation=FILTER_DEVIATION, of_processor=False)
            memory.keep(key, result, lost_too=True)
    return result
