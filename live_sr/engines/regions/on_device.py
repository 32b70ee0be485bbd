"""Draws only what has changed on a graphics card whose pictures stay there."""

from __future__ import annotations

from collections.abc import Callable

from live_sr.engines.regions.engine import LEARNT_FROM, ChangedRegionsEngine
from live_sr.engines.regions.trial import ReadClock
from live_sr.engines.tiling.layout import TileRequirements
from live_sr.pipeline.contracts import BuildMonitor, DeviceEngine, DeviceRegionEngine, Engine
from live_sr.pipeline.display_picture import DisplayPicture
from live_sr.pipeline.frame import Frame, Pixels, Rect, Size, get_size


class DeviceRegionsEngine(ChangedRegionsEngine):
    """Fulfils `DeviceEngine`, too.

    device: the engine that draws, which is the same object as `engine`. Nothing is copied from picture to picture: the
    engine draws the regions into the picture that it keeps.
    """

    def __init__(
        self,
        engine: Engine,
        device: DeviceRegionEngine,
        make: Callable[[], Engine],
        requirements: TileRequirements,
        *,
        read_ns: ReadClock,
        watch: BuildMonitor | None = None,
        least_ms: float | None = None,
    ) -> None:
        limits = {} if least_ms is None else {"least_ms": least_ms}
        super().__init__(engine, make, requirements, watch=watch, read_ns=read_ns, **limits)
        assert isinstance(engine, DeviceEngine)
        self._whole: DeviceEngine = engine
        self._device = device
        self._is_kept = False  # whether the frame before was upscaled on the device

    def warm_up(self, size: Size) -> None:
        self._is_kept = False
        super().warm_up(size)

    def upscale(self, frame: Frame[Pixels], into: Pixels | None = None) -> Frame[Pixels] | None:
        self._is_kept = False
        return super().upscale(frame, into)

    def upscale_on_device(self, frame: Frame[Pixels]) -> Frame[DisplayPicture] | None:
        if get_size(frame.pixels) != self._size:
            self.warm_up(get_size(frame.pixels))
        if self._finder is None:
            return self._whole.upscale_on_device(frame)
        changed = self._finder.compare(frame.pixels)
        self._newest = None  # in main memory is what an older frame became
        regions, expected_ms = self._plan(changed, []) if self._is_kept else (None, self._whole_ms)
        self._is_kept = False  # until the picture is complete
        begun = self._read_ns()
        done = self._draw(frame, regions)
        spent_ms = (self._read_ns() - begun) / 1e6
        if regions is None:
            self._whole_ratio.learn(spent_ms, self._whole_ms)
            self._regions_ratio.relax()
        elif expected_ms > LEARNT_FROM * self._whole_ms:
            self._regions_ratio.learn(spent_ms, expected_ms)
        self._is_kept = done is not None
        return done

    def _draw(self, frame: Frame[Pixels], regions: list[Rect] | None) -> Frame[DisplayPicture] | None:
        """None: the whole picture."""
        if regions is None:
            return self._whole.upscale_on_device(frame)
        size = get_size(frame.pixels)
        frame.stamps.drawn = min(1.0, sum(r.width * r.height for r in regions) / (size.width * size.height))
        return self._device.upscale_regions_on_device(frame, regions)
