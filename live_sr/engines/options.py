"""How engines are chosen and built."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from live_sr import backends
from live_sr.config import Settings
from live_sr.system import paths


@dataclass(frozen=True)
class EngineOptions:
    """How engines are chosen and built.

    backend: a name of `backends.ENGINES`, or "auto". adapter: a part of the name of the graphics card for engines that
    take one, or "auto". threads: of an engine on the processor; 0: one per core. cache:
    the folder for compiled engines; None: they are not kept. queue: pictures in flight on a GPU beside the newest.
    changed_regions: `region_factory` makes engines draw only what has changed since the frame before, where they can.
    redraws_lost: whether an engine opens a lost graphics card anew and draws the frame again. Off where another engine
    goes on meanwhile.
    """

    backend: str = "auto"
    precision: str = "auto"
    threads: int = 0
    cache: Path | None = None
    queue: int = 0
    changed_regions: bool = False
    adapter: str = backends.AUTO
    redraws_lost: bool = True

    @classmethod
    def from_settings(cls, settings: Settings, *, live: bool = False) -> EngineOptions:
        """The options in the settings.

        live: for a window. Elsewhere nothing waits for a frame, and all that is drawn is measured or kept.
        """
        engine = settings.engine
        cache = Path(engine.cache) if engine.cache else paths.get_cache_folder()
        return cls(
            engine.backend,
            engine.precision,
            engine.threads,
            cache,
            engine.queue if live else 0,
            engine.changed_regions and live,
            engine.adapter,
            redraws_lost=not live,
        )
